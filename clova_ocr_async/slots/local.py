"""Slots for the calls of one process."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Self

from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.slots.interface import GateState, HeldSlot, Lane, checked_limits, log_limit_change, min_or_none
from clova_ocr_async.slots.limit import ConcurrencyLimit, Permit, SlotResult
from clova_ocr_async.slots.queue import Waiter, WaitQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.domains.domain import Domain

__all__ = ["LocalSlots"]


class LocalSlots:
    """Slots for the calls of one process, as many as the service turns out to allow.

    Args:
        concurrency: Calls at once per domain, if that is known: then not more are tried. Beside a domain's own
            ``max_concurrency`` the lower one counts.
        max_per_second: Calls a second per domain at most; None for no bound. Beside a domain's the lower one counts.
        runtime: Time and randomness.

    Raises:
        ConfigurationError: ``concurrency`` is no whole number from 1, or ``max_per_second`` no positive number.
    """

    def __init__(
        self,
        concurrency: int | None = None,
        *,
        max_per_second: float | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 - immutable
    ) -> None:
        self._concurrency, self._max_per_second = checked_limits(concurrency, max_per_second)
        self._runtime = runtime
        self._gates: dict[str, _Gate] = {}
        self._line: WaitQueue[_Grant] = WaitQueue()

    def slot(self, domains: Sequence[Domain], lane: Lane, since: float) -> _LocalSlot:
        """Wait for a slot and hold it."""
        gates = [self._gate(domain) for domain in domains]
        return _LocalSlot(domains, gates, self._line, interactive=lane == "interactive", since=since)

    def state(self, domain: Domain) -> GateState:
        """Return how a domain's gate stands."""
        return self._gate(domain).state()

    def _gate(self, domain: Domain) -> _Gate:
        gate = self._gates.get(domain.key)
        if gate is None:
            gate = self._gates[domain.key] = _Gate(
                domain,
                self._line,
                self._runtime,
                most=min_or_none(domain.max_concurrency, self._concurrency),
                most_per_second=min_or_none(domain.max_per_second, self._max_per_second),
            )
        return gate


class _Gate:
    """The gate of one domain."""

    def __init__(
        self,
        domain: Domain,
        line: WaitQueue[_Grant],
        runtime: Runtime,
        *,
        most: int | None,
        most_per_second: float | None,
    ) -> None:
        self.domain = domain
        self.key = domain.key
        self._line = line
        self._runtime = runtime
        self._most = most
        self._most_per_second = most_per_second
        self._ceiling = ConcurrencyLimit() if most is None else ConcurrencyLimit.known(most)
        self._in_flight = 0
        self._alarm: asyncio.Task[None] | None = None

    def state(self) -> GateState:
        """Return how it stands."""
        return GateState(
            ceiling=self._limit(),
            in_flight=self._in_flight,
            waiting=self._line.length(self.key),
            rejections=self._ceiling.rejections,
            pace=self._ceiling.pace.rate,
        )

    def _limit(self) -> int:
        return self._ceiling.limit if self._most is None else min(self._ceiling.limit, self._most)

    def free(self) -> int:
        """Return how many slots nobody holds or waits for."""
        return self._limit() - self._in_flight - self._line.length(self.key)

    def is_open(self) -> bool:
        """Whether a call may go through now: nobody waits whom it would overtake."""
        full = self._in_flight >= self._limit() or self._line.length(self.key)
        return not full and not self._ceiling.pace.wait(self._runtime.clock())

    def enter(self) -> Permit:
        """Let a call through."""
        entry = self._ceiling.enter(self._in_flight, self._runtime.clock(), self._most_per_second, self._most)
        self._in_flight += 1
        return entry

    def leave(self, entry: Permit, outcome: SlotResult | None) -> None:
        """Take a slot back; the outcome is None if nobody knows whether the call was let in."""
        self._in_flight -= 1
        if outcome is not None:
            before = self._ceiling.limit
            self._ceiling.settle(entry, outcome, self._runtime, self._most)
            log_limit_change(self.domain, before, self._ceiling, outcome)
        self.let_through()

    def let_through(self, now: float = -math.inf) -> None:
        """Give what is free to those who wait.

        Args:
            now: What time it is at least.
        """
        while (waiter := self._line.first(self.key)) is not None and self._in_flight < self._limit():
            now = max(now, self._runtime.clock())
            if wait := self._ceiling.pace.wait(now):
                self._ring_after(wait, now)
                return
            waiter.granted.set_result((self, self.enter()))
            self._line.leave(waiter)

    def _ring_after(self, wait: float, now: float) -> None:
        if self._alarm is None:
            self._alarm = asyncio.create_task(self._ring(wait, now + wait))

    async def _ring(self, wait: float, due: float) -> None:
        try:
            await self._runtime.sleep(wait)
        finally:
            self._alarm = None  # also when it is cancelled at the end of its loop: these slots may serve in the next
        self.let_through(due)  # whoever sleeps by another clock has slept enough as well


_Grant = tuple[_Gate, Permit]


class _LocalSlot(HeldSlot):
    """One slot: waited for, held, given back."""

    __slots__ = ("_domains", "_entry", "_gate", "_gates", "_interactive", "_line", "_since")

    def __init__(
        self, domains: Sequence[Domain], gates: list[_Gate], line: WaitQueue[_Grant], *, interactive: bool, since: float
    ) -> None:
        super().__init__()
        self._domains = domains
        self._gates = gates
        self._line = line
        self._interactive = interactive
        self._since = since

    async def __aenter__(self) -> Self:
        gate = self._open_gate()
        self._gate, self._entry = await self._queue() if gate is None else (gate, gate.enter())
        # The caller's own: another client may call the same domain with another secret.
        self.domain = self._domains[self._gates.index(self._gate)]
        return self

    def _open_gate(self) -> _Gate | None:
        if len(self._gates) == 1:
            return self._gates[0] if self._gates[0].is_open() else None
        return max(filter(_Gate.is_open, self._gates), key=_Gate.free, default=None)

    async def _queue(self) -> _Grant:
        waiter = Waiter[_Grant]([gate.key for gate in self._gates], interactive=self._interactive, since=self._since)
        self._line.join(waiter)
        for gate in self._gates:
            gate.let_through()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.cancel() or waiter.granted.cancelled():
                self._line.leave(waiter)
            else:
                gate, entry = waiter.granted.result()
                gate.leave(entry, None)
            raise

    async def __aexit__(self, *exc_info: object) -> None:
        self._gate.leave(self._entry, self.outcome)
