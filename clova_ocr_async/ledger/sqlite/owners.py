"""The owners of a ledger: their leases, and the take-over of what dead ones left.

Where a process can be looked up, its death shows at once. Where it cannot (another container), and where a process
lives but sleeps, its lease decides. Leases end at times of the monotonic clock, which all processes of a boot share and
which no program sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.host.processes import Process, lease_is_over
from clova_ocr_async.ledger.run_settings import LEASE
from clova_ocr_async.ledger.settlement import settlement_due
from clova_ocr_async.ledger.sqlite.item_statements import count_unusable_answer, find_by_number, reopen_sources, settle
from clova_ocr_async.ledger.states import TRANSITIONS, Claim, ItemEvent, Settlement, State
from clova_ocr_async.ledger.stored_values import entry_of, sealed_failure

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from clova_ocr_async.ledger.seal import Seal

__all__ = [
    "LEASE",
    "dead_owners",
    "living_owners",
    "register",
    "release_all",
    "renew",
    "require_none_at_work",
    "take_over",
]

_LateAnswer = tuple[int, str, int]  # the item, the requestId of its last call, and the answer


def register(db: sqlite3.Connection, process: Process, expires: float) -> int:
    """Return the number of a new owner.

    Args:
        db: The connection.
        process: The process.
        expires: When its lease ends, on the shared clock.
    """
    added = db.execute(
        "INSERT INTO owner (place, pid, started, expires) VALUES (?, ?, ?, ?)",
        (process.place, process.pid, process.started, expires),
    )
    return int(added.lastrowid or 0)


def renew(db: sqlite3.Connection, owner: int, expires: float) -> bool:
    """Extend a lease; return False if the owner was removed, since its work was given to others."""
    changed = db.execute("UPDATE owner SET expires = ? WHERE id = ?", (expires, owner))
    return changed.rowcount == 1


def dead_owners(db: sqlite3.Connection, process: Process, now: float, *, apart_from: int = 0) -> list[int]:
    """Return the owners whose work is free for others."""
    dead = [
        owner for owner, found, expires in _owners(db) if found.is_dead(process) or lease_is_over(expires, now, LEASE)
    ]
    return [owner for owner in (*dead, *_orphans(db)) if owner != apart_from]


def _orphans(db: sqlite3.Connection) -> list[int]:
    """Return removed owners that still have something, since their claim was committed after the removal."""
    # A process that slept past its lease may commit a claim before it notices.
    found = db.execute(
        """SELECT owner FROM item WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM owner) UNION
           SELECT owner FROM source WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM owner)"""
    )
    return [owner for (owner,) in found.fetchall()]


def living_owners(db: sqlite3.Connection, process: Process, now: float) -> list[int]:
    """Return the owners that are at work."""
    dead = dead_owners(db, process, now)
    return [owner for owner, _, _ in _owners(db) if owner not in dead]


def require_none_at_work(db: sqlite3.Connection, process: Process, now: float, action: str) -> None:
    """Refuse to go on while processes work on a run.

    Args:
        db: The connection.
        process: This process.
        now: Seconds of the shared clock.
        action: What the user repeats once they have ended, for the error.

    Raises:
        LedgerError: There are some.
    """
    if living := living_owners(db, process, now):
        at_work = plural(len(living), "process is at work", "processes are at work")
        them = "it" if len(living) == 1 else "them"
        raise LedgerError(f"{at_work} on this run; wait for {them} to end, or end {them}, then {action}")


def _owners(db: sqlite3.Connection) -> list[tuple[int, Process, float]]:
    rows = db.execute("SELECT id, place, pid, started, expires FROM owner").fetchall()
    return [(owner, Process(place, pid, started), expires) for owner, place, pid, started, expires in rows]


def release_all(db: sqlite3.Connection, owner: int, *, interrupted: bool = False) -> None:
    """Give back the claims and files of an owner that has nothing ``sent`` any more, and remove the owner.

    Args:
        db: The connection.
        owner: The owner.
        interrupted: Whether it did not leave in order, so that its claims may have ended it.
    """
    claimed = db.execute("SELECT id FROM item WHERE owner = ? AND state = ?", (owner, State.CLAIMED)).fetchall()
    db.execute(
        "UPDATE item SET state = ?, owner = NULL, interrupted = max(interrupted, ?) WHERE owner = ? AND state = ?",
        (TRANSITIONS[State.CLAIMED, ItemEvent.RELEASE], interrupted, owner, State.CLAIMED),
    )
    reopen_sources(db, [number for (number,) in claimed])
    db.execute("UPDATE source SET owner = NULL WHERE owner = ?", (owner,))
    db.execute("DELETE FROM owner WHERE id = ?", (owner,))


def take_over(
    db: sqlite3.Connection,
    owners: Sequence[int],
    seal: Seal,
    now: Callable[[], float],
    inconclusive: set[_LateAnswer] | None = None,
    *,
    interrupted: bool = True,
) -> None:
    """Settle what some owners left, and the ambiguous items that have their answer by now.

    Args:
        db: The connection.
        owners: The dead ones, or the one that leaves.
        seal: Opens and seals.
        now: Returns Unix seconds.
        inconclusive: Late answers that settle nothing, as they are damaged or another call's; added to, and not opened
            again.
        interrupted: Whether they did not leave in order.
    """
    for owner in owners:
        # Before the release, which would give back as unsent what may have been billed.
        sent = db.execute("SELECT id FROM item WHERE owner = ? AND state = ?", (owner, State.SENT)).fetchall()
        for (number,) in sent:
            _settle_due(db, owner, number, seal, now())
        release_all(db, owner, interrupted=interrupted)
    _settle_late(db, seal, now, set() if inconclusive is None else inconclusive)


def _settle_late(db: sqlite3.Connection, seal: Seal, now: Callable[[], float], inconclusive: set[_LateAnswer]) -> None:
    late = db.execute(
        "SELECT id, request_id, answer, maybe_billed FROM item WHERE state = 'ambiguous' AND answer IS NOT NULL"
    )
    for number, request_id, answer, maybe_billed in late.fetchall():
        key = (number, request_id, answer)
        # A damaged answer would be opened, and logged, at each renewal of the lease.
        if maybe_billed and key in inconclusive:
            continue
        settlement = _settle_due(db, 0, number, seal, now())
        if settlement is None or settlement.event is ItemEvent.MAYBE_BILLED:
            count_unusable_answer(db, number)
            inconclusive.add(key)


def _settle_due(db: sqlite3.Connection, owner: int, number: int, seal: Seal, now: float) -> Settlement | None:
    entry = entry_of(find_by_number(db, number), seal)
    settlement = settlement_due(entry, owner_alive=False)
    if settlement is not None:
        failure = sealed_failure(seal, entry.item, settlement.failure)
        settle(db, Claim(number, owner, entry.item), settlement, failure, now)
    return settlement
