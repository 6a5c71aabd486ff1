"""``clova-ocr ledger``: work on the ledgers of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import RUN_LOCATION
from clova_ocr_async.cli.terminal.stderr import echo_stderr
from clova_ocr_async.host.plural import plural

if TYPE_CHECKING:
    from clova_ocr_async.ledger.opening import RunLocation

__all__ = ["command"]


_EXAMPLES = """
\b
Examples:
  clova-ocr ledger copy run/ 'postgresql://me@db.example/ocr?run=march'
  clova-ocr ledger copy 'postgresql://me@db.example/ocr?run=march' run-march/
"""


@click.group("ledger", epilog=_EXAMPLES)
def command() -> None:
    """Copy a run between a directory and a database.

    A run that was copied is worked on at its new place only. clova-ocr ledger copy --help says what is copied.
    """


@command.command("copy", epilog=_EXAMPLES, short_help="Copy a run, and compare both.")
@click.argument("source", metavar="FROM", type=RUN_LOCATION)
@click.argument("target", metavar="TO", type=RUN_LOCATION)
@verb
def copy(*, source: RunLocation, target: RunLocation) -> int:
    """Copy a run from a directory to a database, or back, and compare both.

    FROM and TO are run directories, or postgresql://user@host/db?run=NAME. At TO there is no run, or the one that was
    moved to FROM before. The copy has all names, answers, counts and corrections, and needs no key. It appears when it
    is complete and was compared with FROM. From then on FROM is marked as moved: only TO can be worked on, since both
    would pay for the images that are not read yet.
    """
    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.cli.terminal.phrases import shown_run
    from clova_ocr_async.ledger.copy import copy_run
    from clova_ocr_async.ledger.opening import run_rows

    copied = copy_run(run_rows(source), run_rows(target))
    counts = (
        plural(copied.names, "name"),
        plural(copied.items, "different image"),
        plural(copied.answers, "answer"),
        plural(copied.corrections, "correction"),
    )
    echo_stderr(f"copied: {', '.join(counts)}; both have the same content (sha256 {copied.digest})")
    echo_stderr(f"from now on work only on {shown_run(target)}")
    return exit_code()
