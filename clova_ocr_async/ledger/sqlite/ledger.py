"""The ledger in a SQLite file of a run directory, for any number of processes on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from clova_ocr_async.errors import ClovaOCRError, ConfigurationError, LedgerError, SpendingCeilingError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.overflow_file import check_locks, delete_replayed, reclaim
from clova_ocr_async.ledger.overflow_records import AnswerRecord, RefusalRecord, SettlementRecord
from clova_ocr_async.ledger.payment_stop import PaymentStop
from clova_ocr_async.ledger.run_settings import RequestedSettings
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.settlement import GONE
from clova_ocr_async.ledger.sqlite import item_statements, owners, worklist_statements
from clova_ocr_async.ledger.sqlite.connection import connect
from clova_ocr_async.ledger.sqlite.fallback_writer import FallbackWriter
from clova_ocr_async.ledger.sqlite.lock_wait import PATIENCE, LockWait
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER, create_private, prepare_run_directory
from clova_ocr_async.ledger.sqlite.run_settings import (
    call_limit_of,
    check_not_moved,
    store_or_check,
    store_or_check_services,
)
from clova_ocr_async.ledger.sqlite.schema import migrate
from clova_ocr_async.ledger.sqlite.settings_check import check_settings
from clova_ocr_async.ledger.sqlite.this_owner import ThisOwner
from clova_ocr_async.ledger.sqlite.writer import Tick, Writer
from clova_ocr_async.ledger.states import (
    FINISHED,
    Admission,
    Claim,
    Entry,
    Item,
    ItemEvent,
    ListedFile,
    Settlement,
    SourceFile,
    State,
)
from clova_ocr_async.ledger.stored_values import entry_of, sealed_answer, sealed_columns, sealed_failure
from clova_ocr_async.ledger.waiting import Waiters
from clova_ocr_async.protocol.response import is_answer_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from clova_ocr_async.errors import Billing
    from clova_ocr_async.ledger.run_settings import AnswerStorage, CallLimit
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["SqliteLedger"]

logger = logging.getLogger("clova_ocr_async")

T = TypeVar("T")


class SqliteLedger:
    """The ``RunLedger`` of a run directory.

    Several processes may have one open. The work of a dead one is taken over.

    Examples:
        >>> dispatcher = BatchDispatcher(client, ledger=SqliteLedger("run/", max_calls=1000))

    Args:
        folder: The run directory; made if it is not there, readable by its owner only.
        seal: Seals answers and errors on the disk; must be the one the run was begun with. The environment is not
            read: ``load_seal()`` does that.
        store: "full" stores the answers, "none" only how each call ended; as the run was begun if not given.
        max_calls: Calls that may be billed, or maybe billed, over the whole life of the run directory and by all its
            processes together, from now on also by those that give none; "none" for any number; the limit that the run
            has if not given.
        moved: Whether no other copy of the run is worked on any more. Without it a ledger is refused that is another
            file than it was, since the run directory was copied, moved or restored, or that ``copy_run`` has copied.
        lease: Seconds this process may sleep before others take its work over, at most 30. The death of a process shows
            at once where the process can be looked up.
        process: This process.
        watch: Called before and after each commit; for tests that end the process there.
        clock: Returns seconds of a clock that all processes of this machine share.
        now: Returns Unix seconds.
        sleep: Waits some seconds.
        patience: Seconds that another program may keep the ledger locked, before the batch ends.

    Attributes:
        max_calls: The call limit of the run, as last seen; None if it has none.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(  # noqa: PLR0913 - the settings of a ledger, each with a default
        self,
        folder: str | os.PathLike[str],
        *,
        seal: Seal | None = None,
        store: AnswerStorage | None = None,
        max_calls: CallLimit | None = None,
        moved: bool = False,
        lease: float = owners.LEASE,
        process: Process | None = None,
        watch: Callable[[str], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        patience: float = PATIENCE,
    ) -> None:
        check_settings(folder, seal, lease)
        self._path = folder
        self._seal = seal or NoSeal()
        self._requested = RequestedSettings(self._seal, store, max_calls, moved)
        self._store: AnswerStorage = store or "full"
        self.max_calls: int | None = None
        self._now = now
        self._this_owner = ThisOwner(process or Process.this(), lease, clock, now, self._seal)
        self._writer = Writer(
            self._connected,
            tick=Tick(lease / 3, self._this_owner.renew, self._this_owner.renewed),
            clock=clock,
            watch=watch,
            database=Path(os.fsdecode(folder)) / LEDGER,
            after_fork=self._this_owner.abandon_after_fork,
            lock_wait=LockWait(patience),
        )
        self._waiters = Waiters(self._free_of, sleep)
        self._payment_stop = PaymentStop(self._waiters.wake_all)
        self._fallback = FallbackWriter(self._writer, self._this_owner, self._payment_stop)
        self._opened = False

    @property
    def stop_reason(self) -> ClovaOCRError | None:
        """The error after which nothing more is sent; None if there is none."""
        return self._payment_stop.error

    # -----------------------------------------------------------------------------------------------------------------
    # Opening and closing

    async def __aenter__(self) -> Self:
        if self._opened:
            raise ConfigurationError("a ledger is opened once; make another")
        check_locks()
        self._opened = True
        self._folder = await asyncio.to_thread(prepare_run_directory, self._path)
        create_private(self._folder / LEDGER)
        try:
            await self._writer.start(self._begin, undo=self._this_owner.leave)
        except BaseException:
            self._this_owner.close()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._waiters.stop_polling()
        try:
            self._this_owner.mark_emptied(await self._writer.submit(self._this_owner.leave, "close", durable=True))
            self._payment_stop.error = None  # what could not be written down is by now
        except ClovaOCRError as error:
            logger.warning("the ledger was not closed in order; the next process settles what is left: %s", error)
            self._payment_stop.stop(error)
        finally:
            try:
                await self._writer.stop()
            finally:
                self._this_owner.close()
                self._waiters.wake_all()  # they ask again, and meet the error that it is closed

    def _connected(self) -> sqlite3.Connection:
        reclaim(self._folder)  # on a full disk this may be the only room there is
        return connect(self._folder, patience=0.0)  # the writer waits for locks itself, and lets a fork pass meanwhile

    def _begin(self, db: sqlite3.Connection) -> None:
        migrate(db, check=self._this_owner.require_none_at_work)
        db.execute("PRAGMA synchronous = FULL")  # the overflow files that are replayed here are deleted afterwards
        db.execute("BEGIN IMMEDIATE")
        try:
            self._store = store_or_check(db, self._folder / LEDGER, self._requested)
            self.max_calls = call_limit_of(db)
            db.execute("INSERT INTO run (name, value) VALUES ('calls', 0) ON CONFLICT (name) DO NOTHING")
            replayed = self._this_owner.enter(db, self._folder, keeps_answers=self._store == "full")
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # on some errors SQLite has rolled back itself
                db.execute("ROLLBACK")
            raise
        delete_replayed(replayed)
        self._this_owner.reserve_overflow(db)

    async def open_for(self, services: Sequence[str]) -> None:
        """Bind the run to the services that will be asked, or refuse others than those it is bound to."""
        await self._writer.submit(partial(store_or_check_services, services=services), "begin")

    # -----------------------------------------------------------------------------------------------------------------
    # Images

    async def recall(self, source: SourceFile, document: str) -> Entry | None:
        """Return the finished item of a file whose stamp is the one it was read with; None if it must be read."""
        row = await self._writer.submit(lambda db: item_statements.find_source(db, source, document), "recall")
        entry = None if row is None else entry_of(row, self._seal)
        return entry if entry is not None and entry.state in FINISHED else None

    async def admit(self, item: Item, source: SourceFile | None) -> Admission:
        """Record an image under one of its names, and claim it if it is new or queued."""
        admitted = self._writer.submit(partial(self._claim, item=item, source=source), "claim")
        try:
            return await self._payment_stop.guard(asyncio.shield(admitted))
        except asyncio.CancelledError:
            # The claim may be committed after this: no caller would ever work on it.
            admitted.add_done_callback(self._release_unwanted)
            raise

    def _claim(self, db: sqlite3.Connection, item: Item, source: SourceFile | None) -> Admission:
        claim = item_statements.claim_item(db, item, self._this_owner.number)
        if claim is None:
            row = item_statements.find_item(db, item)
            assert row is not None  # noqa: S101 - an item that cannot be claimed is there
            entry = entry_of(row, self._seal)
        else:
            entry = Entry(claim.number, item, State.CLAIMED)
        if source is not None:
            # In the same transaction, so that every ambiguous item has a name.
            columns = sealed_columns(self._seal, source, item.document)
            item_statements.link_source(db, source, item, entry.number, columns)
        return Admission(entry, claim)

    def _release_unwanted(self, admitted: asyncio.Future[Admission]) -> None:
        if admitted.cancelled() or admitted.exception() is not None or (claim := admitted.result().claim) is None:
            return
        settlement = Settlement(ItemEvent.RELEASE)
        release = partial(item_statements.settle, claim=claim, settlement=settlement, failure=None, now=self._now())
        self._writer.submit(release, "released").add_done_callback(partial(self._written, claim.number))

    async def reject(self, source: SourceFile, document: str, failure: bytes) -> Entry | None:
        """Record that a file cannot be read; the name of one that was removed keeps its item, which is returned."""
        columns = sealed_columns(self._seal, source, document)
        reject = item_statements.reject_gone if failure == GONE else item_statements.reject_source
        row = await self._write(lambda db: reject(db, source, document, failure, columns), "reject")
        return None if row is None else entry_of(row, self._seal)

    async def set_interrupted(self, claim: Claim, count: int) -> None:
        """Record how many processes a claimed item has interrupted."""
        await self._write(partial(item_statements.set_interrupted, claim=claim, count=count), "interrupted")

    # -----------------------------------------------------------------------------------------------------------------
    # The marks of a request, and the end of its call

    async def sending(self, claim: Claim, request_id: str, picture: bytes = b"") -> bool:
        """Mark a request that is about to leave; durable when this returns True."""
        self._payment_stop.check()
        granted: bool | None = None
        send = partial(self._send, claim=claim, request_id=request_id, picture=picture)
        order = self._writer.submit(send, "sent", durable=True)
        try:
            granted = await self._payment_stop.guard(order)
        finally:
            if granted is not True:
                self._this_owner.reservation.end(claim.number)
        if granted is False:
            limit = plural(self.max_calls or 0, "call")
            raise SpendingCeilingError(f"the call limit of the run is reached: {limit}, billed or maybe billed")
        return granted is True

    def _send(self, db: sqlite3.Connection, claim: Claim, request_id: str, picture: bytes) -> bool | None:
        self._this_owner.check_not_replaced()
        check_not_moved(db)  # by a copy that was made while this process slept past its lease
        # What keeps the answer is there before the money is spent; a request without waits for that of another call.
        if not self._this_owner.reserve(claim.number):
            return None
        self.max_calls = call_limit_of(db)  # another process may have given the run another one
        return item_statements.send(db, claim, request_id, picture, self._now(), self.max_calls)

    async def refused(self, claim: Claim, request_id: str, *, maybe_billed_before: bool) -> None:
        """Mark that the request in flight was certainly not billed."""
        refuse = partial(
            item_statements.refuse, number=claim.number, request_id=request_id, maybe_billed_before=maybe_billed_before
        )
        try:
            await self._writer.submit(refuse, "refused")
        except LedgerError as error:
            self._fallback.overflow(RefusalRecord(claim.number, request_id, maybe_billed_before), error)
        finally:
            self._this_owner.reservation.end(claim.number)

    async def maybe_billed(self, claim: Claim, request_id: str) -> None:
        """Mark that the request in flight may have been billed and has no answer."""
        mark = partial(item_statements.mark_maybe_billed, number=claim.number, request_id=request_id)
        try:
            await self._writer.submit(mark, "maybe billed")
        except LedgerError as error:
            self._payment_stop.stop(error)
            raise
        finally:
            self._this_owner.reservation.end(claim.number)

    async def answered(self, claim: Claim, request_id: str, response: HTTPResponse) -> None:
        """Store an answer; durable when this returns, whichever process owns the item by now."""
        if self._store == "none":
            return
        status, cut, body, unpacked = sealed_answer(self._seal, claim.item, response)
        foreign = not is_answer_to(response.body, request_id)
        record = AnswerRecord(claim.number, request_id, status, cut, body, self._now(), unpacked, foreign, claim.item)
        self._this_owner.note_size(max(len(body), len(response.body)))  # the next one may not be packed as well
        try:
            await self._fallback.keep_answer(record)
        finally:
            self._this_owner.reservation.end(claim.number)

    async def settle(self, claim: Claim, settlement: Settlement) -> None:
        """Record how the call ended, and give the claim back."""
        self._this_owner.reservation.end(claim.number)
        failure = sealed_failure(self._seal, claim.item, settlement.failure)
        ended = SettlementRecord(claim, replace(settlement, failure=b""), failure, self._now())
        if settlement.event is ItemEvent.SUCCEED and self._store == "full":
            # The answer is on the disk and settles the item again if this is lost. So the caller gets it even while
            # another program keeps the file locked.
            self._fallback.submit_settlement(ended, durable=False).add_done_callback(
                partial(self._written, claim.number)
            )
            return
        await self._fallback.settle(ended)
        self._waiters.wake(claim.number)

    def _written(self, number: int, done: asyncio.Future[bool]) -> None:
        """Report the end of a job that no caller waits for."""
        error = None if done.cancelled() else done.exception()
        if error is not None:
            logger.warning("the end of a call is not recorded yet: %s", error)
        if isinstance(error, LedgerError):
            self._payment_stop.stop(error)
        self._waiters.wake(number)

    async def _write(self, work: Callable[[sqlite3.Connection], T], name: str) -> T:
        return await self._payment_stop.guard(self._writer.submit(work, name))

    async def changed(self, entry: Entry) -> None:
        """Wait until an item that another caller works on may have been finished or given back."""
        self._payment_stop.check()
        await self._waiters.wait(entry.number)

    async def _free_of(self, numbers: Sequence[int]) -> list[int]:
        def find(db: sqlite3.Connection) -> list[int]:
            self._this_owner.take_over(db)
            return [number for number in numbers if not item_statements.is_owned(db, number)]

        return await self._writer.submit(find, "look")

    # -----------------------------------------------------------------------------------------------------------------
    # The work list

    def add_files(self, files: Sequence[SourceFile], document: str) -> None:
        """Record files that are to be read; called in a thread beside the event loop."""
        self._writer.call(lambda db: worklist_statements.add_files(db, files, document, self._seal), "list")

    async def set_base_folder(self, folder: str) -> str | None:
        """Record the folder in which relative paths start, unless they start in another one; return that one."""
        recorded = await self._write(lambda db: worklist_statements.set_base_folder(db, os.fsencode(folder)), "begin")
        return None if recorded is None else os.fsdecode(recorded)

    async def claim_files(self, documents: Sequence[str], most: int) -> list[ListedFile]:
        """Take at most so many of the files of some documents that are to be read, in the order they were found."""
        return await self._write(  # the owner is read in the thread: a renewal before it may change it
            lambda db: worklist_statements.claim_files(db, documents, self._this_owner.number, most, self._seal),
            "hand out",
        )

    async def release_files(self, documents: Sequence[str]) -> None:
        """Give back the files of some documents that this process has taken and will not read."""
        await self._write(
            lambda db: worklist_statements.release_files(db, documents, self._this_owner.number), "give back"
        )

    async def others_at_work(self, documents: Sequence[str]) -> bool:
        """Take over what dead owners left, then return whether there may still be more to do."""

        def find(db: sqlite3.Connection) -> bool:
            self._this_owner.take_over(db)
            return worklist_statements.others_at_work(db, documents, self._this_owner.number)

        return await self._write(find, "look")

    async def requeue(self, billing: Billing, document: str | None = None) -> int:
        """Queue the unread items of one billing again, those of one document if it is given; return their number."""

        def work(db: sqlite3.Connection) -> int:
            self._this_owner.take_over(db)  # an item that has its answer by now must not be sent again
            return worklist_statements.requeue(db, billing, document)

        return await self._write(work, "requeue")
