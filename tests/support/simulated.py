"""A service that limits its calls, simulated event by event: what a ceiling learns of it, in no time at all."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from clova_ocr_async.slots.limit import ConcurrencyLimit, LimitSignal, Permit

if TYPE_CHECKING:
    from collections.abc import Callable

ROUND_TRIP = 0.005  # seconds until a refusal is there


class Service(Protocol):
    """What limits calls."""

    def admits(self, now: float, running: int) -> bool:
        """Return whether one more call may run."""
        ...

    def refusal(self, now: float) -> LimitSignal:
        """Return what it says to one that may not."""
        ...


@dataclass
class AtOnce:
    """A service that takes so many calls at once, and names a number, right or wrong, or none.

    Attributes:
        ceiling: Calls at once, by the time.
        named: What its refusals name, by the time.
        foreign: Calls of others that run, by the time.
    """

    ceiling: Callable[[float], int]
    named: Callable[[float], int | None] = lambda _: None
    foreign: Callable[[float], int] = lambda _: 0

    def admits(self, now: float, running: int) -> bool:
        """Count."""
        return running + self.foreign(now) < self.ceiling(now)

    def refusal(self, now: float) -> LimitSignal:
        """Name the number."""
        return LimitSignal(self.named(now))


@dataclass
class Bucket:
    """A service that takes so many calls a second, by a bucket of tokens.

    Attributes:
        rate: Calls a second.
        size: Calls that may come at once after a rest.
        says: What its refusals say.
    """

    rate: float
    size: float
    says: LimitSignal
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
        """Say always the same."""
        del now
        return self.says


@dataclass
class Simulation:
    """Calls to a service through a ceiling, as fast as it lets them.

    Attributes:
        service: Limits them.
        ceiling: Learns.
        latency: Seconds of the next call.
        most: Calls at once that are allowed in any case.
        uniform: Draws a float between two bounds.
        now: The time.
        refused: Refusals.
        tries: Most requests of one item.
        busy: Seconds of all calls that ran.
        limits: The limit after each event, with its time.
        most_running: Most calls that ran at once.
    """

    service: Service
    ceiling: ConcurrencyLimit
    latency: Callable[[], float]
    most: int | None = None
    uniform: Callable[[float, float], float] = lambda low, high: (low + high) / 2
    now: float = 1000.0
    refused: int = 0
    tries: int = 0
    busy: float = 0.0
    limits: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    most_running: int = 0
    _line: deque[list[int]] = field(default_factory=deque[list[int]])
    _events: list[tuple[float, int, Permit, LimitSignal | None, list[int]]] = field(default_factory=list[Any])
    _running: int = 0
    _numbers: Any = field(default_factory=itertools.count)

    def run(self, items: int) -> Simulation:
        """Read so many items; each is sent again, before all others, until it is let in."""
        self._line.extend([0] for _ in range(items))
        while True:
            self._leave()
            due = [self._events[0][0]] if self._events else []
            if self._line and len(self._events) < self.ceiling.limit:
                due.append(self.now + self.ceiling.pace.wait(self.now))
            if not due:
                return self
            self._go_on(min(due))

    def _leave(self) -> None:
        pace = self.ceiling.pace
        while self._line and len(self._events) < self.ceiling.limit and not pace.wait(self.now):
            item = self._line.popleft()
            item[0] += 1
            self.tries = max(self.tries, item[0])
            entry = self.ceiling.enter(len(self._events), self.now)
            if self.service.admits(self.now, self._running):
                self._running += 1
                self.most_running = max(self.most_running, self._running)
                seconds = self.latency()
                self.busy += seconds
                self._expect(seconds, entry, None, item)
            else:
                self._expect(ROUND_TRIP, entry, self.service.refusal(self.now), item)

    def _expect(self, seconds: float, entry: Permit, refusal: LimitSignal | None, item: list[int]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), entry, refusal, item))

    def _go_on(self, time: float) -> None:
        self.now = max(self.now, time)
        while self._events and self._events[0][0] <= self.now:
            _, _, entry, refusal, item = heapq.heappop(self._events)
            if refusal is None:
                self._running -= 1
                self.ceiling.admit(entry, self.most)
            else:
                self.refused += 1
                self._line.appendleft(item)
                self.ceiling.refuse(entry, refusal, self.now, self.uniform)
            self.limits.append((self.now, self.ceiling.limit))
