"""``clova-ocr batch DOCUMENT PATH…``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

import clova_ocr_async as clova
from clova_ocr_async.cli.app import DOCUMENT, is_quiet, verb

if TYPE_CHECKING:
    from clova_ocr_async.documents import Document

__all__ = ["command"]


@click.command("batch")
@click.argument("document", type=DOCUMENT)
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Images in work at once.  [default: 32]")
@click.option("--concurrency", type=click.IntRange(min=1), help="Calls at once per domain.  [default: 5]")
@click.option("-o", "--output", type=click.Path(), help="A new file for the lines; else standard output.")
@click.option("--recursive/--no-recursive", default=True, help="Whether to read sub-folders.  [default: yes]")
@verb
def command(
    *,
    document: type[Document],
    paths: tuple[str, ...],
    jobs: int | None,
    concurrency: int | None,
    output: str | None,
    recursive: bool,
) -> int:
    """Read files and folders of images, many at once, and write a line of JSON for each as it comes out.

    DOCUMENT is receipt, credit-card, name-card, biz-license, id-card or passport. PATH is a file, a folder, or - for
    standard input. What could not be read has a line as well, with its error.
    """
    return asyncio.run(_batch(document, paths, jobs, concurrency, output, recursive=recursive))


async def _batch(
    document: type[Document],
    paths: tuple[str, ...],
    jobs: int | None,
    concurrency: int | None,
    output: str | None,
    *,
    recursive: bool,
) -> int:
    from clova_ocr_async.cli.inputs import input_files
    from clova_ocr_async.cli.output import opened_output
    from clova_ocr_async.cli.progress import shown_progress
    from clova_ocr_async.cli.run import Run

    files = input_files(paths, recursive=recursive)
    async with clova.ClovaOCRClient.from_env(concurrency=concurrency) as client:
        with opened_output(output) as write, shown_progress(quiet=is_quiet()) as progress:
            run = Run(client, document, write, progress)
            run.count(paths, recursive=recursive)
            await run.read(files, workers=jobs, ordered=False)
    return run.finish()
