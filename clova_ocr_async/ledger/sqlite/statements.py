"""The marks of the ledger as SQL: every one a function of a connection, inside a transaction that is not its own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.seal import SealError
from clova_ocr_async.ledger.sqlite.compression import CompressionError, compress, decompress
from clova_ocr_async.ledger.states import (
    FINISHED,
    TRANSITIONS,
    UNDER_WAY,
    Claim,
    ClaimLostError,
    Entry,
    FileStamp,
    Item,
    ItemEvent,
    Settlement,
    SourceFile,
    State,
    from_states,
)
from clova_ocr_async.protocol.response import HTTPResponse

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from clova_ocr_async.ledger.seal import Seal

logger = logging.getLogger("clova_ocr_async")

__all__ = [
    "StoredAnswer",
    "calls",
    "claim_item",
    "columns",
    "doubt",
    "doubt_late",
    "entry_of",
    "find_item",
    "find_number",
    "find_source",
    "is_under_way",
    "keep_answer",
    "kept_failure",
    "link_source",
    "outstanding",
    "refuse",
    "reject_gone",
    "reject_source",
    "reopen_sources",
    "seal_context",
    "send",
    "settle",
    "stored_answer",
]

StoredAnswer = tuple[int, str | None, bytes, int | None]
"""An answer as it is stored: status, why the body is not whole, the body as packed and sealed, its unpacked size."""

_ENTRY = """
    SELECT item.id, sha256, item.document, state, attempts, maybe_billed, billing, item.request_id, elapsed,
           item.failure,
           answer.status, answer.body, answer.unpacked, answer.cut, answer.came
    FROM item LEFT JOIN answer ON answer.id = item.answer
"""

_SEND = f"""
    UPDATE item SET state = ?, request_id = ?, sent_at = ?, attempts = attempts + 1
    WHERE id = ? AND owner = ? AND state IN ({", ".join("?" * len(from_states(ItemEvent.SEND)))})
"""


def seal_context(item: Item, what: str) -> bytes:
    """Return what a sealed value is bound to, so that it opens nowhere else."""
    return b"|".join((what.encode(), item.document.encode(), item.sha256))


def entry_of(row: tuple[Any, ...], seal: Seal) -> Entry:
    """Return an item's row as an entry, what is sealed in it opened."""
    number, sha256, document, state, attempts, maybe_billed, billing, request_id, elapsed, failure, *answer = row
    item = Item(sha256, document)
    status, body, unpacked, cut, came = answer
    return Entry(
        number,
        item,
        State(state),
        attempts,
        maybe_billed,
        Billing(billing),
        request_id,
        elapsed,
        _opened(seal, failure, item, "failure") or b"",
        None if (opened := _answer(seal, body, unpacked, item)) is None else HTTPResponse(status, opened, cut=cut),
        came,
    )


def stored_answer(seal: Seal, item: Item, response: HTTPResponse) -> StoredAnswer:
    """Return an answer as it is stored."""
    packed, size = compress(response.body)
    return response.status, response.cut, seal.seal(packed, seal_context(item, "answer")), size


def _answer(seal: Seal, sealed: bytes | None, size: int | None, item: Item) -> bytes | None:
    """Return the body of a stored answer; one that is damaged costs itself, and not the run."""
    if (packed := _opened(seal, sealed, item, "answer")) is None:
        return None
    try:
        return decompress(packed, size)
    except CompressionError as error:
        logger.warning("the stored answer of image %s… does not open: %s", item.sha256.hex()[:12], error)
        return None


def _opened(seal: Seal, sealed: bytes | None, item: Item, what: str) -> bytes | None:
    """Open a value; one that is damaged costs itself, and not the run."""
    if sealed is None:
        return None
    try:
        return seal.open(sealed, seal_context(item, what))
    except SealError as error:
        logger.warning("the stored %s of image %s… does not open: %s", what, item.sha256.hex()[:12], error)
        return None


def find_item(db: sqlite3.Connection, item: Item) -> tuple[Any, ...] | None:
    """Return an item's row."""
    row: tuple[Any, ...] | None = db.execute(
        f"{_ENTRY} WHERE sha256 = ? AND item.document = ?", (item.sha256, item.document)
    ).fetchone()
    return row


def find_number(db: sqlite3.Connection, number: int) -> tuple[Any, ...]:
    """Return the row of an item that is there."""
    row: tuple[Any, ...] = db.execute(f"{_ENTRY} WHERE item.id = ?", (number,)).fetchone()
    return row


def is_under_way(db: sqlite3.Connection, number: int) -> bool:
    """Whether somebody works on an item."""
    (state,) = db.execute("SELECT state FROM item WHERE id = ?", (number,)).fetchone()
    return state in UNDER_WAY


def find_source(db: sqlite3.Connection, source: SourceFile, document: str) -> tuple[Any, ...] | None:
    """Return the item's row of a file that is as it was when it was read."""
    if source.identity is None:
        return None
    row: tuple[Any, ...] | None = db.execute(
        f"""{_ENTRY} JOIN source ON source.item = item.id
            WHERE source.document = ? AND path = ? AND size = ? AND modified_ns = ? AND changed_ns = ? AND inode = ?""",
        (document, source.path, *columns(source.identity)),
    ).fetchone()
    return row


def link_source(db: sqlite3.Connection, source: SourceFile, document: str, number: int) -> None:
    """Write down that a file is an item's, and that it need not be read any more."""
    db.execute(
        """INSERT INTO source (document, path, open, item, size, modified_ns, changed_ns, inode)
           VALUES (?, ?, 0, ?, ?, ?, ?, ?)
           ON CONFLICT (document, path) DO UPDATE SET open = 0, owner = NULL, failure = NULL, item = excluded.item,
               size = excluded.size, modified_ns = excluded.modified_ns, changed_ns = excluded.changed_ns,
               inode = excluded.inode""",
        (document, source.path, number, *columns(source.identity)),
    )


def claim_item(db: sqlite3.Connection, item: Item, owner: int) -> Claim | None:
    """Claim an item that is new or queued."""
    row = db.execute(
        "INSERT INTO item (sha256, document, state, owner) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (sha256, document) DO UPDATE SET state = excluded.state, owner = excluded.owner WHERE state = ? "
        "RETURNING id",
        (item.sha256, item.document, TRANSITIONS[State.QUEUED, ItemEvent.CLAIM], owner, State.QUEUED),
    ).fetchone()
    return None if row is None else Claim(row[0], owner, item)


def reject_source(db: sqlite3.Connection, source: SourceFile, document: str, failure: bytes) -> None:
    """Write down that a file cannot be read."""
    db.execute(
        """INSERT INTO source (document, path, open, failure) VALUES (?, ?, 0, ?)
           ON CONFLICT (document, path) DO UPDATE SET open = 0, owner = NULL, failure = excluded.failure, item = NULL,
               size = NULL, modified_ns = NULL, changed_ns = NULL, inode = NULL""",
        (document, source.path, failure),
    )


def reject_gone(db: sqlite3.Connection, source: SourceFile, document: str, failure: bytes) -> tuple[Any, ...] | None:
    """Write down that a file is no longer there; return the item's row if the file was read before."""
    found: tuple[Any, ...] | None = db.execute(
        f"{_ENTRY} JOIN source ON source.item = item.id WHERE source.document = ? AND path = ?", (document, source.path)
    ).fetchone()
    read = found is not None and State(found[3]) in FINISHED
    db.execute(
        """INSERT INTO source (document, path, open, failure) VALUES (?, ?, 0, ?)
           ON CONFLICT (document, path) DO UPDATE SET open = 0, owner = NULL, failure = excluded.failure""",
        (document, source.path, None if read else failure),
    )
    return found


def send(db: sqlite3.Connection, claim: Claim, request_id: str, now: float, most_calls: int | None) -> bool | None:
    """Mark a request that is about to leave.

    Args:
        db: The connection.
        claim: The right to the item.
        request_id: Of the call.
        now: Unix seconds.
        most_calls: Calls that may be paid, or perhaps paid, over the life of the ledger; None for any number.

    Returns:
        True; None if the ceiling is reached for now, as calls are under way that may turn out not to be paid; False if
        it is reached.

    Raises:
        ClaimLostError: Somebody else has the item.
    """
    if most_calls is not None and calls(db) >= most_calls:
        return None if outstanding(db) else False
    values = (State.SENT, request_id, now, claim.number, claim.owner, *from_states(ItemEvent.SEND))
    if not db.execute(_SEND, values).rowcount:
        raise ClaimLostError
    return True


def calls(db: sqlite3.Connection) -> int:
    """Return how many calls were paid, or may have been, those under way included."""
    (count,) = db.execute("SELECT value FROM run WHERE name = 'calls'").fetchone()
    return int(count)


def outstanding(db: sqlite3.Connection) -> int:
    """Return how many requests are under way."""
    (count,) = db.execute("SELECT count(*) FROM item WHERE owner IS NOT NULL AND sent_at IS NOT NULL").fetchone()
    return int(count)


def refuse(db: sqlite3.Connection, number: int, request_id: str, *, still_in_doubt: bool) -> None:
    """Mark that the request under way was certainly not paid."""
    state = State.SENT if still_in_doubt else TRANSITIONS[State.SENT, ItemEvent.REFUSE]
    if _land(db, number, request_id, f"state = '{state}'"):
        _uncount(db)


def doubt(db: sqlite3.Connection, number: int, request_id: str) -> None:
    """Mark that the request under way may have been paid."""
    _land(db, number, request_id, "maybe_billed = maybe_billed + 1")


def _doubt_answered(db: sqlite3.Connection, number: int, request_id: str) -> None:
    """Count a request as perhaps paid that has landed: its answer turned out to be another call's."""
    db.execute(
        """UPDATE item SET maybe_billed = maybe_billed + 1
           WHERE id = ? AND request_id = ? AND state = ? AND answer IS NOT NULL""",
        (number, request_id, State.SENT),
    )


def doubt_late(db: sqlite3.Connection, number: int) -> None:
    """Count a call that was given up as perhaps paid, as the answer that came for it since does not open any more.

    Of several requests that were in doubt one is counted then: that one of them was answered is known.
    """
    db.execute(
        "UPDATE item SET maybe_billed = 1 WHERE id = ? AND state = ? AND maybe_billed = 0", (number, State.AMBIGUOUS)
    )


def _land(db: sqlite3.Connection, number: int, request_id: str, change: str) -> bool:
    return bool(
        db.execute(
            f"""UPDATE item SET sent_at = NULL, {change}
                WHERE id = ? AND request_id = ? AND state = ? AND sent_at IS NOT NULL""",
            (number, request_id, State.SENT),
        ).rowcount
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
    """Keep an answer, whoever owns the item; what counts as its answer is the one of its last call.

    Args:
        db: The connection.
        number: The item's.
        request_id: Of the call.
        answer: Status, why the body is not whole, the body as packed and sealed.
        came: Unix seconds.
        unpacked: Bytes of the body before it was packed; None if it is stored as it came.
        foreign: Whether it is another call's, which leaves in doubt what was in doubt.
    """
    before = db.execute("SELECT maybe_billed, id FROM item WHERE id = ?", (number,)).fetchall() if foreign else ()
    db.execute(
        "INSERT INTO answer (item, request_id, status, cut, body, came, unpacked) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (item, request_id, came) DO NOTHING",
        (number, request_id, *answer, came, unpacked),
    )
    # The trigger of the insertion takes any answer for the call's own, which settles a doubt.
    db.executemany("UPDATE item SET maybe_billed = ? WHERE id = ?", before)


def settle(db: sqlite3.Connection, claim: Claim, verdict: Settlement, failure: bytes | None, now: float) -> bool:
    """Write down how a call ended, and give the claim back.

    What was sent is fenced by its requestId, what was not by the owner.

    Returns:
        Whether the item was still this call's to settle.
    """
    # How the last request ended could not be written down when it did, if the disk was full.
    if verdict.mark is ItemEvent.DOUBT:
        doubt(db, claim.number, verdict.request_id or "")
        _doubt_answered(db, claim.number, verdict.request_id or "")
    elif verdict.billing is Billing.NOT_BILLED:
        _take_back(db, claim)
    changed = any(_settle_from(state, db, claim, verdict, failure, now) for state in from_states(verdict.mark))
    if changed and verdict.mark is ItemEvent.RELEASE:
        reopen_sources(db, [claim.number])
    return changed


def _settle_from(
    state: State, db: sqlite3.Connection, claim: Claim, verdict: Settlement, failure: bytes | None, now: float
) -> bool:
    mine = "owner = ?" if state is State.CLAIMED else "request_id = ?"
    key = claim.owner if state is State.CLAIMED else verdict.request_id
    if state is State.AMBIGUOUS:
        _take_out_of_doubt(db, claim, verdict)
    return bool(
        db.execute(
            f"""UPDATE item SET state = ?, owner = NULL, sent_at = NULL, billing = ?, elapsed = ?, failure = ?,
                    finished_at = ? WHERE id = ? AND state = ? AND {mine}""",
            (
                TRANSITIONS[state, verdict.mark],
                verdict.billing,
                verdict.elapsed,
                failure,
                now,
                claim.number,
                state,
                key,
            ),
        ).rowcount
    )


def _take_back(db: sqlite3.Connection, claim: Claim) -> None:
    """Mark a request as refused that is still marked as under way."""
    found = db.execute(
        "SELECT sent_at FROM item WHERE id = ? AND owner = ? AND state = ?", (claim.number, claim.owner, State.SENT)
    ).fetchone()
    if found is not None:
        db.execute(
            "UPDATE item SET state = ?, sent_at = NULL WHERE id = ?",
            (TRANSITIONS[State.SENT, ItemEvent.REFUSE], claim.number),
        )
        if found[0] is not None:
            _uncount(db)


def _take_out_of_doubt(db: sqlite3.Connection, claim: Claim, verdict: Settlement) -> None:
    """Count a call that was given up as what it turned out to be; its answer, if it was kept, has done so already."""
    changed = db.execute(
        """UPDATE item SET maybe_billed = maybe_billed - 1
           WHERE id = ? AND state = ? AND request_id = ? AND answer IS NULL AND maybe_billed > 0""",
        (claim.number, State.AMBIGUOUS, verdict.request_id),
    ).rowcount
    if changed and verdict.billing is Billing.NOT_BILLED:
        _uncount(db)


def _uncount(db: sqlite3.Connection) -> None:
    db.execute("UPDATE run SET value = value - 1 WHERE name = 'calls'")


def reopen_sources(db: sqlite3.Connection, items: Iterable[int]) -> None:
    """Have the files of queued items read again."""
    db.executemany("UPDATE source SET open = 1 WHERE item = ?", [(number,) for number in items])


def kept_failure(seal: Seal, item: Item, failure: bytes) -> bytes | None:
    """Return a failure as it is stored."""
    return seal.seal(failure, seal_context(item, "failure")) if failure else None


def columns(identity: FileStamp | None) -> tuple[int | None, ...]:
    """Return an identity as its columns."""
    if identity is None:
        return (None, None, None, None)
    return (identity.size, identity.modified_ns, identity.changed_ns, identity.inode)
