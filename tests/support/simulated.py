"""A simulated service that limits its calls, event by event: what the limit learns of it, without waiting."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from clova_ocr_async.slots.limit import ConcurrencyLimit, LimitSignal, Permit

if TYPE_CHECKING:
    from collections.abc import Callable

ROUND_TRIP = 0.005  # seconds until a refusal arrives


class Service(Protocol):
    """A service that limits calls."""

    def admits(self, now: float, running: int) -> bool:
        """Return whether one more call may run."""
        ...

    def refusal(self, now: float) -> LimitSignal:
        """Return the refusal of a call that may not."""
        ...


@dataclass
class AtOnce:
    """A service that takes so many calls at once, and names a number, right or wrong, or none.

    Attributes:
        ceiling: Calls at once, by the time.
        advertised: The number in its refusals, by the time.
        foreign: Running calls of other programs, by the time.
    """

    ceiling: Callable[[float], int]
    advertised: Callable[[float], int | None] = lambda _: None
    foreign: Callable[[float], int] = lambda _: 0

    def admits(self, now: float, running: int) -> bool:
        """Count."""
        return running + self.foreign(now) < self.ceiling(now)

    def refusal(self, now: float) -> LimitSignal:
        """Name the number."""
        return LimitSignal(self.advertised(now))


@dataclass
class Bucket:
    """A service that takes so many calls a second, by a token bucket.

    Attributes:
        rate: Calls a second.
        size: Calls that may come at once after a rest.
        signal: The content of its refusals.
    """

    rate: float
    size: float
    signal: LimitSignal
    tokens: float = field(init=False)
    filled: float = 0.0

    def __post_init__(self) -> None:
        self.tokens = self.size

    def admits(self, now: float, running: int) -> bool:
        """Take a token."""
        del running
        self.tokens = min(self.size, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def refusal(self, now: float) -> LimitSignal:
        """Return the same refusal always."""
        del now
        return self.signal


@dataclass
class Simulation:
    """Calls to a service, sent as fast as a limit allows.

    Attributes:
        service: The service.
        limit: The limit that learns.
        latency: Returns the seconds of the next call.
        max_concurrency: The user's bound on calls at once.
        uniform: Draws a float between two bounds.
        now: The time.
        refused: Refusals.
        tries: Most requests of one item.
        busy: Seconds of all calls that ran.
        limits: The limit after each event, with its time.
        most_running: Most calls that ran at once.
    """

    service: Service
    limit: ConcurrencyLimit
    latency: Callable[[], float]
    max_concurrency: int | None = None
    uniform: Callable[[float, float], float] = lambda low, high: (low + high) / 2
    now: float = 1000.0
    refused: int = 0
    tries: int = 0
    busy: float = 0.0
    limits: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    most_running: int = 0
    _queue: deque[list[int]] = field(default_factory=deque[list[int]])
    _events: list[tuple[float, int, Permit, LimitSignal | None, list[int]]] = field(default_factory=list[Any])
    _running: int = 0
    _numbers: Any = field(default_factory=itertools.count)

    def run(self, items: int) -> Simulation:
        """Process so many items; each is sent again, before all others, until it is let in."""
        self._queue.extend([0] for _ in range(items))
        while True:
            self._send()
            due = [self._events[0][0]] if self._events else []
            if self._queue and len(self._events) < self.limit.value:
                due.append(self.now + self.limit.pacer.wait(self.now))
            if not due:
                return self
            self._advance(min(due))

    def _send(self) -> None:
        pacer = self.limit.pacer
        while self._queue and len(self._events) < self.limit.value and not pacer.wait(self.now):
            item = self._queue.popleft()
            item[0] += 1
            self.tries = max(self.tries, item[0])
            permit = self.limit.on_sent(len(self._events), self.now)
            if self.service.admits(self.now, self._running):
                self._running += 1
                self.most_running = max(self.most_running, self._running)
                seconds = self.latency()
                self.busy += seconds
                self._expect(seconds, permit, None, item)
            else:
                self._expect(ROUND_TRIP, permit, self.service.refusal(self.now), item)

    def _expect(self, seconds: float, permit: Permit, signal: LimitSignal | None, item: list[int]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), permit, signal, item))

    def _advance(self, time: float) -> None:
        self.now = max(self.now, time)
        while self._events and self._events[0][0] <= self.now:
            _, _, permit, signal, item = heapq.heappop(self._events)
            if signal is None:
                self._running -= 1
                self.limit.on_admitted(permit, self.max_concurrency)
            else:
                self.refused += 1
                self._queue.appendleft(item)
                self.limit.on_refused(permit, signal, self.now, self.uniform)
            self.limits.append((self.now, self.limit.value))
