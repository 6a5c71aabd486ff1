from __future__ import annotations

import asyncio
import random
from contextlib import ExitStack

import pytest
from contenders import SimulatedWire
from frame import PICTURE
from hypothesis import given, settings
from hypothesis import strategies as st
from overload import Load, Outcome, Service
from support.fakes import domain
from support.web import CONTENT_TYPE, Upload, app_of
from virtual import run_virtually

from clova_ocr_async import ClovaOCRClient, OverloadedError
from clova_ocr_async.client import Backlog
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.integrations.fastapi.shedding import ASSUMED_SECONDS, LoadShedder


def backlog(waiting: int = 0, *, free: int = 0, slots: int = 5, rate: float | None = 0.5) -> Backlog:
    """Return a backlog of a domain with five slots and calls of ten seconds."""
    return Backlog(waiting, free, slots, rate)


def refusal(shedder: LoadShedder, waits: Backlog, now: float = 0.0, caller: str = "one") -> float:
    """Return the seconds after which a refused upload is to come back."""
    with pytest.raises(OverloadedError, match="nothing was sent") as caught, shedder.upload(waits, now, caller):
        raise AssertionError
    return caught.value.retry_after


def admit(shedder: LoadShedder, waits: Backlog, now: float = 0.0, caller: str = "one") -> None:
    """Begin and end an upload that is admitted."""
    with shedder.upload(waits, now, caller):
        pass


# ---------------------------------------------------------------------------------------------------------------------
# Who is refused


def test_a_call_that_would_wait_too_long_is_refused() -> None:
    """A call is admitted as long as the calls before it are answered within max_wait, and refused beyond."""
    admit(LoadShedder(10.0), backlog(waiting=4))
    assert refusal(LoadShedder(10.0), backlog(waiting=5)) == pytest.approx(4.0)


def test_a_free_slot_means_no_wait() -> None:
    """However short max_wait is, an upload for which a slot is free is admitted."""
    admit(LoadShedder(0.001), backlog(free=1))


def test_uploads_and_new_calls_count_as_calls_that_wait() -> None:
    """Callers that come at the same moment cannot all pass before the first of them waits."""
    shedder = LoadShedder(10.0)
    with ExitStack() as uploads:
        for _ in range(7):
            uploads.enter_context(shedder.upload(backlog(free=2), 0.0, "one"))
        refusal(shedder, backlog(free=2))
    admit(shedder, backlog(free=2))
    shedder.calls = 10  # begun, and not yet in the queue of the client
    refusal(shedder, backlog(free=5))


def test_slow_uploads_keep_no_other_out_of_a_free_slot() -> None:
    """An upload that arrives for longer than a call may wait counts no more, unless dozens of them fill the memory."""
    shedder = LoadShedder(10.0)
    with ExitStack() as slow:
        for moment in range(5):
            for _ in range(7):
                slow.enter_context(shedder.upload(backlog(free=2), 20.0 * moment, "slow"))
        for _ in range(4):
            slow.enter_context(shedder.upload(backlog(free=2), 300.0, "slow"))
        refusal(shedder, backlog(free=2), 600.0)
    admit(shedder, backlog(free=2), 600.0)


def test_before_the_first_answer_a_call_is_assumed_to_take_ten_seconds() -> None:
    """While nothing was learned, the vendor's usual times decide, and refused callers come back soon, spread."""
    shedder = LoadShedder(10.0)
    admit(shedder, backlog(waiting=4, rate=None))
    times = [refusal(shedder, backlog(waiting=5, rate=None)) for _ in range(50)]
    assert all(0 < seconds <= 2 + ASSUMED_SECONDS for seconds in times)
    assert len({round(seconds, 1) for seconds in times}) > 40


# ---------------------------------------------------------------------------------------------------------------------
# When they come back


def test_refused_callers_come_back_one_after_the_other() -> None:
    """Each refused caller gets a time of its own, as fast as the domain answers."""
    shedder = LoadShedder(10.0)
    times = [refusal(shedder, backlog(waiting=21, rate=2.0)) for _ in range(10)]
    assert times == [pytest.approx(1.5 + number / 2) for number in range(10)]


def test_a_place_is_kept_for_a_caller_that_comes_back_in_time() -> None:
    """New callers do not take a kept place; its caller gets it once; after some seconds it is kept no longer."""
    shedder = LoadShedder(10.0)
    full, room = backlog(waiting=20, rate=2.0), backlog(waiting=19, rate=2.0)
    assert refusal(shedder, full, caller="first") == pytest.approx(1.0)
    refusal(shedder, room, now=0.5, caller="new")
    refusal(shedder, room, now=0.9, caller="first")  # too early
    refusal(shedder, room, now=1.2, caller="another")
    admit(shedder, full, now=1.3, caller="first")  # although the estimate was a little short
    refusal(shedder, room, now=1.3, caller="yet another")
    admit(shedder, room, now=30.0, caller="new")


def test_the_estimate_may_not_be_far_off() -> None:
    """A caller with a place is refused all the same when the wait has become much longer."""
    shedder = LoadShedder(10.0)
    refusal(shedder, backlog(waiting=20, rate=2.0))
    refusal(shedder, backlog(waiting=20, rate=1.0), now=2.0)


def test_places_leave_no_slot_empty() -> None:
    """While less than half of the queue is in use, every caller is admitted, whatever places are kept."""
    shedder = LoadShedder(10.0)
    for _ in range(50):
        refusal(shedder, backlog(waiting=40, rate=2.0))
    admit(shedder, backlog(waiting=9, rate=2.0), caller="new")
    refusal(shedder, backlog(waiting=10, rate=2.0), caller="new")


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(2, 500), st.floats(0.0, 2.0)), min_size=1, max_size=80), st.floats(0.1, 50.0))
def test_a_time_to_come_back_is_neither_too_early_nor_far_away(arrivals: list[tuple[int, float]], rate: float) -> None:
    """Whatever comes when, a refused caller waits until there can be room, and no longer than five minutes for it."""
    shedder, now = LoadShedder(1.0), 0.0
    for waiting, pause in arrivals:
        now += pause
        wait = (waiting + 1) / rate
        if wait > 1.2:
            assert wait - 1.0 <= refusal(shedder, backlog(waiting, rate=rate), now, "new") <= wait + 300.0


def test_every_refusal_of_an_overloaded_service_is_worth_obeying() -> None:
    """Callers far beyond what a domain answers are all answered by their third try, and wait no longer than promised.

    They come again at once after each answer, which is the hardest case: the number of callers never gets less.
    """
    mean, lasts, max_wait = 0.5, 20.0, 3.0
    waits: list[float] = []
    tries: list[int] = []
    rejections: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        outcome = Outcome(5 / mean, lasts)
        wire = SimulatedWire(Service(Load(factor=1, mean=mean), outcome, random.Random(1)))  # noqa: S311 - the same in each run
        runtime = Runtime(clock=loop.time, sleep=asyncio.sleep)
        client = ClovaOCRClient(domain(), transport=wire, runtime=runtime)
        app = app_of(client, max_wait=max_wait)

        async def caller(number: int) -> None:
            pictures = (PICTURE + bytes([number, count]) for count in range(255))
            headers = {"content-type": CONTENT_TYPE, "content-length": str(1000 + number)}
            while loop.time() < lasts:
                picture, tried, status = next(pictures), 0, 0
                while status != 200:
                    asked, tried = loop.time(), tried + 1
                    answered = await Upload(app, picture, headers=headers).answer()
                    status = answered.status
                    if status == 503:
                        await asyncio.sleep(int(answered.headers["retry-after"]))
                waits.append(loop.time() - asked)
                tries.append(tried)

        async with asyncio.TaskGroup() as callers:
            for number in range(80):
                callers.create_task(caller(number))
        assert outcome.billed == len(tries) >= outcome.capacity * lasts
        rejections.append(client.gates[client.domains[0]].rejections)

    run_virtually(main())
    assert max(tries) <= 3
    assert sum(tried > 1 for tried in tries) > len(tries) / 4
    assert sorted(waits)[int(0.95 * len(waits))] <= max_wait + 2 * mean
    assert rejections[0] <= 10
