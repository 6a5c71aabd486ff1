from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.fakes import FakeTime
from support.ledgers import dead_process

from clova_ocr_async.slots.queue import Waiter
from clova_ocr_async.slots.sharing.sqlite_store import SlotsFile
from clova_ocr_async.slots.sharing.state import LEASE, Limits, Member, SharedGate
from clova_ocr_async.slots.sharing.sync import GateSync, Grant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clova_ocr_async.slots.sharing.sync import SyncResult

LIMITS = {"a": Limits(1), "b": Limits(2)}


class Broken(Exception):  # noqa: N818 - what is broken
    """What nobody expects."""


class BreakingFile(SlotsFile):
    """A file that breaks when it is to be written, if told."""

    breaks = False

    def _save(self, gates: dict[str, SharedGate]) -> None:
        if self.breaks:
            raise Broken
        super()._save(gates)


class Scene:
    """A visitor, its file and its time."""

    def __init__(self, path: Path) -> None:
        self.time = FakeTime()
        self.file = BreakingFile(path, self.time.runtime().clock)
        self.visitor = GateSync(self.file, LIMITS, self.time.runtime())

    def visit(self, *keys: str) -> SyncResult:
        """Visit with somebody who waits at each of some gates."""
        self.visitor.waiting = {key: [Waiter[Grant]([key], interactive=False, since=1.0)] for key in keys}
        return self.visitor.visit()

    def members(self, key: str) -> dict[str, Member]:
        """Return who is at a gate."""
        with self.file.gates([key]) as gates:
            return gates[key].members

    def add_dead(self, key: str) -> None:
        """Have somebody hold a slot who died."""
        with self.file.gates([key]) as gates:
            gates[key].members["dead"] = Member(dead_process(), expires=self.time.now + LEASE, held=1)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Set the scene."""
    scene = Scene(tmp_path / "slots.sqlite")
    yield scene
    scene.file.close()


async def test_the_first_visit_takes_the_slots_of_the_dead(scene: Scene) -> None:
    """A process that has just been started finds what a dead one has left free at once."""
    scene.add_dead("a")
    assert len(scene.visit("a").grants) == 1


async def test_the_dead_are_looked_for_now_and_then(scene: Scene) -> None:
    """Who waits looks for the dead twice a second, and so each time it looks of itself."""
    scene.visit("b")
    scene.add_dead("a")
    scene.time.now += 0.4
    assert not scene.visit("a").grants
    scene.time.now += 0.1
    assert len(scene.visit("a").grants) == 1


async def test_nobody_looks_for_the_dead_who_waits_for_nothing(scene: Scene) -> None:
    """A visit without anybody who waits needs nobody's slot."""
    scene.visit("b")
    scene.add_dead("b")
    scene.time.now += 5.0
    scene.visit()
    assert "dead" in scene.members("b")


async def test_a_visit_that_breaks_takes_no_slot(scene: Scene) -> None:
    """When a visit breaks after slots were given out, nobody has them: the next visit finds them free."""
    scene.visit("b")
    scene.file.breaks = True
    with pytest.raises(Broken):
        scene.visit("a", "b")
    scene.file.breaks = False
    assert len(scene.visit("a", "b").grants) == 2
    assert [member.held for member in scene.members("a").values()] == [1]
    assert [member.held for member in scene.members("b").values()] == [2]


async def test_a_visit_that_breaks_leaves_no_member_behind(scene: Scene) -> None:
    """When the visit breaks that gives a last slot back, the next one says so again."""
    [(_, grant)] = scene.visit("a").grants
    scene.visitor.landed.append((grant[0], (grant[1], None)))
    scene.file.breaks = True
    with pytest.raises(Broken):
        scene.visit()
    scene.file.breaks = False
    scene.visit()
    assert not scene.members("a")


async def test_the_domain_with_most_free_slots(scene: Scene) -> None:
    """Who waits for several domains gets a slot where most are free, by what is allowed of each."""
    waiter = Waiter[Grant](["a", "b"], interactive=False, since=1.0)
    scene.visitor.waiting = {"a": [waiter], "b": [waiter]}
    [(_, (key, _))] = scene.visitor.visit().grants
    assert key == "b"


async def test_leaving_gives_back_everything(scene: Scene) -> None:
    """Who leaves holds nothing any more, whatever was still to be told."""
    [(_, grant)] = scene.visit("a").grants
    scene.visit("b")
    scene.visitor.landed.append((grant[0], (grant[1], None)))
    scene.visitor.leave()
    assert not scene.members("a")
    assert not scene.members("b")
    assert len(scene.visit("a").grants) == 1


async def test_slots_that_nobody_claims_are_returned(scene: Scene) -> None:
    """What was got for somebody who is gone is free again; nothing got, nothing done."""
    report = scene.visit("a")
    scene.visitor.return_unclaimed(report)
    assert not scene.members("a")
    report.grants.clear()
    scene.visitor.return_unclaimed(report)
    assert len(scene.visit("a").grants) == 1
