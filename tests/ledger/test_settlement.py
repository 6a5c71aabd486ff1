from __future__ import annotations

import dataclasses

import pytest
from support.ledgers import ANSWER, item

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.settlement import is_requeued, project, settlement_due
from clova_ocr_async.ledger.states import Entry, ItemEvent, State

SENT = Entry(1, item(), State.SENT, request_id="r", owner=7, in_flight=True)


@pytest.mark.parametrize("state", [state for state in State if state not in {State.SENT, State.AMBIGUOUS}])
def test_an_item_that_was_not_sent_needs_no_settlement(state: State) -> None:
    """Of an item that was not sent or is finished nothing is settled, whether its owner lives or not."""
    entry = Entry(1, item(), state)
    assert [settlement_due(entry, owner_alive=alive) for alive in (False, True)] == [None, None]
    assert project(entry, owner_alive=True) == entry


def test_the_item_of_a_living_process_is_left_to_it() -> None:
    """While its process lives, a sent item without an answer stays as it is."""
    assert project(SENT, owner_alive=True) is SENT


@pytest.mark.parametrize("alive", [False, True])
def test_an_answered_item_is_settled_from_its_answer(alive: bool) -> None:
    """The answer settles a sent item, whether its process lives or not, and no call becomes maybe billed."""
    entry = dataclasses.replace(SENT, in_flight=False, answered=True, answer=ANSWER)
    after = project(entry, owner_alive=alive)
    assert (after.state, after.billing, after.maybe_billed) == (State.SUCCEEDED, Billing.BILLED, 0)
    assert (after.answer, after.owner) == (ANSWER, None)


@pytest.mark.parametrize(
    ("in_flight", "answered", "maybe_billed"), [(True, False, 1), (False, True, 1), (False, False, 0)]
)
def test_the_sent_item_of_a_dead_process_is_ambiguous(in_flight: bool, answered: bool, maybe_billed: int) -> None:
    """Without a readable answer the item is ambiguous, and its last request counts once as maybe billed."""
    after = project(dataclasses.replace(SENT, in_flight=in_flight, answered=answered), owner_alive=False)
    assert (after.state, after.billing, after.maybe_billed) == (State.AMBIGUOUS, Billing.MAYBE_BILLED, maybe_billed)
    assert not after.in_flight


def test_the_claimed_item_of_a_dead_process_is_free() -> None:
    """An item that was only claimed is queued again."""
    after = project(dataclasses.replace(SENT, state=State.CLAIMED, in_flight=False), owner_alive=False)
    assert (after.state, after.owner) == (State.QUEUED, None)


@pytest.mark.parametrize("state", State)
def test_unread_items_are_requeued_by_their_billing(state: State) -> None:
    """A request for items of one billing finds the unread ones with that billing."""
    entry = Entry(1, item(), state, billing=Billing.MAYBE_BILLED)
    unread = state in {State.FAILED, State.AMBIGUOUS, State.SKIPPED}
    assert is_requeued(entry, [Billing.MAYBE_BILLED]) == unread
    assert not is_requeued(entry, [Billing.NOT_BILLED, Billing.BILLED])


def test_a_settlement_without_an_answer_names_its_call() -> None:
    """The settlement of a lost call is fenced by its requestId, and says why it is ambiguous."""
    settlement = settlement_due(SENT, owner_alive=False)
    assert settlement is not None
    assert (settlement.event, settlement.request_id) == (ItemEvent.MAYBE_BILLED, "r")
    assert b"ended before the answer came" in settlement.failure


def test_an_ambiguous_item_with_a_damaged_answer_counts() -> None:
    """An ambiguous item whose late answer cannot be opened counts as maybe billed, as the take-over counts it."""
    entry = dataclasses.replace(SENT, state=State.AMBIGUOUS, in_flight=False, answered=True, maybe_billed=0)
    assert project(entry, owner_alive=False).maybe_billed == 1
