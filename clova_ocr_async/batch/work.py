"""The work on one image: the protocol of a reader, what it notes, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from clova_ocr_async.batch.outcome import Failure, Outcome
from clova_ocr_async.errors import Billing, ConnectionLostError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from clova_ocr_async.batch.in_work import ImagesInWork
    from clova_ocr_async.batch.intake import Intake
    from clova_ocr_async.documents.base import Document

__all__ = ["Deferred", "ImageProgress", "Reader", "cut_off_failure"]


class ImageProgress:
    """The progress of one image: its requests, its bytes, and what is known of its outcome.

    Args:
        task: The task that works on the image.
        in_work: Withdraws the image if the batch is stopped.
        intake: Counts its bytes, and follows the slots.

    Attributes:
        task: The task that works on the image.
        in_flight: Whether a request is in flight, or its outcome is being written down.
        requests_finished: How many requests have finished.
        bytes_held: Bytes that were read, or are about to be; None before.
        withdrawn: Whether the work was cancelled because the batch was stopped.
        known_outcome: The outcome if the work is cancelled now; None if nothing was billed.
    """

    __slots__ = (
        "_in_work",
        "_intake",
        "bytes_held",
        "in_flight",
        "known_outcome",
        "requests_finished",
        "task",
        "withdrawn",
    )

    def __init__(self, task: asyncio.Task[Any], in_work: ImagesInWork, intake: Intake) -> None:
        self.task = task
        self._in_work = in_work
        self._intake = intake
        self.in_flight = False
        self.requests_finished = 0
        self.bytes_held: int | None = None
        self.withdrawn = False
        self.known_outcome: Outcome[Any] | None = None

    def hold_bytes(self, size: int) -> None:
        """Count the bytes of the image, once."""
        self.bytes_held = size
        self._intake.hold_bytes(size)

    def start_request(self) -> None:
        """Note that a request is sent."""
        self.in_flight = True
        self._intake.follow_slots()

    def finish_request(self) -> None:
        """Note that a request has finished."""
        if self.in_flight:
            self.in_flight = False
            self.requests_finished += 1
            self._in_work.request_finished(self)

    def settle(self, outcome: Outcome[Any]) -> None:
        """Note the final outcome, so that a batch that stops no longer withdraws the image while it is written down."""
        self.known_outcome = outcome
        self.in_flight = True


def cut_off_failure(source: Any, billing: Billing) -> Failure:
    """Return the outcome of an image whose call was cancelled when it may have been billed."""
    error = ConnectionLostError("the call was cancelled after it had been sent; it may have been billed")
    error.billing = billing
    return Failure(source, error)


@dataclass(frozen=True, slots=True, repr=False)
class Deferred:
    """An image that cannot be finished now: another call is for the same bytes, or its file is still being written.

    Attributes:
        wait: Waits until that may have changed.
        resume: Goes on with the image then.
    """

    wait: Callable[[], Awaitable[object]]
    resume: Callable[[ImageProgress], Awaitable[Outcome[Any] | Deferred]]


class Reader(Protocol):
    """Processes the images of a batch."""

    async def process(self, source: Any, document: type[Document], progress: ImageProgress) -> Outcome[Any] | Deferred:
        """Return the outcome of an image, with a call if one is needed.

        Args:
            source: The image.
            document: The document class.
            progress: Notes its requests and its bytes.
        """
        ...
