"""The helpers that turn the vendor's texts into Python values."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.documents import (
    BaseObject,
    DateObject,
    Field,
    FloatObject,
    FormattedDate,
    FormattedTime,
    IdCard,
    MrzString,
    StringObject,
    TelObject,
    TimeObject,
    VendorObject,
    date_from_text,
)
from clova_ocr_async.documents.dates import date_from_parts, time_from_parts, time_from_text
from clova_ocr_async.documents.numbers import decimal_from_number, decimal_from_text
from clova_ocr_async.documents.parsing import flag_or_none, number_or_none, text_or_none, whole_number_or_none


def decoded(cls: type[VendorObject], wire: dict[str, Any]) -> Any:
    """Decode an object given as plain values."""
    return msgspec.json.decode(json.dumps(wire), type=cls)


@pytest.mark.parametrize("cls", [StringObject, TelObject, FloatObject])
@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ({"text": "t", "formatted": {"value": "f"}}, "f"),
        ({"text": "t", "formatted": {"Value": "f"}}, "f"),
        ({"text": "t", "formatted": {"value": ""}}, "t"),
        ({"text": "t", "formatted": {"value": "-"}}, "t"),
        ({"text": "t", "formatted": {"value": "N/A"}}, "t"),
        ({"text": "t", "formatted": {"value": " - "}}, "t"),
        ({"text": "t", "formatted": {}}, "t"),
        ({"text": "t"}, "t"),
        ({"": "t"}, "t"),
        ({"formatted": {"value": "f"}}, "f"),
        ({"text": "", "formatted": {"value": ""}}, None),
        ({"text": "-"}, None),
        ({"text": "N/A"}, None),
        ({"text": "--"}, "--"),
        ({"text": "0"}, "0"),
        ({}, None),
    ],
)
def test_a_value_is_the_formatted_one_else_the_text(cls: type[VendorObject], wire: dict[str, Any], value: str) -> None:
    """The formatted value goes first, then the text; "", "-" and "N/A" count as nothing."""
    assert decoded(cls, wire).value == value


@pytest.mark.parametrize("cls", [Field, BaseObject])
@pytest.mark.parametrize(("text", "value"), [("t", "t"), ("", None), ("-", None), ("N/A", None), (" ", None)])
def test_a_value_without_a_formatted_one_is_the_text(cls: type[VendorObject], text: str, value: str | None) -> None:
    """Cells that have no formatted value give their text."""
    assert decoded(cls, {"text": text}).value == value
    assert decoded(cls, {}).value is None


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ({"refinedText": "F", "rawText": "f"}, "F"),
        ({"refinedText": "-", "rawText": "f"}, "f"),
        ({"refinedText": "", "rawText": ""}, None),
        ({"rawText": "f"}, "f"),
        ({}, None),
    ],
)
def test_a_value_of_a_machine_readable_zone(wire: dict[str, Any], value: str | None) -> None:
    """The refined text goes before the raw one; "-" is not a value."""
    assert decoded(MrzString, wire).value == value


DATES: list[tuple[str | None, str | None, str | None, dt.date | None]] = [
    ("2024", "11", "05", dt.date(2024, 11, 5)),
    ("2024", "3", "5", dt.date(2024, 3, 5)),
    (" 2024", "3 ", " 5", dt.date(2024, 3, 5)),
    ("24", "03", "05", dt.date(2024, 3, 5)),
    ("68", "01", "01", dt.date(2068, 1, 1)),
    ("69", "01", "01", dt.date(1969, 1, 1)),
    ("99", "12", "31", dt.date(1999, 12, 31)),
    ("2024", "02", "29", dt.date(2024, 2, 29)),
    ("2023", "02", "29", None),
    ("2024", "02", "30", None),
    ("2024", "11", "00", None),
    ("2024", "00", "05", None),
    ("2024", "13", "05", None),
    ("0000", "01", "01", None),
    ("2024", "", "05", None),
    ("", "03", "05", None),
    ("2024", "03", "", None),
    ("202", "03", "05", None),
    ("20245", "03", "05", None),
    ("-1", "03", "05", None),
    ("+5", "03", "05", None),
    ("2_4", "03", "05", None),
    ("2024", "-3", "05", None),
    ("2024", "03", "+5", None),
    ("2O24", "03", "05", None),
    ("9" * 5000, "03", "05", None),
    ("2024", "9" * 5000, "05", None),
    (None, "03", "05", None),
    ("2024", None, "05", None),
    ("2024", "03", None, None),
]


@pytest.mark.parametrize(("year", "month", "day", "expected"), DATES)
def test_a_date_of_parts(year: str | None, month: str | None, day: str | None, expected: dt.date | None) -> None:
    """Parts that name a day give it; a missing, "00", cut or impossible part gives None, never an error."""
    assert DateObject(formatted=FormattedDate(year=year, month=month, day=day)).date == expected


def test_the_value_of_a_date() -> None:
    """A readable date is written as ISO 8601, any other is the text as it was read."""
    good = {"text": "24.3.5", "formatted": {"year": "2024", "month": "03", "day": "05"}}
    assert decoded(DateObject, good).value == "2024-03-05"
    assert decoded(DateObject, {**good, "formatted": {"year": "2024", "month": "03", "day": "00"}}).value == "24.3.5"
    assert decoded(DateObject, {"text": "-"}).value is None
    assert decoded(DateObject, {}).date is None


TIMES: list[tuple[str | None, str | None, str | None, dt.time | None]] = [
    ("12", "34", "56", dt.time(12, 34, 56)),
    ("1", "2", "3", dt.time(1, 2, 3)),
    ("00", "00", "00", dt.time(0, 0)),
    ("12", "34", "", dt.time(12, 34)),
    ("12", "34", None, dt.time(12, 34)),
    ("12", "34", "-", dt.time(12, 34)),
    ("24", "00", "00", None),
    ("12", "60", "00", None),
    ("12", "30", "61", None),
    ("12", "30", "5x", None),
    ("", "30", "00", None),
    ("12", "", "00", None),
    (None, "30", "00", None),
    ("12", None, "00", None),
    ("-1", "30", "00", None),
    ("12", "-0", "00", None),
    ("9" * 5000, "30", "00", None),
]


@pytest.mark.parametrize(("hour", "minute", "second", "expected"), TIMES)
def test_a_time_of_parts(hour: str | None, minute: str | None, second: str | None, expected: dt.time | None) -> None:
    """Hour and minute give a time, a missing second counts as 0; anything impossible gives None, never an error."""
    assert TimeObject(formatted=FormattedTime(hour=hour, minute=minute, second=second)).time == expected


def test_the_value_of_a_time() -> None:
    """A readable time is written as HH:MM:SS, any other is the text as it was read."""
    good = {"text": "12시 34분", "formatted": {"hour": "12", "minute": "34", "second": ""}}
    assert decoded(TimeObject, good).value == "12:34:00"
    assert decoded(TimeObject, {"text": "점심", "formatted": {"hour": "", "minute": "34"}}).value == "점심"
    assert decoded(TimeObject, {}).value is None


NUMBERS: list[tuple[str, str | None]] = [
    ("7,500원", "7500"),
    ("16.960", "16960"),
    ("16,960", "16960"),
    ("1.234.567", "1234567"),
    ("₩ 1,234.50", "1234.50"),
    ("1,234,567.89", "1234567.89"),
    ("1.234,50", "1234.50"),
    ("1.234,567", "1234.567"),
    ("1,23", "1.23"),
    ("12.5kg", "12.5"),
    ("0.500", "0.500"),
    ("0,250", "0.250"),
    ("-1,000", "-1000"),
    ("−1,000", "-1000"),  # noqa: RUF001 - the minus sign that receipts print
    ("1,000.", "1000"),
    ("- 1,000", "-1000"),
    ("-₩1,000", "-1000"),
    ("△1,000원", "-1000"),
    ("(1,000)", "-1000"),
    ("(₩ 1,000 )", "-1000"),
    ("(3개", None),
    ("No-5", None),
    ("7,5OO", None),
    ("l,500", None),
    ("1.2,3.4", None),
    ("1_000", None),
    ("1, 234", "1234"),
    ("3개", "3"),
    ("00", "0"),
    ("0", "0"),
    ("·", None),
    (",", None),
    ("", None),
    ("원", None),
    ("2 x 500", None),
    ("2024-01-02", None),
    ("1 000", None),
    ("1.2.3", None),
    ("12,34,567", None),
    ("9" * 40, "9" * 40),
    ("9" * 41, None),
    ("9" * 100_000, None),
]


@pytest.mark.parametrize(("text", "expected"), NUMBERS, ids=lambda part: str(part)[:20])
def test_the_number_in_a_text(text: str, expected: str | None) -> None:
    """A text that consists of one number gives it; none, several or an absurdly long one give None."""
    assert FloatObject(wire_text=text).decimal == (None if expected is None else Decimal(expected))


@pytest.mark.parametrize(
    ("formatted", "text", "expected"),
    [
        ("16960", "16.960", "16960"),
        ("-1000", "- 1,000", "-1000"),
        ("12.50", "12,50", "12.50"),
        ("0.5", None, "0.5"),
        ("", "7,500원", "7500"),
        ("-", "7,500원", "7500"),
        ("N/A", "7,500원", "7500"),
        ("NaN", "7,500원", "7500"),
        ("Infinity", "3", "3"),
        ("1e999999", "3", "3"),
        ("abc", "3", "3"),
        ("abc", None, None),
        (None, None, None),
    ],
)
def test_the_formatted_number_goes_first(formatted: str | None, text: str | None, expected: str | None) -> None:
    """The number is the service's normal form, or that of the text if the normal form is not a number."""
    wire = {"text": text, "formatted": {"value": formatted}}
    present = {"formatted": wire["formatted"]} if text is None else wire
    cell = decoded(FloatObject, present) if formatted is not None else FloatObject(wire_text=text)
    assert cell.decimal == (None if expected is None else Decimal(expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025년 12월 27일", dt.date(2025, 12, 27)),
        ("2024 년 06 월 24 일", dt.date(2024, 6, 24)),
        ("2025. 1. 2", dt.date(2025, 1, 2)),
        ("2025.1.2.", dt.date(2025, 1, 2)),
        ("2025-01-02 발급", dt.date(2025, 1, 2)),
        ("2025/01/02", dt.date(2025, 1, 2)),
        ("2025-02-30", None),
        ("2025-00-01", None),
        ("25-01-02", None),
        ("12/27/2025", None),
        ("20251227", None),
        ("120250-1-02", None),
        ("2025-01-021", None),
        ("December 3, 1951", None),
        ("", None),
        (None, None),
    ],
)
def test_a_date_in_free_text(text: str | None, expected: dt.date | None) -> None:
    """A text that names the year first gives its date; orders that could mean two dates are not guessed."""
    assert date_from_text(text) == expected


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        ({}, None),
        ({"ic": {"name": []}}, "ic"),
        ({"dl": {"type": [{"text": "1"}]}}, "dl"),
        ({"pp": {"type": [{"text": "PM"}]}}, "pp"),
        ({"ac": {"sex": [{"text": "M"}]}}, "ac"),
        ({"ic": {}, "dl": {"type": [{"text": "1"}]}}, "dl"),
        ({"ic": {}, "dl": {}}, "ic"),
        ({"ic": {"name": [{"text": "n"}]}, "ac": {"sex": [{"text": "M"}]}}, "ic"),
        ({"idtype": "Passport"}, None),
    ],
)
def test_the_kind_of_an_id_card(result: dict[str, Any], kind: str | None) -> None:
    """The kind is the card that is there, one with something on it before an empty one, whatever idtype says."""
    assert decoded(IdCard, {"result": result}).result.kind == kind


@pytest.mark.parametrize("said", ["true", "True", " TRUE ", "y", "Y", "1"])
def test_a_yes_in_words(said: str) -> None:
    """A yes is read in all spellings seen in answers, in any case."""
    assert flag_or_none(said) is True


@pytest.mark.parametrize("said", ["false", "False", " FALSE ", "n", "N", "0"])
def test_a_no_in_words(said: str) -> None:
    """A no is read in all spellings seen in answers, in any case."""
    assert flag_or_none(said) is False


@given(st.text() | st.from_regex(r"[-₩ ]{0,3}[\d.,]{0,45}[원 ]{0,3}"))
def test_no_text_breaks_a_helper(text: str) -> None:
    """Every helper takes any text: it gives a value of its type or None."""
    number = decimal_from_text(text)
    assert number is None or number.is_finite()
    formal = decimal_from_number(text)
    assert formal is None or formal.is_finite()
    assert isinstance(date_from_text(text), dt.date | None)
    assert isinstance(date_from_parts(text, text, text), dt.date | None)
    assert isinstance(time_from_parts(text, text, text), dt.time | None)
    assert isinstance(time_from_text(text), dt.time | None)
    assert isinstance(number_or_none(text), float | None)
    assert flag_or_none(text) in {True, False, None}
    assert text_or_none(text) in {text, None}


@pytest.mark.parametrize("blank", [" ", "\t", "\x1c", "\x1f", "\x85", "\u3000"])
def test_a_blank_beside_a_part_does_no_harm(blank: str) -> None:
    """A part of a date or time between blanks of any kind is read: int() raises for some that patterns take for one."""
    year, month, day = (f"{blank}{part}{blank}" for part in ("2024", "3", "07"))
    assert date_from_parts(year, month, day) == dt.date(2024, 3, 7)
    assert date_from_parts(f"{blank}24", month, day) == dt.date(2024, 3, 7)
    assert time_from_parts(f"{blank}18", f"5{blank}", f"{blank}9{blank}") == dt.time(18, 5, 9)


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | st.lists(st.integers()))
def test_no_value_breaks_a_helper(value: object) -> None:
    """A number or flag is read from every form that the vendor may send, and from nothing else."""
    number = number_or_none(value)
    assert isinstance(whole_number_or_none(value), int | None)
    if number is not None:
        assert isinstance(value, int | float)
        assert not isinstance(value, bool)
        assert number == float(value)
    flag = flag_or_none(value)
    assert flag is (value if isinstance(value, bool) else None if number is None else number != 0)


@given(st.dates())
def test_a_written_date_is_read(date: dt.date) -> None:
    """Any date in four, two and two digits is read back, from parts and from free text."""
    year, month, day = f"{date.year:04}", f"{date.month:02}", f"{date.day:02}"
    assert date_from_parts(year, month, day) == date
    assert date_from_text(f"{year}년 {month}월 {day}일") == date


@given(st.integers(1000, 10**12), st.sampled_from(",."))
def test_a_number_with_thousands_is_read(number: int, separator: str) -> None:
    """Any whole number written with thousands separators, of either kind, is read back."""
    assert decimal_from_text(f"{number:,}".replace(",", separator) + "원") == number
    assert decimal_from_text(f"-{number:,}") == -number
    assert decimal_from_text(f"{number:,}.25") == Decimal(number) + Decimal("0.25")
