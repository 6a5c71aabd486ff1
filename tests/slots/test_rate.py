from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.simulated import Bucket, Simulation

from clova_ocr_async.slots.limit import ConcurrencyLimit, LimitSignal
from clova_ocr_async.slots.rate import Pacer

if TYPE_CHECKING:
    from collections.abc import Callable


def middle(low: float, high: float) -> float:
    """Draw the middle."""
    return (low + high) / 2


def let_in(pace: Pacer, now: float, calls: int, every: float, most: float | None = None) -> float:
    """Let calls leave one after the other, each let in, and return the time after them."""
    for _ in range(calls):
        now += pace.wait(now)
        pace.leave(now, most)
        pace.admit()
        now += every
    return now


def test_nothing_is_limited_before_anything_is_known() -> None:
    """Calls leave as they come while no refusal and no bound says otherwise."""
    pace = Pacer()
    let_in(pace, 1000.0, 1000, 0.0)
    assert (pace.wait(1000.0), pace.rate) == (0.0, None)


def test_a_refusal_pauses() -> None:
    """After a refusal no call leaves for a while, that is drawn anew each time."""
    draws: list[Callable[[float, float], float]] = [min, middle, max]
    pauses = set[float]()
    for draw in draws:
        pace = Pacer()
        pace.refuse(1000.0, None, draw)
        pauses.add(pace.wait(1000.0))
        assert pace.wait(1000.0 + pace.wait(1000.0)) == 0.0
    assert len(pauses) == 3
    assert all(0 < pause < 2 for pause in pauses)


def test_pauses_grow_while_nothing_is_let_in() -> None:
    """Each refusal with nothing let in since the last doubles the pause, up to some seconds; an answer ends that."""
    pace, now, pauses = Pacer(), 1000.0, list[float]()
    for _ in range(20):
        pace.refuse(now, None, middle)
        pauses.append(pace.wait(now))
        now += pauses[-1]
        pace.leave(now, None)
    assert pauses == sorted(pauses)
    assert pauses[1] == pytest.approx(2 * pauses[0])
    assert pauses[-1] == pauses[-2] <= 10.0
    pace.admit()
    pace.refuse(now, None, middle)
    assert pace.resumes - now == pytest.approx(pauses[0])


@pytest.mark.parametrize(("asked", "least"), [(0.0, 0.1), (7.0, 7.0), (120.0, 120.0), (120.1, 0.1), (86_400.0, 0.1)])
def test_what_a_refusal_asks_to_wait(asked: float, least: float) -> None:
    """A Retry-After is waited in full up to two minutes, and beyond that our own pause holds."""
    pace = Pacer()
    pace.refuse(1000.0, asked, middle)
    assert least <= pace.wait(1000.0) <= max(least, 1.0)


def test_the_rate_is_what_was_let_in() -> None:
    """After a refusal calls leave a little slower than those that were let in until then."""
    pace = Pacer()
    now = let_in(pace, 1000.0, 60, 0.25)
    pace.refuse(now, None, middle)
    assert pace.rate is not None
    assert 3.0 <= pace.rate <= 4.0


def test_a_pace_that_is_too_fast_is_halved() -> None:
    """When a new pace is refused before anything can be told from it, it is halved, down to a call in two seconds."""
    pace = Pacer()
    now = let_in(pace, 1000.0, 60, 0.25)
    pace.refuse(now, None, middle)
    rates = [pace.rate or 0.0]
    for _ in range(20):
        now = let_in(pace, now, 1, 0.0)
        pace.refuse(now, None, middle)
        rates.append(pace.rate or 0.0)
    assert rates[1] == pytest.approx(rates[0] / 2)
    assert rates[-1] == pytest.approx(0.5)


def test_a_pace_is_raised_while_it_is_let_in() -> None:
    """Calls that leave as fast as they may, and are let in, make the pace faster, step by step."""
    pace = Pacer()
    now = let_in(pace, 1000.0, 60, 0.25)
    pace.refuse(now, None, middle)
    slow = pace.rate or 0.0
    let_in(pace, now, 300, 0.0)
    assert pace.rate is None or pace.rate > slow * 1.2


def test_a_pace_nobody_needs_is_dropped() -> None:
    """When calls leave slower than they might anyway, nothing is limited any more."""
    pace = Pacer()
    now = let_in(pace, 1000.0, 60, 0.25)
    pace.refuse(now, None, middle)
    let_in(pace, now, 300, 5.0)
    assert pace.rate is None


def test_a_pace_that_hardly_anybody_may_use_is_doubled() -> None:
    """A slow pace is raised by time as well: a few calls a minute would never show that others have gone."""
    pace = Pacer(rate=0.5, last=1000.0, changed=1000.0)
    let_in(pace, 1001.0, 100, 0.0)
    assert pace.rate is not None
    assert pace.rate > 1.5


def test_a_refusal_behind_another_says_nothing_new() -> None:
    """Refusals in a row, with nothing let in between, slow down no further: the pauses do that."""
    pace = Pacer()
    now = let_in(pace, 1000.0, 60, 0.25)
    pace.refuse(now, None, middle)
    rate = pace.rate
    for _ in range(10):
        now += pace.wait(now)
        pace.leave(now, None)
        pace.withdraw()
        pace.refuse(now, None, middle)
    assert pace.rate == rate


@pytest.mark.parametrize("later", [61.0, -900.0])
def test_a_pace_of_long_ago_is_forgotten(later: float) -> None:
    """After a minute without a call, or a start of the machine, the first call and those behind it leave freely."""
    pace = Pacer()
    now = let_in(pace, 1000.0, 60, 0.25)
    pace.refuse(now, None, middle)
    now = pace.resumes + later
    for _ in range(3):
        assert pace.wait(now) == 0.0
        pace.leave(now, None)
    assert pace.rate is None


def test_a_long_rest_says_nothing_about_the_rate() -> None:
    """A time without calls is not counted as one in which only few were let in."""
    pace = Pacer()
    let_in(pace, 1000.0, 30, 0.25)
    now = let_in(pace, 5000.0, 30, 0.25)
    pace.refuse(now, None, middle)
    assert pace.rate is not None
    assert pace.rate >= 3.0


def test_a_call_that_is_noted_late_starts_nothing_anew() -> None:
    """Calls of several processes may be noted in another order than they left in; they count all the same."""
    pace = Pacer()
    now = let_in(pace, 1000.0, 30, 0.25)
    pace.leave(now - 0.5, None)
    assert pace.left == 31


@pytest.mark.parametrize("now", [0.0, 5.0, 1e6])
def test_a_time_of_another_boot_holds_nobody_up(now: float) -> None:
    """What was noted by a clock that has begun anew since pauses nobody."""
    pace = Pacer()
    let_in(pace, 1e7, 10, 0.1, most=5.0)
    pace.refuse(1e7 + 1, 100.0, middle)
    assert pace.wait(now) == 0.0


@given(
    most=st.floats(0.001, 1000),
    waits=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.3, 2.0, 500.0]), min_size=2, max_size=60),
)
@settings(deadline=None)
def test_a_bound_is_never_exceeded(most: float, waits: list[float]) -> None:
    """However calls come, between any two of them no more leave than the bound allows, but for one or two."""
    pace, now, left = Pacer(), 1000.0, list[float]()
    for wait in waits:
        now += wait
        now += pace.wait(now)
        pace.leave(now, most)
        left.append(now)
    for first in range(len(left)):
        for last in range(first + 1, len(left)):
            assert last - first <= (left[last] - left[first]) * most + 2.01


def test_the_slower_of_two_bounds_holds() -> None:
    """A pace that was learned and a bound that was given hold both."""
    pace = Pacer()
    now = let_in(pace, 1000.0, 60, 0.25)
    pace.refuse(now, None, middle)
    now += 4.0
    assert let_in(pace, now, 11, 0.0, most=1000.0) - now >= 2.0
    now += 4.0
    assert let_in(pace, now, 11, 0.0, most=0.5) - now >= 18.0


Move = tuple[str, float]
moves = st.lists(
    st.tuples(st.sampled_from(["leave", "admit", "refuse", "rest", "pass", "withdraw"]), st.floats(0, 300)), max_size=80
)


@given(moves=moves, part=st.floats(0, 1))
@example(moves=[("pass", 136.39003597814287), ("refuse", 120.0)], part=0.0)
def test_whatever_happens_calls_leave_sooner_or_later(moves: list[Move], part: float) -> None:
    """In any order of events the next call may leave within two minutes, and what is known can be written down."""
    pace, now = Pacer(), 0.0
    for what, number in moves:
        if what == "leave":
            now += pace.wait(now)
            pace.leave(now, None)
        elif what == "admit":
            pace.admit()
        elif what == "refuse":
            pace.refuse(now, number or None, lambda low, high: low + part * (high - low))
            assert pace.wait(now) >= (number if number <= 120 else 0) - 0.001
        elif what == "rest":
            pace.rest(now, number)
        elif what == "withdraw":
            pace.withdraw()
        else:
            now += number
        assert 0 <= pace.wait(now) <= 120.001
        assert pace.wait(now + pace.wait(now) + 1e-6) == 0
        assert pace.rate is None or pace.rate > 0
    assert msgspec.json.decode(msgspec.json.encode(pace), type=Pacer) == pace


# ---------------------------------------------------------------------------------------------------------------------
# Services that limit the calls a second

SAID = {
    "0025": LimitSignal(),
    "the gateway's": LimitSignal(by_rate=True),
    "the gateway's, with a wait": LimitSignal(by_rate=True, retry_after=1.0),
}


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("seconds", [0.2, 1.0])
@pytest.mark.parametrize("rate", [8.0, 20.0])
def test_a_limited_rate_is_found_and_used(rate: float, seconds: float, said: str) -> None:
    """A service that limits calls a second is used for at least nine tenths of what it allows, with few refusals."""
    items = int(rate * 300)
    simulation = Simulation(Bucket(rate, rate, SAID[said]), ConcurrencyLimit(), lambda: seconds).run(items)
    assert items >= 0.9 * (rate * (simulation.now - 1000) + rate)
    assert simulation.refused <= 0.05 * items
    assert simulation.tries <= 5


@given(
    rate=st.floats(0.5, 50),
    size=st.floats(1, 50),
    said=st.sampled_from([*SAID.values()]),
    seconds=st.floats(0.1, 20),
)
@settings(max_examples=60, deadline=None)
def test_any_limited_rate_lets_everybody_through(rate: float, size: float, said: LimitSignal, seconds: float) -> None:
    """Whatever the rate, its bursts and the length of calls, everybody is served, with fewer refusals than calls."""
    simulation = Simulation(Bucket(rate, size, said), ConcurrencyLimit(), lambda: seconds).run(300)
    assert simulation.refused <= 300
    assert not simulation.ceiling.pace.wait(simulation.now + 120)


def latencies(values: list[float]) -> Callable[[], float]:
    """Return what gives latencies one after the other, and the last one from then on."""
    left = list(reversed(values))
    return lambda: left.pop() if len(left) > 1 else left[0]


def test_a_rate_that_changes_is_followed() -> None:
    """A rate that is lowered and raised again is found again."""
    bucket = Bucket(20.0, 20.0, SAID["0025"])
    simulation = Simulation(bucket, ConcurrencyLimit(), latencies([0.2])).run(3000)
    for rate in (8.0, 20.0):
        bucket.rate = bucket.size = rate
        began, items = simulation.now, int(rate * 400)
        simulation.run(items)
        assert items >= 0.75 * rate * (simulation.now - began)
