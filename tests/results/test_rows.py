"""Rows of tables: the same columns in the same order for every recognition."""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.answers import DOCUMENT_TABLES, answer_of, decode, full_document

from clova_ocr_async.documents import (
    DOCUMENTS,
    BizLicense,
    CreditCard,
    Document,
    IdCard,
    NameCard,
    Passport,
    Receipt,
    Recognition,
)
from clova_ocr_async.results import columns, to_items, to_row
from clova_ocr_async.results.rows import key_of_item

GOLDEN = Path(__file__).with_name("columns.json")
"""The columns of all tables. A change here needs a new SCHEMA_VERSION, and a line in the changelog."""


def row(document: type[Document], result: dict[str, Any], key: str = "result") -> dict[str, Any]:
    """Return the row of a document."""
    return to_row(decode(answer_of(document, {key: result}), document))


def read(text: str, confidence: float = 0.9) -> dict[str, Any]:
    """Return a wire object of a text."""
    return {"text": text, "confidenceScore": confidence}


def test_the_columns_are_those_of_the_golden_file() -> None:
    """No column changes its name, type, label, path or place unnoticed."""
    tables = {name: columns(cls) for name, cls in DOCUMENTS.items()} | {"items": columns(Receipt, "items")}
    found = {
        name: [[column.name, column.type, column.label_ko, column.path, column.since] for column in table]
        for name, table in tables.items()
    }
    assert found == json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("cls", DOCUMENT_TABLES, ids=lambda cls: cls.path_word)
def test_every_recognition_has_the_same_columns(cls: type[Document]) -> None:
    """A full answer and an empty one have the same columns in the same order, each with a value of its type."""
    types = {"text": str, "integer": int, "decimal": Decimal, "float": float, "boolean": bool}
    types |= {"date": dt.date, "time": dt.time}
    full = to_row(decode(answer_of(cls, full_document(cls)), cls), "a.jpg")
    empty = to_row(Recognition(document=cls()))
    assert list(full) == list(empty) == [column.name for column in columns(cls)]
    for column in columns(cls):
        assert full[column.name] is None or type(full[column.name]) is types[column.type]
    assert {empty[name] for name in ("copy_of", "status", "billed", "error")} == {None}


@pytest.mark.parametrize("cls", DOCUMENT_TABLES, ids=lambda cls: cls.path_word)
def test_every_text_of_an_answer_is_in_its_row(cls: type[Document]) -> None:
    """Nothing that was read is missing: a table has the value or the text of every field, of each kind of ID card."""
    kinds = ("ic", "dl", "pp", "ac") if cls is IdCard else (None,)
    for kind in kinds:
        wire = full_document(cls)
        if kind is not None:
            wire["result"] = {
                name: value for name, value in wire["result"].items() if name not in kinds or name == kind
            }
        recognition = decode(answer_of(cls, wire), cls)
        cells = [str(value) for value in to_row(recognition).values() if value is not None]
        cells += [str(value) for item in to_items(recognition) for value in item.values()]
        left_out = re.compile("movieName|totalPrice.creditCardPrice|sub[Tt]otal|poiInfo")
        for field in recognition.fields():
            if not left_out.search(field.path):
                assert any(str(value) in cell for cell in cells for value in (field.value, field.text)), field.path


def test_a_receipt_as_a_row() -> None:
    """Amounts are decimals, dates and times typed, identifiers text, and every one of them keeps its text."""
    wire = {
        "storeInfo": {
            "name": read("Cafe"),
            "bizNum": read("012-34-56789"),
            "tel": [read("02-1"), read("02-2")],
            "addresses": [read("Seoul", 0.5)],
        },
        "paymentInfo": {
            "date": read("2026.11.29"),
            "time": read("noon"),
            "cardInfo": {"number": read("1234567812345678")},
            "confirmNum": read("00012345"),
        },
        "subResults": [{"items": [{"name": read("tea")}]}, {"items": [{"name": read("cake")}]}],
        "totalPrice": {"price": read("-5,000원")},
        "subTotal": [{"taxPrice": [read("400"), read("55")], "discountPrice": [read("100"), read("B7")]}],
    }
    found = row(Receipt, wire)
    expected = {
        "store_name": "Cafe",
        "store_biz_num": "012-34-56789",
        "store_tel": "02-1 | 02-2",
        "payment_date": dt.date(2026, 11, 29),
        "payment_date_text": "2026.11.29",
        "payment_time": None,
        "payment_time_text": "noon",
        "card_number": "1234567812345678",
        "confirm_num": "00012345",
        "total_price": Decimal(-5000),
        "total_price_text": "-5,000원",
        "tax_price": Decimal(455),
        "tax_price_text": "400 | 55",
        "discount_price": None,
        "discount_price_text": "100 | B7",
        "item_count": 2,
        "min_confidence": 0.5,
        "possible_copy_of": None,
    }
    assert {name: found[name] for name in expected} == expected
    assert "result.storeInfo.addresses[0]" in found["review_fields"].split(" | ")


def test_a_sum_of_amounts_is_exact() -> None:
    """Amounts that a row adds up keep every digit."""
    found = row(Receipt, {"subTotal": [{"taxPrice": [read("1" * 36), read("1")], "discountPrice": [read("0.10")]}]})
    assert (str(found["tax_price"]), str(found["discount_price"])) == ("1" * 35 + "2", "0.10")


def test_lines_are_counted_over_all_groups() -> None:
    """Lines are numbered from 1 over all groups of the answer, with the key of their receipt."""
    item = {"name": read("tea"), "code": read("0012"), "count": read("1.5"), "price": {"price": read("·")}}
    wire = {"subResults": [{"items": [item]}, {"items": [item, item]}]}
    recognition = decode(answer_of(Receipt, {"result": wire}), Receipt)
    items = to_items(recognition)
    assert [found["item_index"] for found in items] == [1, 2, 3]
    assert {found["key"] for found in items} == {to_row(recognition)["key"]}
    assert list(items[0]) == [column.name for column in columns(Receipt, "items")]
    assert (items[0]["code"], items[0]["count"], items[0]["price"], items[0]["price_text"]) == (
        "0012",
        Decimal("1.5"),
        None,
        "·",
    )


def test_the_rest_of_an_array_is_kept() -> None:
    """An array gives its first value, and the others joined."""
    found = row(NameCard, {"name": [read("a"), read("b"), read("c")], "email": [read("x@y")]})
    assert (found["name"], found["name_more"], found["email"], found["email_more"]) == ("a", "b | c", "x@y", None)


def test_the_dates_of_a_business_registration_are_dates() -> None:
    """Free texts that are dates are typed as dates, others are kept as text."""
    found = row(BizLicense, {"openDate": [read("2011년 03월 02일")], "birth": [read("unknown")]})
    assert (found["open_date"], found["open_date_text"]) == (dt.date(2011, 3, 2), "2011년 03월 02일")
    assert (found["birth"], found["birth_text"]) == (None, "unknown")


@pytest.mark.parametrize("kind", ["ic", "dl", "pp", "ac"])
def test_id_cards_share_one_set_of_columns(kind: str) -> None:
    """Each kind of ID card has the same columns, and names its kind."""
    found = row(IdCard, {kind: {"issueDate": [read("2020.1.2")], "authority": [read("Seoul")]}, "isConfident": True})
    assert (found["kind"], found["is_confident"]) == (kind, True)
    assert (found["issue_date"], found["authority"]) == (dt.date(2020, 1, 2), "Seoul")
    assert row(IdCard, {})["kind"] is None


def test_a_passport_as_a_row() -> None:
    """Values of a passport keep their types, and its dates are dates."""
    wire = {
        "age": {"rawText": "36", "refinedText": 36},
        "dateOfExpiry": {"rawText": "300815", "refinedText": "2030/08/15"},
        "isExpired": {"refinedText": False},
    }
    found = row(Passport, wire, "passportResult")
    assert (found["age"], found["age_text"], found["is_expired"]) == (36, "36", False)
    assert (found["date_of_expiry"], found["date_of_expiry_text"]) == (dt.date(2030, 8, 15), "2030/08/15")


def test_names_of_files_are_in_one_form() -> None:
    """The name of a file is in NFC, and bytes that are not UTF-8 are readable."""
    recognition = Recognition(document=CreditCard())
    assert to_row(recognition, Path("영.jpg"))["source"] == "영.jpg"
    assert to_row(recognition, "x\udcff.jpg")["source"] == "x\\xff.jpg"


def test_other_documents_have_no_lines() -> None:
    """Only receipts have lines, and a table that a document does not have is refused."""
    assert to_items(Recognition(document=CreditCard())) == []
    with pytest.raises(ValueError, match="CreditCard has no table of this name"):
        columns(CreditCard, "items")


def test_a_key_is_of_what_is_billed_once() -> None:
    """A key is 32 hex digits, and differs by bytes, document, page and recipe."""
    keys = {
        key_of_item(b"a" * 32, "receipt", None, ""),
        key_of_item(b"b" * 32, "receipt", None, ""),
        key_of_item(b"a" * 32, "id-card", None, ""),
        key_of_item(b"a" * 32, "receipt", 1, ""),
        key_of_item(b"a" * 32, "receipt", None, "1;upright"),
    }
    assert len(keys) == 5
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in keys)
