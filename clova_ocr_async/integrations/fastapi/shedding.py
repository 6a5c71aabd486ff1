"""Load shedding: an upload is refused, before its body is read, when its call would wait too long for a slot.

The expected wait is the number of calls before a new one, over the calls a second that the domains answer. Uploads that
are still arriving count as calls before it, since they will wait as well. One that has been arriving for longer than a
call may wait does not: it will hardly be there first, and a few clients with a slow line must not keep others out of
free slots.

The refusal names the time at which there will be a place, one caller after the other, and that place is kept for a
moment. Without that, callers that were just answered and come with their next picture would take every place that gets
free, and callers that obey Retry-After would be refused again and again. A caller that comes back is recognized by its
request's line and headers. Places are kept in the second half of the queue only, so that callers that never come back
leave no slot empty. Pure: the time is an argument.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from contextlib import contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING

from clova_ocr_async import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable

    from clova_ocr_async.client import Backlog

__all__ = ["ASSUMED_SECONDS", "LoadShedder"]

ASSUMED_SECONDS = 10.0
"""Seconds that a call takes while nothing was learned. Assumed: calls were seen to take 5 to 20 s."""

_LATEST = 300.0  # seconds to come back in; a longer line of refused callers is not to be believed
_LATEST_UNKNOWN = 10.0  # seconds, while nothing was learned: by then the first answers are there
_GOLDEN = 0.618  # its multiples, without their whole part, are spread evenly however many there are
_KEPT = 3.0  # seconds that a place is kept; Retry-After is rounded up to a whole second
_SLOW_AFTER = 5.0  # seconds that an upload arrives before it is a slow one, however short max_wait is
_MOST_SLOW = 32  # slow uploads that do not count: each may hold ``max_bytes``
_SLACK = 1.1  # of max_wait, for a caller that comes back in time: the estimate may have been off


class LoadShedder:
    """The uploads to the domains of some documents, and the refused callers that are to come back.

    Args:
        max_wait: Seconds that a call may be expected to wait.

    Attributes:
        calls: Calls of uploads that have not ended. A new one is not in the client's queue at once.
    """

    def __init__(self, max_wait: float) -> None:
        self.calls = 0
        self._arriving: list[float] = []  # when each upload that is still arriving began, the first one first
        self._max_wait = max_wait
        self._places: deque[tuple[float, Hashable]] = deque()  # when which caller comes back, the first one first
        self._last = 0.0  # when the last of them comes back
        self._without_place = 0

    @contextmanager
    def upload(self, backlog: Backlog, now: float, caller: Hashable) -> Generator[None]:
        """Count an upload while the context is open.

        Args:
            backlog: The calls that wait.
            now: Monotonic seconds.
            caller: What a caller is recognized by when it comes back.

        Raises:
            OverloadedError: Its call would wait too long.
        """
        rate = backlog.rate or backlog.slots / ASSUMED_SECONDS
        ahead = max(backlog.waiting - backlog.free, self.calls - backlog.slots) + self._uploads_before(now)
        wait = max(0, ahead + 1) / rate
        if not self._admits(caller, wait, rate, now):
            latest = _LATEST if backlog.rate else _LATEST_UNKNOWN
            raise OverloadedError(
                f"a call would wait about {wait:.3g} s for a slot, more than max_wait, {self._max_wait:g} s, allows; "
                "nothing was sent",
                retry_after=self._place(caller, max(0.0, wait - self._max_wait), 1 / rate, now, latest),
            )
        self._arriving.append(now)
        try:
            yield
        finally:
            self._arriving.remove(now)  # or another one of the same moment

    def _uploads_before(self, now: float) -> int:
        slow = bisect_left(self._arriving, now - max(_SLOW_AFTER, self._max_wait))
        return len(self._arriving) - min(slow, _MOST_SLOW)

    def _admits(self, caller: Hashable, wait: float, rate: float, now: float) -> bool:
        while self._places and self._places[0][0] + _KEPT < now:
            self._places.popleft()
        if wait <= self._max_wait / 2:
            return True
        due = takewhile(lambda place: place[0] <= now, self._places)
        if (place := next((place for place in due if place[1] == caller), None)) is not None:
            self._places.remove(place)
            return wait <= self._max_wait * _SLACK
        return wait + len(self._places) / rate <= self._max_wait

    def _place(self, caller: Hashable, earliest: float, step: float, now: float, latest: float) -> float:
        """Return the seconds after which a refused caller comes back, and keep a place for it then."""
        seconds = max(earliest, self._last - now) + step
        if seconds > latest:
            self._without_place += 1
            return earliest + latest * (self._without_place * _GOLDEN % 1.0)
        self._last = now + seconds
        self._places.append((self._last, caller))
        return seconds
