import threading
from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.emulator import DomainState


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_no_more_calls_are_let_in_than_the_ceiling_says() -> None:
    """At the ceiling a call is refused and counted as rejected, until another call has ended."""
    state = DomainState(Clock(), 2)
    assert [state.admit(), state.admit(), state.admit()] == [True, True, False]
    assert (state.in_flight, state.rejected) == (2, 1)
    state.release()
    assert [state.admit(), state.admit()] == [True, False]
    assert (state.in_flight, state.rejected) == (2, 2)


def test_without_a_ceiling_every_call_is_let_in() -> None:
    """With None for a ceiling no call is refused."""
    state = DomainState(Clock(), None)
    assert all(state.admit() for _ in range(100))
    assert (state.in_flight, state.rejected) == (100, 0)


def test_a_ceiling_may_change_while_calls_run() -> None:
    """A lowered ceiling ends no running call, and a raised one admits calls at once."""
    state = DomainState(Clock(), 3)
    assert all(state.admit() for _ in range(3))
    state.set_ceiling(1)
    assert state.in_flight == 3
    state.release()
    state.release()
    assert not state.admit()
    state.set_ceiling(2)
    assert state.admit()
    assert not state.admit()
    state.set_ceiling(None)
    assert state.admit()


def test_a_quota_is_spent_call_by_call() -> None:
    """The quota admits its number of calls, and can be raised again."""
    state = DomainState(Clock(), 1, 2)
    assert [state.take_quota() for _ in range(4)] == [True, True, False, False]
    assert state.quota == 0
    state.quota = 1
    assert [state.take_quota(), state.take_quota()] == [True, False]


def test_without_a_quota_every_call_is_let_through() -> None:
    """A quota of None is never used up."""
    state = DomainState(Clock(), 1)
    assert all(state.take_quota() for _ in range(100))
    assert state.quota is None


def test_busy_and_capacity_are_integrals_over_time() -> None:
    """Busy grows by a second a second for each call that runs, capacity for each that may run."""
    clock = Clock()
    state = DomainState(clock, 4)
    state.admit()
    clock.now += 10
    assert (state.busy, state.capacity) == (10, 40)
    state.admit()
    clock.now += 5
    state.release()
    state.release()
    clock.now += 100
    assert (state.busy, state.capacity) == (20, 460)


def test_time_counts_from_the_first_call() -> None:
    """The time before the first call does not count, also if the state is read or its ceiling changed meanwhile."""
    clock = Clock()
    state = DomainState(clock, 4)
    assert (state.busy, state.capacity) == (0, 0)
    clock.now += 50
    state.set_ceiling(2)
    clock.now += 50
    assert (state.busy, state.capacity) == (0, 0)
    state.admit()
    clock.now += 1
    assert (state.busy, state.capacity) == (1, 2)


def test_a_changed_ceiling_counts_from_when_it_was_changed() -> None:
    """The time before a change counts with the old ceiling, the time after it with the new one."""
    clock = Clock()
    state = DomainState(clock, 4)
    state.admit()
    clock.now += 10
    state.set_ceiling(2)
    clock.now += 10
    assert (state.busy, state.capacity) == (20, 60)


def test_calls_above_a_lowered_ceiling_count_as_capacity() -> None:
    """While more calls run than the ceiling, lowered meanwhile, allows, capacity grows as fast as busy."""
    clock = Clock()
    state = DomainState(clock, 3)
    assert all(state.admit() for _ in range(3))
    state.set_ceiling(1)
    clock.now += 10
    assert (state.busy, state.capacity) == (30, 30)
    state.release()
    state.release()
    state.release()
    clock.now += 10
    assert (state.busy, state.capacity) == (30, 40)


def test_without_a_ceiling_capacity_is_what_was_busy() -> None:
    """A domain without a ceiling counts as full while calls run, and not at all while none run."""
    clock = Clock()
    state = DomainState(clock, None)
    state.admit()
    state.admit()
    clock.now += 10
    state.release()
    state.release()
    clock.now += 10
    assert (state.busy, state.capacity) == (20, 20)


events = st.lists(
    st.integers(1, 100)
    | st.sampled_from(["enter", "leave", "look"])
    | st.tuples(st.just("ceiling"), st.integers(1, 6) | st.none()),
    max_size=60,
)


@given(events, st.integers(1, 6) | st.none())
def test_busy_never_exceeds_capacity(happens: list[int | str | tuple[str, int | None]], ceiling: int | None) -> None:
    """After any events, busy is the sum of the calls' durations, capacity is at least as much, and neither shrinks."""
    clock = Clock()
    state = DomainState(clock, ceiling)
    busy, in_flight, seen = 0, 0, (0.0, 0.0)
    for event in happens:
        match event:
            case int(seconds):
                clock.now += seconds
                busy += seconds * in_flight
            case "enter":
                in_flight += state.admit()
            case "leave" if in_flight:
                state.release()
                in_flight -= 1
            case ("ceiling", changed):
                state.set_ceiling(changed)
            case _:
                assert state.busy <= state.capacity
                assert seen <= (seen := (state.busy, state.capacity))
    assert (state.in_flight, state.busy) == (in_flight, busy)
    assert state.busy <= state.capacity


def test_a_state_may_be_used_from_several_threads() -> None:
    """Calls that start and end in many threads at once leave exact counts and no call in flight."""
    state = DomainState(Clock(), 3)
    entered: Counter[bool] = Counter()

    def come_and_go() -> None:
        mine: Counter[bool] = Counter()
        for _ in range(2000):
            let_in = state.admit()
            mine[let_in] += 1
            if let_in:
                state.release()
        entered.update(mine)

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state.in_flight == 0
    assert (entered.total(), entered[False]) == (8000, state.rejected)
