"""The counts of a batch, and how they are told."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clova_ocr_async.protocol.plural import plural

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Tally"]


@dataclass(slots=True)
class Tally:
    """The counts of a batch.

    Attributes:
        clock: Returns seconds that only grow.
        total: How many images there are; None while they are still being counted.
        statuses: Images by status.
        billed: Calls that were paid.
        in_doubt: Requests that may have been paid, and nobody knows.
        recalled: Images answered from the ledger, which were paid before.
        gates: Says how the gates of the domains stand.
    """

    clock: Callable[[], float] = time.monotonic
    total: int | None = None
    statuses: Counter[str] = field(default_factory=Counter[str])
    billed: int = 0
    in_doubt: int = 0
    recalled: int = 0
    gates: Callable[[], str] = str
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def add(self, status: str, *, billed: bool, maybe_billed: int = 0) -> None:
        """Count an image, and what was or may have been paid for it."""
        self.statuses[status] += 1
        self.add_cut_off(billed=billed, maybe_billed=maybe_billed)

    def add_cut_off(self, *, billed: bool, maybe_billed: int) -> None:
        """Count what was or may have been paid for an image that did not come out."""
        self.billed += billed
        self.in_doubt += maybe_billed

    @property
    def done(self) -> int:
        """Images that came out."""
        return self.statuses.total()

    @property
    def bad(self) -> int:
        """Images that came out unread."""
        return self.done - self.statuses["succeeded"]

    @property
    def rate(self) -> float:
        """Images a second, since the start."""
        elapsed = self.clock() - self.started
        return self.done / elapsed if elapsed > 0 else 0.0

    def progress(self) -> str:
        """Say how far it is."""
        images = plural(self.done, "image")
        if self.total is not None:
            images = f"{self.done:,} of {plural(self.total, 'image')}"
        left = ""
        if self.total is not None and self.rate > 0:
            left = f", {_duration((self.total - self.done) / self.rate)} left"
        bad = f", {self.bad:,} not read" if self.bad else ""
        gates = self.gates()
        return f"{images}{bad}, {self.rate:.1f}/s{left}{gates and '; '}{gates}"

    def summary(self) -> str:
        """Say how it ended."""
        counts = ", ".join(f"{count:,} {status}" for status, count in self.statuses.most_common())
        doubt = f", {self.in_doubt:,} perhaps" if self.in_doubt else ""
        elapsed = _duration(self.clock() - self.started)
        recalled = f"; {self.recalled:,} answered from the ledger" if self.recalled else ""
        bill = f"{plural(self.billed, 'call')} billed{doubt}"
        return f"{plural(self.done, 'image')}: {counts or 'none'}{recalled}; {bill}; {elapsed}, {self.rate:.1f}/s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"
