from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.simulated import AtOnce, Simulation

from clova_ocr_async.slots.limit import INITIAL_LIMIT, ConcurrencyLimit, LimitSignal, Permit, SlotResult
from clova_ocr_async.slots.rate import Pacer

if TYPE_CHECKING:
    from collections.abc import Callable


def middle(low: float, high: float) -> float:
    """Draw the middle."""
    return (low + high) / 2


def filled(limit: ConcurrencyLimit) -> list[Permit]:
    """Send calls until all of the limit is in use."""
    return [limit.on_sent(in_flight, 0.0) for in_flight in range(limit.value)]


def answered(limit: ConcurrencyLimit, rounds: int = 1, max_concurrency: int | None = None) -> None:
    """Answer full rounds of calls, each of which was sent as soon as there was room."""
    for _ in range(rounds):
        full = limit.value
        for _ in range(full):
            limit.on_admitted(limit.on_sent(full - 1, 0.0), max_concurrency)


def refused(limit: ConcurrencyLimit, *permits: Permit, advertised: int | None = None, **content: Any) -> None:
    """Refuse calls."""
    for permit in permits:
        limit.on_refused(permit, LimitSignal(advertised, **content), 0.0, middle)


def lognormal(seed: int) -> Callable[[], float]:
    """Return a function that draws latencies with a mean of a second."""
    draw = random.Random(seed).lognormvariate  # noqa: S311 - for a simulation
    return lambda: draw(-0.125, 0.5)


# ---------------------------------------------------------------------------------------------------------------------
# One step at a time


def test_full_rounds_of_answers_raise_an_unknown_limit() -> None:
    """Until the first refusal, answers to calls that were sent when all of the limit was in use raise it."""
    limit = ConcurrencyLimit()
    limits = [limit.value]
    for _ in range(5):
        answered(limit)
        limits.append(limit.value)
    assert limits == sorted(set(limits))


def test_answers_say_nothing_while_there_is_room() -> None:
    """A limit that is never used up is never raised."""
    limit = ConcurrencyLimit()
    for _ in range(10_000):
        limit.on_admitted(limit.on_sent(INITIAL_LIMIT - 2, 0.0))
    assert limit.value == INITIAL_LIMIT


def test_answers_to_calls_of_an_earlier_limit_do_not_count() -> None:
    """Once a refusal has changed the limit, answers to calls that were sent before do not raise it."""
    limit = ConcurrencyLimit(value=8)
    late = filled(limit)
    refused(limit, late.pop())
    for permit in late * 1000:
        limit.on_admitted(permit)
    assert limit.value == 7


def test_a_refusal_lowers_the_limit_to_the_calls_that_were_let_in() -> None:
    """When eight calls are sent and three of them refused, the domain takes five."""
    limit = ConcurrencyLimit(value=8)
    refused(limit, *filled(limit)[5:])
    assert limit.value == 5


def test_the_advertised_number_is_believed() -> None:
    """The number in the message is taken at once, if it is lower than the number of calls that were let in."""
    limit = ConcurrencyLimit(value=8)
    refused(limit, filled(limit)[-1], advertised=5)
    assert (limit.value, limit.advertised) == (5, 5)


@pytest.mark.parametrize("advertised", [None, 5])
def test_several_refusals_of_one_limit_are_one_signal(advertised: int | None) -> None:
    """Refused calls that were sent under the same limit lower it to the calls that were let in, and no further."""
    limit = ConcurrencyLimit(value=8)
    refused(limit, *filled(limit)[5:], advertised=advertised)
    assert (limit.value, limit.rejections, limit.consecutive_refusals) == (5, 3, 1)
    assert not limit.pacer.wait(0.0)


def test_a_number_too_low_is_disproved() -> None:
    """When more calls were let in than the message names, its number is believed no more."""
    limit = ConcurrencyLimit(value=8)
    refused(limit, filled(limit)[-1], advertised=2)
    assert limit.value == 2
    while limit.disproved is None:
        answered(limit)
    before = limit.value
    assert (before > 2, limit.disproved, limit.advertised) == (True, 2, None)
    refused(limit, filled(limit)[-1], advertised=2)
    assert limit.value == before - 1


def test_a_number_too_high_does_not_raise_the_limit() -> None:
    """A refusal never raises the limit, whatever it names."""
    limit = ConcurrencyLimit(value=8)
    refused(limit, *filled(limit)[5:], advertised=100)
    assert limit.value == 5


def test_a_known_limit_is_probed_rarely() -> None:
    """After a refusal the limit is probed by one, after many rounds only; a refused probe restores it."""
    limit = ConcurrencyLimit(value=6)
    refused(limit, filled(limit)[-1], advertised=5)
    rounds = 0
    while limit.value == 5:
        answered(limit)
        rounds += 1
    assert rounds >= 10
    assert limit.value == 6
    refused(limit, filled(limit)[-1], advertised=5)
    answered(limit, rounds=rounds - 1)
    assert limit.value == 5


def test_a_raised_limit_is_found_step_by_step() -> None:
    """When a probe is let in, the next one follows after a round."""
    limit = ConcurrencyLimit(value=6)
    refused(limit, filled(limit)[-1])
    while limit.value == 5:
        answered(limit)
    for value in (6, 7, 8):
        assert limit.value == value
        answered(limit)


def test_a_limit_below_the_advertised_number_is_soon_probed() -> None:
    """Below the number that the service names, the limit is probed sooner than above it."""
    shared, alone = ConcurrencyLimit(value=6), ConcurrencyLimit(value=6)
    refused(shared, *filled(shared)[3:], advertised=6)
    refused(alone, *filled(alone)[3:], advertised=3)
    assert shared.value == alone.value == 3
    answered(shared, rounds=4)
    answered(alone, rounds=4)
    assert shared.value > alone.value == 3


@pytest.mark.parametrize("given_limit", [1, 3, 16])
def test_a_limit_that_the_user_knows(given_limit: int) -> None:
    """A given number is the limit from the first call on, and with it as the bound it is never exceeded."""
    limit = ConcurrencyLimit.known(given_limit)
    answered(limit, rounds=1000, max_concurrency=given_limit)
    assert limit.value == given_limit


def test_a_given_limit_is_lowered_and_reached_again() -> None:
    """A given limit is lowered when the service refuses a call, and reached again when it lets the calls in."""
    limit = ConcurrencyLimit.known(5)
    refused(limit, filled(limit)[-1], advertised=4)
    assert limit.value == 4
    answered(limit, rounds=100, max_concurrency=5)
    assert limit.value == 5


def test_a_refusal_for_the_rate_leaves_the_limit() -> None:
    """A gateway's refusal for the rate does not change the calls at once: all calls pause instead."""
    limit = ConcurrencyLimit(value=8)
    refused(limit, filled(limit)[-1], by_rate=True)
    assert limit.value == 8
    assert limit.pacer.wait(0.0) > 0


def test_a_refusal_of_the_only_call_pauses_all() -> None:
    """A refusal of the only call in flight pauses all calls, and then one is sent at a time."""
    limit = ConcurrencyLimit(value=8)
    refused(limit, limit.on_sent(0, 0.0))
    assert limit.value == 1
    assert limit.pacer.wait(0.0) > 0


def test_a_retry_after_pauses_all() -> None:
    """A Retry-After pauses the domain, whether the refusal is for the calls at once or for their rate."""
    for content in ({}, {"by_rate": True}):
        limit = ConcurrencyLimit(value=8)
        refused(limit, filled(limit)[-1], retry_after=33.0, **content)
        assert limit.pacer.wait(0.0) == 33.0


@pytest.mark.parametrize("result", ["admitted", LimitSignal(advertised=3)])
def test_a_result_is_an_admission_or_a_refusal(result: SlotResult) -> None:
    """Both results of a call are recorded by one method, which does the same as the method for each of them."""
    one, other = ConcurrencyLimit(value=8), ConcurrencyLimit(value=8)
    permit, _ = filled(one)[-1], filled(other)
    one.on_result(permit, result, 1000.0, middle, max_concurrency=9)
    if isinstance(result, LimitSignal):
        other.on_refused(permit, result, 1000.0, middle)
    else:
        other.on_admitted(permit, max_concurrency=9)
    assert msgspec.json.encode(one) == msgspec.json.encode(other)


STORED = (
    b'{"limit":8,"named":7,"disproved":5,"epoch":9,"answers":6,"refused":2,"growing":false,"stepped":true,"doubt":3,'
    b'"rejections":4,"under_way":7,"pace":{"rate":2.5,"due":10.5,"resumes":11.5,"pauses":1,"since":12.5,"last":13.5,'
    b'"left":14,"bound":15,"steps":16,"stride":17,"changed":18.5}}'
)


def test_the_stored_form_stays() -> None:
    """The JSON of a limit has the keys of earlier versions, whose processes may share a file with this one."""
    limit = msgspec.json.decode(STORED, type=ConcurrencyLimit)
    pacer = Pacer(2.5, 10.5, 11.5, 1, 12.5, 13.5, 14, 15, 16, 17, 18.5)
    assert limit == ConcurrencyLimit(8, 7, 5, 9, 6, 2, False, True, 3, 4, 7, pacer)
    assert msgspec.json.encode(limit) == STORED


# ---------------------------------------------------------------------------------------------------------------------
# Whatever happens


outcomes = (
    st.none()
    | st.just("admitted")
    | st.builds(
        LimitSignal,
        advertised=st.none() | st.integers(1, 100),
        by_rate=st.booleans(),
        retry_after=st.none() | st.floats(0, 200),
    )
)


@pytest.mark.parametrize(("advertised", "anew"), [(None, INITIAL_LIMIT), (5, INITIAL_LIMIT), (2, 2)])
def test_a_low_limit_of_long_ago_is_forgotten(advertised: int | None, anew: int) -> None:
    """A minute after the last call a limit below the initial one is raised to it, or to the advertised number."""
    limit = ConcurrencyLimit(
        value=2 if advertised == 2 else 1, advertised=advertised, consecutive_refusals=7, slow_start=False
    )
    limit.on_sent(0, 1000.0)
    assert limit.value == anew
    limit = ConcurrencyLimit(value=1, advertised=advertised, consecutive_refusals=7, slow_start=False)
    limit.pacer.last_sent = 999.0
    limit.on_sent(0, 1000.0)
    assert limit.value == 1


def test_a_domain_that_others_filled_is_soon_used_again() -> None:
    """When other programs or a killed process have filled the domain, the advertised number is soon reached again."""
    limit = ConcurrencyLimit(value=5, advertised=5, consecutive_refusals=6, slow_start=False)
    limit.pacer.last_sent = 1000.0
    for second in range(5):
        permit = limit.on_sent(0, 1000.0 + second)
        limit.on_refused(permit, LimitSignal(5), 1000.0 + second, lambda low, _: low)
    assert limit.value == 1
    for answers in range(12):
        in_flight = [limit.on_sent(held, 1010.0 + answers) for held in range(limit.value)]
        for permit in in_flight:
            limit.on_admitted(permit)
    assert limit.value == 5


class AnyService(RuleBasedStateMachine):
    """A limit with any results at all, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = ConcurrencyLimit()
        self.max_concurrency: int | None = None
        self.now = 0.0
        self.in_flight: list[Permit] = []
        self.refusals = 0

    @initialize(known=st.none() | st.integers(1, 20))
    def begin(self, known: int | None) -> None:
        """Begin with a given limit, or with none."""
        self.max_concurrency = known
        self.limit = ConcurrencyLimit() if known is None else ConcurrencyLimit.known(known)

    @rule(calls=st.integers(1, 40), max_per_second=st.none() | st.floats(0.001, 100))
    def send(self, calls: int, max_per_second: float | None) -> None:
        """Send calls, as many as are allowed."""
        for _ in range(min(calls, self.limit.value - len(self.in_flight))):
            if self.limit.pacer.wait(self.now):
                break
            permit = self.limit.on_sent(len(self.in_flight), self.now, max_per_second, self.max_concurrency)
            assert permit == (len(self.in_flight) + 1, self.limit.epoch)
            self.in_flight.append(permit)

    @rule(seconds=st.floats(0, 300))
    def pass_time(self, seconds: float) -> None:
        """Wait."""
        self.now += seconds

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), count=st.integers(1, 40), outcome=outcomes)
    def finish(self, data: st.DataObject, count: int, outcome: SlotResult | None) -> None:
        """Finish calls with the same result."""
        for _ in range(min(count, len(self.in_flight))):
            permit = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
            if isinstance(outcome, LimitSignal):
                self._refuse(permit, outcome)
            elif outcome is not None:
                self._admit(permit)

    def _refuse(self, permit: Permit, refusal: LimitSignal) -> None:
        before, epoch = self.limit.value, self.limit.epoch
        # The number that this refusal advertises, unless more calls were let in before; else the last one advertised.
        new = refusal.advertised is not None and refusal.advertised != self.limit.disproved
        advertised = refusal.advertised if new else self.limit.advertised
        self.refusals += 1
        self.limit.on_refused(permit, refusal, self.now, middle)
        assert self.limit.value <= before
        assert self.limit.epoch > epoch or self.limit.value == before
        # Lowered to that number, or to the calls that are still in flight.
        assert self.limit.value >= max(1, min(before, len(self.in_flight), advertised or before))

    def _admit(self, permit: Permit) -> None:
        before = self.limit.value
        self.limit.on_admitted(permit, self.max_concurrency)
        assert self.limit.value >= before

    @invariant()
    def can_go_on(self) -> None:
        """There is room for a call sooner or later, and never more than allowed; nothing is miscounted."""
        assert 1 <= self.limit.value <= (self.max_concurrency or self.limit.value)
        assert 0 <= self.limit.pacer.wait(self.now) < 10_000
        assert self.limit.pacer.rate is None or self.limit.pacer.rate > 0
        assert self.limit.rejections == self.refusals

    @invariant()
    def can_be_stored(self) -> None:
        """The limit survives being stored and loaded."""
        assert msgspec.json.decode(msgspec.json.encode(self.limit), type=ConcurrencyLimit) == self.limit


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
def test_a_limit_is_found_and_kept_full(ceiling: int, named: str) -> None:
    """Every limit is found, kept, kept full and rarely exceeded, with a right, a wrong or no number in the message."""
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
    advertised=st.sampled_from([*NAMED.values()]),
    max_concurrency=st.none() | st.integers(1, 24),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_every_item_gets_through(
    ceilings: list[int],
    foreign: list[int],
    advertised: Callable[[int], int | None],
    max_concurrency: int | None,
    seed: int,
) -> None:
    """Every call is served, and no more at once than allowed, while the limit changes and other programs share it."""

    def at(values: list[int], seconds: float) -> Callable[[float], int]:
        return lambda now: values[min(len(values) - 1, int((now - 1000) / seconds))]

    ceiling = at(ceilings, 30.0)
    # Other programs never take all of it for good.
    service = AtOnce(ceiling, lambda now: advertised(ceiling(now)), at([*foreign, 0], 20.0))
    simulation = Simulation(
        service,
        ConcurrencyLimit() if max_concurrency is None else ConcurrencyLimit.known(max_concurrency),
        lognormal(seed),
        max_concurrency=max_concurrency,
    ).run(400)
    assert simulation.most_running <= min(max(ceilings), max_concurrency or max(ceilings))
    assert simulation.refused <= 100
    assert all(1 <= limit <= (max_concurrency or limit) for _, limit in simulation.limits)


@given(ceiling=st.integers(2, 24), right=st.booleans(), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_a_domain_of_our_own_is_never_used_too_little(ceiling: int, *, right: bool, seed: int) -> None:
    """If no other program calls and no wrong number is named, the learned limit never falls below the real one."""
    service = AtOnce(lambda _: ceiling, lambda _: ceiling if right else None)
    simulation = Simulation(service, ConcurrencyLimit(), lognormal(seed)).run(600)
    assert min(limit for _, limit in simulation.limits) >= min(INITIAL_LIMIT, ceiling)


def test_a_limit_that_changes_is_followed() -> None:
    """A limit that is lowered or raised while calls run is found with few refusals."""
    changes = {0: 5, 60: 2, 160: 8}

    def ceiling(now: float) -> int:
        return next(at_once for since, at_once in reversed(changes.items()) if now - 1000 >= since)

    simulation = Simulation(AtOnce(ceiling, ceiling), ConcurrencyLimit(), lognormal(1)).run(2500)
    limits = {second: limit for now, limit in simulation.limits for second in (50, 75, 150) if now - 1000 <= second} | {
        999: simulation.limit.value
    }
    assert [limits[second] - wanted in {0, 1} for second, wanted in ((50, 5), (75, 2), (150, 2), (999, 8))] == [
        True
    ] * 4
    assert simulation.refused <= 60
    assert simulation.tries <= 5
