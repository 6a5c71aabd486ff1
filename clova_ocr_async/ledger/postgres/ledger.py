"""The ledger in a PostgreSQL database, for any number of processes on any number of machines."""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from clova_ocr_async.errors import ClovaOCRError, ConfigurationError, LedgerError, SpendingCeilingError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.host.processes import Process
from clova_ocr_async.host.tasks import wait_shielded
from clova_ocr_async.ledger.overflow_file import check_locks
from clova_ocr_async.ledger.overflow_records import AnswerRecord, RefusalRecord, SettlementRecord
from clova_ocr_async.ledger.payment_stop import PaymentStop
from clova_ocr_async.ledger.postgres import item_statements, worklist_statements
from clova_ocr_async.ledger.postgres.admission import ClaimRegister
from clova_ocr_async.ledger.postgres.connection import PATIENCE, Database
from clova_ocr_async.ledger.postgres.location import run_location
from clova_ocr_async.ledger.postgres.outcome_statements import settle
from clova_ocr_async.ledger.postgres.outcomes import OutcomeWriter
from clova_ocr_async.ledger.postgres.overflow_place import overflow_folder
from clova_ocr_async.ledger.postgres.own_overflow import OwnOverflow
from clova_ocr_async.ledger.postgres.run_settings import begin_or_check, confirm, store_or_check_services
from clova_ocr_async.ledger.postgres.schema import migrate
from clova_ocr_async.ledger.postgres.sending import SendingMark
from clova_ocr_async.ledger.postgres.this_owner import LeaseClock, ThisOwner
from clova_ocr_async.ledger.postgres.threads import LedgerThreads
from clova_ocr_async.ledger.run_settings import LEASE, RequestedSettings, check_seal_and_lease
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.settlement import GONE
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
)
from clova_ocr_async.ledger.stored_values import entry_of, sealed_answer, sealed_columns, sealed_failure
from clova_ocr_async.ledger.waiting import Waiters
from clova_ocr_async.protocol.response import is_answer_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from psycopg import Connection

    from clova_ocr_async.errors import Billing
    from clova_ocr_async.ledger.postgres.run_settings import OpenedRun
    from clova_ocr_async.ledger.run_settings import AnswerStorage, CallLimit
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.protocol.response import HTTPResponse
    from clova_ocr_async.server_url import ServerURL

__all__ = ["PostgresLedger"]

T = TypeVar("T")


class PostgresLedger:
    """The ``RunLedger`` of a run in a PostgreSQL database; one database holds any number of runs.

    Any number of processes, on any machines, may have one open. The work of a dead one is taken over: at once on its
    own machine, elsewhere when its lease has run out. While the server is away nothing is sent. After some seconds the
    batch ends, and can be resumed; answers that arrive meanwhile are kept in a file of this user, and the next process
    that opens the run on this machine stores them.

    The tables are created when the first run is opened. ``clova_ocr_async.ledger.postgres.schema`` has the rights that
    a user without that right needs. It works through PgBouncer, in transaction mode as well.

    Args:
        dsn: The URL of the database: ``postgresql://user@host:port/database``, also with ``?run=NAME``. The password
            comes from PGPASSWORD, ~/.pgpass or a service file.
        run: The name of the run, unless the URL has it.
        seal: Seals answers and errors before they are sent to the server; must be the one the run was begun with. The
            environment is not read: ``load_seal()`` does that.
        store: "full" stores the answers, "none" only how each call ended; as the run was begun if not given.
        max_calls: Calls that may be billed, or maybe billed, over the whole life of the run and by all its processes
            together, from now on also by those that give none; "none" for any number; the limit that the run has if
            not given.
        moved: Whether no other copy of the run is worked on any more. Without it a run is refused that ``copy_run`` has
            copied, or whose database is a copy: a dump of another one that was restored.
        lease: Seconds this process may sleep before others take its work over, at most 30.
        process: This process.
        clock: Returns seconds of the clock that leases end by; the server's if not given.
        now: Returns Unix seconds.
        sleep: Waits some seconds.
        jitter: Returns a number from 0 to 1, so that processes that wait do not ask the server all at once.
        patience: Seconds for which a transaction is tried while the server is away, before the batch ends.
        state_folder: The folder for the state of the user's programs, in which answers are kept while the server is
            away; the platform's if not given.

    Attributes:
        max_calls: The call limit of the run, as last seen; None if it has none.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(  # noqa: PLR0913 - the settings of a ledger, each with a default
        self,
        dsn: str | ServerURL,
        run: str | None = None,
        *,
        seal: Seal | None = None,
        store: AnswerStorage | None = None,
        max_calls: CallLimit | None = None,
        moved: bool = False,
        lease: float = LEASE,
        process: Process | None = None,
        clock: Callable[[], float] | None = None,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        patience: float = PATIENCE,
        state_folder: str | os.PathLike[str] | None = None,
    ) -> None:
        check_seal_and_lease(seal, lease)
        server = run_location(dsn, run)
        self._seal = seal or NoSeal()
        requested = RequestedSettings(self._seal, store, max_calls, moved)
        self._begin_run = partial(begin_or_check, server=server, requested=requested)
        self._confirm = partial(confirm, server=server, requested=requested)
        self.max_calls: int | None = None
        self._now = now
        self._database = Database(server, patience, sends=True)
        self._this_owner = ThisOwner(
            process or Process.this(),
            LeaseClock(lease, clock or time.monotonic, clock),
            now,
            self._seal,
            OwnOverflow(server, overflow_folder(state_folder)),
        )
        self._threads = LedgerThreads(self._database.check_process)
        self._waiters = Waiters(self._free_of, sleep, lambda: 0.5 + jitter())
        self._payment_stop = PaymentStop(self._waiters.wake_all)
        self._outcomes = OutcomeWriter(self._database, self._this_owner, self._payment_stop)
        self._keeping: asyncio.Task[None] | None = None
        self._claims = ClaimRegister(self._this_owner, self._seal)

    @property
    def stop_reason(self) -> ClovaOCRError | None:
        """The error after which nothing more is sent; None if there is none."""
        return self._payment_stop.error

    # -----------------------------------------------------------------------------------------------------------------
    # Opening and closing

    async def __aenter__(self) -> Self:
        if self._keeping is not None:
            raise ConfigurationError("a ledger is opened once; make another")
        check_locks()
        self._outcomes.loop = asyncio.get_running_loop()
        self._keeping = asyncio.create_task(self._keep_lease())
        self._threads.open()
        opening = self._threads.submit(self._begin)
        try:
            await wait_shielded(opening)
            opening.result()
        except BaseException:
            await self._close(leave=opening.exception() is None)  # then it is open, and the caller was cancelled
            raise
        return self

    def _begin(self) -> None:
        self._this_owner.overflow.prepare()
        run, replayed, self.max_calls = self._database.run(self._enter)
        self._store: AnswerStorage = run.store
        self._this_owner.entered(self._database, replayed)

    def _enter(self, db: Connection[Any]) -> tuple[OpenedRun, dict[Path, int], int | None]:
        migrate(db)
        run = self._begin_run(db)
        replayed = self._this_owner.enter(db, run)
        return run, replayed, self._confirm(db)

    async def __aexit__(self, *exc_info: object) -> None:
        await self._close(leave=True)

    async def _close(self, *, leave: bool) -> None:
        assert self._keeping is not None  # noqa: S101 - it has entered
        self._keeping.cancel()
        self._waiters.stop_polling()
        try:
            await self._threads.close()
        finally:
            try:
                if leave:
                    await self._leave()
            finally:
                self._this_owner.overflow.close()
                self._database.close()
                self._waiters.wake_all()  # they ask again, and meet the error that it is closed

    async def _leave(self) -> None:
        leaving = asyncio.get_running_loop().run_in_executor(None, self._database.run, self._this_owner.leave)
        await wait_shielded(leaving)
        try:
            self._this_owner.overflow.mark_replayed(leaving.result())
            self._payment_stop.error = None  # what could not be written down is by now
        except ClovaOCRError as error:
            self._this_owner.outage.warn(
                "the ledger was not closed in order; the next process settles what is left", error
            )
            self._payment_stop.stop(error)

    async def _keep_lease(self) -> None:
        """Renew the lease at a third of its length, whatever the calls do."""
        while True:
            await asyncio.sleep(self._this_owner.lease / 3)
            with suppress(LedgerError):  # it has stopped the sending
                await self._threads.run(self._outcomes.renew)

    async def open_for(self, services: Sequence[str]) -> None:
        """Bind the run to the services that will be asked, or refuse others than those it is bound to."""
        await self._do(lambda db: store_or_check_services(db, self._this_owner.run, services))

    def _submit(self, work: Callable[[Connection[Any]], T], *, durable: bool) -> asyncio.Future[T]:
        return self._threads.submit(partial(self._outcomes.transact, work, durable=durable))

    async def _do(self, work: Callable[[Connection[Any]], T], *, durable: bool = True) -> T:
        """Do something in a transaction; if it fails in a way that every other one would, nothing more is sent."""
        return await self._payment_stop.guard(asyncio.shield(self._submit(work, durable=durable)))

    # -----------------------------------------------------------------------------------------------------------------
    # Images

    async def recall(self, source: SourceFile, document: str) -> Entry | None:
        """Return the finished item of a file whose stamp is the one it was read with; None if it must be read."""
        row = await self._do(
            lambda db: item_statements.find_source(db, self._this_owner.run, source, document), durable=False
        )
        entry = None if row is None else entry_of(row, self._seal)
        return entry if entry is not None and entry.state in FINISHED else None

    async def admit(self, item: Item, source: SourceFile | None) -> Admission:
        """Record an image under one of its names, and claim it if it is new or queued."""
        # A claim that is lost with the server's power was not sent, so it need not be durable.
        admitted = self._submit(partial(self._claims.admit, item=item, source=source, call=object()), durable=False)
        try:
            return await self._payment_stop.guard(asyncio.shield(admitted))
        except asyncio.CancelledError:
            # The claim may be committed after this: no caller would ever work on it.
            admitted.add_done_callback(self._release_unwanted)
            raise

    def _release_unwanted(self, admitted: asyncio.Future[Admission]) -> None:
        if admitted.exception() is not None or (claim := admitted.result().claim) is None:
            return
        released = Settlement(ItemEvent.RELEASE)
        release = partial(settle, claim=claim, settlement=released, failure=None, now=self._now())
        self._submit(release, durable=False).add_done_callback(lambda _: self._waiters.wake(claim.number))

    async def reject(self, source: SourceFile, document: str, failure: bytes) -> Entry | None:
        """Record that a file cannot be read; the name of one that was removed keeps its item, which is returned."""
        run, columns = self._this_owner.run, sealed_columns(self._seal, source, document)
        reject = item_statements.reject_gone if failure == GONE else item_statements.reject_source
        row = await self._do(lambda db: reject(db, run, source, document, failure, columns=columns), durable=False)
        return None if row is None else entry_of(row, self._seal)

    async def set_interrupted(self, claim: Claim, count: int) -> None:
        """Record how many processes a claimed item has interrupted."""
        await self._do(partial(item_statements.set_interrupted, claim=claim, count=count), durable=False)

    # -----------------------------------------------------------------------------------------------------------------
    # The marks of a request, and the end of its call

    async def sending(self, claim: Claim, request_id: str, picture: bytes = b"") -> bool:
        """Mark a request that is about to leave; durable when this returns True."""
        self._payment_stop.check()
        mark = SendingMark(self._this_owner, claim, request_id, picture, at=self._now())
        try:
            granted = await self._payment_stop.guard(self._threads.run(partial(self._outcomes.send, mark)))
        finally:
            self.max_calls = mark.limit if mark.counted else self.max_calls
        if granted is False:
            limit = plural(self.max_calls or 0, "call")
            raise SpendingCeilingError(f"the call limit of the run is reached: {limit}, billed or maybe billed")
        return granted is True

    async def refused(self, claim: Claim, request_id: str, *, maybe_billed_before: bool) -> None:
        """Mark that the request in flight was certainly not billed."""
        refusal = RefusalRecord(claim.number, request_id, maybe_billed_before)
        await self._threads.run(partial(self._outcomes.refuse, refusal))

    async def maybe_billed(self, claim: Claim, request_id: str) -> None:
        """Mark that the request in flight may have been billed and has no answer."""
        await self._threads.run(partial(self._outcomes.doubt, claim.number, request_id))

    async def answered(self, claim: Claim, request_id: str, response: HTTPResponse) -> None:
        """Store an answer; durable when this returns, whichever process owns the item by now."""
        if self._store == "none":
            return
        status, cut, body, unpacked = sealed_answer(self._seal, claim.item, response)
        foreign = not is_answer_to(response.body, request_id)
        record = AnswerRecord(claim.number, request_id, status, cut, body, self._now(), unpacked, foreign, claim.item)
        self._this_owner.overflow.note_size(
            max(len(body), len(response.body))
        )  # the next one may not be packed as well
        await self._threads.run(partial(self._outcomes.keep_answer, record))

    async def settle(self, claim: Claim, settlement: Settlement) -> None:
        """Record how the call ended, and give the claim back."""
        self._claims.end(claim.number)
        failure = sealed_failure(self._seal, claim.item, settlement.failure)
        ended = SettlementRecord(claim, replace(settlement, failure=b""), failure, self._now())
        try:
            await self._threads.run(partial(self._outcomes.settle, ended))
        finally:
            self._waiters.wake(claim.number)

    async def changed(self, entry: Entry) -> None:
        """Wait until an item that another caller works on may have been finished or given back."""
        self._payment_stop.check()
        await self._waiters.wait(entry.number)

    async def _free_of(self, numbers: Sequence[int]) -> list[int]:
        def find(db: Connection[Any]) -> set[int]:
            self._this_owner.take_over(db)
            return item_statements.owned_among(db, numbers)

        owned = await self._do(find)
        return [number for number in numbers if number not in owned]

    # -----------------------------------------------------------------------------------------------------------------
    # The work list

    def add_files(self, files: Sequence[SourceFile], document: str) -> None:
        """Record files that are to be read; called in a thread beside the event loop."""
        self._threads.check_open()
        run = self._this_owner.run
        self._outcomes.transact(lambda db: worklist_statements.add_files(db, run, files, document, self._seal))

    async def set_base_folder(self, folder: str) -> str | None:
        """Record the folder in which relative paths start, unless they start in another one; return that one."""
        run = self._this_owner.run
        recorded = await self._do(lambda db: worklist_statements.set_base_folder(db, run, os.fsencode(folder)))
        return None if recorded is None else os.fsdecode(recorded)

    async def claim_files(self, documents: Sequence[str], most: int) -> list[ListedFile]:
        """Take at most so many of the files of some documents that are to be read, in the order they were found."""
        taken: list[tuple[Any, ...]] = []

        def claim(db: Connection[Any]) -> list[tuple[Any, ...]]:
            owner = self._this_owner.number  # a renewal before this may have changed it
            # What an earlier try took, if its commit was not acknowledged; nobody else was given that.
            again = worklist_statements.claim_again(db, [row[0] for row in taken], owner) if taken else []
            left = most - len(again)
            taken[:] = again + worklist_statements.claim_files(db, self._this_owner.run, documents, owner, left)
            return taken

        return worklist_statements.taken_files(await self._do(claim, durable=False), self._seal)

    async def release_files(self, documents: Sequence[str]) -> None:
        """Give back the files of some documents that this process has taken and will not read."""
        owner = self._this_owner
        await self._do(
            lambda db: worklist_statements.release_files(db, owner.run, documents, owner.number), durable=False
        )

    async def others_at_work(self, documents: Sequence[str]) -> bool:
        """Take over what dead owners left, then return whether there may still be more to do."""
        owner = self._this_owner

        def find(db: Connection[Any]) -> bool:
            owner.take_over(db)
            return worklist_statements.others_at_work(db, owner.run, documents, owner.number)

        return await self._do(find)

    async def requeue(self, billing: Billing, document: str | None = None) -> int:
        """Queue the unread items of one billing again, those of one document if it is given; return their number."""
        owner, queued = self._this_owner, set[int]()

        def work(db: Connection[Any]) -> int:
            owner.take_over(db)  # an item that has its answer by now must not be sent again
            found = worklist_statements.requeue(db, owner.run, billing, document, inconclusive=owner.inconclusive)
            queued.update(found)  # to those of an earlier try, whose commit was not acknowledged
            return len(queued)

        return await self._do(work)
