from __future__ import annotations

import asyncio
import threading

import pytest
from ledgers import eventually

from clova_ocr_async.batch.threads import Threads

SOON = 0.001


def readers() -> int:
    """Return how many threads there are."""
    return sum(thread.name == "clova-ocr-reading" for thread in threading.enumerate())


def noted(event: threading.Event) -> int:
    """Set an event."""
    event.set()
    return 2


class Gate:
    """Work that takes until it is let through."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def pass_through(self) -> str:
        """Wait."""
        self.begun.set()
        assert self.go_on.wait(10)
        return "through"


@pytest.fixture(autouse=True)
async def all_end() -> None:
    """Begin without threads of another test."""
    await eventually(lambda: readers() == 0)


async def test_it_returns_what_the_work_returns_and_raises_what_it_raises() -> None:
    """Whoever asks gets the result of the own work, or its error."""
    threads = Threads(idle=SOON)
    asked = [asyncio.create_task(threads.run(divmod, number, 7)) for number in range(50)]
    assert [await one for one in asked] == [divmod(number, 7) for number in range(50)]
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 1, 0)


async def test_one_thread_does_what_it_keeps_up_with() -> None:
    """However much is asked for at once, what ends quickly is done in one thread."""
    threads = Threads(patience=5.0, idle=SOON)
    asked = [asyncio.create_task(threads.run(threading.get_ident)) for _ in range(200)]
    assert len({await one for one in asked}) == 1


async def test_what_ends_together_is_brought_together() -> None:
    """What came to its end while the loop was busy is delivered in one turn."""
    threads, last = Threads(idle=SOON), threading.Event()
    first = asyncio.create_task(threads.run(int, "1"))
    second = asyncio.create_task(threads.run(noted, last))
    await asyncio.sleep(0)
    assert last.wait(10)
    assert (await first, await second) == (1, 2)


async def test_slow_work_does_not_hold_up_the_rest() -> None:
    """Where nothing comes to its end for a while, another thread is begun for what waits."""
    threads, slow = Threads(patience=SOON, idle=SOON), [Gate(), Gate()]
    waiting = [asyncio.create_task(threads.run(gate.pass_through)) for gate in slow]
    for gate in slow:
        await eventually(gate.begun.is_set)
    assert await threads.run(int, "3") == 3
    assert not any(one.done() for one in waiting)
    for gate in slow:
        gate.go_on.set()
    assert [await one for one in waiting] == ["through", "through"]


async def test_there_are_no_more_threads_than_allowed() -> None:
    """When all of them have something to do, the rest waits."""
    threads, slow = Threads(most=1, patience=SOON, idle=SOON), Gate()
    first = asyncio.create_task(threads.run(slow.pass_through))
    second = asyncio.create_task(threads.run(int, "2"))
    looks = 0
    while looks < 20:  # several times its patience
        await asyncio.sleep(SOON)
        looks += 1
    assert readers() == 1
    assert not second.done()
    slow.go_on.set()
    assert (await first, await second) == ("through", 2)


async def test_idle_threads_end_and_come_again() -> None:
    """A thread without work ends, and another is begun when there is some."""
    threads = Threads(idle=SOON)
    for number in range(3):
        assert await threads.run(int, str(number)) == number
        await eventually(lambda: readers() == 0)


async def test_work_that_nobody_waits_for_runs_to_its_end() -> None:
    """Who is cancelled is let go at once; the thread goes on with the next."""
    threads, slow = Threads(most=1, idle=SOON), Gate()
    waiting = asyncio.create_task(threads.run(slow.pass_through))
    await eventually(slow.begun.is_set)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    slow.go_on.set()
    assert await threads.run(int, "2") == 2


def test_a_closed_loop_is_not_told() -> None:
    """A thread whose loop is gone by the time that its work has ended ends as well."""
    threads, slow = Threads(idle=SOON), Gate()

    async def ask() -> None:
        task = asyncio.create_task(threads.run(slow.pass_through))
        await eventually(slow.begun.is_set)
        task.cancel()

    asyncio.run(ask())
    slow.go_on.set()
    asyncio.run(eventually(lambda: readers() == 0))
