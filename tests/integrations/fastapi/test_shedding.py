from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async import OverloadedError
from clova_ocr_async.client import Backlog
from clova_ocr_async.integrations.fastapi.shedding import ASSUMED_SECONDS, LoadShedder


def backlog(waiting: int = 0, *, free: int = 0, slots: int = 5, rate: float | None = 0.5) -> Backlog:
    """Return a backlog of a domain with five slots and calls of ten seconds."""
    return Backlog(waiting, free, slots, rate)


def refusal(shedder: LoadShedder, waits: Backlog, now: float = 0.0) -> float:
    """Return the seconds after which a refused upload is to come back."""
    with pytest.raises(OverloadedError, match="nothing was sent") as caught, shedder.upload(waits, now):
        raise AssertionError
    return caught.value.retry_after


def test_a_call_that_would_wait_too_long_is_refused() -> None:
    """A call is admitted as long as the calls before it are answered within max_wait, and refused beyond."""
    shedder = LoadShedder(10.0)
    with shedder.upload(backlog(waiting=4), 0.0):
        pass
    assert refusal(shedder, backlog(waiting=5)) >= 2.0


def test_a_free_slot_means_no_wait() -> None:
    """However short max_wait is, an upload for which a slot is free is admitted."""
    with LoadShedder(0.001).upload(backlog(free=1), 0.0):
        pass


def test_uploads_that_still_arrive_count_as_calls_that_wait() -> None:
    """Callers that come at the same moment cannot all pass before the first of them waits."""
    shedder = LoadShedder(10.0)
    with ExitStack() as uploads:
        for _ in range(7):
            uploads.enter_context(shedder.upload(backlog(free=2), 0.0))
        refusal(shedder, backlog(free=2))
    assert shedder.uploads == 0


def test_before_the_first_answer_a_call_is_assumed_to_take_ten_seconds() -> None:
    """While nothing was learned, the vendor's usual times decide, and refused callers come back soon."""
    shedder = LoadShedder(10.0)
    with shedder.upload(backlog(waiting=4, rate=None), 0.0):
        pass
    times = [refusal(shedder, backlog(waiting=5, rate=None)) for _ in range(50)]
    assert all(0 < seconds <= ASSUMED_SECONDS for seconds in times)


def test_refused_callers_come_back_one_after_the_other() -> None:
    """Each refused caller gets a time of its own, at half the rate at which the domain answers."""
    shedder = LoadShedder(10.0)
    times = [refusal(shedder, backlog(waiting=21, rate=2.0)) for _ in range(10)]
    assert times == [pytest.approx(1.0 + number) for number in range(10)]


@given(st.lists(st.tuples(st.integers(6, 500), st.floats(0.0, 2.0)), min_size=1, max_size=80), st.floats(0.1, 50.0))
def test_a_time_to_come_back_is_neither_in_the_past_nor_far_away(
    arrivals: list[tuple[int, float]], rate: float
) -> None:
    """Whatever comes when, a refused caller waits until its call may be admitted, and rarely more than a minute."""
    shedder, now = LoadShedder(1.0), 0.0
    for waiting, pause in arrivals:
        now += pause
        wait = (waiting + 1) / rate
        if wait > 1.0:
            seconds = refusal(shedder, backlog(waiting, rate=rate), now)
            assert wait - 1.0 <= seconds <= max(60.0, wait - 1.0)
