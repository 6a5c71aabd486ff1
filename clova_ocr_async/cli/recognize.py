"""``clova-ocr recognize DOCUMENT IMAGE…``."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING

import click

from clova_ocr_async.cli.app import DOCUMENT, verb
from clova_ocr_async.cli.options import CONFIG

if TYPE_CHECKING:
    from clova_ocr_async.documents import Document

__all__ = ["command"]


@click.command("recognize")
@click.argument("document", type=DOCUMENT)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
@CONFIG
@verb
def command(document: type[Document], images: tuple[str, ...], config: str | None) -> int:
    """Read images, one page each, and print a line of JSON for each, in their order.

    DOCUMENT is receipt, credit-card, name-card, biz-license, id-card or passport. IMAGE is a file, or - for standard
    input; clova-ocr batch reads folders.
    """
    from clova_ocr_async.cli.inputs import check_paths, input_files, read_stdin
    from clova_ocr_async.cli.output import opened_output
    from clova_ocr_async.cli.run import run
    from clova_ocr_async.cli.watched import WatchedClient
    from clova_ocr_async.client import SharedSlots
    from clova_ocr_async.client.config import configured_domains

    check_paths(images, folders=False)
    client = WatchedClient(*configured_domains(os.environ, config), slots=SharedSlots())
    files = partial(input_files, images, stdin=read_stdin(images))
    with opened_output(None) as lines:
        return asyncio.run(run(client, document, files, lines, ordered=True))
