"""Iterables as sources, from which a batch pulls its images."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from clova_ocr_async.host.tasks import wait_shielded
from clova_ocr_async.protocol.image import Image

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable

__all__ = ["EXHAUSTED", "SINGLE_IMAGES", "AsyncSource", "Source", "SyncSource", "open_source"]

SINGLE_IMAGES = (str, os.PathLike, bytes, bytearray, memoryview, Image)
"""The types of images, some of which can be iterated too."""

EXHAUSTED: Any = object()
"""The return value of ``pull`` when there is nothing left."""

_CANCELLED_ITSELF = "the iterable of images was cancelled from within"


@runtime_checkable
class Source(Protocol):
    """A source of images, or of pairs of image and document class."""

    async def pull(self) -> Any:
        """Return the next item, or EXHAUSTED; raise what the iterable raises."""
        ...

    def stop(self) -> None:
        """Pull no more; a ``pull`` that waits returns EXHAUSTED."""
        ...

    async def close(self) -> None:
        """Close the iterable if it is a generator, and raise what it raises then."""
        ...


def open_source(images: object) -> Source:
    """Return the source of an iterable or async iterable.

    Raises:
        TypeError: It is neither, or is a single path, image or file.
    """
    if isinstance(images, Source):
        return images
    kind = type(images).__name__
    # A file can be iterated too, but its lines are not images.
    if isinstance(images, SINGLE_IMAGES) or hasattr(images, "read"):
        raise TypeError(
            f"images is a {kind}; it must be an iterable of images. "
            "For the pictures of a folder use images_in(folder, recursive=True), for one image client.recognize"
        )
    if hasattr(images, "__aiter__"):
        return AsyncSource(cast("AsyncIterable[Any]", images))
    if hasattr(images, "__iter__"):
        return SyncSource(cast("Iterable[Any]", images))
    raise TypeError(f"images is a {kind}; it must be an iterable or an async iterable of images")


class SyncSource:
    """Pulls from an iterable, in the task of the caller."""

    def __init__(self, images: Iterable[Any]) -> None:
        self._iterator = iter(images)

    async def pull(self) -> Any:
        """Return the next item."""
        # In the loop and not in a thread: the iterable may be tied to its thread, as the cursor of a database is.
        try:
            return next(self._iterator, EXHAUSTED)
        except asyncio.CancelledError:
            # Such as the result of a cancelled task: it would end this worker alone, and the batch without the rest.
            raise RuntimeError(_CANCELLED_ITSELF) from None

    def stop(self) -> None:
        """Do nothing: a pull never waits."""

    async def close(self) -> None:
        """Close a generator."""
        if (close := getattr(self._iterator, "close", None)) is not None:
            close()


class AsyncSource:
    """Pulls from an async iterable, always in one and the same task.

    Async generators may hold timeouts and task groups open over a yield, and those work in one task only.

    Attributes:
        dropped: Items that the iterable yielded when no pull waited for them any more.
    """

    def __init__(self, images: AsyncIterable[Any]) -> None:
        self._iterator = aiter(images)
        self._one_pulls = asyncio.Lock()
        # One request at a time, so that no item is pulled that no worker has room for.
        self._requests: asyncio.Queue[asyncio.Future[Any]] = asyncio.Queue(1)  # futures for the next item
        self._waiting: asyncio.Future[Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._closing = False
        self.dropped: list[Any] = []

    async def pull(self) -> Any:
        """Return the next item."""
        async with self._one_pulls:
            if self._stopped:
                return EXHAUSTED
            if self._task is None:
                self._task = asyncio.create_task(self._serve())
            self._waiting = asyncio.get_running_loop().create_future()
            self._requests.put_nowait(self._waiting)
            try:
                return await self._waiting
            except asyncio.CancelledError:
                self._keep_dropped(self._waiting)
                raise

    def _keep_dropped(self, answer: asyncio.Future[Any]) -> None:
        """Keep an item that came just as its waiter was cancelled."""
        if answer.done() and not answer.cancelled() and answer.exception() is None and answer.result() is not EXHAUSTED:
            self.dropped.append(answer.result())

    def stop(self) -> None:
        """Pull no more, even if the iterable never yields again."""
        self._stopped = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(EXHAUSTED)

    async def close(self) -> None:
        """End the task, in which a generator is closed."""
        self._stopped = True
        if self._task is None:
            return
        if not self._closing:  # a cancellation would cut off the generator's own cleanup
            self._task.cancel()
        await wait_shielded(self._task)
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error

    async def _serve(self) -> None:
        try:
            while not self._stopped:
                await self._answer_request(await self._requests.get())
        finally:
            self._closing = True
            self.stop()  # also for a pull that would wait for ever: more than an Exception has ended the iterable
            if (close := getattr(self._iterator, "aclose", None)) is not None:
                await close()

    async def _answer_request(self, answer: asyncio.Future[Any]) -> None:
        item: Any = EXHAUSTED
        try:
            item = await anext(self._iterator)
        except StopAsyncIteration:
            self._stopped = True
        except (Exception, asyncio.CancelledError) as error:
            self._stopped = True
            if answer.done():  # no pull waits for it any more: the batch is being left
                raise
            # A cancellation that the iterable raises itself must not pass for one of the task that pulls.
            own = isinstance(error, asyncio.CancelledError)
            failure = RuntimeError(_CANCELLED_ITSELF) if own else error
            answer.set_exception(failure)
            return
        if not answer.done():
            answer.set_result(item)
        elif item is not EXHAUSTED:
            self.dropped.append(item)
