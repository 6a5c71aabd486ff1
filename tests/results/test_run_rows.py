"""Rows of a run: every record has one, and sums count no copy twice."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answers import answer_of

from clova_ocr_async.documents import DOCUMENTS, Document, IdCard, Receipt
from clova_ocr_async.errors import Billing, ImageError
from clova_ocr_async.ledger.settlement import encode_failure
from clova_ocr_async.ledger.states import Entry, Item, SourceRecord, State
from clova_ocr_async.protocol import HTTPResponse
from clova_ocr_async.results.possible_copies import PossibleCopies, signatures_of
from clova_ocr_async.results.run_rows import RunRow, columns_of_run, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable


def read(text: str) -> dict[str, Any]:
    """Return a wire object of a text."""
    return {"text": text, "confidenceScore": 0.95}


def receipt(total: str = "5,000", **payment: Any) -> dict[str, Any]:
    """Return the result of a receipt."""
    paid = {"date": read("2026.11.29"), "time": read("10:20:30"), "confirmNum": read("123")}
    return {
        "storeInfo": {"bizNum": read("220-81-62517")},
        "paymentInfo": paid | payment,
        "subResults": [{"items": [{"name": read("tea"), "price": {"price": read("5,000")}}]}],
        "totalPrice": {"price": read(total)},
    }


def record(
    name: str,
    result: dict[str, Any] | None = None,
    document: type[Document] = Receipt,
    status: str = "succeeded",
    **values: Any,
) -> SourceRecord:
    """Return a record of a run; ``result`` makes it one that was read."""
    entry = None
    if result is not None:
        answer = answer_of(document, {"result": result}) | {"requestId": "r"}
        body = json.dumps(answer).encode()
        item = Item(name.encode().ljust(32), document.path_word, values.get("page"))
        entry = Entry(1, item, State.SUCCEEDED, billing=Billing.BILLED, answer=HTTPResponse(200, body), request_id="r")
    return SourceRecord(name, document.path_word, status, entry, **values)


def rows(*records: SourceRecord, own: Iterable[str] = (), policy: Any = None) -> list[RunRow]:
    """Return the rows of some records."""
    with PossibleCopies(len(records)) as seen:
        return list(rows_of(records, seen, own=dict.fromkeys(DOCUMENTS, tuple(own)), policy=policy))


def test_a_record_that_was_read_has_its_values() -> None:
    """A row has what the run knows and what the answer says, and the lines have the row's key."""
    (found,) = rows(record("a.pdf", receipt(), page=3))
    assert found.row["source"] == "a.pdf"
    assert (found.row["page"], found.row["status"], found.row["billed"]) == (3, "succeeded", True)
    assert (found.row["total_price"], found.row["payment_date"]) == (Decimal(5000), dt.date(2026, 11, 29))
    assert [item["key"] for item in found.items] == [found.row["key"]]


def test_records_that_were_not_read_have_rows() -> None:
    """A failed, skipped or pending record has a row with its error, and no values."""
    skipped = record("x.jpg", status="skipped", failure=encode_failure(ImageError("it is empty")))
    pending = record("y.jpg", status="pending")
    found = rows(skipped, pending)
    assert [row.row["status"] for row in found] == ["skipped", "pending"]
    assert found[0].row["error"] == "ImageError: it is empty"
    assert {row.row["total_price"] for row in found} == {None}
    assert [row.row["key"] for row in found] == [None, None]
    assert [row.items for row in found] == [[], []]


def test_a_copy_has_a_row_and_no_lines() -> None:
    """A copy shows its values and its original, costs nothing, and has no lines of its own."""
    original, copy = rows(record("a.jpg", receipt()), record("a.jpg", receipt(), copy_of="a.jpg"))
    assert (copy.row["copy_of"], copy.row["billed"]) == ("a.jpg", False)
    assert copy.row["key"] == original.row["key"]
    assert copy.row["total_price"] == original.row["total_price"]
    assert (len(original.items), copy.items) == (1, [])


def test_a_receipt_that_was_photographed_twice_is_named() -> None:
    """Equal number, date, time, total and approval in another file name the first one; copies by bytes do not."""
    found = rows(
        record("a.jpg", receipt()),
        record("a.jpg", receipt(), copy_of="a.jpg"),
        record("b.jpg", receipt(confirmNum=read("1-2-3"))),
        record("c.jpg", receipt("5,001")),
        record("d.jpg", receipt(confirmNum=read(""))),
    )
    assert [row.row["possible_copy_of"] for row in found] == [None, None, "a.jpg", None, None]


def test_a_file_that_has_changed_is_pending() -> None:
    """A record whose file has changed since shows no values of the old picture."""
    (found,) = rows(record("a.jpg", receipt(), status="pending"))
    assert (found.row["status"], found.row["total_price"], found.row["key"]) == ("pending", None, None)


def test_columns_of_a_manifest_are_carried_through() -> None:
    """Own columns follow the fixed ones by name, as text; a name that is taken gets a prefix."""
    own = {"id": "007", "status": "paid", "tags": ["a", 1], "empty": None}
    (found,) = rows(record("a.jpg", receipt(), columns=json.dumps(own).encode()), own=own)
    names = [column.name for column in columns_of_run(Receipt, own)]
    assert list(found.row) == names
    assert names[-4:] == ["empty", "id", "manifest_status", "tags"]
    assert [found.row[name] for name in names[-4:]] == [None, "007", "paid", '["a",1]']
    (without,) = rows(record("b.jpg", receipt()), own=own)
    assert without.row["id"] is None


def test_names_of_a_manifests_columns_are_masked() -> None:
    """A number in the name of an own column is hidden; names that are the same then are told apart, none is lost."""
    own = {"900101-1234567": "a", "900101-1234568": "b", "id": "c"}
    (found,) = rows(record("a.jpg", receipt(), columns=json.dumps(own).encode()), own=own, policy="standard")
    columns = columns_of_run(Receipt, own, policy="standard")[-3:]
    assert list(found.row)[-3:] == [column.name for column in columns]
    assert [found.row[column.name] for column in columns] == ["a", "b", "c"]
    assert [column.name for column in columns] == ["900101-*******", "manifest_900101-*******", "id"]
    assert [column.label_ko for column in columns] == ["900101-*******", "900101-*******", "id"]


def test_masked_rows_hide_numbers() -> None:
    """Masked rows have the same columns; numbers are hidden, and the fields to look at are those of the original."""
    card = {"ic": {"personalNum": [read("901301-1234567")], "name": [read("Hong")]}}
    plain, masked = (rows(record("a.jpg", card, IdCard), policy=policy)[0] for policy in (None, "standard"))
    assert masked.row["personal_num"] == "901301-*******"
    assert masked.row["review_fields"] == plain.row["review_fields"] == "result.ic.personalNum[0]"
    assert list(masked.row) == list(plain.row)


def test_masked_rows_hide_numbers_in_names() -> None:
    """The name of a file, and an own column, may repeat a number: it is hidden there as well."""
    card = {"ic": {"personalNum": [read("900101-1234567")]}}
    own = {"note": "see 9001011234567"}
    (found,) = rows(
        record("900101-1234567.jpg", card, IdCard, columns=json.dumps(own).encode()), own=own, policy="standard"
    )
    assert (found.row["source"], found.row["note"]) == ("900101-*******.jpg", "see 900101*******")
    (skipped,) = rows(record("900101-1234567.jpg", status="pending"), policy="all")
    assert skipped.row["source"] == "******-*******.jpg"


def test_a_record_that_cannot_be_masked_shows_no_value() -> None:
    """If masking is not certain, the row has the reason and no value of the document."""
    card = {"ic": {"personalNum": [read("900101-1234567")], "address": [read("900101-12"), read("34567")]}}
    (found,) = rows(record("a.jpg", card, IdCard), policy="standard")
    assert found.row["error"].startswith("RedactionError: ")
    assert found.row["personal_num"] is None
    assert found.row["address"] is None
    assert found.row["status"] == "succeeded"


SIGNATURES = st.integers(-3, 60) | st.integers(-(2**63), 2**63 - 1)  # of the same slots, and of any


@given(st.lists(st.tuples(st.lists(SIGNATURES, max_size=2), st.text(max_size=5)), max_size=60))
def test_the_first_name_of_a_signature_is_found(seen: list[tuple[list[int], str]]) -> None:
    """For the signatures of a receipt the first name with one of them is returned, whatever came between."""
    first: dict[int, tuple[int, str]] = {}
    with PossibleCopies(len(seen)) as copies:
        for number, (signatures, name) in enumerate(seen):
            known = [first[signature] for signature in signatures if signature in first]
            for signature in signatures:
                first.setdefault(signature, (number, name))
            expected = min(known)[1] if known else name if len(set(signatures)) < len(signatures) else None
            assert copies.earlier(signatures, name) == expected


def test_many_signatures_are_found() -> None:
    """A full table still finds the first name of each signature."""
    with PossibleCopies(10_000) as copies:
        signatures = [hash(str(number)) for number in range(20_000)]
        for number in range(10_000):
            assert copies.earlier(signatures[2 * number : 2 * number + 2], f"{number}.jpg") is None
        assert [copies.earlier([signatures[number]], "x") for number in (0, 19_999)] == ["0.jpg", "9999.jpg"]


def read_receipt(**values: Any) -> dict[str, Any]:
    """Return the values of a receipt that its signatures are made of."""
    row = {"store_biz_num": "220-81-62517", "payment_date": dt.date(2026, 11, 29), "payment_time": dt.time(10, 20)}
    return row | {"total_price": Decimal(5000), "confirm_num": "123", "card_number": "1234-****-****-5678"} | values


@pytest.mark.parametrize(
    "second",
    [
        {"store_biz_num": "2208162517"},
        {"total_price": Decimal("5000.00")},
        {"total_price": Decimal("5E+3")},
        {"confirm_num": None},
        {"confirm_num": "B23"},
        {"card_number": None},
        {"confirm_num": "1 2 3", "card_number": "1234********5678"},
    ],
)
def test_photographs_of_one_receipt_share_a_signature(second: dict[str, Any]) -> None:
    """The approval number or the card proves it; separators, and how a number is written, do not count."""
    assert set(signatures_of(read_receipt())) & set(signatures_of(read_receipt(**second)))


@pytest.mark.parametrize(
    "second",
    [
        {"payment_time": dt.time(10, 21)},
        {"total_price": Decimal("50.00")},
        {"total_price": Decimal(-5000)},
        {"confirm_num": "124", "card_number": "1234-****-****-5679"},
        {"confirm_num": None, "card_number": None},
        {"confirm_num": None, "card_number": "****-****-****-****"},
        {"confirm_num": "1234********5678", "card_number": "123"},
    ],
)
def test_other_receipts_share_no_signature(second: dict[str, Any]) -> None:
    """Another time, total, or approval number and card is another receipt; stars alone prove nothing."""
    assert not set(signatures_of(read_receipt())) & set(signatures_of(read_receipt(**second)))


@pytest.mark.parametrize("missing", ["store_biz_num", "payment_date", "payment_time", "total_price"])
def test_too_little_to_tell(missing: str) -> None:
    """Without the number of the store, the date, the time or the total nothing is compared."""
    assert signatures_of(read_receipt(**{missing: None})) == []


def test_a_receipt_without_a_name_is_named_by_its_key() -> None:
    """Of two photographs the first one may have been given as bytes: then its key is the name."""
    first, second = record("a.jpg", receipt()), record("b.jpg", receipt())
    nameless = SourceRecord(None, first.document, first.status, first.entry)
    found = rows(nameless, second)
    assert found[1].row["possible_copy_of"] == found[0].row["key"]
