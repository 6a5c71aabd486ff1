from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import KEY, SECRET, URL, FakeTime, SteppedTime, domain, steps, url_of

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
from clova_ocr_async.slots.interface import report_to_slot
from clova_ocr_async.slots.limit import START, LimitSignal

if TYPE_CHECKING:
    from clova_ocr_async.slots import Lane, Slot
    from clova_ocr_async.slots.limit import SlotResult


class Holder:
    """Someone who takes a slot in a task of his own and keeps it until let go."""

    def __init__(self, slots: LocalSlots, *domains: Domain, lane: Lane = "batch", since: float = 0.0) -> None:
        self.slot: Slot | None = None
        self.let_go = asyncio.Event()
        self.task = asyncio.create_task(self._hold(slots, domains, lane, since))

    async def _hold(self, slots: LocalSlots, domains: tuple[Domain, ...], lane: Lane, since: float) -> None:
        async with slots.slot(domains, lane, since) as self.slot:
            await self.let_go.wait()
        self.slot = None

    @property
    def holds(self) -> bool:
        """Whether he has his slot."""
        return self.slot is not None

    async def end(self, outcome: SlotResult | None = None) -> None:
        """Let him go, once he has told what became of his call, and see who is next."""
        assert self.slot is not None
        if isinstance(outcome, LimitSignal):
            self.slot.refused(outcome)
        elif outcome is not None:
            self.slot.admitted()
        self.let_go.set()
        await self.task
        await steps()


def domains_of(count: int, **settings: Any) -> list[Domain]:
    """Return several domains."""
    return [Domain(url_of(number), SECRET, **settings) for number in range(1, count + 1)]


async def held(slots: LocalSlots, *domains: Domain, count: int = 1, **how: Any) -> list[Holder]:
    """Ask for slots and see who gets them."""
    holders = [Holder(slots, *domains, **how) for _ in range(count)]
    await steps()
    return holders


async def end(*holders: Holder) -> None:
    """Let everybody go."""
    for holder in holders:
        holder.let_go.set()
    for holder in holders:
        await holder.task


# ---------------------------------------------------------------------------------------------------------------------
# Who gets a slot


async def test_slots_are_a_ceiling_per_domain() -> None:
    """No more than the given number hold a domain's slots at once, first come first served, each domain by itself."""
    slots, (one, other) = LocalSlots(2), domains_of(2)
    holders = await held(slots, one, count=4)
    [apart] = await held(slots, other)
    assert [holder.holds for holder in holders] == [True, True, False, False]
    assert apart.holds
    assert slots.state(one) == GateState(ceiling=2, in_flight=2, waiting=2)
    assert slots.state(other) == GateState(ceiling=2, in_flight=1)
    assert (slots.state(one).free, slots.state(other).free) == (-2, 1)
    await holders[1].end()
    assert [holder.holds for holder in holders] == [True, False, True, False]
    await end(*holders, apart)
    assert slots.state(one) == slots.state(other) == GateState(ceiling=2)


async def test_who_goes_first() -> None:
    """Interactive calls go before those of batches, and whoever has waited longest goes first, however late he asks."""
    slots, one = LocalSlots(1), domain()
    [holding] = await held(slots, one)
    asked: list[tuple[Lane, float]] = [("batch", 5.0), ("batch", 3.0), ("interactive", 9.0), ("interactive", 7.0)]
    waiting = [(await held(slots, one, lane=lane, since=since))[0] for lane, since in asked]
    for expected in (3, 2, 1, 0):
        await holding.end()
        assert [waiting.index(holder) for holder in waiting if holder.holds] == [expected]
        holding = waiting[expected]
    await holding.end()


async def test_a_refused_call_keeps_its_place() -> None:
    """A call that was refused comes again with the time it first came, and gets the next slot."""
    time = FakeTime()
    slots, one = LocalSlots(2, runtime=time.runtime()), domain()
    [other] = await held(slots, one, since=1.0)
    [first] = await held(slots, one, since=2.0)
    [next_one] = await held(slots, one, since=3.0)
    await first.end(LimitSignal(named=1))
    [again] = await held(slots, one, since=2.0)
    assert slots.state(one) == GateState(ceiling=1, in_flight=1, waiting=2, rejections=1)
    await other.end("admitted")
    assert (again.holds, next_one.holds) == (True, False)
    await end(again, next_one)


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_a_cancelled_holder_or_waiter_leaves_no_trace(which: int) -> None:
    """Whoever is cancelled, holding or waiting, gives back what he had and wanted."""
    slots, one = LocalSlots(1), domain()
    holders = await held(slots, one, count=3)
    holders[which].task.cancel()
    await steps()
    left = [holder for holder in holders if holder is not holders[which]]
    assert left[0].holds
    assert slots.state(one) == GateState(ceiling=1, in_flight=1, waiting=1)
    await end(*left)
    assert slots.state(one) == GateState(ceiling=1)


@pytest.mark.parametrize("others", [0, 1])
async def test_a_waiter_that_is_cancelled_as_he_gets_his_slot_gives_it_back(others: int) -> None:
    """A slot that was granted to somebody who was cancelled in the same moment goes to the next, or back."""
    slots, one = LocalSlots(1), domain()
    holding, unlucky, *rest = await held(slots, one, count=2 + others)
    holding.let_go.set()
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
    """An error inside gives the slot back and comes out."""
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
    before = [*await held(slots, domains[0], count=2), *await held(slots, domains[1])]
    holders = await held(slots, *domains, count=3)
    went = [holder.slot.domain for holder in holders if holder.slot is not None]
    assert went == [domains[2], domains[1], domains[2]]
    await end(*before, *holders)


async def test_a_domain_that_pauses_is_passed_over() -> None:
    """However many slots are free at a domain that has to pause, a call goes to the freest of the others."""
    time = SteppedTime()
    domains = domains_of(3)
    slots = LocalSlots(9, runtime=time.runtime())
    [refused] = await held(slots, domains[0])
    await refused.end(LimitSignal(by_rate=True))
    assert slots.state(domains[0]).free == 9
    before = await held(slots, domains[1], count=3)
    [holder] = await held(slots, *domains)
    assert holder.slot is not None
    assert holder.slot.domain is domains[2]
    await end(*before, holder)
    assert time.slept == []


async def test_whichever_domain_is_free_first_serves() -> None:
    """Somebody who waits for several domains gets the first slot of any, and is out of the other lines then."""
    slots, (one, other) = LocalSlots(1), domains_of(2)
    holding = [*await held(slots, one), *await held(slots, other)]
    both = await held(slots, one, other, count=2)
    [only_one] = await held(slots, one)
    assert (slots.state(one).waiting, slots.state(other).waiting) == (3, 2)
    await holding[1].end()
    assert both[0].slot is not None
    assert both[0].slot.domain is other
    assert (slots.state(one).waiting, slots.state(other).waiting) == (2, 1)
    await holding[0].end()
    assert both[1].slot is not None
    assert both[1].slot.domain is one
    served = [only_one.holds]
    await both[1].end()
    assert [*served, only_one.holds] == [False, True]
    await end(both[0], only_one)
    assert slots.state(one) == slots.state(other) == GateState(ceiling=1)


async def test_interactive_before_batch_across_domains() -> None:
    """An interactive call goes first at whichever of its domains is free, before all that are of batches."""
    slots, (one, other) = LocalSlots(1), domains_of(2)
    holding = [*await held(slots, one), *await held(slots, other)]
    batch = await held(slots, one, other, count=3)
    single = await held(slots, other, one, count=2, lane="interactive", since=99.0)
    await holding[0].end()
    await holding[1].end()
    assert [holder.holds for holder in single] == [True, True]
    assert not any(holder.holds for holder in batch)
    await end(*single, *batch)


# ---------------------------------------------------------------------------------------------------------------------
# What is learned


async def test_an_unknown_ceiling_is_learned() -> None:
    """Without a number calls start with a few at once; answers raise that, and a refusal lowers it."""
    slots, one = LocalSlots(runtime=FakeTime().runtime()), domain()
    assert slots.state(one) == GateState(ceiling=START)
    for _ in range(10):
        for holder in await held(slots, one, count=slots.state(one).ceiling):
            await holder.end("admitted")
    raised = slots.state(one).ceiling
    assert raised > START
    *others, last = await held(slots, one, count=raised)
    await last.end(LimitSignal(named=3))
    assert slots.state(one).ceiling == 3
    assert slots.state(one).rejections == 1
    await end(*others)


async def test_what_nobody_knows_teaches_nothing() -> None:
    """A call whose outcome at the gate is not known changes nothing."""
    slots, one = LocalSlots(), domain()
    for _ in range(200):
        await end(*await held(slots, one, count=START))
    assert slots.state(one) == GateState(ceiling=START)


async def test_a_given_number_is_never_exceeded() -> None:
    """With a given number not more are tried, however many answers come."""
    slots, one = LocalSlots(2), domain()
    for _ in range(200):
        for holder in await held(slots, one, count=2):
            await holder.end("admitted")
    assert slots.state(one) == GateState(ceiling=2)


async def test_of_two_limits_the_lower_one_counts() -> None:
    """Neither what a domain says of itself nor what is said of all is exceeded."""
    time = FakeTime()
    [own] = domains_of(1, max_concurrency=2, max_per_second=4.0)
    slots = LocalSlots(7, max_per_second=100.0, runtime=time.runtime())
    assert (slots.state(own).ceiling, slots.state(domain()).ceiling) == (2, 7)
    assert LocalSlots(1).state(own).ceiling == 1
    for _ in range(9):
        await end(*await held(slots, own))
    assert 1.5 <= time.now - 1000 <= 2.5


def test_a_domain_with_two_tails_has_one_ceiling() -> None:
    """The ceiling is the domain's: two URLs of it that differ in the tail share the slots."""
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


TOLD: list[tuple[ClovaOCRError, SlotResult | None]] = [
    (RateLimitError(400, "0025"), LimitSignal()),
    (RateLimitError(429, "410"), LimitSignal(by_rate=True)),
    (RateLimitError(429), LimitSignal(by_rate=True)),
    (RecognitionError("x"), "admitted"),
    (MalformedResponseError("x"), "admitted"),
    (QuotaExceededError(400, "0023"), None),
    (AuthenticationError(401, "0002"), None),
    (InvalidRequestError(400, "0011"), None),
    (ServerError(500, "0501"), None),
    (ConnectionFailedError("x"), None),
]


@pytest.mark.parametrize(("error", "outcome"), TOLD, ids=lambda value: repr(value)[:40])
def test_what_an_error_says_of_the_gate(error: ClovaOCRError, outcome: SlotResult | None) -> None:
    """Only a refusal for calls at once or for their rate, or an answer that was worked for, says something."""
    told: list[SlotResult] = []

    class Listener:
        domain = domain()

        def admitted(self) -> None:
            """Note."""
            told.append("admitted")

        def refused(self, refusal: LimitSignal) -> None:
            """Note."""
            told.append(refusal)

    report_to_slot(Listener(), error)
    assert told == ([] if outcome is None else [outcome])


def test_what_a_refusal_says_is_handed_on() -> None:
    """The number a refusal names and the wait it asks for reach the gate."""
    error = RateLimitError(400, "0025")
    error.ceiling, error.retry_after = 5, 3.0
    slot = LocalSlots().slot([domain()], "batch", 0.0)
    report_to_slot(slot, error)
    assert slot.outcome == LimitSignal(named=5, retry_after=3.0)


# ---------------------------------------------------------------------------------------------------------------------
# Pauses and pace


async def test_a_pause_is_waited_for_by_the_clock() -> None:
    """After a refusal of the only call nobody leaves until the pause is over, and then they do in their order."""
    time = SteppedTime()
    slots, one = LocalSlots(runtime=time.runtime()), domain()
    [alone] = await held(slots, one)
    await alone.end(LimitSignal())
    waiting = await held(slots, one, count=2)
    [single] = await held(slots, one, lane="interactive")
    assert not any(holder.holds for holder in [*waiting, single])
    assert slots.state(one) == GateState(ceiling=1, waiting=3, rejections=1)
    [pause] = time.slept
    await time.go_on(pause * 0.9)
    assert not any(holder.holds for holder in [*waiting, single])
    await time.go_on(pause * 0.2)
    assert [holder.holds for holder in [*waiting, single]] == [False, False, True]
    for holder in (single, *waiting):
        await holder.end("admitted")
    assert slots.state(one).in_flight == slots.state(one).waiting == 0


async def test_pauses_get_longer() -> None:
    """The longer nothing is let in, the longer the pauses, up to some seconds."""
    time = SteppedTime()
    slots, one = LocalSlots(runtime=time.runtime()), domain()
    for _ in range(12):
        [alone] = await held(slots, one)
        await time.go_on(60.0)
        await alone.end(LimitSignal())
    assert time.slept == sorted(time.slept)
    assert time.slept[0] * 4 < time.slept[-1] <= 30


async def test_what_a_refusal_asks_to_wait() -> None:
    """A Retry-After is waited in full before the next call leaves."""
    time = SteppedTime()
    slots, one = LocalSlots(runtime=time.runtime()), domain()
    first, *others = await held(slots, one, count=3)
    await first.end(LimitSignal(by_rate=True, retry_after=33.0))
    [waiting] = await held(slots, one)
    served = list[bool]()
    for seconds in (32.9, 0.2):
        await time.go_on(seconds)
        served.append(waiting.holds)
    assert served == [False, True]
    await end(*others, waiting)


@pytest.mark.parametrize("per_second", [50.0, 2.0, 0.2, 0.002])
@pytest.mark.parametrize("queued", [False, True], ids=["one by one", "all at once"])
async def test_calls_a_second(per_second: float, *, queued: bool) -> None:
    """max_per_second bounds the calls that leave, whether they queue or come one by one, however few it allows."""
    time = FakeTime()
    slots, one, left = LocalSlots(100, max_per_second=per_second, runtime=time.runtime()), domain(), list[float]()

    async def leave() -> None:
        async with slots.slot([one], "batch", 0.0):
            left.append(time.now)

    if queued:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(leave())
    else:
        for _ in range(20):
            await leave()
    assert left == sorted(left)
    seconds = left[-1] - left[0]
    assert 18 / per_second <= seconds <= 20 / per_second


async def test_a_newcomer_overtakes_nobody_who_waits_for_the_pace() -> None:
    """Whoever comes in the very moment a call may leave again still comes after those who wait."""
    time = SteppedTime()
    slots, one = LocalSlots(9, max_per_second=1.0, runtime=time.runtime()), domain()
    [first, waiting] = await held(slots, one, count=2)
    time.now += 1.0  # and the alarm has not rung yet
    [newcomer] = await held(slots, one)
    assert (waiting.holds, newcomer.holds) == (True, False)
    await time.go_on(1.0)
    await end(first, waiting, newcomer)


def test_slots_outlive_their_loop() -> None:
    """Slots whose loop ended during a pause serve the next loop."""
    time = SteppedTime()
    slots, one = LocalSlots(runtime=time.runtime()), domain()

    async def first() -> None:
        [alone] = await held(slots, one)
        await alone.end(LimitSignal())
        await held(slots, one)

    async def second() -> None:
        [holder] = await held(slots, one)
        served = [holder.holds]
        await time.go_on(60.0)
        assert [*served, holder.holds] == [False, True]
        await end(holder)

    asyncio.run(first())
    assert slots.state(one).waiting == 0
    asyncio.run(second())


async def test_nobody_waits_for_an_alarm_that_was_cancelled() -> None:
    """When every task of the loop is cancelled, who comes next is rung for anew."""
    time = SteppedTime()
    slots, one = LocalSlots(runtime=time.runtime()), domain()
    [alone] = await held(slots, one)
    await alone.end(LimitSignal())
    [waiting] = await held(slots, one)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.wait([waiting.task])
    [later] = await held(slots, one)
    await time.go_on(60.0)
    assert later.holds
    await end(later)


# ---------------------------------------------------------------------------------------------------------------------
# What is told


async def test_what_is_learned_is_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """The log tells a changed ceiling and a new pace, at INFO, with the domain's key masked."""
    caplog.set_level(logging.INFO, logger="clova_ocr_async")
    slots, one = LocalSlots(runtime=FakeTime().runtime()), domain()
    for _ in range(10):
        for holder in await held(slots, one, count=slots.state(one).ceiling):
            await holder.end("admitted")
    assert "more calls are let in" in caplog.text
    *others, last = await held(slots, one, count=slots.state(one).ceiling)
    await last.end(LimitSignal(named=3))
    await end(*others)
    assert "3 calls at once, not " in caplog.messages[-1]
    assert "a call was refused" in caplog.messages[-1]
    for _ in range(20):
        [holder] = await held(slots, one)
        await holder.end("admitted")
    [holder] = await held(slots, one)
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
    for holder in await held(slots, one, count=3):
        await holder.end("admitted")
    assert caplog.records == []
