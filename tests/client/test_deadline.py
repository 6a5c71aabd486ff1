from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import (
    BUSY,
    FAILED,
    JPEG,
    KEY,
    PATIENT,
    SECRET,
    FakeTime,
    FakeTransport,
    Held,
    RecordingJournal,
    Sent,
    domain,
    jump,
    run_jumping,
    steps,
)

from clova_ocr_async.client import CallFinished, ClovaOCRClient, Event, RequestProgress, RetryPolicy
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import (
    Billing,
    ClovaOCRError,
    ConnectionFailedError,
    ConnectionLostError,
    InvalidRequestError,
    MalformedResponseError,
    OverloadedError,
    RateLimitError,
    ResponseTimeoutError,
    ServerError,
)
from clova_ocr_async.protocol.response import HTTPResponse
from clova_ocr_async.slots import Lane, LocalSlots

if TYPE_CHECKING:
    from clova_ocr_async.protocol.request import HTTPRequest

NOT, MAYBE, BILLED = Billing


class StuckTransport(FakeTransport):
    """A transport whose request comes so far, and then the deadline passes."""

    def __init__(self, *steps: Any, body_began: bool = True, response: HTTPResponse | None = None) -> None:
        super().__init__(*steps)
        self.body_began = body_began
        self.response = response

    async def send(self, request: HTTPRequest, progress: RequestProgress) -> HTTPResponse:
        """Get stuck, unless there is a step."""
        if self.steps:
            return await super().send(request, progress)
        progress.body_began = self.body_began
        if self.response is not None:
            progress.begin_response(self.response.status, {})
            progress.receive(self.response.body)
        jump(301)
        await asyncio.Event().wait()
        raise AssertionError


def late(transport: FakeTransport, lane: Any = "interactive", **settings: Any) -> Any:
    """Call with a deadline that passes, and return the error."""
    found: list[ClovaOCRError] = []

    async def main() -> None:
        client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime(), **settings)
        with pytest.raises(ClovaOCRError) as caught:
            await client.recognize(JPEG, Receipt, lane=lane)
        found.append(caught.value)
        await steps()
        jump(61)  # past the time that a request runs on without its caller
        await steps()
        [gate] = client.gates.values()
        assert (gate.in_flight, gate.waiting) == (0, 0)

    run_jumping(main())
    return found[0]


@pytest.mark.parametrize("lane", ["interactive", "batch"])
def test_before_anything_was_sent(lane: Any) -> None:
    """A deadline that passes before the body began is a failed connection, certainly not paid."""
    failure = late(StuckTransport(body_began=False), lane, retry=RetryPolicy(max_attempts=1, outage_patience=0))
    assert type(failure) is ConnectionFailedError
    assert (failure.billing, failure.attempts) == (NOT, 1)
    assert "deadline of 300 s" in str(failure)


@pytest.mark.parametrize("lane", ["interactive", "batch"])
def test_while_waiting_for_the_answer(lane: Any) -> None:
    """A deadline that passes in flight is a response timeout, and maybe billed."""
    failure = late(StuckTransport(), lane)
    assert type(failure) is ResponseTimeoutError
    assert (failure.billing, failure.attempts, failure.request_id) == (MAYBE, 1, failure.request_id)
    assert failure.request_id is not None
    assert "it may have been billed" in str(failure)


def test_in_the_answers_body() -> None:
    """A deadline that passes in the answer's body keeps what had come of it, as paid."""
    failure = late(StuckTransport(response=HTTPResponse(200, b'{"images":[{')), "batch")
    assert type(failure) is MalformedResponseError
    assert (failure.billing, failure.raw) == (BILLED, b'{"images":[{')
    assert "deadline" in str(failure)


def test_in_the_body_of_an_answer_that_goes_on_coming() -> None:
    """A single call whose answer goes on coming without it has timed out, is paid, and shows what had come."""
    failure = late(StuckTransport(response=HTTPResponse(200, b'{"images":[{')))
    assert type(failure) is ResponseTimeoutError
    assert (failure.billing, failure.raw) == (BILLED, b'{"images":[{')
    assert "deadline of 300 s" in str(failure)
    assert "while its answer came; it was billed" in str(failure)
    assert "may have been" not in str(failure)


def test_a_cut_answer_reaches_the_journal() -> None:
    """In a batch, an answer that the deadline cuts short reaches the journal as an answer."""
    journal = RecordingJournal()

    async def main() -> None:
        transport = StuckTransport(response=HTTPResponse(200, b'{"images":[{'))
        client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime())
        with pytest.raises(MalformedResponseError):
            await client.recognize(JPEG, Receipt, lane="batch", journal=journal)

    run_jumping(main())
    assert journal.log == ["sending", "answered"]
    assert (journal.calls[1][1].body, journal.calls[1][1].cut is None) == (b'{"images":[{', False)


@pytest.mark.parametrize("lane", ["interactive", "batch"])
def test_in_the_body_of_an_error(lane: Any) -> None:
    """A deadline in the body of an error answer is that error, judged by what had come and with nothing secret."""
    body = f'{{"code":"0011","message":"{SECRET} {KEY}"}}'.encode()
    failure = late(StuckTransport(response=HTTPResponse(400, body)), lane)
    assert type(failure) is InvalidRequestError
    assert failure.billing is NOT
    assert failure.message == "*** ***"


@pytest.mark.parametrize(
    ("step", "kind", "billing"),
    [(BUSY, RateLimitError, NOT), (FAILED, ServerError, MAYBE), (ConnectionLostError, ConnectionLostError, MAYBE)],
)
def test_in_backoff(step: Any, kind: type[ClovaOCRError], billing: Billing) -> None:
    """A deadline that passes between two attempts raises what the last one ended in."""

    async def main() -> None:
        time = FakeTime()
        time.gate = asyncio.Event()
        transport = FakeTransport(step)
        client = ClovaOCRClient(domain(), transport=transport, runtime=time.runtime(), deadline=1.5, retry=PATIENT)
        call = asyncio.create_task(client.recognize(JPEG, Receipt))
        await time.asleep.wait()
        jump(2)
        with pytest.raises(kind) as caught:
            await call
        assert (caught.value.attempts, caught.value.billing, len(transport.sent)) == (1, billing, 1)

    run_jumping(main())


def test_the_billing_of_earlier_attempts_stays() -> None:
    """A deadline in a later attempt has the worst billing of all attempts."""
    failure = late(StuckTransport(FAILED, body_began=False))
    assert type(failure) is ConnectionFailedError
    assert (failure.billing, failure.attempts) == (MAYBE, 2)


def test_in_the_queue() -> None:
    """A single call that waits for a slot until its deadline has sent nothing and wants nothing any more."""

    async def main() -> None:
        held, slots = Held(), LocalSlots(1)
        transport = FakeTransport(held)
        client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime(), slots=slots)
        batch = asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch"))
        await held.reached.wait()
        jump(100)  # so that the two deadlines are not the same
        await steps(1)
        single = asyncio.create_task(client.recognize(JPEG, Receipt))
        waiting = asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch"))
        await steps()
        held.step = None
        jump(199.9)
        await steps()
        assert not single.done()
        held.go_on.set()
        await batch
        assert (await single).attempts == 1
        assert (await waiting).attempts == 1

        held = Held()
        transport.steps.append(held)
        first = asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch"))
        await held.reached.wait()
        single = asyncio.create_task(client.recognize(JPEG, Receipt))
        await steps()
        jump(299.5)
        await steps()
        held.go_on.set()
        await first
        await single
        assert slots.state(client.domains[0]).free == 1

    run_jumping(main())


def test_waiting_is_bounded_for_single_calls_only() -> None:
    """Without a free slot a single call fails at its deadline, and a call of a batch waits on."""

    async def main() -> None:
        slots = LocalSlots(1)
        transport = FakeTransport()
        client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime(), slots=slots)
        async with slots.slot(client.domains, "batch", 0.0):
            single = asyncio.create_task(client.recognize(JPEG, Receipt))
            batch = asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch"))
            await steps()
            jump(100_000)
            with pytest.raises(OverloadedError, match="no slot was free in time") as caught:
                await single
            assert (caught.value.billing, caught.value.retry_after > 0) == (NOT, True)
            assert (caught.value.attempts, caught.value.request_id, transport.sent) == (0, None, [])
            await steps()
            assert not batch.done()
        assert (await batch).attempts == 1
        assert slots.state(client.domains[0]).free == 1

    run_jumping(main())


def test_each_call_ends_at_its_own_deadline() -> None:
    """Calls of one client end each at its own deadline, whatever the order in which they began."""

    async def main() -> None:
        transport = FakeTransport(Held(), Held(), Held())
        client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime())
        lanes: list[Lane] = ["interactive", "batch", "interactive"]
        calls = [
            asyncio.create_task(client.recognize(JPEG, Receipt, deadline=seconds, lane=lane))
            for seconds, lane in zip((30, 10, 20), lanes, strict=True)
        ]
        await steps()
        for ended in ([], calls[1:2], calls[1:], calls):
            assert [call for call in calls if call.done()] == ended
            jump(10)
            await steps()
        assert {type(call.exception()) for call in calls} == {ResponseTimeoutError}
        await client.close(wait=0)

    run_jumping(main())


def test_no_deadline() -> None:
    """deadline=None bounds nothing."""

    async def main() -> None:
        lanes: list[Lane] = ["interactive", "batch"]
        for lane in lanes:
            held = Held()
            client = ClovaOCRClient(
                domain(), transport=FakeTransport(held), runtime=FakeTime().runtime(), deadline=None
            )
            call = asyncio.create_task(client.recognize(JPEG, Receipt, lane=lane))
            await held.reached.wait()
            jump(1e6)
            await steps()
            assert not call.done()
            held.go_on.set()
            await call

    run_jumping(main())


@pytest.mark.parametrize("lane", ["interactive", "batch"])
async def test_a_timeout_of_somebody_else_is_not_ours(lane: Any) -> None:
    """A TimeoutError that is not the deadline's comes out as it is."""

    async def stranger(_: Sent) -> HTTPResponse:
        raise TimeoutError("of the caller's own transport")

    client = ClovaOCRClient(domain(), transport=FakeTransport(stranger), runtime=FakeTime().runtime())
    with pytest.raises(TimeoutError, match="own transport"):
        await client.recognize(JPEG, Receipt, lane=lane)


@pytest.mark.parametrize(
    ("body_began", "response", "billing"),
    [
        (False, None, NOT),
        (True, None, MAYBE),
        (True, HTTPResponse(200, b"{"), BILLED),
        (True, HTTPResponse(400, b"{"), MAYBE),
    ],
    ids=str,
)
async def test_what_a_cancelled_call_may_cost(
    body_began: bool, response: HTTPResponse | None, billing: Billing
) -> None:
    """CallFinished of a cancelled call has the billing of the request in flight."""
    events: list[Event] = []
    reached = asyncio.Event()

    class Transport(FakeTransport):
        async def send(self, request: HTTPRequest, progress: RequestProgress) -> HTTPResponse:
            if self.steps:
                return await super().send(request, progress)
            progress.body_began = body_began
            if response is not None:
                progress.begin_response(response.status, {})
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError

    for steps_before, worst in (((), billing), ((BUSY,), billing), ((FAILED,), max(billing, MAYBE))):
        client = ClovaOCRClient(
            domain(), transport=Transport(*steps_before), runtime=FakeTime().runtime(), hooks=[events.append]
        )
        call = asyncio.create_task(client.recognize(JPEG, Receipt))
        await reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        finished = events[-1]
        assert isinstance(finished, CallFinished)
        assert finished.billing is worst
        assert isinstance(finished.error, asyncio.CancelledError)
        reached.clear()
