"""Connections to the ledger's file, and the processes that have it open.

SQLite uses POSIX locks: they belong to a process, and closing any descriptor of the file drops all locks that the
process holds on it. So this process never opens a file by other means while SQLite has it open here.
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
from clova_ocr_async.ledger.sqlite.run_directory import (
    LEDGER,
    check_hard_links,
    check_right_to_write,
    find_run_directory,
)
from clova_ocr_async.ledger.sqlite.schema import is_current_version, migrate
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

__all__ = [
    "Holder",
    "connect",
    "connect_existing",
    "connect_in_place",
    "copy_closed",
    "find_holder",
    "lock_query",
    "lock_type",
    "prepare_to_write",
]

_PATIENCE = 5.0  # seconds that another process may keep a reader out, which none does for longer than a moment
_CHUNK = 1024 * 1024  # bytes

# Source: SQLite's os.h, PENDING_BYTE and SHARED_SIZE (2026-11): in WAL mode a connection that has read the file holds a
# shared lock on the last 510 of these bytes for as long as it is open.
_LOCKED_FROM, _LOCKED_BYTES = 0x40000000, 512

_LINUX_LOCK = struct.Struct("@hhqqi4x")  # type, whence, start, length, pid
_BSD_LOCK = struct.Struct("@qqihh4x")  # start, length, pid, type, whence
_READ_ONLY = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Holder(enum.Enum):
    """The processes that have a ledger open."""

    NONE = enum.auto()
    OTHERS = enum.auto()
    THIS_PROCESS = enum.auto()


def _no_forks(*, after_in_child: object) -> None:
    """Do nothing: Windows has no fork."""


class _OpenFiles:
    """The ledgers that this process has open by device and inode, those read in place left out."""

    def __init__(self) -> None:
        self.reset()
        getattr(os, "register_at_fork", _no_forks)(after_in_child=self.reset)

    def reset(self) -> None:
        """Start empty: the child of a fork has none of its parent's locks, and no thread to release this one."""
        self.lock = threading.Lock()
        self.count: Counter[tuple[int, int]] = Counter()


_open_files = _OpenFiles()


class _CountedConnection(sqlite3.Connection):
    """A connection that is in ``_open_files`` until it is closed."""

    counted_as: tuple[int, int] | None = None

    def close(self) -> None:
        """Close the connection."""
        super().close()
        with _open_files.lock:
            if self.counted_as is not None:
                _open_files.count[self.counted_as] -= 1
                self.counted_as = None


def connect(folder: Path, *, reading: bool = False, patience: float = _PATIENCE) -> sqlite3.Connection:
    """Open the ledger of a folder.

    Args:
        folder: The run directory; the file exists, if only empty.
        reading: Nothing will be written. Only for a ledger that other processes have open: otherwise SQLite creates
            files beside it even for a reader.
        patience: Seconds that another process may keep it locked, at each statement.

    Raises:
        LedgerError: The file system cannot hold it, one of its files has a second name, or the user may not write.
        sqlite3.Error: The file cannot be used.
    """
    if not reading:
        check_right_to_write(folder)
    db = _connect_counted(folder / LEDGER, "mode=ro" if reading else "mode=rw")
    try:
        if reading:
            db.execute(f"PRAGMA busy_timeout = {patience * 1000:.0f}")
            db.execute("PRAGMA query_only = ON")
        else:
            prepare_to_write(db, folder, patience)
    except BaseException:
        db.close()
        raise
    return db


def prepare_to_write(db: sqlite3.Connection, folder: Path, patience: float = _PATIENCE) -> None:
    """Set a connection up for writing: write-ahead log, and deleted content overwritten.

    Args:
        db: The connection.
        folder: The run directory.
        patience: Seconds that another process may keep the ledger locked.

    Raises:
        LedgerError: The file system has no write-ahead log, or one of the files has a second name.
    """
    if enable_wal(db, patience) != "wal":
        raise LedgerError(
            f"{shown_path(str(folder))}: its file system cannot hold a ledger (no WAL); choose a directory on a local "
            "disk"
        )
    check_hard_links(folder)  # once more, now that the log and its index exist
    db.execute("PRAGMA secure_delete = ON")  # else a purged answer stays readable in free pages


def connect_existing(path: str | os.PathLike[str], check: Callable[[sqlite3.Connection], object]) -> sqlite3.Connection:
    """Open the ledger of an existing run directory for writing, and bring its tables up to date.

    Args:
        path: The run directory.
        check: As in ``migrate``.

    Raises:
        LedgerError: There is none, one of its files has a second name, the user may not write, or this version of the
            package cannot read it.
        sqlite3.Error: The file cannot be used.
    """
    folder = find_run_directory(path)
    check_hard_links(folder)
    db = connect(folder)
    try:
        if not is_current_version(db, folder):
            migrate(db, check=check)
    except BaseException:
        db.close()
        raise
    return db


def connect_in_place(ledger: Path) -> sqlite3.Connection:
    """Open a ledger that no process has open and whose log is empty; no file is created or locked.

    Raises:
        sqlite3.Error: The file cannot be used.
    """
    return sqlite3.connect(_uri(ledger, "mode=ro&immutable=1"), uri=True, timeout=0, isolation_level=None)


def _connect_counted(ledger: Path, parameters: str) -> sqlite3.Connection:
    with _open_files.lock:
        db = sqlite3.connect(
            _uri(ledger, parameters),
            uri=True,
            timeout=0,
            isolation_level=None,
            cached_statements=256,
            factory=_CountedConnection,
        )
        db.counted_as = _key_of(ledger)
        _open_files.count[db.counted_as] += 1
    return db


def _uri(ledger: Path, parameters: str) -> str:
    # Three slashes: SQLite takes the first part of a path that begins with two for a host name.
    return f"file://{quote(os.fsencode(os.path.abspath(ledger)))}?{parameters}"  # noqa: PTH100 - a Path keeps ".."


def _key_of(ledger: Path) -> tuple[int, int]:
    found = ledger.stat()
    return found.st_dev, found.st_ino


def find_holder(ledger: Path) -> Holder:
    """Return the processes that have a ledger open; one that has opened it and not read it yet is not seen.

    Raises:
        OSError: The file cannot be read.
    """
    with _opened_without_sqlite(ledger) as descriptor:
        if descriptor is None:
            return Holder.THIS_PROCESS
        return Holder.OTHERS if _is_locked(descriptor) else Holder.NONE


def copy_closed(ledger: Path, target: BinaryIO) -> bool:
    """Copy a ledger byte for byte, unless this process has it open.

    Returns:
        Whether it was copied.

    Raises:
        OSError: It cannot be read, or the copy cannot be written.
    """
    with _opened_without_sqlite(ledger) as descriptor:
        if descriptor is None:
            return False
        with open(descriptor, "rb", closefd=False) as source:
            shutil.copyfileobj(source, target, _CHUNK)
        return True


@contextmanager
def _opened_without_sqlite(ledger: Path) -> Generator[int | None]:
    """Open a file by other means than SQLite, and let this process not connect meanwhile; None if it is connected."""
    with _open_files.lock:
        if _open_files.count[_key_of(ledger)] > 0:  # below 0 in the child of a fork that closes its parent's connection
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
    """Return a ``struct flock`` that asks which lock keeps this process from locking a ledger.

    Args:
        platform: As ``sys.platform``; POSIX leaves the order of the fields open.
        kind: Type of the lock.
    """
    if platform.startswith("linux"):
        return _LINUX_LOCK.pack(kind, os.SEEK_SET, _LOCKED_FROM, _LOCKED_BYTES, 0)
    return _BSD_LOCK.pack(_LOCKED_FROM, _LOCKED_BYTES, 0, kind, os.SEEK_SET)


def lock_type(platform: str, answer: bytes) -> int:
    """Return the type of the lock in the system's answer to ``lock_query``."""
    kind = _LINUX_LOCK.unpack(answer)[0] if platform.startswith("linux") else _BSD_LOCK.unpack(answer)[3]
    return int(kind)
