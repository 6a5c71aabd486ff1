"""A lock timeout for a whole connection, however many statements wait for the lock.

SQLite's own busy handler starts a new wait at every statement and cannot be interrupted, so a lock that is never
released costs minutes. Here every statement tries once, and a LockWait decides whether to retry. Its timeout, the
*patience*, starts when the lock is first missed and ends when it is next obtained. Once it is used up, each job tries
once and fails at once; that try is the probe which finds the lock free again.
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

__all__ = ["PATIENCE", "LockWait", "is_locked", "locking_pid"]

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that another program may keep a ledger locked. A commit takes milliseconds, a large purge seconds."""

_PAUSES = (0.001, 0.002, 0.005, 0.01, 0.02)  # seconds between two tries; the last one from then on
# PROTOCOL: SQLite has itself waited 10 s for a process that was suspended as it began to read the log.
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})


class LockWait:
    """The lock timeout of one connection, which is opened with a busy timeout of 0.

    Args:
        patience: Seconds that other programs may keep the lock, in total until it is next obtained.
        clock: Returns seconds that only grow.
        pause: Waits some seconds, in this thread; by default a wait that ``give_up`` interrupts.
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
        """Call a function that needs the lock, and retry while another program has it and the patience lasts.

        Args:
            attempt: The function; it must leave nothing behind if it misses the lock.
            meanwhile: Called before each retry with the error.

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
        """Seconds since the lock was first missed; 0 if it was obtained since."""
        return 0.0 if self._since is None else self._clock() - self._since

    def give_up(self) -> None:
        """End the wait, and never wait again; may be called in another thread."""
        self._given_up.set()


def is_locked(error: sqlite3.Error) -> bool:
    """Return whether an error means that another program holds a lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _LOCKED  # the rest of an extended code is detail


def locking_pid(database: Path, locks: Path = Path("/proc/locks")) -> int | None:
    """Return the pid of a process that has a database locked for writing; None where the system does not show it.

    Source: proc_locks(5), Linux man-pages: kind, mode, READ or WRITE, pid, MAJOR:MINOR:INODE, start, end. The device is
    not compared: on some file systems (btrfs, overlayfs) stat(2) returns another one.

    Args:
        database: The file; in WAL mode the lock of a writer is on its ``-shm``.
        locks: The file in which Linux lists all locks.
    """
    try:
        inodes = {str(os.stat(f"{database}{end}").st_ino) for end in ("", "-shm")}  # noqa: PTH116 - a name and its end
        listed = [line.split() for line in locks.read_text().splitlines()]
    except OSError:
        return None
    for _, kind, _, mode, pid, where, *_ in (fields for fields in listed if len(fields) == _FIELDS):
        if kind == "POSIX" and mode == "WRITE" and where.rpartition(":")[2] in inodes and _is_other_process(pid):
            return int(pid)
    return None


_FIELDS = 8  # of a lock that is held; the line of a waiting one has an arrow more


def _is_other_process(pid: str) -> bool:
    return pid.isdecimal() and int(pid) not in {0, os.getpid()}  # 0: a process of another pid namespace
