"""The speed of a run: when its answers arrived, and how long its calls took."""

from __future__ import annotations

import datetime as dt
from array import array
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.ledger.states import Entry

__all__ = ["Speed"]

_MINUTE = 60
_BOUNDS = (0.5, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 90, 120, 180, 300, 600)
"""Upper bounds of the bars of the histogram, in seconds; calls usually take 5 to 20."""


class Speed:
    """What the ledger knows of the times of a run; what it does not know stays None."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = 0.0
        self._minutes: Counter[int] = Counter()
        # 8 bytes a call, so that quantiles are exact and a run of a million calls fits.
        self._seconds = array("d")

    def add(self, entry: Entry) -> None:
        """Count the call of an item; once, whatever names its image has."""
        # An answer that was settled after a crash has no duration; neither has a call without an answer.
        if entry.elapsed > 0:
            self._seconds.append(entry.elapsed)
        if entry.answered_at is not None:
            self._first = entry.answered_at if self._first is None else min(self._first, entry.answered_at)
            self._last = max(self._last, entry.answered_at)
            self._minutes[int(entry.answered_at // _MINUTE)] += 1

    def to_dict(self) -> dict[str, Any]:
        """Return the times as the page has them."""
        start = min(self._minutes, default=0)
        return {
            "from": None if self._first is None else _iso(self._first),
            "to": None if self._first is None else _iso(self._last),
            "per_minute": [[minute - start, self._minutes[minute]] for minute in sorted(self._minutes)],
            "seconds": _durations(sorted(self._seconds)) if self._seconds else None,
        }


def _iso(moment: float) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).isoformat(timespec="seconds")


def _durations(ordered: Sequence[float]) -> dict[str, Any]:
    """Return the quantiles of durations, and a histogram from the first bar that holds one to the last."""
    longest = round(ordered[-1], 3)
    bounds = [bound for bound in _BOUNDS if bound < longest]
    bounds.append(next((bound for bound in _BOUNDS if bound >= longest), longest))
    counts = Counter(bisect_left(bounds, round(one, 3)) for one in ordered)
    return {
        "p50": _quantile(ordered, 0.5),
        "p95": _quantile(ordered, 0.95),
        "max": longest,
        "histogram": [[bounds[place], counts[place]] for place in range(min(counts), len(bounds))],
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
