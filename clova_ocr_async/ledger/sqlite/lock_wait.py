"""Waiting for a lock that another program holds: one patience for the connection, however many steps wait for it.

SQLite's own busy handler waits anew at every statement, cannot be interrupted, and so turns a lock that is never given
back into minutes. Here every statement tries once, and this object decides whether the try is repeated. The patience
begins when the lock is first missed and ends when it is next obtained. Once it is used up the connection is *locked
out*: each order then tries once, which is the probe that notices that the lock is free again, and fails at once.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PATIENCE", "LockWait", "holder_of", "is_locked"]

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that another program may keep a ledger locked. A commit takes milliseconds, a large purge seconds."""

_PAUSES = (0.001, 0.002, 0.005, 0.01, 0.02)  # seconds between two tries; the last one from then on
# PROTOCOL: SQLite itself has waited 10 s for a process that was stopped while it began to read the log.
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})


class LockWait:
    """The patience of one connection, which is opened with a busy timeout of 0.

    Args:
        patience: Seconds that others may keep the lock, in total until it is next obtained.
        clock: Returns seconds that only grow.
        pause: Waits some seconds, in this thread; what ``give_up`` cuts short if not given.
    """

    def __init__(
        self,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._patience = patience
        self._clock = clock
        self._given_up = threading.Event()
        self._pause = pause or self._given_up.wait
        self._since: float | None = None

    def run(self, attempt: Callable[[], T], meanwhile: Callable[[sqlite3.Error], object] | None = None) -> T:
        """Do something that needs the lock, again and again while another program has it and the patience lasts.

        Args:
            attempt: Does it; it must leave nothing behind if the lock is missed.
            meanwhile: Called with the error of each try that is to be repeated.

        Raises:
            sqlite3.Error: Of the last try.
        """
        pauses = itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1]))
        while True:
            try:
                done = attempt()
            except sqlite3.Error as error:
                if not is_locked(error) or not self._may_wait():
                    raise
                if meanwhile is not None:
                    meanwhile(error)
            else:
                self._since = None
                return done
            self._pause(next(pauses))

    def _may_wait(self) -> bool:
        now = self._clock()
        if self._since is None:
            self._since = now
        return not self._given_up.is_set() and now - self._since < self._patience

    @property
    def waited(self) -> float:
        """Seconds since the lock was first missed; 0 if nobody waits for it."""
        return 0.0 if self._since is None else self._clock() - self._since

    def give_up(self) -> None:
        """Wait for no lock any more; from another thread."""
        self._given_up.set()


def is_locked(error: sqlite3.Error) -> bool:
    """Whether an error says that another program holds a lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _LOCKED  # the rest of the number is detail


def holder_of(database: Path, locks: Path = Path("/proc/locks")) -> int | None:
    """Return the pid of a process that has a database locked for writing; None where that cannot be looked up.

    Source: proc_locks(5), Linux man-pages: kind, mode, READ or WRITE, pid, MAJOR:MINOR:INODE, start, end. The device is
    not compared: on some file systems (btrfs, overlayfs) it is another one than stat(2) names.

    Args:
        database: The file; in WAL mode the lock of a writer is on its ``-shm``.
        locks: Where Linux lists the locks of all files.
    """
    try:
        inodes = {str(os.stat(f"{database}{end}").st_ino) for end in ("", "-shm")}  # noqa: PTH116 - a name and its end
        listed = [line.split() for line in locks.read_text().splitlines()]
    except OSError:
        return None
    for _, kind, _, mode, pid, where, *_ in (fields for fields in listed if len(fields) == _FIELDS):
        if kind == "POSIX" and mode == "WRITE" and where.rpartition(":")[2] in inodes and _is_anothers(pid):
            return int(pid)
    return None


_FIELDS = 8  # of a lock that is held; a line of one that is waited for has an arrow more


def _is_anothers(pid: str) -> bool:
    return pid.isdecimal() and int(pid) not in {0, os.getpid()}  # 0 is in another namespace
