"""Corrections by people: those that hold, and their places in tables and records."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from support.answers import answer_of

from clova_ocr_async.documents import BizLicense, CreditCard, Document, IdCard, NameCard, Passport, Receipt
from clova_ocr_async.documents.fields import with_texts
from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.corrections import Change, ChangeKind, Correction
from clova_ocr_async.ledger.states import Entry, Item, SourceRecord, State
from clova_ocr_async.protocol import HTTPResponse
from clova_ocr_async.results.columns import columns
from clova_ocr_async.results.corrected_rows import item_columns_of_run
from clova_ocr_async.results.corrections import Review, corrected_columns, entries_of, review_of, reviews_of
from clova_ocr_async.results.masked_records import masked_record
from clova_ocr_async.results.possible_copies import PossibleCopies
from clova_ocr_async.results.records import record_of
from clova_ocr_async.results.run_rows import RunRow, columns_of_run, rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping

TOTAL = "result.totalPrice.price"
SHOP = "result.storeInfo.name"
ITEM = Item(b"a".ljust(32), "receipt")


def correct(path: str, old: str, new: str, by: str = "minji") -> Change:
    """Return a correction."""
    return Change(ChangeKind.CORRECT, by, path, old, new)


def confirm(path: str, value: str, by: str = "minji") -> Change:
    """Return a confirmation."""
    return Change(ChangeKind.CONFIRM, by, path, value, value)


def undo(number: int, path: str = "") -> Change:
    """Return an undo."""
    return Change(ChangeKind.UNDO, "jun", path, undoes=number)


def log(*changes: Change | None, item: Item = ITEM) -> list[Correction]:
    """Return changes as a run has them: one a second, from 1 on."""
    return [Correction(number, item, float(number), change) for number, change in enumerate(changes, 1)]


def read(text: str, **more: Any) -> dict[str, Any]:
    """Return a wire object of a text."""
    return {"text": text, "confidenceScore": 0.95, **more}


def record(document: type[Document], result: Mapping[str, Any], **values: Any) -> SourceRecord:
    """Return a record of a run that was read."""
    body = json.dumps(answer_of(document, {"result": result}) | {"requestId": "r"}).encode()
    item = Item(b"a".ljust(32), document.path_word)
    entry = Entry(1, item, State.SUCCEEDED, billing=Billing.BILLED, answer=HTTPResponse(200, body), request_id="r")
    return SourceRecord("a.jpg", document.path_word, "succeeded", entry, **values)


def row(found: SourceRecord, *changes: Change, policy: Any = None, own: tuple[str, ...] = ()) -> RunRow:
    """Return the row of a record after some changes."""
    reviews = reviews_of(log(*changes, item=Item(b"a".ljust(32), found.document)))
    with PossibleCopies(1) as seen:
        (only,) = rows_of([found], seen, own={found.document: own}, policy=policy, reviews=reviews)
    return only


RECEIPT = record(
    Receipt,
    {
        "storeInfo": {"name": read("canary"), "tel": [read("02-1"), read("02-2")]},
        "paymentInfo": {
            "date": read("2026.11.29", formatted={"year": "2026", "month": "11", "day": "29"}),
            "time": read("10:20"),
            "cardInfo": {"number": read("9410-1234-5678-9012")},
        },
        "totalPrice": {"price": read("S,000", formatted={"value": "5000"})},
        "subResults": [
            {"items": [{"name": read("tea"), "price": {"price": read("1,000")}}]},
            {"items": [{"name": read("milk"), "price": {"price": read("2,000")}}, {"name": read("bun")}]},
        ],
    },
)


# ---------------------------------------------------------------------------------------------------------------------
# What holds


def test_the_newest_change_of_a_field_holds() -> None:
    """Of several corrections of one field the last one holds, and the value of the answer stays known."""
    review = review_of(log(correct(TOTAL, "5000", "6000"), correct(TOTAL, "6000", "7000", "jun")))
    found = review.fields[TOTAL]
    assert (found.answered, found.value, found.confirmed) == ("5000", "7000", False)
    assert found.correction is found.last
    assert (review.newest, review.values) == (2, {TOTAL: "7000"})


def test_an_undo_brings_back_what_was_before() -> None:
    """Undone changes hold no more, one after the other; one that is not the newest of its field stays."""
    changes = [correct(TOTAL, "5000", "6000"), correct(TOTAL, "6000", "7000"), undo(1, TOTAL)]
    assert review_of(log(*changes)).values == {TOTAL: "7000"}
    changes += [undo(2, TOTAL)]
    assert review_of(log(*changes)).values == {TOTAL: "6000"}
    changes += [undo(1, TOTAL), undo(1, TOTAL)]
    assert review_of(log(*changes)) == Review(newest=6)
    assert reviews_of(log(*changes)) == {}


def test_a_confirmation_keeps_the_value() -> None:
    """A confirmed field has the value that it had: the answer's, or the corrected one."""
    review = review_of(log(confirm(SHOP, "canary"), correct(TOTAL, "5000", "6000"), confirm(TOTAL, "6000")))
    assert review.values == {TOTAL: "6000"}
    shop, total = review.fields[SHOP], review.fields[TOTAL]
    assert (shop.value, shop.correction, shop.confirmed) == ("canary", None, True)
    assert (total.answered, total.confirmed) == ("5000", True)
    assert total.correction is not None
    assert (total.correction.number, total.last.number) == (2, 3)


def test_a_document_is_done_until_it_is_not() -> None:
    """A document that was marked as done may be opened again, and that may be undone."""
    done, undone = Change(ChangeKind.DONE, "minji"), Change(ChangeKind.UNDONE, "jun")
    assert review_of(log(done)).done is not None
    again = review_of(log(done, undone))
    assert (again.done, again.last) == (None, None)
    back = review_of(log(done, undone, undo(2)))
    assert back.done is not None
    assert back.done.number == 1


def test_a_correction_that_cannot_be_opened_changes_nothing() -> None:
    """What is damaged counts as seen, and every other change holds."""
    review = review_of(log(correct(TOTAL, "5000", "6000"), None))
    assert (review.newest, review.values) == (2, {TOTAL: "6000"})


def test_entries_show_what_holds() -> None:
    """A record lists each field once with both values, and a document that is done, in the order of recording."""
    changes = [confirm(SHOP, "canary"), correct(TOTAL, "5000", "6000"), Change(ChangeKind.DONE, "jun")]
    changes += [correct(TOTAL, "6000", "7000", "jun")]
    assert entries_of(review_of(log(*changes))) == [
        {"id": 1, "kind": "confirm", "path": SHOP, "old": "canary", "new": "canary", "by": "minji", "at": at(1)},
        {"id": 3, "kind": "done", "path": None, "old": None, "new": None, "by": "jun", "at": at(3)},
        {"id": 4, "kind": "correct", "path": TOTAL, "old": "5000", "new": "7000", "by": "jun", "at": at(4)},
    ]


def at(second: int) -> str:
    """Return a time."""
    return f"1970-01-01T00:00:0{second}Z"


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def test_a_corrected_number_is_parsed_as_its_column() -> None:
    """A corrected number, date and time have their column's type and their text; the answer's columns stay."""
    changes = [
        correct(TOTAL, "5000", "7,500원"),
        correct("result.paymentInfo.date", "2026-11-29", "2026. 12. 1."),
        correct("result.paymentInfo.time", "10:20:00", "오후 3:05"),
    ]
    found = row(RECEIPT, *changes).row
    plain = row(RECEIPT).row
    assert (found["total_price_corrected"], found["total_price_corrected_text"]) == (Decimal(7500), "7,500원")
    assert (found["payment_date_corrected"], found["payment_time_corrected"]) == (dt.date(2026, 12, 1), dt.time(15, 5))
    assert {name: found[name] for name in plain} == plain
    assert (found["reviewed_by"], found["reviewed_at"]) == ("minji", at(3))


def test_a_text_that_is_not_a_number_stays_a_text() -> None:
    """A corrected text that is not a number has no value in the number's column, and is in the column of its text."""
    found = row(RECEIPT, correct(TOTAL, "5000", "about 5")).row
    assert (found["total_price_corrected"], found["total_price_corrected_text"]) == (None, "about 5")


def test_a_value_that_was_removed_has_empty_cells() -> None:
    """Where nothing stands, a correction says so with an empty text."""
    found = row(RECEIPT, correct(SHOP, "canary", "")).row
    assert (found["store_name"], found["store_name_corrected"]) == ("canary", None)


def test_a_value_that_was_removed_is_told_from_one_that_was_not_corrected() -> None:
    """Both have an empty cell, so a column names the fields that were removed, where the run has any."""
    first = "result.subResults[0].items[0].name"
    found = row(RECEIPT, correct(SHOP, "canary", ""), correct(TOTAL, "5000", "6000"), correct(first, "tea", ""))
    assert found.row["removed_fields"] == f"{SHOP} | {first}"
    assert list(found.row)[-3:] == ["removed_fields", "reviewed_by", "reviewed_at"]
    assert "removed_fields" not in row(RECEIPT, correct(TOTAL, "5000", "6000")).row
    assert "removed_fields" not in row(RECEIPT, correct(SHOP, "canary", ""), undo(1, SHOP)).row


def test_a_value_that_was_not_read_may_be_written() -> None:
    """An object that the answer has not gets the value that a person read."""
    found = row(RECEIPT, correct("result.paymentInfo.confirmNum", "", "123")).row
    assert (found["confirm_num"], found["confirm_num_corrected"]) == (None, "123")
    assert with_texts(Receipt(), {"result.storeInfo.tel[0]": "x", "result.unknown": "x"}) == Receipt()


def test_a_cell_of_several_values_is_corrected_as_a_whole() -> None:
    """A column that joins the values of an array shows all of them, the corrected one among them."""
    assert row(RECEIPT, correct("result.storeInfo.tel[1]", "02-2", "02-9")).row["store_tel_corrected"] == "02-1 | 02-9"


def test_columns_of_corrections_stand_between_the_fixed_ones_and_those_of_manifests() -> None:
    """Only fields that were corrected have columns, in the order of the fixed ones, and own columns keep off them."""
    changes = log(correct(TOTAL, "5000", "6000"), correct(SHOP, "canary", "x"))
    names = [column.name for column in columns_of_run(Receipt, ["reviewed_by", "id"], reviews_of(changes))]
    fixed = [column.name for column in columns(Receipt)]
    assert names[: len(fixed)] == fixed
    assert names[len(fixed) :] == [
        "store_name_corrected",
        "total_price_corrected",
        "total_price_corrected_text",
        "reviewed_by",
        "reviewed_at",
        "id",
        "manifest_reviewed_by",
    ]
    assert [column.name for column in columns_of_run(CreditCard, [], reviews_of(changes))] == [
        column.name for column in columns(CreditCard)
    ]
    assert row(RECEIPT, correct(TOTAL, "5000", "6000"), own=("reviewed_by",)).row["manifest_reviewed_by"] is None


def test_a_document_that_was_only_confirmed_has_no_corrected_columns() -> None:
    """Confirmed and done documents show by whom and when."""
    found = row(RECEIPT, confirm(SHOP, "canary"), Change(ChangeKind.DONE, "jun"))
    assert [name for name in found.row if "corrected" in name] == []
    assert (found.row["reviewed_by"], found.row["reviewed_at"]) == ("jun", at(2))


def test_the_lines_of_a_receipt_have_their_own_corrections() -> None:
    """A corrected line has its value in its own row; the rows of other lines have empty cells."""
    changes = [correct("result.subResults[1].items[0].price.price", "2,000", "2,500")]
    found = row(RECEIPT, *changes)
    assert [line["price_corrected"] for line in found.items] == [None, Decimal(2500), None]
    assert [line["price"] for line in found.items] == [Decimal(1000), Decimal(2000), None]
    names = [column.name for column in item_columns_of_run(reviews_of(log(*changes)))]
    assert list(found.items[0]) == names
    assert names[-2:] == ["price_corrected", "price_corrected_text"]


@pytest.mark.parametrize(
    ("document", "path", "names"),
    [
        (NameCard, "result.email[0]", ["email_corrected"]),
        (NameCard, "result.email[2]", ["email_more_corrected"]),
        (IdCard, "result.pp.birthDate[0]", ["birth_date_corrected", "birth_date_corrected_text"]),
        (IdCard, "result.ac.name[0]", ["name_corrected"]),
        (CreditCard, "result.validThru", ["valid_thru_corrected"]),
        (Passport, "passportResult.age", ["age_corrected", "age_corrected_text"]),
        (Receipt, "result.subTotal[0].taxPrice[1]", ["tax_price_corrected", "tax_price_corrected_text"]),
        (Receipt, "result.storeInfo.poiInfo", []),
    ],
)
def test_the_columns_of_a_field(document: type[Document], path: str, names: list[str]) -> None:
    """A field's correction has a column for each column that shows the field."""
    assert [column.name for column in corrected_columns(document, [path])] == names


@pytest.mark.parametrize(
    ("document", "result", "path", "new", "column", "value"),
    [
        (CreditCard, {"number": {"text": "9410"}}, "result.number", "9411", "number_corrected", "9411"),
        (
            BizLicense,
            {"corpName": [{"": "a", "boundingPolys": []}]},
            "result.corpName[0]",
            "b",
            "corp_name_corrected",
            "b",
        ),
    ],
)
def test_fields_of_every_shape_are_corrected(
    document: type[Document], result: dict[str, Any], path: str, new: str, column: str, value: str
) -> None:
    """The documents whose objects have other shapes show corrected values as well."""
    assert row(record(document, result), correct(path, "x", new)).row[column] == value


def test_a_passport_is_corrected() -> None:
    """Texts, numbers and flags of a machine readable zone are corrected."""
    zone = {"age": {"rawText": "3I", "refinedText": None}, "isExpired": {"rawText": "?"}, "gender": {"rawText": "M"}}
    body = json.dumps(answer_of(Passport, {"passportResult": zone}) | {"requestId": "r"}).encode()
    item = Item(b"a".ljust(32), "passport")
    entry = Entry(1, item, State.SUCCEEDED, billing=Billing.BILLED, answer=HTTPResponse(200, body), request_id="r")
    changes = [
        correct(f"passportResult.{name}", "?", new)
        for name, new in (("age", "31"), ("isExpired", "true"), ("gender", "F"))
    ]
    found = row(SourceRecord("a.jpg", "passport", "succeeded", entry), *changes).row
    assert [found[f"{name}_corrected"] for name in ("age", "is_expired", "gender")] == [31, True, "F"]


# ---------------------------------------------------------------------------------------------------------------------
# Masking


def test_corrected_values_are_masked_by_their_path() -> None:
    """A corrected card number is masked as a read one, wherever else it stands, in tables and in records."""
    number, path = "9410-1234-5678-9999", "result.paymentInfo.cardInfo.number"
    changes = [correct(path, "9410-1234-5678-9012", number), correct(SHOP, "canary", f"card {number}")]
    named = SourceRecord(f"{number}.jpg", "receipt", "succeeded", RECEIPT.entry)
    found = row(named, *changes, policy="standard").row
    assert found["card_number_corrected"] == "9410-12**-****-9999"
    assert (found["store_name_corrected"], found["source"]) == ("card 9410-12**-****-9999", "9410-12**-****-9999.jpg")
    masked, certain = masked_record(record_of(named, reviews_of(log(*changes))), "standard")
    assert certain
    assert "1234-5678" not in json.dumps(masked, default=str)
    assert [entry["new"] for entry in masked["corrections"]] == ["9410-12**-****-9999", "card 9410-12**-****-9999"]
    assert masked["corrections"][0]["old"] == "9410-12**-****-9012"


def test_the_lines_of_a_masked_table_are_masked() -> None:
    """A number that a person wrote into a line is masked there."""
    changes = [correct("result.subResults[0].items[0].name", "tea", "900101-1234567")]
    assert row(RECEIPT, *changes, policy="standard").items[0]["name_corrected"] == "900101-*******"


def test_a_record_has_its_corrections() -> None:
    """A record lists what holds beside the answer, which stays; without corrections there is no such key."""
    reviews = reviews_of(log(correct(TOTAL, "5000", "6000"), Change(ChangeKind.DONE, "jun")))
    found = record_of(RECEIPT, reviews)
    assert [entry["kind"] for entry in found["corrections"]] == ["correct", "done"]
    assert {key: value for key, value in found.items() if key != "corrections"} == record_of(RECEIPT)
    masked, _ = masked_record(found, "standard")
    assert masked["corrections"][1] == found["corrections"][1]
    pending = SourceRecord("a.jpg", "receipt", "pending", RECEIPT.entry)  # its file has changed
    assert "corrections" not in record_of(pending, reviews)
    assert "corrections" not in record_of(RECEIPT, {})
