"""Who is at work on a ledger: leases, and what becomes of the work of the dead.

Where a process can be looked up, it is known at once that it is dead; where not (another container), and where it lives
but sleeps, its lease decides. Leases are times on the monotonic clock, which all processes of a boot share and nobody
sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.errors import Billing, ConnectionLostError
from clova_ocr_async.host.processes import Process, lease_is_over
from clova_ocr_async.ledger.settlement import encode_failure, settle_from_answer
from clova_ocr_async.ledger.sqlite.statements import (
    doubt_late,
    entry_of,
    find_number,
    kept_failure,
    reopen_sources,
    settle,
)
from clova_ocr_async.ledger.states import Claim, Entry, ItemEvent, Settlement, State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from clova_ocr_async.ledger.seal import Seal

__all__ = ["LEASE", "dead_owners", "living_owners", "register", "release_all", "renew", "take_over"]

LEASE = 30.0
"""Seconds a process may sleep before its work is given to others; the longest lease there is."""

_Late = tuple[int, str, int]  # the item, the requestId of its last call, and the answer

_ENDED = ConnectionLostError("the process that sent it ended before the answer came; it may have been billed")


def register(db: sqlite3.Connection, process: Process, expires: float) -> int:
    """Return a new owner, whose lease ends at a time of the shared clock."""
    added = db.execute(
        "INSERT INTO owner (place, pid, started, expires) VALUES (?, ?, ?, ?)",
        (process.place, process.pid, process.started, expires),
    )
    return int(added.lastrowid or 0)


def renew(db: sqlite3.Connection, owner: int, expires: float) -> bool:
    """Put a lease's end off; return False if its work has been given to others."""
    changed = db.execute("UPDATE owner SET expires = ? WHERE id = ?", (expires, owner))
    return changed.rowcount == 1


def dead_owners(db: sqlite3.Connection, process: Process, now: float, *, apart_from: int = 0) -> list[int]:
    """Return the owners whose work is free for others."""
    dead = [
        owner for owner, found, expires in _owners(db) if found.is_dead(process) or lease_is_over(expires, now, LEASE)
    ]
    return [owner for owner in (*dead, *_strays(db)) if owner != apart_from]


def _strays(db: sqlite3.Connection) -> list[int]:
    """Return owners that are gone and still have something: their claim was committed when they had been removed."""
    found = db.execute(
        """SELECT owner FROM item WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM owner) UNION
           SELECT owner FROM source WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM owner)"""
    )
    return [owner for (owner,) in found.fetchall()]


def living_owners(db: sqlite3.Connection, process: Process, now: float) -> list[int]:
    """Return the owners that are at work."""
    dead = dead_owners(db, process, now)
    return [owner for owner, _, _ in _owners(db) if owner not in dead]


def _owners(db: sqlite3.Connection) -> list[tuple[int, Process, float]]:
    rows = db.execute("SELECT id, place, pid, started, expires FROM owner").fetchall()
    return [(owner, Process(place, pid, started), expires) for owner, place, pid, started, expires in rows]


def release_all(db: sqlite3.Connection, owner: int) -> None:
    """Give everything back that an owner has and nobody is at work on any more; the owner is gone then."""
    claimed = [
        number for (number,) in db.execute("SELECT id FROM item WHERE owner = ? AND state = ?", (owner, State.CLAIMED))
    ]
    db.execute(
        "UPDATE item SET state = ?, owner = NULL WHERE owner = ? AND state = ?", (State.QUEUED, owner, State.CLAIMED)
    )
    reopen_sources(db, claimed)
    db.execute("UPDATE source SET owner = NULL WHERE owner = ?", (owner,))
    db.execute("DELETE FROM owner WHERE id = ?", (owner,))


def take_over(
    db: sqlite3.Connection,
    owners: Sequence[int],
    seal: Seal,
    now: Callable[[], float],
    judged: set[_Late] | None = None,
) -> None:
    """Settle what the dead left: what was not sent is free, what has its answer is finished, the rest is in doubt.

    What was in doubt, and has its answer by now, is finished as well.

    Args:
        db: The connection.
        owners: The dead.
        seal: Opens and seals.
        now: Returns Unix seconds.
        judged: Late answers that settled nothing, as they are another call's or damaged; added to, and not read again.
    """
    for owner in owners:
        sent = db.execute("SELECT id FROM item WHERE owner = ? AND state = ?", (owner, State.SENT)).fetchall()
        for (number,) in sent:
            _settle_for_the_dead(db, owner, entry_of(find_number(db, number), seal), seal, now())
        release_all(db, owner)
    _settle_late(db, seal, now, set() if judged is None else judged)


def _settle_late(db: sqlite3.Connection, seal: Seal, now: Callable[[], float], judged: set[_Late]) -> None:
    late = db.execute(
        "SELECT id, request_id, answer, maybe_billed FROM item WHERE state = 'ambiguous' AND answer IS NOT NULL"
    )
    for number, request_id, answer, maybe_billed in late.fetchall():
        key = (number, request_id, answer)
        if maybe_billed and key in judged:
            continue
        if _settle_for_the_dead(db, 0, entry_of(find_number(db, number), seal), seal, now()) is ItemEvent.DOUBT:
            doubt_late(db, number)  # it was counted as paid when an answer came
            judged.add(key)


def _settle_for_the_dead(db: sqlite3.Connection, owner: int, entry: Entry, seal: Seal, now: float) -> ItemEvent:
    claim, request_id = Claim(entry.number, owner, entry.item), entry.request_id or ""
    if entry.answer is None:
        verdict = Settlement(ItemEvent.DOUBT, Billing.MAYBE_BILLED, entry.elapsed, encode_failure(_ENDED), request_id)
    else:
        verdict = settle_from_answer(entry.answer, DOCUMENTS[entry.item.document], request_id)
    settle(db, claim, verdict, kept_failure(seal, entry.item, verdict.failure), now)
    return verdict.mark
