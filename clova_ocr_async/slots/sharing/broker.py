"""Where the calls of one event loop wait for the slots that its process shares with others."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from clova_ocr_async.slots.interface import GateState, log_limit_change
from clova_ocr_async.slots.limit import LimitSignal
from clova_ocr_async.slots.queue import Waiter, WaitQueue
from clova_ocr_async.slots.sharing.state import LEASE
from clova_ocr_async.slots.sharing.sync import GateSync, Grant, SyncResult
from clova_ocr_async.slots.sharing.wakeup import WakeupSocket

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.host.runtime import Runtime
    from clova_ocr_async.slots.limit import ConcurrencyLimit, SlotResult
    from clova_ocr_async.slots.sharing.state import Limits

__all__ = ["SlotBroker"]

_MOST_AT_ONCE = 64  # who waits further back than that gets no slot at one visit
_LOOK_AGAIN = 1.0  # seconds, more or less
_LOOK_WHEN_DEAF = 0.05  # seconds, where nobody can be woken
_RENEW = LEASE / 3  # seconds


class SlotBroker:
    """Hands out what the visits to the file bring home.

    Args:
        domains: The domains, by their keys; may grow.
        visitor: Visits the file.
        runtime: Randomness.
    """

    def __init__(self, domains: Mapping[str, Domain], visitor: GateSync, runtime: Runtime) -> None:
        self._domains = domains
        self._visitor = visitor
        self._runtime = runtime
        self._line: WaitQueue[Grant] = WaitQueue()
        self._out: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._seen: dict[str, tuple[ConcurrencyLimit, int]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._bell = WakeupSocket()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clova-ocr-slots")
        self._visit_ordered = False
        self._look_ordered = False
        self._unknown = False
        self._reports: deque[SyncResult | Exception] = deque()
        self._closed = False

    def state(self, key: str, limits: Limits) -> GateState:
        """Return how a domain's gate stands, as last seen.

        Args:
            key: The domain's.
            limits: What is known of it.
        """
        ceiling, elsewhere = self._seen.get(key, (limits.first_ceiling(), 0))
        return GateState(
            ceiling=limits.applied_to(ceiling),
            in_flight=self._out[key],
            elsewhere=elsewhere,
            waiting=self._line.length(key),
            rejections=self._refused[key],
            pace=ceiling.pace.rate,
        )

    def serve(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Serve a running loop from now on; return False if there are calls of another one."""
        if self._loop is not loop and self._is_busy():
            return False
        self._loop = loop
        return True

    def outlived(self) -> bool:
        """Whether its loop was closed over its calls."""
        return self._loop is not None and self._loop.is_closed()

    async def take(self, keys: Sequence[str], *, interactive: bool, since: float) -> Grant:
        """Wait for a slot of one of several domains, and take it."""
        loop = asyncio.get_running_loop()
        waiter = Waiter[Grant](keys, interactive=interactive, since=since)
        self._line.join(waiter)
        self._unknown = True
        self._bell.listen(loop, self._look)
        if self._may_be_next(waiter):
            self._look()
        try:
            return await waiter.granted
        except BaseException:
            self._withdraw(waiter)
            raise

    def give_back(self, grant: Grant, outcome: SlotResult | None) -> None:
        """Give a slot back, and tell what its call ended in; None if nobody knows whether it was let in."""
        key, entry = grant
        self._out[key] -= 1
        self._refused[key] += isinstance(outcome, LimitSignal)
        self._visitor.landed.append((key, (entry, outcome)))
        self._leave()

    def close(self) -> None:
        """Give everything back, for good: its loop is closed, and who still comes from there is not heard."""
        self._closed = True
        self._bell.close()
        self._thread.submit(self._visitor.leave)
        self._thread.shutdown(wait=False)

    def let_go(self) -> None:
        """Touch nothing any more: after a fork it is all the parent's."""
        self._closed = True
        self._bell.let_go()

    def _withdraw(self, waiter: Waiter[Grant]) -> None:
        with suppress(RuntimeError):  # a closed loop, of which the task is swept up
            waiter.granted.cancel()
        if waiter.granted.cancelled():
            self._line.leave(waiter)
            self._leave()
        elif waiter.granted.exception() is None:
            self.give_back(waiter.granted.result(), None)

    def _leave(self) -> None:
        loop = self._loop
        if loop is not None and self._is_busy() and not loop.is_closed():
            self._look_soon(loop)
            return
        self._look()
        if not self._is_busy():
            # At once, and not when the visit is over: the loop may be closed by then.
            self._bell.close()

    def _is_busy(self) -> bool:
        return any(self._out.values()) or self._is_awaited()

    def _is_awaited(self) -> bool:
        return any(self._line.length(key) for key in self._domains)

    def _may_be_next(self, waiter: Waiter[Grant]) -> bool:
        """Whether somebody who has come goes before one of whom the visitor knows, or those are all served."""
        return any(self._is_used_up(key) or waiter < self._visitor.waiting[key][-1] for key in waiter.domains)

    def _is_used_up(self, key: str) -> bool:
        """Whether all are served of whom the visitor knows."""
        return all(waiter.granted.done() for waiter in self._visitor.waiting.get(key, ()))

    def _look_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the file visited once for all who come and go in one turn of the loop."""
        if not self._look_ordered:
            self._look_ordered = True
            loop.call_soon(self._look)

    def _look(self) -> None:
        """Have the file visited, unless a visit is ordered that has not begun."""
        self._look_ordered = False
        if self._unknown or not self._is_awaited():
            lines = {key: self._line.first_ones(key, _MOST_AT_ONCE) for key in self._domains if self._line.length(key)}
            self._visitor.waiting = lines
            self._unknown = any(len(ones) == _MOST_AT_ONCE for ones in lines.values())
        self._visitor.port = self._bell.port
        if not self._visit_ordered and not self._closed:
            self._visit_ordered = True
            self._thread.submit(self._visit)

    def _visit(self) -> None:
        self._visit_ordered = False  # before it is looked who waits: whoever comes later orders another one
        try:
            self._reports.append(self._visitor.visit())
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to but those who wait
            self._reports.append(error)
        assert self._loop is not None  # noqa: S101 - for the type checkers
        try:
            self._loop.call_soon_threadsafe(self._take_home)
        except RuntimeError:
            # The loop is closed, and everybody gone who waited in it.
            for report in self._pop_reports():
                if isinstance(report, SyncResult):
                    self._visitor.return_unclaimed(report)

    def _take_home(self) -> None:
        """Hand out what was brought, in this loop or when the one before had no time for it."""
        for report in self._pop_reports():
            if isinstance(report, SyncResult):
                self._hand_out(report)
            else:
                self._fail(report)

    def _pop_reports(self) -> Iterator[SyncResult | Exception]:
        with suppress(IndexError):  # the loop and the thread may both be at it
            while True:
                yield self._reports.popleft()

    def _hand_out(self, report: SyncResult) -> None:
        self._seen |= report.gates
        for waiter, grant in report.grants:
            self._out[grant[0]] += 1
            if waiter.granted.done():
                self.give_back(grant, None)
            else:
                waiter.granted.set_result(grant)
                self._line.leave(waiter)
        for key, before, outcome in report.changes:
            log_limit_change(self._domains[key], before, report.gates[key][0], outcome)
        self._look_later(report.wait)
        if self._is_short_of_waiters():
            self._look()

    def _is_short_of_waiters(self) -> bool:
        """Whether all are served that the visitor knew of, and there may be slots for others."""
        return self._unknown and any(self._is_used_up(key) for key, known in self._visitor.waiting.items() if known)

    def _fail(self, error: Exception) -> None:
        for key in self._domains:
            while (waiter := self._line.first(key)) is not None:
                waiter.granted.set_exception(error)
                self._line.leave(waiter)
        if not self._is_busy():
            self._bell.close()
        self._look_later(None)

    def _look_later(self, wait: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._loop is not None and self._is_busy():
            self._timer = self._loop.call_later(self._delay(wait), self._look)

    def _delay(self, wait: float | None) -> float:
        if not self._is_awaited():
            return _RENEW
        delay = _LOOK_AGAIN if self._bell.port else _LOOK_WHEN_DEAF
        return min(wait or delay, self._runtime.uniform(0.75 * delay, 1.25 * delay))
