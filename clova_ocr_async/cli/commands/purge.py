"""``clova-ocr purge RUN``."""

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
    from clova_ocr_async.ledger.opening import RunLocation
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
def command(*, run: RunLocation, older_than: float | None, yes: bool, key_file: str | None) -> int:
    """Delete the answers that a run keeps, that is, what was read from its images.

    RUN is a run directory, or postgresql://user@host/db?run=NAME. Nothing of these answers is left in the run
    afterwards. What people corrected in them goes with them, since it repeats their values; clova-ocr export writes it
    first. The messages of errors are deleted as well. For each image the run keeps its name, hash, status and request
    ids, so an image that was read is not paid for again. The images themselves and the files that clova-ocr export
    wrote are not touched. On a terminal, without --older-than and --yes, the command names the number of answers and
    what they cost, and asks first.
    """
    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.ledger.opening import purge
    from clova_ocr_async.ledger.seal import load_seal
    from clova_ocr_async.server_url import ServerURL

    seal = load_seal(key_file, os.environ)
    # With an age the command is mostly that of a scheduled job; without one it deletes all that was paid for.
    if older_than is None and not yes and _on_terminal() and not _confirmed(run, seal):
        echo_stderr("nothing was deleted", even_when_quiet=True)
        return exit_code(interrupted=True)
    purged = purge(run, seal, older_than)
    if not isinstance(run, ServerURL):
        _purge_failures(Path(run), seal)
    echo_stderr(_summary(purged))
    return exit_code()


def _purge_failures(folder: Path, seal: Seal) -> None:
    """Write the file of failures of a run directory anew: the old one repeats the messages of errors."""
    from clova_ocr_async.cli.runs.failures import FAILURES, write_failures
    from clova_ocr_async.cli.terminal.locked_files import remove_abandoned
    from clova_ocr_async.ledger.opening import open_view

    with open_view(folder, seal) as reader:
        write_failures(folder, reader)
    for left in remove_abandoned(folder.glob(f"{FAILURES}.*.part")):
        message = f"{shown_path(str(left))} was not deleted, because another process is writing it"
        echo_stderr(f"{message}; when that process has ended, purge again", even_when_quiet=True)


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


def _confirmed(run: RunLocation, seal: Seal) -> bool:
    """Ask whether the answers of a run are to be deleted; without any there is nothing to ask."""
    from clova_ocr_async.cli.terminal.phrases import quote_run
    from clova_ocr_async.ledger.opening import open_view

    with open_view(run, seal) as reader:
        count, corrected = reader.answers(), reader.status().corrections
    if not count:
        return True
    answers, calls = plural(count, "answer"), plural(count, "paid call")
    corrections = f", and {plural(corrected, 'correction')} in them," if corrected else ""
    echo_stderr(
        f"{answers} of this run{corrections} would be deleted for good. They cost {calls}; reading the images again "
        f"would cost as many. To keep a copy, first write one: clova-ocr export {quote_run(run)} -o FILE",
        even_when_quiet=True,
    )
    try:
        return click.confirm(f"Delete {answers}?", err=True)
    except click.Abort:  # Ctrl-C at the question is a no, and not an error
        return False
