"""The reads and writes of items as SQL. Each is a function of a connection, inside a transaction of its caller.

The rules are those of ``ledger.storage`` and ``ledger.states``. Every write names in its WHERE clause the states it
applies to and what fences it, so a late or foreign caller changes no row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.sqlite.call_limit import may_send, uncount_call
from clova_ocr_async.ledger.states import (
    FINISHED,
    OWNED,
    TRANSITIONS,
    Claim,
    ClaimLostError,
    FileStamp,
    Item,
    ItemEvent,
    Settlement,
    SourceFile,
    State,
    from_states,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


__all__ = [
    "claim_item",
    "count_unusable_answer",
    "find_by_number",
    "find_item",
    "find_source",
    "is_owned",
    "item_at",
    "keep_answer",
    "link_source",
    "mark_maybe_billed",
    "refuse",
    "reject_gone",
    "reject_source",
    "reopen_sources",
    "send",
    "set_interrupted",
    "settle",
    "stamp_columns",
]

_ENTRY = """
    SELECT item.id, sha256, item.document, item.page, recipe, state, attempts, maybe_billed, billing, item.request_id,
           elapsed, item.failure, picture, item.owner, item.sent_at IS NOT NULL, item.answer IS NOT NULL,
           answer.status, answer.body, answer.unpacked, answer.cut, answer.came
    FROM item LEFT JOIN answer ON answer.id = item.answer
"""
_STATE = 5  # the place of the state in such a row

_CLAIMED = TRANSITIONS[State.QUEUED, ItemEvent.CLAIM]

# sent_at marks a request in flight. It is cleared at the end of the request, whatever the state is then.
_SEND = f"""
    UPDATE item SET state = ?, request_id = ?, sent_at = ?, picture = ?, attempts = attempts + 1
    WHERE id = ? AND owner = ? AND state IN ({", ".join("?" * len(from_states(ItemEvent.SEND)))})
"""


def find_item(db: sqlite3.Connection, item: Item) -> tuple[Any, ...] | None:
    """Return an item's row."""
    row: tuple[Any, ...] | None = db.execute(
        f"{_ENTRY} WHERE sha256 = ? AND item.document = ? AND item.page = ? AND recipe = ?",
        (item.sha256, item.document, item.page or 0, item.recipe),
    ).fetchone()
    return row


def find_by_number(db: sqlite3.Connection, number: int) -> tuple[Any, ...]:
    """Return the row of an item that is certainly there."""
    row: tuple[Any, ...] = db.execute(f"{_ENTRY} WHERE item.id = ?", (number,)).fetchone()
    return row


def item_at(db: sqlite3.Connection, number: int) -> Item | None:
    """Return the item that has a number; None if there is none."""
    row = db.execute("SELECT sha256, document, page, recipe FROM item WHERE id = ?", (number,)).fetchone()
    return None if row is None else Item(row[0], row[1], row[2] or None, row[3])


def is_owned(db: sqlite3.Connection, number: int) -> bool:
    """Return whether a process works on an item."""
    (state,) = db.execute("SELECT state FROM item WHERE id = ?", (number,)).fetchone()
    return state in OWNED


def find_source(db: sqlite3.Connection, source: SourceFile, document: str) -> tuple[Any, ...] | None:
    """Return the row of a file's item; None unless the file's stamp is the one it was read with."""
    if source.stamp is None:
        return None
    # All four values: programs such as rsync and cp -p keep size and modification time.
    row: tuple[Any, ...] | None = db.execute(
        f"""{_ENTRY} JOIN source ON source.item = item.id
            WHERE source.document = ? AND path = ? AND source.page = ?
              AND size = ? AND modified_ns = ? AND changed_ns = ? AND inode = ?""",
        (document, source.path, source.page or 0, *stamp_columns(source.stamp)),
    ).fetchone()
    return row


def link_source(db: sqlite3.Connection, source: SourceFile, item: Item, number: int, columns: bytes | None) -> None:
    """Write down that a file is an item's, and that it need not be read any more.

    Args:
        db: The connection.
        source: The file.
        item: The item.
        number: The item's.
        columns: The manifest's own columns, sealed; None leaves those that the file has.
    """
    db.execute(
        """INSERT INTO source (document, path, page, open, item, columns, size, modified_ns, changed_ns, inode)
           VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?)
           ON CONFLICT (document, path, page) DO UPDATE SET open = 0, owner = NULL, failure = NULL,
               item = excluded.item, columns = coalesce(excluded.columns, columns),
               size = excluded.size, modified_ns = excluded.modified_ns, changed_ns = excluded.changed_ns,
               inode = excluded.inode""",
        (item.document, source.path, source.page or 0, number, columns, *stamp_columns(source.stamp)),
    )


def claim_item(db: sqlite3.Connection, item: Item, owner: int) -> Claim | None:
    """Claim an item that is new or queued."""
    # One statement for both cases, so that no other process can claim it between a look and the claim.
    row = db.execute(
        """INSERT INTO item (sha256, document, page, recipe, state, owner) VALUES (?, ?, ?, ?, ?, ?)
           ON CONFLICT (sha256, document, page, recipe) DO UPDATE SET state = excluded.state, owner = excluded.owner
           WHERE state = ? RETURNING id, interrupted""",
        (item.sha256, item.document, item.page or 0, item.recipe, _CLAIMED, owner, State.QUEUED),
    ).fetchone()
    return None if row is None else Claim(row[0], owner, item, row[1])


def set_interrupted(db: sqlite3.Connection, claim: Claim, count: int) -> None:
    """Record how many processes a claimed item has interrupted."""
    db.execute(
        "UPDATE item SET interrupted = ? WHERE id = ? AND owner = ? AND state = ?",
        (count, claim.number, claim.owner, State.CLAIMED),
    )


def reject_source(
    db: sqlite3.Connection, source: SourceFile, document: str, failure: bytes, columns: bytes | None
) -> None:
    """Record that a file cannot be read."""
    db.execute(
        """INSERT INTO source (document, path, page, open, failure, columns) VALUES (?, ?, ?, 0, ?, ?)
           ON CONFLICT (document, path, page) DO UPDATE SET open = 0, owner = NULL, failure = excluded.failure,
               item = NULL, columns = coalesce(excluded.columns, columns),
               size = NULL, modified_ns = NULL, changed_ns = NULL, inode = NULL""",
        (document, source.path, source.page or 0, failure, columns),
    )


def reject_gone(
    db: sqlite3.Connection, source: SourceFile, document: str, failure: bytes, columns: bytes | None
) -> tuple[Any, ...] | None:
    """Record that a file was removed; return its item's row if it was read before."""
    found: tuple[Any, ...] | None = db.execute(
        f"{_ENTRY} JOIN source ON source.item = item.id WHERE source.document = ? AND path = ? AND source.page = ?",
        (document, source.path, source.page or 0),
    ).fetchone()
    # The outcome of an image that was read counts, also after its file is gone.
    read = found is not None and State(found[_STATE]) in FINISHED
    db.execute(
        """INSERT INTO source (document, path, page, open, failure, columns) VALUES (?, ?, ?, 0, ?, ?)
           ON CONFLICT (document, path, page) DO UPDATE SET open = 0, owner = NULL, failure = excluded.failure,
               columns = coalesce(excluded.columns, columns)""",
        (document, source.path, source.page or 0, None if read else failure, columns),
    )
    return found


def send(
    db: sqlite3.Connection, claim: Claim, request_id: str, picture: bytes, now: float, max_calls: int | None
) -> bool | None:
    """Mark a request that is about to leave.

    Args:
        db: The connection.
        claim: The right to the item.
        request_id: Of the call.
        picture: What it sends, as ``Entry.picture`` has it.
        now: Unix seconds.
        max_calls: The call limit of the run; None for any number.

    Returns:
        True; None if the limit is reached for now, since calls in flight may turn out not to be billed; False if it is
        reached for good.

    Raises:
        ClaimLostError: Another process has the item.
    """
    if not (allowed := may_send(db, max_calls)):
        return allowed
    values = (State.SENT, request_id, now, picture or None, claim.number, claim.owner, *from_states(ItemEvent.SEND))
    if not db.execute(_SEND, values).rowcount:
        raise ClaimLostError
    return True


def refuse(db: sqlite3.Connection, number: int, request_id: str, *, maybe_billed_before: bool) -> None:
    """Mark that the request in flight was certainly not billed."""
    # An earlier request of the same call may have been billed: the item must not look as if it were only claimed.
    state = State.SENT if maybe_billed_before else TRANSITIONS[State.SENT, ItemEvent.REFUSE]
    if _end_request(db, number, request_id, f"state = '{state}'"):
        uncount_call(db)


def mark_maybe_billed(db: sqlite3.Connection, number: int, request_id: str) -> None:
    """Mark that the request in flight may have been billed."""
    _end_request(db, number, request_id, "maybe_billed = maybe_billed + 1")


def _end_request(db: sqlite3.Connection, number: int, request_id: str, change: str) -> bool:
    """Mark that a request is in flight no more; return False if it was not."""
    return bool(
        db.execute(
            f"""UPDATE item SET sent_at = NULL, {change}
                WHERE id = ? AND request_id = ? AND state = ? AND sent_at IS NOT NULL""",
            (number, request_id, State.SENT),
        ).rowcount
    )


def count_unusable_answer(db: sqlite3.Connection, number: int) -> None:
    """Count an abandoned call as maybe billed again: its late answer, which uncounted it, cannot be opened.

    One of several ambiguous requests is counted then, since it is known that one of them was answered.
    """
    db.execute(
        "UPDATE item SET maybe_billed = 1 WHERE id = ? AND state = ? AND maybe_billed = 0", (number, State.AMBIGUOUS)
    )


def keep_answer(
    db: sqlite3.Connection,
    number: int,
    request_id: str,
    answer: tuple[int, str | None, bytes],
    came: float,
    *,
    unpacked: int | None = None,
    foreign: bool = False,
) -> None:
    """Store an answer without a check of the owner; the trigger ``answer_came`` makes it the item's if it is.

    Args:
        db: The connection.
        number: The item's.
        request_id: Of the call.
        answer: Status, why the body is not whole, the packed and sealed body.
        came: When it arrived, Unix seconds.
        unpacked: Bytes of the body before it was packed; None if it is stored as it arrived.
        foreign: Whether it is another call's answer, which leaves the item as ambiguous as it was.
    """
    before = db.execute("SELECT maybe_billed, id FROM item WHERE id = ?", (number,)).fetchall() if foreign else ()
    # An overflow file is replayed twice if the process dies between the commit and the file's removal.
    db.execute(
        "INSERT INTO answer (item, request_id, status, cut, body, came, unpacked) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (item, request_id, came) DO NOTHING",
        (number, request_id, *answer, came, unpacked),
    )
    # The trigger of the insertion takes any answer for the call's own, which settles an ambiguous item.
    db.executemany("UPDATE item SET maybe_billed = ? WHERE id = ?", before)


def settle(db: sqlite3.Connection, claim: Claim, settlement: Settlement, failure: bytes | None, now: float) -> bool:
    """Record how a call ended, and give the claim back.

    Args:
        db: The connection.
        claim: The right to the item.
        settlement: How the call ended; its failure is not used.
        failure: The failure, sealed.
        now: Unix seconds.

    Returns:
        Whether the item was still this call's to settle.
    """
    # The mark of the last request is missing if the disk was full when that request ended; it is made up for here.
    if settlement.event is ItemEvent.MAYBE_BILLED:
        mark_maybe_billed(db, claim.number, settlement.request_id or "")
        _doubt_answered(db, claim.number, settlement.request_id or "")
    elif settlement.billing is Billing.NOT_BILLED:
        _refuse_unmarked(db, claim, settlement.request_id)
    changed = any(_settle_from(state, db, claim, settlement, failure, now) for state in from_states(settlement.event))
    if changed and settlement.event is ItemEvent.RELEASE:
        reopen_sources(db, [claim.number])
    return changed


def _settle_from(
    state: State, db: sqlite3.Connection, claim: Claim, settlement: Settlement, failure: bytes | None, now: float
) -> bool:
    # A request that was sent is fenced by its requestId, what was only claimed by the owner.
    fence = "owner = ?" if state is State.CLAIMED else "request_id = ?"
    key = claim.owner if state is State.CLAIMED else settlement.request_id
    if state is State.AMBIGUOUS:
        _resolve_ambiguous(db, claim, settlement)
    after = TRANSITIONS[state, settlement.event]
    changed = db.execute(
        f"""UPDATE item SET state = ?, owner = NULL, sent_at = NULL, billing = ?, elapsed = ?, failure = ?,
                finished_at = ? WHERE id = ? AND state = ? AND {fence}""",
        (after, settlement.billing, settlement.elapsed, failure, now, claim.number, state, key),
    )
    return changed.rowcount > 0


def _doubt_answered(db: sqlite3.Connection, number: int, request_id: str) -> None:
    """Count a request as maybe billed that is in flight no more: its answer turned out to be another call's."""
    db.execute(
        """UPDATE item SET maybe_billed = maybe_billed + 1
           WHERE id = ? AND request_id = ? AND state = ? AND answer IS NOT NULL""",
        (number, request_id, State.SENT),
    )


def _refuse_unmarked(db: sqlite3.Connection, claim: Claim, request_id: str | None) -> None:
    """Mark a request as refused that is still marked as in flight."""
    # Not by the owner alone: a restored run gives its number out again, and the request is another process's.
    found = db.execute(
        "SELECT sent_at FROM item WHERE id = ? AND owner = ? AND request_id = ? AND state = ?",
        (claim.number, claim.owner, request_id, State.SENT),
    ).fetchone()
    if found is not None:
        db.execute(
            "UPDATE item SET state = ?, sent_at = NULL WHERE id = ?",
            (TRANSITIONS[State.SENT, ItemEvent.REFUSE], claim.number),
        )
        if found[0] is not None:
            uncount_call(db)


def _resolve_ambiguous(db: sqlite3.Connection, claim: Claim, settlement: Settlement) -> None:
    """Count an abandoned call as what it turned out to be."""
    # An answer that is stored has already taken the call out of maybe_billed, by the trigger answer_came.
    changed = db.execute(
        """UPDATE item SET maybe_billed = maybe_billed - 1
           WHERE id = ? AND state = ? AND request_id = ? AND answer IS NULL AND maybe_billed > 0""",
        (claim.number, State.AMBIGUOUS, settlement.request_id),
    ).rowcount
    if changed and settlement.billing is Billing.NOT_BILLED:
        uncount_call(db)


def reopen_sources(db: sqlite3.Connection, items: Iterable[int]) -> None:
    """Have the files of queued items read again."""
    db.executemany("UPDATE source SET open = 1 WHERE item = ?", [(number,) for number in items])


def stamp_columns(stamp: FileStamp | None) -> tuple[int | None, ...]:
    """Return a file's stamp as its columns."""
    return (None,) * 4 if stamp is None else (stamp.size, stamp.modified_ns, stamp.changed_ns, stamp.inode)
