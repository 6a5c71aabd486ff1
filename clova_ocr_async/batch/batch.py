"""A batch under way: workers pull, read, and hand out, each as fast as the slowest of the three.

It runs in a task of its own, which holds the task group of the workers. So no cancel scope is open in the caller's
task: what the caller's body raises comes out as it is, and the batch may be left in another task than it was entered.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVarTuple, Unpack

import anyio

from clova_ocr_async.batch.direct import Deferred, ImageInWork
from clova_ocr_async.batch.in_work import ImagesInWork, WithdrawnError
from clova_ocr_async.batch.outbox import Outbox
from clova_ocr_async.batch.outcome import Failure, Outcome
from clova_ocr_async.batch.sources.iterables import EXHAUSTED
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.documents.recognition import DocumentT
from clova_ocr_async.errors import ClovaOCRError, ConfigurationError, NotSentError
from clova_ocr_async.host.tasks import wait_shielded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from clova_ocr_async.batch.direct import Reader
    from clova_ocr_async.batch.intake import Intake, Pulled
    from clova_ocr_async.batch.ledgered import LedgeredReader
    from clova_ocr_async.ledger.storage import Ledger

__all__ = ["Batch"]

logger = logging.getLogger("clova_ocr_async")

Ts = TypeVarTuple("Ts")


class Batch(Generic[DocumentT]):
    """A batch under way: an async context manager, and in it an async iterator of outcomes.

    Every image that was pulled comes out once, as Success or Failure. What the iterable of images raises is raised here
    when all that was pulled before has come out. Leaving early pulls and sends no more, and what was pulled and not
    taken is in ``left_over``. With a ledger, the calls in flight land first and are written down, however the batch is
    left: early, by an exception, by a cancellation such as Ctrl-C. A second cancellation, or one after ``stop``, cuts
    them off; they are written down as ambiguous. Without a ledger they are cut off at once, and the log says how many.

    An error that every other image would meet as well (a rejected secret, a wrong domain, a spent quota) ends the
    pulling: what was pulled comes out, as NotSentError where nothing was sent yet, then the iteration ends, and
    ``stopped`` holds the error.

    Attributes:
        stopped: Why the pulling ended before the images did; None if it did not.
        left_over: Once the batch was left: the outcomes that nobody took, as many as were pulled and not taken. A
            finished image is its Success or Failure; a call that was cut off is a Failure whose ``error.billing`` says
            what it may have cost; an image that was not sent is a Failure with a NotSentError.
    """

    def __init__(self, source: Any, document: type[DocumentT] | None, intake: Intake, *, ordered: bool) -> None:
        self.stopped: ClovaOCRError | None = None
        self.left_over: tuple[Outcome[DocumentT], ...] = ()
        self.reader: Reader
        self._source = source
        self._document = document
        self._intake = intake
        self._outbox: Outbox[DocumentT] = Outbox(ordered=ordered)
        self._flights = ImagesInWork()
        self._failure: Exception | None = None
        self._runner: asyncio.Task[None] | None = None
        self._record: _Record | None = None
        self._halted: NotSentError | None = None
        self._asked_to_end = False
        self._cut_off = False

    def record(self, recorder: LedgeredReader, services: list[str], *, own_ledger: bool) -> None:
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

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._runner is None:
            return
        cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        # The shield is for anyio, whose cancellation comes again at every await, and is one all the same.
        with anyio.CancelScope(shield=True):
            await self._leave(
                lands=self._record is not None and not (cancelled and self._asked_to_end), quietly=kind is not None
            )

    async def _leave(self, *, lands: bool, quietly: bool) -> None:
        try:
            await self._end(lands=lands)
        except asyncio.CancelledError:
            quietly = True
            raise
        finally:
            await self._close(quietly=quietly)

    async def _end(self, *, lands: bool) -> None:
        try:
            if lands:
                await self._land()
        finally:
            await self._cancel()

    async def _land(self) -> None:
        """Pull no more, send no more, and wait until the calls in flight are written down."""
        assert self._runner is not None  # noqa: S101 - only an open batch is left
        self._halt(NotSentError())
        await asyncio.wait([self._runner])

    async def _cancel(self) -> None:
        assert self._runner is not None  # noqa: S101 - only an open batch is left
        self._intake.close()
        self._cut_off = True
        self._runner.cancel()
        try:
            await wait_shielded(self._runner)
        finally:
            self._take_back()
            self._outbox.end()  # a batch left at once has never run

    def _take_back(self) -> None:
        finished, cut_off = self._outbox.left_over()
        self.left_over = (*finished, *cut_off)
        if self.left_over and self._record is None:
            logger.warning(
                "the batch was left early: %d finished outcomes were not taken, and %d images are cut off, some perhaps"
                " paid; left_over names them",
                len(finished),
                len(cut_off),
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
            self.left_over += tuple(self._dropped())
            if self._record is not None:
                await self._record.close()

    def _dropped(self) -> Iterator[Failure]:
        """Yield what the iterable yielded just as the batch was left."""
        for item in getattr(self._source, "dropped", ()):
            match item:
                case (source, _) if self._document is None:
                    yield Failure(source, self._unsent())
                case _:
                    yield Failure(item, self._unsent())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome[DocumentT]:
        if self._runner is None:
            raise RuntimeError("open the batch first: async with dispatcher.dispatch(…) as outcomes")
        ready = await self._outbox.take()
        if ready is None:
            if self._failure is not None:
                raise self._failure
            raise StopAsyncIteration
        image, outcome = ready
        self._intake.hand_out(image)
        return outcome

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._intake.open(lambda: group.create_task(self._work(group)))
                await self._intake.closed.wait()
        finally:
            self._outbox.end()

    async def _work(self, group: asyncio.TaskGroup) -> None:
        while await self._work_on_next(group):
            pass

    async def _work_on_next(self, group: asyncio.TaskGroup) -> bool:
        """Pull an image and work on it, and keep nothing of it; return False if there is none to be pulled."""
        image = await self._intake.pull(self._pull)
        if image is None:
            return False
        self._outbox.expect(image)
        outcome = await self._outcome(image)
        if isinstance(outcome, Deferred):  # which must not keep this worker waiting
            group.create_task(self._finish_later(image, outcome))
        else:
            self._finish(image, outcome)
        return True

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
        self._intake.close()
        self._source.stop()

    async def _outcome(self, image: Pulled) -> Outcome[Any] | Deferred | None:
        flight = ImageInWork(self._flights.landed, self._intake)
        try:
            if self._document is None and (unserved := self._unserved(image.document)) is not None:
                return Failure(image.source, unserved)
            return await self._guarded(image, flight, self.reader.take, image.source, image.document, flight)
        finally:
            self._intake.end(flight.held)

    async def _finish_later(self, image: Pulled, later: Deferred) -> None:
        outcome: Outcome[Any] | Deferred | None = later
        while isinstance(outcome, Deferred):
            flight = ImageInWork(self._flights.landed, self._intake)
            outcome = await self._guarded(image, flight, self._again, outcome, flight)
        self._finish(image, outcome)

    async def _again(self, later: Deferred, flight: ImageInWork) -> Outcome[Any] | Deferred:
        await later.wait()
        await self._intake.come_back()
        try:
            outcome = await later.again(flight)
        finally:
            self._intake.end(flight.held)
        self._intake.look()  # no worker pulls in its place
        return outcome

    def _finish(self, image: Pulled, outcome: Outcome[Any] | None) -> None:
        self._outbox.put(image, outcome)
        if outcome is None:
            self._intake.hand_out(image)

    async def _guarded(
        self,
        image: Pulled,
        flight: ImageInWork,
        read: Callable[[Unpack[Ts]], Awaitable[Outcome[Any] | Deferred]],
        *what: *Ts,
    ) -> Outcome[Any] | Deferred | None:
        try:
            return await self._flights.run(flight, read, *what)
        except WithdrawnError:
            return flight.left or Failure(image.source, self._unsent())
        except asyncio.CancelledError:
            if flight.left is not None:
                self._outbox.cut_off(image, flight.left)
            raise
        except ClovaOCRError as error:  # of the ledger
            return Failure(image.source, self.judged(error))
        except Exception as error:  # noqa: BLE001 - of slots, transports or images of the caller's own
            self._fail(error)
            return None

    def _unsent(self) -> NotSentError:
        return NotSentError(None if self._halted is None else self._halted.reason)

    def _unserved(self, document: Any) -> ConfigurationError | None:
        """Return what is wrong with the class of one pair, which is no reason to stop the others."""
        try:
            self._intake.serve(document)
        except ConfigurationError as error:
            return error
        return None

    def stop(self, reason: ClovaOCRError) -> None:
        """Pull no more images and send no other request; what is under way lands and comes out.

        Args:
            reason: Why; the first one given stays in ``stopped``, and every image that is not sent any more names it.
        """
        self._asked_to_end = True
        self._stop(reason)

    def _stop(self, reason: ClovaOCRError) -> None:
        if self.stopped is None:
            self.stopped = reason
            self._halt(NotSentError(reason))

    def _halt(self, unsent: NotSentError) -> None:
        self._halted = self._halted or unsent
        self._intake.close()
        self._source.stop()
        self._flights.call_back()

    def may_send(self) -> None:
        """Raise what keeps another request from leaving."""
        if self._cut_off:
            raise asyncio.CancelledError  # who waits at the ceiling of a ledger does not hear of it otherwise
        if self._halted is not None:
            raise self._unsent()

    def judged(self, error: ClovaOCRError) -> ClovaOCRError:
        """Stop the batch by an error that all would meet; what was stopped before it was sent is told as that."""
        if not error.stops_run:
            return error
        if self.stopped is None:
            self._stop(error)
            logger.warning("the batch stops pulling images: %s", error)
            return error
        return error if error.attempts else NotSentError(self.stopped)


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
