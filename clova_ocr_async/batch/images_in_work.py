"""The work on images: the protocol of a reader, the progress of one image, and the withdrawal of those that wait."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from clova_ocr_async.batch.outcome import Failure, Outcome
from clova_ocr_async.errors import Billing, ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clova_ocr_async.batch.intake import Intake
    from clova_ocr_async.batch.stop import StopSwitch
    from clova_ocr_async.client.journal import Attempt
    from clova_ocr_async.documents.base import Document
    from clova_ocr_async.ledger.states import Item
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["CUT_OFF", "Deferred", "ImageProgress", "ImagesInWork", "Reader", "cut_off_failure"]

CUT_OFF = "the call was cancelled after it had been sent; it may have been billed"
"""The message of a call that was cut off."""

_DECODING = 1.0  # seconds from an answer to its outcome; after that a call counts as waiting to send another request


class ImageProgress:
    """The progress of one image: its requests, its bytes, and what is known of its outcome.

    Without a ledger it is the client's journal of the call, and keeps no answer. With one, the ``LedgerJournal`` notes
    here when a request starts and finishes, and knows the rest itself.

    Args:
        task: The task that works on the image.
        in_work: Withdraws the image if the batch is stopped.
        intake: Counts its bytes, and follows the slots.
        stop: The state of the batch.

    Attributes:
        task: The task that works on the image.
        in_flight: Whether a request is in flight, or its outcome is being written down.
        requests_finished: How many requests have finished.
        bytes_held: Bytes that it takes: those that were read, or are about to be, and those of its preparation; None
            before.
        withdrawn: Whether the work was cancelled because the batch was stopped.
        known_outcome: The outcome if the work is cancelled now; None if nothing was billed.
        billing: Whether the call may have been billed, if it is cut off now.
        maybe_billed: How many of its requests may have been billed.
        request_id: The requestId of the call; None before its first request.
        attempts: Requests of the call so far.
        raw: Its answer, if the call was cut off before that was decoded.
    """

    def __init__(self, task: asyncio.Task[Any], in_work: ImagesInWork, intake: Intake, stop: StopSwitch) -> None:
        self.task = task
        self._in_work = in_work
        self._intake = intake
        self._stop = stop
        self.billing = Billing.NOT_BILLED
        self.maybe_billed = self.attempts = 0
        self.request_id: str | None = None
        self.raw = b""
        self.in_flight = False
        self.requests_finished = 0
        self.bytes_held: int | None = None
        self.withdrawn = False
        self.known_outcome: Outcome[Any] | None = None

    def hold_bytes(self, size: int) -> None:
        """Count the bytes of the image, in place of those that were counted before."""
        before, self.bytes_held = self.bytes_held, size
        if before is None:
            self._intake.hold_bytes(size)
        else:
            self._intake.change_bytes(size - before)

    def start_request(self) -> None:
        """Note that a request is sent."""
        self.in_flight = True
        # The limits of the domains change as answers come in, and are looked at again whenever a slot was taken.
        self._intake.follow_slots()

    def finish_request(self) -> None:
        """Note that a request has finished."""
        if self.in_flight:  # a request that was refused before it left never started
            self.in_flight = False
            self.requests_finished += 1
            self._in_work.request_finished(self)

    def sending(self, attempt: Attempt) -> None:
        """Let a request leave, or raise what keeps it from leaving."""
        # The last moment in which an image can be kept back for free.
        self._stop.check_may_send()
        self.billing = Billing.MAYBE_BILLED  # until the request has ended
        self.maybe_billed += 1
        self.request_id, self.attempts = attempt.request_id, attempt.number
        self.start_request()

    def answered(self, attempt: Attempt, response: HTTPResponse) -> None:
        """Keep nothing: the caller gets the answer."""

    def unanswered(self, attempt: Attempt, error: BaseException, *, body_began: bool) -> None:
        """Keep nothing: the caller gets the error."""

    def finished(self, billing: Billing, maybe_billed: int, raw: bytes) -> None:
        """Note the billing and the answer, and let the batch withdraw the image if it waits for another request."""
        self.billing, self.maybe_billed, self.raw = billing, maybe_billed, raw
        self.finish_request()

    def settle(self, outcome: Outcome[Any]) -> None:
        """Note the final outcome; a batch that stops now waits for its write, and does not withdraw the image."""
        self.known_outcome = outcome
        self.in_flight = True


class ImagesInWork:
    """The images that tasks work on, and the withdrawal of those that wait when the batch is stopped."""

    def __init__(self) -> None:
        self._images: set[ImageProgress] = set()
        self._withdrawing = False

    def add(self, image: ImageProgress) -> None:
        """Count an image into work."""
        self._images.add(image)

    def remove(self, image: ImageProgress) -> None:
        """Count an image out of work."""
        self._images.discard(image)

    def withdraw_waiting(self) -> None:
        """Cancel the work on all images that have no request in flight, and on the others when theirs has finished."""
        self._withdrawing = True
        # An image that has had a request may have an answer by now, and one that has not costs nothing.
        for image in list(self._images):
            if image.requests_finished:
                self._withdraw_later(image)
            else:
                self._withdraw(image)

    def request_finished(self, image: ImageProgress) -> None:
        """Withdraw an image whose request has finished in a stopped batch, unless its outcome follows at once."""
        if self._withdrawing:
            self._withdraw_later(image)

    def _withdraw_later(self, image: ImageProgress) -> None:
        # The answer may be in already, and only its decoding is awaited: a paid answer is not dropped.
        asyncio.get_running_loop().call_later(_DECODING, self._withdraw, image)

    def _withdraw(self, image: ImageProgress) -> None:
        if image in self._images and not image.in_flight and not image.withdrawn:
            image.withdrawn = True
            image.task.cancel()

    @staticmethod
    def accept_withdrawal(image: ImageProgress) -> bool:
        """Return whether a cancellation is nothing but the withdrawal, and take it back then."""
        # What is left to uncancel is the cancellation by another, which came as well and must go on.
        return image.withdrawn and not image.task.uncancel()


def cut_off_failure(
    source: Any,
    billing: Billing,
    *,
    request_id: str | None,
    attempts: int,
    maybe_billed: int,
    raw: bytes = b"",
    item: Item | None = None,
) -> Failure:
    """Return the outcome of an image whose call was cancelled when it may have been billed.

    Args:
        source: The image.
        billing: Whether it may have been billed.
        request_id: The requestId of the call.
        attempts: Requests sent for the call.
        maybe_billed: How many of them may have been billed.
        raw: The answer, if one had arrived and was not decoded.
        item: The image as the ledger has it; None without a ledger.
    """
    error = ConnectionLostError(CUT_OFF)
    error.billing, error.raw, error.request_id = billing, raw, request_id
    error.attempts, error.maybe_billed = attempts, maybe_billed
    return Failure(source, error, item)


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
