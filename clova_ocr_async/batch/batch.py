"""A batch: runs its workers in a task of its own, yields their outcomes, and accounts for the rest.

The task holds the task group of the workers. So no cancel scope is open in the caller's task: an exception of the
caller's body is raised unchanged, and the batch may be left in another task than it was entered.

Words of this folder:

    item in work  an image that is read, waits for a slot, or is at the service
    intake        pulls images from the source and counts them into work
    window        how many images may be in work, and how many pulled ahead of the consumer
    outcome       the Success or Failure of one image
    left over     an outcome that was not taken when the batch was left, or what is known of a call that was cut off
    stop          the end of pulling and sending; calls in flight finish
    withdraw      cancel the work on an image that waits, and has no request in flight, when the batch is stopped
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Generic, Self

import anyio

from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.documents.recognition import DocumentT
from clova_ocr_async.errors import Billing, ClovaOCRError
from clova_ocr_async.host.tasks import wait_shielded

if TYPE_CHECKING:
    from clova_ocr_async.batch.intake import Intake
    from clova_ocr_async.batch.outbox import Outbox
    from clova_ocr_async.batch.stop import StopSwitch
    from clova_ocr_async.batch.workers import Workers
    from clova_ocr_async.ledger.storage import Ledger

__all__ = ["Batch", "LedgerSession"]

logger = logging.getLogger("clova_ocr_async")
# Lines that a program which shows the outcomes itself, such as the command line, does not need.
outcome_logger = logging.getLogger("clova_ocr_async.batch.outcome")


class LedgerSession:
    """The use of a ledger by one batch.

    Args:
        ledger: The ledger.
        services: The services whose answers it is to hold.
        owned: Whether the batch opens and closes the ledger.
    """

    def __init__(self, ledger: Ledger, services: list[str], *, owned: bool) -> None:
        self._ledger = ledger
        self._services = services
        self._owned = owned

    async def open(self) -> None:
        """Open the ledger."""
        if self._owned:
            await self._ledger.__aenter__()
        # A batch that cannot be opened is not left either, so nothing else would close the ledger.
        try:
            await self._ledger.open_for(self._services)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the ledger."""
        if self._owned:
            await self._ledger.__aexit__(None, None, None)


class Batch(Generic[DocumentT]):
    """A running batch: an async context manager, and in it an async iterator of outcomes.

    Every image that was pulled comes out once, as Success or Failure. An exception of the iterable of images is raised
    here, when all images that were pulled before have come out. Leaving early pulls and sends no more; ``left_over``
    has the outcomes that were not taken. With a ledger, the calls in flight finish first and are written down, however
    the batch is left: early, by an exception, by a cancellation such as Ctrl-C. A second cancellation, or one after
    ``stop``, cuts them off; they are written down as ambiguous. Without a ledger they are cut off at once, and the log
    has their number.

    An error that every other image would meet as well (a rejected secret, a wrong domain, a spent quota) ends the
    pulling: the images that were pulled come out, with a NotSentError if they were not sent yet, then the iteration
    ends, and ``stopped`` is the error.

    Attributes:
        left_over: Empty until the batch was left; then one outcome for each image that was pulled and whose outcome was
            not taken. First come the outcomes of finished images, as they would have come out: a paid answer among them
            is a Success, or a Failure with ``error.raw``. Then, in the order of the images, come those that were not
            finished: a call that was cut off is a Failure whose ``error.billing`` is what it may have cost (with a
            ledger its outcome, if the answer was in), and an image of which no request may have been billed is a
            Failure with a NotSentError.
    """

    def __init__(
        self,
        intake: Intake,
        workers: Workers,
        outbox: Outbox[DocumentT],
        stop: StopSwitch,
        session: LedgerSession | None = None,
    ) -> None:
        self.left_over: tuple[Outcome[DocumentT], ...] = ()
        self._intake = intake
        self._workers = workers
        self._outbox = outbox
        self._stop = stop
        self._session = session
        self._runner: asyncio.Task[None] | None = None

    @property
    def stopped(self) -> ClovaOCRError | None:
        """The error by which the pulling ended before the images did; None if it did not."""
        return self._stop.reason

    def stop(self, reason: ClovaOCRError) -> None:
        """Pull no more images and send no other request; the calls in flight finish, and their outcomes come out.

        Args:
            reason: The error of the images that are not sent any more; the first one given stays in ``stopped``.
        """
        self._stop.stop(reason)

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("a batch is opened once; dispatch another")
        # The ledger first: nothing is pulled, and nothing can be sent, that could not be recorded.
        if self._session is not None:
            await self._session.open()
        self._runner = asyncio.create_task(self._workers.run())
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome[DocumentT]:
        if self._runner is None:
            raise RuntimeError("open the batch first: async with dispatcher.dispatch(…) as outcomes")
        ready = await self._outbox.take()
        # At the end: images that were pulled before the failure may be paid for, and come out first.
        if ready is None:
            if self._stop.failure is not None:
                raise self._stop.failure
            raise StopAsyncIteration
        image, outcome = ready
        # Only now is there room for another image: outcomes must not pile up beside a slow consumer.
        self._intake.mark_taken(image)
        return outcome

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._runner is None:
            return
        cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        waits = self._session is not None and not _is_second_interrupt(kind)
        # anyio's cancellation comes again at every await, and would count as the second one without the shield.
        with anyio.CancelScope(shield=True):
            quietly = kind is not None
            try:
                await self._end(self._runner, waits=waits, cancelled=cancelled)
            except asyncio.CancelledError:
                quietly = True
                raise
            finally:
                await self._close(quietly=quietly)

    async def _end(self, runner: asyncio.Task[None], *, waits: bool, cancelled: bool) -> None:
        try:
            if self._stop.leave(waits=waits, cancelled=cancelled):
                await asyncio.wait([runner])
        finally:
            # Also if the wait was cancelled, or Ctrl-C was raised in any line above: that is the second request to end.
            self._stop.cut_off()
            runner.cancel()
            try:
                await wait_shielded(runner)
            finally:
                self._collect_left_over()
                self._outbox.close()  # a batch that was left at once has never run
        if not runner.cancelled() and (error := runner.exception()) is not None:
            raise error  # the workers met something worse than an Exception, and the outcomes ended too early

    def _collect_left_over(self) -> None:
        finished, unfinished = self._outbox.left_over(self._stop.unsent())
        self.left_over = (*finished, *unfinished)
        # With a ledger nothing is lost: finished calls are in it, and those cut off are ambiguous there.
        if self.left_over and self._session is None:
            cut_off = sum(_may_be_billed(outcome) for outcome in unfinished)
            outcome_logger.warning(
                "the batch was left early: %d finished outcomes were not taken, %d calls were cut off and may have been"
                " billed, and %d images were not sent; left_over names them",
                len(finished),
                cut_off,
                len(unfinished) - cut_off,
            )

    async def _close(self, *, quietly: bool) -> None:
        """Close the source, then the ledger; what the source raises then must not hide why the batch is left."""
        # In this order: a work list gives the files that it has claimed back through the ledger.
        try:
            await self._intake.close()
        except Exception as error:
            if not quietly:
                raise
            if isinstance(error, ClovaOCRError):  # its message is all there is to know, as of a full disk
                outcome_logger.warning("the iterable of images failed while it was closed: %s", error)
            else:
                logger.exception("the iterable of images failed while it was closed")
        finally:
            # Only now: an iterable may yield once more while it is closed.
            unsent = self._stop.unsent()
            self.left_over += tuple(Failure(source, unsent) for source in self._intake.dropped())
            if self._session is not None:
                await self._session.close()


def _may_be_billed(outcome: Outcome[DocumentT]) -> bool:
    return isinstance(outcome, Success) or outcome.error.billing is not Billing.NOT_BILLED


def _is_second_interrupt(kind: type[BaseException] | None) -> bool:
    """Return whether a batch is left by a second Ctrl-C, which was raised before its wait for calls had begun."""
    # asyncio.run cancels its task at the first one, and raises KeyboardInterrupt at the second.
    task = asyncio.current_task()
    return kind is not None and issubclass(kind, KeyboardInterrupt) and task is not None and task.cancelling() > 0
