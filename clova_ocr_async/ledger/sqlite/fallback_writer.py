"""Writes results of calls to the ledger, or to the overflow file while the ledger cannot take them.

An answer comes before the settlement of its call, also where it is in the overflow file: each transaction that settles
a call replays first what this process has in that file. So no item is found finished while its answer is outside the
ledger.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.ledger.sqlite.errors import LockTimeoutError
from clova_ocr_async.ledger.sqlite.record_statements import write_answer, write_settlement

if TYPE_CHECKING:
    import asyncio
    import sqlite3

    from clova_ocr_async.ledger.overflow_records import AnswerRecord, OverflowRecord, SettlementRecord
    from clova_ocr_async.ledger.payment_stop import PaymentStop
    from clova_ocr_async.ledger.sqlite.this_owner import ThisOwner
    from clova_ocr_async.ledger.sqlite.writer import Writer

__all__ = ["FallbackWriter"]

logger = logging.getLogger("clova_ocr_async")


class FallbackWriter:
    """Puts answers and settlements where they survive the process.

    Args:
        writer: Writes to the ledger.
        owner: Has the overflow file.
        payment_stop: Stops sending after a record went to the overflow file because of an error.
    """

    def __init__(self, writer: Writer, owner: ThisOwner, payment_stop: PaymentStop) -> None:
        self._writer = writer
        self._owner = owner
        self._payment_stop = payment_stop

    async def keep_answer(self, answer: AnswerRecord) -> None:
        """Keep an answer; on the disk when this returns.

        Raises:
            DiskFullError: There is no room for it anywhere.
        """
        try:
            await self._keep_answer(answer)
        except LedgerError as error:
            self.overflow(answer, error)

    async def _keep_answer(self, answer: AnswerRecord) -> None:
        """Write an answer to the ledger; to the overflow file if another program keeps the ledger locked."""
        try:
            await self._writer.submit(partial(write_answer, record=answer), "answered", durable=True, urgent=True)
        except LockTimeoutError:
            # The ledger works again once the lock is free, so sending goes on.
            try:
                self._owner.keep(answer)
            except DiskFullError:
                await self._writer.submit(partial(write_answer, record=answer), "answered", durable=True)
            else:
                self._writer.tick_soon()  # only now: an earlier tick would not have replayed this record

    async def settle(self, settlement: SettlementRecord) -> None:
        """Settle a call; on the disk when this returns.

        Raises:
            LedgerError: The ledger cannot be written, and the call was never sent, so that its item becomes free by
                itself; or the overflow file has no room.
        """
        try:
            await self._payment_stop.guard(self.submit_settlement(settlement, durable=True))
        except LedgerError as error:
            if settlement.settlement.request_id is None:  # nothing was billed, so nothing has to be kept
                self._payment_stop.stop(error)
                raise
            self.overflow(settlement, error)

    def submit_settlement(self, settlement: SettlementRecord, *, durable: bool) -> asyncio.Future[bool]:
        """Queue a settlement; the future has whether the item was still the call's to settle.

        Args:
            settlement: How the call ended.
            durable: Whether it must be on the disk when the future has its result.
        """

        def work(db: sqlite3.Connection) -> bool:
            self._owner.replay_own(db)
            return write_settlement(db, settlement)

        return self._writer.submit(work, "settled", durable=durable)

    def overflow(self, record: OverflowRecord, error: LedgerError) -> None:
        """Write a record to the overflow file, and send nothing more: another request could be taken for this one.

        Raises:
            DiskFullError: There is no room for it.
        """
        self._payment_stop.stop(error)
        if self._payment_stop.is_first(record.name):
            logger.warning("%s is kept in the overflow file, until the ledger can take it: %s", record.name, error)
        self._owner.keep(record)
