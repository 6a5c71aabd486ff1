"""The line before the gate: who waits for a slot, of which domains, in which order."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["WaitQueue", "Waiter"]

GrantT = TypeVar("GrantT")
_numbers = itertools.count()
_order = attrgetter("order")


class Waiter(Generic[GrantT]):
    """Somebody who waits for a slot of one of several domains; sorts by whose turn it is.

    Args:
        domains: Keys of the domains.
        interactive: Whether somebody waits for the one call.
        since: When it came; a call that was refused and comes again has kept its time, and so its place.

    Attributes:
        granted: Gets the slot.
        taken: Whether a slot was taken for it, which it has not got yet.
    """

    __slots__ = ("domains", "granted", "order", "taken")

    def __init__(self, domains: Sequence[str], *, interactive: bool, since: float) -> None:
        self.domains = domains
        self.order = (not interactive, since, next(_numbers))
        self.granted: asyncio.Future[GrantT] = asyncio.get_running_loop().create_future()
        self.taken = False

    def __lt__(self, other: Waiter[GrantT]) -> bool:
        return self.order < other.order


class WaitQueue(Generic[GrantT]):
    """Those who wait for a slot: the interactive ones first, then first come, first served."""

    def __init__(self) -> None:
        self._heaps: dict[str, list[Waiter[GrantT]]] = {}
        self._lengths: dict[str, int] = {}

    def join(self, waiter: Waiter[GrantT]) -> None:
        """Put somebody into the line of each of his domains."""
        for domain in waiter.domains:
            heapq.heappush(self._heaps.setdefault(domain, []), waiter)
            self._lengths[domain] = self.length(domain) + 1

    def leave(self, waiter: Waiter[GrantT]) -> None:
        """Count somebody out, who has his slot or wants none any more; said once, after his future is done."""
        for domain in waiter.domains:
            self._lengths[domain] -= 1
            if not self._lengths[domain]:
                self._heaps[domain].clear()

    def length(self, domain: str) -> int:
        """Return how many wait for a domain."""
        return self._lengths.get(domain, 0)

    def first_ones(self, domain: str, count: int) -> list[Waiter[GrantT]]:
        """Return whose turn it is next at a domain, in their order."""
        self.first(domain)  # those who are gone leave the front
        waiting = [waiter for waiter in self._heaps.get(domain, []) if not waiter.granted.done()]
        return heapq.nsmallest(count, waiting, key=_order)

    def first(self, domain: str) -> Waiter[GrantT] | None:
        """Return whose turn it is at a domain."""
        heap = self._heaps.get(domain, [])
        while heap and heap[0].granted.done():
            heapq.heappop(heap)
        return heap[0] if heap else None
