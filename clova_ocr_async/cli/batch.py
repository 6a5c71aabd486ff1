"""``clova-ocr batch DOCUMENT PATH…``."""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clova_ocr_async.cli.app import DOCUMENT, verb
from clova_ocr_async.cli.options import CONFIG, KEY_FILE, KRW, RATE

if TYPE_CHECKING:
    from clova_ocr_async.client import Slots
    from clova_ocr_async.documents import Document
    from clova_ocr_async.errors import Billing

__all__ = ["command"]


@click.command("batch")
@click.argument("document", type=DOCUMENT)
@click.argument("paths", nargs=-1, metavar="[PATH…]")
@click.option("--from", "manifests", multiple=True, type=click.Path(), metavar="FILE", help="A list of further files.")
@click.option(
    "--run", "folder", type=click.Path(), metavar="DIR", help="Remember everything here, and resume from here."
)
@click.option("--dry-run", is_flag=True, help="Send nothing; tell how many calls would be billed.")
@click.option("--max-calls", type=click.IntRange(min=0), metavar="N", help="Calls over the whole life of the run.")
@click.option("--max-cost", type=KRW, metavar="KRW", help="Their cost; needs --price.")
@click.option("--price", type=KRW, metavar="KRW", help="What a call costs on your plan; then costs are told.")
@click.option("--retry-failed", is_flag=True, help="Send again what failed, certainly not billed, in the whole run.")
@click.option("--retry-ambiguous", is_flag=True, help="Send again what may have been billed, in the whole run.")
@click.option("--retry-billed", is_flag=True, help="Send again what was billed and not read, in the whole run.")
@KEY_FILE
@click.option("--store", type=click.Choice(["full", "none"]), help="Which answers the run keeps.  [default: full]")
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Most images in work.  [default: a few more than slots]")
@CONFIG
@click.option("--concurrency", type=click.IntRange(min=1), help="Calls at once per domain.  [default: learned]")
@click.option("--max-per-second", type=RATE, metavar="N", help="Calls a second per domain, at most.")
@click.option("-o", "--output", type=click.Path(), help="A new file for the lines; else standard output.")
@click.option("--recursive/--no-recursive", default=True, help="Whether to read sub-folders.  [default: yes]")
@verb
def command(*, document: type[Document], paths: tuple[str, ...], folder: str | None, **options: Any) -> int:
    """Read files and folders of images, many at once.

    DOCUMENT is receipt, credit-card, name-card, biz-license, id-card or passport. PATH is a file, a folder, or - for
    standard input. FILE lists a path a line, or records as this command writes them.

    Without --run a line of JSON is written for each image as it comes out; what could not be read has a line as well,
    with its error. Nothing is remembered: the same command again reads all images again, and pays for all of them
    again.

    With --run everything goes to the directory DIR, which only you can read: the same image is paid once, whatever its
    names, and the same command again resumes; what an earlier command left unread is read as well, whatever PATH is.
    Several processes may share a run. Ctrl-C lets what is under way land. clova-ocr export writes the results.
    """
    from clova_ocr_async.cli.inputs import check_paths

    _check(paths, folder, options)
    check_paths(paths, folders=True)
    if options["dry_run"]:
        return _rehearse(document, paths, folder, options)
    if folder is not None:
        return _run_in(folder, document, paths, options)
    return _run_once(document, paths, options)


def _run_once(document: type[Document], paths: tuple[str, ...], options: dict[str, Any]) -> int:
    from clova_ocr_async.cli.inputs import input_files, read_stdin
    from clova_ocr_async.cli.run import run
    from clova_ocr_async.cli.watched import WatchedClient
    from clova_ocr_async.client.config import configured_domains

    client = WatchedClient(*configured_domains(os.environ, options["config"]), slots=_slots(options))
    files = partial(
        input_files,
        paths,
        recursive=options["recursive"],
        stdin=read_stdin(paths),
        manifests=options["manifests"],
    )
    return asyncio.run(run(client, document, files, output=options["output"], jobs=options["jobs"]))


def _run_in(folder: str, document: type[Document], paths: tuple[str, ...], options: dict[str, Any]) -> int:
    from clova_ocr_async.batch.seal import load_seal
    from clova_ocr_async.cli.calls import CallCounter
    from clova_ocr_async.cli.inputs import found_files
    from clova_ocr_async.cli.ledgered import LedgeredRun, RunSettings
    from clova_ocr_async.cli.wording import repeated
    from clova_ocr_async.client import ClovaOCRClient
    from clova_ocr_async.client.config import configured_domains

    settings = RunSettings(
        folder=folder,
        document=document,
        seal=load_seal(options["key_file"], os.environ),
        store=options["store"],
        max_calls=_most_calls(options),
        price=options["price"],
        again=_again(options),
        jobs=options["jobs"],
        resume=repeated(click.get_current_context().find_root().info_name or "clova-ocr", sys.argv[1:]),
    )
    calls = CallCounter()
    domains = configured_domains(os.environ, options["config"])
    client = ClovaOCRClient(*domains, slots=_slots(options), hooks=[calls.note])
    found = found_files(paths, recursive=options["recursive"], manifests=options["manifests"])
    return asyncio.run(LedgeredRun(client, calls, settings).run(found))


def _slots(options: dict[str, Any]) -> Slots:
    from clova_ocr_async.client import SharedSlots

    return SharedSlots(concurrency=options["concurrency"], max_per_second=options["max_per_second"])


def _rehearse(document: type[Document], paths: tuple[str, ...], folder: str | None, options: dict[str, Any]) -> int:
    from clova_ocr_async.batch.seal import load_seal
    from clova_ocr_async.cli.inputs import found_files
    from clova_ocr_async.cli.rehearsal import rehearse

    load_seal(options["key_file"], os.environ)  # what would end the run ends its rehearsal
    found = found_files(paths, recursive=options["recursive"], manifests=options["manifests"])
    return asyncio.run(
        rehearse(
            document.path_word,
            found,
            folder=folder,
            again=_again(options),
            max_calls=_most_calls(options),
            price=options["price"],
        )
    )


def _most_calls(options: dict[str, Any]) -> int | None:
    """Return the lower one of the two ceilings."""
    by_cost = None if options["max_cost"] is None else int(options["max_cost"] / options["price"])
    return min((limit for limit in (options["max_calls"], by_cost) if limit is not None), default=None)


def _again(options: dict[str, Any]) -> tuple[Billing, ...]:
    from clova_ocr_async.errors import Billing

    asked = {
        Billing.NOT_BILLED: options["retry_failed"],
        Billing.MAYBE_BILLED: options["retry_ambiguous"],
        Billing.BILLED: options["retry_billed"],
    }
    return tuple(billing for billing, given in asked.items() if given)


_AGAIN = ("retry_billed", "retry_ambiguous")
_FOR_RUNS = ("max_calls", "max_cost", "retry_failed", "retry_ambiguous", "retry_billed", "key_file", "store")


def _check(paths: tuple[str, ...], folder: str | None, options: dict[str, Any]) -> None:
    """Refuse what does not go together, before anything is read.

    Raises:
        ConfigurationError: An option needs another one, or excludes it; nothing is given to read; a list is not there.
    """
    from clova_ocr_async.batch.manifest import images_from
    from clova_ocr_async.errors import ConfigurationError

    if wrong := _wrong(paths, folder, options):
        raise ConfigurationError(wrong)
    for manifest in options["manifests"]:
        images_from(manifest)  # opened, and closed again
        if folder is not None and Path(manifest).resolve().parent != Path(folder).resolve():
            _check_unpaid(manifest, options)


def _check_unpaid(manifest: str, options: dict[str, Any]) -> None:
    """Refuse a list of another run's payments, of which this run knows nothing, unless they are to be paid again."""
    from clova_ocr_async.batch.manifest import paid_in, shown_path
    from clova_ocr_async.errors import ConfigurationError

    for count, how, option in zip(paid_in(manifest), ("paid", "perhaps paid"), _AGAIN, strict=True):
        if count and not options[option]:
            raise ConfigurationError(
                f"{shown_path(manifest)} lists {count:,} images that are {how} for, and this run would pay them again; "
                f"use the run they are of, or give --{option.replace('_', '-')}"
            )


def _wrong(paths: tuple[str, ...], folder: str | None, options: dict[str, Any]) -> str | None:
    if not paths and not options["manifests"]:
        return "nothing to read: give a PATH, or a list of files with --from"
    if folder is None and (given := [name for name in _FOR_RUNS if options[name] not in {None, False}]):
        return f"--{given[0].replace('_', '-')} is for a run directory; give one with --run DIR"
    if options["max_cost"] is not None and options["price"] is None:
        return "--max-cost needs --price, what a call costs on your plan"
    if folder is not None or options["dry_run"]:
        return _wrong_for_runs(paths, folder, options)
    return "--price is for --run or --dry-run" if options["price"] is not None else None


def _wrong_for_runs(paths: tuple[str, ...], folder: str | None, options: dict[str, Any]) -> str | None:
    if options["output"] is not None:
        return (
            "-o is for lines, and a dry run writes none"
            if options["dry_run"]
            else f"with --run the results are in {folder}; write them with: clova-ocr export {folder} -o FILE"
        )
    if "-" in paths:
        return "-: standard input cannot be read again when a run is resumed; give a file"
    return None
