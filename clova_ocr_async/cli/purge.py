"""``clova-ocr purge DIR``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import DURATION, KEY_FILE, RUN
from clova_ocr_async.cli.telling import say

__all__ = ["command"]


@click.command("purge")
@RUN
@click.option(
    "--older-than", type=DURATION, metavar="AGE", help="Only those older than this: 12h, 30d.  [default: all]"
)
@KEY_FILE
@verb
def command(*, folder: str, older_than: float | None, key_file: str | None) -> int:
    """Remove the stored answers of the run in DIR, so that nothing of them is left in its files.

    What became of each image, its hash and its ids stay, so no image is paid for again. What export has written is
    not touched.
    """
    from clova_ocr_async.batch.seal import load_seal
    from clova_ocr_async.batch.sqlite.purge import purge
    from clova_ocr_async.batch.sqlite.run_reader import RunReader
    from clova_ocr_async.cli.failures import FAILURES, write_failures

    seal = load_seal(key_file, os.environ)
    purged = purge(folder, seal, older_than)
    with RunReader(folder, seal) as reader:
        write_failures(folder, reader)  # it repeats what errors said
    for left in Path(folder).glob(f"{FAILURES}.*.part"):  # of a process that was killed as it wrote them
        left.unlink(missing_ok=True)
    say(
        f"removed: {purged.answers:,} answers, and the words of {purged.failures:,} errors; "
        "what became of each image, its hash and its ids stay"
    )
    return 0
