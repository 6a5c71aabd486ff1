"""What calls were paid for and how they ended, on its way into the ledger, or beside it while that cannot take it.

An answer comes before the end of its call, also where it is kept beside the ledger: each transaction that ends calls
brings in first what this process has kept there. So nobody finds an image finished whose answer is still outside.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.ledger.sqlite import bulk_statements
from clova_ocr_async.ledger.sqlite.errors import StalledError

if TYPE_CHECKING:
    import sqlite3

    from clova_ocr_async.ledger.sqlite.halt import PaymentStop
    from clova_ocr_async.ledger.sqlite.overflow_records import Spilled, SpilledAnswer, SpilledVerdict
    from clova_ocr_async.ledger.sqlite.participant import Participant
    from clova_ocr_async.ledger.sqlite.writer import Writer

__all__ = ["Safekeeping"]

logger = logging.getLogger("clova_ocr_async")


class Safekeeping:
    """Puts answers and the ends of calls where they outlive the process.

    Args:
        writer: Writes into the ledger.
        tenant: Keeps beside it.
        halt: Notes what the ledger could not take.
    """

    def __init__(self, writer: Writer, tenant: Participant, halt: PaymentStop) -> None:
        self._writer = writer
        self._tenant = tenant
        self._halt = halt

    async def answer(self, answer: SpilledAnswer) -> None:
        """Keep an answer; on the disk when this returns.

        Raises:
            DiskFullError: There is no room for it anywhere.
        """
        try:
            await self._answer(answer)
        except LedgerError as error:
            self.beside(answer, error)

    async def _answer(self, answer: SpilledAnswer) -> None:
        """Keep an answer in the ledger; beside it for as long as another program has it locked."""
        row = msgspec.structs.astuple(answer)
        try:
            await self._writer.submit_alike(bulk_statements.keep_answers, row, "answered", durable=True, urgent=True)
        except StalledError:
            try:
                self._tenant.keep(answer)
            except DiskFullError:
                await self._writer.submit_alike(bulk_statements.keep_answers, row, "answered", durable=True)
            else:
                self._writer.tick_soon()  # behind it: what was ticked before did not bring it in

    async def end(self, ended: SpilledVerdict) -> None:
        """Write down how a call ended.

        Raises:
            LedgerError: The call was never sent, so that its image goes back by itself, and the ledger cannot be
                written; or there is no room beside it.
        """
        try:
            await self._halt.guard(self._writer.submit(partial(self._end, ended), "settled", durable=True))
        except LedgerError as error:
            if ended.verdict.request_id is None:
                self._halt.note(error)
                raise
            self.beside(ended, error)

    def _end(self, ended: SpilledVerdict, db: sqlite3.Connection) -> None:
        self._tenant.replay_own(db)
        ended.write(db)

    def beside(self, spilled: Spilled, error: LedgerError) -> None:
        """Keep what the ledger cannot take; no other request may leave then, which could be taken for this one.

        Raises:
            DiskFullError: There is no room for it.
        """
        self._halt.note(error)
        if self._halt.is_news(spilled.name):
            logger.warning("%s is kept beside the ledger: %s", spilled.name, error)
        self._tenant.keep(spilled)
