"""Answers that neither the ledger nor the overflow file takes at once."""

from __future__ import annotations

from typing import Any, cast

from clova_ocr_async.errors import DiskFullError
from clova_ocr_async.ledger.overflow_records import AnswerRecord
from clova_ocr_async.ledger.sqlite.errors import LockTimeoutError
from clova_ocr_async.ledger.sqlite.fallback_writer import FallbackWriter


class LockedOnce:
    """A writer whose ledger is locked for its first order."""

    def __init__(self) -> None:
        self.orders = 0

    async def submit(self, *_: object, **__: object) -> None:
        """Fail once."""
        self.orders += 1
        if self.orders == 1:
            raise LockTimeoutError("another program keeps the ledger locked")


class NoRoom:
    """An owner whose overflow file has no room."""

    def keep(self, _: object) -> None:
        """Refuse a record."""
        raise DiskFullError("the disk is full")


async def test_an_answer_waits_for_the_lock_where_the_disk_is_full() -> None:
    """With a locked ledger and a full disk the answer is written once the lock is free: it is never dropped."""
    writer = LockedOnce()
    fallback = FallbackWriter(cast("Any", writer), cast("Any", NoRoom()), cast("Any", None))
    await fallback.keep_answer(AnswerRecord(1, "r", 200, None, b"{}", 0.0))
    assert writer.orders == 2
