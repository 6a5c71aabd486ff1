"""Identity of processes, and whether a process still runs.

A pid alone identifies no process, since the system uses pids again. So a process is identified by its pid, its start
time, and its place: the boot of the machine, and the namespace in which the pid is valid.
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
        place: Where its pid is valid; empty if that is unknown.
        pid: Its number.
        started: Its start time, as the place writes it; empty if that is unknown.
    """

    place: str
    pid: int
    started: str

    @classmethod
    def this(cls, proc: Path = Path("/proc")) -> Process:
        """Return the running process.

        Args:
            proc: The file system in which Linux describes processes.
        """
        try:
            boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
            place = f"{boot} {(proc / 'self/ns/pid').readlink()}"
        except OSError:
            place = ""
        return cls(place, os.getpid(), _start_of(os.getpid(), proc))

    def is_dead(self, seen_from: Process, proc: Path = Path("/proc")) -> bool:
        """Return whether the process has certainly ended.

        Args:
            seen_from: The process that asks.
            proc: The file system in which Linux describes processes.
        """
        if not self.place or not seen_from.place:
            return False
        if self.place != seen_from.place:
            return self.place.split()[0] != seen_from.place.split()[0]  # another boot: none of its processes runs
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
        # The name in brackets may hold anything. The state follows it, and 19 fields later the start in ticks.
        fields = (proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        return "" if fields[0] in {b"Z", b"X"} else fields[19].decode()
    except (OSError, IndexError):
        return ""
