"""What errors of SQLite mean for a ledger."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.ledger.sqlite.lock_wait import holder_of, is_locked

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["StalledError", "ledger_error"]

_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})


class StalledError(LedgerError):
    """The ledger is locked by another program, and the order is one that does not wait for it."""

    resumable = True


def ledger_error(error: sqlite3.Error, database: Path | None = None) -> LedgerError:
    """Return what an error of SQLite means for whoever runs a batch.

    Args:
        error: What SQLite raised.
        database: The ledger's file, to name the process that keeps it locked.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of the number is detail
    if code in _FULL:
        return DiskFullError(f"the ledger cannot be written: {error}; make room on its disk, then run again")
    if is_locked(error):
        pid = None if database is None else holder_of(database)
        holder = "another program" if pid is None else f"another program (process {pid})"
        locked = LedgerError(f"{holder} keeps the ledger locked; end it, then run again")
        locked.resumable = True
        return locked
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return LedgerError(f"the ledger is damaged: {error}; copy it away, then try sqlite3's .recover")
    return LedgerError(f"the ledger cannot be used: {error}")
