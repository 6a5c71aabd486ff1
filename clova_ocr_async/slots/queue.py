"""The queue of calls that wait for a slot, each of one or several domains."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Priority", "WaitQueue", "Waiter"]

GrantT = TypeVar("GrantT")
_numbers = itertools.count()
_by_priority = attrgetter("priority")

Priority = tuple[bool, float, int]
"""The place in the queue, the lowest first: batch or not, waiting since, and a number that breaks ties."""


class Waiter(Generic[GrantT]):
    """A call that waits for a slot of one of several domains; sorts by priority.

    Args:
        domains: Keys of the domains.
        interactive: Whether a caller waits for this one call.
        since: When it asked first; a refused call that asks again keeps its time, and so its place.

    Attributes:
        granted: The future that gets the slot.
        reserved: Whether a slot was taken for it that has not been delivered yet.
    """

    __slots__ = ("domains", "granted", "priority", "reserved")

    def __init__(self, domains: Sequence[str], *, interactive: bool, since: float) -> None:
        self.domains = domains
        self.priority: Priority = (not interactive, since, next(_numbers))
        self.granted: asyncio.Future[GrantT] = asyncio.get_running_loop().create_future()
        self.reserved = False

    def __lt__(self, other: Waiter[GrantT]) -> bool:
        return self.priority < other.priority


class WaitQueue(Generic[GrantT]):
    """The waiting calls: interactive ones first, then first come, first served.

    A waiter stands in one heap per domain. When it is granted a slot or cancelled, it stays in the heaps until it comes
    to the front: removing it from the middle of a heap would cost a search.

    Attributes:
        lengths: The number of waiters of each domain.
    """

    def __init__(self) -> None:
        self.lengths: Counter[str] = Counter()
        self._heaps: dict[str, list[Waiter[GrantT]]] = {}

    def add(self, waiter: Waiter[GrantT]) -> None:
        """Add a waiter to the queue of each of its domains."""
        for domain in waiter.domains:
            heapq.heappush(self._heaps.setdefault(domain, []), waiter)
            self.lengths[domain] += 1

    def discard(self, waiter: Waiter[GrantT]) -> None:
        """Remove a waiter that was granted a slot or was cancelled. Call once, after its future is done."""
        for domain in waiter.domains:
            self.lengths[domain] -= 1
            # Cancelled ones would otherwise stay in memory until the next call has to wait.
            if not self.lengths[domain]:
                self._heaps[domain].clear()

    def peek(self, domain: str) -> Waiter[GrantT] | None:
        """Return the first waiter of a domain."""
        heap = self._heaps.get(domain, [])
        while heap and heap[0].granted.done():
            heapq.heappop(heap)
        return heap[0] if heap else None

    def peek_many(self, domain: str, count: int) -> list[Waiter[GrantT]]:
        """Return the first waiters of a domain, in their order."""
        self.peek(domain)  # drops those at the front that are done
        # Not popped: a waiter leaves the queue when its slot has arrived, and a sync may fail.
        waiting = [waiter for waiter in self._heaps.get(domain, []) if not waiter.granted.done()]
        return heapq.nsmallest(count, waiting, key=_by_priority)
