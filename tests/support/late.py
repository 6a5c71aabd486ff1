"""A client with one slot whose first request is held, for tests of late answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clova_ocr_async.client import (
    AnswerDropped,
    AnswerKept,
    AnswerTaken,
    CallFinished,
    ClovaOCRClient,
    Event,
    RetryPolicy,
)
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import (
    Billing,
)
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.protocol.response import HTTPResponse
from clova_ocr_async.slots import LocalSlots
from support.fakes import (
    JPEG,
    FakeTransport,
    Held,
    domain,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NOT, MAYBE, BILLED = Billing
LATE = (AnswerKept, AnswerTaken, AnswerDropped)


@dataclass
class Case:
    """A client with one slot, the events of its late answers, and the first request held.

    Attributes:
        events: All events.
        held: Holds the first request.
        transport: The wire.
        slots: The slots.
    """

    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    step: Any = None
    events: list[Event] = field(default_factory=list[Event])

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.held = Held(self.step)
        self.transport = FakeTransport(self.held)
        runtime = Runtime(clock=loop.time, sleep=asyncio.sleep)
        self.slots = LocalSlots(2, runtime=runtime)
        self.client = ClovaOCRClient(
            domain(),
            transport=self.transport,
            slots=self.slots,
            runtime=runtime,
            **{"retry": RetryPolicy(max_attempts=1), "hooks": [self.events.append], **self.settings},
        )

    def call(self, image: Any = JPEG, **settings: Any) -> asyncio.Task[Any]:
        """Begin a call."""
        return asyncio.create_task(self.client.recognize(image, Receipt, **settings))

    async def lose(self, image: Any = JPEG, **settings: Any) -> None:
        """Begin a call, and cancel it when its request is in flight."""
        call = self.call(image, **settings)
        await self.held.reached.wait()
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()

    def late(self) -> list[Any]:
        """Return the events of late answers."""
        return [event for event in self.events if isinstance(event, LATE)]

    def finished(self) -> list[tuple[int, Billing]]:
        """Return how many requests each call has sent, and what it may have cost."""
        return [(event.attempts, event.billing) for event in self.events if isinstance(event, CallFinished)]

    @property
    def in_flight(self) -> int:
        """Slots that are held."""
        return self.slots.state(self.client.domains[0]).in_flight


async def reached(what: Callable[[], object]) -> None:
    """Let the loop go on until something is so."""
    while not what():  # noqa: ASYNC110 - what is waited for is in another object, which has no event for it
        await asyncio.sleep(0)


async def lost_answers(case: Case, count: int, body: bytes = b"") -> list[bytes]:
    """Lose the callers of some calls, and let them be answered; return their pictures."""
    pictures = [JPEG + number.to_bytes(4, "big") for number in range(count)]
    case.transport.steps.clear()
    case.transport.then = Held(HTTPResponse(200, body)) if body else Held()
    for picture in pictures:
        call = case.call(picture)
        await case.transport.then.reached.wait()
        call.cancel()
        await asyncio.wait([call])
        case.transport.then.go_on.set()
        await reached(lambda: case.in_flight == 0)
        case.transport.then.go_on.clear()
        case.transport.then.reached.clear()
    case.transport.then = None
    return pictures
