from __future__ import annotations

import asyncio
import itertools
import sqlite3
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.ledgers import Clock, crash, elsewhere, item, opened, source

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.sqlite.owners import LEASE
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.states import ClaimLostError, ItemEvent, Settlement, State
from clova_ocr_async.protocol.response import HTTPResponse, encode_response

if TYPE_CHECKING:
    from clova_ocr_async.ledger.sqlite import SqliteLedger
    from clova_ocr_async.ledger.states import Claim

NAMES = "ab"
DATA = st.data()
UNREAD = {State.FAILED, State.AMBIGUOUS, State.SKIPPED}


def an_answer(request_id: str, *, read: bool) -> HTTPResponse:
    """Return an answer like no other."""
    image: dict[str, Any] = {"uid": request_id, "inferResult": "SUCCESS" if read else "FAILURE"}
    return HTTPResponse(200, encode_response(request_id, 0, image | ({"receipt": {"meta": {}}} if read else {})))


@dataclass(eq=False)
class Call:
    """A call as whoever makes it knows it."""

    name: str
    by: SqliteLedger
    claim: Claim
    request_id: str
    under_way: bool = False
    doubts: int = 0
    answer: bool | None = None


@dataclass(eq=False)
class Row:
    """An item as it must be."""

    state: State = State.QUEUED
    holder: Call | None = None
    request_id: str | None = None
    perhaps: int = 0
    read: bool | None = None
    billing: Billing = Billing.NOT_BILLED
    asked_again: bool = False

    def finish(self, state: State, billing: Billing) -> None:
        """End."""
        self.state, self.billing, self.holder = state, billing, None


@dataclass(eq=False)
class Model:
    """The whole ledger as it must be."""

    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    calls: int = 0
    paid: int = 0
    bodies: Counter[bytes] = field(default_factory=Counter[bytes])

    def give_up(self, gone: set[SqliteLedger]) -> None:
        """Settle what some owners have, and what was in doubt and has its answer."""
        for row in self.rows.values():
            if (holder := row.holder) is not None and holder.by in gone:
                self._settle(row, holder)
            elif row.state is State.AMBIGUOUS and row.read is not None:
                self._finish_by_answer(row)

    def _settle(self, row: Row, holder: Call) -> None:
        if row.state is State.CLAIMED:
            row.state, row.holder = State.QUEUED, None
        elif row.read is not None:
            self._finish_by_answer(row)
        else:
            row.perhaps += holder.under_way
            row.finish(State.AMBIGUOUS, Billing.MAYBE_BILLED)

    @staticmethod
    def _finish_by_answer(row: Row) -> None:
        row.finish(State.SUCCEEDED if row.read else State.FAILED, Billing.BILLED)


class LedgerMachine(RuleBasedStateMachine):
    """The ledger of up to three processes against a model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "run"
        self.now = 5000.0
        self.clocks: dict[SqliteLedger, Clock] = {}  # one who sleeps does not look at it
        self.model = Model()
        self.open: list[SqliteLedger] = []
        self.slept: set[SqliteLedger] = set()
        self.crashed: set[SqliteLedger] = set()
        self.flying: list[Call] = []
        self.ids = itertools.count(1)

    def teardown(self) -> None:
        """Close all."""
        for ledger in self.open:
            self.run(ledger.__aexit__(None, None, None))
        self.runner.close()
        self.folder.cleanup()

    def run(self, coroutine: Any) -> Any:
        """Run one operation."""
        return self.runner.run(coroutine)

    def act(self, ledger: SqliteLedger) -> None:
        """Note that a process does something: if it slept, it looks first who it is, and at what others left."""
        self.clocks[ledger].now = self.now
        if ledger in self.slept:
            self.slept.discard(ledger)
            self.model.give_up(set())

    def having(self, *, under_way: bool, answered: bool = False) -> list[Call]:
        """Return the calls with a request under way, or without; with or without an answer."""
        return [call for call in self.flying if (call.under_way, call.answer is not None) == (under_way, answered)]

    # -----------------------------------------------------------------------------------------------------------------
    # Processes

    @initialize()
    def begin(self) -> None:
        """Two are there from the beginning."""
        self.start()
        self.start()

    @precondition(lambda self: len(self.open) < 3)
    @rule()
    def start(self) -> None:
        """A process comes."""
        clock = Clock()
        clock.now = self.now
        ledger = opened(self.path, process=elsewhere(), clock=clock)
        self.clocks[ledger] = clock
        self.run(ledger.__aenter__())
        self.open.append(ledger)
        self.model.give_up(set())

    @precondition(lambda self: len(self.open) > 2)
    @rule(data=DATA)
    def end(self, data: st.DataObject) -> None:
        """A process goes in order."""
        ledger = data.draw(st.sampled_from(self.open))
        self.act(ledger)
        self.run(ledger.__aexit__(None, None, None))
        self.open.remove(ledger)
        self.flying = [call for call in self.flying if call.by is not ledger]
        self.model.give_up({ledger})

    @precondition(lambda self: len(self.open) > 2)
    @rule(data=DATA)
    def kill(self, data: st.DataObject) -> None:
        """A process dies; nobody knows yet."""
        ledger = data.draw(st.sampled_from(self.open))
        self.act(ledger)
        self.run(crash(ledger))
        self.open.remove(ledger)
        self.crashed.add(ledger)
        self.flying = [call for call in self.flying if call.by is not ledger]

    @precondition(lambda self: self.flying)
    @rule(data=DATA)
    def oversleep(self, data: st.DataObject) -> None:
        """All processes but one sleep past their leases, and that one takes over what they had."""
        ledger = data.draw(st.sampled_from(self.open))
        self.now += LEASE + 1
        self.clocks[ledger].now = self.now
        others = {*self.open, *self.crashed} - {ledger}
        self.slept.discard(ledger)
        self.slept |= others - self.crashed
        self.run(ledger.others_at_work("receipt"))
        self.model.give_up(others)
        self.crashed.clear()

    # -----------------------------------------------------------------------------------------------------------------
    # Calls

    @precondition(lambda self: self.open)
    @rule(data=DATA, name=st.sampled_from(NAMES))
    def admit(self, data: st.DataObject, name: str) -> None:
        """An image comes to a process."""
        ledger = data.draw(st.sampled_from(self.open))
        self.act(ledger)
        admission = self.run(ledger.admit(item(name), source(name)))
        row = self.model.rows.setdefault(name, Row())
        if row.state is State.QUEUED:
            assert admission.claim is not None
            call = Call(name, ledger, admission.claim, f"r{next(self.ids)}")
            row.state, row.holder = State.CLAIMED, call
            self.flying.append(call)
        else:
            assert admission.claim is None
            assert admission.entry.state is row.state

    def drawn(self, data: st.DataObject, found: list[Call]) -> tuple[Call, Row]:
        """Draw a call that does something now."""
        call = data.draw(st.sampled_from(found))
        self.act(call.by)
        return call, self.model.rows[call.name]

    @precondition(lambda self: self.having(under_way=False))
    @rule(data=DATA)
    def send(self, data: st.DataObject) -> None:
        """A request is about to leave."""
        call, row = self.drawn(data, self.having(under_way=False))
        if row.holder is not call:
            try:
                self.run(call.by.sending(call.claim, call.request_id))
            except ClaimLostError:
                return
            raise AssertionError("sent by two")
        self.run(call.by.sending(call.claim, call.request_id))
        others = [other for other in self.flying if other.name == call.name and other.under_way]
        assert not others or row.asked_again
        call.under_way, row.state, row.request_id = True, State.SENT, call.request_id
        self.model.calls += 1

    @precondition(lambda self: self.having(under_way=True))
    @rule(data=DATA)
    def refuse(self, data: st.DataObject) -> None:
        """A request was certainly not paid."""
        call, row = self.drawn(data, self.having(under_way=True))
        self.run(call.by.refused(call.claim, call.request_id, maybe_billed_before=call.doubts > 0))
        call.under_way = False
        if row.holder is call:
            self.model.calls -= 1
            row.state = State.SENT if call.doubts else State.CLAIMED

    @precondition(lambda self: self.having(under_way=True))
    @rule(data=DATA)
    def doubt(self, data: st.DataObject) -> None:
        """A request may have been paid."""
        call, row = self.drawn(data, self.having(under_way=True))
        self.run(call.by.maybe_billed(call.claim, call.request_id))
        call.under_way = False
        call.doubts += 1
        if row.holder is call:
            row.perhaps += 1

    @precondition(lambda self: self.having(under_way=True))
    @rule(data=DATA, read=st.booleans())
    def answer(self, data: st.DataObject, read: bool) -> None:
        """An answer comes, be it that nobody waits for it any more."""
        call, row = self.drawn(data, self.having(under_way=True))
        response = an_answer(call.request_id, read=read)
        self.run(call.by.answered(call.claim, call.request_id, response))
        call.under_way, call.answer = False, read
        self.model.paid += 1
        self.model.bodies[response.body] += 1
        if row.holder is not call:
            row.perhaps -= 1
        if row.request_id == call.request_id and row.state in {State.QUEUED, State.CLAIMED}:
            row.state, row.holder = State.AMBIGUOUS, None
        if row.request_id == call.request_id and row.state in {State.SENT, State.AMBIGUOUS}:
            row.read = read

    @precondition(lambda self: any(not call.under_way for call in self.flying))
    @rule(data=DATA)
    def settle(self, data: st.DataObject) -> None:
        """A call ends."""
        call, row = self.drawn(data, [call for call in self.flying if not call.under_way])
        state, verdict = self.verdict_on(data, call)
        self.run(self.settled(call, verdict))
        self.flying.remove(call)
        late = row.state is State.AMBIGUOUS and row.request_id == call.request_id
        if row.holder is call or (late and verdict.event in {ItemEvent.SUCCEED, ItemEvent.FAIL}):
            row.finish(state, verdict.billing)
            if late and verdict.billing is Billing.NOT_BILLED:  # it was refused, after it had been given up
                row.perhaps -= 1
                self.model.calls -= 1

    @staticmethod
    async def settled(call: Call, verdict: Settlement) -> None:
        """Settle, in the loop."""
        await call.by.settle(call.claim, verdict)

    @staticmethod
    def verdict_on(data: st.DataObject, call: Call) -> tuple[State, Settlement]:
        """Return how a call ends, by what it knows."""
        if call.answer is not None:
            mark, state = (ItemEvent.SUCCEED, State.SUCCEEDED) if call.answer else (ItemEvent.FAIL, State.FAILED)
            return state, Settlement(mark, Billing.BILLED, 1.0, b"" if call.answer else b"{}", call.request_id)
        if call.doubts:
            return State.AMBIGUOUS, Settlement(ItemEvent.DOUBT, Billing.MAYBE_BILLED, 1.0, b"{}", call.request_id)
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
        self.model.give_up(set())
        for row in self.model.rows.values():
            again = row.state in UNREAD and row.billing is billing
            if again:
                row.state, row.billing, row.read, row.asked_again = State.QUEUED, Billing.NOT_BILLED, None, True

    # -----------------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.rows)
    @invariant()
    def the_ledger_is_as_the_model(self) -> None:
        """States, owners, counts and answers are as they must be."""
        for ledger in self.open:
            if ledger not in self.slept:
                self.run(ledger.recall(source("nobody's"), "receipt"))  # what is settled lazily is settled
        db = sqlite3.connect(self.path / LEDGER)
        try:
            self.compare(db)
        finally:
            db.close()

    def compare(self, db: sqlite3.Connection) -> None:
        """Compare the file with the model."""
        rows = self.model.rows
        found = db.execute(
            "SELECT path, state, item.owner, maybe_billed, sent_at FROM source JOIN item ON item.id = item"
        ).fetchall()
        for path, state, owner, maybe_billed, sent_at in found:
            row = rows[path.decode()]
            assert (state, owner) == (row.state, None if row.holder is None else row.holder.claim.owner)
            assert maybe_billed == row.perhaps >= 0
            assert (sent_at is not None) == (row.holder is not None and row.holder.under_way)
        assert len(found) == len(rows)
        (count,) = db.execute("SELECT value FROM run WHERE name = 'calls'").fetchone()
        assert count == self.model.calls
        flying = sum(row.holder is not None and row.holder.under_way for row in rows.values())
        assert count == self.model.paid + sum(row.perhaps for row in rows.values()) + flying
        assert Counter(body for (body,) in db.execute("SELECT body FROM answer")) == self.model.bodies
        lost = "SELECT count(*) FROM item WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM owner)"
        assert db.execute(lost).fetchone() == (0,)


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
