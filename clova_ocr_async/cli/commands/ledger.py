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


@click.group("ledger")
def command() -> None:
    """Work on the ledgers of runs."""


_EXAMPLES = """
\b
Examples:
  clova-ocr ledger copy run/ 'postgresql://me@db.example/ocr?run=march'
  clova-ocr ledger copy 'postgresql://me@db.example/ocr?run=march' run-march/
"""


@command.command("copy", epilog=_EXAMPLES)
@click.argument("source", metavar="FROM", type=RUN_LOCATION)
@click.argument("target", metavar="TO", type=RUN_LOCATION)
@verb
def copy(*, source: RunLocation, target: RunLocation) -> int:
    """Copy a run from a directory to a database, or back, and compare both.

    FROM and TO are run directories, or postgresql://user@host/db?run=NAME.
    """
    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.cli.terminal.phrases import shown_run
    from clova_ocr_async.ledger.copy import copy_run

    copied = copy_run(source, target)
    echo_stderr(
        f"copied {plural(copied.items, 'image')} from {shown_run(source)} to {shown_run(target)}; both are equal"
    )
    return exit_code()
