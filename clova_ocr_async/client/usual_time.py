"""The usual time of a domain's answers, which decides whether a call still has time to be sent.

A request whose caller gives up before the answer arrives is billed in vain, and it holds a slot meanwhile. So the
client learns two durations from the last 64 answers of a domain and document:

- the **usual time**, the 90th percentile: with less time left a call is not sent at all. One of ten answers may be
  slower, so a few outliers do not keep calls back, and a deadline that fits nine of ten answers is served.
- the **safe time**, the second longest of them: with less time left a call does not wait behind others. In an overload
  the calls at the head of the queue are those with the least time left. Sent at the usual time, one of ten would be
  billed in vain; the slot goes to the next call instead, which has more time.

Both expire when no caller has got an answer for a minute. Then one call is sent as a *probe*, even with little time
left, and its answer is the first of a new 64. An answer whose caller had gone counts among the 64, but it does not put
off the expiry: while a domain is slow there are only such answers, and they must not put off the probe. Pure: the time
is an argument.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from statistics import fmean

__all__ = ["MEMORY", "UsualTime"]

MEMORY = 60.0
"""Seconds after the last answer that reached its caller, after which the times have expired."""

_WINDOW = 64
_USUAL = 0.9
_SAFE = 0.98


class UsualTime:
    """The times of the last answers of one domain and document.

    Attributes:
        usual: Seconds that nine of ten answers took at the most; 0 before the first one.
        safe: Seconds that nearly all answers took at the most; 0 before the first one.
        prober: The call whose request measures the times anew; None if no call does.
    """

    __slots__ = ("_answered", "_last", "_sorted", "prober", "safe", "usual")

    def __init__(self) -> None:
        self.usual = self.safe = 0.0
        self.prober: object | None = None
        self._answered = -math.inf
        # The same times twice: in order of arrival, to drop the oldest, and sorted, to read the quantiles.
        self._last: deque[float] = deque()
        self._sorted: list[float] = []

    def learn(self, seconds: float, now: float, *, late: bool = False) -> None:
        """Record the time of an answer; after a minute without one, forget the earlier times.

        Args:
            seconds: How long the service worked for the answer.
            now: When the answer arrived.
            late: Whether its caller had gone.
        """
        forgotten = self.is_forgotten(now)
        if forgotten or not late:
            self._answered = now  # a late answer does not put off the expiry
        if forgotten:
            self._last.clear()
            self._sorted.clear()
        elif len(self._last) == _WINDOW:
            del self._sorted[bisect_left(self._sorted, self._last.popleft())]
        self._last.append(seconds)
        insort(self._sorted, seconds)
        self.usual, self.safe = self._quantile(_USUAL), self._quantile(_SAFE)

    def is_forgotten(self, now: float) -> bool:
        """Return whether the times have expired, or none is known yet."""
        return now - self._answered > MEMORY

    @property
    def mean(self) -> float:
        """Mean seconds of an answer; 0 before the first one."""
        return fmean(self._sorted) if self._sorted else 0.0

    def _quantile(self, share: float) -> float:
        return self._sorted[math.ceil(share * len(self._sorted)) - 1]
