"""How the ledger's file is opened."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from clova_ocr_async.batch.sqlite.folder import LEDGER
from clova_ocr_async.client.write_ahead import write_ahead
from clova_ocr_async.errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["connect"]

_PATIENCE = 5.0  # seconds that another process may keep a reader out, which none does for longer than a moment


def connect(folder: Path, *, reading: bool = False, patience: float = _PATIENCE) -> sqlite3.Connection:
    """Open the ledger in a folder.

    Args:
        folder: The run directory; the file in it is there, if only empty.
        reading: Nothing will be written.
        patience: Seconds that another process may keep it locked, at each statement.

    Raises:
        LedgerError: The file system cannot hold it.
        sqlite3.Error: The file cannot be used.
    """
    db = sqlite3.connect(folder / LEDGER, timeout=0, isolation_level=None, cached_statements=256)
    try:
        _prepare(db, folder, reading=reading, patience=patience)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, folder: Path, *, reading: bool, patience: float = _PATIENCE) -> None:
    if write_ahead(db, patience) != "wal":
        raise LedgerError(f"{folder}: its file system does not bear a ledger (no WAL); choose one on a local disk")
    db.execute("PRAGMA secure_delete = ON")
    if reading:
        db.execute("PRAGMA query_only = ON")
