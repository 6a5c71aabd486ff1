"""A ledger in memory: the contract of ``clova_ocr_async.ledger.storage``, and nothing else.

With ``memory_run.py``, ``memory_view.py`` and ``memory_corrections.py`` it is a whole store. It shows that the contract
is enough to write a store from, and is the place to see what a rule means. The processes are ledgers of one
``MemoryRun``; nothing is sealed, since nothing is on a disk.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from typing import TYPE_CHECKING, Self

from clova_ocr_async.errors import (
    Billing,
    ClovaOCRError,
    ConfigurationError,
    LedgerError,
    SpendingCeilingError,
)
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.settlement import GONE, is_requeued
from clova_ocr_async.ledger.states import (
    FINISHED,
    OWNED,
    TRANSITIONS,
    Admission,
    Claim,
    ClaimLostError,
    Entry,
    Item,
    ItemEvent,
    ListedFile,
    Settlement,
    SourceFile,
    State,
)
from clova_ocr_async.protocol.response import is_answer_to
from support.memory_run import LEASE, Answer, MemoryRun, Row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from clova_ocr_async.protocol.response import HTTPResponse
    from support.memory_run import Name


logger = logging.getLogger("clova_ocr_async")


class MemoryLedger:
    """The ``RunLedger`` of a ``MemoryRun``."""

    def __init__(
        self,
        run: MemoryRun,
        *,
        store: str | None = None,
        max_calls: int | str | None = None,
        lease: float = LEASE,
        process: Process | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = lambda _: asyncio.sleep(0.001),
    ) -> None:
        self._run = run
        self._asked = store, max_calls
        self._lease = lease
        self._process = process or Process.this()
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._owner = 0
        self._due = 0.0
        self._open: bool | None = None

    async def __aenter__(self) -> Self:
        if self._open is not None:
            raise ConfigurationError("a ledger is opened once; make another")
        run, (store, max_calls) = self._run, self._asked
        if run.store is not None and store not in {None, run.store}:
            raise LedgerError(f"store is {store!r}, and this run was begun with {run.store!r}")
        run.store = run.store or store or "full"
        if max_calls is not None:
            run.max_calls = max_calls if isinstance(max_calls, int) else None
        self._open = True
        self._take_over()
        self._register()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._renew_if_due()
        self._run.take_over([self._owner], self._now(), interrupted=False)
        self._open = False

    def crash(self) -> None:
        """Stop, and leave everything as it is."""
        self._renew_if_due()
        self._open = False

    @property
    def max_calls(self) -> int | None:
        """The call limit."""
        return self._run.max_calls

    @property
    def stop_reason(self) -> ClovaOCRError | None:
        """Memory can always be written."""
        return None

    def _register(self) -> None:
        self._owner, expires = self._run.next_number(), self._clock() + self._lease
        self._run.owners[self._owner] = self._process, expires
        self._due = self._clock() + self._lease / 3

    def _renew_if_due(self) -> None:
        if self._clock() < self._due:
            return
        if self._owner in self._run.owners:
            self._run.owners[self._owner] = self._process, self._clock() + self._lease
            self._due = self._clock() + self._lease / 3
        else:
            logger.warning("this process slept past its lease; others have taken over its work")
            self._register()
        self._take_over()

    def _take_over(self) -> None:
        alive = {self._owner, *self._run.living(self._process, self._clock())}
        self._run.take_over([owner for owner in self._run.owners if owner not in alive], self._now())

    def _begin(self) -> MemoryRun:
        """Begin an operation."""
        if not self._open:
            raise LedgerError("the ledger is not open; use it inside its context: async with")
        self._renew_if_due()
        return self._run

    async def open_for(self, services: Sequence[str]) -> None:
        """Bind the run to services."""
        run, asked = self._begin(), tuple(sorted(set(services)))
        run.services = run.services or asked
        if not set(asked) <= set(run.services):
            others = set(run.owners) - {self._owner}
            if run.calls or run.answers or others or run.bound_by in run.owners:
                raise LedgerError(
                    f"this run was begun with {', '.join(run.services)}, and the domains are of {', '.join(asked)}; "
                    "choose another run directory"
                )
            run.services = asked
        run.bound_by = max(run.owners)

    # -----------------------------------------------------------------------------------------------------------------
    # Claims

    async def recall(self, source: SourceFile, document: str) -> Entry | None:
        """Return the finished item of an unchanged file."""
        found = self._begin().recalled(source, document)
        return found.entry if found is not None and found.entry.state in FINISHED else None

    async def admit(self, item: Item, source: SourceFile | None) -> Admission:
        """Record an image, and claim it."""
        run = self._begin()
        if (row := run.row_of(item)) is None:
            row = run.rows[len(run.rows) + 1] = Row(Entry(len(run.rows) + 1, item, State.QUEUED))
        if source is not None:
            run.name(item.document, source).link(row, source.stamp)
        if row.entry.state is not State.QUEUED:
            return Admission(row.entry, None)
        row.change(state=TRANSITIONS[State.QUEUED, ItemEvent.CLAIM], owner=self._owner)
        claim = Claim(row.entry.number, self._owner, item, row.interrupted)
        return Admission(Entry(row.entry.number, item, State.CLAIMED), claim)

    async def reject(self, source: SourceFile, document: str, failure: bytes) -> Entry | None:
        """Record that a file cannot be read."""
        name = self._begin().name(document, source)
        if failure != GONE:
            name.link(None, failure=failure)
            return None
        read = name.row is not None and name.row.entry.state in FINISHED
        name.link(name.row, name.stamp, failure=b"" if read else failure)
        return None if name.row is None else name.row.entry

    async def set_interrupted(self, claim: Claim, count: int) -> None:
        """Record how many processes an item has interrupted."""
        row = self._begin().rows[claim.number]
        if (row.entry.state, row.entry.owner) == (State.CLAIMED, claim.owner):
            row.interrupted = count

    # -----------------------------------------------------------------------------------------------------------------
    # Marks

    async def sending(self, claim: Claim, request_id: str, picture: bytes = b"") -> bool:
        """Mark and count a request."""
        run = self._begin()
        if run.max_calls is not None and run.calls >= run.max_calls:
            if any(row.entry.owner is not None and row.entry.in_flight for row in run.rows.values()):
                return False
            raise SpendingCeilingError(f"the call limit of the run is reached: {run.max_calls:,} calls")
        row = run.rows[claim.number]
        after = TRANSITIONS.get((row.entry.state, ItemEvent.SEND))
        if after is None or row.entry.owner != claim.owner:
            raise ClaimLostError
        attempts = row.entry.attempts + 1
        row.change(state=after, request_id=request_id, in_flight=True, attempts=attempts, picture=picture)
        run.calls += 1
        return True

    async def refused(self, claim: Claim, request_id: str, *, maybe_billed_before: bool) -> None:
        """Mark that a request was not billed."""
        after = State.SENT if maybe_billed_before else TRANSITIONS[State.SENT, ItemEvent.REFUSE]
        self._run.calls -= self._begin().rows[claim.number].end_request(request_id, state=after)

    async def maybe_billed(self, claim: Claim, request_id: str) -> None:
        """Mark that a request may have been billed."""
        row = self._begin().rows[claim.number]
        row.end_request(request_id, maybe_billed=row.entry.maybe_billed + 1)

    async def answered(self, claim: Claim, request_id: str, response: HTTPResponse) -> None:
        """Store an answer."""
        run = self._begin()
        if run.store == "none":
            return
        run.answers.append(answer := Answer(claim.number, request_id, response, self._now()))
        row = run.rows[claim.number]
        entry = row.entry
        mine, late = entry.request_id == request_id, TRANSITIONS.get((entry.state, ItemEvent.ANSWER))
        settles = not mine or late is not None or (entry.state is State.AMBIGUOUS and not entry.answered)
        if settles and is_answer_to(response.body, request_id):
            row.change(maybe_billed=max(entry.maybe_billed - 1, 0))
        if mine and late is not None:
            row.set_answer(answer, state=late, owner=None, billing=Billing.MAYBE_BILLED)
        elif mine and (
            entry.state in {State.SENT, State.AMBIGUOUS}
            or (entry.state in {State.SUCCEEDED, State.FAILED} and not entry.answered)
        ):
            row.set_answer(answer, in_flight=False)

    async def settle(self, claim: Claim, settlement: Settlement) -> None:
        """Record how a call ended."""
        run = self._begin()
        row = run.rows[claim.number]
        self._make_up_for_marks(row, claim, settlement)
        entry = row.entry
        after = TRANSITIONS.get((entry.state, settlement.event))
        mine = entry.owner == claim.owner if entry.state is State.CLAIMED else entry.request_id == settlement.request_id
        if after is None or not mine:
            return
        if entry.state is State.AMBIGUOUS and not entry.answered and entry.maybe_billed:
            row.change(maybe_billed=entry.maybe_billed - 1)
            run.calls -= settlement.billing is Billing.NOT_BILLED
        row.finished_at = self._now()
        row.change(
            state=after,
            owner=None,
            in_flight=False,
            billing=settlement.billing,
            elapsed=settlement.elapsed,
            failure=settlement.failure,
        )
        if settlement.event is ItemEvent.RELEASE:
            run.reopen(row)

    def _make_up_for_marks(self, row: Row, claim: Claim, settlement: Settlement) -> None:
        entry = row.entry
        if entry.state is not State.SENT or entry.request_id != settlement.request_id:
            return
        if settlement.event is ItemEvent.MAYBE_BILLED:
            row.change(in_flight=False, maybe_billed=entry.maybe_billed + (entry.in_flight or entry.answered))
        elif settlement.billing is Billing.NOT_BILLED and entry.owner == claim.owner:
            self._run.calls -= entry.in_flight
            row.change(in_flight=False, state=TRANSITIONS[State.SENT, ItemEvent.REFUSE])

    async def changed(self, entry: Entry) -> None:
        """Wait until no process works on an item."""
        while self._open and self._begin().rows[entry.number].entry.state in OWNED:
            await self._sleep(0.5)
            self._take_over()

    # -----------------------------------------------------------------------------------------------------------------
    # The work list

    def add_files(self, files: Sequence[SourceFile], document: str) -> None:
        """Record files to read."""
        run = self._begin()
        for file in files:
            known = any((name.document, name.path) == (document, file.alias) for name in run.names.values())
            path = file.alias if known and file.alias is not None else file.path
            is_new = (document, path, file.page) not in run.names
            name = run.name(document, dataclasses.replace(file, path=path))
            if is_new:
                name.open = True
            elif not name.open:
                changed = bool(name.failure) or name.stamp is None or name.stamp != file.stamp
                name.open = name.row is None if file.stamp is None else changed

    async def claim_files(self, documents: Sequence[str], most: int) -> list[ListedFile]:
        """Take files."""
        free = [name for name in self._begin().names.values() if _is_free(name, documents)][:most]
        for name in free:
            name.owner = self._owner
        return [ListedFile(name.path, name.page, name.document, name.columns) for name in free]

    async def release_files(self, documents: Sequence[str]) -> None:
        """Give files back."""
        for name in self._begin().names.values():
            if name.owner == self._owner and name.document in documents:
                name.owner = None

    async def others_at_work(self, documents: Sequence[str]) -> bool:
        """Take over, then return whether there may be more to do."""
        run = self._begin()
        self._take_over()
        held = [(name.owner, name.document) for name in run.names.values()]
        held += [(row.entry.owner, row.entry.item.document) for row in run.rows.values()]
        others = any(owner not in {None, self._owner} for owner, asked in held if asked in documents)
        return others or any(_is_free(name, documents) for name in run.names.values())

    async def set_base_folder(self, folder: str) -> str | None:
        """Record the folder of relative paths."""
        if (other := self._begin().other_base(folder)) is None:
            self._run.base = folder
        return other

    async def requeue(self, billing: Billing, document: str | None = None) -> int:
        """Queue unread items again."""
        run = self._begin()
        self._take_over()
        found = [row for row in run.rows.values() if is_requeued(row.entry, [billing])]
        found = [row for row in found if document in {None, row.entry.item.document}]
        found = [row for row in found if row.was is None or run.names_of(row)]
        for row in found:
            after = TRANSITIONS[row.entry.state, ItemEvent.REQUEUE]
            row.set_answer(None, state=after, billing=Billing.NOT_BILLED, failure=b"")
            row.interrupted = 0
            run.reopen(row)
        return len(found)


def _is_free(name: Name, documents: Sequence[str]) -> bool:
    return name.open and name.owner is None and name.document in documents
