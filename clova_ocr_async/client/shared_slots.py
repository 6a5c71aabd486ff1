"""Slots for the calls of all processes of a host: the gate of ``slots``, kept in a file.

Who comes and goes at a gate is decided by ``sharing.gate``, in a transaction of ``sharing.file``, in a thread of its
own, so that the event loop never waits for a file. One visit to the file tells what became of the calls that have
ended, and gets slots for those who wait; what comes up meanwhile goes with the next visit. Whom a visit leaves a slot
for is woken by ``sharing.bell``, so that nobody has to look again and again; once a second whoever waits looks all the
same, for a ring may be lost, and processes die. While no call waits or is under way, nothing is held open.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self

from clova_ocr_async.client.ceiling import Refusal
from clova_ocr_async.client.line import Line, Waiter
from clova_ocr_async.client.runtime import Runtime
from clova_ocr_async.client.sharing.bell import Bell
from clova_ocr_async.client.sharing.file import SlotsFile, default_path
from clova_ocr_async.client.sharing.gate import LEASE, Limits
from clova_ocr_async.client.sharing.visits import Grant, Report, Visitor
from clova_ocr_async.client.slots import GateState, checked_limits, log_change
from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from clova_ocr_async.client.ceiling import Ceiling, Outcome
    from clova_ocr_async.client.domain import Domain
    from clova_ocr_async.client.slots import Lane

__all__ = ["SharedSlots"]

_MOST_AT_ONCE = 64  # who waits further back than that gets no slot at one visit
_LOOK_AGAIN = 1.0  # seconds, more or less
_LOOK_WHEN_DEAF = 0.05  # seconds, where nobody can be woken
_RENEW = LEASE / 3  # seconds


class SharedSlots:
    """Slots for the calls of all processes of this host that use the same file.

    One may serve several clients of an event loop. It needs no closing.

    Args:
        path: The file; in the platform's folder for the state of a user's programs if not given. It keeps what was
            learned of each domain, under a hash of its invoke URL, and who is calling; no secret, and nothing of the
            images.
        concurrency: Calls at once per domain, if that is known: then not more are tried. A domain's own
            ``max_concurrency`` wins.
        max_per_second: Calls a second per domain at most; None for no bound. A domain's own ``max_per_second`` wins.
        runtime: Time and randomness. All processes must share its clock, as they do the default one.

    Raises:
        ConfigurationError: ``concurrency`` is no whole number from 1, or ``max_per_second`` no positive number.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        concurrency: int | None = None,
        max_per_second: float | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 - immutable
    ) -> None:
        self._defaults = Limits(*checked_limits(concurrency, max_per_second))
        self._runtime = runtime
        self._domains: dict[str, Domain] = {}
        self._line: Line[Grant] = Line()
        self._out: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._seen: dict[str, tuple[Ceiling, int]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._bell = Bell()
        file = SlotsFile(default_path() if path is None else Path(path), runtime.clock)
        self._visitor = Visitor(file, runtime)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clova-ocr-slots")
        self._visit_ordered = False

    def slot(self, domains: Sequence[Domain], lane: Lane, since: float) -> _SharedSlot:
        """Wait for a slot and hold it."""
        for domain in domains:
            self._meet(domain)
        return _SharedSlot(self, [domain.key for domain in domains], interactive=lane == "interactive", since=since)

    def state(self, domain: Domain) -> GateState:
        """Return how a domain's gate stands, as last seen."""
        limits, own = self._meet(domain), self._out[domain.key]
        ceiling, in_flight = self._seen.get(domain.key, (limits.first_ceiling(), own))
        return GateState(
            ceiling=limits.applied_to(ceiling),
            in_flight=own,
            elsewhere=max(0, in_flight - own),
            waiting=self._line.length(domain.key),
            rejections=self._refused[domain.key],
            pace=ceiling.pace.rate,
        )

    def domain(self, key: str) -> Domain:
        """Return a domain that slots were asked of, by its key."""
        return self._domains[key]

    def _meet(self, domain: Domain) -> Limits:
        if domain.key not in self._domains:
            self._domains[domain.key] = domain
            self._visitor.limits[domain.key] = Limits(
                domain.max_concurrency or self._defaults.most,
                domain.max_per_second or self._defaults.most_per_second,
            )
        return self._visitor.limits[domain.key]

    async def take(self, keys: Sequence[str], *, interactive: bool, since: float) -> Grant:
        """Wait for a slot of one of several domains, and take it."""
        self._arrive()
        waiter = Waiter[Grant](keys, interactive=interactive, since=since)
        self._line.join(waiter)
        self._look()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.cancel() or waiter.granted.cancelled():
                self._line.leave(waiter)
                self._leave()
            else:
                self.give_back(waiter.granted.result(), None)
            raise

    def give_back(self, grant: Grant, outcome: Outcome | None) -> None:
        """Give a slot back, and tell what its call ended in; None if nobody knows whether it was let in."""
        key, entry = grant
        self._out[key] -= 1
        self._refused[key] += isinstance(outcome, Refusal)
        self._visitor.landed.append((key, (entry, outcome)))
        self._leave()

    def _arrive(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._is_busy():
                raise ConfigurationError("the slots are in use in another event loop; make a SharedSlots in each")
            self._loop = loop
        self._bell.listen(loop, self._look)

    def _leave(self) -> None:
        self._look()
        if not self._is_busy():
            # At once, and not when the visit is over: the loop may be closed by then.
            self._bell.close()

    def _is_busy(self) -> bool:
        return any(self._out.values()) or any(self._line.length(key) for key in self._domains)

    def _look(self) -> None:
        """Have the file visited, unless a visit is ordered that has not begun."""
        lines = {key: self._line.first_ones(key, _MOST_AT_ONCE) for key in self._domains if self._line.length(key)}
        self._visitor.waiting, self._visitor.port = lines, self._bell.port
        if not self._visit_ordered and self._loop is not None:
            self._visit_ordered = True
            self._thread.submit(self._visit, self._loop)

    def _visit(self, loop: asyncio.AbstractEventLoop) -> None:
        self._visit_ordered = False  # before it is looked who waits: whoever comes later orders another one
        try:
            report: Report | Exception = self._visitor.visit()
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to but those who wait
            report = error
        try:
            loop.call_soon_threadsafe(self._take_home, report)
        except RuntimeError:
            # The loop is closed, and everybody gone who waited in it.
            if isinstance(report, Report) and report.grants:
                self._visitor.waiting = {}
                self._visitor.landed.extend((key, (entry, None)) for _, (key, entry) in report.grants)
                self._visitor.visit()

    def _take_home(self, report: Report | Exception) -> None:
        if isinstance(report, Exception):
            self._fail(report)
            return
        self._seen |= report.gates
        for waiter, grant in report.grants:
            self._out[grant[0]] += 1
            if waiter.granted.done():
                self.give_back(grant, None)
            else:
                waiter.granted.set_result(grant)
                self._line.leave(waiter)
        for key, before, outcome in report.changes:
            log_change(self._domains[key], before, report.gates[key][0], outcome)
        self._look_later(report.wait)

    def _fail(self, error: Exception) -> None:
        for key in self._domains:
            while (waiter := self._line.first(key)) is not None:
                waiter.granted.set_exception(error)
                self._line.leave(waiter)

    def _look_later(self, wait: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._loop is None or not self._is_busy():
            return
        delay = _RENEW
        if any(self._line.length(key) for key in self._domains):
            delay = _LOOK_AGAIN if self._bell.port else _LOOK_WHEN_DEAF
            delay = min(wait or delay, self._runtime.uniform(0.75 * delay, 1.25 * delay))
        self._timer = self._loop.call_later(delay, self._look)


class _SharedSlot:
    """One slot: waited for, held, given back."""

    __slots__ = ("_grant", "_interactive", "_keys", "_outcome", "_since", "_slots")

    def __init__(self, slots: SharedSlots, keys: list[str], *, interactive: bool, since: float) -> None:
        self._slots = slots
        self._keys = keys
        self._interactive = interactive
        self._since = since
        self._outcome: Outcome | None = None

    @property
    def domain(self) -> Domain:
        """The domain the call goes to."""
        return self._slots.domain(self._grant[0])

    def admitted(self) -> None:
        """Note that the service let the call in."""
        self._outcome = "admitted"

    def refused(self, refusal: Refusal) -> None:
        """Note that the service refused the call."""
        self._outcome = refusal

    async def __aenter__(self) -> Self:
        self._grant = await self._slots.take(self._keys, interactive=self._interactive, since=self._since)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._slots.give_back(self._grant, self._outcome)
