"""A client whose domain is on hold."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Self

from clova_ocr_async.client import ClovaOCRClient, HoldChanged
from clova_ocr_async.documents import Receipt
from support.fakes import JPEG, FakeTime, FakeTransport, domain

if TYPE_CHECKING:
    from clova_ocr_async.client import Event
    from clova_ocr_async.documents import Recognition
    from clova_ocr_async.slots import Lane

__all__ = ["HeldDomain"]


class HeldDomain:
    """A client whose first call, of a batch, has put the domain on hold and waits in its backoff, until let go.

    Args:
        answers: The answers to its requests; the first one puts the domain on hold.
        then: The answer to all later ones; a recognition if not given.
        settings: The client's.
    """

    lane: ClassVar[Lane] = "batch"
    """The lane of further calls."""

    def __init__(self, *answers: Any, then: Any = None, **settings: Any) -> None:
        self.time = FakeTime()
        self.time.gate = asyncio.Event()
        self.transport = FakeTransport(*answers, then=then)
        self.events: list[Event] = []
        self.client = ClovaOCRClient(
            domain(),
            transport=self.transport,
            runtime=self.time.runtime(),
            hooks=[self.events.append],
            **({"concurrency": 2} | settings),
        )
        self.prober = self.call("batch")

    def call(self, lane: Lane | None = None) -> asyncio.Task[Recognition[Receipt]]:
        """Start a call."""
        return asyncio.create_task(self.client.recognize(JPEG, Receipt, lane=lane or self.lane))

    async def held(self) -> Self:
        """Wait until the prober backs off."""
        await self.time.asleep.wait()
        return self

    def let_go(self) -> None:
        """End the backoff, and all later ones at once."""
        assert self.time.gate is not None
        self.time.gate.set()

    @property
    def changes(self) -> list[tuple[str, bool]]:
        """The events of breakers."""
        return [(event.cause, event.held) for event in self.events if isinstance(event, HoldChanged)]
