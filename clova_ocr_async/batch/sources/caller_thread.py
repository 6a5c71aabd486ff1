"""An iterable as a source, read in the thread of a caller that waits for outcomes."""

from __future__ import annotations

import asyncio
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, cast

from clova_ocr_async.batch.sources.iterables import EXHAUSTED, SINGLE_IMAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CallerThreadSource"]

_CONTAINERS = (list, tuple, set, frozenset)  # they may be read in any thread, and ahead of the consumer


class CallerThreadSource:
    """A source of images that reads its iterable in the thread that takes the outcomes.

    The iterable may be tied to that thread, as the cursor of a database is, and Django's models refuse to work in a
    thread with an event loop.

    Attributes:
        inbox: Requests for the next item, to be answered by ``serve``.
        dropped: Items that were read when no worker waited for them any more.
    """

    def __init__(self, images: Iterable[Any]) -> None:
        self._iterator = iter(images)
        self._waiting: set[asyncio.Future[Any]] = set()
        self._stopped = False
        self.inbox: SimpleQueue[Any] = SimpleQueue()  # the consumer puts its own requests into it as well
        self.dropped: list[Any] = []

    @classmethod
    def of(cls, images: object) -> CallerThreadSource | None:
        """Return the source of an iterable; None for a container, and for anything else than an iterable of images."""
        if isinstance(images, (*_CONTAINERS, *SINGLE_IMAGES)) or hasattr(images, "read") or hasattr(images, "pull"):
            return None
        return cls(cast("Iterable[Any]", images)) if hasattr(images, "__iter__") else None

    async def pull(self) -> Any:
        """Return the next item."""
        if self._stopped:
            return EXHAUSTED
        answer = asyncio.get_running_loop().create_future()
        self._waiting.add(answer)
        self.inbox.put(answer)
        try:
            return await answer
        finally:
            self._waiting.discard(answer)

    def stop(self) -> None:
        """Pull no more."""
        self._stopped = True
        for answer in self._waiting:
            if not answer.done():
                answer.set_result(EXHAUSTED)

    async def close(self) -> None:
        """Pull no more; the iterable is closed in its own thread."""
        self.stop()

    def serve(self, answer: asyncio.Future[Any]) -> None:
        """Answer a request with the next item, in the thread of the caller."""
        item, error = EXHAUSTED, None
        try:
            item = next(self._iterator, EXHAUSTED)
        except Exception as raised:  # noqa: BLE001 - the batch raises it when the images before it have come out
            error = raised
        answer.get_loop().call_soon_threadsafe(self._deliver, answer, item, error)

    def _deliver(self, answer: asyncio.Future[Any], item: Any, error: Exception | None) -> None:
        if answer.done():  # the batch is being left
            if item is not EXHAUSTED:
                self.dropped.append(item)
        elif error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(item)

    def close_iterable(self) -> None:
        """Close a generator."""
        if (close := getattr(self._iterator, "close", None)) is not None:
            close()
