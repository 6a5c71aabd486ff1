"""Slots that several hosts share, by the pure state: members that can be neither woken nor looked up."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from clova_ocr_async.host.processes import Process
from clova_ocr_async.slots.limit import ConcurrencyLimit
from clova_ocr_async.slots.sharing.state import LEASE, Limits, Member, MemberUpdate, SharedGate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.slots.queue import Priority
    from clova_ocr_async.slots.sharing.state import MemberGrants

HERE = Process.this()
A, B = "boot-a pid:[1]", "boot-b pid:[1]"


@dataclass(frozen=True)
class Waiter:
    """A call that waits."""

    priority: Priority


def waiters(*sinces: float) -> list[Waiter]:
    """Return calls that wait since some times."""
    return [Waiter((True, since, 0)) for since in sinces]


class Scene:
    """The slots of one domain, and members whose names begin with the letter of their host."""

    def __init__(self, limit: int = 1) -> None:
        self.now = 1000.0
        self.gate = SharedGate(
            ConcurrencyLimit(value=limit, advertised=limit, consecutive_refusals=1, slow_start=False, rejections=1)
        )

    def update(self, name: str, held: int = 0, waiting: Sequence[Waiter] = ()) -> MemberGrants[Waiter]:
        """Update a member; its port is the number in its name."""
        place = {"a": A, "b": B, "?": ""}[name[0]]
        me = Member(Process(place, int(name[1:]), "1"), int(name[1:]), self.now + LEASE, Limits())
        update = MemberUpdate(held, waiting=waiting)
        return self.gate.update(name, me, update, self.now, lambda low, high: (low + high) / 2, several_hosts=True)


def test_a_member_of_another_host_is_offered_a_slot_and_not_woken() -> None:
    """A slot is offered to the first waiter, whichever host it is on; only a process of the same host is woken."""
    for first, woken in (("a2", [2]), ("b2", []), ("?2", [])):
        scene = Scene()
        scene.update("a1", waiting=waiters(0.0))
        scene.update(first, waiting=waiters(1.0))
        scene.update("a3", waiting=waiters(2.0))
        assert scene.update("a1").wakeup_ports == woken
        assert not scene.update("a3", waiting=waiters(2.0)).granted
        assert len(scene.update(first, waiting=waiters(1.0)).granted) == 1


def test_a_process_whose_place_is_unknown_is_on_another_host() -> None:
    """Where the system does not show where a process runs, it is neither woken nor looked up."""
    scene = Scene()
    scene.update("?1", waiting=waiters(0.0))
    scene.update("?2", waiting=waiters(1.0))
    assert scene.update("?1").wakeup_ports == []
    scene.gate.evict_dead(Process("", 9, "1"), scene.now, "", several_hosts=True)
    assert set(scene.gate.members) == {"?2"}


def test_waiters_poll_while_another_host_takes_part() -> None:
    """The first two waiters poll ten times a second, and each further one less often: a thousand cost little."""
    scene = Scene()
    scene.update("a1", waiting=waiters(0.0))
    assert scene.update("a2", waiting=waiters(1.0)).next_in is None
    assert scene.update("b3", waiting=waiters(2.0)).next_in == pytest.approx(0.1)
    polls = [scene.update(f"a{number}", waiting=waiters(float(number))).next_in for number in range(2, 6)]
    assert polls == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert scene.update("b3", waiting=waiters(2.0)).next_in == pytest.approx(0.1)
    assert scene.update("a9", held=1).next_in is None


def test_a_pause_that_is_shorter_than_a_poll_counts() -> None:
    """A waiter comes back when a pause ends, if that is sooner than its next poll."""
    scene = Scene(2)
    scene.update("b1", waiting=waiters(0.0))
    scene.gate.limit.pacer.pause(scene.now, 0.05)
    assert scene.update("a2", waiting=waiters(1.0)).next_in == pytest.approx(0.05)


def test_an_offer_stands_until_the_first_waiter_has_polled_twice() -> None:
    """An offer to another host stands a quarter of a second; then the slot goes to the next waiter."""
    scene = Scene()
    scene.update("a1", waiting=waiters(0.0))
    scene.update("b2", waiting=waiters(1.0))
    assert scene.update("a1", waiting=waiters(2.0)).next_in == pytest.approx(0.1)  # another one may get free
    scene.now += 0.24
    assert not scene.update("a1", waiting=waiters(2.0)).granted
    scene.now += 0.02
    assert len(scene.update("a1", waiting=waiters(2.0)).granted) == 1


def test_another_boot_is_another_host_and_not_dead() -> None:
    """A member of another host loses its slots with its lease alone; a dead one of this host at once."""
    scene = Scene(9)
    far = Process("another-boot pid:[1]", HERE.pid, "1")
    for name, process in (("far", far), ("dead", Process(HERE.place, 2_000_000_000, "1")), ("here", HERE)):
        scene.gate.members[name] = Member(process, expires=scene.now + LEASE, held=1)
    assert far.is_dead(HERE)  # as it is in a file
    scene.gate.evict_dead(HERE, scene.now, "", several_hosts=True)
    assert set(scene.gate.members) == {"far", "here"}
    scene.gate.evict_dead(HERE, scene.now + LEASE + 1.0, "here", several_hosts=True, by_lease=False)
    assert set(scene.gate.members) == {"far", "here"}
    scene.gate.evict_dead(HERE, scene.now + LEASE + 1.0, "here", several_hosts=True)
    assert set(scene.gate.members) == {"here"}


@dataclass
class Load:
    """Processes of two hosts whose queues never end, on one gate, by a clock of their own.

    Attributes:
        seconds: Seconds of a call.
        idle: Slot-seconds in which a slot was free.
        freed: Slots that became free.
    """

    scene: Scene
    seconds: float
    chance: random.Random
    idle: float = 0.0
    freed: int = 0
    most: int = 0
    events: list[tuple[float, int, str, bool]] = field(default_factory=list[tuple[float, int, str, bool]])
    calls: dict[str, int] = field(default_factory=dict[str, int])
    granted: Counter[str] = field(default_factory=Counter[str])
    queues: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    due: dict[str, int] = field(default_factory=dict[str, int])
    ids: itertools.count[int] = field(default_factory=itertools.count)

    def plan(self, name: str, delay: float, *, ends: bool = False) -> None:
        """Have a process sync after a delay, because a call of it ends, or without cause; the latter only once."""
        number = next(self.ids)
        if not ends:
            self.due[name] = number
        heapq.heappush(self.events, (self.scene.now + delay, number, name, ends))

    def run(self, names: Sequence[str], until: float) -> None:
        """Run the processes until a time."""
        for name in names:
            self.calls[name], self.queues[name] = 0, sorted(self.scene.now - self.chance.random() for _ in range(9))
            self.plan(name, self.chance.random())
        while self.scene.now < until:
            when, number, name, ends = heapq.heappop(self.events)
            limit = self.scene.gate.limit.value
            self.idle += (limit - sum(self.calls.values())) * (when - self.scene.now)
            self.scene.now = when
            if ends:
                self.calls[name] -= 1
                self.freed += 1
            if ends or self.due[name] == number:
                self.sync(name)

    def sync(self, name: str) -> None:
        """Let a process sync, and start the calls that it gets slots for."""
        queue = self.queues[name]
        grants = self.scene.update(name, self.calls[name], waiters(*queue))
        self.granted[name] += len(grants.granted)
        queue[:] = queue[len(grants.granted) :] + [self.scene.now] * len(grants.granted)
        for _ in grants.granted:
            self.calls[name] += 1
            self.plan(name, self.seconds * self.chance.uniform(0.5, 1.5), ends=True)
        self.most = max(self.most, sum(self.calls.values()))
        for port in grants.wakeup_ports:
            self.plan(next(other for other in self.calls if int(other[1:]) == port), 0.001)
        self.plan(name, grants.next_in or 1.0)


@pytest.mark.parametrize("processes", [1, 4])
def test_a_free_slot_finds_its_waiter_on_another_host_soon(processes: int) -> None:
    """With calls of 5 s and a limit of 5, two hosts leave a slot idle for less than 0.15 s, and exceed no limit."""
    load = Load(Scene(5), 5.0, random.Random(1))  # noqa: S311 - a simulation
    load.run([f"{'ab'[number % 2]}{number}" for number in range(2 * processes)], 1000.0 + 600.0)
    assert load.most == 5
    assert load.freed > 500
    assert load.idle / load.freed < 0.15
    assert 0.4 < sum(count for name, count in load.granted.items() if name[0] == "a") / load.granted.total() < 0.6
