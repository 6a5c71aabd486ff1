"""``clova-ocr recognize DOCUMENT IMAGE…``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

import clova_ocr_async as clova
from clova_ocr_async.cli.app import DOCUMENT, is_quiet, verb

if TYPE_CHECKING:
    from clova_ocr_async.documents import Document

__all__ = ["command"]


@click.command("recognize")
@click.argument("document", type=DOCUMENT)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
@verb
def command(document: type[Document], images: tuple[str, ...]) -> int:
    """Read images, one page each, and print a line of JSON for each, in their order.

    DOCUMENT is receipt, credit-card, name-card, biz-license, id-card or passport. IMAGE is a file, or - for standard
    input.
    """
    return asyncio.run(_recognize(document, images))


async def _recognize(document: type[Document], images: tuple[str, ...]) -> int:
    from clova_ocr_async.cli.inputs import input_files
    from clova_ocr_async.cli.output import opened_output
    from clova_ocr_async.cli.progress import shown_progress
    from clova_ocr_async.cli.run import Run

    files = input_files(images)
    async with clova.ClovaOCRClient.from_env() as client:
        with opened_output(None) as write, shown_progress(quiet=is_quiet()) as progress:
            run = Run(client, document, write, progress)
            run.tally.total = len(images)
            await run.read(files, workers=None, ordered=True)
    return run.finish()
