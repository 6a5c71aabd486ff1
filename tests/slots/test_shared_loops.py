"""Event loops and forks: what happens to shared slots when a loop ends or a process forks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import domain, steps
from support.slots import (
    FailingClock,
    Holder,
    Host,
    ManualExecutor,
    SqliteHost,
    check_idle,
    held,
    hold_one,
    holding,
)

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.slots import GateState

if TYPE_CHECKING:
    from clova_ocr_async.slots.shared import StoreSlots


def test_one_event_loop_after_the_other(host: Host) -> None:
    """The slots serve a second event loop when the first is closed, also with its last sync still to come."""
    with ThreadPoolExecutor(1) as thread:
        slots = host.slots(1, executor=thread)
        for _ in range(20):
            asyncio.run(hold_one(slots))
    check_idle(host, slots)


def test_a_sync_ordered_in_one_event_loop_serves_the_next(host: Host) -> None:
    """A sync that the last call of an event loop ordered serves the calls that wait in the next one."""
    executor = ManualExecutor()
    slots = host.slots(1, executor=executor)

    async def first() -> None:
        holder = Holder(slots)
        await steps()
        executor.at_once = False
        await holder.end()

    async def second() -> None:
        holder = Holder(slots)
        await steps()
        executor.at_once = True
        executor.run()
        await steps()
        assert holding([holder]) == [True]
        await holder.end()

    asyncio.run(first())
    asyncio.run(second())
    check_idle(host, slots)


class ClosingLoop(asyncio.SelectorEventLoop):
    """An event loop that takes a callback at the moment when it is closed, and so never runs it."""

    is_closing = False

    def call_soon_threadsafe(  # type: ignore[override] # as loosely as it is called
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """Take a callback, for nothing while the loop is closing."""
        if self.is_closed() or not self.is_closing:
            return super().call_soon_threadsafe(callback, *args, context=context)
        return asyncio.Handle(callback, args, self)


def test_a_slot_that_was_never_delivered_is_released(host: Host) -> None:
    """A slot that a sync got at the moment when a loop was closed is released with the next sync."""
    executor = ManualExecutor(at_once=False)
    slots = host.slots(1, executor=executor)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ClosingLoop)
        holder = Holder(slots)
        await asyncio.sleep(0)
        loop.is_closing = True
        executor.run()
        holder.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await holder.task

    with asyncio.Runner(loop_factory=ClosingLoop) as runner:
        runner.run(main())
    executor.run()
    check_idle(host, slots)
    executor.at_once = True
    asyncio.run(hold_one(slots))
    check_idle(host, slots)


@pytest.mark.parametrize("fails", [False, True])
def test_a_slot_that_comes_too_late_is_released(host: Host, *, fails: bool) -> None:
    """The result of a sync for a loop that is closed by then is undone at once, also if it is an error."""
    clock, executor, kept = FailingClock(), ManualExecutor(at_once=False), list[Holder]()
    slots = host.slots(1, runtime=Runtime(clock=clock), executor=executor)

    async def main() -> None:
        kept.append(Holder(slots))

    loop = asyncio.SelectorEventLoop()
    loop.set_exception_handler(lambda *_: None)
    loop.run_until_complete(main())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    clock.fails = fails
    executor.run()
    clock.fails = False
    executor.at_once = True
    asyncio.run(hold_one(host.slots(1)))
    collect(kept)
    check_idle(host, slots)


def abandon(slots: StoreSlots, kept: list[Holder]) -> None:
    """Close an event loop over one call in flight and one that waits."""

    async def main() -> None:
        kept.extend(Holder(slots, since=float(number)) for number in range(2))
        await steps()
        assert holding(kept[-2:]) == [True, False]

    loop = asyncio.SelectorEventLoop()
    loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending": on purpose
    loop.run_until_complete(main())
    loop.close()


def collect(kept: list[Holder]) -> None:
    """Collect tasks of a closed loop as garbage, which happens sooner or later."""
    for holder in kept:
        coroutine: Any = holder.task.get_coro()
        coroutine.close()
    kept.clear()
    gc.collect()


@pytest.mark.parametrize("collected", ["before", "after"])
def test_an_event_loop_closed_over_its_calls(host: Host, collected: str) -> None:
    """The slots of a loop that was closed over its calls are free once these are collected, or a new loop asks."""
    slots, other, kept = host.slots(1), host.slots(1), list[Holder]()
    abandon(slots, kept)
    if collected == "before":
        collect(kept)
        asyncio.run(hold_one(other))

    async def again() -> None:
        holder = Holder(slots)
        await holder.until_granted()
        assert slots.state(domain()) == GateState(ceiling=1, in_flight=1)
        collect(kept)
        assert slots.state(domain()) == GateState(ceiling=1, in_flight=1)
        await holder.end()

    asyncio.run(again())
    asyncio.run(hold_one(other))
    check_idle(host, slots, other)


async def test_another_loop_while_one_is_in_use(host: Host) -> None:
    """Slots in use in one event loop are refused to another one that runs beside it, by name."""
    slots = host.slots(1)
    async with held(Holder(slots)):
        with pytest.raises(ConfigurationError, match="in use in another event loop"):
            await asyncio.to_thread(asyncio.run, hold_one(slots))
    check_idle(host, slots)


async def test_after_a_fork_the_child_holds_none_of_its_parents_slots(host: Host) -> None:
    """A forked child begins anew: its calls are those of another process, and the parent keeps its slots."""
    pid = 1
    slots = host.slots(2, getpid=lambda: pid)
    parents = Holder(slots)
    await steps()
    pid = 2  # all that a child notices of a fork
    assert slots.state(domain()).in_flight == 0
    child = Holder(slots)
    await steps()
    assert holding([child]) == [True]
    assert slots.state(domain()) == GateState(ceiling=2, in_flight=1, elsewhere=1)
    await child.end()
    await parents.end()  # in the child, where it must not release what the parent holds
    [gate] = host.gates()
    assert [member.held for member in gate.members.values()] == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
async def test_a_parent_keeps_its_slots_while_its_child_calls(sqlite_host: SqliteHost) -> None:
    """A parent that forks with a call in flight goes on, and its child takes and releases a slot of its own."""
    slots = sqlite_host.slots(2)
    async with held(Holder(slots)):
        child = os.fork()
        if not child:
            code = 1
            with contextlib.suppress(BaseException):
                asyncio.run(hold_one(slots))
                code = 0
            os._exit(code)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert slots.state(domain()).in_flight == 1
    check_idle(sqlite_host, slots)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_calls(sqlite_host: SqliteHost) -> None:
    """A child of a process that has just called takes slots of its own, and the parent goes on, whenever it forks."""
    threads = list[Executor]()

    def one_thread() -> Executor:
        threads.append(ThreadPoolExecutor(1))
        return threads[-1]

    slots = sqlite_host.slots(1, make_executor=one_thread)
    for _ in range(5):
        asyncio.run(hold_one(slots))
        child = os.fork()
        if not child:
            code = 1
            with contextlib.suppress(BaseException):
                asyncio.run(hold_one(slots))
                threads[-1].shutdown()  # else its last sync ends with it
                code = 0
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
