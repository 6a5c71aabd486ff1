"""The order in which the waiting calls of several processes get slots, and the syncs that this takes."""

from __future__ import annotations

import asyncio

import pytest
from support.fakes import domain, steps, url_of
from support.slots import Holder, Host, ManualExecutor, MemoryHost, check_idle, held, hold_one, holding

from clova_ocr_async.slots import GateState
from clova_ocr_async.slots.sharing.store import name_of


async def test_first_come_first_served_within_the_limit(host: Host) -> None:
    """No more calls than the limit hold a domain's slots, over all processes, first come, first served."""
    one, two = host.slots(2), host.slots(2)
    holders = [Holder(slots, since=float(since)) for since, slots in enumerate([one, two, two, one, two])]
    async with held(*holders):
        assert holding(holders) == [True, True, False, False, False]
        assert one.state(domain()) == GateState(ceiling=2, in_flight=1, elsewhere=1, waiting=1)
        assert two.state(domain()) == GateState(ceiling=2, in_flight=1, elsewhere=1, waiting=2)
        assert two.state(domain()).free == -2
        await holders[0].end()
        await holders[2].until_granted()
        assert holding(holders) == [False, True, True, False, False]
        await holders[2].end()
        await holders[3].until_granted()
        assert holding(holders) == [False, True, False, True, False]
    check_idle(host, one, two)


async def test_lanes(host: Host) -> None:
    """Interactive calls go before those of batches; a refused call keeps its place."""
    slots = host.slots(1)
    first = Holder(slots)
    await steps()
    batch, late, early = Holder(slots, since=1.0), Holder(slots, since=9.0), Holder(slots, since=0.5)
    single = Holder(slots, lane="interactive", since=10.0)
    order = [single, early, batch, late]
    async with held(first, *order):
        for before, after in zip([first, *order], order, strict=False):
            assert holding([after]) == [False]
            await before.end()
            assert holding([after]) == [True]
    check_idle(host, slots)


async def test_each_domain_has_its_own_slots(host: Host) -> None:
    """A call to one of several domains goes where the most slots are free, or where one becomes free first."""
    slots, domains = host.slots(), [domain(url_of(number), max_concurrency=number) for number in (1, 2)]
    holders: list[Holder] = []
    for number in range(4):
        holders.append(Holder(slots, *domains, since=float(number)))
        await steps()
    async with held(*holders):
        assert [holder.slot and holder.slot.domain for holder in holders] == [domains[1], domains[0], domains[1], None]
        assert [slots.state(where).in_flight for where in domains] == [1, 2]
        await holders[1].end()
        assert holders[3].slot is not None
        assert holders[3].slot.domain is domains[0]
    assert [slots.state(where).in_flight for where in domains] == [0, 0]
    check_idle(host, slots)


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_a_cancelled_holder_or_waiter_leaves_no_trace(host: Host, which: int) -> None:
    """A call that is cancelled while it holds or awaits a slot releases it."""
    slots = host.slots(1)
    holders = [Holder(slots, since=float(number)) for number in range(3)]
    await steps()
    holders[which].task.cancel()
    await steps()
    left = [holder for holder in holders if holder is not holders[which]]
    assert holding(left) == [True, False]
    assert slots.state(domain()).waiting == 1
    for holder in left:
        await holder.end()
    check_idle(host, slots)


async def test_a_slot_granted_to_a_cancelled_call_goes_to_the_next(host: Host) -> None:
    """A slot that is on its way to a call goes to the next one if the call is cancelled, at any moment."""
    for moment in range(6):
        executor = ManualExecutor(at_once=False)
        slots = host.slots(1, executor=executor)
        one = Holder(slots, since=1.0)
        await asyncio.sleep(0)
        executor.run()
        for _ in range(moment):
            await asyncio.sleep(0)
        executor.at_once = True
        one.task.cancel()
        two = Holder(slots, since=2.0)
        await steps()
        assert holding([two]) == [True]
        await two.end()
        check_idle(host, slots)


async def test_many_that_come_at_once(host: Host) -> None:
    """All of many calls that come at once get their slots at once, if there are as many."""
    slots = host.slots(200)
    holders = [Holder(slots, since=float(number)) for number in range(150)]
    await steps()
    assert all(holding(holders))
    for holder in holders:
        holder.may_end.set()
        await holder.task
    await steps()
    check_idle(host, slots)


async def test_a_call_behind_others_of_its_process_needs_no_sync(host: Host) -> None:
    """A call behind others of its process costs no sync, one before them does, and all go in their order."""
    executor = ManualExecutor()
    slots = host.slots(1, executor=executor)
    first, second = Holder(slots), Holder(slots, since=2.0)
    await steps()
    before = executor.count
    third, fourth = Holder(slots, since=3.0), Holder(slots, since=4.0)
    await steps()
    assert executor.count == before
    early = Holder(slots, since=1.0)
    await steps()
    assert executor.count == before + 1
    order = [first, early, second, third, fourth]
    for number, holder in enumerate(order):
        assert holding(order) == [one is holder for one in order], number
        await holder.end()
    check_idle(host, slots)


async def test_a_call_that_comes_while_those_before_it_are_served_is_served(host: Host) -> None:
    """A call that comes during a sync which serves all waiters it was given gets a sync of its own afterwards."""
    executor = ManualExecutor(at_once=False)
    slots = host.slots(2, executor=executor)
    first = Holder(slots, since=1.0)
    await asyncio.sleep(0)
    second = Holder(slots, since=2.0)
    await asyncio.sleep(0)
    executor.at_once = True
    executor.run()  # for the first one alone
    await steps()
    assert holding([first, second]) == [True, True]
    await first.end()
    await second.end()
    check_idle(host, slots)


async def test_interactive_calls_go_before_the_batch_that_a_sync_was_ordered_for(host: Host) -> None:
    """All interactive calls that come before a sync has begun go before the batch in it."""
    executor = ManualExecutor()
    slots = host.slots(2, executor=executor)
    busy = [Holder(slots, since=0.0), Holder(slots, since=0.1)]
    await steps()
    batch = [Holder(slots, lane="batch", since=1.0), Holder(slots, lane="batch", since=1.1)]
    await steps()
    executor.at_once = False
    for holder in busy:
        holder.may_end.set()
    await asyncio.wait([holder.task for holder in busy])
    single = list[Holder]()
    for since in (2.0, 2.1):
        single.append(Holder(slots, lane="interactive", since=since))
        await asyncio.sleep(0)
    executor.at_once = True
    executor.run()
    await steps()
    assert holding([*single, *batch]) == [True, True, False, False]
    for holder in (*single, *batch):
        await holder.end()
    check_idle(host, slots)


async def test_calls_that_end_together_take_one_sync(host: Host) -> None:
    """Calls that end in one turn of the loop release their slots, and have them granted again, in one sync."""
    executor = ManualExecutor()
    slots = host.slots(4, executor=executor)
    holders = [Holder(slots, since=float(number)) for number in range(8)]
    async with held(*holders):
        assert holding(holders) == [True] * 4 + [False] * 4
        before = executor.count
        for holder in holders[:4]:
            holder.may_end.set()
        await steps()
        assert holding(holders) == [False] * 4 + [True] * 4
        assert executor.count == before + 1
    check_idle(host, slots)


async def test_a_domain_without_calls_is_not_loaded() -> None:
    """A domain whose calls have all ended is not loaded with the syncs for other domains."""
    host = MemoryHost()
    slots, other = host.slots(1), domain(url_of(1))
    await hold_one(slots)
    async with held(Holder(slots, other)):
        pass
    await steps()
    assert host.stores[0].loaded[0] == {name_of(domain().key)}
    assert host.stores[0].loaded[-1] == {name_of(other.key)}
