from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.fakes import (
    BUSY,
    FAILED,
    JPEG,
    KEY,
    SECRET,
    SPENT,
    FakeTime,
    FakeTransport,
    Held,
    Sent,
    domain,
    jump,
    run_jumping,
    steps,
    success,
    url_of,
)
from support.holds import HeldDomain

from clova_ocr_async.client import ClovaOCRClient, Event, RetryPolicy
from clova_ocr_async.client.hooks import HoldChanged
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.errors import Billing, QuotaExceededError
from clova_ocr_async.protocol.response import HTTPResponse
from clova_ocr_async.slots.local import LocalSlots


def two_domains() -> list[Domain]:
    """Return two domains for any document."""
    return [Domain(url_of(number), SECRET) for number in (1, 2)]


def hosts(transport: FakeTransport) -> list[str]:
    """Return the number of each request's domain."""
    return [sent.request.url.split(".")[0][-1] for sent in transport.sent]


def holds_told(events: list[Event]) -> list[tuple[str, str, bool]]:
    """Return the events of breakers, each domain as its number."""
    changes = [event for event in events if isinstance(event, HoldChanged)]
    assert not any(KEY in event.domain for event in changes)
    return [(event.domain.split(".")[0][-1], event.cause, event.held) for event in changes]


class Scene(HeldDomain):
    """A client whose first call meets a spent quota and stands in its backoff, until let go."""

    lane = "interactive"

    def __init__(self, *later: Any, **settings: Any) -> None:
        super().__init__(SPENT, *later, **settings)


async def test_single_calls_fail_at_once() -> None:
    """While a call probes, a single call sends nothing, and its error names the time of the next probe."""
    scene = await Scene().held()
    with pytest.raises(QuotaExceededError) as caught:
        await scene.call()
    failure = caught.value
    assert (failure.retry_after, failure.attempts, failure.request_id) == (0.5, 0, None)
    assert (failure.code, failure.billing, failure.stops_run) == ("0023", Billing.NOT_BILLED, True)
    assert len(scene.transport.sent) == 1
    scene.let_go()
    assert (await scene.prober).attempts == 2
    assert (await scene.call()).attempts == 1


async def test_a_batch_waits_and_goes_on() -> None:
    """Calls of a batch wait without a slot while one probes, and go on when the quota is back."""
    scene = await Scene(SPENT, SPENT).held()
    waiting = [scene.call("batch") for _ in range(5)]
    await steps(50)
    assert len(scene.transport.sent) == 1
    scene.let_go()
    assert (await scene.prober).attempts == 4
    assert [(await task).attempts for task in waiting] == [1] * 5


async def test_a_batch_fails_when_the_probes_are_spent() -> None:
    """When the prober gives up, all waiting calls fail with it and have sent nothing."""
    scene = await Scene(then=SPENT, retry=RetryPolicy(quota_probes=2)).held()
    waiting = [scene.call("batch") for _ in range(5)]
    await steps(50)
    scene.let_go()
    for task in [scene.prober, *waiting]:
        with pytest.raises(QuotaExceededError):
            await task
    assert len(scene.transport.sent) == 3
    # The next call asks anew.
    scene.transport.then = None
    assert (await scene.call()).attempts == 1


@pytest.mark.parametrize("lane", ["interactive", "batch"])
async def test_a_cancelled_prober_lets_go(lane: Any) -> None:
    """When the probing call is cancelled, another one probes."""
    scene = await Scene(SPENT).held()
    waiting = scene.call("batch")
    await steps()
    scene.prober.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scene.prober
    scene.let_go()
    assert (await waiting).attempts == 2
    assert (await scene.call(lane)).attempts == 1


async def test_a_prober_that_fails_otherwise_lets_go() -> None:
    """A prober that ends in another error than a spent quota lets the others go on."""
    scene = await Scene(HTTPResponse(504, b"")).held()
    waiting = scene.call("batch")
    await steps()
    scene.let_go()
    with pytest.raises(Exception, match="504"):
        await scene.prober
    assert (await waiting).attempts == 1


async def test_a_prober_may_meet_other_refusals() -> None:
    """A prober that meets the rate limit or a failing server goes on probing."""
    scene = await Scene(BUSY, FAILED, SPENT).held()
    scene.let_go()
    assert (await scene.prober).attempts == 5
    # Before the next probes, and before the next attempt; for the rate it waited for a slot.
    assert [seconds for seconds in scene.time.slept if seconds in {0.5, 1.0}] == [0.5, 1.0, 1.0]


async def test_who_queued_does_not_run_into_it() -> None:
    """A call that waits for a slot while the quota runs out checks the breaker before it is sent."""
    held = Held(SPENT)
    scene = Scene(concurrency=1)
    scene.transport.steps.clear()
    scene.transport.steps.append(held)
    await held.reached.wait()
    single, batch = scene.call(), scene.call("batch")
    await steps()
    held.go_on.set()
    await scene.held()
    with pytest.raises(QuotaExceededError):
        await single
    await steps()
    assert len(scene.transport.sent) == 1
    scene.let_go()
    assert (await batch).attempts == 1


@pytest.mark.parametrize("lane", ["interactive", "batch"])
async def test_two_that_meet_it_together(lane: Any) -> None:
    """Of two calls in flight when the quota runs out one probes; the other fails, or waits if of a batch."""
    held = Held(SPENT)
    scene = Scene()
    scene.transport.steps.append(held)
    other = scene.call(lane)
    await scene.held()
    await held.reached.wait()
    held.go_on.set()
    await steps()
    if lane == "interactive":
        with pytest.raises(QuotaExceededError) as caught:
            await other
        assert (caught.value.retry_after, caught.value.attempts) == (0.5, 1)
    scene.let_go()
    assert (await scene.prober).attempts == 2
    if lane == "batch":
        assert (await other).attempts == 2


async def test_refusals_before_probing_use_up_no_probe() -> None:
    """A call that met the spent quota while another probed has all its probes left when its turn comes."""
    held = Held(SPENT)
    scene = Scene(retry=RetryPolicy(quota_probes=1))
    scene.transport.steps.append(held)
    other = scene.call("batch")
    await scene.held()
    await held.reached.wait()
    held.go_on.set()
    await steps()
    scene.transport.steps.extend([None, SPENT])
    scene.let_go()
    assert (await scene.prober).attempts == 2
    assert (await other).attempts == 3


async def test_the_other_domain_takes_over() -> None:
    """A call that meets a spent quota goes to the next domain at once, whose answer proves nothing about the first."""
    transport, time, events = FakeTransport(SPENT), FakeTime(), list[Event]()
    client = ClovaOCRClient(*two_domains(), transport=transport, runtime=time.runtime(), hooks=[events.append])
    assert (await client.recognize(JPEG, Receipt)).attempts == 2
    assert hosts(transport) == ["1", "2"]
    assert time.slept == []
    assert holds_told(events) == [("1", "quota", True)]


@pytest.mark.parametrize("lane", ["interactive", "batch"])
async def test_a_domain_on_hold_is_asked_again_while_another_serves(lane: Any) -> None:
    """With another domain to go to, a spent quota is asked about when it is due, by one call, which then moves on."""
    transport, time, events = FakeTransport(SPENT, None, None, SPENT), FakeTime(), list[Event]()
    client = ClovaOCRClient(*two_domains(), transport=transport, runtime=time.runtime(), hooks=[events.append])
    for _ in range(2):
        await client.recognize(JPEG, Receipt, lane=lane)
    time.now += 0.5
    assert (await client.recognize(JPEG, Receipt, lane=lane)).attempts == 2
    await client.recognize(JPEG, Receipt, lane=lane)
    time.now += 1.0
    await client.recognize(JPEG, Receipt, lane=lane)
    assert hosts(transport) == ["1", "2", "2", "1", "2", "2", "1"]
    assert time.slept == []
    assert holds_told(events) == [("1", "quota", True), ("1", "quota", False)]


async def test_a_single_call_that_comes_too_late_goes_elsewhere() -> None:
    """A single call that meets a quota which another call has found spent takes the domain that is free."""
    late, busy = Held(SPENT), Held()
    transport = FakeTransport(late, busy, SPENT)
    client = ClovaOCRClient(*two_domains(), transport=transport, runtime=FakeTime().runtime())
    first, second = (asyncio.create_task(client.recognize(JPEG, Receipt)) for _ in range(2))
    await steps()
    assert (await client.recognize(JPEG, Receipt)).attempts == 2
    late.go_on.set()
    busy.go_on.set()
    assert ((await first).attempts, (await second).attempts) == (2, 1)
    assert hosts(transport) == ["1", "2", "1", "2", "2"]


@pytest.mark.parametrize("last", [None, SPENT])
async def test_a_call_that_probes_two_domains_lets_go_of_both(last: HTTPResponse | None) -> None:
    """A call that has met the spent quota of two domains probes both, and releases both however it ends."""
    transport, time = FakeTransport(SPENT, SPENT, then=last), FakeTime()
    domains = [Domain(url_of(number), SECRET) for number in (1, 2)]
    client = ClovaOCRClient(*domains, transport=transport, runtime=time.runtime())
    if last is None:
        assert (await client.recognize(JPEG, Receipt)).attempts == 3
    else:
        with pytest.raises(QuotaExceededError):
            await client.recognize(JPEG, Receipt)
    transport.then = None
    batch = [asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch")) for _ in range(4)]
    assert [(await task).attempts for task in batch] == [1] * 4


def test_a_prober_out_of_time_fails_nobody_else() -> None:
    """A single call whose deadline ends its probing does not make a batch give up."""

    async def main() -> None:
        time = FakeTime()
        time.gate = asyncio.Event()
        client = ClovaOCRClient(
            domain(), transport=FakeTransport(SPENT), runtime=time.runtime(), deadline=5.0, slots=LocalSlots(1)
        )
        single = asyncio.create_task(client.recognize(JPEG, Receipt))
        await time.asleep.wait()
        batch = asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch"))
        await steps()
        jump(6.0)
        with pytest.raises(QuotaExceededError) as caught:
            await single
        assert caught.value.attempts == 1
        assert (await batch).attempts == 1

    run_jumping(main())


async def test_a_whole_batch_through_a_spent_quota() -> None:
    """Fifty calls of a batch over an outage of the quota are each read, and only one asks meanwhile."""
    left = 7

    async def meter(sent: Sent) -> HTTPResponse:
        nonlocal left
        if left == 0:
            refused.append(sent)
            left = 100 if len(refused) == 6 else 0
            return SPENT
        left -= 1
        return success(sent.request)

    refused: list[Sent] = []
    transport = FakeTransport(then=meter)
    client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime(), concurrency=3)
    calls = [asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch")) for _ in range(50)]
    assert len([await call for call in calls]) == 50
    assert len(refused) <= 8
