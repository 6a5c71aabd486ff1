"""The records of overflow files, written to the tables of a run directory; each inside the caller's transaction."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from clova_ocr_async.ledger.overflow_records import AnswerRecord, RefusalRecord, StrayAnswerError
from clova_ocr_async.ledger.overflow_replay import replay_records
from clova_ocr_async.ledger.sqlite.item_statements import item_at, keep_answer, refuse, settle

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from pathlib import Path

    from clova_ocr_async.ledger.overflow_records import OverflowRecord, SettlementRecord

__all__ = ["replay_files", "write_answer", "write_record", "write_settlement"]


def write_answer(db: sqlite3.Connection, record: AnswerRecord) -> None:
    """Write an answer.

    Raises:
        StrayAnswerError: The run has another image, or none, under its number.
    """
    if record.image is not None and item_at(db, record.item) != record.image:
        raise StrayAnswerError
    answer = record.status, record.cut, record.body
    unpacked, foreign = record.unpacked, record.foreign
    keep_answer(db, record.item, record.request_id, answer, record.came, unpacked=unpacked, foreign=foreign)


def write_settlement(db: sqlite3.Connection, record: SettlementRecord) -> bool:
    """Write the end of a call; return whether the item was still this call's to settle."""
    # In a run that was restored from a backup, the number may be another image's, and the owner another process.
    if item_at(db, record.claim.number) != record.claim.item:
        return False
    return settle(db, record.claim, record.settlement, record.failure, record.ended)


def write_record(db: sqlite3.Connection, record: OverflowRecord) -> None:
    """Write a record."""
    if isinstance(record, AnswerRecord):
        write_answer(db, record)
    elif isinstance(record, RefusalRecord):
        refuse(db, record.item, record.request_id, maybe_billed_before=record.maybe_billed_before)
    else:
        write_settlement(db, record)


def replay_files(db: sqlite3.Connection, paths: Iterable[Path]) -> dict[Path, int]:
    """Write the records of some files.

    Returns:
        As ``replay_records``.
    """
    return replay_records(partial(write_record, db), paths)
