"""Load shedding: an upload is refused, before its body is read, when its call would wait too long for a slot.

The expected wait is the number of calls before it, over the calls a second that the domains answer. Uploads that are
still arriving count as calls before it, since they will wait as well.

A refused caller is told when to come back. Each gets a time of its own: callers that all come back at once would meet
the same queue. Half of the places that get free go to new callers, so the refused ones are called back at half the rate
at which the domains answer. Pure: the time is an argument.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from clova_ocr_async import OverloadedError

if TYPE_CHECKING:
    from collections.abc import Generator

    from clova_ocr_async.client import Backlog

__all__ = ["ASSUMED_SECONDS", "LoadShedder"]

ASSUMED_SECONDS = 10.0
"""Seconds that a call takes while nothing was learned. Source: calls take 5 to 20 s, as the README says."""

_LATEST = 60.0  # seconds; many refused callers never come back, so a longer queue of them is not to be believed
_LATEST_UNKNOWN = 10.0  # seconds, while nothing was learned: by then the first answers are there
_SHARE = 0.5  # of the places that get free, those that are for refused callers


class LoadShedder:
    """The uploads to the domains of one document, and when refused callers are called back.

    Args:
        max_wait: Seconds that a call may be expected to wait.

    Attributes:
        uploads: Uploads that are arriving.
    """

    def __init__(self, max_wait: float) -> None:
        self.uploads = 0
        self._max_wait = max_wait
        self._called_back_at = 0.0  # the time of the last refused caller

    @contextmanager
    def upload(self, backlog: Backlog, now: float) -> Generator[None]:
        """Count an upload while the context is open.

        Args:
            backlog: The calls that wait.
            now: Monotonic seconds.

        Raises:
            OverloadedError: Its call would wait too long.
        """
        rate = backlog.rate or backlog.slots / ASSUMED_SECONDS
        wait = max(0, backlog.waiting + self.uploads + 1 - backlog.free) / rate
        if wait > self._max_wait:
            retry_after = self._call_back(now, wait - self._max_wait, rate * _SHARE, known=backlog.rate is not None)
            raise OverloadedError(
                f"a call would wait about {wait:.3g} s for a slot, more than max_wait, {self._max_wait:g} s; "
                "nothing was sent",
                retry_after=retry_after,
            )
        self.uploads += 1
        try:
            yield
        finally:
            self.uploads -= 1

    def _call_back(self, now: float, earliest: float, rate: float, *, known: bool) -> float:
        """Return the seconds after which a refused caller comes back."""
        seconds = max(earliest, self._called_back_at - now + 1 / rate)
        if seconds > (_LATEST if known else _LATEST_UNKNOWN):
            seconds = earliest  # from the start, so that late ones are spread as well
        self._called_back_at = now + seconds
        return seconds
