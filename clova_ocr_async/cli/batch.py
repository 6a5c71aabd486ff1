"""``clova-ocr batch DOCUMENT PATH…``."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import click

from clova_ocr_async.cli.app import DOCUMENT, verb

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
    standard input. What could not be read has a line as well, with its error. Nothing is remembered: the same command
    again reads all images again, and pays for all of them again.
    """
    from clova_ocr_async.cli.inputs import check_paths, input_files, read_stdin
    from clova_ocr_async.cli.run import run
    from clova_ocr_async.cli.watched import WatchedClient

    check_paths(paths, folders=True)
    client = WatchedClient.from_env(concurrency=concurrency)
    files = partial(input_files, paths, recursive=recursive, stdin=read_stdin(paths))
    return asyncio.run(run(client, document, files, output=output, jobs=jobs))
