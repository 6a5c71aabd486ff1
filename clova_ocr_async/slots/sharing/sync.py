"""Synchronisation of one process with the store of the shared slots."""

from __future__ import annotations

import os
import threading
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from clova_ocr_async.host.processes import Process
from clova_ocr_async.slots.limit import ConcurrencyLimit, Permit, SlotResult
from clova_ocr_async.slots.queue import Priority, Waiter
from clova_ocr_async.slots.sharing.state import LEASE, FinishedCall, Member, MemberUpdate
from clova_ocr_async.slots.sharing.store import transaction
from clova_ocr_async.slots.sharing.wakeup import wake

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clova_ocr_async.host.runtime import Runtime
    from clova_ocr_async.slots.sharing.state import Limits, SharedGate
    from clova_ocr_async.slots.sharing.store import GateStore

__all__ = ["GateSync", "Grant", "SyncResult"]

_EVICT_EVERY = 0.5  # seconds between two looks for dead members; less than between two syncs of a process that waits

_in_transaction = threading.Lock()
# A fork in the middle of a transaction would leave SQLite's own locks held in the child, for ever. Windows has no fork.
getattr(os, "register_at_fork", dict)(
    before=_in_transaction.acquire, after_in_parent=_in_transaction.release, after_in_child=_in_transaction.release
)

Grant = tuple[str, Permit]
"""A slot: the key of its domain, and the permit to send one call."""


@dataclass(slots=True)
class SyncResult:
    """The result of a sync.

    Attributes:
        grants: The waiters that get a slot.
        seen: The limit of each domain, and the calls in flight of other members.
        changes: For each domain with finished calls, the limit before, and the result of one of the calls.
        next_in: Seconds until the next sync, if a waiter may get a slot then without the process being woken.
        wakeup_ports: Ports of the members to wake.
    """

    grants: list[tuple[Waiter[Grant], Grant]] = field(default_factory=list[tuple[Waiter[Grant], Grant]])
    seen: dict[str, tuple[ConcurrencyLimit, int]] = field(default_factory=dict[str, tuple[ConcurrencyLimit, int]])
    changes: list[tuple[str, int, SlotResult]] = field(default_factory=list[tuple[str, int, SlotResult]])
    next_in: float | None = None
    wakeup_ports: list[int] = field(default_factory=list[int])


class _Queued(NamedTuple):
    """A waiter with its priority by the store's clock."""

    waiter: Waiter[Grant]
    priority: Priority


class GateSync:
    """The member that this process is of each domain in the store. Its methods run in a thread.

    Args:
        store: The store.
        limits: The limits that the user gave for each domain, by its key; may grow.
        runtime: Time and randomness.

    Attributes:
        finished: Released slots, by the key of their domain, with the results of their calls; the event loop appends.
        waiting: The waiters of each domain, the first one first; the event loop replaces it as a whole.
        wakeup_port: The port where the process can be woken.
    """

    def __init__(self, store: GateStore, limits: Mapping[str, Limits], runtime: Runtime) -> None:
        self.finished: deque[tuple[str, FinishedCall]] = deque()
        self.waiting: Mapping[str, Sequence[Waiter[Grant]]] = {}
        self.wakeup_port = 0
        self._store = store
        self._limits = limits
        self._runtime = runtime
        self._held: Counter[str] = Counter()
        self._member_of: set[str] = set()
        self._evicted_at = float("-inf")
        self._name = ""
        self._process = Process("", 0, "")

    def run(self) -> SyncResult:
        """Report the finished calls, and get slots for the waiters.

        Raises:
            OSError: And others, for an error that the store does not make up for.
        """
        return self._sync(self.waiting)

    def release_unclaimed(self, result: SyncResult) -> None:
        """Release the slots of a sync whose waiters are gone, with their event loop."""
        if result.grants:
            self.finished.extend((key, (permit, None)) for _, (key, permit) in result.grants)
            self._sync({})

    def release_all(self) -> None:
        """Release everything, as all calls are gone with their event loop."""
        self.finished.clear()
        self._held.clear()
        self._sync({})

    def _sync(self, waiting: Mapping[str, Sequence[Waiter[Grant]]]) -> SyncResult:
        # A fixed number: the event loop may append meanwhile, and those calls go with the next sync.
        finished = [self.finished.popleft() for _ in range(len(self.finished))]
        for key, _ in finished:
            self._held[key] -= 1
        # Where the process is a member it also syncs without news, which renews its lease.
        keys = list(dict.fromkeys([*waiting, *(key for key, _ in finished), *self._member_of]))
        held, result = self._held.copy(), SyncResult()
        try:
            with _in_transaction:
                if keys:
                    self._sync_all(keys, finished, waiting, result)
                if not self._member_of:
                    self._store.close()
        except BaseException:
            # The slots of this sync reach no waiter, and it is unknown of which domains the process is a member now.
            self._held, self._member_of = held, self._member_of.union(keys)
            raise
        wake(result.wakeup_ports)
        return result

    def _sync_all(
        self,
        keys: Sequence[str],
        finished: Sequence[tuple[str, FinishedCall]],
        waiting: Mapping[str, Sequence[Waiter[Grant]]],
        result: SyncResult,
    ) -> None:
        if not self._name:  # with the first sync, and not in the constructor: a fork may lie between the two
            # A process may be several members, one for each object and event loop, so its pid is not a name.
            self._process, self._name = Process.this(), uuid.uuid4().hex
        with transaction(self._store, keys) as gates:
            now = self._store.now()
            # Waiters have their time from this process's clock. Rounded, since reading two clocks takes a moment.
            ahead = round(now - self._runtime.clock(), 3)
            # To look for dead members reads /proc once for each, and only waiters gain by their slots.
            if waiting and now - self._evicted_at >= _EVICT_EVERY:
                self._evicted_at = now
                for gate in gates.values():
                    gate.evict_dead(self._process, now, self._name)
            # A waiter of several domains goes where most slots are free, so that domain is served first.
            for key in sorted(gates, key=lambda key: self._free(key, gates[key]), reverse=True):
                queued = [
                    _Queued(one, (one.priority[0], one.priority[1] + ahead, one.priority[2]))
                    for one in waiting.get(key, ())
                    # A slot of another domain, or of the sync before, may be on its way to the waiter.
                    if not one.reserved and not one.granted.done()
                ]
                ended = [call for where, call in finished if where == key]
                self._sync_one(key, gates[key], MemberUpdate(self._held[key], ended, queued), now, result)

    def _free(self, key: str, gate: SharedGate) -> int:
        return self._limits[key].applied_to(gate.limit) - gate.in_flight

    def _sync_one(
        self, key: str, gate: SharedGate, update: MemberUpdate[_Queued], now: float, result: SyncResult
    ) -> None:
        before = gate.limit.value
        me = Member(self._process, self.wakeup_port, now + LEASE, self._limits[key])
        grants = gate.update(self._name, me, update, now, self._runtime.uniform)
        for queued, permit in grants.granted:
            queued.waiter.reserved = True
            result.grants.append((queued.waiter, (key, permit)))
        self._held[key] += len(grants.granted)
        (self._member_of.add if self._name in gate.members else self._member_of.discard)(key)
        result.seen[key] = (gate.limit, gate.in_flight - self._held[key])
        if update.finished and (ended_as := update.finished[-1][1]) is not None:
            result.changes.append((key, before, ended_as))
        if grants.next_in is not None:
            result.next_in = min(grants.next_in, result.next_in or grants.next_in)
        result.wakeup_ports += grants.wakeup_ports
