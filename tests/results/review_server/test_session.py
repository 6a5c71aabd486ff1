"""The run behind a review: the rows of the page, and the changes of people."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from support.ledgers import claimed, source
from support.reviews import RECEIPT, field_of, item_of, read, read_image, reviewing, wire
from support.stores import STORES

from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import ConnectionLostError, ImageError, LedgerError
from clova_ocr_async.ledger.corrections import Change, ChangeKind, CorrectionConflictError
from clova_ocr_async.ledger.settlement import failed_settlement
from clova_ocr_async.ledger.states import SourceFile
from clova_ocr_async.results.review_server.problems import ConflictError, HiddenError, InvalidChangeError, UnknownError
from clova_ocr_async.results.review_server.session import ReviewOptions, ReviewSession

if TYPE_CHECKING:
    from pathlib import Path

    from support.stores import Store

TOTAL = "result.totalPrice.price"
SHOP = "result.storeInfo.name"
CARD = "result.paymentInfo.cardInfo.number"
MINJI = {"by": "minji", "at": "1970-01-01T00:00:07Z"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty run in memory."""
    return STORES["memory"](tmp_path)


def plain(row: Any) -> dict[str, Any]:
    """Return a row that is JSON."""
    found: dict[str, Any] = json.loads(bytes(row))
    return found


async def test_rows_come_in_blocks_and_the_run_with_the_last_of_them(store: Store) -> None:
    """The page gets all rows, a few hundred at once, and what is known of the run when it has them all."""
    await read(store, *(f"{number}.jpg" for number in range(201)))
    with reviewing(store) as session:
        first, second = session.rows(0), session.rows(200)
        assert (len(first["rows"]), first["next"], "run" in first) == (200, 200, False)
        assert (len(second["rows"]), second["next"]) == (1, None)
        assert (second["run"]["review"], second["run"]["by"], second["run"]["totals"]["records"]) == (
            True,
            "minji",
            201,
        )
        assert plain(second["rows"][0])["n"] == 200
        assert plain(session.row(200)) == plain(second["rows"][0])
        assert session.rows(500)["rows"] == []


async def test_rows_come_while_the_run_is_read(store: Store) -> None:
    """The first rows can be had before the last image is read; what a person could change of them has to wait."""
    await read(store, *(f"{number}.jpg" for number in range(101)))
    with store.correct() as record, store.view() as view:
        session = ReviewSession(view, record, ReviewOptions(by="minji", policy=None, facts={}, retry=lambda *_: ""))
        assert session.rows(0) == {"rows": [], "next": 0, "of": 0}
        assert session.load_more()
        found = session.rows(0)
        assert (len(found["rows"]), found["next"], found["of"], "run" in found) == (100, 100, 101, False)
        assert session.rows(500) == {"rows": [], "next": 500, "of": 101}
        with pytest.raises(LedgerError, match="still being read; try again"):
            session.correct(0, TOTAL, "5000", "6000")
        assert not session.load_more()
        assert session.rows(100)["run"]["totals"]["records"] == 101
        assert session.correct(0, TOTAL, "5000", "6000").number == 1


async def test_a_correction_comes_back_with_its_row(store: Store) -> None:
    """The row shows the new value, the one of the answer, by whom and when, and how many doubts are left."""
    await read(store, "a.jpg")
    with reviewing(store) as session:
        before = field_of(session.row(0), TOTAL)
        assert (before["t"], before["v"], before["why"]) == ("S,000", "5000", ["confidence 0.60"])
        changed = session.correct(0, TOTAL, "5000", " 6000 ")
        found = field_of(changed.row, TOTAL)
        assert (changed.number, session.recorded) == (1, 1)
        assert found["corrected"] == {"old": "5000", "id": 1, **MINJI}
        assert (found["t"], "v" in found) == ("6000", False)
        assert plain(changed.row)["review"] == {"done": False, "left": 1, **MINJI}
        assert plain(session.row(0)) == plain(changed.row)
    with reviewing(store, "jun") as session:
        assert field_of(session.row(0), TOTAL)["corrected"]["by"] == "minji"


async def test_a_value_that_changed_meanwhile_is_not_written_over(store: Store) -> None:
    """Of two tabs or two reviews that saw the same value, the second one gets the row as it is now."""
    await read(store, "a.jpg")
    with reviewing(store) as one, reviewing(store, "jun") as other:
        one.correct(0, TOTAL, "5000", "6000")
        for change in (partial(other.correct, 0, TOTAL, "5000", "7000"), partial(other.confirm, 0, TOTAL, "5000")):
            with pytest.raises(ConflictError) as caught:
                change()
            assert field_of(caught.value.row, TOTAL)["t"] == "6000"
        other.correct(0, TOTAL, "6000", "7000")
        one.correct(0, SHOP, "canary cafe", "cafe")  # another field of the same document
        assert field_of(one.row(0), TOTAL)["t"] == "7000"
        assert field_of(other.row(0), SHOP)["t"] == "cafe"


async def test_a_change_holds_for_every_name_of_the_image(store: Store) -> None:
    """The page gets the rows of the copies as well, which nobody has to correct a second time."""
    async with store.open() as ledger:
        for name in ("a.jpg", "other.jpg"):
            await read_image(ledger, name)
        await ledger.admit(item_of(b"a.jpg", Receipt), SourceFile(b"copy of a.jpg"))
    with reviewing(store) as session:
        changed = session.correct(2, TOTAL, "5000", "6000")
        (copy,) = changed.copies
        assert [(plain(row)["n"], field_of(row, TOTAL)["t"]) for row in (changed.row, copy)] == [
            (2, "6000"),
            (0, "6000"),
        ]
        assert [plain(row)["n"] for row in session.undo(1).copies] == [2]
        assert session.mark_done(1, done=True).copies == []


async def test_a_field_is_confirmed(store: Store) -> None:
    """A confirmed field keeps its value and counts as looked at; a corrected one may be confirmed by another person."""
    await read(store, "a.jpg")
    with reviewing(store) as session, reviewing(store, "jun") as other:
        changed = session.confirm(0, SHOP)
        found = field_of(changed.row, SHOP)
        assert (found["t"], found["confirmed"]) == ("canary cafe", {"id": 1, **MINJI})
        session.correct(0, TOTAL, "5000", "6000")
        found = field_of(other.confirm(0, TOTAL, "6000").row, TOTAL)
        assert (found["corrected"]["id"], found["confirmed"]["id"], found["confirmed"]["by"]) == (2, 3, "jun")
        assert plain(other.row(0))["review"]["left"] == 0


async def test_a_document_is_done(store: Store) -> None:
    """A document is marked and unmarked; a second mark of the same kind records nothing."""
    await read(store, "a.jpg")
    with reviewing(store) as session:
        assert session.mark_done(0, done=False).number is None
        done = session.mark_done(0, done=True)
        assert plain(done.row)["review"] == {"done": True, "left": 2, "id": 1, **MINJI}
        assert session.mark_done(0, done=True).number == 1
        assert plain(session.mark_done(0, done=False).row)["review"]["done"] is False
        assert session.recorded == 2


async def test_changes_are_undone(store: Store) -> None:
    """An undo brings back what was before, for a value and for a document; what is not the newest is refused."""
    await read(store, "a.jpg")
    with reviewing(store) as session:
        session.correct(0, TOTAL, "5000", "6000")
        session.correct(0, TOTAL, "6000", "7000")
        session.mark_done(0, done=True)
        with pytest.raises(ConflictError):
            session.undo(1)
        assert field_of(session.undo(2).row, TOTAL)["t"] == "6000"
        assert field_of(session.undo(1).row, TOTAL).get("v") == "5000"
        assert "review" not in plain(session.undo(3).row)
        for number in (1, 3):
            with pytest.raises(ConflictError):
                session.undo(number)
        with pytest.raises(UnknownError, match="no such correction"):
            session.undo(99)
        log = session.corrections()
    assert [(one["kind"], one["old"], one["new"], one["undoes"]) for one in log] == [
        ("correct", "5000", "6000", None),
        ("correct", "6000", "7000", None),
        ("done", None, None, None),
        ("undo", "7000", "6000", 2),
        ("undo", "6000", "5000", 1),
        ("undo", None, None, 3),
    ]
    assert {(one["n"], one["by"], one["at"]) for one in log} == {(0, "minji", "1970-01-01T00:00:07Z")}


async def test_a_masked_value_is_not_corrected(store: Store) -> None:
    """What the page hides cannot be changed unless it is shown, and is hidden again after it was."""
    await read(store, "a.jpg")
    with reviewing(store) as session:
        assert field_of(session.row(0), CARD)["m"] == 1
        for change in (
            partial(session.correct, 0, CARD, "9410-12**-****-9012", "x"),
            partial(session.correct, 0, CARD, "9410-1234-5678-9012", "x"),
            partial(session.confirm, 0, CARD),
        ):
            with pytest.raises(HiddenError, match="start the review with --unmasked"):
                change()
    with reviewing(store, masked=False) as session:
        session.correct(0, CARD, "9410-1234-5678-9012", "5310-8765-4321-9999")
        session.correct(0, SHOP, "canary cafe", "card 5310-8765-4321-9999")
        assert session.corrections()[0]["new"] == "5310-8765-4321-9999"
    with reviewing(store) as session:
        card, shop = field_of(session.row(0), CARD), field_of(session.row(0), SHOP)
        assert (card["t"], card["corrected"]["old"]) == ("5310-87**-****-9999", "9410-12**-****-9012")
        assert (shop["t"], shop["m"]) == ("card 5310-87**-****-9999", 1)
        log = json.dumps(session.corrections())
        assert ("5310-87**-****-9999" in log, "4321" in log, "5678" in log) == (True, False, False)


async def test_a_document_that_cannot_be_masked_is_not_corrected(store: Store) -> None:
    """Where nothing of a document is shown, nothing of it is changed."""
    shop = RECEIPT["storeInfo"] | {"tel": [wire("9410-1234"), wire("5678-9012")]}  # the card's number, in two halves
    await read(store, "a.jpg", result=RECEIPT | {"storeInfo": shop})
    with reviewing(store) as session:
        assert "fields" not in plain(session.row(0))
        with pytest.raises(HiddenError):
            session.confirm(0, SHOP)


async def test_a_field_that_was_not_read_may_be_written(store: Store) -> None:
    """A value that a person reads where the service read none is a correction of nothing."""
    await read(store, "a.jpg")
    with reviewing(store) as session:
        session.correct(0, "result.paymentInfo.confirmNum", "", "123")
        assert session.corrections()[0]["old"] == ""


@pytest.mark.parametrize("masked", [True, False])
async def test_a_part_of_an_unexpected_shape_is_confirmed(store: Store, masked: bool) -> None:
    """The page lists it as doubtful, so a person can settle the doubt, although there is no value to correct."""
    await read(store, "a.jpg", result=RECEIPT | {"subResults": "none"})
    part = "images[0].receipt.result.subResults"
    with reviewing(store, masked=masked) as session:
        assert "why" in field_of(plain(session.row(0)), part)
        with pytest.raises(InvalidChangeError, match="no such field"):
            session.correct(0, part, "", "1")
        row = plain(session.confirm(0, part, "").row)
        assert field_of(row, part)["confirmed"] | MINJI == field_of(row, part)["confirmed"]
        assert row["review"]["left"] == 2


@pytest.mark.parametrize(
    "path", ["", "result", "result.unknown", "result.storeInfo.tel[7]", "__class__", "../../etc/passwd"]
)
async def test_what_is_no_field_is_refused(store: Store, path: str) -> None:
    """Only fields that a document of the kind can have are changed."""
    await read(store, "a.jpg")
    with reviewing(store) as session:
        with pytest.raises(InvalidChangeError, match="no such field"):
            session.correct(0, path, "", "x")
        assert session.corrections() == []


@pytest.mark.parametrize(
    ("value", "problem"), [("x" * 2001, "2,001 characters"), ("a\nb", "control"), ("\x7f", "control")]
)
async def test_what_is_no_value_is_refused(store: Store, value: str, problem: str) -> None:
    """A value is a line of text, of a length that a person types."""
    await read(store, "a.jpg")
    with reviewing(store) as session, pytest.raises(InvalidChangeError, match=problem):
        session.correct(0, TOTAL, "5000", value)


async def test_images_without_an_answer_are_shown_and_not_changed(store: Store) -> None:
    """An image that was not read has a row, and nothing to correct; a number beyond the rows has none."""
    async with store.open() as ledger:
        ledger.add_files([source("unread.jpg")], "receipt")
        await ledger.admit((await read_image(ledger, "a.jpg")), source("copy.jpg"))
    with reviewing(store) as session:
        assert [plain(row)["status"] for row in session.rows(0)["rows"]] == ["pending", "succeeded", "succeeded"]
        for change in (partial(session.confirm, 0, TOTAL), partial(session.mark_done, 0, done=True)):
            with pytest.raises(InvalidChangeError, match="no answer"):
                change()
        for number in (-1, 3):
            with pytest.raises(UnknownError, match="3 rows"):
                session.row(number)
        session.correct(2, TOTAL, "5000", "6000")
        assert field_of(session.row(1), TOTAL)["t"] == "6000"  # a copy is the same image


@pytest.mark.parametrize("masked", [True, False])
async def test_pictures_that_were_not_read_are_offered_unmasked(store: Store, masked: bool) -> None:
    """A page that is not masked offers the picture of a call that failed, not of one that was never sent."""
    async with store.open() as ledger:
        claim = claimed(await ledger.admit(item_of(b"f.jpg", Receipt), source("f.jpg")))
        assert await ledger.sending(claim, "r")
        await ledger.settle(claim, failed_settlement(ConnectionLostError("no answer"), "r"))
        claim = claimed(await ledger.admit(item_of(b"cut.jpg", Receipt), source("cut.jpg")))
        await ledger.settle(claim, failed_settlement(ImageError("it is cut off"), "r"))
        ledger.add_files([source("gone.jpg")], "receipt")
    with reviewing(store, masked=masked) as session:
        rows = [plain(row) for row in session.rows(0)["rows"]]
    offered = {row["file"]: row.get("picture") for row in rows}
    assert offered == {"f.jpg": None if masked else "served", "cut.jpg": None, "gone.jpg": None}


async def test_numbers_stay_while_a_batch_is_at_work(store: Store) -> None:
    """Images that are read while a review is open are not in it, and neither are their corrections by another one."""
    await read(store, "a.jpg")
    with reviewing(store) as session:
        await read(store, "b.jpg")
        with reviewing(store) as later:
            later.correct(1, TOTAL, "5000", "7000")
            with pytest.raises(UnknownError):
                session.undo(1)
        assert session.corrections() == []
        assert session.rows(0)["next"] is None


async def test_a_purge_ends_what_can_be_corrected(store: Store) -> None:
    """Once the answers are removed, a change is refused and nothing of it is kept."""
    await read(store, "a.jpg")
    with reviewing(store) as session:
        session.correct(0, TOTAL, "5000", "6000")
        store.purge()
        with pytest.raises(InvalidChangeError, match="no answer"):
            session.correct(0, TOTAL, "6000", "7000")
    with store.view() as view:
        assert list(view.corrections()) == []


async def test_a_correction_that_cannot_be_opened_is_left_out(store: Store) -> None:
    """What is damaged is not shown, and further changes are recorded after it."""
    await read(store, "a.jpg")
    with reviewing(store) as session:
        session.correct(0, TOTAL, "5000", "6000")
    run = store._run  # type: ignore[attr-defined]  # noqa: SLF001 - no seam damages a store in memory
    run.corrections[0] = type(run.corrections[0])(1, run.corrections[0].item, 7.0, None)
    with reviewing(store) as session:
        assert session.corrections() == []
        with pytest.raises(ConflictError):
            session.undo(1)
        assert session.correct(0, TOTAL, "5000", "7000").number == 2


class Busy:
    """A record of corrections to which other programs always come first."""

    def append(self, *_: object, after: int) -> Any:
        """Refuse."""
        raise CorrectionConflictError(after)


async def test_a_change_that_always_comes_second_ends_with_an_error(store: Store) -> None:
    """A change does not wait for ever for other programs."""
    await read(store, "a.jpg")
    options = ReviewOptions(by="minji", policy=None, facts={}, retry=lambda _documents, _options: "")
    with store.view() as view:
        session = ReviewSession(view, Busy(), options)  # type: ignore[arg-type]
        while session.load_more():
            pass
        with pytest.raises(LedgerError, match="try again later"):
            session.confirm(0, TOTAL)


async def test_a_change_is_made_from_what_holds_when_it_is_recorded(store: Store) -> None:
    """A change of another field that came in between costs nothing: the change is made again after it."""
    await read(store, "a.jpg")

    class Late:
        """A record to which another program's change comes first, once."""

        def __init__(self, record: Any) -> None:
            self.record, self.first = record, True

        def append(self, item: Any, change: Change, *, after: int) -> Any:
            """Record another change before the first one."""
            if self.first:
                self.first = False
                self.record.append(item, Change(ChangeKind.CONFIRM, "jun", SHOP, "x", "x"), after=after)
            return self.record.append(item, change, after=after)

    options = ReviewOptions(by="minji", policy=None, facts={}, retry=lambda _documents, _options: "")
    with store.correct() as record, store.view() as view:
        session = ReviewSession(view, Late(record), options)  # type: ignore[arg-type]
        while session.load_more():
            pass
        assert session.correct(0, TOTAL, "5000", "6000").number == 2
        assert field_of(session.row(0), SHOP)["confirmed"]["by"] == "jun"
    assert RECEIPT["totalPrice"]["price"]["text"] == "S,000"
