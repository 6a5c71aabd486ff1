"""What a batch has done with each image: called for directly, nothing remembered; the recorder's other half."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from clova_ocr_async.batch.hashing import size_to_read
from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.client.journal import NullJournal
from clova_ocr_async.errors import Billing, ClovaOCRError, ConnectionLostError, ImageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clova_ocr_async.batch.unfinished import Unfinished
    from clova_ocr_async.client.client import ClovaOCRClient
    from clova_ocr_async.client.journal import Attempt
    from clova_ocr_async.documents.base import Document

__all__ = ["Deferred", "DirectReader", "FlightWatch", "ImageInWork", "Reader", "Warden", "cut_off"]


class Warden(Protocol):
    """Has a say in what is sent."""

    def may_send(self) -> None:
        """Raise what keeps another request from leaving."""
        ...

    def judged(self, error: ClovaOCRError) -> ClovaOCRError:
        """Return what an image is told that a call ended in; stops the batch by what all would meet."""
        ...


class FlightWatch(Protocol):
    """Is told of what happens to the images at work."""

    def hold(self, size: int) -> None:
        """Count the bytes of an image that was read, or is going to be read at once."""
        ...

    def notice(self) -> None:
        """Note that a request leaves."""
        ...


class ImageInWork:
    """The work on one image: whether a request is under way, what it holds, and what is known of its end.

    Args:
        landed: Called when a request has ended.
        watch: Told of what happens.

    Attributes:
        under_way: Whether a request is under way.
        landings: How many requests have ended.
        held: Bytes that were read; None before.
        left: What is known of the image if it is cut off now; None if nothing is, and nothing was billed.
    """

    __slots__ = ("_landed", "_watch", "held", "landings", "left", "under_way")

    def __init__(self, landed: Callable[[ImageInWork], object], watch: FlightWatch) -> None:
        self.under_way = False
        self.landings = 0
        self.held: int | None = None
        self.left: Outcome[Any] | None = None
        self._landed = landed
        self._watch = watch

    def hold(self, size: int) -> None:
        """Note how many bytes the image takes; said once."""
        self.held = size
        self._watch.hold(size)

    def begin(self) -> None:
        """Note that a request leaves."""
        self.under_way = True
        self._watch.notice()

    def end(self) -> None:
        """Note that it has ended."""
        if self.under_way:
            self.under_way = False
            self.landings += 1
            self._landed(self)


def cut_off(source: Any, billing: Billing, raw: bytes = b"") -> Failure:
    """Return the failure of an image whose call was cancelled when it may have been billed.

    Args:
        source: The image.
        billing: Whether it may have been billed.
        raw: Its answer, if that had come and was not decoded.
    """
    error = ConnectionLostError("the call was cancelled after it had been sent; it may have been billed")
    error.billing, error.raw = billing, raw
    return Failure(source, error)


@dataclass(frozen=True, slots=True, repr=False)
class Deferred:
    """An image that cannot be finished now: somebody else works on it, or its file is still being written.

    Attributes:
        wait: Waits until that may have changed.
        again: Returns what became of the image then.
    """

    wait: Callable[[], Awaitable[object]]
    again: Callable[[ImageInWork], Awaitable[Outcome[Any] | Deferred]]


class Reader(Protocol):
    """Reads images, one at a time each."""

    async def take(self, source: Any, document: type[Document], flight: ImageInWork) -> Outcome[Any] | Deferred:
        """Return what became of an image, calling for it if need be.

        Args:
            source: The image.
            document: What is asked for.
            flight: Told whether a request is under way.
        """
        ...


class DirectReader:
    """Calls for every image.

    Args:
        client: Calls.
        warden: Has a say in what is sent.
        unfinished: Puts off files that are still being written.
    """

    def __init__(self, client: ClovaOCRClient, warden: Warden, unfinished: Unfinished) -> None:
        self._client = client
        self._warden = warden
        self._unfinished = unfinished

    async def take(
        self, source: Any, document: type[Document], flight: ImageInWork, until: float | None = None
    ) -> Outcome[Any] | Deferred:
        """Call for an image."""
        flight.hold(size_to_read(source))
        journal = _UntilStopped(self._warden, flight)
        try:
            return Success(source, await self._client.recognize(source, document, lane="batch", journal=journal))
        except ImageError as error:
            later = await self._unfinished.later(source, error, until, partial(self.take, source, document))
            return later or Failure(source, error)
        except ClovaOCRError as error:
            return Failure(source, self._warden.judged(error))
        except asyncio.CancelledError:
            if journal.billing is not Billing.NOT_BILLED:
                flight.left = cut_off(source, journal.billing, journal.raw)
                flight.left.error.request_id, flight.left.error.attempts = journal.request_id, journal.attempts
            raise


class _UntilStopped(NullJournal):
    """Lets requests leave until the batch is stopped: what others would meet as well is not paid for again.

    Attributes:
        billing: Whether the call may have been billed, if it is cut off now.
        raw: Its answer, if it was cut off before that was decoded.
        request_id: The requestId of the call; None before its first request.
        attempts: Requests of the call so far.
    """

    def __init__(self, warden: Warden, flight: ImageInWork) -> None:
        self.billing = Billing.NOT_BILLED
        self.raw = b""
        self.request_id: str | None = None
        self.attempts = 0
        self._warden = warden
        self._flight = flight

    async def sending(self, attempt: Attempt) -> None:
        """Let it leave, or say why it does not."""
        self._warden.may_send()
        self.billing = Billing.MAYBE_BILLED  # until the client knows better
        self.request_id, self.attempts = attempt.request_id, attempt.number
        self._flight.begin()

    def landed(self) -> None:
        """Let the batch call the image back, if it waits for another request."""
        self._flight.end()

    def cut_off(self, billing: Billing, raw: bytes) -> None:
        """Note what a call may cost that was cancelled, and its answer."""
        self.billing, self.raw = billing, raw
