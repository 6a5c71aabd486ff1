"""Visits to the file of the gates, in a thread of their own."""

from __future__ import annotations

import os
import threading
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clova_ocr_async.host.processes import Process
from clova_ocr_async.slots.limit import ConcurrencyLimit, Permit, SlotResult
from clova_ocr_async.slots.queue import Waiter
from clova_ocr_async.slots.sharing.state import LEASE, FinishedCall, Member, MemberUpdate
from clova_ocr_async.slots.sharing.wakeup import ring

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from clova_ocr_async.host.runtime import Runtime
    from clova_ocr_async.slots.sharing.sqlite_store import SlotsFile
    from clova_ocr_async.slots.sharing.state import Limits, SharedGate

__all__ = ["GateSync", "Grant", "SyncResult"]

_LOOK_FOR_THE_DEAD = 0.5  # seconds between two looks; less than between two visits of somebody who waits

_visiting = threading.Lock()
# A fork in the middle of a visit would leave SQLite's own locks held in the child, for ever. Windows forks nothing.
getattr(os, "register_at_fork", dict)(
    before=_visiting.acquire, after_in_parent=_visiting.release, after_in_child=_visiting.release
)

Grant = tuple[str, Permit]
"""A slot: the key of its domain, and how its call leaves."""


@dataclass(slots=True)
class SyncResult:
    """What a visit brings home.

    Attributes:
        grants: Who may go, and with which slot.
        gates: What each gate is like: what is known of its ceiling, and the calls under way of other members.
        changes: The limit before what calls ended in was told, and what one of them ended in.
        wait: Seconds until it should be looked again, if somebody may go then though nobody is woken for him.
        woken: Ports of those who are offered a slot.
    """

    grants: list[tuple[Waiter[Grant], Grant]] = field(default_factory=list[tuple[Waiter[Grant], Grant]])
    gates: dict[str, tuple[ConcurrencyLimit, int]] = field(default_factory=dict[str, tuple[ConcurrencyLimit, int]])
    changes: list[tuple[str, int, SlotResult]] = field(default_factory=list[tuple[str, int, SlotResult]])
    wait: float | None = None
    woken: list[int] = field(default_factory=list[int])


class GateSync:
    """Visits the gates for one process. What the event loop says to it, it says between two visits.

    Args:
        file: Where the gates are.
        limits: What is known of each domain, by its key; may grow.
        runtime: Time and randomness.

    Attributes:
        landed: Slots that were given back, by the key of their domain, and what their calls ended in.
        waiting: Who waits for each domain, the first one first; replaced as a whole.
        port: Where the process can be woken.
    """

    def __init__(self, file: SlotsFile, limits: Mapping[str, Limits], runtime: Runtime) -> None:
        self.landed: deque[tuple[str, FinishedCall]] = deque()
        self.waiting: Mapping[str, Sequence[Waiter[Grant]]] = {}
        self.port = 0
        self._file = file
        self._limits = limits
        self._runtime = runtime
        self._held: Counter[str] = Counter()
        self._at: set[str] = set()
        self._looked = float("-inf")
        self._name = ""
        self._process = Process("", 0, "")

    def visit(self) -> SyncResult:
        """Tell what has ended, and get slots for those who wait.

        Raises:
            OSError: And others, if something is wrong that the file does not make up for.
        """
        return self._go_round(self.waiting)

    def return_unclaimed(self, report: SyncResult) -> None:
        """Give back what a visit got for those who are gone, with their event loop."""
        if report.grants:
            self.landed.extend((key, (entry, None)) for _, (key, entry) in report.grants)
            self._go_round({})

    def leave(self) -> None:
        """Give back everything, for all who are gone with their event loop."""
        self.landed.clear()
        self._held.clear()
        self._go_round({})

    def _go_round(self, waiting: Mapping[str, Sequence[Waiter[Grant]]]) -> SyncResult:
        landed = [self.landed.popleft() for _ in range(len(self.landed))]
        for key, _ in landed:
            self._held[key] -= 1
        keys = list(dict.fromkeys([*waiting, *(key for key, _ in landed), *self._at]))
        held, report = self._held.copy(), SyncResult()
        try:
            with _visiting:
                if keys:
                    self._visit_all(keys, landed, waiting, report)
                if not self._at:
                    self._file.close()
        except BaseException:
            # Nobody gets what was taken, and where this one is a member is not known.
            self._held, self._at = held, self._at.union(keys)
            raise
        ring(report.woken)
        return report

    def _visit_all(
        self,
        keys: Sequence[str],
        landed: Sequence[tuple[str, FinishedCall]],
        waiting: Mapping[str, Sequence[Waiter[Grant]]],
        report: SyncResult,
    ) -> None:
        self._know_itself()
        with self._file.gates(keys) as gates:
            if waiting:
                self._dismiss_gone(gates.values())
            for key in sorted(gates, key=lambda key: self._free(key, gates[key]), reverse=True):
                self._visit(key, gates[key], [what for where, what in landed if where == key], waiting, report)

    def _free(self, key: str, gate: SharedGate) -> int:
        return self._limits[key].applied_to(gate.ceiling) - gate.in_flight

    def _dismiss_gone(self, gates: Iterable[SharedGate]) -> None:
        now = self._runtime.clock()
        if now - self._looked >= _LOOK_FOR_THE_DEAD:
            self._looked = now
            for gate in gates:
                gate.dismiss_gone(self._process, now, self._name)

    def _visit(
        self,
        key: str,
        gate: SharedGate,
        landed: Sequence[FinishedCall],
        waiting: Mapping[str, Sequence[Waiter[Grant]]],
        report: SyncResult,
    ) -> None:
        before = gate.ceiling.limit
        me = Member(self._process, self.port, self._runtime.clock() + LEASE, self._limits[key])
        left = [waiter for waiter in waiting.get(key, ()) if not waiter.taken and not waiter.granted.done()]
        answers = gate.visit(self._name, me, MemberUpdate(self._held[key], landed, left), self._runtime)
        for waiter, entry in answers.granted:
            waiter.taken = True
            report.grants.append((waiter, (key, entry)))
        self._held[key] += len(answers.granted)
        (self._at.add if self._name in gate.members else self._at.discard)(key)
        report.gates[key] = (gate.ceiling, gate.in_flight - self._held[key])
        if landed and (outcome := landed[-1][1]) is not None:
            report.changes.append((key, before, outcome))
        if answers.wait is not None:
            report.wait = min(answers.wait, report.wait or answers.wait)
        report.woken += answers.woken

    def _know_itself(self) -> None:
        if not self._name:  # before the first visit, and not when it is made: a fork may lie between
            self._process, self._name = Process.this(), uuid.uuid4().hex
