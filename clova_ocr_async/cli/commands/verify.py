"""``clova-ocr verify FILE…``."""

from __future__ import annotations

import click

from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import PATH
from clova_ocr_async.cli.terminal.stderr import echo_stderr, printable
from clova_ocr_async.host.plural import plural

__all__ = ["command"]


@click.command("verify")
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=PATH)
@verb
def command(*, files: tuple[str, ...]) -> int:
    """Search each FILE for what a masked copy must not hold, whichever program masked it.

    Pictures and PDFs: metadata, comments, thumbnails, further frames, trailing bytes, transparent pixels, text layers.
    CSV, JSON Lines, XLSX, Parquet and other texts: resident, alien and card numbers. A line names the file, the kind
    and the place, and never the value; the exit code is then 1. The pixels are not read: look at them yourself.
    """
    from pathlib import Path

    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.errors import ImageError
    from clova_ocr_async.pictures.paged_file import PagedFile
    from clova_ocr_async.protocol.echoed_input import shown_path
    from clova_ocr_async.results.redaction import Masking
    from clova_ocr_async.results.verification import find_leaks

    bad = unread = 0
    masking = Masking(None, "all")
    for file in files:
        name = shown_path(masking.mask_text(file))
        try:
            with PagedFile.of(file).open() as content:
                leaks = list(dict.fromkeys(find_leaks(content, Path(file).name)))
        except ImageError as error:
            # The message repeats the name, which may be a number.
            reason = masking.mask_text(str(error)).removeprefix(f"{name}: ")
            echo_stderr(f"{name}: not searched: {reason}", even_when_quiet=True)
            unread += 1
            continue
        for kind, place in leaks:
            click.echo(printable(f"{name}: {kind}, {place}"))
        bad += bool(leaks)
    missed = f"; {plural(unread, 'file was', 'files were')} not" if unread else ""
    echo_stderr(f"{plural(len(files) - unread, 'file')} searched, {bad:,} with something to remove{missed}")
    return exit_code(unread=bad + unread > 0)
