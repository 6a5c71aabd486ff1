"""The intake of a batch: pulls images one at a time, as the slots, the bytes and the consumer allow it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from clova_ocr_async.batch.outcome import Failure
from clova_ocr_async.batch.sources.iterables import EXHAUSTED
from clova_ocr_async.batch.stop import StopState
from clova_ocr_async.batch.window import MAX_UNREAD
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.image import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clova_ocr_async.batch.sources.iterables import Source
    from clova_ocr_async.batch.stop import StopSwitch
    from clova_ocr_async.batch.window import Window
    from clova_ocr_async.client.client import ClovaOCRClient
    from clova_ocr_async.documents.base import Document
    from clova_ocr_async.domains.domain import Domain

__all__ = ["Intake", "PulledImage"]


class PulledImage(NamedTuple):
    """An image that was pulled.

    Attributes:
        number: How many were pulled before.
        source: The image as it was pulled.
        document: The document class.
        size: Bytes that the source itself keeps in memory; 0 for a file.
    """

    number: int
    source: Any
    document: Any
    size: int


class Intake:
    """Pulls the images of a batch.

    A worker that has finished an image pulls the next one itself. Where more than that is to be pulled, because a limit
    was raised or the consumer has taken something, a further worker is started.

    Args:
        source: Yields the images.
        document: The document class of all of them; None if the source yields pairs.
        client: Knows the limits of the domains.
        window: Counts the images.
        stop: Ends the pulling, and is moved when the source ends or fails.

    Raises:
        ConfigurationError: No domain of the client reads the document.
    """

    def __init__(
        self,
        source: Source,
        document: type[Document] | None,
        client: ClovaOCRClient,
        window: Window,
        stop: StopSwitch,
    ) -> None:
        self._source = source
        self._document = document
        self._client = client
        self._domains: set[Domain] = set() if document is None else set(client.serving(document))
        self._window = window
        self._stop = stop
        self._start: Callable[[], object] | None = None
        self._starting = False
        self._pulling = False  # one pull at a time: generators do not allow two
        self._one_resumes = asyncio.Lock()  # else several deferred images would take the same room
        self._room_changed = asyncio.Event()

    def open(self, start: Callable[[], object]) -> None:
        """Begin to pull.

        Args:
            start: Starts a worker.
        """
        self._start = start
        self._measure_slots()
        self._start_worker()

    async def pull(self) -> PulledImage | None:
        """Return the next image, which is in work then; None if there is none or no room, or another worker pulls."""
        self._starting = False
        if not self._has_room():
            return None
        self._pulling = True
        try:
            item = await self._source.pull()
            source, document = (item, self._document) if self._document is not None else _checked_pair(item)
        except Exception as error:  # noqa: BLE001 - whatever the source raises is the caller's
            self._stop.fail(error)
            return None
        finally:
            self._pulling = False
        if item is EXHAUSTED:
            self._stop.end_input()
            return None
        # Bytes that the iterable made are in memory already, whether the image is read or not.
        size = _bytes_in(source)
        image = PulledImage(self._window.add_pulled(size), source, document, size)
        self._start_worker()  # for the room there is, also what appeared during the pull
        return image

    def refusal_of(self, image: PulledImage) -> Failure | None:
        """Return the outcome of an image whose document no domain reads; else have the slots of its domains counted.

        Such an image does not stop a batch of pairs: domains may read the documents of the others.
        """
        if self._document is not None:
            return None
        try:
            domains = self._client.serving(image.document)
        except ConfigurationError as error:
            return Failure(image.source, error)
        # A domain is counted once an image for it was pulled: slots that no image needs are not read for.
        if not self._domains.issuperset(domains):
            self._domains.update(domains)
            self.follow_slots()
        return None

    async def wait_for_room(self) -> None:
        """Wait until there is room for a deferred image; it is in work then."""
        async with self._one_resumes:
            # No await lies between the look and the clearing, so no change is missed.
            while not self._window.may_resume():
                self._room_changed.clear()
                await self._room_changed.wait()
            self._window.start_work()

    def _has_room(self) -> bool:
        """Return whether an image may be pulled: not while another worker pulls."""
        return not self._pulling and self._stop.state is StopState.PULLING and self._window.room() > 0

    def _start_worker(self) -> None:
        # One at a time: a worker that has not pulled yet takes no room, and starts the next itself.
        if self._start is not None and not self._starting and self._has_room():
            self._starting = True
            self._start()

    def follow_slots(self) -> None:
        """Follow the limits as they are known now; called when a request is sent."""
        if self._measure_slots():
            self.use_room()

    def _measure_slots(self) -> bool:
        """Count the calls at once that the domains allow, without those of other processes."""
        gates, on_hold = self._client.gates, self._client.on_hold
        slots = 0
        for domain in self._domains:
            if domain not in on_hold:  # it takes no calls now, and an image read for it would only take memory
                # Slots of other processes take images that those processes have read.
                slots += max(0, gates[domain].ceiling - gates[domain].elsewhere)
        return self._window.follow_slots(slots)

    def use_room(self) -> None:
        """Have further images pulled or resumed, if there is room."""
        self._room_changed.set()
        self._start_worker()

    def hold_bytes(self, size: int) -> None:
        """Count the bytes of an image that was read."""
        was_full = self._window.unread >= MAX_UNREAD
        self._window.hold_bytes(size)
        if was_full:  # no worker was started while the unread images had reached their bound
            self._start_worker()

    def change_bytes(self, change: int) -> None:
        """Count that an image takes more or fewer bytes than before, as once it is prepared."""
        self._window.change_bytes(change)
        if change < 0:
            self.use_room()

    def finish_work(self, size: int | None) -> None:
        """Count an image out of work, and the bytes it held; None if it was not read. Its worker pulls the next one."""
        self._window.finish_work(size)
        self._room_changed.set()

    def mark_taken(self, image: PulledImage) -> None:
        """Count an image whose outcome was taken."""
        # In an open window the workers keep up by themselves, and a check for every outcome is not needed.
        was_closed = not self._window.is_open
        self._window.mark_taken(image.size)
        if was_closed:
            self.use_room()

    def end(self) -> None:
        """Stop the source, so that a pull that waits for it ends."""
        self._source.stop()

    async def close(self) -> None:
        """Close the source, and raise what it raises."""
        await self._source.close()

    def dropped(self) -> Iterator[Any]:
        """Yield the images that the source yielded just as the batch was left."""
        for item in getattr(self._source, "dropped", ()):
            match item:
                case (source, _) if self._document is None:
                    yield source
                case _:
                    yield item


def _checked_pair(item: Any) -> tuple[Any, Any]:
    match item:
        case _ if item is EXHAUSTED:
            return item, None
        case (source, type() as document) if document in DOCUMENTS.values():
            return source, document
        case _:  # by its type alone: the item may be an image, and would fill the log
            raise TypeError(
                f"images yielded a {type(item).__name__}; without a document class for all of them "
                "each must be a pair (image, DocumentClass)"
            )


def _bytes_in(source: Any) -> int:
    """Return the bytes that an image keeps in memory before it is read; 0 for a file."""
    if isinstance(source, Image):
        return len(source.data)
    if isinstance(source, bytes | bytearray):
        return len(source)
    return cast("memoryview[int]", source).nbytes if isinstance(source, memoryview) else 0
