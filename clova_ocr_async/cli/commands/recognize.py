"""``clova-ocr recognize DOCUMENT IMAGE…``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from clova_ocr_async.cli.app import DOCUMENT, verb
from clova_ocr_async.cli.options import ALLOW_TRUNCATED, CONFIG, PAGES, PREPARE, RENDER, SLOTS

if TYPE_CHECKING:
    from clova_ocr_async.documents import Document

__all__ = ["command"]


@click.command("recognize")
@click.argument("document", type=DOCUMENT)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
@PAGES
@PREPARE
@RENDER
@ALLOW_TRUNCATED
@CONFIG
@SLOTS
@verb
def command(*, document: type[Document], images: tuple[str, ...], **options: Any) -> int:
    """Read images of one page each, and print a line of JSON for each image, in the order of the images.

    DOCUMENT is receipt, credit-card, name-card, biz-license, id-card or passport. IMAGE is a file, a file in a zip
    archive (a.zip!/x.jpg), or - for standard input; clova-ocr batch reads folders and archives.
    """
    from clova_ocr_async.cli.runs.call_counter import CallCounter
    from clova_ocr_async.cli.runs.client_settings import (
        FOR_PEOPLE,
        image_limits,
        make_client,
        preparation,
        shared_slots,
    )
    from clova_ocr_async.cli.runs.inputs import Search, check_paths, pages_contradiction
    from clova_ocr_async.cli.runs.one_shot import run_once
    from clova_ocr_async.cli.runs.pipes import read_piped
    from clova_ocr_async.cli.terminal.output import opened_output
    from clova_ocr_async.errors import ConfigurationError

    check_paths(images, folders=False)
    if options["pages"] is not None and (wrong := pages_contradiction(options["pages"], images)):
        raise ConfigurationError(wrong)
    calls, limits, prepare = CallCounter(), image_limits(options), preparation(options)
    # Slots are shared with batches of the same user: their calls and these use up the same limit of the service.
    client = make_client(
        options["config"],
        calls,
        slots=shared_slots(server=options["slots"]),
        retry=FOR_PEOPLE,
        limits=limits,
        prepare=prepare,
    )
    search = Search(images, pages=options["pages"], piped=read_piped(images))
    # In the order of the images: people read the lines beside what they have typed.
    with opened_output(None) as output:
        return asyncio.run(run_once(client, calls, document, search, output, ordered=True))
