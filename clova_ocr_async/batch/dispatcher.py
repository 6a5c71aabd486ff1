"""Many images through one client: workers pull, call, and hand out, each as fast as the slowest of the three.

A batch runs in a task of its own, which holds the task group of the workers. So no cancel scope is open in the
caller's task: what the caller's body raises comes out as it is, and the batch may be left in another task than it was
entered in.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Generic, Self, cast, overload

from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.batch.sources import EXHAUSTED, opened
from clova_ocr_async.client.journal import NoJournal
from clova_ocr_async.client.tasks import ended
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.documents.recognition import DocumentT
from clova_ocr_async.errors import ClovaOCRError, ConfigurationError, NotSentError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable

    from clova_ocr_async.client.client import ClovaOCRClient
    from clova_ocr_async.client.journal import Attempt
    from clova_ocr_async.client.reading import ImageSource
    from clova_ocr_async.documents.base import Document

__all__ = ["Batch", "BatchDispatcher"]

logger = logging.getLogger("clova_ocr_async")

_WORKERS = 32
_AHEAD = 200
_END: Any = object()


class BatchDispatcher:
    """Sends many images through a client.

    Args:
        client: Calls; it stays the caller's to close.
        concurrency: Images in work at once, waiting for a slot included; 32 if not given. How many calls fly at once is
            for the client's slots to say.
        ahead: Most images pulled and not yet handed out.

    Raises:
        ConfigurationError: A number is no whole number from 1.
    """

    def __init__(self, client: ClovaOCRClient, concurrency: int | None = None, *, ahead: int = _AHEAD) -> None:
        if not hasattr(client, "recognize"):
            raise ConfigurationError(f"client is a {type(client).__name__}; it must be a ClovaOCRClient")
        self._client = client
        self._concurrency = _checked("concurrency", _WORKERS if concurrency is None else concurrency)
        self._ahead = max(_checked("ahead", ahead), self._concurrency)

    @overload
    def dispatch(
        self,
        images: Iterable[ImageSource] | AsyncIterable[ImageSource],
        document: type[DocumentT],
        *,
        ordered: bool = False,
    ) -> Batch[DocumentT]: ...

    @overload
    def dispatch(
        self,
        images: Iterable[tuple[ImageSource, type[Document]]] | AsyncIterable[tuple[ImageSource, type[Document]]],
        document: None = None,
        *,
        ordered: bool = False,
    ) -> Batch[Document]: ...

    def dispatch(self, images: Any, document: type[Any] | None = None, *, ordered: bool = False) -> Batch[Any]:
        """Return a batch to open with ``async with`` and read with ``async for``.

        Args:
            images: Any iterable or async iterable of images; of pairs of image and document class if ``document`` is
                not given. It is pulled from only as outcomes are taken.
            document: The class of all the images.
            ordered: Hand out in the order of the images; else as they finish.

        Raises:
            TypeError: ``images`` is a single image or path, or cannot be iterated.
            ConfigurationError: No domain of the client reads the document.
        """
        if document is not None:
            self._client.serving(document)
        return Batch(self._client, opened(images), document, self._concurrency, self._ahead, ordered=ordered)


def _checked(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} is {value!r}; it must be a whole number from 1")
    return value


class Batch(Generic[DocumentT]):
    """A batch under way: an async context manager, and in it an async iterator of outcomes.

    Every image that was pulled comes out once, as Success or Failure. What the iterable of images raises is raised here
    when all that was pulled before has come out. Leaving early pulls no more, cancels what is under way, and logs what
    is lost by that.

    An error that every other image would meet as well (a rejected secret, a wrong domain, a spent quota) ends the
    pulling: what was pulled comes out, as NotSentError where nothing was sent yet, then the iteration ends, and
    ``stopped`` holds the error.

    Attributes:
        stopped: Why the pulling ended before the images did; None if it did not.
    """

    def __init__(
        self,
        client: ClovaOCRClient,
        source: Any,
        document: type[DocumentT] | None,
        workers: int,
        ahead: int,
        *,
        ordered: bool,
    ) -> None:
        self.stopped: ClovaOCRError | None = None
        self._client = client
        self._source = source
        self._document = document
        self._workers = workers
        self._permits = asyncio.Semaphore(ahead)
        self._outcomes: asyncio.Queue[Any] = asyncio.Queue()
        self._ordered = ordered
        self._early: dict[int, Outcome[DocumentT] | None] = {}
        self._pulled = self._finished = self._taken = 0
        self._next = 0
        self._over = False
        self._failure: Exception | None = None
        self._runner: asyncio.Task[None] | None = None
        self._until_stopped = _UntilStopped(self)

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("a batch is opened once; dispatch another")
        self._runner = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if self._runner is None:
            return
        self._tell_what_is_lost()
        self._over = True
        self._runner.cancel()
        quietly = kind is not None
        try:
            await ended(self._runner)
        except asyncio.CancelledError:
            quietly = True
            raise
        finally:
            self._outcomes.put_nowait(_END)  # a batch left at once has never run
            await self._close(quietly=quietly)

    def _tell_what_is_lost(self) -> None:
        untaken, cut_off = self._finished - self._taken, self._pulled - self._finished
        if untaken or cut_off:
            logger.warning(
                "the batch was left early: %d finished outcomes are lost, and %d images are cut off, some perhaps paid",
                untaken,
                cut_off,
            )

    async def _close(self, *, quietly: bool) -> None:
        """Close the source; what it raises then must not hide why the batch is left."""
        try:
            await self._source.close()
        except Exception:
            if not quietly:
                raise
            logger.exception("the iterable of images failed while it was closed")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome[DocumentT]:
        if self._runner is None:
            raise RuntimeError("open the batch first: async with dispatcher.dispatch(…) as outcomes")
        outcome = await self._outcomes.get()
        if outcome is _END:
            self._outcomes.put_nowait(_END)  # for whoever asks again
            if self._failure is not None:
                raise self._failure
            raise StopAsyncIteration
        self._permits.release()
        self._taken += 1
        return cast("Outcome[DocumentT]", outcome)

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._work())
        finally:
            self._outcomes.put_nowait(_END)

    async def _work(self) -> None:
        while True:
            await self._permits.acquire()
            item = EXHAUSTED if self._over else await self._pull()
            if item is EXHAUSTED:
                self._over = True
                self._permits.release()  # for the next worker, which ends as well
                return
            number = self._pulled
            self._pulled += 1
            outcome = await self._outcome(*item)
            self._finished += 1
            if outcome is None:
                self._taken += 1
            self._hand_out(number, outcome)

    async def _pull(self) -> Any:
        try:
            item = await self._source.pull()
            if item is EXHAUSTED:
                return item
            return (item, self._document) if self._document is not None else _pair(item)
        except Exception as error:  # noqa: BLE001 - whatever the source raises is the caller's
            self._fail(error)
            return EXHAUSTED

    def _fail(self, error: Exception) -> None:
        """Pull no more, and raise an error when all that was pulled has come out."""
        self._failure = self._failure or error
        self._over = True
        self._source.stop()

    async def _outcome(self, source: Any, document: Any) -> Outcome[DocumentT] | None:
        try:
            if self._document is None and (unserved := self._unserved(document)) is not None:
                return Failure(source, unserved)
            recognition = await self._client.recognize(source, document, lane="batch", journal=self._until_stopped)
            return Success(source, recognition)
        except ClovaOCRError as error:
            return Failure(source, self._judged(error))
        except Exception as error:  # noqa: BLE001 - of slots, transports or images of the caller's own
            self._fail(error)
            return None

    def _unserved(self, document: Any) -> ConfigurationError | None:
        """Return what is wrong with the class of one pair, which is no reason to stop the others."""
        try:
            self._client.serving(document)
        except ConfigurationError as error:
            return error
        return None

    def stop(self, reason: ClovaOCRError) -> None:
        """Pull no more images and send no other request; what is under way lands and comes out.

        Args:
            reason: Why; the first one given stays in ``stopped``, and every image that is not sent any more names it.
        """
        if self.stopped is None:
            self.stopped = reason
            self._over = True
            self._source.stop()

    def _judged(self, error: ClovaOCRError) -> ClovaOCRError:
        """Stop the batch by an error that all would meet; what was stopped before it was sent is told as that."""
        if not error.stops_run:
            return error
        if self.stopped is None:
            self.stop(error)
            logger.warning("the batch stops pulling images: %s", error)
            return error
        return error if error.attempts else NotSentError(self.stopped)

    def _hand_out(self, number: int, outcome: Outcome[DocumentT] | None) -> None:
        """Hand an outcome out, in the order of the images if that is wanted; None only keeps a place."""
        self._early[number if self._ordered else self._next] = outcome
        while self._next in self._early:
            ready = self._early.pop(self._next)
            self._next += 1
            if ready is not None:
                self._outcomes.put_nowait(ready)


class _UntilStopped(NoJournal):
    """Lets requests leave until the batch is stopped: what others would meet as well is not paid for again."""

    def __init__(self, batch: Batch[Any]) -> None:
        self._batch = batch

    async def sending(self, attempt: Attempt) -> None:  # noqa: ARG002 - any attempt of any image
        """Let it leave, or say why it does not."""
        if self._batch.stopped is not None:
            raise NotSentError(self._batch.stopped)


def _pair(item: Any) -> tuple[Any, Any]:
    match item:
        case (source, type() as document) if document in DOCUMENTS.values():
            return source, document
        case _:
            raise TypeError(
                f"images yielded a {type(item).__name__}; without a document class for all of them "
                "each must be a pair (image, DocumentClass)"
            )
