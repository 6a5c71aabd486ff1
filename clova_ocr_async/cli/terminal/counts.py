"""Counts of a batch: images by status, calls by billing, and the lines that show them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clova_ocr_async.host.plural import plural

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Counts"]


@dataclass(slots=True)
class Counts:
    """Counts of a batch.

    Attributes:
        clock: Returns seconds that only grow.
        total: The number of images; None while they are still being counted.
        statuses: Finished images by status.
        billed: Calls that were billed.
        maybe_billed: Requests that may have been billed.
        from_ledger: Images that were answered from the ledger, because they were paid before.
        gates: Returns a text about the gates of the domains, which limit the calls at once.
    """

    clock: Callable[[], float] = time.monotonic
    total: int | None = None
    statuses: Counter[str] = field(default_factory=Counter[str])
    billed: int = 0
    maybe_billed: int = 0
    from_ledger: int = 0
    gates: Callable[[], str] = str
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def add(self, status: str, *, billed: bool, maybe_billed: int = 0) -> None:
        """Count a finished image and its requests."""
        self.statuses[status] += 1
        self.billed += billed
        self.maybe_billed += maybe_billed

    @property
    def done(self) -> int:
        """Images that are finished."""
        return self.statuses.total()

    @property
    def idle(self) -> bool:
        """True if no image was finished and no call was sent."""
        return not (self.done or self.billed or self.maybe_billed)

    @property
    def unread(self) -> int:
        """Images that are finished and were not read."""
        return self.done - self.statuses["succeeded"]

    @property
    def rate(self) -> float:
        """Images per second since the start."""
        elapsed = self.clock() - self.started
        return self.done / elapsed if elapsed > 0 else 0.0

    def progress_line(self) -> str:
        """Return the line that shows how far the batch is."""
        images = plural(self.done, "image")
        if self.total is not None:
            images = f"{self.done:,} of {plural(self.total, 'image')}"
        # Without a total there is nothing to extrapolate: files are still being listed.
        left = ""
        if self.total is not None and self.rate > 0:
            left = f", {_duration((self.total - self.done) / self.rate)} left"
        unread = f", {self.unread:,} not read" if self.unread else ""
        gates = self.gates()
        return f"{images}{unread}, {self.rate:.1f}/s{left}{gates and '; '}{gates}"

    def summary(self) -> str:
        """Return the line that sums up a batch that has ended."""
        counts = ", ".join(f"{count:,} {status}" for status, count in self.statuses.most_common())
        maybe = f", {self.maybe_billed:,} maybe billed" if self.maybe_billed else ""
        elapsed = _duration(self.clock() - self.started)
        from_ledger = f"; {self.from_ledger:,} answered from the ledger" if self.from_ledger else ""
        bill = f"{plural(self.billed, 'call')} billed{maybe}"
        return f"{plural(self.done, 'image')}: {counts or 'none'}{from_ledger}; {bill}; {elapsed}, {self.rate:.1f}/s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"
