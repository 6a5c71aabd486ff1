"""Which process is which, and whether it still runs.

A process is known by its pid and by when it was started, since pids are used again, in a place: the boot of the machine
and the namespace in which its pid means something.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "lease_is_over"]


@dataclass(frozen=True, slots=True)
class Process:
    """A process.

    Attributes:
        place: Where its pid means something; empty where that is not known.
        pid: Its number.
        started: When it was started, in the place's own words; empty where that is not known.
    """

    place: str
    pid: int
    started: str

    @classmethod
    def this(cls, proc: Path = Path("/proc")) -> Process:
        """Return the running process.

        Args:
            proc: Where Linux tells about processes.
        """
        try:
            boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
            place = f"{boot} {(proc / 'self/ns/pid').readlink()}"
        except OSError:
            place = ""
        return cls(place, os.getpid(), _start_of(os.getpid(), proc))

    def is_dead(self, seen_from: Process, proc: Path = Path("/proc")) -> bool:
        """Whether the process certainly runs no more.

        Args:
            seen_from: Who wants to know.
            proc: Where Linux tells about processes.
        """
        if not self.place or not seen_from.place:
            return False
        if self.place != seen_from.place:
            return self.place.split()[0] != seen_from.place.split()[0]  # another boot: nothing of it runs
        return _start_of(self.pid, proc) != self.started


def lease_is_over(expires: float, now: float, longest: float) -> bool:
    """Return whether a lease has ended, on the monotonic clock that all processes of a boot share.

    Args:
        expires: The end of the lease.
        now: The time.
        longest: Seconds of the longest lease.
    """
    # A lease that ends further off was made by another boot's clock. Twice the longest one, since the process that
    # made it may have read the clock after ``now`` was read. A value that is not a number is over as well.
    return not now <= expires <= now + 2 * longest


def _start_of(pid: int, proc: Path) -> str:
    try:
        # The name in brackets may hold anything; behind it stands the state, and 19 fields on the start in ticks.
        fields = (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        return "" if fields[0] in {b"Z", b"X"} else fields[19].decode()
    except (OSError, IndexError):
        return ""
