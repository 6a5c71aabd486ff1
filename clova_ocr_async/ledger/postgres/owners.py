"""The owners of a run in PostgreSQL: their leases, and the take-over of what dead ones left.

A lease ends at a time of the server's clock, which all hosts share. A process of this host that has ended is dead at
once. A process of another host, another container or another boot cannot be looked up, so its lease alone decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.host.processes import Process, lease_is_over
from clova_ocr_async.ledger.postgres.item_statements import find_by_number, reopen_sources
from clova_ocr_async.ledger.postgres.outcome_statements import count_unusable_answer, settle
from clova_ocr_async.ledger.run_settings import LEASE
from clova_ocr_async.ledger.settlement import settlement_due
from clova_ocr_async.ledger.states import TRANSITIONS, Claim, ItemEvent, Settlement, State
from clova_ocr_async.ledger.stored_values import entry_of, sealed_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import Connection

    from clova_ocr_async.ledger.seal import Seal

__all__ = [
    "Lease",
    "dead_owners",
    "is_leased",
    "living_owners",
    "register",
    "release_all",
    "renew",
    "require_none_at_work",
    "take_over",
]

Lease = tuple[int, float]
"""An owner, and the end of its lease as it was seen: a lease that was renewed since then has another one."""

# A standby that takes over without the last commits, and a database that was restored, give numbers out again.
_ITSELF = "id = %(owner)s AND place = %(place)s AND pid = %(pid)s AND started = %(started)s"
# ``clock`` is NULL for the server's own; a test gives the seconds of its clock.
_CLOCK = "coalesce(%(clock)s::float8, extract(epoch FROM clock_timestamp())::float8)"


def register(db: Connection[Any], run: int, process: Process, lease: float, clock: float | None) -> int:
    """Return the number of a new owner.

    Args:
        db: The connection.
        run: The run's number.
        process: The process.
        lease: Seconds of its lease.
        clock: Seconds of the shared clock; None for the server's.
    """
    row = db.execute(
        f"""INSERT INTO clova_ocr.owner (run, place, pid, started, expires)
            VALUES (%(run)s, %(place)s, %(pid)s, %(started)s, {_CLOCK} + %(lease)s) RETURNING id""",
        {
            "run": run,
            "place": process.place,
            "pid": process.pid,
            "started": process.started,
            "lease": lease,
            "clock": clock,
        },
    ).fetchone()
    assert row is not None  # noqa: S101 - RETURNING has a row
    return int(row[0])


def renew(db: Connection[Any], owner: int, process: Process, lease: float, clock: float | None) -> bool:
    """Extend a lease; return False if the owner was removed, since its work was given to others."""
    changed = db.execute(
        f"UPDATE clova_ocr.owner SET expires = {_CLOCK} + %(lease)s WHERE {_ITSELF}",
        _own_values(owner, process) | {"lease": lease, "clock": clock},
    )
    return changed.rowcount == 1


def is_leased(db: Connection[Any], owner: int, process: Process, lease: float, clock: float | None) -> bool:
    """Return whether an owner has its lease, and keep others from its work until the transaction ends.

    A lease that is over, and whose work no process has taken yet, is extended.
    """
    row = db.execute(
        f"SELECT expires > {_CLOCK} FROM clova_ocr.owner WHERE {_ITSELF} FOR KEY SHARE",
        _own_values(owner, process) | {"clock": clock},
    ).fetchone()
    return row is not None and (row[0] or renew(db, owner, process, lease, clock))


def _own_values(owner: int, process: Process) -> dict[str, object]:
    return {"owner": owner, "place": process.place, "pid": process.pid, "started": process.started}


def dead_owners(
    db: Connection[Any], run: int, process: Process, clock: float | None, *, apart_from: int = 0
) -> list[Lease]:
    """Return the owners whose work is free for others, for ``take_over``."""
    dead = [
        (owner, expires)
        for owner, found, expires, now in _owners(db, run, clock)
        if _has_ended(found, process) or lease_is_over(expires, now, LEASE)
    ]
    return [lease for lease in (*dead, *_orphans(db, run)) if lease[0] != apart_from]


def living_owners(db: Connection[Any], run: int, process: Process, clock: float | None) -> list[int]:
    """Return the owners that are at work."""
    return [
        owner
        for owner, found, expires, now in _owners(db, run, clock)
        if not (_has_ended(found, process) or lease_is_over(expires, now, LEASE))
    ]


def require_none_at_work(db: Connection[Any], run: int, process: Process, clock: float | None, action: str) -> None:
    """Refuse to go on while processes work on a run.

    Args:
        db: The connection.
        run: The run's number.
        process: This process.
        clock: Seconds of the shared clock; None for the server's.
        action: What the user repeats once they have ended, for the error.

    Raises:
        LedgerError: There are some.
    """
    if living := living_owners(db, run, process, clock):
        at_work = plural(len(living), "process is at work", "processes are at work")
        them = "it" if len(living) == 1 else "them"
        raise LedgerError(f"{at_work} on this run; wait for {them} to end, or end {them}, then {action}")


def _has_ended(found: Process, process: Process) -> bool:
    # Another place is another host or container here, and not an earlier boot of this one.
    return found.place == process.place and found.is_dead(process)


def _owners(db: Connection[Any], run: int, clock: float | None) -> list[tuple[int, Process, float, float]]:
    rows = db.execute(
        f"SELECT id, place, pid, started, expires, {_CLOCK} FROM clova_ocr.owner WHERE run = %(run)s ORDER BY id",
        {"run": run, "clock": clock},
    ).fetchall()
    return [(owner, Process(place, pid, started), expires, now) for owner, place, pid, started, expires, now in rows]


def _orphans(db: Connection[Any], run: int) -> list[Lease]:
    """Return removed owners that still have something, since their claim was committed after the removal."""
    # A process that slept past its lease may commit a claim before it notices.
    found = db.execute(
        """SELECT owner FROM clova_ocr.item WHERE run = %(run)s AND owner IS NOT NULL
               AND NOT EXISTS (SELECT FROM clova_ocr.owner WHERE owner.id = item.owner)
           UNION
           SELECT owner FROM clova_ocr.source WHERE run = %(run)s AND owner IS NOT NULL
               AND NOT EXISTS (SELECT FROM clova_ocr.owner WHERE owner.id = source.owner)""",
        {"run": run},
    )
    return [(owner, 0.0) for (owner,) in found.fetchall()]


def release_all(db: Connection[Any], run: int, owner: int, *, interrupted: bool = False) -> None:
    """Give back the claims and files of an owner that has nothing ``sent`` any more, and remove the owner.

    Args:
        db: The connection.
        run: The run's number.
        owner: The owner.
        interrupted: Whether it did not leave in order, so that its claims may have ended it.
    """
    claimed = db.execute(
        """UPDATE clova_ocr.item SET state = %s, owner = NULL, interrupted = greatest(interrupted, %s)
           WHERE run = %s AND owner = %s AND state = %s RETURNING id""",
        (TRANSITIONS[State.CLAIMED, ItemEvent.RELEASE], int(interrupted), run, owner, State.CLAIMED),
    ).fetchall()
    reopen_sources(db, [number for (number,) in claimed])
    db.execute("UPDATE clova_ocr.source SET owner = NULL WHERE run = %s AND owner = %s", (run, owner))
    db.execute("DELETE FROM clova_ocr.owner WHERE id = %s", (owner,))


def take_over(
    db: Connection[Any],
    run: int,
    owners: Sequence[Lease],
    seal: Seal,
    now: Callable[[], float],
    inconclusive: set[tuple[int, str, int]] | None = None,
    *,
    interrupted: bool = True,
) -> None:
    """Settle what some owners left, and the ambiguous items that have their answer by now.

    Args:
        db: The connection.
        run: The run's number.
        owners: The dead ones, or the one that leaves.
        seal: Opens and seals.
        now: Returns Unix seconds.
        inconclusive: Late answers that settle nothing, as they are damaged or another call's: the item, the requestId
            of its last call, and the answer. Added to, and not opened again.
        interrupted: Whether they did not leave in order.
    """
    for owner, expires in owners:
        if _remove(db, owner, expires):
            _settle_sent(db, run, owner, seal, now)
            release_all(db, run, owner, interrupted=interrupted)
    _settle_late(db, run, seal, now, set() if inconclusive is None else inconclusive)


def _remove(db: Connection[Any], owner: int, expires: float) -> bool:
    """Remove a dead owner, so that it sends nothing more; return False if it has renewed its lease meanwhile."""
    # First of all: a request of it that is being marked in another transaction is waited for, and settled here.
    db.execute("DELETE FROM clova_ocr.owner WHERE id = %s AND expires = %s", (owner, expires))
    return db.execute("SELECT FROM clova_ocr.owner WHERE id = %s", (owner,)).fetchone() is None


def _settle_sent(db: Connection[Any], run: int, owner: int, seal: Seal, now: Callable[[], float]) -> None:
    # Before the release, which would give back as unsent what may have been billed.
    sent = db.execute(
        "SELECT id FROM clova_ocr.item WHERE run = %s AND owner = %s AND state = %s ORDER BY id",
        (run, owner, State.SENT),
    ).fetchall()
    for (number,) in sent:
        _settle_due(db, owner, number, seal, now())


def _settle_late(
    db: Connection[Any], run: int, seal: Seal, now: Callable[[], float], inconclusive: set[tuple[int, str, int]]
) -> None:
    late = db.execute(
        """SELECT id, request_id, answer, maybe_billed FROM clova_ocr.item
           WHERE run = %s AND state = 'ambiguous' AND answer IS NOT NULL ORDER BY id""",
        (run,),
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


def _settle_due(db: Connection[Any], owner: int, number: int, seal: Seal, now: float) -> Settlement | None:
    # Locked before it is read: its process may live, and store its answer at this moment.
    db.execute("SELECT FROM clova_ocr.item WHERE id = %s FOR NO KEY UPDATE", (number,))
    entry = entry_of(find_by_number(db, number), seal)
    settlement = settlement_due(entry, owner_alive=False)
    if settlement is not None:
        failure = sealed_failure(seal, entry.item, settlement.failure)
        settle(db, Claim(number, owner, entry.item), settlement, failure, now)
    return settlement
