from __future__ import annotations

import asyncio
import threading

import pytest

from clova_ocr_async.host.tasks import LARGE, call_unblocking, run_to_completion, wait_shielded


@pytest.mark.parametrize(("size", "in_a_thread"), [(0, False), (LARGE, False), (LARGE + 1, True)])
async def test_much_work_is_done_in_a_thread(size: int, in_a_thread: bool) -> None:
    """Work on few bytes is done at once, and work on many in a thread, so that the event loop goes on."""
    assert (await call_unblocking(size, threading.get_ident) != threading.get_ident()) is in_a_thread


async def test_work_that_is_done_takes_no_step_of_the_loop() -> None:
    """A future that is done is not waited for, and its failure is raised."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(OSError(28, "the disk is full"))
    with pytest.raises(OSError, match="the disk is full"):
        run_to_completion(future).send(None)


@pytest.mark.parametrize("times", [1, 2])
async def test_work_runs_to_its_end_however_often_the_waiting_is_cancelled(times: int) -> None:
    """Work that is waited for is not cancelled with its waiter, which raises its cancellation after the work's end."""
    go_on, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        done.set()

    waiting = asyncio.create_task(run_to_completion(work()))
    for _ in range(times):
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert done.is_set()


async def test_a_failure_of_the_work_is_the_cause_of_the_cancellation() -> None:
    """Work that fails while its waiter is cancelled is not lost: its failure is the cause of the cancellation."""
    go_on = asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        raise OSError(28, "the disk is full")

    waiting = asyncio.create_task(run_to_completion(work()))
    await asyncio.sleep(0)
    waiting.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await waiting
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_task_is_waited_for_although_the_waiting_is_cancelled() -> None:
    """A cancelled wait ends with the task that it waits for, and then raises its cancellation."""
    go_on = asyncio.Event()
    task = asyncio.create_task(go_on.wait())
    waiting = asyncio.create_task(wait_shielded(task))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert task.done()
