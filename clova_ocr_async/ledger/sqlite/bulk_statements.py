"""The marks that every image goes through, for a handful of images at once: a statement for all of them.

What ``rows`` does for one image is done here for some. The thread that writes lets go of the interpreter at every
statement and has to wait for it afterwards, which takes longer than the statement itself.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

from clova_ocr_async.ledger.sqlite import statements
from clova_ocr_async.ledger.states import TRANSITIONS, Claim, ClaimLostError, ItemEvent, State, from_states

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from clova_ocr_async.ledger.states import Item, Settlement, SourceFile

__all__ = ["claim_items", "keep_answers", "link_sources", "send", "succeed"]

_HANDFUL = 3  # images; fewer are written one by one, since a statement for many has to make a table of them first
_AT_ONCE = 64  # images; each has eight values at most, and SQLite takes 999 at least


def claim_items(db: sqlite3.Connection, items: Sequence[Item], owner: int) -> list[Claim | None]:
    """Do as ``statements.claim_item`` for each; what comes twice is claimed for the first."""
    if len(items) < _HANDFUL:
        return [statements.claim_item(db, item, owner) for item in items]
    claimed = _written(
        db,
        f"""INSERT INTO item (sha256, document, state, owner) VALUES {{}}
            ON CONFLICT (sha256, document) DO UPDATE SET state = excluded.state, owner = excluded.owner
            WHERE state = '{State.QUEUED}' RETURNING id, sha256, document""",
        [(item.sha256, item.document, TRANSITIONS[State.QUEUED, ItemEvent.CLAIM], owner) for item in items],
    )
    numbers = {(sha256, document): number for number, sha256, document in claimed}
    found = ((item, numbers.pop((item.sha256, item.document), None)) for item in items)
    return [None if number is None else Claim(number, owner, item) for item, number in found]


def link_sources(db: sqlite3.Connection, links: Sequence[tuple[SourceFile, str, int]]) -> None:
    """Write down that files are items', and that nobody needs to read them any more.

    Args:
        db: The connection.
        links: The file, the document asked for, and the item's number, of each.
    """
    _written(
        db,
        """INSERT INTO source (document, path, open, item, size, modified_ns, changed_ns, inode) VALUES {}
           ON CONFLICT (document, path) DO UPDATE SET open = 0, owner = NULL, failure = NULL, item = excluded.item,
               size = excluded.size, modified_ns = excluded.modified_ns, changed_ns = excluded.changed_ns,
               inode = excluded.inode""",
        [
            (document, source.path, 0, number, *statements.stamp_columns(source.stamp))
            for source, document, number in links
        ],
    )


def send(db: sqlite3.Connection, requests: Sequence[tuple[Claim, str]], now: float) -> None:
    """Do as ``statements.send`` for each, where any number of calls is allowed.

    Raises:
        ClaimLostError: Somebody else has one of the items.
    """
    if len(requests) < _HANDFUL:
        for claim, request_id in requests:
            statements.send(db, claim, request_id, now, None)
        return
    states = ", ".join(f"'{state}'" for state in from_states(ItemEvent.SEND))
    changed = _written(
        db,
        f"""WITH request (number, holder, name, left) AS (VALUES {{}})
            UPDATE item SET state = '{State.SENT}', request_id = name, sent_at = left, attempts = attempts + 1
            FROM request WHERE id = number AND owner = holder AND state IN ({states}) RETURNING id""",
        [(claim.number, claim.owner, request_id, now) for claim, request_id in requests],
    )
    if len(changed) < len(requests):
        raise ClaimLostError


def keep_answers(db: sqlite3.Connection, answers: Sequence[tuple[Any, ...]]) -> list[None]:
    """Do as ``statements.keep_answer`` for each.

    Args:
        db: The connection.
        answers: The item's number, the requestId, the status, why the body is not whole, the body as packed and sealed,
            when it came (Unix seconds), and its size before it was packed, of each.

    Returns:
        A result for each order of the ledger's thread.
    """
    _written(
        db,
        """INSERT INTO answer (item, request_id, status, cut, body, came, unpacked) VALUES {}
           ON CONFLICT (item, request_id, came) DO NOTHING""",
        answers,
    )
    return [None] * len(answers)


def succeed(db: sqlite3.Connection, ended: Sequence[tuple[Claim, Settlement]], now: float) -> None:
    """Do as ``statements.settle`` for each, all of which have read their images."""
    settled: set[int] = set()
    if len(ended) >= _HANDFUL:
        settled = _succeeded(db, ended, now)
    for claim, verdict in ended:
        if claim.number not in settled:  # it was given up meanwhile, perhaps
            statements.settle(db, claim, verdict, None, now)


def _succeeded(db: sqlite3.Connection, ended: Sequence[tuple[Claim, Settlement]], now: float) -> set[int]:
    changed = _written(
        db,
        f"""WITH call (number, name, paid, took, done) AS (VALUES {{}})
            UPDATE item SET state = '{TRANSITIONS[State.SENT, ItemEvent.SUCCEED]}', owner = NULL, sent_at = NULL,
                billing = paid, elapsed = took, failure = NULL, finished_at = done
            FROM call WHERE id = number AND request_id = name AND state = '{State.SENT}' RETURNING id""",
        [(claim.number, verdict.request_id, verdict.billing, verdict.elapsed, now) for claim, verdict in ended],
    )
    return {number for (number,) in changed}


def _written(db: sqlite3.Connection, statement: str, values: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Execute a statement with the rows put where its braces are, and return what it returns."""
    found: list[Any] = []
    for at in range(0, len(values), _AT_ONCE):
        some = values[at : at + _AT_ONCE]
        filled = _filled(statement, len(some), len(some[0]))
        found += db.execute(filled, list(itertools.chain.from_iterable(some))).fetchall()
    return found


@functools.cache
def _filled(statement: str, count: int, width: int) -> str:
    row = f"({', '.join('?' * width)})"
    return statement.format(", ".join([row] * count))
