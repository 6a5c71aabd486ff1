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


def let_in(pacer: Pacer, now: float, calls: int, every: float, max_per_second: float | None = None) -> float:
    """Send calls one after the other, each of which is let in, and return the time after them."""
    for _ in range(calls):
        now += pacer.wait(now)
        pacer.on_sent(now, max_per_second)
        pacer.on_admitted()
        now += every
    return now


def test_nothing_is_limited_before_anything_is_known() -> None:
    """Calls are sent as they come while there was no refusal and no bound was given."""
    pacer = Pacer()
    let_in(pacer, 1000.0, 1000, 0.0)
    assert (pacer.wait(1000.0), pacer.rate) == (0.0, None)


def test_a_refusal_pauses() -> None:
    """After a refusal no call is sent for a random time, drawn anew each time."""
    draws: list[Callable[[float, float], float]] = [min, middle, max]
    pauses = set[float]()
    for draw in draws:
        pacer = Pacer()
        pacer.back_off(1000.0, None, draw)
        pauses.add(pacer.wait(1000.0))
        assert pacer.wait(1000.0 + pacer.wait(1000.0)) == 0.0
    assert len(pauses) == 3
    assert all(0 < pause < 2 for pause in pauses)


def test_pauses_grow_while_no_call_is_let_in() -> None:
    """Each refusal without an answer since the last one doubles the pause, up to some seconds; an answer ends that."""
    pacer, now, pauses = Pacer(), 1000.0, list[float]()
    for _ in range(20):
        pacer.back_off(now, None, middle)
        pauses.append(pacer.wait(now))
        now += pauses[-1]
        pacer.on_sent(now, None)
    assert pauses == sorted(pauses)
    assert pauses[1] == pytest.approx(2 * pauses[0])
    assert pauses[-1] == pauses[-2] <= 10.0
    pacer.on_admitted()
    pacer.back_off(now, None, middle)
    assert pacer.paused_until - now == pytest.approx(pauses[0])


@pytest.mark.parametrize(("asked", "least"), [(0.0, 0.1), (7.0, 7.0), (120.0, 120.0), (120.1, 0.1), (86_400.0, 0.1)])
def test_a_retry_after_is_obeyed_up_to_two_minutes(asked: float, least: float) -> None:
    """A Retry-After of up to two minutes is obeyed in full; a longer one is ignored for a pause of our own."""
    pacer = Pacer()
    pacer.back_off(1000.0, asked, middle)
    assert least <= pacer.wait(1000.0) <= max(least, 1.0)


def test_the_rate_is_a_little_lower_than_what_was_let_in() -> None:
    """After a refusal calls are sent a little slower than those that were let in until then."""
    pacer = Pacer()
    now = let_in(pacer, 1000.0, 60, 0.25)
    pacer.back_off(now, None, middle)
    assert pacer.rate is not None
    assert 3.0 <= pacer.rate <= 4.0


def test_a_rate_that_is_too_high_is_halved() -> None:
    """A new rate that is refused before another one can be estimated is halved, down to a call in two seconds."""
    pacer = Pacer()
    now = let_in(pacer, 1000.0, 60, 0.25)
    pacer.back_off(now, None, middle)
    rates = [pacer.rate or 0.0]
    for _ in range(20):
        now = let_in(pacer, now, 1, 0.0)
        pacer.back_off(now, None, middle)
        rates.append(pacer.rate or 0.0)
    assert rates[1] == pytest.approx(rates[0] / 2)
    assert rates[-1] == pytest.approx(0.5)


def test_a_rate_rises_while_its_calls_are_let_in() -> None:
    """The rate rises step by step while calls are sent as fast as it allows and are let in."""
    pacer = Pacer()
    now = let_in(pacer, 1000.0, 60, 0.25)
    pacer.back_off(now, None, middle)
    slow = pacer.rate or 0.0
    let_in(pacer, now, 300, 0.0)
    assert pacer.rate is None or pacer.rate > slow * 1.2


def test_a_rate_without_use_is_dropped() -> None:
    """When calls are sent slower than the rate allows anyway, the rate is limited no more."""
    pacer = Pacer()
    now = let_in(pacer, 1000.0, 60, 0.25)
    pacer.back_off(now, None, middle)
    let_in(pacer, now, 300, 5.0)
    assert pacer.rate is None


def test_a_low_rate_is_doubled_by_time() -> None:
    """A low rate rises by time as well, as a few calls a minute would never show that other programs have ended."""
    pacer = Pacer(rate=0.5, last_sent=1000.0, changed=1000.0)
    let_in(pacer, 1001.0, 100, 0.0)
    assert pacer.rate is not None
    assert pacer.rate > 1.5


def test_a_refusal_after_another_one_lowers_no_further() -> None:
    """Refusals in a row without an answer between them lower the rate once: the pauses do the rest."""
    pacer = Pacer()
    now = let_in(pacer, 1000.0, 60, 0.25)
    pacer.back_off(now, None, middle)
    rate = pacer.rate
    for _ in range(10):
        now += pacer.wait(now)
        pacer.on_sent(now, None)
        pacer.on_refused()
        pacer.back_off(now, None, middle)
    assert pacer.rate == rate


@pytest.mark.parametrize("later", [61.0, -900.0])
def test_a_rate_of_long_ago_is_forgotten(later: float) -> None:
    """A minute without a call, or a start of the machine, ends the limit of the rate for all calls."""
    pacer = Pacer()
    now = let_in(pacer, 1000.0, 60, 0.25)
    pacer.back_off(now, None, middle)
    now = pacer.paused_until + later
    for _ in range(3):
        assert pacer.wait(now) == 0.0
        pacer.on_sent(now, None)
    assert pacer.rate is None


def test_an_idle_time_does_not_lower_the_rate() -> None:
    """A time without calls does not count as one in which few calls were let in."""
    pacer = Pacer()
    let_in(pacer, 1000.0, 30, 0.25)
    now = let_in(pacer, 5000.0, 30, 0.25)
    pacer.back_off(now, None, middle)
    assert pacer.rate is not None
    assert pacer.rate >= 3.0


def test_calls_recorded_out_of_order_all_count() -> None:
    """Calls of several processes that are recorded in another order than they were sent in all count."""
    pacer = Pacer()
    now = let_in(pacer, 1000.0, 30, 0.25)
    pacer.on_sent(now - 0.5, None)
    assert pacer.sent == 31


@pytest.mark.parametrize("now", [0.0, 5.0, 1e6])
def test_a_time_of_another_boot_pauses_no_call(now: float) -> None:
    """Times of a clock that has begun anew since pause no call."""
    pacer = Pacer()
    let_in(pacer, 1e7, 10, 0.1, max_per_second=5.0)
    pacer.back_off(1e7 + 1, 100.0, middle)
    assert pacer.wait(now) == 0.0


@given(
    max_per_second=st.floats(0.001, 1000),
    waits=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.3, 2.0, 500.0]), min_size=2, max_size=60),
)
@settings(deadline=None)
def test_a_bound_is_never_exceeded(max_per_second: float, waits: list[float]) -> None:
    """Between any two calls no more are sent than the bound allows, but for one or two, however they come."""
    pacer, now, left = Pacer(), 1000.0, list[float]()
    for wait in waits:
        now += wait
        now += pacer.wait(now)
        pacer.on_sent(now, max_per_second)
        left.append(now)
    for first in range(len(left)):
        for last in range(first + 1, len(left)):
            assert last - first <= (left[last] - left[first]) * max_per_second + 2.01


def test_the_slower_of_two_bounds_holds() -> None:
    """The lower one of a learned rate and a given bound holds."""
    pacer = Pacer()
    now = let_in(pacer, 1000.0, 60, 0.25)
    pacer.back_off(now, None, middle)
    now += 4.0
    assert let_in(pacer, now, 11, 0.0, max_per_second=1000.0) - now >= 2.0
    now += 4.0
    assert let_in(pacer, now, 11, 0.0, max_per_second=0.5) - now >= 18.0


Move = tuple[str, float]
moves = st.lists(
    st.tuples(st.sampled_from(["send", "admit", "back off", "pause", "pass", "refuse"]), st.floats(0, 300)), max_size=80
)


@given(moves=moves, part=st.floats(0, 1))
@example(moves=[("pass", 136.39003597814287), ("back off", 120.0)], part=0.0)
def test_every_call_is_sent_sooner_or_later(moves: list[Move], part: float) -> None:
    """After any events the next call may be sent within two minutes, and the rate can be stored."""
    pacer, now = Pacer(), 0.0
    for what, number in moves:
        if what == "send":
            now += pacer.wait(now)
            pacer.on_sent(now, None)
        elif what == "admit":
            pacer.on_admitted()
        elif what == "back off":
            pacer.back_off(now, number or None, lambda low, high: low + part * (high - low))
            assert pacer.wait(now) >= (number if number <= 120 else 0) - 0.001
        elif what == "pause":
            pacer.pause(now, number)
        elif what == "refuse":
            pacer.on_refused()
        else:
            now += number
        assert 0 <= pacer.wait(now) <= 120.001
        assert pacer.wait(now + pacer.wait(now) + 1e-6) == 0
        assert pacer.rate is None or pacer.rate > 0
    assert msgspec.json.decode(msgspec.json.encode(pacer), type=Pacer) == pacer


# ---------------------------------------------------------------------------------------------------------------------
# Services that limit the calls a second

SIGNALS = {
    "0025": LimitSignal(),
    "the gateway's": LimitSignal(by_rate=True),
    "the gateway's, with a wait": LimitSignal(by_rate=True, retry_after=1.0),
}


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("seconds", [0.2, 1.0])
@pytest.mark.parametrize("rate", [8.0, 20.0])
def test_a_limited_rate_is_found_and_used(rate: float, seconds: float, signal: str) -> None:
    """A service that limits calls a second is used for at least nine tenths of what it allows, with few refusals."""
    items = int(rate * 300)
    simulation = Simulation(Bucket(rate, rate, SIGNALS[signal]), ConcurrencyLimit(), lambda: seconds).run(items)
    assert items >= 0.9 * (rate * (simulation.now - 1000) + rate)
    assert simulation.refused <= 0.05 * items
    assert simulation.tries <= 5


@given(
    rate=st.floats(0.5, 50),
    size=st.floats(1, 50),
    signal=st.sampled_from([*SIGNALS.values()]),
    seconds=st.floats(0.1, 20),
)
@settings(max_examples=60, deadline=None)
def test_every_call_gets_through_any_limited_rate(
    rate: float, size: float, signal: LimitSignal, seconds: float
) -> None:
    """Every call is served, with fewer refusals than calls, at any rate, with any bursts and any length of calls."""
    simulation = Simulation(Bucket(rate, size, signal), ConcurrencyLimit(), lambda: seconds).run(300)
    assert simulation.refused <= 300
    assert not simulation.limit.pacer.wait(simulation.now + 120)


def latencies(values: list[float]) -> Callable[[], float]:
    """Return a function that gives latencies one after the other, and the last one from then on."""
    left = list(reversed(values))
    return lambda: left.pop() if len(left) > 1 else left[0]


def test_a_rate_that_changes_is_followed() -> None:
    """A rate that is lowered and raised again is found again."""
    bucket = Bucket(20.0, 20.0, SIGNALS["0025"])
    simulation = Simulation(bucket, ConcurrencyLimit(), latencies([0.2])).run(3000)
    for rate in (8.0, 20.0):
        bucket.rate = bucket.size = rate
        began, items = simulation.now, int(rate * 400)
        simulation.run(items)
        assert items >= 0.75 * rate * (simulation.now - began)
