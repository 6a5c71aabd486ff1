from __future__ import annotations

import itertools
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from support.ledgers import item

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.sqlite import call_limit, item_statements
from clova_ocr_async.ledger.sqlite.schema import migrate
from clova_ocr_async.ledger.sqlite.worklist_statements import requeue
from clova_ocr_async.ledger.states import (
    FINISHED,
    OWNED,
    TRANSITIONS,
    Claim,
    ClaimLostError,
    Entry,
    ItemEvent,
    Settlement,
    State,
    from_states,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ME, REQUEST = 7, "r"
BILLINGS = {
    ItemEvent.SUCCEED: Billing.BILLED,
    ItemEvent.MAYBE_BILLED: Billing.MAYBE_BILLED,
}


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """An empty ledger in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    connection.execute("INSERT INTO run (name, value) VALUES ('calls', 1)")
    yield connection
    connection.close()


def put(db: sqlite3.Connection, state: State) -> Claim:
    """Put an item into a state, as it is while a call of ours is in flight or has just ended."""
    owned = state in OWNED
    db.execute(
        """INSERT INTO item (sha256, document, state, owner, request_id, sent_at, maybe_billed)
           VALUES (?, ?, ?, ?, ?, ?, ?)""",
        (
            item().sha256,
            "receipt",
            state,
            ME if owned else None,
            REQUEST,
            1.0 if state is State.SENT else None,
            int(state is State.AMBIGUOUS),
        ),
    )
    return Claim(1, ME, item())


def happen(db: sqlite3.Connection, claim: Claim, what: ItemEvent) -> None:
    """Make an event happen in the store."""
    match what:
        case ItemEvent.CLAIM:
            item_statements.claim_item(db, claim.item, ME)
        case ItemEvent.SEND:
            item_statements.send(db, claim, REQUEST, b"", 1.0, None)
        case ItemEvent.REFUSE:
            item_statements.refuse(db, claim.number, REQUEST, maybe_billed_before=False)
        case ItemEvent.ANSWER:
            item_statements.keep_answer(db, claim.number, REQUEST, (200, None, b"{}"), 1.0)
        case ItemEvent.REQUEUE:
            for billing in Billing:
                requeue(db, billing)
        case _:
            settlement = Settlement(what, BILLINGS.get(what, Billing.NOT_BILLED), request_id=REQUEST)
            item_statements.settle(db, claim, settlement, None, 1.0)


def state_of(db: sqlite3.Connection) -> State:
    """Return the item's state."""
    (found,) = db.execute("SELECT state FROM item").fetchone()
    return State(found)


def row_of(db: sqlite3.Connection) -> tuple[Any, ...]:
    """Return the item's whole row."""
    row: tuple[Any, ...] = db.execute("SELECT * FROM item").fetchone()
    return row


@pytest.mark.parametrize(("state", "what"), TRANSITIONS)
def test_a_store_makes_every_transition(db: sqlite3.Connection, state: State, what: ItemEvent) -> None:
    """Each change of the table takes an item to the state it names, and ends its claim if it is finished."""
    claim = put(db, state)
    if (state, what) == (State.SENT, ItemEvent.FAIL):  # a refused item is claimed again before it fails
        item_statements.settle(db, claim, Settlement(what, Billing.BILLED, request_id=REQUEST), None, 1.0)
    else:
        happen(db, claim, what)
    assert state_of(db) is TRANSITIONS[state, what]
    (owner,) = db.execute("SELECT owner FROM item").fetchone()
    assert (owner is None) == (state_of(db) not in OWNED)


# Two transitions in one: the mark between them could not be written on a full disk, and the call knows better.
MADE_UP_FOR = {(State.SENT, ItemEvent.RELEASE): State.QUEUED, (State.SENT, ItemEvent.SKIP): State.SKIPPED}


@pytest.mark.parametrize(
    ("state", "what"),
    [pair for pair in itertools.product(State, ItemEvent) if pair not in {*TRANSITIONS, *MADE_UP_FOR}],
)
def test_a_store_makes_no_other_transition(db: sqlite3.Connection, state: State, what: ItemEvent) -> None:
    """An event that the table does not list for a state changes nothing of the item."""
    claim = put(db, state)
    before = row_of(db)
    if what is ItemEvent.SEND:
        with pytest.raises(ClaimLostError):
            happen(db, claim, what)
    else:
        happen(db, claim, what)
    # An answer is stored in any state; it changes no state that the table does not name.
    assert state_of(db) is state if what is ItemEvent.ANSWER else row_of(db) == before


@pytest.mark.parametrize(("state", "what"), MADE_UP_FOR)
def test_a_missing_refusal_is_made_up_for(db: sqlite3.Connection, state: State, what: ItemEvent) -> None:
    """A request that was refused while the disk was full is neither maybe billed nor counted when its call ends."""
    happen(db, put(db, state), what)
    assert state_of(db) is MADE_UP_FOR[state, what]
    assert call_limit.calls(db) == 0


def test_a_refused_request_is_uncounted_once(db: sqlite3.Connection) -> None:
    """A call that ends after its last request was marked as refused counts as it did before."""
    claim = put(db, State.SENT)
    item_statements.refuse(db, claim.number, REQUEST, maybe_billed_before=True)
    assert call_limit.calls(db) == 0
    happen(db, claim, ItemEvent.RELEASE)
    assert (state_of(db), call_limit.calls(db)) == (State.QUEUED, 0)


def test_a_missing_maybe_billed_mark_is_made_up_for(db: sqlite3.Connection) -> None:
    """A request that may have been billed is counted once, also if its mark was missing when its call ended."""
    claim = put(db, State.SENT)
    happen(db, claim, ItemEvent.MAYBE_BILLED)
    assert db.execute("SELECT maybe_billed FROM item").fetchone() == (1,)
    assert call_limit.calls(db) == 1


@pytest.mark.parametrize(
    "what",
    [
        ItemEvent.SEND,
        ItemEvent.REFUSE,
        ItemEvent.RELEASE,
        ItemEvent.SKIP,
        ItemEvent.FAIL,
        ItemEvent.MAYBE_BILLED,
        ItemEvent.SUCCEED,
    ],
)
@pytest.mark.parametrize("state", [State.CLAIMED, State.SENT])
def test_an_owner_that_lost_an_item_changes_nothing_of_it(
    db: sqlite3.Connection, state: State, what: ItemEvent
) -> None:
    """A process that slept past its lease changes nothing of an item that another has, and is refused at send."""
    put(db, state)
    db.execute("UPDATE item SET request_id = 'another'")
    before, late = row_of(db), Claim(1, ME + 1, item())
    if what is ItemEvent.SEND:
        with pytest.raises(ClaimLostError):
            happen(db, late, what)
    else:
        happen(db, late, what)
    assert row_of(db) == before


def test_a_new_item_is_claimed_once(db: sqlite3.Connection) -> None:
    """A new item is recorded and claimed, and no other owner is given it."""
    assert item_statements.claim_item(db, item(), ME) == Claim(1, ME, item())
    assert item_statements.claim_item(db, item(), ME + 1) is None
    assert item_statements.claim_item(db, item("b"), ME + 1) == Claim(2, ME + 1, item("b"))


def test_the_table_has_no_dead_ends() -> None:
    """Every state is reached from a new item, and from each the item can still succeed."""
    reached, frontier = {State.QUEUED}, {State.QUEUED}
    while frontier := {after for (state, _), after in TRANSITIONS.items() if state in frontier} - reached:
        reached |= frontier
    assert reached == set(State)
    finishing = {State.SUCCEEDED}
    while more := {state for (state, _), after in TRANSITIONS.items() if after in finishing} - finishing:
        finishing |= more
    assert finishing == set(State)


def test_a_finished_item_is_sent_again_on_request_only() -> None:
    """An item leaves a finished state on request of a user only, or by an answer that arrives late."""
    leaving = {what for (state, what) in TRANSITIONS if state in FINISHED}
    assert leaving == {ItemEvent.REQUEUE, ItemEvent.SUCCEED, ItemEvent.FAIL}
    assert {after for (state, _), after in TRANSITIONS.items() if state is State.SUCCEEDED} == set()
    assert OWNED.isdisjoint(FINISHED)
    assert OWNED | FINISHED | {State.QUEUED} == set(State)


def test_only_a_claim_may_be_sent() -> None:
    """A request is sent only for an item that a process has claimed."""
    assert set(from_states(ItemEvent.SEND)) == {State.CLAIMED, State.SENT}
    assert from_states(ItemEvent.CLAIM) == (State.QUEUED,)


def test_an_entry_shows_no_content() -> None:
    """The repr of an entry names the item and its state, and neither answer nor error."""
    entry = Entry(5, item(), State.FAILED, failure=b"canary")
    assert repr(entry) == f"Entry(5, {item().sha256.hex()[:12]}…, receipt, failed)"
    assert "canary" not in repr(Settlement(ItemEvent.FAIL, failure=b"canary"))
