"""The state of one emulated domain: its limits, its calls in flight, and the counts of what was billed."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DomainState"]


@dataclass(slots=True)
class DomainState:
    """The limits and counts of one domain; may be read and changed from any thread.

    Attributes:
        clock: A monotonic clock, in seconds.
        ceiling: Allowed calls at once; None for any number.
        quota: Calls left; None for any number.
        billed: Billed calls, by the image's sha256 in hex.
        requests: Received requests.
        rejected: Requests refused because of the ceiling.
        in_flight: Calls that are running.
        busy: Seconds of running calls, summed over calls, until now.
        capacity: Seconds times the ceiling, from the first call until now; never less than ``busy``.
    """

    clock: Callable[[], float]
    ceiling: int | None
    quota: int | None = None
    billed: Counter[str] = field(default_factory=Counter[str])
    requests: int = 0
    rejected: int = 0
    in_flight: int = 0
    _busy: float = 0.0
    _capacity: float = 0.0
    _since: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def admit(self) -> bool:
        """Admit a call; return False if the ceiling is reached."""
        with self._lock:
            if self._since is None:  # the time before the first call is not idle capacity
                self._since = self.clock()
            self._accumulate()
            if self.ceiling is not None and self.in_flight >= self.ceiling:
                self.rejected += 1
                return False
            self.in_flight += 1
            return True

    def release(self) -> None:
        """End an admitted call."""
        with self._lock:
            self._accumulate()  # with the call, which was running until now
            self.in_flight -= 1

    def take_quota(self) -> bool:
        """Take one call from the quota; return False if none is left."""
        # Without the lock: only the server's event loop takes from the quota.
        if self.quota is None:
            return True
        if self.quota <= 0:
            return False
        self.quota -= 1
        return True

    def set_ceiling(self, ceiling: int | None) -> None:
        """Change the ceiling; running calls continue."""
        with self._lock:
            self._accumulate()  # the time until now has the old ceiling
            self.ceiling = ceiling

    @property
    def busy(self) -> float:
        """Seconds of running calls until now, summed over calls."""
        with self._lock:
            self._accumulate()
            return self._busy

    @property
    def capacity(self) -> float:
        """Seconds times the ceiling, from the first call until now.

        While more calls run than the ceiling allows (it was lowered, or there is none), their number counts instead.
        """
        with self._lock:
            self._accumulate()
            return self._capacity

    def _accumulate(self) -> None:
        if self._since is None:
            return
        now = self.clock()
        passed, self._since = now - self._since, now
        self._busy += passed * self.in_flight
        # At least the calls in flight, so that a lowered ceiling does not make a domain more than fully busy.
        self._capacity += passed * max(self.ceiling or 0, self.in_flight)
