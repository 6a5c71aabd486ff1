"""The gate of one domain as several processes share it. Pure: what each says and gets is decided here.

Each process that has calls under way or waiting is a *member*. It comes to say what became of its calls, and who of its
own waits, the first one first; it gets the slots that are free, if nobody of the others has come before its own. Else
the slot is *offered* to that other one, whom the caller is to wake; an offer that is not taken soon was made to one who
sleeps, and is passed over until that one comes by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from clova_ocr_async.host.processes import Process
from clova_ocr_async.slots.limit import ConcurrencyLimit, Permit, SlotResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.host.runtime import Runtime

__all__ = ["LEASE", "FinishedCall", "Limits", "Member", "MemberGrants", "MemberUpdate", "Order", "SharedGate"]

LEASE = 30.0
"""Seconds that a member may sleep before its slots are given to others; it has to come more often than that."""

_OFFER = 0.1  # seconds an offer stands

Order = tuple[bool, float, int]
"""Whose turn it is: the lower one's. Batch or not, since when, and which of several that came at the same time."""


FinishedCall = tuple[Permit, SlotResult | None]
"""How a call left that has ended, and what became of it; None if nobody knows whether it was let in."""


class Waiting(Protocol):
    """Somebody of a member's own who waits."""

    @property
    def order(self) -> Order:
        """When it is his turn."""
        ...


WaitingT = TypeVar("WaitingT", bound=Waiting)


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a member knows of the limits.

    Attributes:
        most: Calls at once; None if it does not know.
        most_per_second: Calls a second; None for no bound.
    """

    most: int | None = None
    most_per_second: float | None = None

    def first_ceiling(self) -> ConcurrencyLimit:
        """Return the ceiling of a domain that nothing was learned of."""
        return ConcurrencyLimit() if self.most is None else ConcurrencyLimit.known(self.most)

    def applied_to(self, ceiling: ConcurrencyLimit) -> int:
        """Return the calls at once that are let through; what is known counts for itself until the service objects."""
        if self.most is None:
            return ceiling.limit
        return self.most if ceiling.growing and not ceiling.rejections else min(ceiling.limit, self.most)


class Member(msgspec.Struct, omit_defaults=True):
    """A process at a gate.

    Attributes:
        process: Which.
        port: Where it listens for being woken; 0 if it does not.
        expires: When it counts as gone, unless it comes before.
        limits: What it knows of the limits.
        held: Its calls under way.
        first: Whose turn it is next of its own; None if nobody of its own waits.
        offered: When it was offered a slot that it has not come for.
    """

    process: Process
    port: int = 0
    expires: float = 0.0
    limits: Limits = msgspec.field(default_factory=Limits)
    held: int = 0
    first: Order | None = None
    offered: float | None = None

    def is_gone(self, seen_from: Process, now: float) -> bool:
        """Whether it runs no more, or has slept for too long."""
        # An end further off than any lease is one of another boot's clock.
        return not now <= self.expires <= now + 2 * LEASE or self.process.is_dead(seen_from)


@dataclass(slots=True)
class MemberUpdate(Generic[WaitingT]):
    """What a member says when it comes.

    Attributes:
        held: Its calls under way, those that have just ended left out.
        landed: Its calls that have just ended.
        waiting: Who of its own waits, the first one first.
    """

    held: int = 0
    landed: Sequence[FinishedCall] = ()
    waiting: Sequence[WaitingT] = ()


@dataclass(slots=True)
class MemberGrants(Generic[WaitingT]):
    """What a member is told when it comes.

    Attributes:
        granted: Who of its own may go, and how they leave.
        woken: Ports of the members who are offered a slot.
        wait: Seconds until it should come again, if its own may go then though nobody wakes it.
    """

    granted: list[tuple[WaitingT, Permit]] = field(default_factory=list[tuple[WaitingT, Permit]])
    woken: list[int] = field(default_factory=list[int])
    wait: float | None = None


class SharedGate(msgspec.Struct, omit_defaults=True):
    """The gate of one domain.

    Attributes:
        ceiling: What is known of the domain.
        members: Who is at it, by name.
    """

    ceiling: ConcurrencyLimit = msgspec.field(default_factory=ConcurrencyLimit)
    members: dict[str, Member] = msgspec.field(default_factory=dict[str, Member])

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return sum(member.held for member in self.members.values())

    def dismiss_gone(self, seen_from: Process, now: float, apart_from: str) -> None:
        """Take the slots of the dead, and of those who have slept too long."""
        for name, member in list(self.members.items()):
            if name != apart_from and member.is_gone(seen_from, now):
                del self.members[name]

    def visit(self, name: str, me: Member, visit: MemberUpdate[WaitingT], runtime: Runtime) -> MemberGrants[WaitingT]:
        """Hear a member, and give it what it may have.

        Args:
            name: Its name.
            me: Who it is; kept as long as it has calls here.
            visit: What it says.
            runtime: Time and randomness.
        """
        self.members[name] = me
        me.held, me.first, me.offered = visit.held, None, None
        for entry, outcome in visit.landed:
            if outcome is not None:
                self.ceiling.settle(entry, outcome, runtime, me.limits.most)
        answers = self._share_out(me, visit.waiting, runtime.clock())
        left = visit.waiting[len(answers.granted) :]
        me.first = left[0].order if left else None
        if not me.held and me.first is None:
            del self.members[name]
        return answers

    def _share_out(self, me: Member, waiting: Sequence[WaitingT], now: float) -> MemberGrants[WaitingT]:
        answers: MemberGrants[WaitingT] = MemberGrants()
        wait: float | None = None
        in_flight, on_offer = self.in_flight, self._on_offer(now)
        most = max(member.limits.applied_to(self.ceiling) for member in self.members.values())
        for member, waiter in self._turns(me, waiting) if in_flight + on_offer < most else ():
            if in_flight + on_offer >= member.limits.applied_to(self.ceiling):
                continue  # it wants no more calls at once than there are: nobody waits for it
            if wait := self._wait(me, now, on_offer):
                if member is not me:
                    answers.woken.append(member.port)  # to learn how long it has to wait
                break
            if waiter is None:
                member.offered = now
                on_offer += 1
                answers.woken.append(member.port)
            else:
                entry = self.ceiling.enter(in_flight, now, me.limits.most_per_second)
                answers.granted.append((waiter, entry))
                in_flight += 1
        me.held += len(answers.granted)
        if len(answers.granted) < len(waiting):
            answers.wait = wait or (_OFFER if on_offer else None)
        return answers

    def _turns(self, me: Member, waiting: Sequence[WaitingT]) -> list[tuple[Member, WaitingT | None]]:
        """Return whose turn it is, in their order: each of the caller's own, and the first one of each other member."""
        turns: list[tuple[Order, Member, WaitingT | None]] = [(waiter.order, me, waiter) for waiter in waiting]
        turns += [
            (member.first, member, None)
            for member in self.members.values()
            if member.first is not None and member.offered is None
        ]
        return [(member, waiter) for _, member, waiter in sorted(turns, key=itemgetter(0))]

    def _wait(self, me: Member, now: float, on_offer: int) -> float:
        """Return seconds until the next call may leave."""
        if wait := self.ceiling.pace.wait(now):
            return wait
        # Where calls leave one after the other, whoever is offered a slot is the next one.
        one_by_one = self.ceiling.pace.rate is not None or me.limits.most_per_second is not None
        return _OFFER if one_by_one and on_offer else 0.0

    def _on_offer(self, now: float) -> int:
        """Return how many slots are on offer."""
        return sum(
            member.offered is not None and 0.0 <= now - member.offered < _OFFER for member in self.members.values()
        )
