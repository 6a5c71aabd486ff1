from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.ledgers import ANSWER, claimed, item, read, source

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.corrections import Change, ChangeKind, CorrectionConflictError
from clova_ocr_async.ledger.storage import Purged

if TYPE_CHECKING:
    from support.stores import Store

    from clova_ocr_async.ledger import Correction, RunLedger

DAY = 86400.0
SHOP = Change(ChangeKind.CORRECT, "minji", "result.storeInfo.name", "canarySHOP", "canaryBAKERY")
CHANGES = (
    SHOP,
    Change(ChangeKind.CONFIRM, "minji", "result.totalPrice.price", "5000", "5000"),
    Change(ChangeKind.DONE, "jun"),
    Change(ChangeKind.UNDO, "jun", "result.storeInfo.name", "canaryBAKERY", "canarySHOP", undoes=1),
    Change(ChangeKind.UNDONE, "jun"),
)


async def answered(ledger: RunLedger, name: str) -> None:
    """Have an item read."""
    claim = claimed(await ledger.admit(item(name), source(name)))
    await ledger.sending(claim, name)
    await ledger.answered(claim, name, ANSWER)
    await ledger.settle(claim, read(name))


async def begun(store: Store, *names: str) -> None:
    """Leave a run with some items that were read."""
    async with store.open() as ledger:
        for name in names:
            await answered(ledger, name)


def corrections(store: Store, name: str | None = None, after: int = 0) -> list[Correction]:
    """Return the corrections of an item, or of all."""
    with store.view() as view:
        return list(view.corrections(None if name is None else item(name), after=after))


async def test_changes_come_out_as_they_were_recorded(store: Store) -> None:
    """Every kind of change comes out whole, in the order of recording, with its item, its number and its time."""
    await begun(store, "a")
    with store.correct(now=lambda: 7.5) as record:
        returned = [record.append(item("a"), change, after=number) for number, change in enumerate(CHANGES)]
    assert corrections(store) == returned
    assert [one.change for one in returned] == list(CHANGES)
    assert [(one.number, one.item, one.at) for one in returned] == [(number, item("a"), 7.5) for number in range(1, 6)]
    with store.view() as view:
        assert view.status().corrections == 5


async def test_corrections_are_of_an_item(store: Store) -> None:
    """Those of one item come out alone, and those that are newer than one that is known."""
    await begun(store, "a", "b")
    with store.correct() as record:
        for number, name in enumerate("aba"):
            record.append(item(name), SHOP, after=max(number - 1, 0))
    assert [one.number for one in corrections(store, "a")] == [1, 3]
    assert [one.number for one in corrections(store, "b")] == [2]
    assert [one.number for one in corrections(store, after=1)] == [2, 3]
    assert [one.number for one in corrections(store, "a", after=1)] == [3]
    assert corrections(store, "unknown") == []


async def test_a_change_that_has_not_seen_the_newest_one_is_refused(store: Store) -> None:
    """Of two people who saw the same state of an item, the second one's change is not recorded."""
    await begun(store, "a", "b")
    with store.correct() as one, store.correct() as other:
        one.append(item("a"), SHOP, after=0)
        with pytest.raises(CorrectionConflictError):
            other.append(item("a"), SHOP, after=0)
        other.append(item("b"), SHOP, after=0)  # another item has a state of its own
        other.append(item("a"), SHOP, after=1)
    assert [(one.number, one.item) for one in corrections(store)] == [(1, item("a")), (2, item("b")), (3, item("a"))]


async def test_an_image_without_an_answer_cannot_be_corrected(store: Store) -> None:
    """Without a stored answer nothing is recorded: of an image that was not read, and of one that the run has not."""
    async with store.open() as ledger:
        await ledger.admit(item("unread"), source("unread"))
    with store.correct() as record:
        for name in ("unread", "unknown"):
            with pytest.raises(LedgerError, match="no stored answer"):
                record.append(item(name), SHOP, after=0)
    assert corrections(store) == []


async def test_people_correct_while_a_batch_is_at_work(store: Store) -> None:
    """Corrections and calls of one run do not wait for each other, and a correction changes no count of calls."""
    await begun(store, "a")
    async with store.open() as ledger:
        with store.correct() as record, store.view() as view:
            record.append(item("a"), SHOP, after=0)
            await answered(ledger, "b")
            record.append(item("b"), SHOP, after=0)
            status = view.status()
            assert (status.processes, status.calls, status.corrections) == (1, 2, 2)
            entry = view.find(item("a"))
    assert entry is not None
    assert entry.answer == ANSWER


async def test_a_snapshot_has_the_corrections_of_its_moment(store: Store) -> None:
    """What is recorded while a snapshot is open is not in it, and is there afterwards."""
    await begun(store, "a")
    with store.correct() as record, store.view() as view:
        record.append(item("a"), SHOP, after=0)
        with view.snapshot():
            assert len(list(view.corrections())) == 1
            record.append(item("a"), SHOP, after=1)
            assert len(list(view.corrections())) == 1
        assert len(list(view.corrections())) == 2


async def test_a_purge_removes_the_corrections_of_the_answers_that_it_removes(store: Store) -> None:
    """Corrections go with their answer, those of younger answers stay, and no number is used again."""
    for name, now in (("old", 0.0), ("young", 20 * DAY)):
        async with store.open(now=lambda now=now: now) as ledger:
            await answered(ledger, name)
    with store.correct() as record:
        record.append(item("young"), SHOP, after=0)
        record.append(item("old"), SHOP, after=0)
        assert store.purge(15 * DAY, now=lambda: 30 * DAY) == Purged(1, 0, 1)
        with pytest.raises(LedgerError, match="no stored answer"):
            record.append(item("old"), SHOP, after=2)
        assert record.append(item("young"), SHOP, after=1).number == 3
    assert [(one.number, one.item) for one in corrections(store)] == [(1, item("young")), (3, item("young"))]


def test_a_change_shows_no_value() -> None:
    """The ``repr`` of a change names its kind and its field, and none of its values."""
    assert repr(SHOP) == "Change('correct', path='result.storeInfo.name')"
