"""Checks of recognitions, and the fields that a person should look at."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from support.answers import DOCUMENT_TABLES, answer_of, decode, full_document

from clova_ocr_async.documents import (
    BizLicense,
    CreditCard,
    Document,
    IdCard,
    NameCard,
    Passport,
    Receipt,
    Recognition,
)
from clova_ocr_async.results import check, fields_to_review
from clova_ocr_async.results.review import judge

TODAY = dt.date(2026, 11, 29)


def outcomes(document: type[Document], result: dict[str, Any], key: str = "result") -> dict[str, str]:
    """Return the outcomes of the checks of a document by their names."""
    recognition = decode(answer_of(document, {key: result}), document)
    return {found.name: found.outcome for found in check(recognition, today=TODAY)}


def read(text: str) -> dict[str, Any]:
    """Return a wire object of a text."""
    return {"text": text}


def receipt(prices: list[str], total: str, **more: Any) -> dict[str, Any]:
    """Return the result of a receipt with some lines and a total."""
    items = [{"name": read("x"), "price": {"price": read(price)}} for price in prices]
    return {"subResults": [{"items": items}], "totalPrice": {"price": read(total)}} | more


def taxed(tax: str, discount: str | None = None) -> dict[str, Any]:
    """Return the amounts before the total."""
    amounts: dict[str, Any] = {"taxPrice": [read(tax)]}
    return {"subTotal": [amounts | ({} if discount is None else {"discountPrice": [read(discount)]})]}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (receipt(["4,000", "6,000"], "10,000"), "passed"),
        (receipt(["4,000", "6,000"], "10,001"), "passed"),
        (receipt(["4,000", "6,000"], "11,000"), "failed"),
        (receipt(["10,000"], "11,000", **taxed("1,000")), "passed"),
        (receipt(["10,000"], "9,000", **taxed("0", "-1,000")), "passed"),
        (receipt(["10,000"], "9,000", **taxed("0", "1,000")), "passed"),
        (receipt(["10,000"], "8,000", **taxed("0", "1,000")), "failed"),
        (receipt(["10,000"], "9,000", **taxed("0", "-1,000*")), "unknown"),
        (receipt(["10,000"], "11,000", **taxed("x")), "unknown"),
        (receipt(["10,000"], "10,000", **taxed("x", "x")), "passed"),
        (receipt(["10,000", "-500"], "9,500"), "passed"),
        (receipt(["·", "10,000"], "10,000"), "unknown"),
        (receipt([], "10,000"), "unknown"),
        (receipt(["10,000"], "x"), "unknown"),
        (
            {"subResults": receipt(["500"], "")["subResults"], "totalPrice": {"creditCardPrice": [read("500")]}},
            "passed",
        ),
        ({"subResults": receipt(["500"], "")["subResults"], "totalPrice": {"creditCardPrice": [read("x")]}}, "unknown"),
    ],
)
def test_the_lines_of_a_receipt_add_up(result: dict[str, Any], expected: str) -> None:
    """The lines add up to the total, with tax and discounts or without; what was not read proves nothing."""
    assert outcomes(Receipt, result)["items_total"] == expected


@pytest.mark.parametrize(
    ("tax", "total", "expected"),
    [
        ("1,000", "11,000", "passed"),
        ("500", "11,000", "passed"),
        ("1,100", "11,000", "failed"),
        ("-10", "11,000", "failed"),
        ("x", "11,000", "unknown"),
        ("10", "-110", "unknown"),
    ],
)
def test_the_tax_fits_the_total(tax: str, total: str, expected: str) -> None:
    """The tax is at most a tenth of the price without it."""
    assert outcomes(Receipt, receipt(["1"], total, **taxed(tax)))["tax"] == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [("220-81-62517", "passed"), ("220-81-62518", "failed"), ("220-81-6251", "unknown"), ("22O-81-62517", "unknown")],
)
def test_the_business_number_of_a_receipt(number: str, expected: str) -> None:
    """A business number is checked only if all of its ten digits were read."""
    assert outcomes(Receipt, {"storeInfo": {"bizNum": read(number)}})["business_number"] == expected


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2026-11-30", "passed"),
        ("2026-12-01", "failed"),
        ("1899-12-31", "failed"),
        ("2026-11-00", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_date_of_a_receipt_is_plausible(date: str, expected: str) -> None:
    """A date of payment is in the past, or tomorrow by the clocks of another time zone."""
    assert outcomes(Receipt, {"paymentInfo": {"date": read(date)}})["payment_date"] == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("4242-4242-4242-4242", "passed"),
        ("4242 4242 4242 4243", "failed"),
        ("9410-0000-0000-0000", "unknown"),
        ("4242-42**-****-4242", "unknown"),
    ],
)
def test_the_number_of_a_card(number: str, expected: str) -> None:
    """A full card number is checked by Luhn's formula; stars, and cards for Korea alone, prove nothing."""
    assert outcomes(CreditCard, {"number": read(number)})["card_number"] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("11/26", "passed"), ("10/26", "failed"), ("01/2030", "passed"), ("13/26", "unknown"), ("", "unknown")],
)
def test_the_expiry_of_a_card(text: str, expected: str) -> None:
    """A card is valid to the end of its month."""
    assert outcomes(CreditCard, {"validThru": read(text)})["expiry"] == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("900101-1234568", "passed"),
        ("900101-1234567", "unknown"),
        ("901301-1234568", "failed"),
        ("000229-3234567", "unknown"),
        ("010229-3234567", "failed"),
        ("900101-1******", "unknown"),
    ],
)
def test_a_resident_number(number: str, expected: str) -> None:
    """A check digit that does not fit is unknown, since numbers of 2020 and later have a random one."""
    for kind in ("ic", "dl"):
        assert outcomes(IdCard, {kind: {"personalNum": [read(number)]}})["resident_number"] == expected
    assert outcomes(BizLicense, {"socialNumber": [read(number)]})["social_number"] == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [("900101-5234567", "passed"), ("900101-1234567", "failed"), ("909901-5234567", "failed"), ("9001", "unknown")],
)
def test_an_alien_number(number: str, expected: str) -> None:
    """Of an alien registration number only the form and the date are checked."""
    assert outcomes(IdCard, {"ac": {"alienRegNum": [read(number)]}})["alien_number"] == expected


@pytest.mark.parametrize(
    ("number", "expected"), [("130111-0006246", "passed"), ("130111-0006247", "failed"), ("130111", "unknown")]
)
def test_a_corporate_number(number: str, expected: str) -> None:
    """A corporate number is checked by its digit."""
    assert outcomes(BizLicense, {"corpRegisterNum": [read(number)]})["corporate_number"] == expected


LINES = ("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10")


def korean(**fields: Any) -> dict[str, str]:
    """Return the outcomes of the checks of a Korean passport."""
    wire = {"mrz1": [read(LINES[0])], "mrz2": [read(LINES[1])]} | {name: [value] for name, value in fields.items()}
    return outcomes(IdCard, {"pp": wire})


def test_the_zone_of_a_korean_passport() -> None:
    """The five digits fit, the fields agree with the zone, and the expiry is judged by today."""
    date = {"text": "15 APR 2012", "formatted": {"year": "2012", "month": "04", "day": "15"}}
    found = korean(num=read("L898902C3"), surName=read("Eriksson"), givenName=read("Anna Maria"), expireDate=date)
    assert found == {
        "mrz_number": "passed",
        "mrz_birth": "passed",
        "mrz_expiry": "passed",
        "mrz_optional": "passed",
        "mrz_composite": "passed",
        "mrz_agrees": "passed",
        "issue_date": "unknown",
        "expiry": "failed",
    }


@pytest.mark.parametrize("field", ["num", "surName", "givenName"])
def test_a_field_that_the_zone_contradicts(field: str) -> None:
    """A field with another value than the zone is named, without either value."""
    wire = {"mrz1": [read(LINES[0])], "mrz2": [read(LINES[1])], field: [read("OTHER")]}
    recognition = decode(answer_of(IdCard, {"result": {"pp": wire}}), IdCard)
    (found,) = (found for found in check(recognition, today=TODAY) if found.name == "mrz_agrees")
    assert (found.outcome, found.fields) == (
        "failed",
        ("result.pp.mrz1[0]", "result.pp.mrz2[0]", f"result.pp.{field}[0]"),
    )
    assert "OTHER" not in repr(found)


def test_a_digit_of_the_zone_that_does_not_fit() -> None:
    """A misread character fails its own digit and the composite one."""
    line = LINES[1].replace("L898902C3", "L898902C8")
    found = outcomes(IdCard, {"pp": {"mrz2": [read(line)]}})
    failed = {name for name, outcome in found.items() if outcome == "failed"}
    assert failed == {"mrz_number", "mrz_composite"}


def test_a_passport_without_optional_data() -> None:
    """Without optional data its digit may be a filler or 0, and the composite digit is the same."""
    for filler in "<0":
        line = "L898902C36UTO7408122F1204159" + "<" * 14 + filler
        whole = line + "8"
        found = outcomes(IdCard, {"pp": {"mrz2": [read(whole)]}})
        assert found["mrz_optional"] == "passed"


def test_a_foreign_passport() -> None:
    """The two lines of a foreign passport are checked like those of a Korean one."""
    wire = {
        "mrzLines": {"rawText": "\n".join(LINES)},
        "documentNumber": {"rawText": "L898902C3"},
        "dateOfBirth": {"refinedText": "1974/08/12"},
        "dateOfExpiry": {"refinedText": "2032/04/15"},
    }
    found = outcomes(Passport, wire, "passportResult")
    assert found["mrz_composite"] == "passed"
    assert found["mrz_agrees"] == "failed"  # another year of expiry
    assert found["expiry"] == "passed"
    assert outcomes(Passport, {"mrzLines": {"rawText": "P<"}}, "passportResult")["mrz_number"] == "unknown"
    assert outcomes(Passport, {"mrzLines": {"rawText": "P<"}}, "passportResult")["expiry"] == "unknown"


def test_a_name_that_may_be_cut_off_proves_nothing() -> None:
    """A name that fills its line is not compared, because its end may be missing."""
    full = "P<UTO" + "A" * 39
    found = outcomes(IdCard, {"pp": {"mrz1": [read(full)], "surName": [read("B")]}})
    assert found["mrz_agrees"] == "unknown"


@pytest.mark.parametrize("cls", DOCUMENT_TABLES, ids=lambda cls: cls.path_word)
def test_the_checks_of_a_document_are_always_the_same(cls: type[Document]) -> None:
    """A document has the same checks whether its fields were read or not, and no check shows a value."""
    wire = full_document(cls)
    full = check(decode(answer_of(cls, wire), cls), today=TODAY)
    if cls is not IdCard:  # whose checks are those of its kind
        assert [found.name for found in check(Recognition(document=cls()))] == [found.name for found in full]
    assert check(Recognition(document=IdCard())) == ()
    assert all(found.fields for found in full)
    assert (cls is NameCard) == (not full)


def test_fields_to_review() -> None:
    """A field is listed once with all its reasons: confidence, a text that does not parse, a check, a misfit."""
    result = receipt(["1,000"], "5,000") | {"paymentInfo": {"date": read("00.00"), "time": read("noon")}}
    result["storeInfo"] = {"name": {"text": "Cafe", "confidenceScore": 0.5}, "bizNum": {"text": 5}}
    result["totalPrice"]["price"]["confidenceScore"] = 0.95
    recognition = decode(answer_of(Receipt, {"result": result}), Receipt)
    assert [(field.path, field.reason) for field in fields_to_review(recognition, today=TODAY)] == [
        ("result.storeInfo.name", "confidence 0.50"),
        ("result.paymentInfo.date", "the text is not a date"),
        ("result.paymentInfo.time", "the text is not a time"),
        ("result.subResults", "items_total: the lines do not add up to the total, with tax and discounts or without"),
        (
            "result.totalPrice.price",
            "items_total: the lines do not add up to the total, with tax and discounts or without",
        ),
        ("images[0].receipt.result.storeInfo.bizNum.text", "a number instead of a string"),
    ]
    assert [field.path for field in fields_to_review(recognition, 0.99, today=TODAY)][:2] == [
        "result.storeInfo.name",
        "result.totalPrice.price",
    ]


def test_a_price_that_is_not_a_number_is_reviewed() -> None:
    """A price whose text is not a number is listed, and its value is not shown."""
    recognition = decode(answer_of(Receipt, {"result": {"totalPrice": {"price": read("B67")}}}), Receipt)
    (field,) = fields_to_review(recognition)
    assert (field.path, field.reason) == ("result.totalPrice.price", "the text is not a number")


def test_a_constant_confidence_of_zero_says_nothing() -> None:
    """With 0.0 as every confidence, no field is listed for it, and there is no lowest one."""
    wire = {"repName": [{"text": "x", "confidenceScore": 0.0}], "bisType": [{"text": "y", "confidenceScore": 0.0}]}
    recognition = decode(answer_of(BizLicense, {"result": wire}), BizLicense)
    assert fields_to_review(recognition) == ()
    assert judge(recognition).lowest is None
    wire["bisType"][0]["confidenceScore"] = 0.7
    assert judge(decode(answer_of(BizLicense, {"result": wire}), BizLicense)).lowest == 0.0
