"""Visits to the file of the gates, in a thread of their own."""

from __future__ import annotations

import os
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clova_ocr_async.client.ceiling import Ceiling, Entry, Outcome
from clova_ocr_async.client.line import Waiter
from clova_ocr_async.client.processes import Process
from clova_ocr_async.client.sharing.bell import ring
from clova_ocr_async.client.sharing.gate import LEASE, Landed, Member, Visit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from clova_ocr_async.client.runtime import Runtime
    from clova_ocr_async.client.sharing.file import SlotsFile
    from clova_ocr_async.client.sharing.gate import Limits, SharedGate

__all__ = ["Grant", "Report", "Visitor"]

_LOOK_FOR_THE_DEAD = 1.0  # seconds between two looks, while somebody waits

Grant = tuple[str, Entry]
"""A slot: the key of its domain, and how its call leaves."""


@dataclass(slots=True)
class Report:
    """What a visit brings home.

    Attributes:
        grants: Who may go, and with which slot.
        gates: What each gate is like: what is known of its ceiling, and the calls under way of all members.
        changes: The limit before what calls ended in was told, and what one of them ended in.
        wait: Seconds until the next call may leave, if that is all that keeps somebody from going.
        woken: Ports of those who are offered a slot.
    """

    grants: list[tuple[Waiter[Grant], Grant]] = field(default_factory=list[tuple[Waiter[Grant], Grant]])
    gates: dict[str, tuple[Ceiling, int]] = field(default_factory=dict[str, tuple[Ceiling, int]])
    changes: list[tuple[str, int, Outcome]] = field(default_factory=list[tuple[str, int, Outcome]])
    wait: float | None = None
    woken: list[int] = field(default_factory=list[int])


class Visitor:
    """Visits the gates for one process. What the event loop says to it, it says between two visits.

    Args:
        file: Where the gates are.
        runtime: Time and randomness.

    Attributes:
        limits: What is known of each domain, by its key.
        landed: Slots that were given back, by the key of their domain, and what their calls ended in.
        waiting: Who waits for each domain, the first one first; replaced as a whole.
        port: Where the process can be woken.
    """

    def __init__(self, file: SlotsFile, runtime: Runtime) -> None:
        self.limits: dict[str, Limits] = {}
        self.landed: deque[tuple[str, Landed]] = deque()
        self.waiting: Mapping[str, Sequence[Waiter[Grant]]] = {}
        self.port = 0
        self._file = file
        self._runtime = runtime
        self._held: Counter[str] = Counter()
        self._at: set[str] = set()
        self._looked = float("-inf")
        self._name = ""
        self._process = Process("", 0, "")

    def visit(self) -> Report:
        """Tell what has ended, and get slots for those who wait."""
        landed = [self.landed.popleft() for _ in range(len(self.landed))]
        waiting, report = self.waiting, Report()
        for key, _ in landed:
            self._held[key] -= 1
        keys = {*waiting, *(key for key, _ in landed), *self._at}
        if keys:
            with self._file.gates(keys) as gates:
                if waiting:
                    self._dismiss_gone(gates.values())
                for key in sorted(gates, key=lambda key: gates[key].in_flight - gates[key].ceiling.limit):
                    self._visit(key, gates[key], [what for where, what in landed if where == key], waiting, report)
        if not self._at:
            self._file.close()
        ring(report.woken)
        return report

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
        landed: Sequence[Landed],
        waiting: Mapping[str, Sequence[Waiter[Grant]]],
        report: Report,
    ) -> None:
        before, me = gate.ceiling.limit, self._member()
        left = [waiter for waiter in waiting.get(key, ()) if not waiter.taken and not waiter.granted.done()]
        answers = gate.visit(self._name, me, Visit(self._held[key], landed, left), self.limits[key], self._runtime)
        for waiter, entry in answers.granted:
            waiter.taken = True
            report.grants.append((waiter, (key, entry)))
        self._held[key] += len(answers.granted)
        (self._at.add if self._name in gate.members else self._at.discard)(key)
        report.gates[key] = (gate.ceiling, gate.in_flight)
        if landed and (outcome := landed[-1][1]) is not None:
            report.changes.append((key, before, outcome))
        if answers.wait is not None:
            report.wait = min(answers.wait, report.wait or answers.wait)
        report.woken += answers.woken

    def _member(self) -> Member:
        if self._process.pid != os.getpid():  # the first visit, or the first after a fork
            self._process, self._name = Process.this(), uuid.uuid4().hex
        return Member(self._process, self.port, self._runtime.clock() + LEASE)
