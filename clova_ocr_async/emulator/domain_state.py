"""What the service counts: who is calling, what was paid, how busy a domain was."""

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
    """The counts of one domain; may be read and changed from any thread.

    Attributes:
        clock: Returns seconds that only grow.
        ceiling: Calls at once it lets in; None for any number.
        quota: Calls it will still let in; None for any number.
        billed: Calls paid, by the image's sha256 in hex.
        requests: Requests received.
        rejected: Requests refused for the ceiling.
        in_flight: Calls running now.
        busy: Seconds of running calls, summed over calls, up to now.
        capacity: Seconds times the ceiling, since the first call, up to now; never less than ``busy``.
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

    def enter(self) -> bool:
        """Let a call in; return False if the ceiling is reached."""
        with self._lock:
            if self._since is None:
                self._since = self.clock()
            self._settle()
            if self.ceiling is not None and self.in_flight >= self.ceiling:
                self.rejected += 1
                return False
            self.in_flight += 1
            return True

    def leave(self) -> None:
        """Let a call go."""
        with self._lock:
            self._settle()
            self.in_flight -= 1

    def spend(self) -> bool:
        """Take one call off the quota; return False if it is spent."""
        if self.quota is None:
            return True
        if self.quota <= 0:
            return False
        self.quota -= 1
        return True

    def set_ceiling(self, ceiling: int | None) -> None:
        """Change the ceiling; calls that run go on."""
        with self._lock:
            self._settle()
            self.ceiling = ceiling

    @property
    def busy(self) -> float:
        """Seconds of running calls up to now, summed over calls."""
        with self._lock:
            self._settle()
            return self._busy

    @property
    def capacity(self) -> float:
        """Seconds times the ceiling up to now, since the first call.

        Where more calls run than the ceiling allows, since it was lowered or there is none, they count instead.
        """
        with self._lock:
            self._settle()
            return self._capacity

    def _settle(self) -> None:
        if self._since is None:
            return
        now = self.clock()
        passed, self._since = now - self._since, now
        self._busy += passed * self.in_flight
        self._capacity += passed * max(self.ceiling or 0, self.in_flight)
