import threading
from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.emulator import DomainState


@dataclass
class Clock:
    """Shows the time it is set to."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_no_more_calls_are_let_in_than_the_ceiling_says() -> None:
    """With the ceiling reached a call is refused and counted as rejected, until another call has left."""
    meter = DomainState(Clock(), 2)
    assert [meter.enter(), meter.enter(), meter.enter()] == [True, True, False]
    assert (meter.in_flight, meter.rejected) == (2, 1)
    meter.leave()
    assert [meter.enter(), meter.enter()] == [True, False]
    assert (meter.in_flight, meter.rejected) == (2, 2)


def test_without_a_ceiling_every_call_is_let_in() -> None:
    """With None for a ceiling no call is refused."""
    meter = DomainState(Clock(), None)
    assert all(meter.enter() for _ in range(100))
    assert (meter.in_flight, meter.rejected) == (100, 0)


def test_a_ceiling_may_change_while_calls_run() -> None:
    """A lowered ceiling sends nobody away who is in, and a raised one lets in at once."""
    meter = DomainState(Clock(), 3)
    assert all(meter.enter() for _ in range(3))
    meter.set_ceiling(1)
    assert meter.in_flight == 3
    meter.leave()
    meter.leave()
    assert not meter.enter()
    meter.set_ceiling(2)
    assert meter.enter()
    assert not meter.enter()
    meter.set_ceiling(None)
    assert meter.enter()


def test_a_quota_is_spent_call_by_call() -> None:
    """As many calls are let through as the quota says, and it can be filled up again."""
    meter = DomainState(Clock(), 1, 2)
    assert [meter.spend() for _ in range(4)] == [True, True, False, False]
    assert meter.quota == 0
    meter.quota = 1
    assert [meter.spend(), meter.spend()] == [True, False]


def test_without_a_quota_every_call_is_let_through() -> None:
    """With None for a quota nothing is counted off."""
    meter = DomainState(Clock(), 1)
    assert all(meter.spend() for _ in range(100))
    assert meter.quota is None


def test_busy_and_capacity_are_integrals_over_time() -> None:
    """Busy grows by a second a second for each call that runs, capacity for each that may run."""
    clock = Clock()
    meter = DomainState(clock, 4)
    meter.enter()
    clock.now += 10
    assert (meter.busy, meter.capacity) == (10, 40)
    meter.enter()
    clock.now += 5
    meter.leave()
    meter.leave()
    clock.now += 100
    assert (meter.busy, meter.capacity) == (20, 460)


def test_time_counts_from_the_first_call() -> None:
    """Neither looking at a meter nor changing its ceiling before the first call makes idle time count."""
    clock = Clock()
    meter = DomainState(clock, 4)
    assert (meter.busy, meter.capacity) == (0, 0)
    clock.now += 50
    meter.set_ceiling(2)
    clock.now += 50
    assert (meter.busy, meter.capacity) == (0, 0)
    meter.enter()
    clock.now += 1
    assert (meter.busy, meter.capacity) == (1, 2)


def test_a_changed_ceiling_counts_from_when_it_was_changed() -> None:
    """The time before a change counts with the old ceiling, the time after it with the new one."""
    clock = Clock()
    meter = DomainState(clock, 4)
    meter.enter()
    clock.now += 10
    meter.set_ceiling(2)
    clock.now += 10
    assert (meter.busy, meter.capacity) == (20, 60)


def test_calls_above_a_lowered_ceiling_count_as_capacity() -> None:
    """While more calls run than the ceiling, lowered meanwhile, allows, capacity grows as fast as busy."""
    clock = Clock()
    meter = DomainState(clock, 3)
    assert all(meter.enter() for _ in range(3))
    meter.set_ceiling(1)
    clock.now += 10
    assert (meter.busy, meter.capacity) == (30, 30)
    meter.leave()
    meter.leave()
    meter.leave()
    clock.now += 10
    assert (meter.busy, meter.capacity) == (30, 40)


def test_without_a_ceiling_capacity_is_what_was_busy() -> None:
    """With None for a ceiling a domain counts as full while calls run, and as nothing while none do."""
    clock = Clock()
    meter = DomainState(clock, None)
    meter.enter()
    meter.enter()
    clock.now += 10
    meter.leave()
    meter.leave()
    clock.now += 10
    assert (meter.busy, meter.capacity) == (20, 20)


events = st.lists(
    st.integers(1, 100)
    | st.sampled_from(["enter", "leave", "look"])
    | st.tuples(st.just("ceiling"), st.integers(1, 6) | st.none()),
    max_size=60,
)


@given(events, st.integers(1, 6) | st.none())
def test_busy_never_exceeds_capacity(happens: list[int | str | tuple[str, int | None]], ceiling: int | None) -> None:
    """Whatever happens, busy is the sum of the calls' lengths and capacity at least as much, and neither shrinks."""
    clock = Clock()
    meter = DomainState(clock, ceiling)
    busy, in_flight, seen = 0, 0, (0.0, 0.0)
    for event in happens:
        match event:
            case int(seconds):
                clock.now += seconds
                busy += seconds * in_flight
            case "enter":
                in_flight += meter.enter()
            case "leave" if in_flight:
                meter.leave()
                in_flight -= 1
            case ("ceiling", changed):
                meter.set_ceiling(changed)
            case _:
                assert meter.busy <= meter.capacity
                assert seen <= (seen := (meter.busy, meter.capacity))
    assert (meter.in_flight, meter.busy) == (in_flight, busy)
    assert meter.busy <= meter.capacity


def test_a_meter_may_be_used_from_several_threads() -> None:
    """Calls that come and go in many threads at once leave a meter with exact counts and nobody inside."""
    meter = DomainState(Clock(), 3)
    entered: Counter[bool] = Counter()

    def come_and_go() -> None:
        mine: Counter[bool] = Counter()
        for _ in range(2000):
            let_in = meter.enter()
            mine[let_in] += 1
            if let_in:
                meter.leave()
        entered.update(mine)

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.in_flight == 0
    assert (entered.total(), entered[False]) == (8000, meter.rejected)
