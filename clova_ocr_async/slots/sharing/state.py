"""The slots of one domain as several processes share them. Pure: each update of a member is decided here.

Each process that holds or awaits slots of the domain is a *member*. An update of a member reports its finished calls
and its waiters, the first one first. It gets the slots that are free, unless a waiter of another member comes before
its own. Such a slot is *offered* to that other member, which is to be woken. An offer that is not taken soon was made
to a process that is stopped; it is passed over until its next update.

Where several hosts share the slots, a member of another host is *far*: it can neither be woken nor looked up by its
pid. It polls while a call of it waits, the more often the fewer members wait before it, and is dead when its lease is
over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from clova_ocr_async.host.processes import Process, lease_is_over
from clova_ocr_async.slots.limit import ConcurrencyLimit, Permit, SlotResult
from clova_ocr_async.slots.queue import Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["LEASE", "FinishedCall", "Limits", "Member", "MemberGrants", "MemberUpdate", "SharedGate"]

LEASE = 30.0
"""Seconds without an update after which a member loses its slots; a member has to come more often than that."""

_OFFER = 0.1  # seconds that an offer stands: some times what a process needs to be woken and to come
_OFFER_BETWEEN_HOSTS = 0.25  # seconds, likewise: twice what passes between two polls of the first waiter
# Seconds between two updates, more or less. A slot that a far member frees idles for half of them: 0.5 % of a call of
# 10 s. Fewer polls cost as much more of the slots, since nothing tells when a call will end.
_POLL = 0.1

FinishedCall = tuple[Permit, SlotResult | None]
"""The permit of a call that has ended, and its result; None if it is unknown whether the service let it in."""


class Waiting(Protocol):
    """A waiter of a member."""

    @property
    def priority(self) -> Priority:
        """Its place in the queue, by the clock that the members share."""
        ...


WaitingT = TypeVar("WaitingT", bound=Waiting)


class Limits(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={"max_concurrency": "most", "max_per_second": "most_per_second"},
):
    """The limits that a member's user gave.

    Attributes:
        max_concurrency: Calls at once; None if not given.
        max_per_second: Calls a second; None for no bound.
    """

    max_concurrency: int | None = None
    max_per_second: float | None = None

    def initial_limit(self) -> ConcurrencyLimit:
        """Return the limit of a domain that nothing was learned of."""
        return ConcurrencyLimit() if self.max_concurrency is None else ConcurrencyLimit.known(self.max_concurrency)

    def applied_to(self, limit: ConcurrencyLimit) -> int:
        """Return the calls at once that are allowed; a given limit applies as it is until a call is refused."""
        if self.max_concurrency is None:
            return limit.value
        # This user knows the limit, and a slow start of another process may not have come that far.
        unrefused = limit.slow_start and not limit.rejections
        return self.max_concurrency if unrefused else min(limit.value, self.max_concurrency)


class Member(
    msgspec.Struct, omit_defaults=True, rename={"wakeup_port": "port", "head": "first", "offered_at": "offered"}
):
    """A process that holds or awaits slots.

    Attributes:
        process: The process.
        wakeup_port: The port where it can be woken; 0 if it cannot.
        expires: The end of its lease.
        limits: The limits that its user gave.
        held: Its calls in flight.
        head: The priority of its first waiter; None if none of its calls waits.
        offered_at: The time when it was offered a slot that it has not taken.
    """

    process: Process
    wakeup_port: int = 0
    expires: float = 0.0
    limits: Limits = msgspec.field(default_factory=Limits)
    held: int = 0
    head: Priority | None = None
    offered_at: float | None = None

    def is_far(self, seen_from: Process) -> bool:
        """Return whether its process runs on another host than the one that asks, as far as that can be known."""
        return not self.process.place or self.process.place != seen_from.place

    def is_dead(self, seen_from: Process, now: float, *, several_hosts: bool = False, by_lease: bool = True) -> bool:
        """Return whether its process has ended, or its lease is over.

        Args:
            seen_from: The process that asks.
            now: The time.
            several_hosts: Whether several hosts share the slots. Then another boot is another host, and no sign of
                death.
            by_lease: Whether a lease that is over counts.
        """
        if by_lease and lease_is_over(self.expires, now, LEASE):
            return True
        # The process too: a lease alone would keep the slots of a killed process for half a minute.
        return not (several_hosts and self.is_far(seen_from)) and self.process.is_dead(seen_from)


@dataclass(slots=True)
class MemberUpdate(Generic[WaitingT]):
    """The report of a member.

    Attributes:
        held: Its calls in flight, without those that have just finished.
        finished: Its calls that have just finished.
        waiting: Its waiters, the first one first.
    """

    held: int = 0
    finished: Sequence[FinishedCall] = ()
    waiting: Sequence[WaitingT] = ()


@dataclass(slots=True)
class MemberGrants(Generic[WaitingT]):
    """The reply to a member's update.

    Attributes:
        granted: Its waiters that get a slot, each with its permit.
        wakeup_ports: Ports of the members to wake.
        next_in: Seconds until its next update, if a waiter may get a slot then without the member being woken.
    """

    granted: list[tuple[WaitingT, Permit]] = field(default_factory=list[tuple[WaitingT, Permit]])
    wakeup_ports: list[int] = field(default_factory=list[int])
    next_in: float | None = None


class SharedGate(msgspec.Struct, omit_defaults=True, rename={"limit": "ceiling"}):
    """The slots of one domain.

    Attributes:
        limit: The learned limit.
        members: The members, by name.
    """

    limit: ConcurrencyLimit = msgspec.field(default_factory=ConcurrencyLimit)
    members: dict[str, Member] = msgspec.field(default_factory=dict[str, Member])

    @property
    def in_flight(self) -> int:
        """Calls in flight, of all members."""
        return sum(member.held for member in self.members.values())

    def evict_dead(
        self, seen_from: Process, now: float, apart_from: str, *, several_hosts: bool = False, by_lease: bool = True
    ) -> None:
        """Take the slots of dead members; see ``Member.is_dead``."""
        for name, member in list(self.members.items()):
            if name != apart_from and member.is_dead(seen_from, now, several_hosts=several_hosts, by_lease=by_lease):
                del self.members[name]

    def update(
        self,
        name: str,
        me: Member,
        update: MemberUpdate[WaitingT],
        now: float,
        uniform: Callable[[float, float], float],
        *,
        several_hosts: bool = False,
    ) -> MemberGrants[WaitingT]:
        """Record a member's update, and grant it slots.

        Args:
            name: Its name.
            me: The member; kept as long as it holds or awaits slots.
            update: Its report.
            now: The time.
            uniform: Draws a float between two bounds.
            several_hosts: Whether several hosts share the slots.
        """
        self.members[name] = me
        # This update answers an offer, if there was one: the slot is taken below, or is free for others.
        me.held, me.head, me.offered_at = update.held, None, None
        for permit, result in update.finished:
            if result is not None:
                self.limit.on_result(permit, result, now, uniform, me.limits.max_concurrency)
        woken: list[Member] = []
        grants = self._allocate(me, update.waiting, now, _OFFER_BETWEEN_HOSTS if several_hosts else _OFFER, woken)
        still_waiting = update.waiting[len(grants.granted) :]
        me.head = still_waiting[0].priority if still_waiting else None
        if not me.held and me.head is None:
            del self.members[name]
        grants.wakeup_ports = [one.wakeup_port for one in woken if not (several_hosts and one.is_far(me.process))]
        others = (one for one in self.members.values() if one is not me)
        if several_hosts and me.head is not None and any(one.is_far(me.process) for one in others):
            poll = self._poll_after(me.head, uniform)
            grants.next_in = poll if grants.next_in is None else min(poll, grants.next_in)
        return grants

    def _allocate(
        self, me: Member, waiting: Sequence[WaitingT], now: float, offer: float, woken: list[Member]
    ) -> MemberGrants[WaitingT]:
        grants: MemberGrants[WaitingT] = MemberGrants()
        wait: float | None = None
        in_flight, offers = self.in_flight, self._open_offers(now, offer)
        # The highest limit decides whether a slot is free at all; in the loop each member has its own.
        limit = max(member.limits.applied_to(self.limit) for member in self.members.values())
        for member, waiter in self._candidates(me, waiting) if in_flight + offers < limit else ():
            if in_flight + offers >= member.limits.applied_to(self.limit):
                continue  # its user allows fewer calls at once: that must not keep slots from the others
            if wait := self._wait(me, now, offer if offers else 0.0):
                if member is not me:
                    woken.append(member)  # so that it learns how long it has to wait
                break
            if waiter is None:
                member.offered_at = now
                offers += 1
                woken.append(member)
            else:
                grants.granted.append((waiter, self.limit.on_sent(in_flight, now, me.limits.max_per_second)))
                in_flight += 1
        me.held += len(grants.granted)
        if len(grants.granted) < len(waiting):
            grants.next_in = wait or (offer if offers else None)
        return grants

    def _candidates(self, me: Member, waiting: Sequence[WaitingT]) -> list[tuple[Member, WaitingT | None]]:
        """Return all of the caller's waiters, and the first one (None) of each other member, in their order."""
        candidates: list[tuple[Priority, Member, WaitingT | None]] = [(one.priority, me, one) for one in waiting]
        candidates += [
            (member.head, member, None)
            for member in self.members.values()
            if member.head is not None and member.offered_at is None
        ]
        return [(member, waiter) for _, member, waiter in sorted(candidates, key=itemgetter(0))]

    def _wait(self, me: Member, now: float, offer: float) -> float:
        """Return the seconds until the next call may be sent, if an offer that is open stands for some seconds."""
        if wait := self.limit.pacer.wait(now):
            return wait
        # At a limited rate calls are sent one after the other. The next one belongs to the member with the offer.
        one_by_one = self.limit.pacer.rate is not None or me.limits.max_per_second is not None
        return offer if one_by_one else 0.0

    def _open_offers(self, now: float, offer: float) -> int:
        return sum(
            member.offered_at is not None and 0.0 <= now - member.offered_at < offer for member in self.members.values()
        )

    def _poll_after(self, head: Priority, uniform: Callable[[float, float], float]) -> float:
        """Return the seconds until the next poll of a member, drawn so that members do not come together."""
        # One slot that gets free goes to the first waiter. So the others need not ask as often, however many they are.
        before = sum(
            member.head is not None and member.offered_at is None and member.head < head
            for member in self.members.values()
        )
        seconds = _POLL * max(1, before)
        return uniform(0.75 * seconds, 1.25 * seconds)
