"""Writes results of calls to the server, or to the overflow file while the server cannot take them.

All is done in the ledger's threads, so that the cancellation of a caller cuts off neither. An answer comes before the
settlement of its call, also where it is in the overflow file: each transaction that settles a call replays first what
this process has in that file. So no item is found finished while its answer is outside the server.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.postgres.item_statements import mark_maybe_billed
from clova_ocr_async.ledger.postgres.outcome_statements import keep_answer, write_record, write_settlement
from clova_ocr_async.ledger.postgres.sending import CallLimitReachedError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from psycopg import Connection

    from clova_ocr_async.ledger.overflow_records import AnswerRecord, OverflowRecord, RefusalRecord, SettlementRecord
    from clova_ocr_async.ledger.payment_stop import PaymentStop
    from clova_ocr_async.ledger.postgres.connection import Database
    from clova_ocr_async.ledger.postgres.sending import SendingMark
    from clova_ocr_async.ledger.postgres.this_owner import ThisOwner

__all__ = ["OutcomeWriter"]

T = TypeVar("T")


class OutcomeWriter:
    """Puts answers and settlements where they survive the process; its methods are called in the ledger's threads.

    Args:
        database: The database.
        owner: Has the lease and the overflow file.
        payment_stop: Stops sending after an error; used in the event loop alone.

    Attributes:
        loop: The event loop of the ledger, once it is open.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(
        self,
        database: Database,
        owner: ThisOwner,
        payment_stop: PaymentStop,
    ) -> None:
        self._database = database
        self._owner = owner
        self._payment_stop = payment_stop

    def renew(self) -> None:
        """Renew the lease if that is due.

        Raises:
            LedgerError: The run is another one by now, or in another database; nothing more is sent.
        """
        try:
            self._owner.renew_if_due(self._database)
        except LedgerError as error:
            self._stop(error)
            raise

    def transact(self, work: Callable[[Connection[Any]], T], *, durable: bool = True) -> T:
        """Do something in a transaction of this owner.

        Raises:
            LedgerError: The server is away, or refuses; or as in ``renew``.
        """
        self.renew()
        # Once sending has stopped, nothing is won by patience: what can be kept here is kept here.
        patience = None if self._payment_stop.error is None else 0.0
        return self._database.run(work, durable=durable, patience=patience)

    def send(self, mark: SendingMark) -> bool | None:
        """Mark a request that is about to leave.

        Returns:
            True; None if it must wait for calls in flight; False if the call limit is reached for good.

        Raises:
            ClaimLostError: Another process has the item.
            LedgerError: The server is away, or there is no room for the answer.
        """
        # What keeps the answer is there before the money is spent; a request without waits for that of another call.
        if not self._owner.overflow.reserve(mark.claim.number):
            return None
        sent = False
        try:
            self.transact(mark.write)
            sent = True
        except CallLimitReachedError as reached:
            return False if reached.for_good else None
        finally:
            if not sent:
                self._owner.overflow.reservation.end(mark.claim.number)
        return True

    def doubt(self, number: int, request_id: str) -> None:
        """Mark that a request may have been billed and has no answer.

        Raises:
            LedgerError: The server cannot take it; the settlement of the call makes up for that.
        """
        try:
            self.transact(partial(mark_maybe_billed, number=number, request_id=request_id))
        except LedgerError as error:
            self._stop(error)
            raise
        finally:
            self._owner.overflow.reservation.end(number)

    def keep_answer(self, answer: AnswerRecord) -> None:
        """Keep an answer; on a disk when this returns.

        Raises:
            DiskFullError: There is no room for it anywhere.
        """
        self._write(answer.item, answer, partial(keep_answer, record=answer))

    def refuse(self, refusal: RefusalRecord) -> None:
        """Mark that a request was certainly not billed.

        Raises:
            DiskFullError: There is no room for that anywhere.
        """
        self._write(refusal.item, refusal, partial(write_record, record=refusal))

    def settle(self, settlement: SettlementRecord) -> None:
        """Settle a call; on a disk when this returns.

        Raises:
            LedgerError: The server cannot take it, and the call was never sent, so that its item becomes free by
                itself; or the overflow file has no room.
        """

        def work(db: Connection[Any]) -> bool:
            self._owner.overflow.replay(db, own=True)
            return write_settlement(db, settlement)

        if settlement.settlement.request_id is not None:
            self._write(settlement.claim.number, settlement, work)
            return
        try:
            self.transact(work)
        except LedgerError as error:  # nothing was billed, so nothing has to be kept
            self._stop(error)
            raise

    def _write(self, number: int, record: OverflowRecord, work: Callable[[Connection[Any]], object]) -> None:
        try:
            self.transact(work)
        except LedgerError as error:
            # Nothing more is sent: another request could be taken for this one.
            self._stop(error)
            if self._payment_stop.is_first(record.name):
                what = f"{record.name} is kept in the overflow file, until the server can take it"
                self._owner.outage.warn(what, error)
            self._owner.overflow.keep(record)
        finally:
            self._owner.overflow.reservation.end(number)

    def _stop(self, error: LedgerError) -> None:
        """Stop sending; a caller that waits for the thread's result finds it stopped."""
        with suppress(RuntimeError):  # the loop is closed: nothing is sent any more
            self.loop.call_soon_threadsafe(self._payment_stop.stop, error)
