from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.client.usual_time import MEMORY, UsualTime

seconds = st.floats(0.001, 100.0)


def learned(times: list[float], *, late: bool = False) -> UsualTime:
    """Return what is known after answers that came one a second."""
    usual = UsualTime()
    for now, time in enumerate(times):
        usual.learn(time, float(now), late=late)
    return usual


def test_nothing_learned_yet() -> None:
    """Before the first answer nothing is known, and nothing is refused for it."""
    usual = UsualTime()
    assert usual.is_forgotten(0.0)
    assert (usual.usual, usual.safe, usual.mean, usual.prober) == (0.0, 0.0, 0.0, None)


@given(st.lists(seconds, min_size=1, max_size=200))
def test_nine_of_ten_of_the_last_answers_took_no_longer(times: list[float]) -> None:
    """Of the last 64 answers nine of ten took the usual time at the most, nearly all the safe time; both occurred."""
    usual, last = learned(times), times[-64:]
    assert sum(time <= usual.usual for time in last) >= 0.9 * len(last)
    assert sum(time < usual.usual for time in last) < 0.9 * len(last)
    assert sum(time > usual.safe for time in last) <= 1
    assert usual.usual <= usual.safe
    assert {usual.usual, usual.safe} <= set(last)
    assert usual.mean == pytest.approx(math.fsum(last) / len(last))


@given(st.lists(st.floats(0.5, 1.5), min_size=64, max_size=64), st.lists(st.floats(20.0, 100.0), max_size=6))
def test_a_few_slow_answers_shut_nobody_out(times: list[float], slow: list[float]) -> None:
    """Six answers of 64 that take for ever do not change the usual time by more than the others' own spread."""
    assert learned([*times, *slow]).usual <= 1.5


def test_seven_slow_answers_of_64_are_the_new_usual_time() -> None:
    """A service that has become slow is noticed after the seventh slow answer."""
    assert learned([1.0] * 64 + [20.0] * 6).usual == 1.0
    assert learned([1.0] * 64 + [20.0] * 7).usual == 20.0


def test_after_a_minute_without_an_answer_it_is_forgotten() -> None:
    """Times expire after a minute, and the next answer is the first of a new 64."""
    usual = learned([20.0] * 10)
    assert not usual.is_forgotten(9.0 + MEMORY)
    assert usual.is_forgotten(9.1 + MEMORY)
    usual.learn(1.0, 9.1 + MEMORY)
    assert (usual.usual, usual.safe, usual.mean) == (1.0, 1.0, 1.0)
    assert not usual.is_forgotten(9.1 + MEMORY)


def test_answers_nobody_got_do_not_put_off_the_probe() -> None:
    """Late answers are learned from, but a minute after the last one in time everything is forgotten all the same."""
    usual = learned([1.0] * 10)
    for now in range(10, 60):
        usual.learn(20.0, float(now), late=True)
    assert usual.usual == 20.0
    assert usual.is_forgotten(9.1 + MEMORY)


def test_the_answer_to_a_probe_counts_though_it_is_late() -> None:
    """The first answer after all times have expired counts for a minute, even if its caller had gone."""
    usual = learned([20.0], late=True)
    assert usual.usual == 20.0
    assert not usual.is_forgotten(MEMORY)
    assert usual.is_forgotten(MEMORY + 0.1)
