"""``clova-ocr batch DOCUMENT PATH…``."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from clova_ocr_async.cli.app import DOCUMENT_OR_AUTO, verb
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
    SLOTS,
    STORE,
)
from clova_ocr_async.cli.runs.call_limit_options import call_limit, call_limit_contradiction
from clova_ocr_async.host.plural import plural
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clova_ocr_async.batch.sources.manifest import Manifest
    from clova_ocr_async.cli.runs.inputs import Search
    from clova_ocr_async.documents import Document
    from clova_ocr_async.errors import Billing
    from clova_ocr_async.ledger.opening import RunLocation

__all__ = ["command"]


@click.command("batch")
@click.argument("document", type=DOCUMENT_OR_AUTO)
@click.argument("paths", nargs=-1, metavar="[PATH…]")
@click.option(
    "--from",
    "manifests",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help="A list of further images; - for standard input.",
)
@click.option(
    "--run",
    type=RUN_LOCATION,
    metavar="RUN",
    help="A run directory, or postgresql://user@host/db?run=NAME: it records all calls and answers, and the same "
    "command resumes it.",
)
@click.option("--dry-run", is_flag=True, help="Send nothing; print how many calls would be billed.")
@RUN_MOVED
@MAX_CALLS
@MAX_COST
@PRICE
@click.option(
    "--retry-failed", is_flag=True, help="Send images again that failed and were not billed, in the whole run."
)
@click.option(
    "--retry-ambiguous", is_flag=True, help="Send images again that may have been billed, in the whole run or in FILE."
)
@click.option(
    "--retry-billed", is_flag=True, help="Send images again that were billed and not read, in the whole run or in FILE."
)
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
@click.option(
    "-o", "--output", type=PATH, help="A new file, a device or a FIFO for the lines.  [default: standard output]"
)
@click.option("--recursive/--no-recursive", default=True, help="Whether to read sub-folders.  [default: yes]")
@verb
def command(*, document: type[Document] | str, paths: tuple[str, ...], run: RunLocation | None, **options: Any) -> int:
    """Read files and folders of images, many at once.

    DOCUMENT is receipt, credit-card, name-card, biz-license, id-card or passport; or auto for folders that are named
    after documents, and for lists with a column document. PATH is a file, a folder, a zip archive, a file in an archive
    (a.zip!/x.jpg), or - for standard input. FILE holds one path per line, a table in CSV with a column path (optional
    columns: document, page, and your own), or records as this command writes them.

    Without --run the command writes a line of JSON for each image as soon as it is finished. An image that could not be
    read has a line with its error. Nothing is recorded: the same command again reads all images again, and pays for all
    of them again.

    With --run all calls and answers are recorded in RUN: a directory that only you can read, or a run in a PostgreSQL
    database, which several hosts may share. The same image is paid once, whatever its names. The same command again
    resumes the run, and also reads the images that an earlier command has left, whatever PATH is. Several processes may
    share a run. clova-ocr export writes the results. A run directory also gets failures.jsonl, the list of what was not
    read; of a run in a database, clova-ocr export shows it.

    On Ctrl-C the command sends nothing further and completes the calls in flight. A second Ctrl-C cancels them.
    """
    from clova_ocr_async.batch.sources.manifest import Manifest
    from clova_ocr_async.cli.runs.inputs import check_paths
    from clova_ocr_async.cli.runs.pipes import check_once, spooled

    one_document = None if isinstance(document, str) else document
    # Every mistake is refused before a run directory is made, a pipe is read or a call is paid.
    _check(paths, run, options)
    check_paths(paths, folders=True)
    check_once((*paths, *options["manifests"]))
    with spooled(options["manifests"]) as files:
        manifests = [Manifest(file) for file in files]
        options |= {"manifests": manifests, "manifest_names": options["manifests"]}
        images = _Images(one_document, _needed_documents(one_document, paths, manifests, options), paths)
        for file, manifest in zip(files, manifests, strict=True):
            _check_unpaid(file, manifest, run, options)
        if options["dry_run"]:
            return _dry_run(images, run, options)
        if run is not None:
            return _run_in(run, images, options)
        return _run_once(images, options)


@dataclass(frozen=True, slots=True)
class _Images:
    """The images that a command was given.

    Attributes:
        document: The class of all of them; None if each has its own.
        documents: The classes that they have.
        paths: Files, folders and archives.
    """

    document: type[Document] | None
    documents: tuple[type[Document], ...]
    paths: tuple[str, ...]


def _needed_documents(
    document: type[Document] | None, paths: tuple[str, ...], manifests: Sequence[Manifest], options: dict[str, Any]
) -> tuple[type[Document], ...]:
    from clova_ocr_async.cli.runs.inputs import documents_of
    from clova_ocr_async.cli.terminal.stderr import echo_stderr
    from clova_ocr_async.documents import DOCUMENTS

    # It reads all lists and walks all folders of auto: a mistake in the last line is found before the first call.
    needed = documents_of(document, paths, manifests)
    for name, manifest in zip(options["manifest_names"], manifests, strict=True):
        if manifest.is_cp949:
            shown = "standard input" if name == "-" else shown_path(name)
            echo_stderr(f"{shown}: read as CP949, the encoding of Korean Windows")
    # In the order of DOCUMENTS, so that two runs print the same.
    return tuple(found for word, found in DOCUMENTS.items() if word in needed)


def _run_once(images: _Images, options: dict[str, Any]) -> int:
    from clova_ocr_async.cli.runs.call_counter import CallCounter
    from clova_ocr_async.cli.runs.client_settings import batch_client
    from clova_ocr_async.cli.runs.one_shot import run_once
    from clova_ocr_async.cli.runs.pipes import read_piped
    from clova_ocr_async.cli.terminal.output import opened_output

    calls = CallCounter()
    client = batch_client(options, calls)
    for document in images.documents:
        client.serving(document)  # a document without a domain is refused before a pipe is read or a call is paid
    search = _search(images, options, piped=read_piped(images.paths))  # blocks, so it comes before the event loop
    # Opened before the first call: a paid answer needs a place to go.
    with opened_output(options["output"]) as output:
        return asyncio.run(run_once(client, calls, images.document, search, output, jobs=options["jobs"]))


def _run_in(run: RunLocation, images: _Images, options: dict[str, Any]) -> int:
    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.cli.runs.call_counter import CallCounter
    from clova_ocr_async.cli.runs.client_settings import batch_client
    from clova_ocr_async.cli.runs.dry_run import is_new
    from clova_ocr_async.cli.runs.resumable import ResumableRun, RunSettings
    from clova_ocr_async.cli.terminal.phrases import resume_command
    from clova_ocr_async.cli.terminal.stderr import echo_lines, echo_stderr
    from clova_ocr_async.ledger.seal import load_seal

    settings = RunSettings(
        run=run,
        document=images.document,
        documents=images.documents,
        seal=load_seal(options["key_file"], os.environ),
        store=options["store"],
        max_calls=call_limit(options),
        moved=options["run_moved"],
        price=options["price"],
        retry_billings=_retry_billings(options),
        jobs=options["jobs"],
        resume=resume_command(click.get_current_context().find_root().info_name or "clova-ocr", sys.argv[1:]),
    )
    calls = CallCounter()
    client = batch_client(options, calls)
    search = _search(images, options)
    found = search.found()
    if is_new(run):
        # A run is made only for images: one without any would have to be removed by hand.
        if (first := next(found, None)) is None:
            echo_stderr(search.absence(), even_when_quiet=True)
            echo_lines(search.remarks())
            return exit_code(found=False)
        found = itertools.chain((first,), found)  # one walk, because a large folder takes minutes
    return asyncio.run(ResumableRun(client, calls, settings, search).run(found))


def _search(images: _Images, options: dict[str, Any], piped: Mapping[str, bytes] | None = None) -> Search:
    from clova_ocr_async.cli.runs.inputs import Search

    return Search(
        images.paths,
        by_folder=images.document is None,
        pages=options["pages"],
        recursive=options["recursive"],
        piped=piped or {},
        manifests=options["manifests"],
        manifest_names=options["manifest_names"],
    )


def _dry_run(images: _Images, run: RunLocation | None, options: dict[str, Any]) -> int:
    from clova_ocr_async.cli.runs.client_settings import image_limits, preparation
    from clova_ocr_async.cli.runs.dry_run import dry_run
    from clova_ocr_async.client.loading import ImageLoader
    from clova_ocr_async.documents import DOCUMENTS
    from clova_ocr_async.ledger.seal import load_seal

    load_seal(options["key_file"], os.environ)  # a key that would end the run also ends its dry run
    search = _search(images, options)
    return asyncio.run(
        dry_run(
            [*DOCUMENTS] if images.document is None else [images.document.path_word],
            search.found(once=run is None),
            search=search,
            run=run,
            retry_billings=_retry_billings(options),
            max_calls=call_limit(options),
            price=options["price"],
            loader=ImageLoader(image_limits(options), preparation(options)),
        )
    )


def _retry_billings(options: dict[str, Any]) -> tuple[Billing, ...]:
    from clova_ocr_async.errors import Billing

    # One option for each bill, because the first costs nothing twice and the other two may.
    asked = {
        Billing.NOT_BILLED: options["retry_failed"],
        Billing.MAYBE_BILLED: options["retry_ambiguous"],
        Billing.BILLED: options["retry_billed"],
    }
    return tuple(billing for billing, given in asked.items() if given)


_RETRIED = ("failed", "ambiguous", "billed")
_PAID_AGAIN = ("retry_billed", "retry_ambiguous")  # in the order of ``Manifest.billed``
_PAID_FOR = {
    "retry_billed": ("image that is", "images that are"),
    "retry_ambiguous": ("image that may be", "images that may be"),
}
_FOR_RUNS = ("run_moved", "max_calls", "max_cost", *(f"retry_{what}" for what in _RETRIED), "key_file", "store")


def _check(paths: tuple[str, ...], run: RunLocation | None, options: dict[str, Any]) -> None:
    """Refuse options that contradict each other, before anything is read.

    Raises:
        ConfigurationError: An option needs another one, or excludes it; or there is nothing to read.
    """
    from clova_ocr_async.cli.terminal.output_target import check_ending
    from clova_ocr_async.errors import ConfigurationError

    if wrong := _contradiction(paths, run, options):
        raise ConfigurationError(wrong)
    if options["output"] is not None:
        check_ending(options["output"], "jsonl")


def _check_unpaid(file: str, manifest: Manifest, run: RunLocation | None, options: dict[str, Any]) -> None:
    """Refuse a list of images that another command has paid for, unless an option asks to pay for them again."""
    from clova_ocr_async.errors import ConfigurationError

    # The run's own list of failures, read into the same run: its ledger knows what was paid, and asks for the option.
    # Not by Path.resolve, which raises for a loop of links.
    if isinstance(run, str) and os.path.dirname(os.path.realpath(file)) == os.path.realpath(run):  # noqa: PTH120
        return
    use = "go on with the run they are of, with --run RUN" if run is None else "use the run they are of"
    payer = "this command" if run is None else "this run"
    # By what the list records: the ledger of another run is not asked.
    for count, option in zip(manifest.billed(), _PAID_AGAIN, strict=True):
        if count and not options[option]:
            (one, many), them = _PAID_FOR[option], "it" if count == 1 else "them"
            raise ConfigurationError(
                f"{shown_path(file)} lists {plural(count, one, many)} paid for, "
                f"and {payer} would pay for {them} again; "
                f"{use}, or give --{option.replace('_', '-')}"
            )


def _contradiction(paths: tuple[str, ...], run: RunLocation | None, options: dict[str, Any]) -> str | None:
    from clova_ocr_async.cli.runs.inputs import pages_contradiction

    if not paths and not options["manifests"] and not _run_has_images(run, options):
        return "nothing to read: give a PATH, or a list of files with --from"
    if options["pages"] is not None and (wrong := pages_contradiction(options["pages"], paths)):
        return wrong
    if run is None and (wrong := _contradiction_without_run(options)):
        return wrong

    if wrong := call_limit_contradiction(options):
        return wrong
    # A dry run has a price without a run, since it prints the cost.
    if run is not None or options["dry_run"]:
        return _contradiction_with_run(paths, run, options)
    return "--price is for --run or --dry-run" if options["price"] is not None else None


def _contradiction_without_run(options: dict[str, Any]) -> str | None:
    for name in _FOR_RUNS:
        if options[name] in {None, False}:
            continue
        option = f"--{name.replace('_', '-')}"
        # These two go with a list as well, which may name images that another command has paid for.
        if name not in _PAID_AGAIN:
            return f"{option} is for a run; give one with --run RUN"
        if not options["manifests"]:
            return f"{option} is for a run or a list; give one with --run RUN or --from FILE"
    return None


def _contradiction_with_run(paths: tuple[str, ...], run: RunLocation | None, options: dict[str, Any]) -> str | None:
    from clova_ocr_async.cli.terminal.phrases import quote_run, shown_run

    if options["output"] is not None:
        if run is None or options["dry_run"]:
            return "-o is for lines, and a dry run writes none"
        return (
            f"with --run the results are in {shown_run(run)}; write them with: "
            f"clova-ocr export {quote_run(run)} -o FILE"
        )
    from clova_ocr_async.cli.runs.pipes import is_piped

    if (piped := next(filter(is_piped, paths), None)) is not None:
        kind = "standard input" if piped == "-" else "a pipe"
        return f"{shown_path(piped)}: {kind} cannot be read again when a run is resumed; give a file"
    return None


def _run_has_images(run: RunLocation | None, options: dict[str, Any]) -> bool:
    """Return whether an existing run determines the images, because some of them are sent again."""
    from clova_ocr_async.ledger.opening import run_exists

    # The images of a retry are in the ledger, so it needs no PATH.
    return run is not None and bool(_retry_billings(options)) and run_exists(run)
