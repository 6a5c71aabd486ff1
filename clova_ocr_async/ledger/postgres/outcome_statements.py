"""The answers and ends of calls as SQL. Each is a function of a connection, inside a transaction of its caller.

The row of the item is locked and read, the rules of ``ledger.storage`` are applied to it, and it is written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.overflow_records import AnswerRecord, RefusalRecord, StrayAnswerError
from clova_ocr_async.ledger.postgres.item_statements import refuse, reopen_sources, uncount_call
from clova_ocr_async.ledger.states import TRANSITIONS, Claim, Item, ItemEvent, Settlement, State

if TYPE_CHECKING:
    from psycopg import Connection

    from clova_ocr_async.ledger.overflow_records import OverflowRecord, SettlementRecord

__all__ = ["count_unusable_answer", "keep_answer", "settle", "write_record", "write_settlement"]


@dataclass(slots=True)
class _Row:
    """The item of a call, locked until the transaction ends."""

    run: int
    item: Item
    state: State
    owner: int | None
    request_id: str | None
    in_flight: bool
    answered: bool
    maybe_billed: int


def _locked(db: Connection[Any], number: int, item: Item | None) -> _Row | None:
    """Return an item; None if another one has its number, or none.

    The server may have lost it with its power: its claim was not awaited, and it was not sent. Or the database was
    restored from a backup.
    """
    row = db.execute(
        """SELECT run, sha256, document, page, recipe, state, owner, request_id, sent_at IS NOT NULL,
                  answer IS NOT NULL, maybe_billed
           FROM clova_ocr.item WHERE id = %s FOR NO KEY UPDATE""",
        (number,),
    ).fetchone()
    if row is None:
        return None
    run, sha256, document, page, recipe, state, *rest = row
    found = _Row(run, Item(sha256, document, page or None, recipe), State(state), *rest)
    return found if item in {None, found.item} else None


# ---------------------------------------------------------------------------------------------------------------------
# Answers


def keep_answer(db: Connection[Any], record: AnswerRecord) -> None:
    """Store an answer without a check of the owner, and make it the item's if it is the one of its last call.

    Raises:
        StrayAnswerError: The run does not have the item, although the server had its mark as sent on its disk.
    """
    if (row := _locked(db, record.item, record.image)) is None:
        raise StrayAnswerError
    # It is there already if an overflow file is replayed twice, or if a commit was not acknowledged.
    stored = db.execute(
        """INSERT INTO clova_ocr.answer (run, item, request_id, status, cut, body, came, unpacked)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (item, request_id, came) DO NOTHING RETURNING id""",
        (
            row.run,
            record.item,
            record.request_id,
            record.status,
            record.cut,
            record.body,
            record.came,
            record.unpacked,
        ),
    ).fetchone()
    if stored is None:
        return
    mine, late = row.request_id == record.request_id, TRANSITIONS.get((row.state, ItemEvent.ANSWER))
    # The call was counted as maybe billed when it was given up; another call's answer proves nothing about it.
    given_up = not mine or late is not None or (row.state is State.AMBIGUOUS and not row.answered)
    if given_up and not record.foreign:
        db.execute(
            "UPDATE clova_ocr.item SET maybe_billed = maybe_billed - 1 WHERE id = %s AND maybe_billed > 0",
            (record.item,),
        )
    if mine:
        _accept(db, record.item, row, late, stored[0])


def _accept(db: Connection[Any], number: int, row: _Row, late: State | None, answer: int) -> None:
    """Make an answer that of its item."""
    if late is not None:  # the item was queued to be sent again, and has not been sent
        db.execute(
            "UPDATE clova_ocr.item SET answer = %s, state = %s, owner = NULL, billing = %s WHERE id = %s",
            (answer, late, Billing.MAYBE_BILLED, number),
        )
    elif row.state in {State.SENT, State.AMBIGUOUS} or (
        row.state in {State.SUCCEEDED, State.FAILED} and not row.answered
    ):
        db.execute("UPDATE clova_ocr.item SET answer = %s, sent_at = NULL WHERE id = %s", (answer, number))


def count_unusable_answer(db: Connection[Any], number: int) -> None:
    """Count an abandoned call as maybe billed again: its late answer, which uncounted it, cannot be opened.

    One of several ambiguous requests is counted then, since it is known that one of them was answered.
    """
    db.execute(
        "UPDATE clova_ocr.item SET maybe_billed = 1 WHERE id = %s AND state = %s AND maybe_billed = 0",
        (number, State.AMBIGUOUS),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Ends


def settle(db: Connection[Any], claim: Claim, settlement: Settlement, failure: bytes | None, now: float) -> bool:
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
    if (row := _locked(db, claim.number, claim.item)) is None:
        return False
    uncounted = _make_up_for_mark(row, claim, settlement)
    after = TRANSITIONS.get((row.state, settlement.event))
    # A request that was sent is fenced by its requestId, what was only claimed by the owner.
    mine = row.owner == claim.owner if row.state is State.CLAIMED else row.request_id == settlement.request_id
    if after is None or not mine:
        return False
    # An answer that is stored has already taken the abandoned call out of maybe_billed.
    if row.state is State.AMBIGUOUS and not row.answered and row.maybe_billed:
        row.maybe_billed -= 1
        uncounted = settlement.billing is Billing.NOT_BILLED
    db.execute(
        """UPDATE clova_ocr.item SET state = %s, owner = NULL, sent_at = NULL, maybe_billed = %s, billing = %s,
               elapsed = %s, failure = %s, finished_at = %s WHERE id = %s""",
        (after, row.maybe_billed, settlement.billing, settlement.elapsed, failure, now, claim.number),
    )
    if settlement.event is ItemEvent.RELEASE:
        reopen_sources(db, [claim.number])
    if uncounted:
        uncount_call(db, claim.number)
    return True


def _make_up_for_mark(row: _Row, claim: Claim, settlement: Settlement) -> bool:
    """Mark the end of the last request, which is missing if the server was away at that moment.

    Returns:
        Whether the request is to be uncounted.
    """
    # Not by the owner alone: a restored run gives its number out again, and the request is another process's.
    if row.state is not State.SENT or row.request_id != settlement.request_id:
        return False
    if settlement.event is ItemEvent.MAYBE_BILLED:
        # If it has an answer, that turned out to be another call's: it is in flight no more, and not billed for sure.
        row.maybe_billed += row.in_flight or row.answered
        row.in_flight = False
    elif settlement.billing is Billing.NOT_BILLED and row.owner == claim.owner:
        uncounted, row.in_flight, row.state = row.in_flight, False, TRANSITIONS[State.SENT, ItemEvent.REFUSE]
        return uncounted
    return False


def write_settlement(db: Connection[Any], record: SettlementRecord) -> bool:
    """Write the end of a call; return whether the item was still this call's to settle."""
    return settle(db, record.claim, record.settlement, record.failure, record.ended)


def write_record(db: Connection[Any], record: OverflowRecord) -> None:
    """Write a record of an overflow file."""
    if isinstance(record, AnswerRecord):
        keep_answer(db, record)
    elif isinstance(record, RefusalRecord):
        refuse(db, record.item, record.request_id, maybe_billed_before=record.maybe_billed_before)
    else:
        write_settlement(db, record)
