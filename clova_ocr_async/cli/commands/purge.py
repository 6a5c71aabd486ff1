"""``clova-ocr purge DIR``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import DURATION, KEY_FILE, RUN
from clova_ocr_async.cli.terminal.stderr import echo_stderr
from clova_ocr_async.host.plural import plural
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.ledger.storage import Purged

__all__ = ["command"]


@click.command("purge")
@RUN
@click.option(
    "--older-than", type=DURATION, metavar="AGE", help="Delete only answers older than this: 12h, 30d.  [default: all]"
)
@click.option("--yes", is_flag=True, help="Do not ask first.")
@KEY_FILE
@verb
def command(*, folder: str, older_than: float | None, yes: bool, key_file: str | None) -> int:
    """Delete the answers that the run in DIR keeps, that is, what was read from its images.

    The run's files hold nothing of these answers afterwards. What people corrected in them goes with them, since it
    repeats their values; clova-ocr export writes it first. The messages of errors are deleted as well. For each
    image the run keeps its name, hash, status and request ids, so an image that was read is not paid for again. The
    images themselves and the files that clova-ocr export wrote are not touched. On a terminal, without --older-than
    and --yes, the command names the number of answers and what they cost, and asks first.
    """
    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.cli.runs.failures import FAILURES, write_failures
    from clova_ocr_async.cli.terminal.locked_files import remove_abandoned
    from clova_ocr_async.ledger.seal import load_seal
    from clova_ocr_async.ledger.sqlite.purge import purge
    from clova_ocr_async.ledger.sqlite.run_view import RunReader

    seal = load_seal(key_file, os.environ)
    # With an age the command is mostly that of a scheduled job; without one it deletes all that was paid for.
    if older_than is None and not yes and _on_terminal() and not _confirmed(folder, seal):
        echo_stderr("nothing was deleted", even_when_quiet=True)
        return exit_code(interrupted=True)
    purged = purge(folder, seal, older_than)
    with RunReader(folder, seal) as reader:
        write_failures(folder, reader)  # the old one repeats the messages of errors
    for left in remove_abandoned(Path(folder).glob(f"{FAILURES}.*.part")):
        message = f"{shown_path(str(left))} was not deleted, because another process is writing it"
        echo_stderr(f"{message}; when that process has ended, purge again", even_when_quiet=True)
    echo_stderr(_summary(purged))
    return exit_code()


def _summary(purged: Purged) -> str:
    if not (purged.answers or purged.failures):
        return "nothing was deleted: the run keeps no such answers"
    answers, errors = plural(purged.answers, "answer"), plural(purged.failures, "error message")
    corrections = f" with {plural(purged.corrections, 'correction')}" if purged.corrections else ""
    return (
        f"deleted: {answers}{corrections} and {errors}; the run still has the name, hash, status and request ids of "
        "each image, so an image that was read is not paid for again"
    )


def _on_terminal() -> bool:
    """Return whether a question can be seen and answered."""
    # Python leaves None where the shell has closed a stream, which type checkers do not know.
    return all(stream is not None and stream.isatty() for stream in (vars(sys)["stdin"], vars(sys)["stderr"]))


def _confirmed(folder: str, seal: Seal) -> bool:
    """Ask whether the answers of a run are to be deleted; without any there is nothing to ask."""
    from clova_ocr_async.cli.terminal.phrases import quote_path
    from clova_ocr_async.ledger.sqlite.run_view import RunReader

    with RunReader(folder, seal) as reader:
        count, corrected = reader.answers(), reader.status().corrections
    if not count:
        return True
    answers, calls = plural(count, "answer"), plural(count, "paid call")
    corrections = f", and {plural(corrected, 'correction')} in them," if corrected else ""
    echo_stderr(
        f"{answers} of this run{corrections} would be deleted for good. They cost {calls}; reading the images again "
        f"would cost as many. To keep a copy, first write one: clova-ocr export {quote_path(folder)} -o FILE",
        even_when_quiet=True,
    )
    try:
        return click.confirm(f"Delete {answers}?", err=True)
    except click.Abort:  # Ctrl-C at the question is a no, and not an error
        return False
