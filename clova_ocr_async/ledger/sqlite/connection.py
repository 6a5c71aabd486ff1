"""How the ledger's file is opened, and which processes have it open.

SQLite's locks are POSIX's: they belong to a process, and closing any descriptor of the file drops all that the process
holds on it. So a file that SQLite has open in this process is never opened here by other means.
"""

from __future__ import annotations

import enum
import os
import shutil
import sqlite3
import struct
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.sqlite import enable_wal
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER, check_links
from clova_ocr_async.protocol.echo import shown_path

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["Holder", "connect", "connect_in_place", "copy_closed", "holder_of", "lock_query", "lock_type"]

_PATIENCE = 5.0  # seconds that another process may keep a reader out, which none does for longer than a moment
_CHUNK = 1024 * 1024  # bytes

# Source: SQLite's os.h, PENDING_BYTE and SHARED_SIZE (2026-11): a connection that has read the file shares a lock of
# the last 510 of these bytes for as long as it is open, where the log is written ahead.
_LOCKED_FROM, _LOCKED_BYTES = 0x40000000, 512

_LINUX_LOCK = struct.Struct("@hhqqi4x")  # type, whence, start, length, pid
_BSD_LOCK = struct.Struct("@qqihh4x")  # start, length, pid, type, whence
_READ_ONLY = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Holder(enum.Enum):
    """Who has a ledger open."""

    NOBODY = enum.auto()
    OTHERS = enum.auto()
    THIS_PROCESS = enum.auto()


def _no_forks(*, after_in_child: object) -> None:
    """Do nothing, where there are no forks, as on Windows."""


class _OpenHere:
    """The ledgers that this process has open, by device and inode, other than in place."""

    def __init__(self) -> None:
        self.forget()
        getattr(os, "register_at_fork", _no_forks)(after_in_child=self.forget)

    def forget(self) -> None:
        """Begin anew: a child of a fork has none of its parent's locks, and no thread that would let go of the gate."""
        self.gate = threading.Lock()
        self.count: Counter[tuple[int, int]] = Counter()


_here = _OpenHere()


class _Counted(sqlite3.Connection):
    """A connection that this process knows of while it is open."""

    counted_as: tuple[int, int] | None = None

    def close(self) -> None:
        """Close the connection."""
        super().close()
        with _here.gate:
            if self.counted_as is not None:
                _here.count[self.counted_as] -= 1
                self.counted_as = None


def connect(folder: Path, *, reading: bool = False, patience: float = _PATIENCE) -> sqlite3.Connection:
    """Open the ledger in a folder.

    Args:
        folder: The run directory; the file in it is there, if only empty.
        reading: Nothing will be written. For a ledger that others have open: where nobody has, SQLite makes files
            beside it even for reading.
        patience: Seconds that another process may keep it locked, at each statement.

    Raises:
        LedgerError: The file system cannot hold it, or one of its files has a second name.
        sqlite3.Error: The file cannot be used.
    """
    db = _opened(folder / LEDGER, "mode=ro" if reading else "mode=rw")
    try:
        _prepare(db, folder, reading=reading, patience=patience)
    except BaseException:
        db.close()
        raise
    return db


def connect_in_place(ledger: Path) -> sqlite3.Connection:
    """Open a ledger that nobody has open and whose log is empty, so that no file is made or locked.

    Raises:
        sqlite3.Error: The file cannot be used.
    """
    return sqlite3.connect(_address(ledger, "mode=ro&immutable=1"), uri=True, timeout=0, isolation_level=None)


def _opened(ledger: Path, how: str) -> sqlite3.Connection:
    with _here.gate:
        db = sqlite3.connect(
            _address(ledger, how), uri=True, timeout=0, isolation_level=None, cached_statements=256, factory=_Counted
        )
        db.counted_as = _key_of(ledger)
        _here.count[db.counted_as] += 1
    return db


def _address(ledger: Path, how: str) -> str:
    # Three slashes: a path that begins with two would be taken for a host's name.
    return f"file://{quote(os.fsencode(os.path.abspath(ledger)))}?{how}"  # noqa: PTH100 - a Path does not tidy up


def _key_of(ledger: Path) -> tuple[int, int]:
    found = ledger.stat()
    return found.st_dev, found.st_ino


def _prepare(db: sqlite3.Connection, folder: Path, *, reading: bool, patience: float = _PATIENCE) -> None:
    if reading:
        db.execute(f"PRAGMA busy_timeout = {patience * 1000:.0f}")
        db.execute("PRAGMA query_only = ON")
        return
    if enable_wal(db, patience) != "wal":
        raise LedgerError(
            f"{shown_path(str(folder))}: its file system does not bear a ledger (no WAL); choose one on a local disk"
        )
    check_links(folder)  # once more, now that the log and its index are there
    db.execute("PRAGMA secure_delete = ON")


def holder_of(ledger: Path) -> Holder:
    """Return who has a ledger open; what only opened it, and has not read it yet, is not seen.

    Raises:
        OSError: The file cannot be read.
    """
    with _closed_here(ledger) as descriptor:
        if descriptor is None:
            return Holder.THIS_PROCESS
        return Holder.OTHERS if _is_locked(descriptor) else Holder.NOBODY


def copy_closed(ledger: Path, target: BinaryIO) -> bool:
    """Copy a ledger byte for byte, unless this process has it open.

    Returns:
        Whether it was copied.

    Raises:
        OSError: It cannot be read, or not be written.
    """
    with _closed_here(ledger) as descriptor:
        if descriptor is None:
            return False
        with open(descriptor, "rb", closefd=False) as source:
            shutil.copyfileobj(source, target, _CHUNK)
        return True


@contextmanager
def _closed_here(ledger: Path) -> Generator[int | None]:
    """Open a file by other means than SQLite's, and have this process not open it meanwhile; None if it has it open."""
    with _here.gate:
        if _here.count[_key_of(ledger)] > 0:  # less in a child of a fork that closes its parent's connections
            yield None
            return
        descriptor = os.open(ledger, _READ_ONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    import fcntl  # noqa: PLC0415 - Windows has none, and the package imports there

    found = fcntl.fcntl(descriptor, fcntl.F_GETLK, lock_query(sys.platform, fcntl.F_WRLCK))
    return lock_type(sys.platform, found) != fcntl.F_UNLCK


def lock_query(platform: str, kind: int) -> bytes:
    """Return the question who keeps this process from locking a ledger, as ``struct flock``.

    Args:
        platform: As ``sys.platform``; POSIX leaves the order of the fields open.
        kind: Of the lock.
    """
    if platform.startswith("linux"):
        return _LINUX_LOCK.pack(kind, os.SEEK_SET, _LOCKED_FROM, _LOCKED_BYTES, 0)
    return _BSD_LOCK.pack(_LOCKED_FROM, _LOCKED_BYTES, 0, kind, os.SEEK_SET)


def lock_type(platform: str, answer: bytes) -> int:
    """Return the type of the lock that the answer to ``lock_query`` names."""
    kind = _LINUX_LOCK.unpack(answer)[0] if platform.startswith("linux") else _BSD_LOCK.unpack(answer)[3]
    return int(kind)
