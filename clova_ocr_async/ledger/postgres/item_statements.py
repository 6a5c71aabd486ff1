"""The reads and writes of items as SQL. Each is a function of a connection, inside a transaction of its caller.

The rules are those of ``ledger.storage`` and ``ledger.states``. Every write names in its WHERE clause the states it
applies to and what fences it, so a late or foreign caller changes no row. To do a write again changes nothing more,
since a commit whose acknowledgement was lost is done again.

Transactions lock an owner first, then items, and the run's row last: it is what all processes wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clova_ocr_async.ledger.postgres.existing_run import moved_error
from clova_ocr_async.ledger.states import (
    FINISHED,
    OWNED,
    TRANSITIONS,
    Claim,
    FileStamp,
    Item,
    ItemEvent,
    SourceFile,
    State,
    from_states,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

__all__ = [
    "claim_item",
    "count_call",
    "find_by_number",
    "find_by_numbers",
    "find_item",
    "find_source",
    "is_marked",
    "link_source",
    "mark_maybe_billed",
    "mark_sent",
    "owned_among",
    "refuse",
    "reject_gone",
    "reject_source",
    "reopen_sources",
    "set_interrupted",
    "stamp_columns",
    "uncount_call",
]

_ENTRY = """
    SELECT item.id, item.sha256, item.document, item.page, item.recipe, item.state, item.attempts, item.maybe_billed,
           item.billing, item.request_id, item.elapsed, item.failure, item.picture, item.owner,
           item.sent_at IS NOT NULL, item.answer IS NOT NULL,
           answer.status, answer.body, answer.unpacked, answer.cut, answer.came
    FROM clova_ocr.item LEFT JOIN clova_ocr.answer ON answer.id = item.answer
"""
_STATE = 5  # the place of the state in such a row

_CLAIMED = TRANSITIONS[State.QUEUED, ItemEvent.CLAIM]
_MOST_INODE = 2**63  # PostgreSQL's numbers have a sign, and those of files do not

_ITS_RUN = "id = (SELECT run FROM clova_ocr.item WHERE item.id = %s)"
_NAME = "run = %(run)s AND document = %(document)s AND path_hash = sha256(%(path)s)"


def find_item(db: Connection[Any], run: int, item: Item) -> tuple[Any, ...] | None:
    """Return an item's row."""
    return db.execute(
        f"{_ENTRY} WHERE item.run = %s AND sha256 = %s AND document = %s AND page = %s AND recipe = %s",
        (run, item.sha256, item.document, item.page or 0, item.recipe),
    ).fetchone()


def find_by_number(db: Connection[Any], number: int) -> tuple[Any, ...]:
    """Return the row of an item that is certainly there."""
    row: tuple[Any, ...] | None = db.execute(f"{_ENTRY} WHERE item.id = %s", (number,)).fetchone()
    assert row is not None  # noqa: S101 - no item is ever removed
    return row


def find_by_numbers(db: Connection[Any], numbers: Sequence[int]) -> list[tuple[Any, ...]]:
    """Return the rows of some items, in any order."""
    # Binary, as text doubles the bytes of answers on their way.
    return db.execute(f"{_ENTRY} WHERE item.id = ANY(%s)", (list(numbers),), binary=True).fetchall()


def owned_among(db: Connection[Any], numbers: Sequence[int]) -> set[int]:
    """Return those of some items that a process works on."""
    rows = db.execute(
        "SELECT id FROM clova_ocr.item WHERE id = ANY(%s) AND state = ANY(%s)", (list(numbers), sorted(OWNED))
    )
    return {number for (number,) in rows}


def find_source(db: Connection[Any], run: int, source: SourceFile, document: str) -> tuple[Any, ...] | None:
    """Return the row of a file's item; None unless the file's stamp is the one it was read with."""
    if source.stamp is None:
        return None
    # All four values: programs such as rsync and cp -p keep size and modification time.
    return db.execute(
        f"""{_ENTRY} JOIN clova_ocr.source ON source.item = item.id
            WHERE source.run = %s AND source.document = %s AND path_hash = sha256(%s) AND source.page = %s
              AND size = %s AND modified_ns = %s AND changed_ns = %s AND inode = %s""",
        (run, document, source.path, source.page or 0, *stamp_columns(source.stamp)),
    ).fetchone()


# ---------------------------------------------------------------------------------------------------------------------
# Names

# In one statement, which sees the rows as they were before it: the items that the name, or the whole file, had. The
# pages of a file take the place of the whole. An item keeps the last name that it loses.
_TAKE_NAME = f"""
    WITH whole AS (
        DELETE FROM clova_ocr.source WHERE %(page)s > 0 AND {_NAME} AND page = 0 RETURNING item
    ), before AS (
        SELECT item FROM clova_ocr.source WHERE {_NAME} AND page = %(page)s
    ), after AS (
        INSERT INTO clova_ocr.source AS known
            (run, document, path, page, open, item, failure, columns, size, modified_ns, changed_ns, inode)
        VALUES (%(run)s, %(document)s, %(path)s, %(page)s, false, %(item)s, %(failure)s, %(columns)s,
                %(size)s, %(modified_ns)s, %(changed_ns)s, %(inode)s)
        ON CONFLICT (run, document, path_hash, page) DO UPDATE SET open = false, owner = NULL,
            failure = excluded.failure, item = excluded.item, columns = coalesce(excluded.columns, known.columns),
            size = excluded.size, modified_ns = excluded.modified_ns, changed_ns = excluded.changed_ns,
            inode = excluded.inode
        RETURNING item
    )
    UPDATE clova_ocr.item SET was = %(path)s WHERE id IN (
        SELECT item FROM whole UNION
        SELECT before.item FROM before, after WHERE before.item IS DISTINCT FROM after.item)
"""


def link_source(
    db: Connection[Any], run: int, source: SourceFile, item: Item, number: int, *, columns: bytes | None
) -> None:
    """Write down that a file is an item's, and that it need not be read any more.

    Args:
        db: The connection.
        run: The run's number.
        source: The file.
        item: The item.
        number: The item's.
        columns: The manifest's own columns, sealed; None leaves those that the file has.
    """
    values = _name_values(run, source, item.document) | {"item": number, "failure": None, "columns": columns}
    db.execute(_TAKE_NAME, values | _stamp_values(source.stamp))


def reject_source(
    db: Connection[Any], run: int, source: SourceFile, document: str, failure: bytes, *, columns: bytes | None
) -> None:
    """Record that a file cannot be read."""
    values = _name_values(run, source, document) | {"item": None, "failure": failure, "columns": columns}
    db.execute(_TAKE_NAME, values | _stamp_values(None))


def reject_gone(
    db: Connection[Any], run: int, source: SourceFile, document: str, failure: bytes, *, columns: bytes | None
) -> tuple[Any, ...] | None:
    """Record that a file was removed; return its item's row if it was read before."""
    values = _name_values(run, source, document)
    found: tuple[Any, ...] | None = db.execute(
        f"""{_ENTRY} JOIN clova_ocr.source ON source.item = item.id
            WHERE source.run = %(run)s AND source.document = %(document)s AND path_hash = sha256(%(path)s)
              AND source.page = %(page)s""",
        values,
    ).fetchone()
    # The outcome of an image that was read counts, also after its file is gone.
    read = found is not None and State(found[_STATE]) in FINISHED
    if found is None:
        db.execute(_TAKE_NAME, values | {"item": None, "failure": failure, "columns": columns} | _stamp_values(None))
    else:
        db.execute(
            f"""UPDATE clova_ocr.source SET open = false, owner = NULL, failure = %(failure)s,
                    columns = coalesce(%(columns)s, columns) WHERE {_NAME} AND page = %(page)s""",
            values | {"failure": None if read else failure, "columns": columns},
        )
    return found


def _name_values(run: int, source: SourceFile, document: str) -> dict[str, Any]:
    return {"run": run, "document": document, "path": source.path, "page": source.page or 0}


def _stamp_values(stamp: FileStamp | None) -> dict[str, int | None]:
    return dict(zip(("size", "modified_ns", "changed_ns", "inode"), stamp_columns(stamp), strict=True))


def stamp_columns(stamp: FileStamp | None) -> tuple[int | None, ...]:
    """Return a file's stamp as its columns."""
    if stamp is None:
        return (None,) * 4
    inode = stamp.inode if stamp.inode < _MOST_INODE else stamp.inode - 2 * _MOST_INODE
    return stamp.size, stamp.modified_ns, stamp.changed_ns, inode


def reopen_sources(db: Connection[Any], items: Sequence[int]) -> None:
    """Have the files of queued items read again."""
    if items:
        db.execute("UPDATE clova_ocr.source SET open = true WHERE item = ANY(%s)", (list(items),))


# ---------------------------------------------------------------------------------------------------------------------
# Claims and marks


def claim_item(db: Connection[Any], run: int, item: Item, owner: int) -> Claim | None:
    """Claim an item that is new or queued."""
    # One statement for both cases, so that no other process can claim it between a look and the claim.
    row = db.execute(
        """INSERT INTO clova_ocr.item AS known (run, sha256, document, page, recipe, state, owner)
           VALUES (%s, %s, %s, %s, %s, %s, %s)
           ON CONFLICT (run, sha256, document, page, recipe) DO UPDATE
           SET state = excluded.state, owner = excluded.owner
           WHERE known.state = %s RETURNING id, interrupted""",
        (run, item.sha256, item.document, item.page or 0, item.recipe, _CLAIMED, owner, State.QUEUED),
    ).fetchone()
    return None if row is None else Claim(row[0], owner, item, row[1])


def set_interrupted(db: Connection[Any], claim: Claim, count: int) -> None:
    """Record how many processes a claimed item has interrupted."""
    db.execute(
        "UPDATE clova_ocr.item SET interrupted = %s WHERE id = %s AND owner = %s AND state = %s",
        (count, claim.number, claim.owner, State.CLAIMED),
    )


def mark_sent(db: Connection[Any], claim: Claim, request_id: str, picture: bytes, now: float) -> bool:
    """Mark a request that is about to leave; return False if another process has the item.

    Args:
        db: The connection.
        claim: The right to the item.
        request_id: Of the call.
        picture: What it sends, as ``Entry.picture`` has it.
        now: Unix seconds.
    """
    # sent_at marks a request in flight. It is cleared at the end of the request, whatever the state is then. The image
    # is compared too: a claim that was lost with the server's power leaves its number to another one of this process.
    item = claim.item
    marked = db.execute(
        """UPDATE clova_ocr.item SET state = %s, request_id = %s, sent_at = %s, picture = %s, attempts = attempts + 1
           WHERE id = %s AND owner = %s AND state = ANY(%s)
             AND sha256 = %s AND document = %s AND page = %s AND recipe = %s""",
        (
            *(State.SENT, request_id, now, picture or None, claim.number, claim.owner, [*from_states(ItemEvent.SEND)]),
            *(item.sha256, item.document, item.page or 0, item.recipe),
        ),
    )
    return marked.rowcount == 1


def count_call(db: Connection[Any], number: int) -> tuple[bool | None, int | None]:
    """Count a request that is marked as sent, if the call limit allows it; the caller undoes the mark otherwise.

    Args:
        db: The connection.
        number: The item's.

    Returns:
        True; None if the limit is reached for now, since other calls in flight may turn out not to be billed; False if
        it is reached for good. And the limit.

    Raises:
        LedgerError: The run was copied to another place.
    """
    counted = db.execute(
        f"""UPDATE clova_ocr.run SET calls = calls + 1
            WHERE {_ITS_RUN} AND (max_calls IS NULL OR calls < max_calls)
            RETURNING max_calls, moved_to""",
        (number,),
    ).fetchone()
    if counted is not None:
        limit, moved_to = counted
        if moved_to is not None:  # by a copy that was made while this process slept past its lease
            raise moved_error(moved_to)
        return True, limit
    # Looked for only at the limit: a stored count of calls in flight would cost every call. One may have turned out not
    # to be billed since the statement before.
    found = db.execute(
        """SELECT max_calls, calls < max_calls OR EXISTS (SELECT FROM clova_ocr.item AS other
               WHERE other.run = run.id AND other.owner IS NOT NULL AND sent_at IS NOT NULL AND other.id <> item.id)
           FROM clova_ocr.item JOIN clova_ocr.run ON run.id = item.run WHERE item.id = %s""",
        (number,),
    ).fetchone()
    assert found is not None  # noqa: S101 - no item is ever removed
    return None if found[1] else False, found[0]


def is_marked(db: Connection[Any], claim: Claim, request_id: str, now: float) -> bool:
    """Return whether a request was marked as sent at a time, by a commit that was not acknowledged."""
    # By its number alone, so that a commit that the server is still about to do is waited for.
    found = db.execute(
        "SELECT owner, state, request_id, sent_at FROM clova_ocr.item WHERE id = %s FOR NO KEY UPDATE", (claim.number,)
    )
    return found.fetchone() == (claim.owner, State.SENT, request_id, now)


def refuse(db: Connection[Any], number: int, request_id: str, *, maybe_billed_before: bool) -> None:
    """Mark that the request in flight was certainly not billed."""
    # An earlier request of the same call may have been billed: the item must not look as if it were only claimed.
    state = State.SENT if maybe_billed_before else TRANSITIONS[State.SENT, ItemEvent.REFUSE]
    changed = db.execute(
        """UPDATE clova_ocr.item SET sent_at = NULL, state = %s
           WHERE id = %s AND request_id = %s AND state = %s AND sent_at IS NOT NULL""",
        (state, number, request_id, State.SENT),
    )
    if changed.rowcount:
        uncount_call(db, number)


def mark_maybe_billed(db: Connection[Any], number: int, request_id: str) -> None:
    """Mark that the request in flight may have been billed."""
    db.execute(
        """UPDATE clova_ocr.item SET sent_at = NULL, maybe_billed = maybe_billed + 1
           WHERE id = %s AND request_id = %s AND state = %s AND sent_at IS NOT NULL""",
        (number, request_id, State.SENT),
    )


def uncount_call(db: Connection[Any], number: int) -> None:
    """Take back the count of a call for an item that turned out not to be billed."""
    db.execute(f"UPDATE clova_ocr.run SET calls = calls - 1 WHERE {_ITS_RUN}", (number,))
