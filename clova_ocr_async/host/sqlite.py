"""SQLite's write-ahead log, which the ledger and the shared slots both keep."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["enable_wal"]

_PAUSE = 0.02  # seconds between two tries


def enable_wal(db: sqlite3.Connection, patience: float, sleep: Callable[[float], object] = time.sleep) -> str:
    """Have a database written ahead, as it is ever after, and let the connection wait for others from then on.

    Of several processes that do this to a new file SQLite refuses all but one at once, whatever their timeout.

    Args:
        db: The connection, opened with a timeout of 0.
        patience: Seconds to wait for others, here and later.
        sleep: Waits some seconds.

    Returns:
        The journal mode it has now: "wal", or another one where the file system does not bear that.

    Raises:
        sqlite3.OperationalError: Somebody else has it locked all the time.
    """
    waited = 0.0
    while True:
        try:
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if waited >= patience or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        else:
            db.execute(f"PRAGMA busy_timeout = {patience * 1000:.0f}")
            return str(mode)
        sleep(_PAUSE)
        waited += _PAUSE
