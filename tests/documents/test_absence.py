"""Absent objects, lists and scalars: safe to access, shared, and not encoded."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import msgspec
import pytest
from support.answers import DOCUMENT_TABLES, answer_of, at, decode, full_document, nodes, read, small_documents

import clova_ocr_async.documents as package
from clova_ocr_async.documents import (
    BizLicense,
    Document,
    IdCard,
    Passport,
    Problem,
    Receipt,
    Recognition,
    StringObject,
    VendorObject,
)
from clova_ocr_async.documents.base import ABSENT, absent

CLASSES: list[type[VendorObject]] = [
    cls
    for name in package.__all__
    if isinstance(cls := getattr(package, name), type) and issubclass(cls, VendorObject) and cls is not VendorObject
]


def attributes(cls: type[VendorObject]) -> list[str]:
    """Return every public attribute of a class: fields and properties."""
    properties = [name for name in dir(cls) if isinstance(getattr(cls, name), property)]
    return [name for name in (*cls.__struct_fields__, *properties) if not name.startswith("_")]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_absent_object_is_shared_falsy_and_safe(cls: type[VendorObject]) -> None:
    """An absent object is one falsy instance, whose every attribute is absent too and never fails."""
    empty = absent(cls)
    assert empty is absent(cls)
    assert not empty
    assert empty == cls()
    assert msgspec.json.encode(empty) == b"{}"
    for name in attributes(cls):
        value = getattr(empty, name)
        assert value is None or value == () or (isinstance(value, VendorObject) and value is absent(type(value)))


def test_a_chain_of_attributes_never_fails() -> None:
    """A chain of attributes ends in None or (), with any parts of the answer missing."""
    receipt = read(Receipt, {})
    assert receipt.result.payment_info.card_info.number.formatted.value is None
    assert receipt.result.payment_info.date.date is None
    assert receipt.result.payment_info.time.time is None
    assert receipt.result.total_price.price.decimal is None
    assert receipt.result.sub_total == receipt.result.total_price.credit_card_price == ()
    assert read(IdCard, {}).result.pp.mrz1 == ()
    assert read(IdCard, {}).result.kind is None
    assert read(IdCard, {}).result.id_type is None
    assert read(Passport, {}).passport_result.age.value is None
    assert read(Passport, {}).passport_result.is_expired.value is None


def test_an_absent_object_is_the_same_wherever_it_is_missing() -> None:
    """The absent parts of two answers are the same object."""
    one, other = read(Receipt, {"result": {}}), read(Receipt, {"meta": {}})
    assert one.result.store_info.name is other.result.payment_info.card_info.number is absent(StringObject)


@pytest.mark.parametrize("cls", DOCUMENT_TABLES, ids=lambda cls: cls.path_word)
def test_null_reads_as_absent(cls: type[Document]) -> None:
    """A null in the place of any object, list or scalar is read like a missing key, and is not a problem."""
    for wire in small_documents(cls):
        for steps, item in list(nodes(wire))[1:]:
            holder = at(wire, steps[:-1])
            if isinstance(holder, dict):
                holder[steps[-1]] = None
                recognition = decode(answer_of(cls, wire), cls)
                del holder[steps[-1]]
                assert recognition.problems == ()
                assert json.loads(msgspec.json.encode(recognition.document)) == wire
                holder[steps[-1]] = item


def test_a_null_in_a_list_is_left_out() -> None:
    """A null among a list's objects is left out, and is not a problem."""
    wire = {"result": {"storeInfo": {"tel": [None, {"text": "02"}, None]}}}
    recognition = decode(answer_of(Receipt, wire), Receipt)
    assert recognition.problems == ()
    assert [cell.text for cell in recognition.document.result.store_info.tel] == ["02"]


def test_an_absent_list_differs_from_an_empty_one_on_the_wire_only() -> None:
    """An absent list equals () and is not written; an empty list equals () and is written."""
    came_empty, missing = read(BizLicense, {"result": {"bisArea": []}}), read(BizLicense, {"result": {}})
    assert came_empty == missing
    assert missing.result.bis_area == came_empty.result.bis_area == () == ABSENT
    assert msgspec.json.encode(came_empty) == b'{"result":{"bisArea":[]}}'
    assert msgspec.json.encode(missing) == b'{"result":{}}'


def test_an_object_of_empty_parts_is_falsy() -> None:
    """An empty object is falsy, and one with any content is true."""
    assert not read(IdCard, {"result": {"ic": {"name": []}}}).result
    assert read(IdCard, {"result": {"isConfident": False}}).result
    assert read(Receipt, {"result": {"storeInfo": {"name": {"text": ""}}}}).result


COPIES: dict[str, Any] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),  # noqa: S301 - our own bytes
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_copy_of_an_absent_object_is_itself(cls: type[VendorObject], how: str) -> None:
    """Copying and pickling keep the identity of an absent object, and of an absent list."""
    assert COPIES[how](absent(cls)) is absent(cls)
    assert COPIES[how](ABSENT) is ABSENT


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("cls", DOCUMENT_TABLES, ids=lambda cls: cls.path_word)
def test_a_copy_of_a_document_encodes_alike(cls: type[Document], how: str) -> None:
    """A copied or pickled recognition is equal, encodes alike, and shares what is absent."""
    wires: list[dict[str, Any]] = [full_document(cls), {"result": {}, "passportResult": {}}, {}]
    for wire in wires:
        recognition = decode(answer_of(cls, wire), cls)
        copied = COPIES[how](recognition)
        assert copied == recognition
        assert copied.raw == recognition.raw
        assert msgspec.json.encode(copied.document) == msgspec.json.encode(recognition.document)
        assert copied.converted_image_info is recognition.converted_image_info


def test_documents_cannot_be_changed() -> None:
    """Documents, cells and recognitions are immutable, and documents are hashable."""
    recognition = decode(answer_of(Receipt, full_document(Receipt)), Receipt)
    for frozen, name in (
        (recognition, "document"),
        (recognition.document, "result"),
        (recognition.document.result.store_info.name, "wire_text"),
        (Problem("a", "b", "c"), "path"),
    ):
        with pytest.raises(AttributeError):
            setattr(frozen, name, None)
    assert hash(recognition.document) == hash(read(Receipt, full_document(Receipt)))


def test_a_recognition_can_be_made_by_hand() -> None:
    """A user's test can make a recognition from a document alone."""
    made = Recognition(document=Receipt())
    assert made.document.result.store_info.name.value is None
    assert (made.attempts, made.elapsed, made.raw, made.problems) == (1, 0.0, b"", ())
    assert not made.validation_result
    assert not made.converted_image_info
