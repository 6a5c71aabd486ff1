"""How the ledger's file is opened."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from clova_ocr_async.batch.sqlite.folder import LEDGER
from clova_ocr_async.client.write_ahead import write_ahead
from clova_ocr_async.errors import LedgerError
from clova_ocr_async.protocol.echo import shown_path

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["connect"]

_PATIENCE = 30.0  # seconds that another process may write


def connect(folder: Path, *, reading: bool = False) -> sqlite3.Connection:
    """Open the ledger in a folder.

    Args:
        folder: The run directory; the file in it is there, if only empty.
        reading: Nothing will be written.

    Raises:
        LedgerError: The file system cannot hold it.
        sqlite3.Error: The file cannot be used.
    """
    db = sqlite3.connect(folder / LEDGER, timeout=0, isolation_level=None, cached_statements=256)
    try:
        _prepare(db, folder, reading=reading)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, folder: Path, *, reading: bool) -> None:
    if write_ahead(db, _PATIENCE) != "wal":
        raise LedgerError(
            f"{shown_path(str(folder))}: its file system does not bear a ledger (no WAL); choose one on a local disk"
        )
    db.execute("PRAGMA secure_delete = ON")
    if reading:
        db.execute("PRAGMA query_only = ON")
