"""Batches, and the sources that tests run them on."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from clova_ocr_async.batch import Batch, BatchDispatcher
from clova_ocr_async.batch.batch import LedgerSession
from clova_ocr_async.batch.direct import DirectReader
from clova_ocr_async.batch.intake import Intake
from clova_ocr_async.batch.ledgered import LedgeredReader
from clova_ocr_async.batch.outbox import Outbox
from clova_ocr_async.batch.sources.iterables import open_source
from clova_ocr_async.batch.stop import StopSwitch
from clova_ocr_async.batch.unfinished import UnfinishedFiles
from clova_ocr_async.batch.workers import Workers
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.protocol.image import Image
from support.fakes import JPEG, FakeTime, FakeTransport, domain

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

    from clova_ocr_async.batch.images_in_work import Reader
    from clova_ocr_async.batch.window import Window
    from clova_ocr_async.ledger.sqlite import SqliteLedger


def dispatcher(transport: FakeTransport | None = None, concurrency: int | None = 4, **settings: Any) -> BatchDispatcher:
    """Return a dispatcher over a fake transport."""
    client = ClovaOCRClient(
        domain(), transport=transport or FakeTransport(), runtime=FakeTime().runtime(), concurrency=4
    )
    return BatchDispatcher(client, concurrency, **settings)


def pictures(count: int | None = None) -> Iterator[Image]:
    """Yield pictures with different names; without a count, without an end."""
    for number in itertools.count() if count is None else range(count):
        yield Image(JPEG, f"{number}")


def tasks() -> int:
    """Count the tasks of the loop."""
    return len(asyncio.all_tasks())


def names(outcomes: list[Any]) -> list[str]:
    """Return the names of the images, in the order of their outcomes."""
    return [outcome.source.name for outcome in outcomes]


class Source:
    """A generator of pictures that counts its pulls and notes its closing."""

    def __init__(self, count: int | None = None, error: Exception | None = None) -> None:
        self.count, self.error = count, error
        self.pulled = 0
        self.closed = False

    def __iter__(self) -> Generator[Image]:
        try:
            for image in pictures(self.count):
                self.pulled += 1
                yield image
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True

    async def asynchronously(self) -> AsyncGenerator[Image]:
        """Yield the same, always in one task."""
        task = asyncio.current_task()
        images = iter(self)
        try:
            async with asyncio.timeout(1000):  # works in one task only
                for image in images:
                    assert asyncio.current_task() is task
                    await asyncio.sleep(0)
                    yield image
        finally:
            assert asyncio.current_task() is task
            await asyncio.sleep(0)
            images.close()


def both(source: Source, kind: str) -> Any:
    """Return a source as an iterable of a kind."""
    return iter(source) if kind == "sync" else source.asynchronously()


either = pytest.mark.parametrize("kind", ["sync", "async"])


class Countdown:
    """An asynchronous iterator without aclose."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __aiter__(self) -> Countdown:
        return self

    async def __anext__(self) -> Image:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return Image(JPEG, f"{self.left}")


def batch_of(
    client: ClovaOCRClient,
    images: Any,
    window: Window,
    *,
    ledger: SqliteLedger | None = None,
    owned: bool = False,
    unfinished: UnfinishedFiles | None = None,
    ordered: bool = False,
    listed: bool = False,
) -> Batch[Receipt]:
    """Return a batch of receipts, as a dispatcher makes it, with these parts."""
    stop, outbox = StopSwitch(), Outbox[Receipt](ordered=ordered)
    intake = Intake(open_source(images), Receipt, client, window, stop)
    unfinished = unfinished or UnfinishedFiles(Runtime())
    reader: Reader
    if ledger is None:
        reader, session = DirectReader(client, stop, unfinished, {}), None
    else:
        reader = LedgeredReader(client, ledger, stop, unfinished, {}, listed=listed)
        session = LedgerSession(ledger, ["local"], owned=owned)
    return Batch(intake, Workers(intake, reader, outbox, stop), outbox, stop, session)
