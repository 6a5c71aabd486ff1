from __future__ import annotations

import asyncio
import itertools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.ledgers import Clock, item, remote_process, source
from support.stores import STORES

from clova_ocr_async.errors import Billing, LedgerError
from clova_ocr_async.ledger.corrections import Change, ChangeKind, CorrectionConflictError
from clova_ocr_async.ledger.sqlite.owners import LEASE
from clova_ocr_async.ledger.states import OWNED, ClaimLostError, ItemEvent, Settlement, State
from clova_ocr_async.protocol.response import HTTPResponse, encode_response

if TYPE_CHECKING:
    from clova_ocr_async.ledger import Correction, RunCorrections, RunLedger, RunView
    from clova_ocr_async.ledger.states import Claim, Entry

NAMES = {"a": 1, "b": 2}  # pages of one file
DATA = st.data()
UNREAD = {State.FAILED, State.AMBIGUOUS, State.SKIPPED}


def an_answer(request_id: str, *, read: bool) -> HTTPResponse:
    """Return an answer like no other."""
    image: dict[str, Any] = {"uid": request_id, "inferResult": "SUCCESS" if read else "FAILURE"}
    return HTTPResponse(200, encode_response(request_id, 0, image | ({"receipt": {"meta": {}}} if read else {})))


@dataclass(eq=False)
class Call:
    """A call as its caller sees it."""

    name: str
    by: RunLedger
    claim: Claim
    request_id: str
    in_flight: bool = False
    doubts: int = 0
    answer: bool | None = None


@dataclass(eq=False)
class Row:
    """An item as it must be."""

    state: State = State.QUEUED
    holder: Call | None = None
    request_id: str | None = None
    maybe_billed: int = 0
    read: bool | None = None
    billing: Billing = Billing.NOT_BILLED
    asked_again: bool = False
    interrupted: int = 0

    def finish(self, state: State, billing: Billing) -> None:
        """Finish the item."""
        self.state, self.billing, self.holder = state, billing, None


@dataclass(eq=False)
class Model:
    """The whole run as it must be."""

    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    calls: int = 0
    paid: int = 0
    answers: int = 0
    corrections: list[Correction] = field(default_factory=list["Correction"])

    def take_over(self, gone: set[RunLedger], *, interrupted: bool = True) -> None:
        """Settle what some owners have, and the ambiguous items that have an answer."""
        for row in self.rows.values():
            if (holder := row.holder) is not None and holder.by in gone:
                self._settle(row, holder, interrupted=interrupted)
            elif row.state is State.AMBIGUOUS and row.read is not None:
                self._finish_by_answer(row)

    def _settle(self, row: Row, holder: Call, *, interrupted: bool) -> None:
        if row.state is State.CLAIMED:
            row.state, row.holder, row.interrupted = State.QUEUED, None, max(row.interrupted, interrupted)
        elif row.read is not None:
            self._finish_by_answer(row)
        else:
            row.maybe_billed += holder.in_flight
            row.finish(State.AMBIGUOUS, Billing.MAYBE_BILLED)

    @staticmethod
    def _finish_by_answer(row: Row) -> None:
        row.finish(State.SUCCEEDED if row.read else State.FAILED, Billing.BILLED)


class LedgerMachine(RuleBasedStateMachine):
    """A run with up to three processes against a model of it, seen through a view."""

    store = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.run_under_test = STORES[self.store](Path(self.folder.name))
        self.now = 5000.0
        self.clocks: dict[RunLedger, Clock] = {}  # a process that sleeps does not read its clock
        self.model = Model()
        self.open: list[RunLedger] = []
        self.slept: set[RunLedger] = set()
        self.crashed: set[RunLedger] = set()
        self.calls_in_work: list[Call] = []
        self.ids = itertools.count(1)
        self.view: RunView | None = None
        self.people: list[RunCorrections] = []

    def teardown(self) -> None:
        """Close everything."""
        if self.view is not None:
            self.view.__exit__(None, None, None)
        for person in self.people:
            person.__exit__(None, None, None)
        for ledger in self.open:
            self.run(ledger.__aexit__(None, None, None))
        self.runner.close()
        self.folder.cleanup()

    def run(self, coroutine: Any) -> Any:
        """Run one operation."""
        return self.runner.run(coroutine)

    def act(self, ledger: RunLedger) -> None:
        """Note that a process does something; one that slept first renews its lease and takes over."""
        self.clocks[ledger].now = self.now
        if ledger in self.slept:
            self.slept.discard(ledger)
            self.model.take_over(set())

    def having(self, *, in_flight: bool, answered: bool = False) -> list[Call]:
        """Return the calls with a request in flight, or without; with or without an answer."""
        wanted = in_flight, answered
        return [call for call in self.calls_in_work if (call.in_flight, call.answer is not None) == wanted]

    # -----------------------------------------------------------------------------------------------------------------
    # Processes

    @initialize()
    def begin(self) -> None:
        """Two processes are there from the beginning."""
        self.start()
        self.start()

    @precondition(lambda self: len(self.open) < 3)
    @rule()
    def start(self) -> None:
        """A process opens the run."""
        clock = Clock()
        clock.now = self.now
        ledger = self.run_under_test.open(process=remote_process(), clock=clock)
        self.clocks[ledger] = clock
        self.run(ledger.__aenter__())
        self.open.append(ledger)
        self.model.take_over(set())

    @precondition(lambda self: len(self.open) > 2)
    @rule(data=DATA)
    def end(self, data: st.DataObject) -> None:
        """A process closes the run in order."""
        ledger = data.draw(st.sampled_from(self.open))
        self.act(ledger)
        self.run(ledger.__aexit__(None, None, None))
        self.open.remove(ledger)
        self.calls_in_work = [call for call in self.calls_in_work if call.by is not ledger]
        self.model.take_over({ledger}, interrupted=False)

    @precondition(lambda self: len(self.open) > 2)
    @rule(data=DATA)
    def kill(self, data: st.DataObject) -> None:
        """A process dies, and no other one has noticed yet."""
        ledger = data.draw(st.sampled_from(self.open))
        self.act(ledger)
        self.run(self.run_under_test.crash(ledger))
        self.open.remove(ledger)
        self.crashed.add(ledger)
        self.calls_in_work = [call for call in self.calls_in_work if call.by is not ledger]

    @precondition(lambda self: self.calls_in_work)
    @rule(data=DATA)
    def oversleep(self, data: st.DataObject) -> None:
        """All processes but one sleep past their leases, and that one takes over what they had."""
        ledger = data.draw(st.sampled_from(self.open))
        self.now += LEASE + 1
        self.clocks[ledger].now = self.now
        others = {*self.open, *self.crashed} - {ledger}
        self.slept.discard(ledger)
        self.slept |= others - self.crashed
        self.run(ledger.others_at_work(["receipt"]))
        self.model.take_over(others)
        self.crashed.clear()

    # -----------------------------------------------------------------------------------------------------------------
    # Calls

    @precondition(lambda self: self.open)
    @rule(data=DATA, name=st.sampled_from(list(NAMES)))
    def admit(self, data: st.DataObject, name: str) -> None:
        """A process meets an image."""
        ledger = data.draw(st.sampled_from(self.open))
        self.act(ledger)
        admission = self.run(ledger.admit(item(page=NAMES[name]), source("scan.pdf", NAMES[name])))
        row = self.model.rows.setdefault(name, Row())
        if row.state is State.QUEUED:
            assert admission.claim is not None
            assert admission.claim.interrupted == row.interrupted
            call = Call(name, ledger, admission.claim, f"r{next(self.ids)}")
            row.state, row.holder = State.CLAIMED, call
            self.calls_in_work.append(call)
        else:
            assert admission.claim is None
            assert admission.entry.state is row.state

    def drawn(self, data: st.DataObject, found: list[Call]) -> tuple[Call, Row]:
        """Draw a call that does something now."""
        call = data.draw(st.sampled_from(found))
        self.act(call.by)
        return call, self.model.rows[call.name]

    @precondition(lambda self: self.having(in_flight=False))
    @rule(data=DATA, count=st.integers(0, 3))
    def try_picture(self, data: st.DataObject, count: int) -> None:
        """A picture is about to be made that may end its process, or was made."""
        call, row = self.drawn(data, self.having(in_flight=False))
        self.run(call.by.set_interrupted(call.claim, count))
        if row.holder is call and row.state is State.CLAIMED:
            row.interrupted = count

    @precondition(lambda self: self.having(in_flight=False))
    @rule(data=DATA)
    def send(self, data: st.DataObject) -> None:
        """A request is about to leave."""
        call, row = self.drawn(data, self.having(in_flight=False))
        if row.holder is not call:
            try:
                self.run(call.by.sending(call.claim, call.request_id))
            except ClaimLostError:
                return
            raise AssertionError("sent by two")
        self.run(call.by.sending(call.claim, call.request_id))
        others = [other for other in self.calls_in_work if other.name == call.name and other.in_flight]
        assert not others or row.asked_again
        call.in_flight, row.state, row.request_id = True, State.SENT, call.request_id
        self.model.calls += 1

    @precondition(lambda self: self.having(in_flight=True))
    @rule(data=DATA)
    def refuse(self, data: st.DataObject) -> None:
        """A request was certainly not paid."""
        call, row = self.drawn(data, self.having(in_flight=True))
        self.run(call.by.refused(call.claim, call.request_id, maybe_billed_before=call.doubts > 0))
        call.in_flight = False
        if row.holder is call:
            self.model.calls -= 1
            row.state = State.SENT if call.doubts else State.CLAIMED

    @precondition(lambda self: self.having(in_flight=True))
    @rule(data=DATA)
    def doubt(self, data: st.DataObject) -> None:
        """A request may have been paid."""
        call, row = self.drawn(data, self.having(in_flight=True))
        self.run(call.by.maybe_billed(call.claim, call.request_id))
        call.in_flight = False
        call.doubts += 1
        if row.holder is call:
            row.maybe_billed += 1

    @precondition(lambda self: self.having(in_flight=True))
    @rule(data=DATA, read=st.booleans())
    def answer(self, data: st.DataObject, read: bool) -> None:
        """An answer arrives, perhaps after its item was taken over."""
        call, row = self.drawn(data, self.having(in_flight=True))
        response = an_answer(call.request_id, read=read)
        self.run(call.by.answered(call.claim, call.request_id, response))
        call.in_flight, call.answer = False, read
        self.model.paid += 1
        self.model.answers += 1
        if row.holder is not call:
            row.maybe_billed -= 1
        if row.request_id == call.request_id and row.state in {State.QUEUED, State.CLAIMED}:
            row.state, row.holder = State.AMBIGUOUS, None
        if row.request_id == call.request_id and row.state in {State.SENT, State.AMBIGUOUS}:
            row.read = read

    @precondition(lambda self: any(not call.in_flight for call in self.calls_in_work))
    @rule(data=DATA)
    def settle(self, data: st.DataObject) -> None:
        """A call ends."""
        call, row = self.drawn(data, [call for call in self.calls_in_work if not call.in_flight])
        state, settlement = self.settlement_of(data, call)
        self.run(self.settled(call, settlement))
        self.calls_in_work.remove(call)
        late = row.state is State.AMBIGUOUS and row.request_id == call.request_id
        if row.holder is call or (late and settlement.event in {ItemEvent.SUCCEED, ItemEvent.FAIL}):
            row.finish(state, settlement.billing)
            if late and settlement.billing is Billing.NOT_BILLED:  # it was refused, after it had been given up
                row.maybe_billed -= 1
                self.model.calls -= 1

    @staticmethod
    async def settled(call: Call, settlement: Settlement) -> None:
        """Settle, in the loop."""
        await call.by.settle(call.claim, settlement)

    @staticmethod
    def settlement_of(data: st.DataObject, call: Call) -> tuple[State, Settlement]:
        """Return how a call ends, by what it knows."""
        if call.answer is not None:
            mark, state = (ItemEvent.SUCCEED, State.SUCCEEDED) if call.answer else (ItemEvent.FAIL, State.FAILED)
            return state, Settlement(mark, Billing.BILLED, 1.0, b"" if call.answer else b"{}", call.request_id)
        if call.doubts:
            mark = ItemEvent.MAYBE_BILLED
            return State.AMBIGUOUS, Settlement(mark, Billing.MAYBE_BILLED, 1.0, b"{}", call.request_id)
        ends = {ItemEvent.RELEASE: State.QUEUED, ItemEvent.FAIL: State.FAILED, ItemEvent.SKIP: State.SKIPPED}
        mark = data.draw(st.sampled_from(list(ends)))
        return ends[mark], Settlement(mark, request_id=call.request_id)

    @precondition(lambda self: any(row.state in UNREAD for row in self.model.rows.values()))
    @rule(data=DATA, billing=st.sampled_from(Billing))
    def requeue(self, data: st.DataObject, billing: Billing) -> None:
        """A user asks for what was not read."""
        ledger = data.draw(st.sampled_from(self.open))
        self.act(ledger)
        self.run(ledger.requeue(billing))
        self.model.take_over(set())
        for row in self.model.rows.values():
            again = row.state in UNREAD and row.billing is billing
            if again:
                row.state, row.billing, row.read, row.asked_again = State.QUEUED, Billing.NOT_BILLED, None, True
                row.interrupted = 0

    # -----------------------------------------------------------------------------------------------------------------
    # People

    @precondition(lambda self: self.model.rows)
    @rule(data=DATA, who=st.integers(0, 1), seen=st.integers(0, 3))
    def correct(self, data: st.DataObject, who: int, seen: int) -> None:
        """One of two people changes a value, perhaps without having seen the newest correction of its item."""
        while len(self.people) < 2:
            self.people.append(self.run_under_test.correct(now=lambda: self.now).__enter__())
        name = data.draw(st.sampled_from(list(self.model.rows)))
        wanted = item(page=NAMES[name])
        numbers = [0, *(one.number for one in self.model.corrections if one.item == wanted)]
        after = numbers[-1 - min(seen, len(numbers) - 1)]
        change = Change(ChangeKind.CORRECT, f"person {who}", "result.totalPrice.price", "1", str(len(numbers)))
        try:
            recorded = self.people[who].append(wanted, change, after=after)
        except LedgerError:
            assert self.model.rows[name].read is None
        except CorrectionConflictError:
            assert after != numbers[-1]
        else:
            assert after == numbers[-1]
            assert self.model.rows[name].read is not None
            assert recorded.number == len(self.model.corrections) + 1
            self.model.corrections.append(recorded)

    # -----------------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.rows)
    @invariant()
    def the_run_is_as_the_model(self) -> None:
        """States, owners, counts and answers are as they must be."""
        for ledger in self.open:
            if ledger not in self.slept:
                self.run(ledger.recall(source("unknown"), "receipt"))  # a lazy settlement is committed before it
        if self.view is None:
            self.view = self.run_under_test.view(clock=lambda: self.now).__enter__()
        rows = self.model.rows
        for name, row in rows.items():
            entry = self.view.find(item(page=NAMES[name]))
            assert entry is not None
            self.compare(entry, row)
        status = self.view.status()
        in_flight = sum(row.holder is not None and row.holder.in_flight for row in rows.values())
        assert (status.calls, status.billed) == (self.model.calls, self.model.paid)
        assert (status.maybe_billed, status.in_flight) == (sum(row.maybe_billed for row in rows.values()), in_flight)
        assert status.processes == len(self.open) - len(self.slept) + len(self.crashed)
        assert sum(status.images.values()) == sum(status.items.values()) == len(rows)
        assert self.view.answers() == self.model.answers
        assert list(self.view.corrections()) == self.model.corrections

    @staticmethod
    def compare(entry: Entry, row: Row) -> None:
        """Compare an item with its model; the view shows it settled once its answer is stored."""
        state, holder = row.state, row.holder
        if row.read is not None and state in {State.SENT, State.AMBIGUOUS}:
            state, holder = State.SUCCEEDED if row.read else State.FAILED, None
        assert entry.state is state
        assert entry.owner == (None if holder is None else holder.claim.owner)
        assert (entry.owner is not None) == (state in OWNED)
        assert entry.in_flight == (holder is not None and holder.in_flight)
        assert entry.maybe_billed == row.maybe_billed >= 0
        assert (entry.answer is not None) == entry.answered == (row.read is not None)


class MemoryMachine(LedgerMachine):
    """The same, against the store in memory."""

    store = "memory"


class PostgresMachine(LedgerMachine):
    """The same, against PostgreSQL."""

    store = "postgres"


TestSqlite = LedgerMachine.TestCase
TestMemory = MemoryMachine.TestCase
TestSqlite.settings = TestMemory.settings = settings(
    max_examples=40, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)


TestPostgres = pytest.mark.server(pytest.mark.usefixtures("postgres_server")(PostgresMachine.TestCase))
# The server answers in milliseconds where the others take microseconds: fewer examples, and a failure is not shortened,
# which would take minutes.
TestPostgres.settings = settings(
    TestSqlite.settings, max_examples=15, stateful_step_count=40, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
