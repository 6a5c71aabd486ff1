"""The member that this process is of each domain: how one sync changes the slots, if the store takes the change."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from clova_ocr_async.host.processes import Process
from clova_ocr_async.slots.interface import min_or_none
from clova_ocr_async.slots.limit import ConcurrencyLimit, Permit, SlotResult
from clova_ocr_async.slots.queue import Priority, Waiter
from clova_ocr_async.slots.sharing.state import FinishedCall, Limits, Member, MemberUpdate, SharedGate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Attempt", "Grant", "Membership", "News", "Seen", "SyncResult"]

_EVICT_EVERY = 0.5  # seconds between two looks for dead members; less than between two syncs of a process that waits
_RENEW_SHARE = 6  # a lease is renewed once a sixth of it has passed: polls would otherwise change the store each time
_CLOCK_DRIFT = 0.1  # seconds by which the store's clock may seem to move, as a request takes some time


class Grant(NamedTuple):
    """A slot.

    Attributes:
        key: The key of its domain.
        permit: The permit to send one call.
        epoch: How often the process had lost its lease before it was granted.
    """

    key: str
    permit: Permit
    epoch: int


class News(NamedTuple):
    """What a process has to report.

    Attributes:
        finished: Released slots, by the key of their domain, with the results of their calls.
        waiting: The waiters of each domain, the first one first.
        wakeup_port: The port where the process can be woken.
    """

    finished: Sequence[tuple[str, FinishedCall]]
    waiting: Mapping[str, Sequence[Waiter[Grant]]]
    wakeup_port: int


class Seen(NamedTuple):
    """What a sync has seen of a domain.

    Attributes:
        limit: Its limit.
        elsewhere: Calls in flight of other members; 0 while the store is away, as they cannot be seen then.
        share: Calls at once that the process may have while the store is away; None if the store is there.
    """

    limit: ConcurrencyLimit
    elsewhere: int = 0
    share: int | None = None


@dataclass(slots=True)
class SyncResult:
    """The result of a sync.

    Attributes:
        grants: The waiters that get a slot.
        seen: What it has seen of each domain.
        changes: For each domain with finished calls, the limit before, and the result of one of the calls.
        next_in: Seconds until the next sync, if it brings what no wake-up announces.
        wakeup_ports: Ports of the members to wake.
    """

    grants: list[tuple[Waiter[Grant], Grant]] = field(default_factory=list[tuple[Waiter[Grant], Grant]])
    seen: dict[str, Seen] = field(default_factory=dict[str, Seen])
    changes: list[tuple[str, int, SlotResult]] = field(default_factory=list[tuple[str, int, SlotResult]])
    next_in: float | None = None
    wakeup_ports: list[int] = field(default_factory=list[int])

    def come_back_in(self, seconds: float | None) -> None:
        """Ask for the next sync within some seconds, if any are given."""
        self.next_in = min_or_none(self.next_in, seconds)


class _Queued(NamedTuple):
    """A waiter with its priority by the store's clock."""

    waiter: Waiter[Grant]
    priority: Priority


@dataclass(slots=True)
class Attempt:
    """A sync whose change of the slots is not stored yet.

    Attributes:
        held: The calls in flight by domain, afterwards.
        member_of: The domains whose member the process is afterwards.
        now: The store's time.
        granted: The waiters that get a slot, each with the key of the domain and its permit.
        result: The rest of the result.
        lease: Seconds that the lease lasts; no less than that.
        evicted: Whether the process holds slots, and was no member any more.
        looked_for_dead: Whether dead members were looked for.
    """

    held: Counter[str]
    member_of: set[str]
    now: float
    lease: float
    granted: dict[Waiter[Grant], tuple[str, Permit]] = field(default_factory=dict[Waiter[Grant], tuple[str, Permit]])
    result: SyncResult = field(default_factory=SyncResult)
    evicted: bool = False
    looked_for_dead: bool = False


class Membership:
    """The member that this process is of each domain.

    Args:
        limits: The limits that the user gave for each domain, by its key; may grow.
        lease: Seconds of a lease.
        several_hosts: Whether processes of several hosts share the slots.
        uniform: Draws a float between two bounds.
        this_process: Returns the running process.

    Attributes:
        held: The calls in flight, by domain.
        domains: The domains whose member it is, as far as known.
        stored: Those of them in which the store certainly has it.
    """

    def __init__(
        self,
        limits: Mapping[str, Limits],
        lease: float,
        *,
        several_hosts: bool,
        uniform: Callable[[float, float], float],
        this_process: Callable[[], Process] = Process.this,
    ) -> None:
        self.held: Counter[str] = Counter()
        self.domains: set[str] = set()
        self.stored: set[str] = set()
        self._limits = limits
        self._lease = lease
        self._several_hosts = several_hosts
        self._uniform = uniform
        self._this_process = this_process
        self._process = Process("", 0, "")
        self._name = ""
        self._looked_for_dead_at = float("-inf")
        self._ahead: float | None = None
        self._seen: dict[str, ConcurrencyLimit] = {}

    def keys(self, news: News) -> list[str]:
        """Return the domains that a sync concerns."""
        # Where the process is a member it also syncs without news, which renews its lease.
        return list(dict.fromkeys([*news.waiting, *(key for key, _ in news.finished), *self.domains]))

    def limit(self, key: str) -> ConcurrencyLimit:
        """Return the limit of a domain as last seen."""
        return self._seen[key] if key in self._seen else self._limits[key].initial_limit()

    def store_time(self, clock: float) -> float:
        """Return what the store's time is, as far as known, at a time of this process's clock."""
        return clock + (self._ahead or 0.0)

    def is_forgotten(self, gates: Mapping[str, SharedGate]) -> bool:
        """Return whether the store has lost a domain of which the process was a member.

        Args:
            gates: The slots of domains, as they were loaded.
        """
        return any(key in self.stored and gate == SharedGate() for key, gate in gates.items())

    def compare_clocks(self, clock: float, now: float) -> None:
        """Learn how far the store's clock is ahead.

        Args:
            clock: The time by this process's clock.
            now: The store's time.
        """
        # Changed only if a clock was set: else the waiters' times would change with the duration of each request.
        if self._ahead is None or abs(now - clock - self._ahead) > _CLOCK_DRIFT:
            self._ahead = round(now - clock, 3)

    def attempt(
        self,
        gates: Mapping[str, SharedGate],
        news: News,
        now: float,
        *,
        cap: Callable[[str], int | None] = lambda _: None,
        by_lease: bool = True,
    ) -> Attempt:
        """Change the slots of domains by what the process reports, and take slots for its waiters.

        Args:
            gates: The slots of the domains.
            news: The report.
            now: The store's time.
            cap: Returns the most calls at once that the process may have in flight; None for no such bound.
            by_lease: Whether members lose their slots with their lease.
        """
        if not self._name:  # with the first sync, and not in the constructor: a fork may lie between the two
            # A process may be several members, one for each object and event loop, so its pid is not a name.
            self._process, self._name = self._this_process(), uuid.uuid4().hex
        attempt = Attempt(self.held.copy(), self.domains.copy(), now, self._lease)
        attempt.held.subtract(key for key, _ in news.finished)
        # To look for dead members reads /proc once for each, and only waiters gain by their slots.
        if news.waiting and now - self._looked_for_dead_at >= _EVICT_EVERY:
            attempt.looked_for_dead = True
            for gate in gates.values():
                gate.evict_dead(self._process, now, self._name, several_hosts=self._several_hosts, by_lease=by_lease)
        limits = {
            key: Limits(min_or_none(self._limits[key].max_concurrency, cap(key)), self._limits[key].max_per_second)
            for key in gates
        }
        # A waiter of several domains goes where most slots are free, so that domain is served first.
        free = {key: limits[key].applied_to(gate.limit) - gate.in_flight for key, gate in gates.items()}
        for key in sorted(gates, key=free.__getitem__, reverse=True):
            self._update(key, gates[key], limits[key], news, attempt)
        return attempt

    def commit(self, attempt: Attempt, epoch: int) -> SyncResult:
        """Take over what an attempt has changed, now that it is stored, and return the result.

        Args:
            attempt: The attempt.
            epoch: How often the process has lost its lease.
        """
        self.held, self.domains = attempt.held, attempt.member_of
        self._seen |= {key: seen.limit for key, seen in attempt.result.seen.items()}
        if attempt.looked_for_dead:
            self._looked_for_dead_at = attempt.now
        for waiter, (key, permit) in attempt.granted.items():
            waiter.reserved = True
            attempt.result.grants.append((waiter, Grant(key, permit, epoch)))
        return attempt.result

    def _update(self, key: str, gate: SharedGate, limits: Limits, news: News, attempt: Attempt) -> None:
        queued = [
            _Queued(one, (one.priority[0], self.store_time(one.priority[1]), one.priority[2]))
            for one in news.waiting.get(key, ())
            # A slot of another domain, or of the sync before, may be on its way to the waiter.
            if not one.reserved and not one.granted.done() and one not in attempt.granted
        ]
        finished = [call for where, call in news.finished if where == key]
        now, before, limit_before = attempt.now, gate.members.get(self._name), gate.limit.value
        attempt.evicted |= before is None and self.held[key] > 0
        me = Member(self._process, news.wakeup_port, self._expires(before, now), limits)
        attempt.lease = min(attempt.lease, me.expires - now)
        update = MemberUpdate(attempt.held[key], finished, queued)
        grants = gate.update(self._name, me, update, now, self._uniform, several_hosts=self._several_hosts)
        attempt.granted |= {queued.waiter: (key, permit) for queued, permit in grants.granted}
        attempt.held[key] += len(grants.granted)
        (attempt.member_of.add if self._name in gate.members else attempt.member_of.discard)(key)
        result = attempt.result
        result.seen[key] = Seen(gate.limit, gate.in_flight - attempt.held[key])
        if finished and (ended_as := finished[-1][1]) is not None:
            result.changes.append((key, limit_before, ended_as))
        result.come_back_in(grants.next_in)
        result.wakeup_ports += grants.wakeup_ports

    def _expires(self, before: Member | None, now: float) -> float:
        latest = now + self._lease
        keeps = before is not None and latest - self._lease / _RENEW_SHARE < before.expires <= latest
        return before.expires if before is not None and keeps else latest
