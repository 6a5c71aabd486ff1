"""How long the answers of a domain usually take: what decides whether a call still has time to be sent.

A request whose caller will be gone before the answer comes is paid for nothing, and it holds a slot meanwhile. So the
client learns, from the last 64 answers of a domain and document, two durations:

- the **usual time**, the 90th percentile: with less time left a call is not sent at all. One of ten answers may be
  slower, so a few outliers do not shut anybody out, and a deadline that fits nine of ten answers is served.
- the **safe time**, the second longest of them: with less time left a call does not wait behind others. Under overload
  the calls at the head of the queue are those with the least time left. Sent at the usual time, one of ten would be
  paid for nothing; the slot goes to the next call instead, which has more time.

Both are worth nothing when for a minute no caller has got an answer. Then one call is sent as a *probe*, whatever time
it has; its answer is the first of a new 64. An answer that came after its caller had gone counts among the 64, but not
as an answer somebody got: while a domain is slow there are only such ones, and they must not put off the probe. Pure:
the time is an argument.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from statistics import fmean

__all__ = ["MEMORY", "UsualTime"]

MEMORY = 60.0
"""Seconds without an answer that its caller got, after which nothing is known any more."""

_WINDOW = 64
_USUAL = 0.9
_SAFE = 0.98


class UsualTime:
    """The times of the last answers of one domain and document.

    Attributes:
        usual: Seconds that nine of ten answers took at the most; 0 before the first one.
        safe: Seconds that nearly all answers took at the most; 0 before the first one.
        prober: The call whose request is under way only to learn the times anew; None if there is none.
    """

    __slots__ = ("_answered", "_last", "_sorted", "prober", "safe", "usual")

    def __init__(self) -> None:
        self.usual = self.safe = 0.0
        self.prober: object | None = None
        self._answered = -math.inf
        self._last: deque[float] = deque()
        self._sorted: list[float] = []

    def learn(self, seconds: float, now: float, *, late: bool = False) -> None:
        """Note an answer; after a minute without one it is the first one again.

        Args:
            seconds: How long the service worked for it.
            now: When it came.
            late: Whether its caller had gone.
        """
        forgotten = self.is_forgotten(now)
        if forgotten or not late:
            self._answered = now
        if forgotten:
            self._last.clear()
            self._sorted.clear()
        elif len(self._last) == _WINDOW:
            del self._sorted[bisect_left(self._sorted, self._last.popleft())]
        self._last.append(seconds)
        insort(self._sorted, seconds)
        self.usual, self.safe = self._quantile(_USUAL), self._quantile(_SAFE)

    def is_forgotten(self, now: float) -> bool:
        """Whether nobody got an answer for so long that the times say nothing, or nothing was learned yet."""
        return now - self._answered > MEMORY

    @property
    def mean(self) -> float:
        """Mean seconds of an answer; 0 before the first one."""
        return fmean(self._sorted) if self._sorted else 0.0

    def _quantile(self, share: float) -> float:
        return self._sorted[math.ceil(share * len(self._sorted)) - 1]
