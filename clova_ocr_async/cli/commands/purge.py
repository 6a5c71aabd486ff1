"""``clova-ocr purge DIR``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import DURATION, KEY_FILE, RUN
from clova_ocr_async.cli.terminal.stderr import say

if TYPE_CHECKING:
    from clova_ocr_async.ledger.seal import Seal

__all__ = ["command"]


@click.command("purge")
@RUN
@click.option(
    "--older-than", type=DURATION, metavar="AGE", help="Only those older than this: 12h, 30d.  [default: all]"
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@KEY_FILE
@verb
def command(*, folder: str, older_than: float | None, yes: bool, key_file: str | None) -> int:
    """Remove the stored answers of the run in DIR, so that nothing of them is left in its files.

    What became of each image, its hash and its ids stay, so no image is paid for again. What export has written is
    not touched. On a terminal, without --older-than, it names the number of answers and asks.
    """
    from clova_ocr_async.cli.exit_codes import ExitCode
    from clova_ocr_async.cli.runs.failures import FAILURES, write_failures
    from clova_ocr_async.cli.terminal.held_files import remove_abandoned
    from clova_ocr_async.ledger.seal import load_seal
    from clova_ocr_async.ledger.sqlite.purge import purge
    from clova_ocr_async.ledger.sqlite.run_view import RunReader

    seal = load_seal(key_file, os.environ)
    if older_than is None and not yes and _on_terminal() and not _confirmed(folder, seal):
        say("nothing was removed", even_when_quiet=True)
        return ExitCode.INTERRUPTED
    purged = purge(folder, seal, older_than)
    with RunReader(folder, seal) as reader:
        write_failures(folder, reader)  # it repeats what errors said
    for left in remove_abandoned(Path(folder).glob(f"{FAILURES}.*.part")):
        say(f"{left} is left: a process writes it; purge again when it has ended", even_when_quiet=True)
    say(
        f"removed: {purged.answers:,} answers, and the words of {purged.failures:,} errors; "
        "what became of each image, its hash and its ids stay"
    )
    return ExitCode.OK


def _on_terminal() -> bool:
    """Whether a question can be seen and answered."""
    # Python leaves None where the shell has closed a stream, which type checkers do not know.
    return all(stream is not None and stream.isatty() for stream in (vars(sys)["stdin"], vars(sys)["stderr"]))


def _confirmed(folder: str, seal: Seal) -> bool:
    """Ask whether the answers of a run are to be removed; without any there is nothing to ask."""
    from clova_ocr_async.cli.terminal.phrases import pasted
    from clova_ocr_async.ledger.sqlite.run_view import RunReader

    with RunReader(folder, seal) as reader:
        count = reader.answers()
    if not count:
        return True
    say(
        f"{count:,} answers, which cost {count:,} calls, would be removed for good; to have them again would cost as "
        f"much. To keep them, write them down first: clova-ocr export {pasted(folder)} -o FILE",
        even_when_quiet=True,
    )
    try:
        return click.confirm(f"Remove {count:,} answers?", err=True)
    except click.Abort:
        return False
