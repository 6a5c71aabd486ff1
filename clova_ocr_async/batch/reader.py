"""What a batch has done with each image: called for directly, nothing remembered; the recorder's other half."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.client.journal import NoJournal
from clova_ocr_async.errors import ClovaOCRError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clova_ocr_async.client.client import ClovaOCRClient
    from clova_ocr_async.client.journal import Attempt
    from clova_ocr_async.documents.base import Document

__all__ = ["DirectReader", "Flight", "Later", "Reader", "Warden"]


class Warden(Protocol):
    """Has a say in what is sent."""

    def may_send(self) -> None:
        """Raise what keeps another request from leaving."""
        ...

    def judged(self, error: ClovaOCRError) -> ClovaOCRError:
        """Return what an image is told that a call ended in; stops the batch by what all would meet."""
        ...


class Flight:
    """Whether a request of one image is under way.

    Args:
        landed: Called when one has ended.

    Attributes:
        under_way: Whether one is.
        landings: How many have ended.
    """

    __slots__ = ("_landed", "landings", "under_way")

    def __init__(self, landed: Callable[[Flight], object]) -> None:
        self.under_way = False
        self.landings = 0
        self._landed = landed

    def begin(self) -> None:
        """Note that a request leaves."""
        self.under_way = True

    def end(self) -> None:
        """Note that it has ended."""
        if self.under_way:
            self.under_way = False
            self.landings += 1
            self._landed(self)


@dataclass(frozen=True, slots=True, repr=False)
class Later:
    """An image that somebody else works on.

    Attributes:
        source: As it was pulled.
        after: Waits until they may have ended, and returns what became of it.
    """

    source: Any
    after: Callable[[Flight], Awaitable[Outcome[Any] | Later]]


class Reader(Protocol):
    """Reads images, one at a time each."""

    async def take(self, source: Any, document: type[Document], flight: Flight) -> Outcome[Any] | Later:
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
    """

    def __init__(self, client: ClovaOCRClient, warden: Warden) -> None:
        self._client = client
        self._warden = warden

    async def take(self, source: Any, document: type[Document], flight: Flight) -> Outcome[Any] | Later:
        """Call for an image."""
        journal = _UntilStopped(self._warden, flight)
        try:
            return Success(source, await self._client.recognize(source, document, lane="batch", journal=journal))
        except ClovaOCRError as error:
            return Failure(source, self._warden.judged(error))


class _UntilStopped(NoJournal):
    """Lets requests leave until the batch is stopped: what others would meet as well is not paid for again."""

    def __init__(self, warden: Warden, flight: Flight) -> None:
        self._warden = warden
        self._flight = flight

    async def sending(self, attempt: Attempt) -> None:  # noqa: ARG002 - any attempt of any image
        """Let it leave, or say why it does not."""
        self._warden.may_send()
        self._flight.begin()

    def landed(self) -> None:
        """Let the batch call the image back, if it waits for another request."""
        self._flight.end()
