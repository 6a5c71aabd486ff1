"""Leases, wake-ups, pauses and failures of the processes that share slots, by a clock that jumps."""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import Any

import pytest
from support.fakes import domain, jump, run_jumping, steps
from support.slots import (
    AWAY,
    FailingClock,
    Holder,
    Host,
    ManualExecutor,
    MemoryHost,
    MemoryServerHost,
    UnexpectedError,
    check_idle,
    held,
    holding,
    loop_runtime,
)

from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.slots import GateState
from clova_ocr_async.slots.sharing.state import LEASE


def test_a_process_that_waits_syncs_once_a_second(host: Host) -> None:
    """While nothing happens each process with waiting calls syncs once a second, however many wait in it."""

    async def main() -> None:
        runtime, executors = loop_runtime(), [ManualExecutor() for _ in range(5)]
        processes = [host.slots(1, runtime=runtime, executor=executor) for executor in executors]
        holders = [Holder(slots, since=float(number)) for slots in processes for number in range(5)]
        await steps()
        before = [executor.count for executor in executors]
        for _ in range(200):
            jump(0.05)
            await steps(3)
        assert all(9 <= executor.count - count <= 10 for executor, count in zip(executors, before, strict=True))
        for holder in holders:
            holder.task.cancel()
        await steps()
        check_idle(host, *processes)

    run_jumping(main())


def test_a_process_that_only_calls_renews_its_lease(host: Host) -> None:
    """A process with calls in flight and none waiting syncs three times a lease, to renew it."""

    async def main() -> None:
        executor = ManualExecutor()
        slots = host.slots(runtime=loop_runtime(), executor=executor)
        async with held(Holder(slots)):
            before = executor.count
            for _ in range(int(LEASE)):
                jump(1.0)
                await steps(3)
            assert executor.count - before == 3
            [gate] = host.gates()
            [member] = gate.members.values()
            assert member.expires > asyncio.get_running_loop().time() + LEASE / 2
        check_idle(host, slots)

    run_jumping(main())


def test_a_sync_follows_the_end_of_a_pause(host: Host) -> None:
    """When only the rate holds a call back, the next sync is at the moment when it may be sent."""

    async def main() -> None:
        executor = ManualExecutor()
        slots = host.slots(max_per_second=0.8, runtime=loop_runtime(), executor=executor)
        holders = [Holder(slots, since=float(number)) for number in range(3)]
        async with held(*holders):
            assert holding(holders) == [True, False, False]
            before = executor.count
            jump(0.3)  # of 0.625 s; a slow machine takes some of the rest
            await steps()
            assert executor.count == before
            jump(0.35)
            await steps()
            assert holding(holders) == [True, True, False]
            jump(1.3)
            await steps()
            assert all(holding(holders))

    run_jumping(main())


def test_a_stopped_process_keeps_no_slot_from_others(host: Host) -> None:
    """A slot that is offered to a stopped process goes to the next waiter when the offer is over."""

    async def main() -> None:
        runtime, stopped = loop_runtime(), ManualExecutor()
        slots, sleeper = host.slots(1, runtime=runtime), host.slots(1, runtime=runtime, executor=stopped)
        first = Holder(slots)
        await steps()
        offered, last = Holder(sleeper, since=1.0), Holder(slots, since=2.0)
        await steps()
        stopped.at_once = False
        await first.end()
        assert holding([last]) == [False]
        jump(0.26)
        await steps()
        assert holding([last]) == [True]
        stopped.at_once = True
        stopped.run()
        await steps()
        assert holding([offered]) == [False]
        await last.end()
        await offered.until_granted()
        await offered.end()
        check_idle(host, slots, sleeper)

    run_jumping(main())


class DatagramlessLoop(asyncio.SelectorEventLoop):
    """An event loop that cannot watch datagram sockets, and whose time can be put forward."""

    jumped = 0.0

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:  # type: ignore[override] # as loosely as it is called
        """Refuse datagram sockets."""
        if isinstance(fd, socket.socket) and fd.type == socket.SOCK_DGRAM:
            raise NotImplementedError
        return super().add_reader(fd, callback, *args)

    def time(self) -> float:
        """Return the time, put forward."""
        return super().time() + self.jumped


def test_a_process_that_cannot_be_woken_polls(host: Host) -> None:
    """If a process cannot be woken, its waiting calls find a free slot within 60 ms."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, DatagramlessLoop)
        one, two = host.slots(1, runtime=loop_runtime()), host.slots(1, runtime=loop_runtime())
        first = Holder(one)
        await steps()
        second = Holder(two)
        await steps()
        await first.end()
        assert holding([second]) == [False]
        loop.jumped += 0.06
        await steps()
        assert holding([second]) == [True]
        await second.end()
        check_idle(host, one, two)

    with asyncio.Runner(loop_factory=DatagramlessLoop) as runner:
        runner.run(main())


# ---------------------------------------------------------------------------------------------------------------------
# Failures


async def test_an_unexpected_error_reaches_the_waiting_calls(host: Host) -> None:
    """An error in a sync is raised once by each waiting call; calls in flight keep their slots."""
    clock = FailingClock()
    slots = host.slots(1, runtime=Runtime(clock=clock))
    first = Holder(slots)
    await steps()
    clock.fails = True
    waiting = [Holder(slots) for _ in range(2)]
    await steps()
    for holder in waiting:
        with pytest.raises(UnexpectedError):
            await holder.task
    assert slots.state(domain()) == GateState(ceiling=1, in_flight=1)
    clock.fails = False
    last = Holder(slots)
    await steps()
    assert holding([last]) == [False]
    await first.end()
    assert holding([last]) == [True]
    await last.end()
    check_idle(host, slots)


def test_a_failed_renewal_is_made_up_for(host: Host) -> None:
    """When the sync fails that renews a lease, the next one follows all the same."""

    async def main() -> None:
        time = asyncio.get_running_loop().time
        clock = FailingClock(time)
        slots = host.slots(1, runtime=Runtime(clock=clock))
        async with held(Holder(slots)):
            for clock.fails in (True, False):
                jump(LEASE / 3)
                await steps()
            [gate] = host.gates()
            [member] = gate.members.values()
            assert member.expires > time() + LEASE - 1
        check_idle(host, slots)

    run_jumping(main())


def test_a_release_in_an_outage_is_made_up_for() -> None:
    """When the last call ends while the server is away, the slot is released when it is back, without another call."""

    async def main() -> None:
        hosts = MemoryServerHost()
        slots = hosts.slots(1, runtime=loop_runtime())
        async with held(Holder(slots)):
            hosts.stores[0].away = AWAY
        await steps()
        assert slots.state(domain()) == GateState(ceiling=1)
        hosts.stores[0].away = None
        assert [len(gate.members) for gate in hosts.gates()] == [1]
        jump(0.1)
        await steps()
        check_idle(hosts, slots)

    run_jumping(main())


def test_calls_go_on_in_an_outage() -> None:
    """While the server is away, the calls of a process follow each other in its share, interactive ones first."""

    async def main() -> None:
        hosts = MemoryServerHost()
        slots, other = hosts.slots(2, runtime=loop_runtime()), hosts.slots(2, runtime=loop_runtime())
        first, others = Holder(slots), Holder(other)
        await steps()
        for store in hosts.stores:
            store.away = AWAY
        batch, single = Holder(slots, since=1.0), Holder(slots, lane="interactive", since=2.0)
        await steps()
        assert holding([batch, single]) == [False, False]
        await first.end()
        assert holding([batch, single]) == [False, True]
        await single.end()
        assert holding([batch]) == [True]
        for store in hosts.stores:
            store.away = None
        await batch.end()
        await others.end()
        jump(1.0)
        await steps()
        check_idle(hosts, slots, other)

    run_jumping(main())


async def test_an_error_without_calls_in_flight_leaves_nothing_open(host: Host) -> None:
    """When the first sync fails, the waiting call raises its error, and nothing is left open."""
    clock = FailingClock()
    slots = host.slots(1, runtime=Runtime(clock=clock))
    clock.fails = True
    holder = Holder(slots)
    await steps()
    with pytest.raises(UnexpectedError):
        await holder.task
    clock.fails = False
    async with held(Holder(slots)):
        pass
    check_idle(host, slots)


async def test_a_cancellation_wins_over_an_error(host: Host) -> None:
    """A call that is cancelled at the moment when its sync fails is cancelled."""
    clock, executor = FailingClock(), ManualExecutor(at_once=False)
    slots = host.slots(1, runtime=Runtime(clock=clock), executor=executor)
    clock.fails = True
    holder = Holder(slots)
    await asyncio.sleep(0)
    executor.run()
    await asyncio.sleep(0)
    holder.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holder.task
    assert slots.state(domain()) == GateState(ceiling=1)


@pytest.mark.parametrize("ahead", [-1e6, 1e6])
async def test_a_store_with_a_clock_of_its_own(ahead: float) -> None:
    """Calls of processes with different clocks are served in their order, by the time of their store."""

    class StoreClockHost(MemoryHost):
        """A store whose clock is that of none of its processes."""

        def open_store(self, clock: Any) -> Any:
            del clock
            return super().open_store(lambda: 5_000.0)

    shared = StoreClockHost()
    near = shared.slots(1, runtime=Runtime(clock=lambda: 5_000.0))
    far = shared.slots(1, runtime=Runtime(clock=lambda: 5_000.0 + ahead))
    first = Holder(near, since=4_990.0)
    await steps()
    third, second = Holder(far, since=4_997.0 + ahead), Holder(near, since=4_995.0)
    fourth = Holder(near, since=4_999.0)
    async with held(first, second, third, fourth):
        order = [first, second, third, fourth]
        for current, following in itertools.pairwise(order):
            await current.end()
            await following.until_granted()
            assert holding(order) == [holder is following for holder in order]
    check_idle(shared, near, far)
