"""The call limit of a run (``max_calls``, ``--max-calls``): the calls that may be billed over its whole life.

A trigger of the schema counts a call when it is marked as sent. The count is part of the ledger, so that the limit
holds over all processes of a run, and in the transaction that marks the next call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

__all__ = ["calls", "in_flight", "may_send", "uncount_call"]


def may_send(db: sqlite3.Connection, max_calls: int | None) -> bool | None:
    """Return whether the limit allows one more call.

    Args:
        db: The connection, in the transaction that marks the call as sent.
        max_calls: The limit; None for any number of calls.

    Returns:
        True; None if the limit is reached for now, since calls in flight may turn out not to be billed; False if it is
        reached for good.
    """
    if max_calls is None or calls(db) < max_calls:
        return True
    return None if in_flight(db) else False  # counted only at the limit: a stored count would cost every call


def calls(db: sqlite3.Connection) -> int:
    """Return the number of calls that were billed, or may have been, those in flight included."""
    (count,) = db.execute("SELECT value FROM run WHERE name = 'calls'").fetchone()
    return int(count)


def in_flight(db: sqlite3.Connection) -> int:
    """Return the number of requests in flight."""
    (count,) = db.execute("SELECT count(*) FROM item WHERE owner IS NOT NULL AND sent_at IS NOT NULL").fetchone()
    return int(count)


def uncount_call(db: sqlite3.Connection) -> None:
    """Take back the count of a call that turned out not to be billed."""
    db.execute("UPDATE run SET value = value - 1 WHERE name = 'calls'")
