from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import KEY, SECRET, URL, FakeTime, SteppedTime, domain, steps, url_of
from support.slots import Holder, holding

from clova_ocr_async.domains import Domain
from clova_ocr_async.errors import (
    AuthenticationError,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    InvalidRequestError,
    MalformedResponseError,
    QuotaExceededError,
    RateLimitError,
    RecognitionError,
    ServerError,
)
from clova_ocr_async.slots import GateState, LocalSlots
from clova_ocr_async.slots.limit import INITIAL_LIMIT, LimitSignal, result_of

if TYPE_CHECKING:
    from clova_ocr_async.slots import Lane
    from clova_ocr_async.slots.limit import SlotResult


def domains_of(count: int, **settings: Any) -> list[Domain]:
    """Return several domains."""
    return [Domain(url_of(number), SECRET, **settings) for number in range(1, count + 1)]


async def ask(slots: LocalSlots, *domains: Domain, count: int = 1, **how: Any) -> list[Holder]:
    """Ask for slots, and wait until those that are free are granted."""
    holders = [Holder(slots, *domains, **how) for _ in range(count)]
    await steps()
    return holders


async def end(*holders: Holder) -> None:
    """End calls without a result."""
    for holder in holders:
        holder.may_end.set()
    for holder in holders:
        await holder.task


# ---------------------------------------------------------------------------------------------------------------------
# Which call gets a slot


async def test_slots_limit_the_calls_of_each_domain() -> None:
    """No more calls than the given number hold slots of a domain, first come, first served, each domain by itself."""
    slots, (one, other) = LocalSlots(2), domains_of(2)
    holders = await ask(slots, one, count=4)
    [apart] = await ask(slots, other)
    assert holding(holders) == [True, True, False, False]
    assert apart.holds
    assert slots.state(one) == GateState(ceiling=2, in_flight=2, waiting=2)
    assert slots.state(other) == GateState(ceiling=2, in_flight=1)
    assert (slots.state(one).free, slots.state(other).free) == (-2, 1)
    await holders[1].end()
    assert holding(holders) == [True, False, True, False]
    await end(*holders, apart)
    assert slots.state(one) == slots.state(other) == GateState(ceiling=2)


async def test_the_order_of_the_queue() -> None:
    """Interactive calls go before those of batches, and in a lane the one with the earliest time goes first."""
    slots, one = LocalSlots(1), domain()
    [current] = await ask(slots, one)
    asked: list[tuple[Lane, float]] = [("batch", 5.0), ("batch", 3.0), ("interactive", 9.0), ("interactive", 7.0)]
    waiting = [(await ask(slots, one, lane=lane, since=since))[0] for lane, since in asked]
    for expected in (3, 2, 1, 0):
        await current.end()
        assert [waiting.index(holder) for holder in waiting if holder.holds] == [expected]
        current = waiting[expected]
    await current.end()


async def test_a_refused_call_keeps_its_place() -> None:
    """A refused call asks again with the time it first came, and gets the next slot."""
    time = FakeTime()
    slots, one = LocalSlots(2, runtime=time.runtime()), domain()
    [other] = await ask(slots, one, since=1.0)
    [first] = await ask(slots, one, since=2.0)
    [next_one] = await ask(slots, one, since=3.0)
    await first.end(LimitSignal(advertised=1))
    [again] = await ask(slots, one, since=2.0)
    assert slots.state(one) == GateState(ceiling=1, in_flight=1, waiting=2, rejections=1)
    await other.end("admitted")
    assert (again.holds, next_one.holds) == (True, False)
    await end(again, next_one)


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_a_cancelled_holder_or_waiter_leaves_no_trace(which: int) -> None:
    """A call that is cancelled while it holds or awaits a slot releases it."""
    slots, one = LocalSlots(1), domain()
    holders = await ask(slots, one, count=3)
    holders[which].task.cancel()
    await steps()
    left = [holder for holder in holders if holder is not holders[which]]
    assert left[0].holds
    assert slots.state(one) == GateState(ceiling=1, in_flight=1, waiting=1)
    await end(*left)
    assert slots.state(one) == GateState(ceiling=1)


@pytest.mark.parametrize("others", [0, 1])
async def test_a_slot_granted_to_a_cancelled_call_goes_to_the_next(others: int) -> None:
    """A slot granted to a call that is cancelled at the same moment goes to the next one, or is free."""
    slots, one = LocalSlots(1), domain()
    first, unlucky, *rest = await ask(slots, one, count=2 + others)
    first.may_end.set()
    for _ in range(10):
        await asyncio.sleep(0)
        if slots.state(one).waiting == others:
            break
    assert not unlucky.holds
    unlucky.task.cancel()
    await asyncio.wait([unlucky.task])
    await steps()
    assert unlucky.task.cancelled()
    assert slots.state(one) == GateState(ceiling=1, in_flight=others)
    assert all(holder.holds for holder in rest)
    await end(*rest)
    assert slots.state(one) == GateState(ceiling=1)


async def test_a_slot_comes_back_after_an_error() -> None:
    """An error inside releases the slot and is raised."""
    slots, one = LocalSlots(1), domain()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - what a body raises
        async with slots.slot([one], "interactive", 0.0):
            assert slots.state(one).free == 0
            raise ZeroDivisionError
    assert slots.state(one).free == 1


# ---------------------------------------------------------------------------------------------------------------------
# Several domains


async def test_the_domain_with_most_free_slots() -> None:
    """A call goes where the most slots are free."""
    slots, domains = LocalSlots(2), domains_of(3)
    before = [*await ask(slots, domains[0], count=2), *await ask(slots, domains[1])]
    holders = await ask(slots, *domains, count=3)
    went = [holder.slot.domain for holder in holders if holder.slot is not None]
    assert went == [domains[2], domains[1], domains[2]]
    await end(*before, *holders)


async def test_a_domain_that_pauses_is_passed_over() -> None:
    """A call does not go to a domain that pauses, however many of its slots are free."""
    time = SteppedTime()
    domains = domains_of(3)
    slots = LocalSlots(9, runtime=time.runtime())
    [refused] = await ask(slots, domains[0])
    await refused.end(LimitSignal(by_rate=True))
    assert slots.state(domains[0]).free == 9
    before = await ask(slots, domains[1], count=3)
    [holder] = await ask(slots, *domains)
    assert holder.slot is not None
    assert holder.slot.domain is domains[2]
    await end(*before, holder)
    assert time.slept == []


async def test_the_domain_with_the_first_free_slot() -> None:
    """A call that waits for several domains gets the first free slot, and leaves the queues of the others."""
    slots, (one, other) = LocalSlots(1), domains_of(2)
    current = [*await ask(slots, one), *await ask(slots, other)]
    both = await ask(slots, one, other, count=2)
    [only_one] = await ask(slots, one)
    assert (slots.state(one).waiting, slots.state(other).waiting) == (3, 2)
    await current[1].end()
    assert both[0].slot is not None
    assert both[0].slot.domain is other
    assert (slots.state(one).waiting, slots.state(other).waiting) == (2, 1)
    await current[0].end()
    assert both[1].slot is not None
    assert both[1].slot.domain is one
    served = [only_one.holds]
    await both[1].end()
    assert [*served, only_one.holds] == [False, True]
    await end(both[0], only_one)
    assert slots.state(one) == slots.state(other) == GateState(ceiling=1)


async def test_interactive_before_batch_across_domains() -> None:
    """An interactive call goes before all calls of batches at each of its domains."""
    slots, (one, other) = LocalSlots(1), domains_of(2)
    current = [*await ask(slots, one), *await ask(slots, other)]
    batch = await ask(slots, one, other, count=3)
    single = await ask(slots, other, one, count=2, lane="interactive", since=99.0)
    await current[0].end()
    await current[1].end()
    assert holding(single) == [True, True]
    assert not any(holder.holds for holder in batch)
    await end(*single, *batch)


# ---------------------------------------------------------------------------------------------------------------------
# What is learned


async def test_an_unknown_limit_is_learned() -> None:
    """Without a given limit calls start with a few at once; answers raise the limit, and a refusal lowers it."""
    slots, one = LocalSlots(runtime=FakeTime().runtime()), domain()
    assert slots.state(one) == GateState(ceiling=INITIAL_LIMIT)
    for _ in range(10):
        for holder in await ask(slots, one, count=slots.state(one).ceiling):
            await holder.end("admitted")
    raised = slots.state(one).ceiling
    assert raised > INITIAL_LIMIT
    *others, last = await ask(slots, one, count=raised)
    await last.end(LimitSignal(advertised=3))
    assert slots.state(one).ceiling == 3
    assert slots.state(one).rejections == 1
    await end(*others)


async def test_an_unknown_result_teaches_nothing() -> None:
    """A call without a result changes nothing."""
    slots, one = LocalSlots(), domain()
    for _ in range(200):
        await end(*await ask(slots, one, count=INITIAL_LIMIT))
    assert slots.state(one) == GateState(ceiling=INITIAL_LIMIT)


async def test_a_given_number_is_never_exceeded() -> None:
    """With a given limit no more calls are tried, however many answers come."""
    slots, one = LocalSlots(2), domain()
    for _ in range(200):
        for holder in await ask(slots, one, count=2):
            await holder.end("admitted")
    assert slots.state(one) == GateState(ceiling=2)


async def test_of_two_limits_the_lower_one_counts() -> None:
    """Neither the limits of a domain nor those of all domains are exceeded."""
    time = FakeTime()
    [own] = domains_of(1, max_concurrency=2, max_per_second=4.0)
    slots = LocalSlots(7, max_per_second=100.0, runtime=time.runtime())
    assert (slots.state(own).ceiling, slots.state(domain()).ceiling) == (2, 7)
    assert LocalSlots(1).state(own).ceiling == 1
    for _ in range(9):
        await end(*await ask(slots, own))
    assert 1.5 <= time.now - 1000 <= 2.5


def test_a_domain_with_two_paths_has_one_limit() -> None:
    """Two URLs of a domain that differ only in the document share its slots."""
    assert domain(f"{URL}/document/receipt").key == domain(f"{URL}/document/passport").key


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "3"])
def test_bad_numbers_of_slots(concurrency: Any) -> None:
    """A number of slots that cannot work is refused by name."""
    with pytest.raises(ConfigurationError, match=r"concurrency is .*; it must be a whole number from 1"):
        LocalSlots(concurrency)


@pytest.mark.parametrize("bound", [0, -1.0, True, "3", float("nan"), float("inf")])
def test_bad_numbers_of_calls_a_second(bound: Any) -> None:
    """A number of calls a second that cannot work is refused by name."""
    with pytest.raises(ConfigurationError, match=r"max_per_second is .*; it must be a number, more than 0"):
        LocalSlots(max_per_second=bound)


def too_many_per_second(status: int, code: str | None = None) -> RateLimitError:
    """Return a gateway's refusal for the number of calls a second."""
    error = RateLimitError(status, code)
    error.kind = "per_second"
    return error


REPORTS: list[tuple[ClovaOCRError, SlotResult | None]] = [
    (RateLimitError(400, "0025"), LimitSignal()),
    (too_many_per_second(429, "410"), LimitSignal(by_rate=True)),
    (too_many_per_second(429), LimitSignal(by_rate=True)),
    (RecognitionError("x"), "admitted"),
    (MalformedResponseError("x"), "admitted"),
    (QuotaExceededError(400, "0023"), None),
    (AuthenticationError(401, "0002"), None),
    (InvalidRequestError(400, "0011"), None),
    (ServerError(500, "0501"), None),
    (ConnectionFailedError("x"), None),
]


@pytest.mark.parametrize(("error", "result"), REPORTS, ids=lambda value: repr(value)[:40])
def test_an_error_is_a_result_for_the_limit(error: ClovaOCRError, result: SlotResult | None) -> None:
    """A refusal for calls at once or their rate, and an answer to a call that was let in, are results for the limit."""
    assert result_of(error) == result


def test_the_content_of_a_refusal_reaches_the_limit() -> None:
    """The number that a refusal names and the time it asks to wait are part of its result."""
    error = RateLimitError(400, "0025")
    error.ceiling, error.retry_after = 5, 3.0
    assert result_of(error) == LimitSignal(advertised=5, retry_after=3.0)


# ---------------------------------------------------------------------------------------------------------------------
# Pauses and the rate


async def test_a_pause_holds_all_calls_back() -> None:
    """After a refusal of the only call no call is sent until the pause is over, and then they are in their order."""
    time = SteppedTime()
    slots, one = LocalSlots(runtime=time.runtime()), domain()
    [alone] = await ask(slots, one)
    await alone.end(LimitSignal())
    waiting = await ask(slots, one, count=2)
    [single] = await ask(slots, one, lane="interactive")
    assert not any(holder.holds for holder in [*waiting, single])
    assert slots.state(one) == GateState(ceiling=1, waiting=3, rejections=1)
    [pause] = time.slept
    await time.go_on(pause * 0.9)
    assert not any(holder.holds for holder in [*waiting, single])
    await time.go_on(pause * 0.2)
    assert holding([*waiting, single]) == [False, False, True]
    for holder in (single, *waiting):
        await holder.end("admitted")
    assert slots.state(one).in_flight == slots.state(one).waiting == 0


async def test_pauses_get_longer() -> None:
    """The pauses grow while no call is let in, up to some seconds."""
    time = SteppedTime()
    slots, one = LocalSlots(runtime=time.runtime()), domain()
    for _ in range(12):
        [alone] = await ask(slots, one)
        await time.go_on(60.0)
        await alone.end(LimitSignal())
    assert time.slept == sorted(time.slept)
    assert time.slept[0] * 4 < time.slept[-1] <= 30


async def test_a_retry_after_is_waited_in_full() -> None:
    """A Retry-After is waited in full before the next call is sent."""
    time = SteppedTime()
    slots, one = LocalSlots(runtime=time.runtime()), domain()
    first, *others = await ask(slots, one, count=3)
    await first.end(LimitSignal(by_rate=True, retry_after=33.0))
    [waiting] = await ask(slots, one)
    served = list[bool]()
    for seconds in (32.9, 0.2):
        await time.go_on(seconds)
        served.append(waiting.holds)
    assert served == [False, True]
    await end(*others, waiting)


@pytest.mark.parametrize("per_second", [50.0, 2.0, 0.2, 0.002])
@pytest.mark.parametrize("queued", [False, True], ids=["one by one", "all at once"])
async def test_calls_a_second(per_second: float, *, queued: bool) -> None:
    """max_per_second bounds the calls that are sent, whether they queue or come one by one, however few it allows."""
    time = FakeTime()
    slots, one, left = LocalSlots(100, max_per_second=per_second, runtime=time.runtime()), domain(), list[float]()

    async def send() -> None:
        async with slots.slot([one], "batch", 0.0):
            left.append(time.now)

    if queued:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(send())
    else:
        for _ in range(20):
            await send()
    assert left == sorted(left)
    seconds = left[-1] - left[0]
    assert 18 / per_second <= seconds <= 20 / per_second


async def test_a_new_call_overtakes_no_call_that_waits_for_the_rate() -> None:
    """A call that comes at the moment when a call may be sent again comes after those that wait."""
    time = SteppedTime()
    slots, one = LocalSlots(9, max_per_second=1.0, runtime=time.runtime()), domain()
    [first, waiting] = await ask(slots, one, count=2)
    time.now += 1.0  # and the timer has not fired yet
    [newcomer] = await ask(slots, one)
    assert (waiting.holds, newcomer.holds) == (True, False)
    await time.go_on(1.0)
    await end(first, waiting, newcomer)


def test_slots_outlive_their_loop() -> None:
    """Slots whose loop ended during a pause serve the next loop."""
    time = SteppedTime()
    slots, one = LocalSlots(runtime=time.runtime()), domain()

    async def first() -> None:
        [alone] = await ask(slots, one)
        await alone.end(LimitSignal())
        await ask(slots, one)

    async def second() -> None:
        [holder] = await ask(slots, one)
        served = [holder.holds]
        await time.go_on(60.0)
        assert [*served, holder.holds] == [False, True]
        await end(holder)

    asyncio.run(first())
    assert slots.state(one).waiting == 0
    asyncio.run(second())


async def test_a_cancelled_timer_is_set_again() -> None:
    """When every task of the loop is cancelled, the next call gets a timer of its own."""
    time = SteppedTime()
    slots, one = LocalSlots(runtime=time.runtime()), domain()
    [alone] = await ask(slots, one)
    await alone.end(LimitSignal())
    [waiting] = await ask(slots, one)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.wait([waiting.task])
    [later] = await ask(slots, one)
    await time.go_on(60.0)
    assert later.holds
    await end(later)


# ---------------------------------------------------------------------------------------------------------------------
# What is logged


async def test_what_is_learned_is_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """A changed limit and a new rate are logged at INFO, with the domain's key masked."""
    caplog.set_level(logging.INFO, logger="clova_ocr_async")
    slots, one = LocalSlots(runtime=FakeTime().runtime()), domain()
    for _ in range(10):
        for holder in await ask(slots, one, count=slots.state(one).ceiling):
            await holder.end("admitted")
    assert "more calls are let in" in caplog.text
    *others, last = await ask(slots, one, count=slots.state(one).ceiling)
    await last.end(LimitSignal(advertised=3))
    await end(*others)
    assert "3 calls at once, not " in caplog.messages[-1]
    assert "a call was refused" in caplog.messages[-1]
    for _ in range(20):
        [holder] = await ask(slots, one)
        await holder.end("admitted")
    [holder] = await ask(slots, one)
    await holder.end(LimitSignal(by_rate=True))
    pace = slots.state(one).pace
    assert pace is not None
    assert f"{pace:.2f} calls a second at most" in caplog.messages[-1]
    assert {record.levelno for record in caplog.records} == {logging.INFO}
    assert "/777/***" in caplog.text
    assert KEY not in caplog.text
    assert SECRET not in caplog.text


async def test_answers_that_change_nothing_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged while nothing is learned."""
    caplog.set_level(logging.DEBUG, logger="clova_ocr_async")
    slots, one = LocalSlots(3), domain()
    for holder in await ask(slots, one, count=3):
        await holder.end("admitted")
    assert caplog.records == []
