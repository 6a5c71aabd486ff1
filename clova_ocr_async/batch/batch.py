"""A batch under way: workers pull, read, and hand out, each as fast as the slowest of the three.

It runs in a task of its own, which holds the task group of the workers. So no cancel scope is open in the caller's
task: what the caller's body raises comes out as it is, and the batch may be left in another task than it was entered.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVarTuple, Unpack, cast

from clova_ocr_async.batch.flights import CalledBackError, Flights
from clova_ocr_async.batch.outcome import Failure, Outcome
from clova_ocr_async.batch.reader import Later
from clova_ocr_async.batch.sources import EXHAUSTED
from clova_ocr_async.client.tasks import ended
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.documents.recognition import DocumentT
from clova_ocr_async.errors import ClovaOCRError, ConfigurationError, NotSentError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clova_ocr_async.batch.ledger import Ledger
    from clova_ocr_async.batch.reader import Flight, Reader
    from clova_ocr_async.batch.recorder import Recorder
    from clova_ocr_async.client.client import ClovaOCRClient

__all__ = ["Batch"]

logger = logging.getLogger("clova_ocr_async")

Ts = TypeVarTuple("Ts")

_END: Any = object()


class Batch(Generic[DocumentT]):
    """A batch under way: an async context manager, and in it an async iterator of outcomes.

    Every image that was pulled comes out once, as Success or Failure. What the iterable of images raises is raised here
    when all that was pulled before has come out. Leaving early pulls no more. With a ledger, what is under way lands
    then and is written down; by an exception or a cancellation it is cancelled at once, and written down as in doubt.
    Without one it is cancelled, and what is lost by that is logged.

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
        self._flights = Flights()
        self._halted: ClovaOCRError | None = None
        self._cut_off = False
        self.reader: Reader
        self._record: _Record | None = None

    def record(self, recorder: Recorder, services: list[str], *, own_ledger: bool) -> None:
        """Have the images read through a ledger.

        Args:
            recorder: Reads them.
            services: Who will be asked.
            own_ledger: Whether to open and close it.
        """
        self.reader = recorder
        self._record = _Record(recorder.ledger, services, own=own_ledger)

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("a batch is opened once; dispatch another")
        if self._record is not None:
            await self._record.open()
        self._runner = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if self._runner is None:
            return
        quietly = kind is not None
        try:
            await self._end(quietly=quietly)
        except asyncio.CancelledError:
            quietly = True
            raise
        finally:
            await self._close(quietly=quietly)

    async def _end(self, *, quietly: bool) -> None:
        try:
            if self._record is None:
                self._tell_what_is_lost()
            elif not quietly:
                await self._land()
        finally:
            await self._cancel()

    async def _land(self) -> None:
        """Pull no more, send no more, and wait until what is under way is written down."""
        assert self._runner is not None  # noqa: S101 - only an open batch is left
        self._halt(NotSentError())
        self._permits.release()  # whoever waits for the consumer ends, and lets the next one end
        await asyncio.wait([self._runner])

    async def _cancel(self) -> None:
        assert self._runner is not None  # noqa: S101 - only an open batch is left
        self._over = True
        self._cut_off = True
        self._runner.cancel()
        try:
            await ended(self._runner)
        finally:
            self._outcomes.put_nowait(_END)  # a batch left at once has never run

    def _tell_what_is_lost(self) -> None:
        untaken, cut_off = self._finished - self._taken, self._pulled - self._finished
        if untaken or cut_off:
            logger.warning(
                "the batch was left early: %d finished outcomes are lost, and %d images are cut off, some perhaps paid",
                untaken,
                cut_off,
            )

    async def _close(self, *, quietly: bool) -> None:
        """Close the source, then the ledger; what the source raises then must not hide why the batch is left."""
        try:
            await self._source.close()
        except Exception as error:
            if not quietly:
                raise
            if isinstance(error, ClovaOCRError):  # a full disk says all with its message
                logger.warning("the iterable of images failed while it was closed: %s", error)
            else:
                logger.exception("the iterable of images failed while it was closed")
        finally:
            if self._record is not None:
                await self._record.close()

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
                    group.create_task(self._work(group))
        finally:
            self._outcomes.put_nowait(_END)

    async def _work(self, group: asyncio.TaskGroup) -> None:
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
            if isinstance(outcome, Later):  # somebody else works on it, which must not keep this worker waiting
                group.create_task(self._finish_later(number, outcome))
            else:
                self._finish(number, outcome)

    async def _finish_later(self, number: int, later: Later) -> None:
        outcome: Outcome[Any] | Later | None = later
        while isinstance(outcome, Later):
            outcome = await self._guarded(outcome.source, outcome.after)
        self._finish(number, outcome)

    def _finish(self, number: int, outcome: Outcome[Any] | None) -> None:
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

    async def _outcome(self, source: Any, document: Any) -> Outcome[Any] | Later | None:
        if self._document is None and (unserved := self._unserved(document)) is not None:
            return Failure(source, unserved)
        return await self._guarded(source, self.reader.take, source, document)

    async def _guarded(
        self, source: Any, read: Callable[[Unpack[Ts], Flight], Awaitable[Outcome[Any] | Later]], *what: *Ts
    ) -> Outcome[Any] | Later | None:
        try:
            return await self._flights.run(read, *what)
        except CalledBackError:
            return Failure(source, NotSentError(self._halted))
        except ClovaOCRError as error:  # of the ledger
            return Failure(source, self.judged(error))
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
            self._halt(reason)

    def _halt(self, reason: ClovaOCRError) -> None:
        self._halted = self._halted or reason
        self._over = True
        self._source.stop()
        self._flights.call_back()

    def may_send(self) -> None:
        """Raise what keeps another request from leaving."""
        if self._cut_off:
            raise asyncio.CancelledError  # who waits at the ceiling of a ledger does not hear of it otherwise
        if self._halted is not None:
            raise NotSentError(self._halted)

    def judged(self, error: ClovaOCRError) -> ClovaOCRError:
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
        if not self._ordered:
            if outcome is not None:
                self._outcomes.put_nowait(outcome)
            return
        self._early[number] = outcome
        while self._next in self._early:
            ready = self._early.pop(self._next)
            self._next += 1
            if ready is not None:
                self._outcomes.put_nowait(ready)


class _Record:
    """The ledger of a batch, open while the batch is."""

    def __init__(self, ledger: Ledger, services: list[str], *, own: bool) -> None:
        self._ledger = ledger
        self._services = services
        self._own = own

    async def open(self) -> None:
        if self._own:
            await self._ledger.__aenter__()
        try:
            await self._ledger.open_for(self._services)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        if self._own:
            await self._ledger.__aexit__(None, None, None)


def _pair(item: Any) -> tuple[Any, Any]:
    match item:
        case (source, type() as document) if document in DOCUMENTS.values():
            return source, document
        case _:
            raise TypeError(
                f"images yielded a {type(item).__name__}; without a document class for all of them "
                "each must be a pair (image, DocumentClass)"
            )
