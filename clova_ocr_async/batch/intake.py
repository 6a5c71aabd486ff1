"""The door of a batch: lets images into work one at a time, whenever the slots, the bytes and the consumer allow it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from clova_ocr_async.batch.sources.iterables import EXHAUSTED
from clova_ocr_async.batch.window import READING
from clova_ocr_async.protocol.image import Image

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from clova_ocr_async.batch.window import Window
    from clova_ocr_async.client.client import ClovaOCRClient
    from clova_ocr_async.documents.base import Document
    from clova_ocr_async.domains.domain import Domain

__all__ = ["Intake", "Pulled"]


class Pulled(NamedTuple):
    """An image that was pulled.

    Attributes:
        number: How many were pulled before.
        source: The image as it was pulled.
        document: The class asked for, or what stands in its place.
        size: Bytes that the source itself keeps in memory; 0 for a name of a file.
    """

    number: int
    source: Any
    document: Any
    size: int


class Intake:
    """Lets the images of a batch into work.

    A worker that has finished an image pulls the next one itself. Where more than that is to be pulled, because a
    ceiling was raised or the consumer has taken something, a further worker is started.

    Args:
        client: Knows how many calls of a domain are let through.
        domains: Where the calls go, as far as that is known.
        window: Counts the images.

    Attributes:
        closed: Whether no further image is pulled.
    """

    def __init__(self, client: ClovaOCRClient, domains: Iterable[Domain], window: Window) -> None:
        self.closed = asyncio.Event()
        self._client = client
        self._domains = set(domains)
        self._window = window
        self._start: Callable[[], object] = _nobody
        self._pulling = False
        self._returning = asyncio.Lock()
        self._changed = asyncio.Event()

    def open(self, start: Callable[[], object]) -> None:
        """Let images in.

        Args:
            start: Starts a worker that pulls.
        """
        self._start = start
        self._measure()
        self._fill()

    def serve(self, document: type[Document]) -> None:
        """Count the slots of the domains that read a document as well.

        Raises:
            ConfigurationError: There is none, or it is no document class.
        """
        domains = self._client.serving(document)
        if not self._domains.issuperset(domains):
            self._domains.update(domains)
            self.notice()

    async def pull(self, pull: Callable[[], Awaitable[Any]]) -> Pulled | None:
        """Return the next image, which is in work then; None if there is none, or no room, or somebody pulls already.

        Args:
            pull: Returns a pair of image and document class, or EXHAUSTED.
        """
        room = self._room()
        if room < 1:
            return None
        self._pulling = True
        try:
            item = await pull()
        finally:
            self._pulling = False
        if item is EXHAUSTED:
            self.close()
            return None
        source, document = item
        size = _bytes_in(source)
        image = Pulled(self._window.pull(size), source, document, size)
        if room > 1:
            self._fill()
        return image

    async def come_back(self) -> None:
        """Wait until there is room for an image that was put off; it is in work then."""
        async with self._returning:
            while not self._window.may_return():
                self._changed.clear()
                await self._changed.wait()
            self._window.begin()

    def _room(self) -> int:
        """Return how many images may be pulled; below 1 for none, as while somebody pulls."""
        return 0 if self._pulling or self.closed.is_set() else self._window.room()

    def _fill(self) -> None:
        if self._room() > 0:
            self._start()

    def notice(self) -> None:
        """Note that a request leaves, and with it what is known of the ceilings by now."""
        if self._measure():
            self.look()

    def _measure(self) -> bool:
        """Count the calls at once that are let through, without those of other processes; return whether it changed."""
        gates, on_hold = self._client.gates, self._client.on_hold
        slots = 0
        for domain in self._domains:
            if domain not in on_hold:
                slots += max(0, gates[domain].ceiling - gates[domain].elsewhere)
        return self._window.follow(slots)

    def look(self) -> None:
        """Look again whether there is room."""
        self._changed.set()
        self._fill()

    def hold(self, size: int) -> None:
        """Count the bytes of an image that was read."""
        was_full = self._window.unread >= READING
        self._window.hold(size)
        if was_full:
            self._fill()

    def end(self, size: int | None) -> None:
        """Count an image out of work, and the bytes it held; None if it was not read. Its worker pulls the next one."""
        self._window.end(size)
        self._changed.set()

    def hand_out(self, image: Pulled) -> None:
        """Count an image that nothing is to be done for any more."""
        was_closed = not self._window.takes_more
        self._window.hand_out(image.size)
        if was_closed:
            self.look()

    def close(self) -> None:
        """Let no further image in."""
        self.closed.set()


def _nobody() -> None:
    """Start nobody, before a batch is open."""


def _bytes_in(source: Any) -> int:
    """Return the bytes that an image keeps in memory before it is read; 0 for a name of a file."""
    if isinstance(source, Image):
        return len(source.data)
    if isinstance(source, bytes | bytearray):
        return len(source)
    return cast("memoryview[int]", source).nbytes if isinstance(source, memoryview) else 0
