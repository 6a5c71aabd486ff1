from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from support.fakes import FakeTime
from support.ledgers import dead_process, remote_process

from clova_ocr_async.host.processes import Process
from clova_ocr_async.slots.limit import START, ConcurrencyLimit, LimitSignal, Permit
from clova_ocr_async.slots.sharing.state import LEASE, Limits, Member, MemberGrants, MemberUpdate, SharedGate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.slots.sharing.state import FinishedCall, Order

HERE = Process.this()
KNOWN = Limits(2)


@dataclass(frozen=True)
class Waiter:
    """Somebody who waits."""

    since: float
    interactive: bool = False

    @property
    def order(self) -> Order:
        """When it is his turn."""
        return (not self.interactive, self.since, 0)


class Scene:
    """A gate, the time, and members by the names of ports."""

    def __init__(self, limit: int = 2) -> None:
        self.time = FakeTime()
        self.gate = SharedGate(ConcurrencyLimit(limit=limit, named=limit, refused=1, growing=False))
        self.processes: dict[int, Process] = {}

    def visit(
        self,
        port: int,
        held: int = 0,
        waiting: Sequence[Waiter | float] = (),
        landed: Sequence[FinishedCall] = (),
        limits: Limits = Limits(),  # noqa: B008 - immutable
    ) -> MemberGrants[Waiter]:
        """Let a member come; who waits may be given as the time he came."""
        process = self.processes.setdefault(port, remote_process())
        me = Member(process, port, self.time.now + LEASE, limits)
        who = [Waiter(waiter) if isinstance(waiter, float) else waiter for waiter in waiting]
        return self.gate.visit(str(port), me, MemberUpdate(held, landed, who), self.time.runtime())

    def fill(self, port: int = 9) -> Permit:
        """Let a member take all there is; return how its last call left."""
        answers = self.visit(port, waiting=[0.0] * self.gate.ceiling.limit)
        return answers.granted[-1][1]


def test_no_more_than_the_limit() -> None:
    """As many go as there are slots, over all members; the calls of others count."""
    scene = Scene(3)
    assert len(scene.visit(1, waiting=[1.0, 2.0]).granted) == 2
    assert len(scene.visit(2, waiting=[3.0, 4.0]).granted) == 1
    assert scene.gate.in_flight == 3
    assert not scene.visit(1, held=2, waiting=[5.0]).granted


def test_first_come_first_served_over_members() -> None:
    """A free slot goes to whoever has waited longest, be it another member, who is woken for it."""
    scene = Scene(1)
    scene.fill()
    scene.visit(1, waiting=[2.0])
    scene.visit(2, waiting=[1.0])
    assert scene.visit(9).woken == [2]
    assert not scene.visit(1, waiting=[2.0]).granted
    assert [waiter.since for waiter, _ in scene.visit(2, waiting=[1.0]).granted] == [1.0]


def test_interactive_first_over_members() -> None:
    """Whoever waits for one call goes before those who wait for one of many, in whichever process."""
    scene = Scene(1)
    scene.fill()
    scene.visit(1, waiting=[1.0])
    scene.visit(2, waiting=[Waiter(2.0, interactive=True)])
    assert scene.visit(9).woken == [2]


def test_own_and_others_in_turn() -> None:
    """Slots that come free together are shared by whose turn it is, not by who has freed them."""
    scene = Scene(3)
    scene.fill()
    scene.visit(1, waiting=[1.0])
    scene.visit(2, waiting=[3.0])
    answers = scene.visit(9, waiting=[2.0, 4.0, 5.0])
    assert answers.woken == [1, 2]
    assert [waiter.since for waiter, _ in answers.granted] == [2.0]


def test_an_offer_holds_a_slot_for_a_while() -> None:
    """What is on offer is given to nobody else until whoever it is offered to has had his time."""
    scene = Scene(1)
    scene.fill()
    scene.visit(1, waiting=[1.0])
    assert scene.visit(9, waiting=[2.0]).woken == [1]
    scene.time.now += 0.09
    assert scene.visit(9, waiting=[2.0]) == MemberGrants(wait=0.1)
    scene.time.now += 0.02
    assert len(scene.visit(9, waiting=[2.0]).granted) == 1


def test_who_sleeps_is_passed_over_and_comes_back() -> None:
    """An offer that was not taken is not made again, until that member comes by itself; then it has its old turn."""
    scene = Scene(1)
    scene.fill()
    scene.visit(1, waiting=[1.0])
    scene.visit(9)
    scene.time.now += 0.2
    scene.visit(2, waiting=[2.0])
    assert scene.visit(2, held=0).woken == []
    scene.fill()
    assert not scene.visit(1, waiting=[1.0]).granted
    assert scene.visit(9).woken == [1]


def test_who_waits_behind_an_offer_comes_again_soon() -> None:
    """Who waits while a slot is on offer looks again when its time is over: nobody wakes him if a sleeper has it."""
    scene = Scene(1)
    scene.fill()
    assert scene.visit(1, waiting=[1.0]).wait is None
    assert scene.visit(9, waiting=[3.0]).wait == 0.1
    assert scene.visit(9, waiting=[3.0]).wait == 0.1
    scene.time.now += 0.1
    assert len(scene.visit(9, waiting=[3.0]).granted) == 1


def test_the_dead_and_the_expired_lose_their_slots() -> None:
    """A dead member's slots are free at once, an expired one's after its lease, a live one's never."""
    scene = Scene(3)
    scene.processes = {1: dead_process(), 2: remote_process(), 3: HERE}
    for port in (1, 2, 3):
        scene.visit(port, waiting=[1.0])
    scene.gate.dismiss_gone(HERE, scene.time.now, "3")
    assert set(scene.gate.members) == {"2", "3"}
    scene.time.now += LEASE
    scene.gate.dismiss_gone(HERE, scene.time.now, "")
    assert set(scene.gate.members) == {"2", "3"}
    scene.time.now += 0.1
    scene.gate.dismiss_gone(HERE, scene.time.now, "3")
    assert set(scene.gate.members) == {"3"}


def test_a_lease_of_another_boot_is_none() -> None:
    """A lease that ends further off than any is one of another boot's clock, and holds nothing."""
    scene = Scene()
    scene.fill()
    scene.gate.dismiss_gone(HERE, scene.time.now - 2 * LEASE, "")
    assert not scene.gate.members


def test_who_was_thought_dead_keeps_what_it_holds() -> None:
    """A member that comes after its lease has ended has its calls counted again; nobody gets more until they end."""
    scene = Scene(1)
    scene.fill(1)
    scene.time.now += 2 * LEASE
    scene.gate.dismiss_gone(HERE, scene.time.now, "")
    scene.fill(2)
    scene.visit(1, held=1)
    assert scene.gate.in_flight == 2
    assert not scene.visit(2, waiting=[1.0]).granted


def test_who_has_nothing_to_do_is_no_member() -> None:
    """A member without calls and without anybody who waits is forgotten."""
    scene = Scene()
    scene.fill()
    assert set(scene.gate.members) == {"9"}
    scene.visit(9)
    scene.visit(1)
    assert not scene.gate.members


def test_who_wants_fewer_calls_at_once_holds_nobody_up() -> None:
    """A member that allows fewer calls at once than there are slots takes no more, and keeps the rest from nobody."""
    scene = Scene(4)
    assert len(scene.visit(1, waiting=[1.0, 2.0, 3.0], limits=KNOWN).granted) == 2
    assert len(scene.visit(2, waiting=[4.0, 5.0, 6.0]).granted) == 2
    answers = scene.visit(2, held=1, waiting=[6.0])
    assert (len(answers.granted), answers.woken) == (1, [])
    assert scene.visit(2).woken == []
    assert len(scene.visit(2, waiting=[7.0, 8.0]).granted) == 2


def test_what_a_member_knows_is_its_own() -> None:
    """What a member knows counts for it from its first visit on, and is not written down as if it were learned."""
    scene = Scene()
    scene.gate = SharedGate()
    assert len(scene.visit(1, waiting=[1.0] * 9, limits=Limits(7)).granted) == 7
    scene.gate = SharedGate()
    assert len(scene.visit(1, waiting=[1.0] * 9, limits=Limits(1)).granted) == 1
    scene.visit(1)
    assert scene.gate.ceiling.limit == START
    assert len(scene.visit(2, waiting=[1.0] * 9).granted) == START


def test_a_low_limit_of_long_ago_keeps_nobody_back() -> None:
    """When the first call after a long while undoes a low limit, those behind it go at the same visit."""
    scene = Scene(1)
    scene.gate.ceiling.named = None
    scene.gate.ceiling.pace.last = scene.time.now - 3600.0
    assert len(scene.visit(1, waiting=[1.0] * 9).granted) == START


def test_a_number_that_is_known_bounds_what_was_learned() -> None:
    """Once the service has refused, a known number bounds its member and undoes nothing."""
    scene = Scene(4)
    scene.gate.ceiling.rejections, scene.gate.ceiling.refused = 3, 0
    assert len(scene.visit(1, waiting=[1.0] * 9, limits=Limits(9)).granted) == 4
    assert (scene.gate.ceiling.limit, scene.gate.ceiling.rejections) == (4, 3)


def test_answers_and_refusals_are_learned_from() -> None:
    """What calls ended in changes the ceiling; of whom nobody knows whether he was let in changes nothing."""
    scene = Scene(4)
    entry = scene.fill()
    scene.visit(9, held=3, landed=[(entry, None)])
    assert scene.gate.ceiling.limit == 4
    scene.visit(9, held=2, landed=[(entry, LimitSignal(3))])
    assert (scene.gate.ceiling.limit, scene.gate.ceiling.rejections) == (3, 1)
    scene.visit(9, held=1, landed=[(entry, "admitted")])
    assert scene.gate.ceiling.limit == 3


def test_a_pace_is_waited_for() -> None:
    """When only the pace keeps somebody, he is told how long; then he goes."""
    scene = Scene(3)
    answers = scene.visit(1, waiting=[1.0, 2.0], limits=Limits(None, 0.5))
    assert (len(answers.granted), answers.wait) == (1, 1.0)
    scene.time.now += 1.0
    assert len(scene.visit(1, held=1, waiting=[2.0], limits=Limits(None, 0.5)).granted) == 1


def test_who_frees_a_slot_within_a_pause_has_the_next_one_wait_for_its_end() -> None:
    """During a pause a slot is not offered, but whoever is next is woken, to learn when it ends."""
    scene = Scene(1)
    scene.fill()
    scene.visit(1, waiting=[1.0])
    scene.gate.ceiling.pace.rest(scene.time.now, 3.0)
    answers = scene.visit(9, waiting=[2.0])
    assert (answers.woken, answers.granted, answers.wait) == ([1], [], 3.0)
    assert scene.visit(1, waiting=[1.0]).wait == 3.0
    assert scene.gate.members["1"].offered is None


@pytest.mark.parametrize("limits", [Limits(None, 0.5), Limits()])
def test_at_a_pace_nobody_is_overtaken(limits: Limits) -> None:
    """Where calls leave one after the other, nobody goes while the next one is offered to who came before."""
    scene = Scene(3)
    if limits.most_per_second is None:
        scene.gate.ceiling.pace.rate, scene.gate.ceiling.pace.last = 0.5, scene.time.now
    scene.visit(9, waiting=[0.0], limits=limits)
    scene.visit(1, waiting=[1.0], limits=limits)
    scene.time.now += 2.0
    answers = scene.visit(9, held=1, waiting=[2.0], limits=limits)
    assert (answers.woken, answers.granted, answers.wait) == ([1], [], 0.1)
    assert len(scene.visit(1, waiting=[1.0], limits=limits).granted) == 1


def test_limits_say_how_a_gate_stands_before_its_first_visit() -> None:
    """Limits bound a learned ceiling, and are the first one where they are known."""
    assert KNOWN.first_ceiling() == ConcurrencyLimit.known(2)
    assert Limits().first_ceiling() == ConcurrencyLimit()
    assert [KNOWN.applied_to(ConcurrencyLimit(limit=limit, growing=False)) for limit in (1, 2, 3)] == [1, 2, 2]
    assert Limits().applied_to(ConcurrencyLimit(limit=3)) == 3
