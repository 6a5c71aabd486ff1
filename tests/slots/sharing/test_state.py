from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from support.fakes import FakeTime
from support.ledgers import dead_process, remote_process

from clova_ocr_async.host.processes import Process
from clova_ocr_async.slots.limit import INITIAL_LIMIT, ConcurrencyLimit, LimitSignal, Permit
from clova_ocr_async.slots.sharing.state import LEASE, Limits, Member, MemberGrants, MemberUpdate, SharedGate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.slots.queue import Priority
    from clova_ocr_async.slots.sharing.state import FinishedCall

HERE = Process.this()
KNOWN = Limits(2)


@dataclass(frozen=True)
class Waiter:
    """A call that waits."""

    since: float
    interactive: bool = False

    @property
    def priority(self) -> Priority:
        """Its place in the queue."""
        return (not self.interactive, self.since, 0)


class Scene:
    """The slots of a domain, the time, and members that are named by their ports."""

    def __init__(self, limit: int = 2) -> None:
        self.time = FakeTime()
        self.gate = SharedGate(
            ConcurrencyLimit(value=limit, advertised=limit, consecutive_refusals=1, slow_start=False)
        )
        self.processes: dict[int, Process] = {}

    def update(
        self,
        port: int,
        held: int = 0,
        waiting: Sequence[Waiter | float] = (),
        finished: Sequence[FinishedCall] = (),
        limits: Limits = Limits(),  # noqa: B008 - immutable
    ) -> MemberGrants[Waiter]:
        """Update a member; a waiter may be given as the time since when it waits."""
        process = self.processes.setdefault(port, remote_process())
        me = Member(process, port, self.time.now + LEASE, limits)
        waiters = [Waiter(waiter) if isinstance(waiter, float) else waiter for waiter in waiting]
        update = MemberUpdate(held, finished, waiters)
        return self.gate.update(str(port), me, update, self.time.now, self.time.runtime().uniform)

    def fill(self, port: int = 9) -> Permit:
        """Let a member take all free slots; return the permit of its last call."""
        grants = self.update(port, waiting=[0.0] * self.gate.limit.value)
        return grants.granted[-1][1]


def test_no_more_than_the_limit() -> None:
    """As many calls get a slot as there are, over all members; the calls of other members count."""
    scene = Scene(3)
    assert len(scene.update(1, waiting=[1.0, 2.0]).granted) == 2
    assert len(scene.update(2, waiting=[3.0, 4.0]).granted) == 1
    assert scene.gate.in_flight == 3
    assert not scene.update(1, held=2, waiting=[5.0]).granted


def test_first_come_first_served_over_members() -> None:
    """A free slot goes to the call that has waited longest; if it is another member's, that member is woken."""
    scene = Scene(1)
    scene.fill()
    scene.update(1, waiting=[2.0])
    scene.update(2, waiting=[1.0])
    assert scene.update(9).wakeup_ports == [2]
    assert not scene.update(1, waiting=[2.0]).granted
    assert [waiter.since for waiter, _ in scene.update(2, waiting=[1.0]).granted] == [1.0]


def test_interactive_first_over_members() -> None:
    """Interactive calls go before those of batches, in whichever process they wait."""
    scene = Scene(1)
    scene.fill()
    scene.update(1, waiting=[1.0])
    scene.update(2, waiting=[Waiter(2.0, interactive=True)])
    assert scene.update(9).wakeup_ports == [2]


def test_own_and_others_in_turn() -> None:
    """Slots that become free together go to the first waiters of all members, not to the member that released them."""
    scene = Scene(3)
    scene.fill()
    scene.update(1, waiting=[1.0])
    scene.update(2, waiting=[3.0])
    grants = scene.update(9, waiting=[2.0, 4.0, 5.0])
    assert grants.wakeup_ports == [1, 2]
    assert [waiter.since for waiter, _ in grants.granted] == [2.0]


def test_an_offer_holds_a_slot_for_a_while() -> None:
    """An offered slot is granted to no other member until the offer is over."""
    scene = Scene(1)
    scene.fill()
    scene.update(1, waiting=[1.0])
    assert scene.update(9, waiting=[2.0]).wakeup_ports == [1]
    scene.time.now += 0.09
    assert scene.update(9, waiting=[2.0]) == MemberGrants(next_in=0.1)
    scene.time.now += 0.02
    assert len(scene.update(9, waiting=[2.0]).granted) == 1


def test_a_stopped_member_is_passed_over_and_comes_back() -> None:
    """An offer that was not taken is made again only after the member's next update; its waiters keep their places."""
    scene = Scene(1)
    scene.fill()
    scene.update(1, waiting=[1.0])
    scene.update(9)
    scene.time.now += 0.2
    scene.update(2, waiting=[2.0])
    assert scene.update(2, held=0).wakeup_ports == []
    scene.fill()
    assert not scene.update(1, waiting=[1.0]).granted
    assert scene.update(9).wakeup_ports == [1]


def test_a_waiter_behind_an_offer_syncs_again_soon() -> None:
    """A member with a waiter behind an offer has its next update when the offer is over, as nothing wakes it then."""
    scene = Scene(1)
    scene.fill()
    assert scene.update(1, waiting=[1.0]).next_in is None
    assert scene.update(9, waiting=[3.0]).next_in == 0.1
    assert scene.update(9, waiting=[3.0]).next_in == 0.1
    scene.time.now += 0.1
    assert len(scene.update(9, waiting=[3.0]).granted) == 1


def test_dead_and_expired_members_lose_their_slots() -> None:
    """A dead member's slots are free at once, an expired one's after its lease, a live one's never."""
    scene = Scene(3)
    scene.processes = {1: dead_process(), 2: remote_process(), 3: HERE}
    for port in (1, 2, 3):
        scene.update(port, waiting=[1.0])
    scene.gate.evict_dead(HERE, scene.time.now, "3")
    assert set(scene.gate.members) == {"2", "3"}
    scene.time.now += LEASE
    scene.gate.evict_dead(HERE, scene.time.now, "")
    assert set(scene.gate.members) == {"2", "3"}
    scene.time.now += 0.1
    scene.gate.evict_dead(HERE, scene.time.now, "3")
    assert set(scene.gate.members) == {"3"}


def test_a_lease_of_another_boot_holds_nothing() -> None:
    """A lease that ends further off than any lease was made by another boot's clock, and holds nothing."""
    scene = Scene()
    scene.fill()
    scene.gate.evict_dead(HERE, scene.time.now - 2 * LEASE, "")
    assert not scene.gate.members


def test_a_member_that_was_evicted_in_error_keeps_its_calls() -> None:
    """The calls of a member that comes after its lease has ended count again, and no slot is granted until they end."""
    scene = Scene(1)
    scene.fill(1)
    scene.time.now += 2 * LEASE
    scene.gate.evict_dead(HERE, scene.time.now, "")
    scene.fill(2)
    scene.update(1, held=1)
    assert scene.gate.in_flight == 2
    assert not scene.update(2, waiting=[1.0]).granted


def test_a_process_without_calls_is_not_a_member() -> None:
    """A member without calls in flight and without waiters is forgotten."""
    scene = Scene()
    scene.fill()
    assert set(scene.gate.members) == {"9"}
    scene.update(9)
    scene.update(1)
    assert not scene.gate.members


def test_a_member_with_a_lower_limit_keeps_no_slot_from_others() -> None:
    """A member whose user gave a lower limit takes no more slots than that, and leaves the rest to the others."""
    scene = Scene(4)
    assert len(scene.update(1, waiting=[1.0, 2.0, 3.0], limits=KNOWN).granted) == 2
    assert len(scene.update(2, waiting=[4.0, 5.0, 6.0]).granted) == 2
    grants = scene.update(2, held=1, waiting=[6.0])
    assert (len(grants.granted), grants.wakeup_ports) == (1, [])
    assert scene.update(2).wakeup_ports == []
    assert len(scene.update(2, waiting=[7.0, 8.0]).granted) == 2


def test_a_given_limit_is_not_stored_as_learned() -> None:
    """A given limit applies to its member from the first update on, and is not stored as if it were learned."""
    scene = Scene()
    scene.gate = SharedGate()
    assert len(scene.update(1, waiting=[1.0] * 9, limits=Limits(7)).granted) == 7
    scene.gate = SharedGate()
    assert len(scene.update(1, waiting=[1.0] * 9, limits=Limits(1)).granted) == 1
    scene.update(1)
    assert scene.gate.limit.value == INITIAL_LIMIT
    assert len(scene.update(2, waiting=[1.0] * 9).granted) == INITIAL_LIMIT


def test_a_low_limit_of_long_ago_holds_no_call_back() -> None:
    """When the first call after a long while lifts a low limit, those behind it get slots in the same update."""
    scene = Scene(1)
    scene.gate.limit.advertised = None
    scene.gate.limit.pacer.last_sent = scene.time.now - 3600.0
    assert len(scene.update(1, waiting=[1.0] * 9).granted) == INITIAL_LIMIT


def test_a_given_limit_bounds_the_learned_one() -> None:
    """Once the service has refused a call, a given limit bounds its member and undoes nothing that was learned."""
    scene = Scene(4)
    scene.gate.limit.rejections, scene.gate.limit.consecutive_refusals = 3, 0
    assert len(scene.update(1, waiting=[1.0] * 9, limits=Limits(9)).granted) == 4
    assert (scene.gate.limit.value, scene.gate.limit.rejections) == (4, 3)


def test_grants_and_refusals_are_learned_from() -> None:
    """The results of calls change the limit; an unknown result changes nothing."""
    scene = Scene(4)
    permit = scene.fill()
    scene.update(9, held=3, finished=[(permit, None)])
    assert scene.gate.limit.value == 4
    scene.update(9, held=2, finished=[(permit, LimitSignal(3))])
    assert (scene.gate.limit.value, scene.gate.limit.rejections) == (3, 1)
    scene.update(9, held=1, finished=[(permit, "admitted")])
    assert scene.gate.limit.value == 3


def test_a_call_that_waits_for_the_rate() -> None:
    """When only the rate holds a waiter back, the reply names the seconds after which it gets its slot."""
    scene = Scene(3)
    grants = scene.update(1, waiting=[1.0, 2.0], limits=Limits(None, 0.5))
    assert (len(grants.granted), grants.next_in) == (1, 1.0)
    scene.time.now += 1.0
    assert len(scene.update(1, held=1, waiting=[2.0], limits=Limits(None, 0.5)).granted) == 1


def test_a_slot_that_is_released_in_a_pause() -> None:
    """During a pause no slot is offered, but the member of the next waiter is woken, to learn when the pause ends."""
    scene = Scene(1)
    scene.fill()
    scene.update(1, waiting=[1.0])
    scene.gate.limit.pacer.pause(scene.time.now, 3.0)
    grants = scene.update(9, waiting=[2.0])
    assert (grants.wakeup_ports, grants.granted, grants.next_in) == ([1], [], 3.0)
    assert scene.update(1, waiting=[1.0]).next_in == 3.0
    assert scene.gate.members["1"].offered_at is None


@pytest.mark.parametrize("limits", [Limits(None, 0.5), Limits()])
def test_at_a_limited_rate_no_waiter_is_overtaken(limits: Limits) -> None:
    """If calls are sent one after the other, no call is granted a slot while an earlier one has an offer."""
    scene = Scene(3)
    if limits.max_per_second is None:
        scene.gate.limit.pacer.rate, scene.gate.limit.pacer.last_sent = 0.5, scene.time.now
    scene.update(9, waiting=[0.0], limits=limits)
    scene.update(1, waiting=[1.0], limits=limits)
    scene.time.now += 2.0
    grants = scene.update(9, held=1, waiting=[2.0], limits=limits)
    assert (grants.wakeup_ports, grants.granted, grants.next_in) == ([1], [], 0.1)
    assert len(scene.update(1, waiting=[1.0], limits=limits).granted) == 1


def test_given_limits_are_the_first_ones() -> None:
    """A given limit is the one before anything is learned, and bounds the learned one."""
    assert KNOWN.initial_limit() == ConcurrencyLimit.known(2)
    assert Limits().initial_limit() == ConcurrencyLimit()
    assert [KNOWN.applied_to(ConcurrencyLimit(value=limit, slow_start=False)) for limit in (1, 2, 3)] == [1, 2, 2]
    assert Limits().applied_to(ConcurrencyLimit(value=3)) == 3
