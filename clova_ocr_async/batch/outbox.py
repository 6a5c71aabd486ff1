"""The outcomes of a batch on their way to the consumer, and those that were not taken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, cast

from clova_ocr_async.batch.outcome import Failure, Outcome
from clova_ocr_async.documents.recognition import DocumentT

if TYPE_CHECKING:
    from clova_ocr_async.batch.intake import PulledImage
    from clova_ocr_async.errors import NotSentError

__all__ = ["Outbox"]

_END: Any = object()


class Outbox(Generic[DocumentT]):
    """Passes outcomes on as they come, or in the order of the images.

    Args:
        ordered: Whether in the order of the images.
    """

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._ready: asyncio.Queue[Any] = asyncio.Queue()  # without a bound: the window bounds the images
        self._early: dict[int, tuple[PulledImage, Outcome[DocumentT] | None]] = {}
        self._expected: dict[int, PulledImage] = {}  # in the order of the pulling
        self._cut_off: dict[int, Outcome[DocumentT]] = {}
        self._next = 0

    def expect(self, image: PulledImage) -> None:
        """Note an image that was pulled."""
        self._expected[image.number] = image

    def put(self, image: PulledImage, outcome: Outcome[DocumentT] | None) -> None:
        """Pass an outcome on; None, for an image that has none, only keeps the order going."""
        if image.number not in self._cut_off:  # an image that was cut off stays to be left over
            del self._expected[image.number]
        if not self._ordered:
            self._pass_on(image, outcome)
            return
        # An outcome waits here for all earlier ones; the window bounds how many can.
        self._early[image.number] = image, outcome
        while self._next in self._early:
            self._pass_on(*self._early.pop(self._next))
            self._next += 1

    def _pass_on(self, image: PulledImage, outcome: Outcome[DocumentT] | None) -> None:
        if outcome is not None:
            self._ready.put_nowait((image, outcome))

    def note_cut_off(self, image: PulledImage, outcome: Outcome[DocumentT]) -> None:
        """Note what is known of an image whose call was cut off; it is left over, and not passed on."""
        self._cut_off[image.number] = outcome

    async def take(self) -> tuple[PulledImage, Outcome[DocumentT]] | None:
        """Return the next finished image and its outcome; None at the end, however often it is asked."""
        ready = await self._ready.get()
        if ready is _END:
            self.close()  # for the other tasks that take
            return None
        return cast("tuple[PulledImage, Outcome[DocumentT]]", ready)

    def close(self) -> None:
        """End the outcomes."""
        self._ready.put_nowait(_END)

    def left_over(self, unsent: NotSentError) -> tuple[list[Outcome[DocumentT]], list[Outcome[DocumentT]]]:
        """Remove and return what was not taken, each image that was pulled once.

        Args:
            unsent: The error of images of which no request may have been billed.

        Returns:
            The outcomes of images that were finished, in the order in which they would have come out. Of the images
            that were not, in the order of the pulling, what is known of a call that was cut off, or a Failure with
            ``unsent``.
        """
        finished = list[Outcome[DocumentT]]()
        while not self._ready.empty():
            if (ready := self._ready.get_nowait()) is not _END:
                finished.append(ready[1])
        finished += [outcome for _, (_, outcome) in sorted(self._early.items()) if outcome is not None]
        unfinished = [
            self._cut_off.get(number) or Failure(image.source, unsent) for number, image in self._expected.items()
        ]
        self._early.clear()
        self._expected.clear()
        return finished, unfinished
