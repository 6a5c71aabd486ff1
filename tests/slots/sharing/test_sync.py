from __future__ import annotations

import pytest
from support.fakes import FakeTime
from support.ledgers import dead_process
from support.slots import MemoryGateStore, UnexpectedError

from clova_ocr_async.slots.queue import Waiter
from clova_ocr_async.slots.sharing.membership import Grant, SyncResult
from clova_ocr_async.slots.sharing.state import LEASE, Limits, Member
from clova_ocr_async.slots.sharing.store import transaction
from clova_ocr_async.slots.sharing.sync import GateSync

LIMITS = {"a": Limits(1), "b": Limits(2)}


class Scene:
    """A process that syncs, its store and its time."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.store = MemoryGateStore({}, self.time.runtime().clock)
        self.sync = GateSync(self.store, LIMITS, self.time.runtime())

    def run(self, *keys: str) -> SyncResult:
        """Sync with one waiter for each of some domains."""
        self.sync.waiting = {key: [Waiter[Grant]([key], interactive=False, since=1.0)] for key in keys}
        return self.sync.run()

    def members(self, key: str) -> dict[str, Member]:
        """Return the members of a domain."""
        with transaction(self.store, [key]) as gates:
            return gates[key].members

    def add_dead(self, key: str) -> None:
        """Add a member that holds a slot and whose process has ended."""
        with transaction(self.store, [key]) as gates:
            gates[key].members["dead"] = Member(dead_process(), expires=self.time.now + LEASE, held=1)


@pytest.fixture
def scene() -> Scene:
    """Set the scene."""
    return Scene()


async def test_the_first_sync_takes_the_slots_of_dead_processes(scene: Scene) -> None:
    """A process that has just started finds the slots of a dead one free at once."""
    scene.add_dead("a")
    assert len(scene.run("a").grants) == 1


async def test_dead_processes_are_looked_for_twice_a_second(scene: Scene) -> None:
    """A process with waiting calls looks for dead ones twice a second, and so with each of its regular syncs."""
    scene.run("b")
    scene.add_dead("a")
    scene.time.now += 0.4
    assert not scene.run("a").grants
    scene.time.now += 0.1
    assert len(scene.run("a").grants) == 1


async def test_without_waiting_calls_no_dead_process_is_looked_for(scene: Scene) -> None:
    """A sync without waiting calls leaves dead members alone."""
    scene.run("b")
    scene.add_dead("b")
    scene.time.now += 5.0
    scene.run()
    assert "dead" in scene.members("b")


async def test_a_failed_sync_takes_no_slot(scene: Scene) -> None:
    """When a sync fails after slots were granted, no call has them, and the next sync finds them free."""
    scene.run("b")
    scene.store.fails = True
    with pytest.raises(UnexpectedError):
        scene.run("a", "b")
    scene.store.fails = False
    assert len(scene.run("a", "b").grants) == 2
    assert [member.held for member in scene.members("a").values()] == [1]
    assert [member.held for member in scene.members("b").values()] == [2]


async def test_a_failed_sync_leaves_no_member_behind(scene: Scene) -> None:
    """When the sync fails that releases a last slot, the next one releases it."""
    [(_, (key, permit, _))] = scene.run("a").grants
    scene.sync.finished.append((key, (permit, None)))
    scene.store.fails = True
    with pytest.raises(UnexpectedError):
        scene.run()
    scene.store.fails = False
    scene.run()
    assert not scene.members("a")


async def test_the_domain_with_most_free_slots(scene: Scene) -> None:
    """A call to one of several domains gets a slot where most are free within the given limits."""
    waiter = Waiter[Grant](["a", "b"], interactive=False, since=1.0)
    scene.sync.waiting = {"a": [waiter], "b": [waiter]}
    [(_, (key, _, _))] = scene.sync.run().grants
    assert key == "b"


async def test_releasing_everything(scene: Scene) -> None:
    """A process that releases everything holds nothing any more, whatever was still to be reported."""
    [(_, (key, permit, _))] = scene.run("a").grants
    scene.run("b")
    scene.sync.finished.append((key, (permit, None)))
    scene.sync.release_all()
    assert not scene.members("a")
    assert not scene.members("b")
    assert len(scene.run("a").grants) == 1


async def test_unclaimed_slots_are_released(scene: Scene) -> None:
    """The slots of a sync whose calls are gone are free again; without slots nothing is done."""
    result = scene.run("a")
    scene.sync.release_unclaimed(result)
    assert not scene.members("a")
    loads = len(scene.store.loaded)
    result.grants.clear()
    scene.sync.release_unclaimed(result)
    assert len(scene.store.loaded) == loads
    assert len(scene.run("a").grants) == 1
