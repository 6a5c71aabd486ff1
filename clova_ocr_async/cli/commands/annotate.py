"""``clova-ocr annotate RUN``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import KEY_FILE, RUN, PathParam

if TYPE_CHECKING:
    from clova_ocr_async.ledger.opening import RunLocation

__all__ = ["command"]


@click.command("annotate")
@RUN
@click.option("-o", "--output", type=PathParam(file_okay=False), required=True, metavar="DIR", help="The folder.")
@click.option("--force", is_flag=True, help="Replace pictures that exist.")
@KEY_FILE
@verb
def command(*, run: RunLocation, output: str, force: bool, key_file: str | None) -> int:
    """Draw the fields of a run on copies of its pictures.

    RUN is a run directory, or postgresql://user@host/db?run=NAME; the pictures must be on this machine. Each value has
    a numbered box on the picture, and beside the picture its name and text; colour and pattern of the box show the
    confidence. Copies are PNG files that only you can read. They show personal values: for masked pictures see
    clova-ocr redact. A picture that is gone or has changed is named; the exit code is then 1.
    """
    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.cli.runs.picture_copies import write_copies
    from clova_ocr_async.ledger.opening import open_view
    from clova_ocr_async.ledger.seal import load_seal
    from clova_ocr_async.results.annotation import annotate

    with open_view(run, load_seal(key_file, os.environ)) as reader:
        copies = write_copies(
            reader, output, annotate, lambda path, _record, _recognition: path, endings=("png",), force=force
        )
    return exit_code(found=copies.written + copies.failed > 0, unread=copies.failed > 0)
