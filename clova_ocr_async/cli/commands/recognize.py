"""``clova-ocr recognize DOCUMENT IMAGE…``."""

from __future__ import annotations

import asyncio
import os
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
    from clova_ocr_async.cli.runs.calls import FOR_PEOPLE, shared_slots, transport
    from clova_ocr_async.cli.runs.inputs import Search, check_paths
    from clova_ocr_async.cli.runs.one_shot import run
    from clova_ocr_async.cli.runs.piped import read_piped
    from clova_ocr_async.cli.runs.tracking import WatchedClient
    from clova_ocr_async.cli.terminal.output import opened_output
    from clova_ocr_async.domains.environment import configured_domains
    from clova_ocr_async.protocol.image import ImageLimits

    check_paths(images, folders=False)
    domains = configured_domains(os.environ, config)
    limits = ImageLimits(allow_truncated=allow_truncated)
    client = WatchedClient(*domains, slots=shared_slots(), retry=FOR_PEOPLE, limits=limits, transport=transport())
    search = Search(images, piped=read_piped(images))
    with opened_output(None) as lines:
        return asyncio.run(run(client, document, search, lines, ordered=True))
