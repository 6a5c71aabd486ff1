"""Errors of SQLite and of the file system, as errors of the ledger with a way out."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.ledger.sqlite.lock_wait import is_locked, locking_pid

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["LockTimeoutError", "ledger_error", "translate_sqlite_errors"]

# A full disk shows as FULL, IOERR or CANTOPEN, by the file that could not grow. READONLY: the disk was remounted
# read-only, or the files are another user's, which may show as CANTOPEN as well.
_ROOM, _RIGHT = "make room on its disk", "let your user write to the run directory and its files"
_NOT_WRITABLE = {
    sqlite3.SQLITE_FULL: _ROOM,
    sqlite3.SQLITE_IOERR: _ROOM,
    sqlite3.SQLITE_READONLY: _RIGHT,
    sqlite3.SQLITE_CANTOPEN: f"{_ROOM}, and {_RIGHT}",
}


class LockTimeoutError(LedgerError):
    """Another program keeps the ledger locked, and the job is an urgent one."""

    resumable = True


def ledger_error(error: sqlite3.Error, database: Path | None = None) -> LedgerError:
    """Return the ledger's error for an error of SQLite.

    Args:
        error: Raised by SQLite.
        database: The ledger's file, to name the process that keeps it locked.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of an extended code is detail
    if (way_out := _NOT_WRITABLE.get(code)) is not None:
        return DiskFullError(f"the ledger cannot be written: {error}; {way_out}, then run again")
    if is_locked(error):
        pid = None if database is None else locking_pid(database)
        holder = "another program" if pid is None else f"another program (process {pid})"
        locked = LedgerError(f"{holder} keeps the ledger locked; end it, then run again")
        locked.resumable = True
        return locked
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return LedgerError(f"the ledger is damaged: {error}; copy it to another place, then try sqlite3's .recover")
    return LedgerError(f"the ledger cannot be used: {error}")


@contextmanager
def translate_sqlite_errors() -> Generator[None]:
    """Raise errors of SQLite as errors of the ledger."""
    try:
        yield
    except sqlite3.Error as error:
        raise ledger_error(error) from None
