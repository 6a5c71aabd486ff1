"""SQLite's write-ahead log, which the ledger and the shared slots use."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["enable_wal"]

_PAUSE = 0.02  # seconds between two tries


def enable_wal(db: sqlite3.Connection, patience: float, sleep: Callable[[float], object] = time.sleep) -> str:
    """Switch a database to write-ahead logging for good, and let the connection wait for locks from then on.

    Of several processes that switch a new file, SQLite refuses all but one at once, whatever their timeout.

    Args:
        db: The connection, opened with a timeout of 0.
        patience: Seconds to wait for a lock, here and later.
        sleep: Sleeps for some seconds.

    Returns:
        The journal mode: "wal", or another one where the file system does not support it.

    Raises:
        sqlite3.OperationalError: The database stays locked by another connection.
    """
    waited = 0.0
    while True:
        try:
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            # The lower byte is the code, without its details. Only a lock passes by itself.
            if waited >= patience or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        else:
            db.execute(f"PRAGMA busy_timeout = {patience * 1000:.0f}")
            return str(mode)
        sleep(_PAUSE)
        waited += _PAUSE
