from __future__ import annotations

import asyncio

import pytest
from support.fakes import JPEG, SECRET, FakeTransport, Held, domain, url_of

from clova_ocr_async.cli.terminal.counts import Counts
from clova_ocr_async.cli.terminal.phrases import format_gates
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import IdCard, Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.slots import LocalSlots


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        """Begin at nought."""
        self.now = 0.0

    def __call__(self) -> float:
        """Return seconds."""
        return self.now


async def test_progress_shows_the_domains_that_serve() -> None:
    """The gates of all domains that serve the document are shown together; those of others, or gone, are not."""
    serving = [Domain(url_of(number), SECRET, document=Receipt) for number in (1, 2)]
    other = Domain(url_of(3), SECRET, document=IdCard)
    async with ClovaOCRClient(*serving, other, transport=FakeTransport(), slots=LocalSlots(3)) as client:
        assert format_gates(client, [Receipt]) == "0 of 6 calls at once on 2 domains"
        assert format_gates(client, [IdCard]) == "0 of 3 calls at once"
    counts = Counts(Clock(), gates=lambda: "3 of 5 calls at once")
    assert counts.progress_line() == "0 images, 0.0/s; 3 of 5 calls at once"


@pytest.mark.parametrize(("waiting", "text"), [(0, ""), (4, ", 4 waiting")])
async def test_progress_shows_what_the_gate_does(waiting: int, text: str) -> None:
    """Calls in flight, waiting and refused are shown; a count of none is not."""
    held = Held()
    client = ClovaOCRClient(domain(), transport=FakeTransport(then=held), concurrency=1)
    calls = [asyncio.create_task(client.recognize(JPEG, Receipt)) for _ in range(waiting + 1)]
    await held.reached.wait()
    assert format_gates(client, [Receipt]) == f"1 of 1 call at once{text}"
    held.go_on.set()
    await asyncio.wait(calls)
