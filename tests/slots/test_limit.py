from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.fakes import FakeTime
from support.simulated import AtOnce, Simulation

from clova_ocr_async.slots.limit import START, ConcurrencyLimit, LimitSignal, Permit, SlotResult

if TYPE_CHECKING:
    from collections.abc import Callable


def middle(low: float, high: float) -> float:
    """Draw the middle."""
    return (low + high) / 2


def filled(ceiling: ConcurrencyLimit) -> list[Permit]:
    """Let calls leave until all of the limit is in use."""
    return [ceiling.enter(in_flight, 0.0) for in_flight in range(ceiling.limit)]


def answered(ceiling: ConcurrencyLimit, rounds: int = 1, most: int | None = None) -> None:
    """Answer full rounds of calls, each of which left as soon as there was room."""
    for _ in range(rounds):
        full = ceiling.limit
        for _ in range(full):
            ceiling.admit(ceiling.enter(full - 1, 0.0), most)


def refused(ceiling: ConcurrencyLimit, *entries: Permit, named: int | None = None, **said: Any) -> None:
    """Refuse calls."""
    for entry in entries:
        ceiling.refuse(entry, LimitSignal(named, **said), 0.0, middle)


def lognormal(seed: int) -> Callable[[], float]:
    """Return what draws latencies with a mean of a second."""
    draw = random.Random(seed).lognormvariate  # noqa: S311 - for a simulation
    return lambda: draw(-0.125, 0.5)


# ---------------------------------------------------------------------------------------------------------------------
# One step at a time


def test_full_rounds_of_answers_raise_an_unknown_ceiling() -> None:
    """Until the first refusal, answers to calls that left when all of the limit was in use raise it."""
    ceiling = ConcurrencyLimit()
    limits = [ceiling.limit]
    for _ in range(5):
        answered(ceiling)
        limits.append(ceiling.limit)
    assert limits == sorted(set(limits))


def test_answers_say_nothing_while_there_is_room() -> None:
    """A limit that is never used up is never raised."""
    ceiling = ConcurrencyLimit()
    for _ in range(10_000):
        ceiling.admit(ceiling.enter(START - 2, 0.0))
    assert ceiling.limit == START


def test_answers_to_calls_of_an_earlier_limit_count_for_nothing() -> None:
    """Once a refusal has changed the limit, answers to what left before do not raise it."""
    ceiling = ConcurrencyLimit(limit=8)
    late = filled(ceiling)
    refused(ceiling, late.pop())
    for entry in late * 1000:
        ceiling.admit(entry)
    assert ceiling.limit == 7


def test_a_refusal_lowers_to_what_was_let_in() -> None:
    """Eight calls left and three of them were refused: the domain takes five."""
    ceiling = ConcurrencyLimit(limit=8)
    refused(ceiling, *filled(ceiling)[5:])
    assert ceiling.limit == 5


def test_the_named_number_is_believed() -> None:
    """The number in the message is taken at once, if it is lower than what was let in."""
    ceiling = ConcurrencyLimit(limit=8)
    refused(ceiling, filled(ceiling)[-1], named=5)
    assert (ceiling.limit, ceiling.named) == (5, 5)


@pytest.mark.parametrize("named", [None, 5])
def test_several_refusals_of_one_limit_are_one_signal(named: int | None) -> None:
    """Calls that left under the same limit and are refused lower it to what was let in, and no further."""
    ceiling = ConcurrencyLimit(limit=8)
    refused(ceiling, *filled(ceiling)[5:], named=named)
    assert (ceiling.limit, ceiling.rejections, ceiling.refused) == (5, 3, 1)
    assert not ceiling.pace.wait(0.0)


def test_a_number_too_low_is_disproved_by_what_is_let_in() -> None:
    """When more calls than the message names were let in, it is believed no more."""
    ceiling = ConcurrencyLimit(limit=8)
    refused(ceiling, filled(ceiling)[-1], named=2)
    assert ceiling.limit == 2
    while ceiling.disproved is None:
        answered(ceiling)
    limit = ceiling.limit
    assert (limit > 2, ceiling.disproved, ceiling.named) == (True, 2, None)
    refused(ceiling, filled(ceiling)[-1], named=2)
    assert ceiling.limit == limit - 1


def test_a_number_too_high_does_not_raise() -> None:
    """A refusal never raises the limit, whatever it names."""
    ceiling = ConcurrencyLimit(limit=8)
    refused(ceiling, *filled(ceiling)[5:], named=100)
    assert ceiling.limit == 5


def test_a_known_ceiling_is_tried_rarely() -> None:
    """Once refused, a ceiling is tried beyond only after many rounds, by one; refused again, it is what it was."""
    ceiling = ConcurrencyLimit(limit=6)
    refused(ceiling, filled(ceiling)[-1], named=5)
    rounds = 0
    while ceiling.limit == 5:
        answered(ceiling)
        rounds += 1
    assert rounds >= 10
    assert ceiling.limit == 6
    refused(ceiling, filled(ceiling)[-1], named=5)
    answered(ceiling, rounds=rounds - 1)
    assert ceiling.limit == 5


def test_a_ceiling_that_was_raised_is_found_step_by_step() -> None:
    """When a step up is let in, the next follows after a round."""
    ceiling = ConcurrencyLimit(limit=6)
    refused(ceiling, filled(ceiling)[-1])
    while ceiling.limit == 5:
        answered(ceiling)
    for limit in (6, 7, 8):
        assert ceiling.limit == limit
        answered(ceiling)


def test_a_limit_below_the_named_number_is_soon_tried_again() -> None:
    """What others keep from us of the number that the service names is tried again sooner than what is beyond it."""
    shared, alone = ConcurrencyLimit(limit=6), ConcurrencyLimit(limit=6)
    refused(shared, *filled(shared)[3:], named=6)
    refused(alone, *filled(alone)[3:], named=3)
    assert shared.limit == alone.limit == 3
    answered(shared, rounds=4)
    answered(alone, rounds=4)
    assert shared.limit > alone.limit == 3


@pytest.mark.parametrize("limit", [1, 3, 16])
def test_a_ceiling_somebody_knows(limit: int) -> None:
    """A given number is the limit from the first call on, and with it as the bound never more."""
    ceiling = ConcurrencyLimit.known(limit)
    answered(ceiling, rounds=1000, most=limit)
    assert ceiling.limit == limit


def test_a_known_ceiling_is_lowered_and_reached_again() -> None:
    """A given number is not kept to when the service refuses it, and reached again when it does not."""
    ceiling = ConcurrencyLimit.known(5)
    refused(ceiling, filled(ceiling)[-1], named=4)
    assert ceiling.limit == 4
    answered(ceiling, rounds=100, most=5)
    assert ceiling.limit == 5


def test_a_refusal_for_the_rate_leaves_the_ceiling() -> None:
    """A gateway's refusal for the rate says nothing about calls at once: calls pause instead."""
    ceiling = ConcurrencyLimit(limit=8)
    refused(ceiling, filled(ceiling)[-1], by_rate=True)
    assert ceiling.limit == 8
    assert ceiling.pace.wait(0.0) > 0


def test_a_refusal_of_the_only_call_pauses_all() -> None:
    """A call that is refused with none beside it was not so for its neighbours: after a pause one leaves at a time."""
    ceiling = ConcurrencyLimit(limit=8)
    refused(ceiling, ceiling.enter(0, 0.0))
    assert ceiling.limit == 1
    assert ceiling.pace.wait(0.0) > 0


def test_what_a_refusal_asks_to_wait_is_waited() -> None:
    """A Retry-After pauses the domain, be the refusal for calls at once or for their rate."""
    for said in ({}, {"by_rate": True}):
        ceiling = ConcurrencyLimit(limit=8)
        refused(ceiling, filled(ceiling)[-1], retry_after=33.0, **said)
        assert ceiling.pace.wait(0.0) == 33.0


@pytest.mark.parametrize("outcome", ["admitted", LimitSignal(named=3)])
def test_settling_is_admitting_or_refusing(outcome: SlotResult) -> None:
    """What became of a call is noted in one way for both outcomes, by the runtime's time and randomness."""
    told, settled = ConcurrencyLimit(limit=8), ConcurrencyLimit(limit=8)
    entries = [filled(ceiling)[-1] for ceiling in (told, settled)]
    time = FakeTime()
    settled.settle(entries[0], outcome, time.runtime(), most=9)
    if isinstance(outcome, LimitSignal):
        told.refuse(entries[1], outcome, time.now, time.runtime().uniform)
    else:
        told.admit(entries[1], most=9)
    assert msgspec.json.encode(told) == msgspec.json.encode(settled)


# ---------------------------------------------------------------------------------------------------------------------
# Whatever happens


outcomes = (
    st.none()
    | st.just("admitted")
    | st.builds(
        LimitSignal,
        named=st.none() | st.integers(1, 100),
        by_rate=st.booleans(),
        retry_after=st.none() | st.floats(0, 200),
    )
)


@pytest.mark.parametrize(("named", "afresh"), [(None, START), (5, START), (2, 2)])
def test_a_low_limit_of_long_ago_is_not_believed(named: int | None, afresh: int) -> None:
    """A minute after the last call a limit that others have pressed down is lifted, but not above the named number."""
    ceiling = ConcurrencyLimit(limit=2 if named == 2 else 1, named=named, refused=7, growing=False)
    ceiling.enter(0, 1000.0)
    assert ceiling.limit == (2 if named == 2 else afresh)
    ceiling = ConcurrencyLimit(limit=1, named=named, refused=7, growing=False)
    ceiling.pace.last = 999.0
    ceiling.enter(0, 1000.0)
    assert ceiling.limit == 1


def test_who_was_shut_out_comes_back_at_once() -> None:
    """When calls of others, or of a killed process, have filled the domain, the named number is soon reached again."""
    ceiling = ConcurrencyLimit(limit=5, named=5, refused=6, growing=False)
    ceiling.pace.last = 1000.0
    for second in range(5):
        entry = ceiling.enter(0, 1000.0 + second)
        ceiling.refuse(entry, LimitSignal(5), 1000.0 + second, lambda low, _: low)
    assert ceiling.limit == 1
    for answers in range(12):
        flying = [ceiling.enter(held, 1010.0 + answers) for held in range(ceiling.limit)]
        for entry in flying:
            ceiling.admit(entry)
    assert ceiling.limit == 5


class AnyService(RuleBasedStateMachine):
    """A ceiling that is told anything at all, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.ceiling = ConcurrencyLimit()
        self.most: int | None = None
        self.now = 0.0
        self.flying: list[Permit] = []
        self.refusals = 0

    @initialize(known=st.none() | st.integers(1, 20))
    def begin(self, known: int | None) -> None:
        """Know the ceiling, or not."""
        self.most = known
        self.ceiling = ConcurrencyLimit() if known is None else ConcurrencyLimit.known(known)

    @rule(calls=st.integers(1, 40), most_per_second=st.none() | st.floats(0.001, 100))
    def leave(self, calls: int, most_per_second: float | None) -> None:
        """Let calls leave, as many as may."""
        for _ in range(min(calls, self.ceiling.limit - len(self.flying))):
            if self.ceiling.pace.wait(self.now):
                break
            entry = self.ceiling.enter(len(self.flying), self.now, most_per_second, self.most)
            assert entry == (len(self.flying) + 1, self.ceiling.epoch)
            self.flying.append(entry)

    @rule(seconds=st.floats(0, 300))
    def pass_time(self, seconds: float) -> None:
        """Wait."""
        self.now += seconds

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), count=st.integers(1, 40), outcome=outcomes)
    def land(self, data: st.DataObject, count: int, outcome: SlotResult | None) -> None:
        """Let calls end the same way."""
        for _ in range(min(count, len(self.flying))):
            entry = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
            if isinstance(outcome, LimitSignal):
                self._refuse(entry, outcome)
            elif outcome is not None:
                self._admit(entry)

    def _refuse(self, entry: Permit, refusal: LimitSignal) -> None:
        before, epoch = self.ceiling.limit, self.ceiling.epoch
        # The number that this refusal names, unless more were let in before; else the one that was named last.
        news = refusal.named is not None and refusal.named != self.ceiling.disproved
        named = refusal.named if news else self.ceiling.named
        self.refusals += 1
        self.ceiling.refuse(entry, refusal, self.now, middle)
        assert self.ceiling.limit <= before
        assert self.ceiling.epoch > epoch or self.ceiling.limit == before
        # Lowered to that number, or to what is still under way.
        assert self.ceiling.limit >= max(1, min(before, len(self.flying), named or before))

    def _admit(self, entry: Permit) -> None:
        before = self.ceiling.limit
        self.ceiling.admit(entry, self.most)
        assert self.ceiling.limit >= before

    @invariant()
    def can_go_on(self) -> None:
        """There is room for a call sooner or later, and never more than allowed; nothing is miscounted."""
        assert 1 <= self.ceiling.limit <= (self.most or self.ceiling.limit)
        assert 0 <= self.ceiling.pace.wait(self.now) < 10_000
        assert self.ceiling.pace.rate is None or self.ceiling.pace.rate > 0
        assert self.ceiling.rejections == self.refusals

    @invariant()
    def can_be_written_down(self) -> None:
        """What is known survives being written down and read."""
        assert msgspec.json.decode(msgspec.json.encode(self.ceiling), type=ConcurrencyLimit) == self.ceiling


AnyService.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyService = AnyService.TestCase


# ---------------------------------------------------------------------------------------------------------------------
# Services


NAMED: dict[str, Callable[[int], int | None]] = {
    "no number": lambda _: None,
    "the number": lambda ceiling: ceiling,
    "a number too low": lambda ceiling: max(1, ceiling // 2),
    "a number too high": lambda ceiling: ceiling * 2,
}


@pytest.mark.parametrize("named", NAMED)
@pytest.mark.parametrize("ceiling", [1, 2, 3, 5, 8, 16, 40])
def test_a_ceiling_is_found_and_kept_full(ceiling: int, named: str) -> None:
    """Whatever the ceiling and whatever the message says of it, it is found, kept, kept full, and rarely hit."""
    items = 100 * ceiling + 500
    service = AtOnce(lambda _: ceiling, lambda _: NAMED[named](ceiling))
    simulation = Simulation(service, ConcurrencyLimit(), lognormal(ceiling)).run(items)
    assert simulation.most_running <= ceiling
    half = [limit for _, limit in simulation.limits[len(simulation.limits) // 2 :]]
    assert set(half) <= {ceiling, ceiling + 1}
    assert simulation.refused <= 5 + ceiling / 2 + items * 0.04
    assert simulation.tries <= 4
    if named != "a number too low":
        assert simulation.busy >= 0.85 * ceiling * (simulation.now - 1000)
    assert simulation.busy >= 0.7 * ceiling * (simulation.now - 1000)


@given(
    ceilings=st.lists(st.integers(1, 24), min_size=1, max_size=4),
    foreign=st.lists(st.integers(0, 8), min_size=1, max_size=4),
    named=st.sampled_from([*NAMED.values()]),
    most=st.none() | st.integers(1, 24),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_every_item_gets_through(
    ceilings: list[int],
    foreign: list[int],
    named: Callable[[int], int | None],
    most: int | None,
    seed: int,
) -> None:
    """Over a ceiling that changes and is shared with others everybody is served, at most as many at once as allowed."""

    def at(values: list[int], seconds: float) -> Callable[[float], int]:
        return lambda now: values[min(len(values) - 1, int((now - 1000) / seconds))]

    ceiling = at(ceilings, 30.0)
    # Others never take all of it for good.
    service = AtOnce(ceiling, lambda now: named(ceiling(now)), at([*foreign, 0], 20.0))
    simulation = Simulation(
        service, ConcurrencyLimit() if most is None else ConcurrencyLimit.known(most), lognormal(seed), most=most
    ).run(400)
    assert simulation.most_running <= min(max(ceilings), most or max(ceilings))
    assert simulation.refused <= 100
    assert all(1 <= limit <= (most or limit) for _, limit in simulation.limits)


@given(ceiling=st.integers(2, 24), right=st.booleans(), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_a_domain_of_our_own_is_never_used_too_little(ceiling: int, *, right: bool, seed: int) -> None:
    """Where nobody else calls and no wrong number is named, the limit never falls below the ceiling."""
    service = AtOnce(lambda _: ceiling, lambda _: ceiling if right else None)
    simulation = Simulation(service, ConcurrencyLimit(), lognormal(seed)).run(600)
    assert min(limit for _, limit in simulation.limits) >= min(START, ceiling)


def test_a_ceiling_that_changes_is_followed() -> None:
    """A ceiling that is lowered while calls run is found with few refusals, and one that is raised as well."""
    changes = {0: 5, 60: 2, 160: 8}

    def ceiling(now: float) -> int:
        return next(at_once for since, at_once in reversed(changes.items()) if now - 1000 >= since)

    simulation = Simulation(AtOnce(ceiling, ceiling), ConcurrencyLimit(), lognormal(1)).run(2500)
    limits = {second: limit for now, limit in simulation.limits for second in (50, 75, 150) if now - 1000 <= second} | {
        999: simulation.ceiling.limit
    }
    assert [limits[second] - wanted in {0, 1} for second, wanted in ((50, 5), (75, 2), (150, 2), (999, 8))] == [
        True
    ] * 4
    assert simulation.refused <= 60
    assert simulation.tries <= 5
