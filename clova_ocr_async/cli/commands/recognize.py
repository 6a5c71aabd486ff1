"""``clova-ocr recognize DOCUMENT IMAGE…``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from clova_ocr_async.cli.app import DOCUMENT, verb
from clova_ocr_async.cli.options import ALLOW_TRUNCATED, CONFIG

if TYPE_CHECKING:
    from clova_ocr_async.documents import Document

__all__ = ["command"]


@click.command("recognize")
@click.argument("document", type=DOCUMENT)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
@ALLOW_TRUNCATED
@CONFIG
@verb
def command(*, document: type[Document], images: tuple[str, ...], allow_truncated: bool, config: str | None) -> int:
    """Read images of one page each, and print a line of JSON for each image, in the order of the images.

    DOCUMENT is receipt, credit-card, name-card, biz-license, id-card or passport. IMAGE is a file, or - for standard
    input; clova-ocr batch reads folders.
    """
    from clova_ocr_async.cli.runs.call_counter import CallCounter
    from clova_ocr_async.cli.runs.client_settings import FOR_PEOPLE, make_client, shared_slots
    from clova_ocr_async.cli.runs.inputs import Search, check_paths
    from clova_ocr_async.cli.runs.one_shot import run_once
    from clova_ocr_async.cli.runs.pipes import read_piped
    from clova_ocr_async.cli.terminal.output import opened_output
    from clova_ocr_async.protocol.image import ImageLimits

    check_paths(images, folders=False)
    limits = ImageLimits(allow_truncated=allow_truncated)
    calls = CallCounter()
    client = make_client(config, calls, slots=shared_slots(), retry=FOR_PEOPLE, limits=limits)
    search = Search(images, piped=read_piped(images))
    with opened_output(None) as output:
        return asyncio.run(run_once(client, calls, document, search, output, ordered=True))
