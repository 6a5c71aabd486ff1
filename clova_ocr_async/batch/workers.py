"""The workers of a batch: each pulls an image, processes it, passes its outcome on, and pulls the next."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any, TypeVarTuple, cast

from clova_ocr_async.batch.images_in_work import Deferred, ImageProgress, ImagesInWork
from clova_ocr_async.batch.outcome import Failure, Outcome
from clova_ocr_async.batch.stop import StopState
from clova_ocr_async.client.tracebacks import without_frames
from clova_ocr_async.errors import ClovaOCRError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clova_ocr_async.batch.images_in_work import Reader
    from clova_ocr_async.batch.intake import Intake, PulledImage
    from clova_ocr_async.batch.outbox import Outbox
    from clova_ocr_async.batch.stop import StopSwitch

__all__ = ["Workers"]

Ts = TypeVarTuple("Ts")


class Workers:
    """The tasks that process the images of a batch.

    Args:
        intake: Pulls the images.
        reader: Processes them.
        outbox: Takes their outcomes.
        stop: Ends the work.
    """

    def __init__(self, intake: Intake, reader: Reader, outbox: Outbox[Any], stop: StopSwitch) -> None:
        self._intake = intake
        self._reader = reader
        self._outbox = outbox
        self._stop = stop
        self._in_work = ImagesInWork()
        self._group = asyncio.TaskGroup()
        self._pulling_ended = asyncio.Event()  # until then the group stays open, even if no worker runs
        stop.subscribe(self._on_stop)

    def _on_stop(self, state: StopState) -> None:
        self._pulling_ended.set()
        # A pull may wait for an iterable that never yields again.
        self._intake.end()
        if state is StopState.STOPPED:
            self._in_work.withdraw_waiting()

    async def run(self) -> None:
        """Process all images; a cancellation cuts off the calls in flight."""
        # A worker may be started while the consumer works on an outcome. Its calls belong to the code that opened the
        # batch all the same: to its trace, for example.
        context = contextvars.copy_context()
        try:
            async with self._group:
                self._intake.open(lambda: self._group.create_task(self._work(), context=context.copy()))
                await self._pulling_ended.wait()
        finally:  # whatever happened: the consumer must not wait for outcomes that never come
            self._outbox.close()

    async def _work(self) -> None:
        task = _current_task()
        while await self._work_on_next(task):  # a call of its own, which holds no image while the next is waited for
            pass

    async def _work_on_next(self, task: asyncio.Task[Any]) -> bool:
        """Pull an image and process it; return False if there is none to be pulled."""
        image = await self._intake.pull()
        if image is None:
            return False
        self._outbox.expect(image)
        progress = ImageProgress(task, self._in_work, self._intake, self._stop)
        outcome: Outcome[Any] | Deferred | None
        try:
            outcome = self._intake.refusal_of(image) or await self._guard(
                image, progress, self._reader.process, image.source, image.document
            )
        finally:
            self._intake.finish_work(progress.bytes_held)
        if isinstance(outcome, Deferred):  # which must not keep this worker waiting
            self._group.create_task(self._finish_later(image, outcome))
        else:
            self._finish(image, outcome)
        return True

    async def _finish_later(self, image: PulledImage, outcome: Outcome[Any] | Deferred | None) -> None:
        while isinstance(outcome, Deferred):
            progress = ImageProgress(_current_task(), self._in_work, self._intake, self._stop)
            outcome = await self._guard(image, progress, self._resume, outcome)
        self._finish(image, outcome)

    async def _resume(self, deferred: Deferred, progress: ImageProgress) -> Outcome[Any] | Deferred:
        await deferred.wait()
        await self._intake.wait_for_room()
        try:
            outcome = await deferred.resume(progress)
        finally:
            self._intake.finish_work(progress.bytes_held)
        self._intake.use_room()  # no worker pulls in its place
        return outcome

    def _finish(self, image: PulledImage, outcome: Outcome[Any] | None) -> None:
        self._outbox.put(image, outcome)
        if outcome is None:  # nothing will be taken, and its place must not stay occupied
            self._intake.mark_taken(image)

    async def _guard(
        self,
        image: PulledImage,
        progress: ImageProgress,
        work: Callable[[*Ts, ImageProgress], Awaitable[Outcome[Any] | Deferred]],
        *args: *Ts,
    ) -> Outcome[Any] | Deferred | None:
        """Do some work on an image, and return its outcome also if the work fails or is withdrawn.

        Returns:
            None if code of the caller's own failed, whose exception the batch raises at its end.
        """
        # Even a file that is only read costs time, which a batch that ends does not have.
        if self._stop.sends_nothing:
            return Failure(image.source, self._stop.unsent())
        self._in_work.add(progress)
        try:
            return await work(*args, progress)
        except asyncio.CancelledError:
            if ImagesInWork.accept_withdrawal(progress):
                return progress.known_outcome or Failure(image.source, self._stop.unsent())
            if progress.known_outcome is not None:
                self._outbox.note_cut_off(image, progress.known_outcome)
            if progress.task.cancelling() or self._stop.state is StopState.CUT_OFF:
                raise
            # Nobody has cancelled this task: it would end quietly, and the image would come out nowhere.
            self._stop.fail(RuntimeError("the work on an image was cancelled from within, as by slots of your own"))
            return None
        except ClovaOCRError as error:  # of the ledger
            return Failure(image.source, self._stop.note_error(without_frames(error)))  # frames here have the image
        except Exception as error:  # noqa: BLE001 - of slots, transports or images of the caller's own
            if progress.known_outcome is not None:  # a request that has left may be billed, whatever failed after it
                self._outbox.note_cut_off(image, progress.known_outcome)
            self._stop.fail(error)
            return None
        finally:
            self._in_work.remove(progress)


def _current_task() -> asyncio.Task[Any]:
    return cast("asyncio.Task[Any]", asyncio.current_task())  # a coroutine runs in a task
