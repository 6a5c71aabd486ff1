"""``clova-ocr watch DOCUMENT FOLDER``."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from clova_ocr_async.cli.app import DOCUMENT, verb
from clova_ocr_async.cli.options import (
    ALLOW_TRUNCATED,
    CONCURRENCY,
    CONFIG,
    JOBS,
    KEY_FILE,
    MAX_CALLS,
    MAX_COST,
    MAX_PER_SECOND,
    PAGES,
    PATH,
    PREPARE,
    PRICE,
    RENDER,
    RUN_LOCATION,
    RUN_MOVED,
    SECONDS,
    SLOTS,
    STORE,
)
from clova_ocr_async.cli.runs.call_limit_options import call_limit, call_limit_contradiction

if TYPE_CHECKING:
    from clova_ocr_async.cli.runs.resumable import RunSettings
    from clova_ocr_async.documents import Document
    from clova_ocr_async.ledger.opening import RunLocation

__all__ = ["command"]


@click.command("watch")
@click.argument("document", type=DOCUMENT)
@click.argument("folder", type=PATH)
@click.option(
    "--run",
    required=True,
    type=RUN_LOCATION,
    metavar="RUN",
    help="A run directory outside of FOLDER, or postgresql://user@host/db?run=NAME: it records all calls and answers.",
)
@click.option(
    "--settle",
    type=SECONDS,
    default="5",
    show_default=True,
    metavar="S",
    help="Read a file once its size and times have not changed for S seconds.",
)
@click.option(
    "--poll",
    is_flag=True,
    help="Scan FOLDER every second, as a network drive needs it.  [default: when the system reports a change]",
)
@RUN_MOVED
@MAX_CALLS
@MAX_COST
@PRICE
@PAGES
@PREPARE
@RENDER
@ALLOW_TRUNCATED
@KEY_FILE
@STORE
@JOBS
@CONFIG
@CONCURRENCY
@MAX_PER_SECOND
@SLOTS
@click.option("--recursive/--no-recursive", default=True, help="Whether to watch sub-folders.  [default: yes]")
@verb
def command(*, document: type[Document], folder: str, run: RunLocation, **options: Any) -> int:
    """Read the images of a folder, and those that are put into it, until Ctrl-C.

    DOCUMENT is receipt, credit-card, name-card, biz-license, id-card or passport. FOLDER is a folder, such as the one
    in which a scanner stores its files. A file is read once it has not changed for some seconds. A file that changes
    afterwards is a new image.

    All calls and answers are recorded in the run. The same image is paid once, whatever its names and however
    often the command is started. clova-ocr export writes the results, also while the command runs. Several processes
    may share a run.

    Each image gets a line on standard error. On Ctrl-C or SIGTERM the command sends nothing further and completes the
    calls in flight. A second signal cancels them. A spent quota, a reached call limit and a full disk end the command;
    the same command goes on.
    """
    from clova_ocr_async.batch.sources.watched_folder import WatchedFolder
    from clova_ocr_async.cli.runs.call_counter import CallCounter
    from clova_ocr_async.cli.runs.client_settings import batch_client
    from clova_ocr_async.cli.runs.watch import WatchRun, check_apart, native_events, print_exclusions
    from clova_ocr_async.errors import ConfigurationError
    from clova_ocr_async.pictures.page_selection import PageSelection

    if wrong := call_limit_contradiction(options):
        raise ConfigurationError(wrong)
    if options["pages"] is not None:
        PageSelection.parse(options["pages"])  # a mistake is refused before a run directory is made
    inbox = WatchedFolder(folder, recursive=options["recursive"])
    # Before anything is made in the folder of the run.
    check_apart(folder, run)
    calls = CallCounter()
    client, settings = batch_client(options, calls), _settings(document, run, options)
    open_events = None if options["poll"] else native_events()
    print_exclusions(inbox, run)
    watch = WatchRun(
        client, calls, settings, inbox, settle=options["settle"], pages=options["pages"], open_events=open_events
    )
    return asyncio.run(watch.run(()))  # no files to begin with: the watch finds all of them


def _settings(document: type[Document], run: RunLocation, options: dict[str, Any]) -> RunSettings:
    from clova_ocr_async.cli.runs.resumable import RunSettings
    from clova_ocr_async.cli.terminal.phrases import resume_command
    from clova_ocr_async.ledger.seal import load_seal

    return RunSettings(
        run=run,
        document=document,
        seal=load_seal(options["key_file"], os.environ),
        store=options["store"],
        max_calls=call_limit(options),
        moved=options["run_moved"],
        price=options["price"],
        jobs=options["jobs"],
        resume=resume_command(click.get_current_context().find_root().info_name or "clova-ocr", sys.argv[1:]),
    )
