"""The values of an answer one by one, the first of an array, and recognitions from plain values."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import msgspec
import pytest
from rich.pretty import pretty_repr
from support.answers import DOCUMENT_TABLES, OBJECTS, Maker, answer_of, decode, full_document

from clova_ocr_async.documents import (
    BaseObject,
    DateObject,
    Document,
    FloatObject,
    IdCard,
    Passport,
    Receipt,
    ReceiptItem,
    Recognition,
    StoreInfo,
    StringObject,
    VendorObject,
    first,
)
from clova_ocr_async.documents.base import absent
from clova_ocr_async.documents.fields import tree_lines


def text_at(text: str, left: float, top: float, width: float = 10.0, confidence: float = 0.9) -> dict[str, Any]:
    """Return a wire object of a text that stands at a place, ten pixels high."""
    corners = [(left, top), (left + width, top), (left + width, top + 10.0), (left, top + 10.0)]
    polygon = {"vertices": [{"x": x, "y": y} for x, y in corners]}
    return {"text": text, "confidenceScore": confidence, "boundingPolys": [polygon]}


def receipt(result: dict[str, Any]) -> Recognition[Receipt]:
    """Return the recognition of a receipt."""
    return decode(answer_of(Receipt, {"result": result}), Receipt)


def test_fields_come_in_reading_order() -> None:
    """Values come line by line, each from left to right, whatever their order in the answer."""
    read = receipt(
        {
            "totalPrice": {"price": text_at("9,900", 50, 103)},
            "storeInfo": {"name": text_at("Cafe", 60, 10), "bizNum": text_at("123", 5, 12)},
            "subResults": [{"items": [{"name": text_at("tea", 5, 100), "count": text_at("3", 30, 98)}]}],
        }
    )
    assert [(field.path, field.value) for field in read.fields()] == [
        ("result.storeInfo.bizNum", "123"),
        ("result.storeInfo.name", "Cafe"),
        ("result.subResults[0].items[0].name", "tea"),
        ("result.subResults[0].items[0].count", "3"),
        ("result.totalPrice.price", "9,900"),
    ]


def test_a_field_is_a_plain_tuple() -> None:
    """A field unpacks into its path, value, text, confidence and polygons."""
    (field,) = receipt({"storeInfo": {"name": text_at("Cafe", 0, 0) | {"formatted": {"value": "CAFE"}}}}).fields()
    path, value, text, confidence, polygons = field
    assert (path, value, text, confidence) == ("result.storeInfo.name", "CAFE", "Cafe", 0.9)
    assert [corner.x for corner in polygons[0].vertices] == [0, 10, 10, 0]
    assert repr(field) == "ReadField(path='result.storeInfo.name', value=<4 characters>)"


def test_fields_without_a_place_come_last() -> None:
    """Values without polygons come after the others, in the order of the answer."""
    placeless: dict[str, Any] = {"text": "x"}
    read = receipt(
        {"storeInfo": {"name": placeless, "subName": {"text": "y", "boundingPolys": [{"vertices": [{"x": 1}]}]}}}
        | {"totalPrice": {"price": text_at("5", 0, 0)}}
    )
    assert [field.value for field in read.fields()] == ["5", "x", "y"]


def test_a_passport_has_fields_without_confidence() -> None:
    """The values of a passport have neither confidence nor polygons, and keep their types."""
    wire = {"passportResult": {"age": {"rawText": "36", "refinedText": 36}, "gender": {"rawText": "M"}}}
    fields = decode(answer_of(Passport, wire), Passport).fields()
    assert [tuple(field) for field in fields] == [
        ("passportResult.gender", "M", "M", None, ()),
        ("passportResult.age", 36, "36", None, ()),
    ] or [tuple(field) for field in fields] == [
        ("passportResult.age", 36, "36", None, ()),
        ("passportResult.gender", "M", "M", None, ()),
    ]


@pytest.mark.parametrize("cls", DOCUMENT_TABLES, ids=lambda cls: cls.path_word)
def test_every_text_of_an_answer_is_a_field(cls: type[Document]) -> None:
    """Each object of one value in a full answer is among the fields, under the vendor's path."""
    wire = full_document(cls)
    fields = decode(answer_of(cls, wire), cls).fields()
    assert len({field.path for field in fields}) == len(fields)
    for field in fields:
        value: Any = wire
        for step in field.path.replace("[", ".[").split("."):
            value = value[int(step[1:-1])] if step.startswith("[") else value.get(step, value.get(f" {step}"))
        assert isinstance(value, dict)
        assert field.text in {value.get("text"), value.get("rawText"), value.get("")}


def test_the_first_of_an_array() -> None:
    """The first object of an array is the object itself."""
    names = (StringObject(wire_text="a"), StringObject(wire_text="b"))
    assert first(names) is names[0]
    assert first(names[0]) is names[0]  # type: ignore[arg-type]  # receipts have objects where others have arrays


def test_the_first_of_nothing_never_fails() -> None:
    """A chain over the first of an empty array ends in None or in something empty, and is falsy."""
    nothing = first(absent(IdCard).result.ic.name)
    assert not nothing
    assert (nothing.value, nothing.text, nothing.confidence_score, nothing.formatted.value) == (None,) * 4
    assert nothing.bounding_polys == nothing.masking_polys == ()
    assert list(nothing.formatted) == []  # type: ignore[call-overload]
    item: ReceiptItem = first(())
    assert item.price.unit_price.decimal is None
    dates: tuple[DateObject, ...] = ()
    assert first(dates).date is None
    assert repr(nothing) == "<nothing was read>"
    assert copy.deepcopy(nothing) is pickle.loads(pickle.dumps(nothing)) is nothing  # noqa: S301 - our own bytes


def test_a_misspelled_attribute_of_nothing_fails() -> None:
    """A name that no object of an answer has is an AttributeError, as it is on an object that was read."""
    names: tuple[StringObject, ...] = ()
    with pytest.raises(AttributeError, match="valeu"):
        _ = first(names).valeu  # type: ignore[attr-defined]


def test_show_prints_a_tree(capsys: pytest.CaptureFixture[str]) -> None:
    """The tree has the names that are typed, the values, and the confidences; nothing that is absent."""
    read = receipt(
        {
            "storeInfo": {"name": text_at("Cafe", 0, 0), "poiInfo": [{"title": "Cafe 1"}]},
            "subResults": [{"items": [{"name": text_at("tea", 0, 20), "price": {"price": {"text": "5,000"}}}]}],
            "subTotal": [{"taxPrice": {"text": "10"}}],
        }
    )
    read.show()
    assert capsys.readouterr().out.splitlines() == [
        "Receipt",
        "  result",
        "    store_info",
        "      poi_info[0]",
        "        title: Cafe 1",
        "      name: Cafe  (0.90)",
        "    sub_results[0]",
        "      items[0]",
        "        name: tea  (0.90)",
        "        price",
        "          price: 5,000",
        "    sub_total[0]",
        "      tax_price: 10",
    ]


def test_show_prints_an_empty_document(capsys: pytest.CaptureFixture[str]) -> None:
    """A document in which nothing was read is its name, and a date that cannot be parsed is its text."""
    Recognition(document=Receipt()).show()
    receipt({"paymentInfo": {"date": {"text": "00.00", "formatted": {"day": "00"}}}}).show()
    assert capsys.readouterr().out.splitlines() == [
        "Receipt",
        "Receipt",
        "  result",
        "    payment_info",
        "      date: 00.00",
    ]


@pytest.mark.parametrize("cls", DOCUMENT_TABLES, ids=lambda cls: cls.path_word)
def test_a_recognition_from_its_own_dict(cls: type[Document]) -> None:
    """``from_dict`` reads what ``to_dict`` writes, and finds the document's class itself."""
    read = decode(answer_of(cls, full_document(cls)), cls)
    again = Recognition.from_dict(read.to_dict())
    assert again.document == read.document
    assert again.to_dict() == read.to_dict()
    assert Recognition.from_dict(read.to_dict(), cls).document == read.document


def test_a_recognition_from_a_record() -> None:
    """A record that was read back gives the recognition with its requestId and its counts."""
    read = receipt({"storeInfo": {"name": text_at("Cafe", 0, 0)}})
    record = {"source": "a.jpg", "request_id": "r-1", "attempts": 3, "maybe_billed": 1, "result": read.to_dict()}
    again = Recognition.from_dict(record)
    assert (again.request_id, again.attempts, again.maybe_billed) == ("r-1", 3, 1)
    assert again.document == read.document


def test_a_recognition_from_a_whole_answer() -> None:
    """A whole answer keeps its requestId, timestamp and unknown keys."""
    answer = answer_of(Receipt, {"result": {}, "new": 1}) | {"requestId": "r-2", "timestamp": 5}
    again = Recognition.from_dict(answer, Receipt)
    assert (again.request_id, again.timestamp) == ("r-2", 5)
    assert list(again.unknown_fields()) == ["images[0].receipt.new"]
    assert json.loads(again.raw) == answer


@pytest.mark.parametrize(
    ("value", "document", "error", "message"),
    [
        ("secret", None, TypeError, "the value is a str; it must be a mapping"),
        ({}, None, ValueError, "the value holds no document"),
        ({"images": []}, None, ValueError, "the value holds no document"),
        ({"receipt": {"result": {}, "meta": {"estimatedLanguage": "ko"}}}, IdCard, ValueError, "Receipt, not a IdCard"),
    ],
)
def test_values_without_a_document_are_refused(
    value: Any, document: type[Document] | None, error: type[Exception], message: str
) -> None:
    """Plain values that hold no document, or another one, are refused, and the message shows none of them."""
    with pytest.raises(error, match=message):
        Recognition.from_dict(value, document)


def test_a_leaf_prints_the_length_of_its_text_and_what_to_type() -> None:
    """The repr of a value is its length and the properties that give it; no spelling of the vendor's shows."""
    assert repr(StringObject(wire_text="Cafe")) == "<text, 4 characters; .value>"
    assert repr(FloatObject(wire_text="5,000")) == "<text, 5 characters; .value .decimal>"
    assert repr(FloatObject(wire_text="·")) == "<text, 1 character; .value>"
    assert repr(BaseObject(wire_text="")) == "<text, 0 characters>"
    assert repr(DateObject(key_text="date")) == "<no text>"
    assert pretty_repr(StringObject(wire_text="Cafe")) == "StringObject(<text, 4 characters; .value>)"
    assert pretty_repr(StringObject()) == "StringObject()"


@pytest.mark.parametrize("name", OBJECTS)
def test_no_repr_shows_a_name_of_the_wire(name: str) -> None:
    """A repr has the names that people type: never ``wire_…``."""
    value: VendorObject = msgspec.json.decode(json.dumps(Maker().make(name)), type=OBJECTS[name])
    assert "wire_" not in repr(value)


def test_a_recognition_prints_ids_counts_and_times() -> None:
    """Ids, counts and times are shown as they are; a text that only has the name of an id is not."""
    shown = repr(
        Recognition(document=Receipt(), uid="0a1b-2c", request_id="900101-1234567 Kim", elapsed=1.5, attempts=2)
    )
    assert "uid='0a1b-2c'" in shown
    assert "request_id=<18 characters>" in shown
    assert "elapsed=1.5" in shown
    assert "attempts=2" in shown


def test_an_empty_part_has_no_line() -> None:
    """A part in which nothing was read has no line of its own below the document."""
    assert list(tree_lines("store_info", StoreInfo(), 1)) == []
