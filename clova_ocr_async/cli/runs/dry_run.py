"""Dry runs: the calls that a batch would send, and their cost, counted without sending or writing anything."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clova_ocr_async.batch.hashing import FileHashes, file_at, hash_now
from clova_ocr_async.batch.sources.listed_image import FoundImage, ListedImage
from clova_ocr_async.cli.exit_codes import exit_code
from clova_ocr_async.cli.terminal.dry_run_counts import DryRunCounts
from clova_ocr_async.cli.terminal.phrases import wrong_folder
from clova_ocr_async.cli.terminal.stderr import echo_lines, echo_stderr, printable
from clova_ocr_async.client.preparing import check_decoder
from clova_ocr_async.errors import Billing, ConfigurationError, ImageError
from clova_ocr_async.host.paths import alternate_path, normalize_path
from clova_ocr_async.ledger.opening import open_view, run_exists
from clova_ocr_async.ledger.settlement import is_requeued
from clova_ocr_async.ledger.states import FINISHED, Entry, State
from clova_ocr_async.server_url import ServerURL

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
    from decimal import Decimal

    from clova_ocr_async.cli.exit_codes import ExitCode
    from clova_ocr_async.cli.runs.inputs import Search
    from clova_ocr_async.client.loading import ImageLoader
    from clova_ocr_async.client.preparing import OpenedImage
    from clova_ocr_async.ledger.opening import RunLocation
    from clova_ocr_async.ledger.run_settings import CallLimit
    from clova_ocr_async.ledger.states import Item
    from clova_ocr_async.ledger.storage import RunView

__all__ = ["DryRun", "dry_run", "is_new"]

_BLOCK = 64  # files that are looked up at one moment of the run, and between two iterations of the event loop
_HASH_BYTES = 8  # two of a million images share these bytes with a chance of one in tens of millions


class DryRun:
    """Counts what a batch would do with each file.

    Args:
        documents: The vendor's path words of the documents of all images; the first one is that of an image that names
            none.
        reader: Reads the run; None without a run, or if it is still empty.
        once: Whether the same bytes are paid once, as in a run.
        retry_billings: Images that were not read are sent again if their billing is one of these.
        loader: Reads and checks the images, as that of a client does.

    Attributes:
        counts: The files and calls so far.
    """

    def __init__(
        self,
        documents: Sequence[str],
        reader: RunView | None,
        *,
        once: bool,
        retry_billings: Collection[Billing] = (),
        loader: ImageLoader,
    ) -> None:
        self.counts = DryRunCounts()
        self._documents = tuple(documents)
        self._reader = reader
        self._once = once
        self._retry_billings = retry_billings
        self._loader = loader
        self._hashes = FileHashes()
        self._seen: set[int] = set()

    async def add(self, found: Iterable[FoundImage]) -> None:
        """Count the images that a batch would process, each by what it would do with it."""
        images = self._images(found)
        while block := list(islice(images, _BLOCK)):
            await self._add_block([image for image in block if image is not None])
            await asyncio.sleep(0)  # a signal is handled

    def _images(self, found: Iterable[FoundImage]) -> Iterator[ListedImage | None]:
        """Yield the images that a batch would process: those left in the run, then those that are found besides.

        In a run a file, or a page of it, is one image, however many paths lead to it; None is yielded in place of a
        repeated one.
        """
        if not self._once:
            yield from map(self._listed, found)
            return
        here = os.fsencode(Path.cwd())
        before: set[int] = set()
        # Those left come first, as in a batch: of two names of the same bytes the later one is the duplicate.
        for image in chain(self._left(), map(self._listed, found)):
            path = normalize_path(os.fsencode(image.path))
            spellings = frozenset({path, alternate_path(path, here) or path})
            # A number in place of the names, of which a folder may have millions.
            key = hash((spellings, image.page, image.document))
            repeated = key in before
            before.add(key)
            yield None if repeated else replace(image, path=os.fsdecode(path))

    def _left(self) -> Iterator[ListedImage]:
        if self._reader is not None:
            for document in self._documents:
                for left in self._reader.to_read(document, self._retry_billings):
                    yield ListedImage(os.fsdecode(left.path), left.page, document)

    def _listed(self, found: FoundImage) -> ListedImage:
        image = found if isinstance(found, ListedImage) else ListedImage(os.fspath(found))
        return image if image.document is not None else replace(image, document=self._documents[0])

    async def _add_block(self, images: Sequence[ListedImage]) -> None:
        for image, reason in zip(images, self._known_reasons(images), strict=True):
            self.counts.found += 1
            if reason is None:
                await self._add_read(image)
            else:
                self.counts.not_sent[reason] += 1

    def _known_reasons(self, images: Sequence[ListedImage]) -> list[str | None]:
        """Return why files that are as they were when they were read are not sent; None for each that must be read.

        They are known by their stamps, as in a batch: a run of a million finished files is counted without reading one.
        """
        if self._reader is None:
            return [None] * len(images)
        # One look at the run for all of them: a look for each takes longer than the search itself.
        with self._reader.snapshot():
            return [self._known_reason(self._reader, image) for image in images]

    def _known_reason(self, reader: RunView, image: ListedImage) -> str | None:
        file = file_at(image.path, image.page)
        entry = None if file is None else reader.recall(file, _word(image))
        return None if entry is None else self._reason_not_sent(entry)

    async def _add_read(self, image: ListedImage) -> None:
        """Count an image that must be read to be known."""
        try:
            item, entry, is_assumed = await self._read(image)
        except ImageError as error:
            self.counts.skip(image.path, image.page, str(error))
            return
        reason = None if entry is None else self._reason_not_sent(entry)
        number = hash((int.from_bytes(item.sha256[:_HASH_BYTES]), item.document, item.page, item.recipe))
        if reason is None and number in self._seen:
            reason = "duplicates"
        if reason is not None:
            self.counts.not_sent[reason] += 1
        # Without a run no ledger remembers the bytes, so each copy is paid.
        if reason is None or not self._once:
            self.counts.billable += 1
            self.counts.assumed += is_assumed
            self._seen.add(number)
            if entry is not None and entry.state in FINISHED:
                self.counts.billed_before[entry.billing] += 1

    async def _read(self, image: ListedImage) -> tuple[Item, Entry | None, bool]:
        """Return what is billed once for an image, its entry in the ledger, and whether its preparation was not tried.

        Files are read in the event loop, because nothing else runs in it, and a thread for each would cost more.

        Raises:
            ImageError: The image cannot be sent.
        """
        await asyncio.sleep(0)  # a signal is handled between two files that are read
        hashed = hash_now(image.source, self._loader.limits, self._loader.preparation, self._hashes)
        item = hashed.item(_word(image))
        entry = None if self._reader is None else self._reader.find(item)
        is_sent = entry is None or self._reason_not_sent(entry) is None
        return item, entry, is_sent and not await self._is_checked(hashed.opened)

    async def _is_checked(self, opened: OpenedImage) -> bool:
        """Refuse an image that cannot be sent, and return True.

        Return False if only its preparation would show that, which is left out: it takes a large part of a second.
        """
        if opened.refusal is not None:
            raise opened.refusal
        # Cutting a page is cheap and finds damaged ones; rendering one takes as long as a conversion.
        preparation = self._loader.preparation
        is_rendered = opened.page is not None and preparation is not None and preparation.render
        if opened.plan is not None or is_rendered:
            check_decoder(opened)
            return False
        await self._loader.make(opened)
        return True

    def _reason_not_sent(self, entry: Entry) -> str | None:
        """Return the reason why an image of the ledger is not sent; None if it is sent."""
        # The view has projected the entry: it is as the next batch will find it, and as that will requeue it.
        if entry.state is State.SENT:
            return "in flight"
        if entry.state is State.SUCCEEDED:
            return "answered already"
        if entry.state not in FINISHED or is_requeued(entry, self._retry_billings):
            return None
        if entry.billing is Billing.MAYBE_BILLED:
            return "ambiguous"
        if entry.state is State.SKIPPED:
            return "refused before"
        return "failed, billed" if entry.billing is Billing.BILLED else "failed, not billed"


def _word(image: ListedImage) -> str:
    return str(image.document)


async def dry_run(
    documents: Sequence[str],
    found: Iterable[FoundImage],
    *,
    run: RunLocation | None,
    retry_billings: Collection[Billing],
    max_calls: CallLimit | None,
    price: Decimal | None,
    loader: ImageLoader,
    search: Search,
) -> ExitCode:
    """Print on standard output what a batch would do.

    Args:
        documents: The vendor's path words of the documents of all images.
        found: Yields the images.
        run: The location of the run; None without one.
        retry_billings: Images that were not read are sent again if their billing is one of these.
        max_calls: Most calls over the whole life of the run; "none" for any number, None for the run's own limit.
        price: KRW per call; None if it is not known.
        loader: Reads and checks the images, as that of a client does.
        search: The search that finds the files, for its remarks.
    """
    with _opened(run) as reader:
        dry = DryRun(
            documents,
            reader,
            once=run is not None,
            retry_billings=retry_billings,
            loader=loader,
        )
        await dry.add(found)
        status = None if reader is None else reader.status()
    kept, used = (None, 0) if status is None else (status.max_calls, status.calls)
    most = kept if max_calls is None else None if max_calls == "none" else max_calls
    for line in dry.counts.lines(once=run is not None, used=used, max_calls=most, price=price):
        click.echo(printable(line))
    if not dry.counts.found:
        echo_stderr(search.absence(), even_when_quiet=True)
    echo_lines(search.remarks())
    return exit_code(found=dry.counts.found > 0)


@contextlib.contextmanager
def _opened(run: RunLocation | None) -> Generator[RunView | None]:
    if run is None or is_new(run):
        yield None
        return
    with open_view(run) as reader:
        if (start := reader.other_base_folder(str(Path.cwd()))) is not None:
            raise ConfigurationError(wrong_folder(run, start))
        yield reader


def is_new(run: RunLocation) -> bool:
    """Return whether a batch would begin a run there."""
    if isinstance(run, ServerURL):
        return not run_exists(run)
    if not os.path.lexists(run):
        return True
    # If the folder cannot be read, opening the run names the error.
    return Path(run).is_dir() and os.access(run, os.R_OK) and next(Path(run).iterdir(), None) is None
