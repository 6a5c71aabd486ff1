from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import anyio
import pytest
from support.fakes import steps

from clova_ocr_async.client.preparation_threads import PLACE_BYTES, PreparationThreads

if TYPE_CHECKING:
    from collections.abc import Iterator


class Blocked:
    """Work that blocks its thread until it is let go, and counts how many do so at once."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.at_work = self.most = self.done = 0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """Block."""
        with self._lock:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
        assert self.go_on.wait(10)
        with self._lock:
            self.at_work -= 1
            self.done += 1
        return "made"

    async def until(self, at_work: int) -> None:
        """Wait until so many threads are blocked."""
        async with asyncio.timeout(10):
            while self.at_work < at_work:  # noqa: ASYNC110 - threads set no event of the loop
                await asyncio.sleep(0.001)


@pytest.fixture
def work() -> Iterator[Blocked]:
    """Work that is let go at the end, so that no thread outlives its test."""
    blocked = Blocked()
    yield blocked
    blocked.go_on.set()


async def test_as_many_as_there_are_places(work: Blocked) -> None:
    """No more conversions run at once than there are places, and each gives its result."""
    threads = PreparationThreads(2)
    running = [asyncio.create_task(threads.run(work)) for _ in range(5)]
    await work.until(2)
    await steps()
    assert work.at_work == 2
    work.go_on.set()
    assert [await task for task in running] == ["made"] * 5
    assert work.most == 2


@pytest.mark.parametrize("size", [PLACE_BYTES, 100 * PLACE_BYTES])
async def test_a_large_picture_takes_several_places(work: Blocked, size: int) -> None:
    """A conversion that takes much memory runs beside fewer others, however large it is."""
    threads = PreparationThreads(2)
    large = asyncio.create_task(threads.run(work, size))
    await work.until(1)
    small = asyncio.create_task(threads.run(work))
    await steps()
    assert work.at_work == 1
    work.go_on.set()
    assert (await large, await small, work.most) == ("made", "made", 1)


async def test_plain_threads_stay_free(work: Blocked) -> None:
    """While all places are taken, other threads do their work."""
    threads = PreparationThreads(1)
    running = asyncio.create_task(threads.run(work))
    await work.until(1)
    assert await anyio.to_thread.run_sync(lambda: "read") == "read"
    work.go_on.set()
    assert await running == "made"


async def test_a_cancelled_caller_leaves_at_once_and_the_place_stays_taken(work: Blocked) -> None:
    """A caller that is cancelled does not wait for its thread, whose result is dropped and whose place is then free."""
    threads = PreparationThreads(1)
    leaving = asyncio.create_task(threads.run(work))
    await work.until(1)
    queued = asyncio.create_task(threads.run(work))
    waiting = asyncio.create_task(threads.run(work))
    await steps()
    for task in (leaving, queued):
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    assert (work.at_work, work.done) == (1, 0)
    work.go_on.set()
    assert await waiting == "made"
    assert (work.most, work.done) == (1, 2)


async def test_an_error_is_the_callers(caplog: pytest.LogCaptureFixture) -> None:
    """An error of the work is raised to its caller; that of a caller that has gone is dropped without a trace."""
    threads = PreparationThreads(1)
    go_on, begun = threading.Event(), threading.Event()

    def fail() -> None:
        begun.set()
        assert go_on.wait(10)
        raise ValueError("made up")

    leaving = asyncio.create_task(threads.run(fail))
    assert await anyio.to_thread.run_sync(begun.wait, 10)
    leaving.cancel()
    await asyncio.wait([leaving])
    go_on.set()
    with pytest.raises(ValueError, match="made up"):
        await threads.run(fail)
    assert caplog.records == []


async def test_several_places_that_are_waited_for_are_given_back(work: Blocked) -> None:
    """A large conversion that is cancelled while it has only some of its places gives them back."""
    threads = PreparationThreads(2)
    first = asyncio.create_task(threads.run(work))
    await work.until(1)
    large = asyncio.create_task(threads.run(work, PLACE_BYTES))
    await steps()
    large.cancel()
    await asyncio.wait([large])
    second = asyncio.create_task(threads.run(work))
    await work.until(2)
    work.go_on.set()
    assert (await first, await second) == ("made", "made")


def test_a_loop_that_ends_while_a_picture_is_prepared(work: Blocked) -> None:
    """A loop may be closed while a conversion runs: its result is dropped, and nothing is reported as lost."""
    threads = PreparationThreads(1)

    async def leave() -> None:
        running.append(asyncio.create_task(threads.run(work)))
        await work.until(1)

    running: list[asyncio.Task[str]] = []
    with asyncio.Runner() as runner:
        runner.run(leave())
    assert running[0].cancelled()
