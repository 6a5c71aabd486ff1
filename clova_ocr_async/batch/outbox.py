"""The outcomes of a batch on their way to whoever takes them, and those that nobody took."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, cast

from clova_ocr_async.batch.outcome import Failure, Outcome
from clova_ocr_async.documents.recognition import DocumentT
from clova_ocr_async.errors import NotSentError

if TYPE_CHECKING:
    from clova_ocr_async.batch.intake import Pulled

__all__ = ["Outbox"]

_END: Any = object()


class Outbox(Generic[DocumentT]):
    """Hands outcomes out as they come, or in the order of the images.

    Args:
        ordered: Whether in the order of the images.
    """

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._ready: asyncio.Queue[Any] = asyncio.Queue()
        self._early: dict[int, tuple[Pulled, Outcome[DocumentT] | None]] = {}
        self._expected: dict[int, tuple[Pulled, Outcome[DocumentT] | None]] = {}
        self._next = 0

    def expect(self, image: Pulled) -> None:
        """Note an image that was pulled."""
        self._expected[image.number] = image, None

    def put(self, image: Pulled, outcome: Outcome[DocumentT] | None) -> None:
        """Hand out what became of an image; None only keeps a place in the order."""
        del self._expected[image.number]
        if not self._ordered:
            self._hand_out(image, outcome)
            return
        self._early[image.number] = image, outcome
        while self._next in self._early:
            self._hand_out(*self._early.pop(self._next))
            self._next += 1

    def _hand_out(self, image: Pulled, outcome: Outcome[DocumentT] | None) -> None:
        if outcome is not None:
            self._ready.put_nowait((image, outcome))

    def cut_off(self, image: Pulled, outcome: Outcome[DocumentT]) -> None:
        """Note what is known of an image that was cut off; it is not handed out."""
        self._expected[image.number] = image, outcome

    async def take(self) -> tuple[Pulled, Outcome[DocumentT]] | None:
        """Return the next image that is finished and its outcome; None at the end, also to whoever asks again."""
        ready = await self._ready.get()
        if ready is _END:
            self.end()
            return None
        return cast("tuple[Pulled, Outcome[DocumentT]]", ready)

    def end(self) -> None:
        """Let those who wait know that nothing more comes."""
        self._ready.put_nowait(_END)

    def left_over(self) -> tuple[list[Outcome[DocumentT]], list[Outcome[DocumentT]]]:
        """Take back what nobody took.

        Returns:
            What became of images that were finished, and what is known of those that were cut off.
        """
        finished = list[Outcome[DocumentT]]()
        while not self._ready.empty():
            if (ready := self._ready.get_nowait()) is not _END:
                finished.append(ready[1])
        finished += [outcome for _, (_, outcome) in sorted(self._early.items()) if outcome is not None]
        unfinished = [outcome or Failure(image.source, NotSentError()) for image, outcome in self._expected.values()]
        self._early.clear()
        self._expected.clear()
        return finished, unfinished
