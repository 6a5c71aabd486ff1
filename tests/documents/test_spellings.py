"""Fields that the vendor spells in several ways: read by one name, and written back unchanged."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from support.answers import answer_of, decode, read

from clova_ocr_async.documents import (
    BaseObject,
    Checksum,
    ConvertedImageInfo,
    Field,
    FloatObject,
    FormattedValue,
    IdCard,
    IdCardResult,
    KeyCell,
    MrzBool,
    MrzInt,
    MrzString,
    Passport,
    PoiObject,
    Receipt,
    ReceiptResult,
    SubTotal,
    TotalPrice,
    ValueCell,
    VendorObject,
)


def same(cls: type[VendorObject], wire: dict[str, Any]) -> Any:
    """Decode an object; assert that it encodes to what it came as."""
    decoded = msgspec.json.decode(json.dumps(wire), type=cls)
    assert json.loads(msgspec.json.encode(decoded)) == wire
    return decoded


@pytest.mark.parametrize(
    ("cls", "wire", "attribute", "expected"),
    [
        (IdCardResult, {"idtype": "ID Card"}, "id_type", "ID Card"),
        (IdCardResult, {"IDType": "ID"}, "id_type", "ID"),
        (IdCardResult, {"idtype": "", "IDType": "ID"}, "id_type", ""),
        (FormattedValue, {"value": "a"}, "value", "a"),
        (FormattedValue, {"Value": "A"}, "value", "A"),
        (FormattedValue, {"value": "a", "Value": "A"}, "value", "a"),
        (FormattedValue, {"value": 7500}, "value", "7500"),
        (FormattedValue, {"Value": 7.5}, "value", "7.5"),
        (BaseObject, {"text": "t"}, "text", "t"),
        (BaseObject, {"": "t"}, "text", "t"),
        (BaseObject, {"text": "", "": "t"}, "text", ""),
        (BaseObject, {"confidenceScore": 0.5}, "confidence_score", 0.5),
        (BaseObject, {"confidenceScore": "0.5"}, "confidence_score", 0.5),
        (BaseObject, {"confidenceScore": ""}, "confidence_score", None),
        (BaseObject, {"confidenceScore": "nan"}, "confidence_score", None),
        (BaseObject, {"confidenceScore": "high"}, "confidence_score", None),
        (Field, {"confidence": 0.25}, "confidence", 0.25),
        (Field, {"confidence": "0.25"}, "confidence", 0.25),
        (PoiObject, {"confidence": "12.5"}, "confidence", 12.5),
        (PoiObject, {"confidence": 12.5}, "confidence", 12.5),
        (PoiObject, {"confidence": "inf"}, "confidence", None),
        (MrzString, {"refinedText": "KOR"}, "refined_text", "KOR"),
        (MrzString, {"refinedText ": "KOR"}, "refined_text", "KOR"),
        (MrzString, {"refinedText": 7}, "refined_text", "7"),
        (MrzString, {"refinedText": 7.5}, "refined_text", "7.5"),
        (MrzInt, {"refinedText": 36}, "refined_text", 36),
        (MrzInt, {"refinedText ": 36}, "refined_text", 36),
        (MrzInt, {"refinedText": "36"}, "refined_text", 36),
        (MrzInt, {"refinedText": 36.0}, "refined_text", 36),
        (MrzInt, {"refinedText": "-"}, "refined_text", None),
        (MrzInt, {"refinedText": True}, "refined_text", None),
        (MrzInt, {"refinedText": "9" * 400}, "refined_text", None),
        (MrzBool, {"refinedText": False}, "refined_text", False),
        (MrzBool, {"refinedText ": True}, "refined_text", True),
        (MrzBool, {"refinedText": "false"}, "refined_text", False),
        (MrzBool, {"refinedText": " True "}, "refined_text", True),
        (MrzBool, {"refinedText": "Y"}, "refined_text", True),
        (MrzBool, {"refinedText": "maybe"}, "refined_text", None),
        (MrzBool, {"refinedText": 0}, "refined_text", False),
        (MrzBool, {"refinedText": 1.0}, "refined_text", True),
        (MrzBool, {}, "refined_text", None),
        (MrzString, {"postprocessed": [1, 2]}, "postprocessed", (1, 2)),
        (MrzString, {"postprocessed": []}, "postprocessed", ()),
        (MrzString, {"postprocessed": 3}, "postprocessed", (3,)),
        (MrzString, {}, "postprocessed", ()),
        (Checksum, {"foundValueSum": 1.5}, "found_value_sum", 1.5),
        (Checksum, {"foundValuesSum": 1.5}, "found_value_sum", 1.5),
        (Checksum, {"foundValueSum": "1.5"}, "found_value_sum", 1.5),
        (Checksum, {"foundTotalSum": "2"}, "found_total_sum", 2.0),
        (Checksum, {"difference": "-0.5"}, "difference", -0.5),
        (Checksum, {"found": True}, "found", True),
        (Checksum, {"found": "false"}, "found", False),
        (Checksum, {"found": 1}, "found", True),
        (Checksum, {"found": {"row": 1}}, "found", True),
        (Checksum, {"found": {}}, "found", False),
        (Checksum, {}, "found", None),
        (KeyCell, {"depth": 2}, "depth", 2),
        (ValueCell, {"confidence": "0.5"}, "confidence", 0.5),
        (ConvertedImageInfo, {"longImage": True}, "long_image", True),
    ],
)
def test_each_spelling_is_read_and_kept(
    cls: type[VendorObject], wire: dict[str, Any], attribute: str, expected: object
) -> None:
    """Each known spelling of a field gives the same attribute, and encodes as it came."""
    value = getattr(same(cls, wire), attribute)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize("line", ["1", "2"])
@pytest.mark.parametrize("spelling", ["mrz", "MRZ"])
def test_both_spellings_of_the_machine_readable_zone(spelling: str, line: str) -> None:
    """The table's MRZ1 and MRZ2 and the answers' mrz1 and mrz2 are one attribute each."""
    wire = {"result": {"pp": {f"{spelling}{line}": [{"text": "P<KOR"}]}}}
    passport = read(IdCard, wire).result.pp
    lines = {"1": passport.mrz1, "2": passport.mrz2}
    assert [cell.text for cell in lines.pop(line)] == ["P<KOR"]
    assert lines.popitem()[1] == ()
    same(IdCard, wire)


def test_the_passport_key_with_a_blank() -> None:
    """The model's key with a blank before it is read too; without either the result is absent."""
    wire = {" passportResult": {"gender": {"rawText": "F"}}}
    assert read(Passport, wire).passport_result.gender.value == "F"
    assert read(Passport, {"passportResult": {"gender": {"rawText": "M"}}}).passport_result.gender.value == "M"
    assert not read(Passport, {}).passport_result
    same(Passport, wire)


CELL, OTHER = {"text": "1,000", "formatted": {"value": "1000"}}, {"text": "2"}


@pytest.mark.parametrize(
    ("wire", "texts"),
    [
        ({"subTotal": [CELL, OTHER]}, ["1,000", "2"]),
        ({"subTotal": CELL}, ["1,000"]),
        ({"subtotal": CELL}, ["1,000"]),
        ({"subtotal": [CELL, OTHER]}, ["1,000", "2"]),
        ({"subTotal": [CELL], "subtotal": OTHER}, ["1,000", "2"]),
        ({"subTotal": []}, []),
        ({}, []),
    ],
)
def test_each_shape_of_the_sub_total(wire: dict[str, Any], texts: list[str]) -> None:
    """The sub total is a tuple, whether it came as an object or an array, in either spelling."""
    assert [cell.text for cell in same(ReceiptResult, wire).sub_total] == texts
    assert [cell.text for cell in read(Receipt, {"result": wire}).result.sub_total] == texts


@pytest.mark.parametrize(
    ("attribute", "spellings"),
    [
        ("tax_price", ["taxPrice", "taxprice"]),
        ("discount_price", ["discountPrice", "discountprice"]),
        ("sub_total_price", ["subTotalPrice"]),
    ],
)
def test_each_shape_of_the_amounts_in_a_sub_total(attribute: str, spellings: list[str]) -> None:
    """Each amount is a tuple of cells, whether it came as an object or an array, in either spelling."""
    for spelling in spellings:
        one = getattr(same(SubTotal, {spelling: CELL}), attribute)
        assert [cell.decimal for cell in one] == [1000]
        assert all(isinstance(cell, FloatObject) for cell in one)
        assert [cell.text for cell in getattr(same(SubTotal, {spelling: [CELL, OTHER]}), attribute)] == ["1,000", "2"]
    assert getattr(SubTotal(), attribute) == ()
    both = same(SubTotal, {spelling: {"text": spelling} for spelling in spellings})
    assert [cell.text for cell in getattr(both, attribute)] == spellings


@pytest.mark.parametrize(("wire", "texts"), [(CELL, ["1,000"]), ([CELL, OTHER], ["1,000", "2"]), ([], [])])
def test_each_shape_of_the_amount_paid_by_card(wire: object, texts: list[str]) -> None:
    """The amount paid by card is a tuple, whether it came as an object or an array."""
    assert [cell.text for cell in same(TotalPrice, {"creditCardPrice": wire}).credit_card_price] == texts
    assert TotalPrice().credit_card_price == ()


def test_a_sub_total_is_read_leniently_in_each_shape() -> None:
    """The lenient walk distinguishes object and array as the typed decoder does."""
    totals = {"subTotal": [CELL], "subtotal": {**CELL, "taxprice": [OTHER], "discountPrice": OTHER}}
    recognition = decode(answer_of(Receipt, {"result": {"totalPrice": 5, **totals}}), Receipt)
    assert [problem.path for problem in recognition.problems] == ["images[0].receipt.result.totalPrice"]
    assert json.loads(msgspec.json.encode(recognition.document)) == {"result": totals}
