"""A call that is cancelled at any step of the loop: its billing is always known, and its slot is always released."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass

import pytest
from support.fakes import (
    JPEG,
    Connection,
    raw_server,
)
from support.late import NOT

from clova_ocr_async.client import (
    AnswerDropped,
    AnswerKept,
    AttemptFinished,
    ClovaOCRClient,
    Event,
)
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator, draw_sample


@dataclass
class Ledger:
    """The billing of a client's calls, by its events.

    Attributes:
        given: Answers that callers got.
        kept: Answers that are kept.
        dropped: Answers that no call got.
    """

    given: int = 0
    kept: int = 0
    dropped: int = 0

    def note(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, AttemptFinished):
            self.given += event.error is None
        elif isinstance(event, AnswerKept):
            self.kept += 1
        elif isinstance(event, AnswerDropped) and event.billing is not NOT:
            self.kept -= event.reason in {"expired", "no room", "closed"}
            self.dropped += 1


async def cancelled_after(turns: int, *, how: str) -> bool:
    """Cancel a call after so many turns of the loop; return whether it was still running."""
    picture = draw_sample("receipt").data
    ledger = Ledger()
    async with Emulator(concurrency=2) as clova:
        client = ClovaOCRClient(
            Domain(clova.url(), clova.secret), concurrency=1, hooks=[ledger.note], keep_late_answers=60.0
        )
        call = asyncio.create_task(client.recognize(picture, Receipt))
        second = asyncio.create_task(client.recognize(picture, Receipt)) if how == "two" else None
        for _ in range(turns):
            await asyncio.sleep(0)
        under_way = not call.done()
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled() or not under_way
        if second is not None:
            await second
        other = await client.recognize(picture + b"other", Receipt)
        assert other.attempts == 1
        again = await client.recognize(picture, Receipt)
        [gate] = client.gates.values()
        assert (gate.in_flight, gate.waiting) == (0, 0)
        taken = int(again.attempts == 0)  # kept before, by the count
        ledger.kept -= taken
        ledger.given += taken
        assert clova.billed.total() == ledger.given + ledger.kept + ledger.dropped
        assert ledger.dropped == 0
        assert call.cancelled() or ledger.given >= 3
        await client.close()
        assert clova.billed.total() == ledger.given + ledger.dropped
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
    return under_way


@pytest.mark.parametrize("how", ["alone", "two"])
async def test_cancelled_at_every_turn_of_the_loop(how: str) -> None:
    """Whenever a call is cancelled, what was billed is what callers got, what is kept, and what was dropped."""
    for turns in itertools.count():
        if not await cancelled_after(turns, how=how):
            break
    assert turns > 10


async def test_a_connection_is_not_left_open() -> None:
    """A request that runs on ends with its answer, and its connection serves the next call."""
    came, answers = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        for _ in range(2):
            await connection.request()
            came.set()
            await answers.wait()
            body = b'{"images":[{"inferResult":"SUCCESS","receipt":{}}]}'
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await connection.hung_up()

    async with raw_server(script) as server:
        where = Domain(server.url, "s" * 20)
        async with ClovaOCRClient(where) as client:
            call = asyncio.create_task(client.recognize(JPEG, Receipt))
            await came.wait()
            call.cancel()
            await asyncio.wait([call])
            answers.set()
            assert (await client.recognize(JPEG, Receipt)).attempts == 0
            assert (await client.recognize(JPEG, Receipt)).attempts == 1
        assert server.connections == 1
