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
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.settlement import GONE
from clova_ocr_async.ledger.sqlite import owners, statements, worklist
from clova_ocr_async.ledger.sqlite.arguments import check_settings
from clova_ocr_async.ledger.sqlite.connection import connect
from clova_ocr_async.ledger.sqlite.fallback import FallbackWriter
from clova_ocr_async.ledger.sqlite.lock_wait import PATIENCE, LockWait
from clova_ocr_async.ledger.sqlite.overflow import check_locks, delete_replayed, reclaim
from clova_ocr_async.ledger.sqlite.overflow_records import AnswerRecord, RefusalRecord, SettlementRecord
from clova_ocr_async.ledger.sqlite.participant import Participant
from clova_ocr_async.ledger.sqlite.payment_stop import PaymentStop
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER, create_private, prepare_run_directory
from clova_ocr_async.ledger.sqlite.run_settings import Terms, agree, agree_on_services, ceiling_of
from clova_ocr_async.ledger.sqlite.schema import migrate
from clova_ocr_async.ledger.sqlite.waiting import Waiters
from clova_ocr_async.ledger.sqlite.writer import Tick, Writer
from clova_ocr_async.ledger.states import (
    FINISHED,
    Admission,
    Claim,
    Entry,
    Item,
    ItemEvent,
    Settlement,
    SourceFile,
    State,
)
from clova_ocr_async.protocol.plural import plural
from clova_ocr_async.protocol.request_id import is_answer_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from clova_ocr_async.errors import Billing
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.ledger.sqlite.run_settings import CallLimit, Store
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["SqliteLedger"]

logger = logging.getLogger("clova_ocr_async")

T = TypeVar("T")


class SqliteLedger:
    """Keeps a batch in a run directory.

    Several processes may have one open. What a dead one left is taken over.

    Args:
        folder: The run directory; made if it is not there, readable by its owner only.
        seal: What seals answers and errors on the disk; must be the one the run was begun with. The environment is not
            looked at: ``load_seal()`` does that.
        store: "full" keeps the answers, "none" only what became of each image; as the run was begun if not given.
        max_calls: Calls that may be paid, or perhaps paid, over the whole life of the run directory and by all its
            processes together, from now on also by those that give none; "none" for any number; the ceiling that the
            run has if not given.
        moved: Whether the run directory was copied, moved or restored to where it is, and no other copy of it is worked
            on any more. Without it a ledger that is another file than it was is refused.
        lease: Seconds this process may sleep before others take its work over, at most 30. One that has died is found
            out at once, where that can be seen.
        process: Who this is.
        watch: Told before and after each commit; for tests that end the process there.
        clock: Returns seconds of a clock that all processes of this machine share.
        now: Returns Unix seconds.
        sleep: Waits some seconds.
        patience: Seconds that another program may keep the ledger locked, before the batch ends.

    Attributes:
        max_calls: The ceiling that the run has, as last seen; None if it has none.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(  # noqa: PLR0913 - the settings of a ledger, each with a default
        self,
        folder: str | os.PathLike[str],
        *,
        seal: Seal | None = None,
        store: Store | None = None,
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
        self._given = folder
        self._seal = seal or NoSeal()
        self._terms = Terms(self._seal, store, max_calls, moved)
        self._store: Store = store or "full"
        self.max_calls: int | None = None
        self._now = now
        self._tenant = Participant(process or Process.this(), lease, clock, now, self._seal)
        self._writer = Writer(
            self._connected,
            tick=Tick(lease / 3, self._tenant.renew, self._tenant.renewed),
            clock=clock,
            watch=watch,
            database=Path(os.fsdecode(folder)) / LEDGER,
            after_fork=self._tenant.let_go,
            lock_wait=LockWait(patience),
        )
        self._waiters = Waiters(self._look, sleep)
        self._payment_stop = PaymentStop(self._waiters.wake_all)
        self._fallback = FallbackWriter(self._writer, self._tenant, self._payment_stop)
        self._opened = False

    @property
    def trouble(self) -> ClovaOCRError | None:
        """Why nothing more is sent; None while all is well."""
        return self._payment_stop.error

    # -----------------------------------------------------------------------------------------------------------------
    # Opening and closing

    async def __aenter__(self) -> Self:
        if self._opened:
            raise ConfigurationError("a ledger is opened once; make another")
        check_locks()
        self._opened = True
        self._folder = await asyncio.to_thread(prepare_run_directory, self._given)
        create_private(self._folder / LEDGER)
        try:
            await self._writer.start(self._begin, undo=self._tenant.leave)
        except BaseException:
            self._tenant.close()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._waiters.stop_looking()
        try:
            self._tenant.left(await self._writer.submit(self._tenant.leave, "close", durable=True))
            self._payment_stop.error = None  # what could not be written down is by now
        except ClovaOCRError as error:
            logger.warning("the ledger was not left in order, and will be mended by who opens it next: %s", error)
            self._payment_stop.stop(error)
        finally:
            try:
                await self._writer.stop()
            finally:
                self._tenant.close()
                self._waiters.wake_all()  # they ask again, and are told that it is closed

    def _connected(self) -> sqlite3.Connection:
        reclaim(self._folder)  # of a full disk this may be all the room there is
        return connect(self._folder, patience=0.0)  # the writer waits, in its own way

    def _begin(self, db: sqlite3.Connection) -> None:
        migrate(db)
        db.execute("PRAGMA synchronous = FULL")  # what is brought in is removed from beside the ledger behind this
        db.execute("BEGIN IMMEDIATE")
        try:
            self._store = agree(db, self._folder / LEDGER, self._terms)
            self.max_calls = ceiling_of(db)
            db.execute("INSERT INTO run (name, value) VALUES ('calls', 0) ON CONFLICT (name) DO NOTHING")
            brought_in = self._tenant.enter(db, self._folder, keeps_answers=self._store == "full")
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have done so itself
                db.execute("ROLLBACK")
            raise
        delete_replayed(brought_in)
        self._tenant.make_room(db)

    async def open_for(self, services: Sequence[str]) -> None:
        """Refuse the answers of another service than those the ledger was begun with."""
        await self._writer.submit(partial(agree_on_services, services=services), "begin")

    # -----------------------------------------------------------------------------------------------------------------
    # Images

    async def recall(self, source: SourceFile, document: str) -> Entry | None:
        """Return what is known of a file that has not changed since it was read; None if it must be read."""
        row = await self._writer.submit(lambda db: statements.find_source(db, source, document), "recall")
        entry = None if row is None else statements.entry_of(row, self._seal)
        return entry if entry is not None and entry.state in FINISHED else None

    async def admit(self, item: Item, source: SourceFile | None) -> Admission:
        """Write down an image under one of its names, and claim it if there is anything to do."""
        admitted = self._writer.submit(partial(self._claim, item=item, source=source), "claim")
        try:
            return await self._payment_stop.guard(asyncio.shield(admitted))
        except asyncio.CancelledError:
            admitted.add_done_callback(self._give_back)
            raise

    def _claim(self, db: sqlite3.Connection, item: Item, source: SourceFile | None) -> Admission:
        claim = statements.claim_item(db, item, self._tenant.owner)
        if claim is None:
            row = statements.find_item(db, item)
            assert row is not None  # noqa: S101 - an item that cannot be claimed is there
            entry = statements.entry_of(row, self._seal)
        else:
            entry = Entry(claim.number, item, State.CLAIMED)
        if source is not None:
            # In the same transaction, so that every ambiguous item has a name.
            statements.link_source(db, source, item.document, entry.number)
        return Admission(entry, claim)

    def _give_back(self, admitted: asyncio.Future[Admission]) -> None:
        """Release what was claimed for somebody who did not wait for it."""
        if admitted.cancelled() or admitted.exception() is not None or (claim := admitted.result().claim) is None:
            return
        release = partial(
            statements.settle, claim=claim, verdict=Settlement(ItemEvent.RELEASE), failure=None, now=self._now()
        )
        self._writer.submit(release, "released").add_done_callback(partial(self._written, claim.number))

    async def reject(self, source: SourceFile, document: str, failure: bytes) -> Entry | None:
        """Write down a file that cannot be read; one that is gone stays what it was, and that is returned."""
        if failure != GONE:
            await self._did(lambda db: statements.reject_source(db, source, document, failure), "reject")
            return None
        row = await self._did(lambda db: statements.reject_gone(db, source, document, failure), "reject")
        return None if row is None else statements.entry_of(row, self._seal)

    # -----------------------------------------------------------------------------------------------------------------
    # The marks of a call

    async def sending(self, claim: Claim, request_id: str) -> bool:
        """Mark a request that is about to leave; on the disk when this returns True."""
        self._payment_stop.check()
        granted: bool | None = None
        order = self._writer.submit(partial(self._send, claim=claim, request_id=request_id), "sent", durable=True)
        try:
            granted = await self._payment_stop.guard(order)
        finally:
            if granted is not True:
                self._tenant.landed(claim.number)
        if granted is False:
            ceiling = plural(self.max_calls or 0, "call")
            raise SpendingCeilingError(f"the ceiling of {ceiling} is reached: as many are paid in this run, or perhaps")
        return granted is True

    def _send(self, db: sqlite3.Connection, claim: Claim, request_id: str) -> bool | None:
        self._tenant.check_place()
        # What keeps the answer is there before the money is spent; a request without waits for that of another call.
        if not self._tenant.reserve(claim.number):
            return None
        self.max_calls = ceiling_of(db)  # another process may have given the run another one
        return statements.send(db, claim, request_id, self._now(), self.max_calls)

    async def refused(self, claim: Claim, request_id: str, *, still_in_doubt: bool) -> None:
        """Mark that the request was certainly not paid."""
        work = partial(statements.refuse, number=claim.number, request_id=request_id, still_in_doubt=still_in_doubt)
        try:
            await self._did(work, "refused")
        except LedgerError as error:
            self._fallback.overflow(RefusalRecord(claim.number, request_id, still_in_doubt), error)
        finally:
            self._tenant.landed(claim.number)

    async def doubted(self, claim: Claim, request_id: str) -> None:
        """Mark that the request may have been paid and has no answer."""
        try:
            await self._did(lambda db: statements.doubt(db, claim.number, request_id), "doubted")
        except LedgerError as error:
            self._payment_stop.stop(error)
            raise
        finally:
            self._tenant.landed(claim.number)

    async def answered(self, claim: Claim, request_id: str, response: HTTPResponse) -> None:
        """Keep an answer; on the disk when this returns, whoever owns the item by now."""
        if self._store == "none":
            return
        status, cut, body, unpacked = statements.stored_answer(self._seal, claim.item, response)
        foreign = not is_answer_to(response.body, request_id)
        spilled = AnswerRecord(claim.number, request_id, status, cut, body, self._now(), unpacked, foreign)
        self._tenant.see(max(len(body), len(response.body)))  # the next one may not be packed as well
        try:
            await self._fallback.keep_answer(spilled)
        finally:
            self._tenant.landed(claim.number)

    async def settle(self, claim: Claim, verdict: Settlement) -> None:
        """Write down how the call ended, and give the claim back."""
        self._tenant.landed(claim.number)
        failure = statements.kept_failure(self._seal, claim.item, verdict.failure)
        ended = SettlementRecord(claim, replace(verdict, failure=b""), failure, self._now())
        if verdict.mark is ItemEvent.SUCCEED and self._store == "full":
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
            logger.warning("how a call ended is not written down yet: %s", error)
        if isinstance(error, LedgerError):
            self._payment_stop.stop(error)
        self._waiters.wake(number)

    async def _did(self, work: Callable[[sqlite3.Connection], T], name: str, *, durable: bool = False) -> T:
        return await self._payment_stop.guard(self._writer.submit(work, name, durable=durable))

    async def changed(self, entry: Entry) -> None:
        """Wait until an item that somebody else works on may have been finished or given back."""
        self._payment_stop.check()
        await self._waiters.wait(entry.number)

    async def _look(self, numbers: Sequence[int]) -> list[int]:
        return await self._writer.submit(partial(self._changed_of, numbers=numbers), "look")

    def _changed_of(self, db: sqlite3.Connection, numbers: Sequence[int]) -> list[int]:
        self._tenant.take_over(db)
        return [number for number in numbers if not statements.is_under_way(db, number)]

    # -----------------------------------------------------------------------------------------------------------------
    # Files

    def add_files(self, files: Sequence[SourceFile], document: str) -> None:
        """Write down files that are to be read; for another thread than the event loop's.

        Args:
            files: With their identities as found.
            document: The vendor's path word.
        """
        self._writer.call(lambda db: worklist.add_files(db, files, document), "list")

    async def start_in(self, folder: str) -> str | None:
        """Write down in which folder relative paths start.

        Args:
            folder: The current one.

        Returns:
            The one in which those start that are listed already, if that is another; None if there is none.
        """
        kept = await self._did(lambda db: worklist.start_in(db, os.fsencode(folder)), "begin")
        return None if kept is None else os.fsdecode(kept)

    async def claim_files(self, document: str, most: int) -> list[bytes]:
        """Take some of the listed files to read; nobody else is given them."""
        return await self._did(lambda db: worklist.claim_files(db, document, self._tenant.owner, most), "hand out")

    async def release_files(self, document: str) -> None:
        """Give files back that were taken and not read."""
        await self._did(lambda db: worklist.release_files(db, document, self._tenant.owner), "give back")

    async def others_at_work(self, document: str) -> bool:
        """Whether other processes hold what they may yet give back; what dead ones held is given back by this."""

        def look(db: sqlite3.Connection) -> bool:
            self._tenant.take_over(db)
            return worklist.others_at_work(db, document, self._tenant.owner)

        return await self._did(look, "look")

    async def requeue(self, billing: Billing, document: str | None = None) -> int:
        """Have items tried again that are finished and were not read.

        Args:
            billing: NOT_BILLED for those certainly not paid, MAYBE_BILLED for those in doubt, BILLED for those paid for
                nothing.
            document: Only those of this document (the vendor's path word); of all if not given.

        Returns:
            How many.
        """

        def work(db: sqlite3.Connection) -> int:
            self._tenant.take_over(db)  # what has its answer by now is finished, and not sent again
            return worklist.requeue(db, billing, document)

        return await self._did(work, "requeue")
