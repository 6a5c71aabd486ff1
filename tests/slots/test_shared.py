from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sqlite3
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.fakes import (
    BUSY,
    FAILED,
    JPEG,
    KEY,
    FakeTime,
    FakeTransport,
    Held,
    RecordingJournal,
    domain,
    error,
    jump,
    run_jumping,
    steps,
    url_of,
)

from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import ClovaOCRError, ConfigurationError, OverloadedError
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.slots import GateState, SharedSlots
from clova_ocr_async.slots.limit import START, LimitSignal
from clova_ocr_async.slots.sharing.state import LEASE, SharedGate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from clova_ocr_async.domains import Domain
    from clova_ocr_async.slots import Lane, Slot


class Hand(Executor):
    """A thread that is none: what it is given is done at once, or when a test says so."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.at_once = at_once
        self.given: list[Callable[[], object]] = []
        self.visits = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it, or keep it."""
        assert not args
        assert not kwargs
        self.given.append(fn)
        if self.at_once:
            self.work()
        return Future()

    def work(self) -> None:
        """Do what is kept."""
        self.visits += len(self.given)
        for fn in self.given[:]:
            self.given.remove(fn)
            fn()


def by_hand(slots: SharedSlots, hand: Hand | None = None) -> Hand:
    """Take the place of the thread, so that a test knows what comes when."""
    hand = hand or Hand()
    slots._desk._thread = hand  # type: ignore[assignment]  # noqa: SLF001 - an executor is no setting of a user's
    return hand


def shared(path: Path, concurrency: int | None = None, **settings: Any) -> SharedSlots:
    """Return the slots of one process: in a test, each SharedSlots stands for one."""
    slots = SharedSlots(path, concurrency=concurrency, **settings)
    by_hand(slots)
    return slots


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file is."""
    return tmp_path / "slots.sqlite"


class Holder:
    """Someone who takes a slot in a task of his own and keeps it until let go."""

    def __init__(self, slots: SharedSlots, *domains: Domain, lane: Lane = "batch", since: float = 0.0) -> None:
        self.slot: Slot | None = None
        self.given = asyncio.Event()
        self.let_go = asyncio.Event()
        self.task = asyncio.create_task(self._hold(slots, domains or (domain(),), lane, since))

    async def _hold(self, slots: SharedSlots, domains: tuple[Domain, ...], lane: Lane, since: float) -> None:
        async with slots.slot(domains, lane, since) as self.slot:
            self.given.set()
            await self.let_go.wait()
        self.slot = None

    @property
    def holds(self) -> bool:
        """Whether he has his slot."""
        return self.slot is not None

    async def end(self) -> None:
        """Give the slot back."""
        self.let_go.set()
        await self.task
        await steps()


def holding(holders: list[Holder]) -> list[bool]:
    """Return who holds a slot."""
    return [holder.holds for holder in holders]


def gates_in(path: Path) -> list[SharedGate]:
    """Return the gates in the file."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT state FROM gate").fetchall()
    return [msgspec.json.decode(state, type=SharedGate) for (state,) in rows]


def check_idle(path: Path, *all_slots: SharedSlots) -> None:
    """Check that nobody holds or waits, nobody is at the gates, and the file is closed."""
    for slots in all_slots:
        state = slots.state(domain())
        assert (state.in_flight, state.waiting) == (0, 0)
    assert not path.with_name(path.name + "-wal").exists(), "SQLite removes it when the last one closes the file"
    assert not any(gate.members for gate in gates_in(path))


@asynccontextmanager
async def held(*holders: Holder) -> AsyncGenerator[None]:
    """Let holders go at the end."""
    await steps()
    try:
        yield
    finally:
        for holder in holders:
            await holder.end()


# ---------------------------------------------------------------------------------------------------------------------
# One event loop


async def test_no_more_than_the_ceiling_first_come_first_served(path: Path) -> None:
    """No more than the ceiling hold a domain's slots at once, over all processes, first come first served."""
    one, two = shared(path, 2), shared(path, 2)
    holders = [Holder(slots, since=float(since)) for since, slots in enumerate([one, two, two, one, two])]
    async with held(*holders):
        assert holding(holders) == [True, True, False, False, False]
        assert one.state(domain()) == GateState(ceiling=2, in_flight=1, elsewhere=1, waiting=1)
        assert two.state(domain()) == GateState(ceiling=2, in_flight=1, elsewhere=1, waiting=2)
        assert two.state(domain()).free == -2
        await holders[0].end()
        await until_rung(holders[2])
        assert holding(holders) == [False, True, True, False, False]
        await holders[2].end()
        await until_rung(holders[3])
        assert holding(holders) == [False, True, False, True, False]
    check_idle(path, one, two)


async def until_rung(holder: Holder) -> None:
    """Wait until a ring has come, over a socket, to whoever a slot was left for."""
    async with asyncio.timeout(5):
        await holder.given.wait()


async def test_lanes(path: Path) -> None:
    """Interactive calls go before those of batches; a call that was refused keeps its place."""
    slots = shared(path, 1)
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
    check_idle(path, slots)


async def test_each_domain_has_a_gate_of_its_own(path: Path) -> None:
    """A call that may go to several domains goes where the most slots are free, or where one comes free first."""
    slots, domains = shared(path), [domain(url_of(number), max_concurrency=number) for number in (1, 2)]
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
    check_idle(path, slots)


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_a_cancelled_holder_or_waiter_leaves_no_trace(path: Path, which: int) -> None:
    """Whoever is cancelled, holding or waiting, gives back what he had and wanted."""
    slots = shared(path, 1)
    holders = [Holder(slots, since=float(number)) for number in range(3)]
    await steps()
    holders[which].task.cancel()
    await steps()
    left = [holder for holder in holders if holder is not holders[which]]
    assert holding(left) == [True, False]
    assert slots.state(domain()).waiting == 1
    for holder in left:
        await holder.end()
    check_idle(path, slots)


async def test_who_is_cancelled_when_he_has_just_been_given_a_slot(path: Path) -> None:
    """A slot that was granted to somebody who is cancelled before he knows goes to the next one, at any moment."""
    for moment in range(6):
        slots = shared(path, 1)
        hand = by_hand(slots, Hand(at_once=False))
        one = Holder(slots, since=1.0)
        await asyncio.sleep(0)
        hand.work()  # the grant is on its way home
        for _ in range(moment):
            await asyncio.sleep(0)
        hand.at_once = True
        one.task.cancel()
        two = Holder(slots, since=2.0)
        await steps()
        assert holding([two]) == [True]
        await two.end()
        check_idle(path, slots)


async def test_many_who_come_at_once(path: Path) -> None:
    """However many come at once, all get their slots at once if there are as many."""
    slots = shared(path, 200)
    holders = [Holder(slots, since=float(number)) for number in range(150)]
    await steps()
    assert all(holding(holders))
    for holder in holders:
        holder.let_go.set()
        await holder.task
    await steps()
    check_idle(path, slots)


async def test_who_comes_behind_others_needs_no_visit(path: Path) -> None:
    """Who comes behind others of his process costs no visit, who comes before them does, and all go in their order."""
    slots = SharedSlots(path, concurrency=1)
    hand = by_hand(slots)
    first, second = Holder(slots), Holder(slots, since=2.0)
    await steps()
    before = hand.visits
    third, fourth = Holder(slots, since=3.0), Holder(slots, since=4.0)
    await steps()
    assert hand.visits == before
    early = Holder(slots, since=1.0)
    await steps()
    assert hand.visits == before + 1
    order = [first, early, second, third, fourth]
    for number, holder in enumerate(order):
        assert holding(order) == [one is holder for one in order], number
        await holder.end()
    check_idle(path, slots)


async def test_who_comes_as_those_before_him_are_served_is_served(path: Path) -> None:
    """Who comes while the last one whom the visitor knew of is being served has his own visit made afterwards."""
    slots = SharedSlots(path, concurrency=2)
    hand = by_hand(slots, Hand(at_once=False))
    first = Holder(slots, since=1.0)
    await asyncio.sleep(0)
    second = Holder(slots, since=2.0)
    await asyncio.sleep(0)
    hand.at_once = True
    hand.work()  # for the first one alone
    await steps()
    assert holding([first, second]) == [True, True]
    await first.end()
    await second.end()
    check_idle(path, slots)


async def test_an_interactive_call_goes_before_the_batch_that_a_visit_was_ordered_for(path: Path) -> None:
    """A second interactive call that comes before a visit has begun goes before the batch in it, as the first does."""
    slots = SharedSlots(path, concurrency=2)
    hand = by_hand(slots)
    busy = [Holder(slots, since=0.0), Holder(slots, since=0.1)]
    await steps()
    batch = [Holder(slots, lane="batch", since=1.0), Holder(slots, lane="batch", since=1.1)]
    await steps()
    hand.at_once = False
    for holder in busy:
        holder.let_go.set()
    await asyncio.wait([holder.task for holder in busy])
    single = list[Holder]()
    for since in (2.0, 2.1):
        single.append(Holder(slots, lane="interactive", since=since))
        await asyncio.sleep(0)
    hand.at_once = True
    hand.work()
    await steps()
    assert holding([*single, *batch]) == [True, True, False, False]
    for holder in (*single, *batch):
        await holder.end()
    check_idle(path, slots)


async def test_calls_that_end_together_take_one_visit(path: Path) -> None:
    """Calls that end in one turn of the loop give their slots back, and have them handed on, in one visit."""
    slots = SharedSlots(path, concurrency=4)
    hand = by_hand(slots)
    holders = [Holder(slots, since=float(number)) for number in range(8)]
    async with held(*holders):
        assert holding(holders) == [True] * 4 + [False] * 4
        before = hand.visits
        for holder in holders[:4]:
            holder.let_go.set()
        await steps()
        assert holding(holders) == [False] * 4 + [True] * 4
        assert hand.visits == before + 1
    check_idle(path, slots)
    assert not slots._desk._visitor.waiting  # noqa: SLF001 - no gate is opened any more for those who were served


async def test_the_real_thread(path: Path) -> None:
    """With a thread of its own the gate does the same, and leaves nothing open."""
    slots = SharedSlots(path, concurrency=2)

    async def call() -> None:
        async with slots.slot([domain()], "batch", 0.0) as slot:
            slot.admitted()
            assert slots.state(domain()).in_flight <= 2

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(call())
    await asyncio.wrap_future(slots._desk._thread.submit(int))  # noqa: SLF001 - the last visit is over
    check_idle(path, slots)


async def test_what_calls_end_in_is_learned_told_and_remembered(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal lowers the ceiling, and is counted and logged without a secret; the next process knows the ceiling."""
    caplog.set_level(logging.INFO)
    slots = shared(path)
    holders = [Holder(slots) for _ in range(START)]
    await steps()
    assert all(holding(holders))
    assert holders[0].slot is not None
    holders[0].slot.refused(LimitSignal(3))
    await holders[0].end()
    state = slots.state(domain())
    assert (state.ceiling, state.rejections, state.in_flight) == (3, 1, 3)
    for holder in holders[1:]:
        assert holder.slot is not None
        holder.slot.admitted()
        await holder.end()
    check_idle(path, slots)
    assert f"{START - 1} calls at once, not {START}" in caplog.text
    assert KEY not in caplog.text
    assert KEY not in repr(slots)
    another = shared(path)
    holders = [Holder(another) for _ in range(START)]
    async with held(*holders):
        assert holding(holders) == [True, True, True, False]
        assert another.state(domain()).rejections == 0


def test_before_anything_is_known(path: Path) -> None:
    """Before its first visit a gate stands as its limits say."""
    slots = SharedSlots(path, concurrency=3)
    assert slots.state(domain()) == GateState(ceiling=3)
    assert SharedSlots(path).state(domain()) == GateState(ceiling=START)
    assert slots.state(domain(max_concurrency=2)).ceiling == 3  # one gate, as whoever came first said
    assert not path.exists()


def test_bad_arguments() -> None:
    """What cannot work is refused by name."""
    for settings in ({"path": 7}, {"path": ""}, {"concurrency": 0}, {"max_per_second": -1}):
        with pytest.raises(ConfigurationError, match=next(iter(settings))):
            SharedSlots(**settings)


def test_without_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path the file is the user's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    async def main() -> None:
        slots = SharedSlots()
        by_hand(slots)
        async with held(Holder(slots)):
            pass

    asyncio.run(main())
    assert len(list(tmp_path.rglob("slots.sqlite"))) == 1


# ---------------------------------------------------------------------------------------------------------------------
# Real calls


@pytest.mark.parametrize("lane", ["interactive", "batch"])
@pytest.mark.parametrize("answers", [[], [BUSY], [FAILED, BUSY], [error("0023")], [OverloadedError]])
def test_a_call_cancelled_anywhere_leaves_no_trace(tmp_path: Path, lane: Lane, answers: list[Any]) -> None:
    """Cancelled at any of its awaits, a call gives back its slot, its place and all that was open."""

    async def cancel_after(moment: int) -> bool:
        path = tmp_path / f"{moment}.sqlite"  # one that has learned of no refusals yet
        slots, transport = shared(path, 2, runtime=of_loop()), FakeTransport(*answers)
        client = ClovaOCRClient(domain(), transport=transport, slots=slots, runtime=FakeTime().runtime())
        others = [Holder(slots) for _ in range(2)]
        await steps(3)
        task = asyncio.create_task(client.recognize(JPEG, Receipt, lane=lane, journal=RecordingJournal()))
        for count in range(moment):
            await asyncio.sleep(0)
            jump(0.01)
            if count in {10, 50}:
                others[count // 50].let_go.set()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ClovaOCRError):
            await task
        for other in others:
            await other.end()
        assert transport.in_flight == 0
        check_idle(path, slots)
        return task.cancelled()

    async def main() -> None:
        moment = 0
        while await cancel_after(moment):
            moment += 1
            assert moment < 300
        assert moment > 20

    run_jumping(main())


def test_a_deadline_while_waiting_for_a_slot(path: Path) -> None:
    """A call whose deadline passes while others have all slots fails unsent, and waits no more."""

    async def main() -> None:
        slots, elsewhere = shared(path, 1), shared(path, 1)
        client = ClovaOCRClient(domain(), transport=FakeTransport(), slots=slots)
        other = Holder(elsewhere)
        await steps()
        task = asyncio.create_task(client.recognize(JPEG, Receipt))
        await steps()
        jump(301)
        with pytest.raises(OverloadedError, match="deadline"):
            await task
        await other.end()
        await steps()
        check_idle(path, slots, elsewhere)

    run_jumping(main())


async def test_two_clients_with_one_gate(path: Path) -> None:
    """Two clients with the same slots share them."""
    slots, step = shared(path, 1), Held()
    clients = [ClovaOCRClient(domain(), transport=FakeTransport(step), slots=slots) for _ in range(2)]
    tasks = [asyncio.create_task(client.recognize(JPEG, Receipt)) for client in clients]
    await step.reached.wait()
    await steps()
    assert slots.state(domain()) == GateState(ceiling=1, in_flight=1, waiting=1)
    step.go_on.set()
    for task in tasks:
        await task
    await steps()
    check_idle(path, slots)


async def test_a_refused_call_goes_again(path: Path) -> None:
    """A call that the service refuses takes the next free slot, until its retries are spent or it is let in."""
    slots, time = shared(path), FakeTime()
    client = ClovaOCRClient(domain(), transport=FakeTransport(BUSY), slots=slots, runtime=time.runtime())
    slots_clock = asyncio.create_task(client.recognize(JPEG, Receipt))
    recognition = await slots_clock
    assert recognition.attempts == 2
    assert slots.state(domain()).rejections == 1
    await steps()
    check_idle(path, slots)


# ---------------------------------------------------------------------------------------------------------------------
# Time: looks, leases, pauses


def of_loop() -> Runtime:
    """Return a runtime on the running loop's clock; nothing is drawn by chance."""
    return Runtime(clock=asyncio.get_running_loop().time, uniform=lambda low, high: (low + high) / 2)


def test_who_waits_does_not_ask_again_and_again(path: Path) -> None:
    """While nothing happens each process that waits looks once a second, however many wait in it."""

    async def main() -> None:
        runtime = of_loop()
        processes = [SharedSlots(path, concurrency=1, runtime=runtime) for _ in range(5)]
        hands = [by_hand(slots) for slots in processes]
        holders = [Holder(slots, since=float(number)) for slots in processes for number in range(5)]
        await steps()
        before = [hand.visits for hand in hands]
        for _ in range(200):
            jump(0.05)
            await steps(3)
        assert all(9 <= hand.visits - count <= 10 for hand, count in zip(hands, before, strict=True))
        for holder in holders:
            holder.task.cancel()
        await steps()
        check_idle(path, *processes)

    run_jumping(main())


def test_who_only_calls_renews_his_lease_and_no_more(path: Path) -> None:
    """While calls are under way and none waits, the file is visited three times a lease, to renew it."""

    async def main() -> None:
        slots = SharedSlots(path, runtime=of_loop())
        hand = by_hand(slots)
        async with held(Holder(slots)):
            before = hand.visits
            for _ in range(int(LEASE)):
                jump(1.0)
                await steps(3)
            assert hand.visits - before == 3
            [gate] = gates_in(path)
            [member] = gate.members.values()
            assert member.expires > asyncio.get_running_loop().time() + LEASE / 2
        check_idle(path, slots)

    run_jumping(main())


def test_a_pause_is_slept_through(path: Path) -> None:
    """When only the pace keeps a call, its gate looks again just when it may leave."""

    async def main() -> None:
        slots = SharedSlots(path, max_per_second=2.0, runtime=of_loop())
        hand = by_hand(slots)
        holders = [Holder(slots, since=float(number)) for number in range(3)]
        async with held(*holders):
            assert holding(holders) == [True, False, False]
            before = hand.visits
            jump(0.2)
            await steps()
            assert hand.visits == before
            jump(0.1)
            await steps()
            assert holding(holders) == [True, True, False]
            jump(0.6)
            await steps()
            assert all(holding(holders))

    run_jumping(main())


def test_a_sleeper_holds_nobody_up(path: Path) -> None:
    """A slot that is offered to a process that is stopped goes to the next one when the offer's time is over."""

    async def main() -> None:
        runtime = of_loop()
        slots, sleeper = (SharedSlots(path, concurrency=1, runtime=runtime) for _ in range(2))
        by_hand(slots)
        asleep = by_hand(sleeper)
        first = Holder(slots)
        await steps()
        offered, last = Holder(sleeper, since=1.0), Holder(slots, since=2.0)
        await steps()
        asleep.at_once = False
        await first.end()
        assert holding([last]) == [False]
        jump(0.11)
        await steps()
        assert holding([last]) == [True]
        asleep.at_once = True
        asleep.work()
        await steps()
        assert holding([offered]) == [False]
        await last.end()
        await until_rung(offered)
        await offered.end()
        check_idle(path, slots, sleeper)

    run_jumping(main())


class DeafLoop(asyncio.SelectorEventLoop):
    """An event loop that watches no datagrams."""

    jumped = 0.0

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:  # type: ignore[override] # as loosely as it is called
        """Refuse, but for the loop's own needs."""
        if args and args[-1].__name__ == "_look":
            raise NotImplementedError
        return super().add_reader(fd, callback, *args)

    def time(self) -> float:
        """Return the time, put forward."""
        return super().time() + self.jumped


def test_who_cannot_be_woken_looks_often(path: Path) -> None:
    """Where an event loop cannot be woken, whoever waits finds a free slot all the same."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, DeafLoop)
        one, two = shared(path, 1, runtime=of_loop()), shared(path, 1, runtime=of_loop())
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
        check_idle(path, one, two)

    with asyncio.Runner(loop_factory=DeafLoop) as runner:
        runner.run(main())


# ---------------------------------------------------------------------------------------------------------------------
# When something breaks


class Broken(Exception):  # noqa: N818 - what is broken
    """What nobody expects."""


class BreakingClock:
    """A clock that breaks when told."""

    broken = False

    def __call__(self) -> float:
        """Return seconds, or break."""
        if self.broken:
            raise Broken
        return 1000.0


async def test_what_nobody_expects_reaches_who_waits(path: Path) -> None:
    """An error in a visit reaches whoever waits, once; calls under way are not lost, and go on counting."""
    clock = BreakingClock()
    slots = shared(path, 1, runtime=Runtime(clock=clock))
    first = Holder(slots)
    await steps()
    clock.broken = True
    waiting = [Holder(slots) for _ in range(2)]
    await steps()
    for holder in waiting:
        with pytest.raises(Broken):
            await holder.task
    assert slots.state(domain()) == GateState(ceiling=1, in_flight=1)
    clock.broken = False
    last = Holder(slots)
    await steps()
    assert holding([last]) == [False]
    await first.end()
    assert holding([last]) == [True]
    await last.end()
    check_idle(path, slots)


def test_a_renewal_that_fails_is_made_up_for(path: Path) -> None:
    """When the visit fails that renews a lease, the next one comes all the same."""

    async def main() -> None:
        broken, time = False, asyncio.get_running_loop().time

        def clock() -> float:
            if broken:
                raise Broken
            return time()

        slots = shared(path, 1, runtime=Runtime(clock=clock))
        async with held(Holder(slots)):
            for broken in (True, False):  # noqa: B007 - the clock looks at it
                jump(LEASE / 3)
                await steps()
            [gate] = gates_in(path)
            [member] = gate.members.values()
            assert member.expires > time() + LEASE - 1
        check_idle(path, slots)

    run_jumping(main())


async def test_an_error_with_nobody_under_way_leaves_nothing_open(path: Path) -> None:
    """When the first visit fails, whoever waits is told, and nothing is left open."""
    clock = BreakingClock()
    slots = shared(path, 1, runtime=Runtime(clock=clock))
    clock.broken = True
    holder = Holder(slots)
    await steps()
    with pytest.raises(Broken):
        await holder.task
    clock.broken = False
    async with held(Holder(slots)):
        pass
    check_idle(path, slots)


async def test_who_is_cancelled_as_his_visit_fails_is_cancelled(path: Path) -> None:
    """A cancellation wins over an error that comes at the same time."""
    clock = BreakingClock()
    slots = shared(path, 1, runtime=Runtime(clock=clock))
    hand = by_hand(slots, Hand(at_once=False))
    clock.broken = True
    holder = Holder(slots)
    await asyncio.sleep(0)
    hand.work()
    await asyncio.sleep(0)
    holder.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holder.task
    assert slots.state(domain()) == GateState(ceiling=1)


def test_a_file_that_cannot_be_used_stops_nobody(tmp_path: Path) -> None:
    """Where the file cannot be used, the gate goes on for this process alone."""
    (tmp_path / "folder").mkdir()

    async def main() -> None:
        slots = shared(tmp_path / "folder", 1)
        holders = [Holder(slots, since=float(number)) for number in range(2)]
        async with held(*holders):
            assert holding(holders) == [True, False]
            await holders[0].end()
            assert holders[1].holds
        assert slots.state(domain()) == GateState(ceiling=1)

    asyncio.run(main())


# ---------------------------------------------------------------------------------------------------------------------
# Event loops and processes that come and go


async def hold_one(slots: SharedSlots) -> None:
    """Take a slot, and give it back."""
    async with asyncio.timeout(5), slots.slot([domain()], "batch", 0.0):
        pass


def test_one_event_loop_after_the_other(path: Path) -> None:
    """The slots serve a second event loop when the first is closed, also with the last visit still to come."""
    slots = SharedSlots(path, concurrency=1)
    for _ in range(20):
        asyncio.run(hold_one(slots))
    slots._desk._thread.submit(int).result()  # noqa: SLF001 - the last visit is over
    check_idle(path, slots)


def test_a_visit_ordered_in_one_event_loop_may_serve_the_next(path: Path) -> None:
    """What the last call of an event loop ordered is done for those who wait in the next one."""
    slots = SharedSlots(path, concurrency=1)
    hand = by_hand(slots)

    async def first() -> None:
        holder = Holder(slots)
        await steps()
        hand.at_once = False
        await holder.end()

    async def second() -> None:
        holder = Holder(slots)
        await steps()
        hand.at_once = True
        hand.work()
        await steps()
        assert holding([holder]) == [True]
        await holder.end()

    asyncio.run(first())
    asyncio.run(second())
    check_idle(path, slots)


class LosingLoop(asyncio.SelectorEventLoop):
    """An event loop that is told something in the moment it is closed."""

    lost = False

    def call_soon_threadsafe(  # type: ignore[override] # as loosely as it is called
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """Take it, for nothing."""
        if self.is_closed() or not self.lost:
            return super().call_soon_threadsafe(callback, *args, context=context)
        return asyncio.Handle(callback, args, self)


def test_a_slot_that_nobody_was_told_of_is_returned(path: Path) -> None:
    """A slot that a visit got in the moment when a loop ended is given back with the next visit."""
    slots = SharedSlots(path, concurrency=1)
    hand = by_hand(slots, Hand(at_once=False))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LosingLoop)
        holder = Holder(slots)
        await asyncio.sleep(0)
        loop.lost = True
        hand.work()
        holder.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await holder.task

    with asyncio.Runner(loop_factory=LosingLoop) as runner:
        runner.run(main())
    hand.work()
    check_idle(path, slots)
    hand.at_once = True
    asyncio.run(hold_one(slots))
    check_idle(path, slots)


@pytest.mark.parametrize("broken", [False, True])
def test_a_slot_that_came_too_late_is_returned(path: Path, *, broken: bool) -> None:
    """What a visit gets for a loop that is closed by then is given back at once, be it a slot or an error."""
    clock, kept = BreakingClock(), list[Holder]()
    slots = SharedSlots(path, concurrency=1, runtime=Runtime(clock=clock))
    hand = by_hand(slots, Hand(at_once=False))

    async def main() -> None:
        kept.append(Holder(slots))

    loop = asyncio.SelectorEventLoop()
    loop.set_exception_handler(lambda *_: None)
    loop.run_until_complete(main())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    clock.broken = broken
    hand.work()
    clock.broken = False
    hand.at_once = True
    asyncio.run(hold_one(shared(path, 1)))
    sweep(kept)
    check_idle(path, slots)


async def leave_in_the_middle(slots: SharedSlots, kept: list[Holder]) -> None:
    """Go away with one call under way and one that waits."""
    kept += [Holder(slots, since=float(number)) for number in range(2)]
    await steps()
    assert holding(kept[-2:]) == [True, False]


def abandoned(slots: SharedSlots, kept: list[Holder]) -> None:
    """Close an event loop over its calls."""
    loop = asyncio.SelectorEventLoop()
    loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending": just so
    loop.run_until_complete(leave_in_the_middle(slots, kept))
    loop.close()


def sweep(kept: list[Holder]) -> None:
    """Have what is left of tasks swept up, as it happens sooner or later."""
    for holder in kept:
        coroutine: Any = holder.task.get_coro()
        coroutine.close()
    kept.clear()
    gc.collect()


@pytest.mark.parametrize("swept", ["before", "after"])
def test_an_event_loop_closed_over_its_calls(path: Path, swept: str) -> None:
    """When a loop is closed over its calls, their slots are free once what is left is swept up, or the next asks."""
    slots, other, kept = shared(path, 1), shared(path, 1), list[Holder]()
    abandoned(slots, kept)
    if swept == "before":
        sweep(kept)
        asyncio.run(hold_one(other))

    async def again() -> None:
        holder = Holder(slots)
        await asyncio.sleep(0)
        by_hand(slots)
        await until_rung(holder)
        assert slots.state(domain()) == GateState(ceiling=1, in_flight=1)
        sweep(kept)
        assert slots.state(domain()) == GateState(ceiling=1, in_flight=1)
        await holder.end()

    asyncio.run(again())
    asyncio.run(hold_one(other))
    check_idle(path, slots, other)


async def test_another_loop_while_one_is_in_use(path: Path) -> None:
    """Slots in use in one event loop are refused to another that runs beside it, by name."""
    slots = shared(path, 1)
    async with held(Holder(slots)):
        with pytest.raises(ConfigurationError, match="in use in another event loop"):
            await asyncio.to_thread(asyncio.run, hold_one(slots))
    check_idle(path, slots)


async def test_after_a_fork_the_parents_calls_are_the_parents(path: Path) -> None:
    """A child begins anew: it holds nothing of its parent's, and its calls are those of another process."""
    slots = shared(path, 2)
    holder = Holder(slots)
    await steps()
    parents = slots._desk  # noqa: SLF001 - what the parent goes on with
    slots._pid = 0  # noqa: SLF001 - all that a child sees of a fork
    assert slots.state(domain()).in_flight == 0
    by_hand(slots)
    child = Holder(slots)
    await steps()
    assert holding([child]) == [True]
    assert slots.state(domain()) == GateState(ceiling=2, in_flight=1, elsewhere=1)
    await child.end()
    slots._desk, parents._closed = parents, False  # noqa: SLF001 - the parent knows nothing of its child
    await holder.end()
    check_idle(path, slots)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_calls(path: Path) -> None:
    """A child of a process that has just called takes slots of its own, and the parent goes on, whenever it forks."""
    slots = SharedSlots(path, concurrency=1)
    for _ in range(5):
        asyncio.run(hold_one(slots))
        child = os.fork()
        if not child:
            code = 1
            with contextlib.suppress(BaseException):
                asyncio.run(hold_one(slots))
                slots._desk._thread.shutdown()  # noqa: SLF001 - else its last visit ends with it
                code = 0
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
