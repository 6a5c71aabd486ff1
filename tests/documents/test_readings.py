"""Numbers, dates and times in texts: each value is right, or it is None."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.documents import (
    DateObject,
    FloatObject,
    FormattedDate,
    FormattedTime,
    FormattedValue,
    MrzInt,
    Receipt,
    TimeObject,
    date_from_text,
)
from clova_ocr_async.documents.dates import time_from_text
from clova_ocr_async.documents.numbers import decimal_from_text
from clova_ocr_async.documents.parsing import number_or_none, whole_number_or_none
from clova_ocr_async.documents.text_normalization import normalize_text
from clova_ocr_async.protocol import HTTPResponse
from clova_ocr_async.protocol.response import decode_response, encode_response

FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})


def wide(text: str) -> str:
    """Write a text in full-width characters."""
    return text.translate(FULL_WIDTH)


MINUS = "-\N{MINUS SIGN}\N{EN DASH}\N{EM DASH}\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{FULLWIDTH HYPHEN-MINUS}△▲"


@pytest.mark.parametrize("sign", MINUS)
@pytest.mark.parametrize(
    ("form", "number"),
    [
        ("{}500", "500"),
        ("{} 500", "500"),
        ("{}₩3,000", "3000"),
        ("₩{}3,000", "3000"),
        ("¥{}500", "500"),
        ("KRW {}1,000", "1000"),
        ("{}KRW 1,000", "1000"),
        ("{}NT$50", "50"),
        ("R$ {}2,00", "2.00"),
        ("€{}9,99", "9.99"),
        ("{}\\1,000", "1000"),
        ("{}1,000원", "1000"),
    ],
)
def test_a_sign_before_a_number_or_its_currency_is_kept(form: str, sign: str, number: str) -> None:
    """Every minus that receipts print, before or behind the currency, makes the number negative."""
    assert decimal_from_text(form.format(sign)) == -Decimal(number)


@pytest.mark.parametrize(
    "text",
    [
        *("50.00-", "¥1,000-", "1,234.56-", "€9,99-", "--500", "-₩-500", "- - 5", "±5", "ー500", "一500"),
        *("(-1,000)", "[-1,000]", "(1,000", "1,000)", "(+5)", "(3개)", "値引-100", "할인:-1,000", "5.00 DR", "5.00 CR"),
    ],
)
def test_a_sign_that_could_mean_two_things_makes_the_number_unreadable(text: str) -> None:
    """A minus behind a number, two signs, half a bracket or a label beside a sign give no number."""
    assert decimal_from_text(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "5만원",
            "5만 원",
            "1.2억",
            "3천원",
            "2百円",
            "千円",
            "40k円",
            "40K",
            "5M",
            "1.5e3",
            "5%",
            "½",
            "5²",
            "①",
            "x2",
            "3x",
        ),
        *("B67", "S,000", "B,500원", "O5", "1O", "l5", "5l", "I5", "|5", "Z00", "9g", "50g", "7 l"),
        *(".99", ",500", "$ .75", "$-.10", ".10USD", "..5", "5..", "1,", "0,000원", "7,50원", "1234,567", "012,345"),
        *(
            "3 038,14 EUR",
            "2 pairs from $349",
            "1 2",
            "1. 234",
            "1, 5",
            "1.2.3",
            "약 500",
            "~500",
            "#5",
            "No.5",
            "500/kg",
        ),
        *("€1.234", "€1,234", "$3.459", "1.234kg", "1,5,000", "12개입", "1٣", "٣", "5,000원5", "원5,000원a"),
    ],
)
def test_an_unknown_neighbour_makes_the_number_unreadable(text: str) -> None:
    """A multiplier, a misread digit, a lost head or a second number beside a number gives None, not a wrong number."""
    assert decimal_from_text(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (wide("1,200円"), "1200"),
        (wide("5,000원"), "5000"),
        (wide("￥1200"), "1200"),
        ("￦5,000", "5000"),
        ("US$ 1,234.50", "1234.50"),
        ("$1,234", "1234"),
        ("€9,99", "9.99"),
        ("€1.234.567", "1234567"),
        ("9.99 USD", "9.99"),
        ("1,234.567", "1234.567"),
        ("16 , 960원", "16960"),
        ("1, 234, 567", "1234567"),
        ("3 EA", "3"),
        ("2병", "2"),
        ("12.5KG", "12.5"),
        ("350 ml", "350"),
        ("1.5", "1.5"),
        ("+500", "500"),
        ("0원", "0"),
        ("1,000원.", None),
    ],
)
def test_a_harmless_neighbour_changes_nothing(text: str, number: str | None) -> None:
    """Full width, currencies, counters and units beside a number leave it as it is."""
    assert decimal_from_text(text) == (None if number is None else Decimal(number))


PIECES = [
    *"0123456789",
    *"..,,",
    *MINUS,
    *"()+ ",
    "₩",
    "$",
    "€",
    "원",
    "円",
    "개",
    "kg",
    "만",
    "억",
    "k",
    "%",
    "O",
    "B",
]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=12))
def test_no_text_gives_a_number_that_is_not_written_in_it(text: str) -> None:
    """The digits, the sign and the scale of a number are those of its text."""
    number = decimal_from_text(text)
    if number is None:
        return
    written = normalize_text(text)
    digits = re.findall("[0-9]", written)
    assert "".join(digits).lstrip("0") == f"{abs(number):f}".replace(".", "").lstrip("0")
    assert (number < 0) == (bool(number) and bool(re.search(r"[-△▲(]", written)))
    decimals = -int(number.as_tuple().exponent)
    if decimals:
        assert len(re.findall("[0-9]+", written)[-1]) == decimals
    assert not re.search("[만억kKOB%]", written.replace("kg", "").replace("₩", ""))


@pytest.mark.parametrize(
    ("formatted", "text", "number"),
    [("1000", "-1,000", None), ("-1000", "-1,000", "-1000"), ("1000", "1,000", "1000"), ("0", "-0", "0")],
)
def test_a_sign_that_the_normal_form_lost_is_not_dropped(formatted: str, text: str, number: str | None) -> None:
    """A number is None if the text has a minus and the formatted number has none."""
    cell = FloatObject(wire_text=text, formatted=FormattedValue(wire_value=formatted))
    assert cell.decimal == (None if number is None else Decimal(number))


@pytest.mark.parametrize(
    "text",
    [
        "할인 -1,000",
        "DC △1,000",
        "-1,000*",
        "(-)1,000",
        "(-1,000)",
        "-1OOO",
        wide("-1 000"),
        "-1,00",
        "- 1,0 00원" + " " * 50,
    ],
)
def test_a_minus_in_a_text_that_is_no_number_is_not_dropped_either(text: str) -> None:
    """A positive normal form gives no number if the text has a minus before its first digit, whatever else it has."""
    cell = FloatObject(wire_text=text, formatted=FormattedValue(wire_value="1000"))
    assert cell.decimal is None


@pytest.mark.parametrize("text", ["약 1,000", "1,000-", "1,000*", "10 - 00", "-", "·", "+1,000", "1,00"])
def test_a_text_without_a_minus_before_it_leaves_the_normal_form(text: str) -> None:
    """A positive normal form is the number where its text is unreadable and does not say that it is negative."""
    cell = FloatObject(wire_text=text, formatted=FormattedValue(wire_value="1000"))
    assert cell.decimal == 1000


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("33", 33),
        (" 33 ", 33),
        (33, 33),
        (33.0, 33),
        ("12345678901234567890", 12345678901234567890),
        ("12.7", None),
        (12.7, None),
        ("1_0", None),
        ("٣", None),
        ("x", None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_a_whole_number_keeps_all_its_digits(written: Any, number: int | None) -> None:
    """A whole number is read to its last digit; a fraction is not cut to one."""
    assert whole_number_or_none(written) == number
    assert MrzInt(wire_refined_text=written).value == number


@pytest.mark.parametrize(
    ("written", "number"), [("0.99", 0.99), ("1e-3", 0.001), (".5", 0.5), ("0.5\x1f", 0.5), ("1_0", None), ("٣", None)]
)
def test_a_score_is_read_as_it_is_written(written: str, number: float | None) -> None:
    """A score in text is a plain number; underscores and other scripts are not."""
    assert number_or_none(written) == number


def test_a_number_that_no_float_can_hold_is_none() -> None:
    """A score beyond every float gives None, not an error."""
    assert number_or_none(10**400) is None


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024-11-04(월)", dt.date(2024, 11, 4)),
        ("2024-11-04 (월요일)", dt.date(2024, 11, 4)),
        ("2024-11-04 Mon", dt.date(2024, 11, 4)),
        ("2024-11-04 18:20:33", dt.date(2024, 11, 4)),
        ("2024-11-04T18:20", dt.date(2024, 11, 4)),
        ("2024.11.04 오후 6:20", dt.date(2024, 11, 4)),
        ("2011.3. 6.", dt.date(2011, 3, 6)),
        ("2025年3月4日", dt.date(2025, 3, 4)),
        ("2025年3月4日(火)", dt.date(2025, 3, 4)),
        (wide("2025年3月4日"), dt.date(2025, 3, 4)),
        (wide("2025.3.4"), dt.date(2025, 3, 4)),
        (wide("2025/03/04"), dt.date(2025, 3, 4)),
        (wide("2025-03-04"), dt.date(2025, 3, 4)),
        ("2025년 3월 4일생", dt.date(2025, 3, 4)),
        ("발급일: 2025.03.04", dt.date(2025, 3, 4)),
        ("거래일시 2025-03-04 12:30:01", dt.date(2025, 3, 4)),
        ("2025년 12월 2 7일", None),
        ("2025. 12. 2 7", None),
        ("2025. 12. 2 7:30", None),
        ("2025-1-218:20", None),
        ("2025. 1. 1O", None),
        ("2025/1/1|", None),
        ("2025년 1l월 05일", None),
        ("令和7年3月4日", None),
        ("7年3月4日", None),
        ("20250304", None),
        ("25. 3. 4", None),
        ("010-2025-1-2", None),
        ("2025.12.27.123", None),
        ("2025-12-27-1", None),
        ("-2025-12-27", None),
        ("2025-12-27 2025-12-28", None),
        ("2025-12-27 18:2O", None),
        ("2025-12-27 Z", None),
        ("18:20", None),
        (" " * 100, None),
        ("2025-12-27" + " " * 100 + "x", None),
    ],
)
def test_a_date_is_read_only_from_a_text_that_is_nothing_else(text: str, date: dt.date | None) -> None:
    """A text of date, weekday, time and label gives its date; any other digit or word beside it gives None."""
    assert date_from_text(text) == date
    assert DateObject(wire_text=text).date == date
    assert DateObject(wire_text=text, formatted=FormattedDate(year="2024", month="00", day="05")).date == date


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("18:20:33", dt.time(18, 20, 33)),
        ("18:20", dt.time(18, 20)),
        ("20: 11", dt.time(20, 11)),
        (wide("18:20"), dt.time(18, 20)),
        ("오후 6시 20분", dt.time(18, 20)),
        ("오후 06:20:15", dt.time(18, 20, 15)),
        ("오전 12:05", dt.time(0, 5)),
        ("PM 12:05", dt.time(12, 5)),
        ("6:20 p.m.", dt.time(18, 20)),
        ("AM 00:10", dt.time(0, 10)),
        ("PM 18:20", dt.time(18, 20)),
        ("18時20分33秒", dt.time(18, 20, 33)),
        ("시간: 18:20", dt.time(18, 20)),
        ("2025-03-04 18:20:33", dt.time(18, 20, 33)),
        ("2025년 3월 4일 오후 6시 20분", dt.time(18, 20)),
        ("AM 18:20", None),
        ("PM 00:20", None),
        ("AM 6:20 PM", None),
        ("25:10", None),
        ("18:60", None),
        ("18:2O", None),
        ("18.20", None),
        ("18시", None),
        ("1 8:20", None),
        ("2025-03-04", None),
        ("tel 18:20", None),
        ("", None),
        (None, None),
    ],
)
def test_a_time_falls_back_to_its_text(text: str | None, time: dt.time | None) -> None:
    """Without readable parts a time is what its text consists of, by the 24-hour clock; anything doubtful is None."""
    assert time_from_text(text) == time
    assert TimeObject(wire_text=text).time == time


@pytest.mark.parametrize(
    ("text", "hour", "time"),
    [
        ("PM 06:20", "18", dt.time(18, 20)),
        ("오후 06:20", "06", None),
        ("06:20 PM", "6", None),
        (wide("PM 06:20"), "06", None),
        ("午後6時20分", "06", None),
        ("AM 12:20", "12", None),
        ("AM 12:20", "00", dt.time(0, 20)),
        ("PM 12:20", "12", dt.time(12, 20)),
        ("AM 06:20 PM", "06", None),
        ("AMERICA 06:20", "18", dt.time(18, 20)),
    ],
)
def test_a_half_of_the_day_in_the_text_is_not_contradicted(text: str, hour: str, time: dt.time | None) -> None:
    """A time is None if the text has AM or PM and the parts are in the other half of the day."""
    assert TimeObject(wire_text=text, formatted=FormattedTime(hour=hour, minute="20", second="")).time == time


@pytest.mark.parametrize(
    ("text", "year", "date"),
    [
        ("令和5年1月5日", "5", None),
        ("令和5年1月5日", "05", None),
        ("H30.1.5", "30", None),
        ("令和5年1月5日", "2023", dt.date(2023, 1, 5)),
        ("23.1.5", "23", dt.date(2023, 1, 5)),
        (None, "23", dt.date(2023, 1, 5)),
    ],
)
def test_a_year_of_an_era_is_not_taken_for_one_of_ours(text: str | None, year: str, date: dt.date | None) -> None:
    """Two digits of a year are read as 19xx or 20xx only where the text names no era."""
    cell = DateObject(wire_text=text, formatted=FormattedDate(year=year, month="1", day="5"))
    assert cell.date == date


@given(st.times(), st.sampled_from(["{:%H:%M:%S}", "{:%H시 %M분}", "{:%p %I:%M}", "{:%I:%M %p}"]))
def test_a_written_time_is_read(time: dt.time, form: str) -> None:
    """Any time of day is read back, in 24 hours and in twice 12."""
    written = form.format(time)
    seconds = time.second if "%S" in form else 0
    assert time_from_text(written) == dt.time(time.hour, time.minute, seconds)


@given(st.text(alphabet="0123456789-./년월일 :O|TZ(월)", max_size=24))
def test_no_text_gives_a_date_that_is_not_written_in_it(text: str) -> None:
    """The digits of a date stand in its text, in its order, and none are left over but those of a time."""
    date = date_from_text(text)
    if date is None:
        return
    time = time_from_text(text)
    digits = "".join(re.findall("[0-9]", text))
    padded = "".join(f"{int(part):02}" for part in re.findall("[0-9]+", text))
    expected = f"{date:%Y%m%d}"
    assert padded.startswith(expected)
    rest = padded.removeprefix(expected)
    assert not rest or (time is not None and f"{time:%H%M%S}".startswith(rest))
    assert len(digits) <= len("20250304182033")


RECEIPTS: list[tuple[dict[str, Any], str, object]] = [
    ({"paymentInfo": {"date": {"text": "2024-11-04(월)"}}}, "payment_info.date.date", dt.date(2024, 11, 4)),
    ({"paymentInfo": {"time": {"text": "18:20:33"}}}, "payment_info.time.time", dt.time(18, 20, 33)),
    (
        {"paymentInfo": {"time": {"text": "25:10", "formatted": {"hour": "25", "minute": "10", "second": ""}}}},
        "payment_info.time.value",
        "25:10",
    ),
    (
        {"paymentInfo": {"time": {"text": "25:10", "formatted": {"hour": "25", "minute": "10", "second": ""}}}},
        "payment_info.time.time",
        None,
    ),
    ({"storeInfo": {"tel": {"text": "02-000-0000"}}}, "store_info.tel.0.value", "02-000-0000"),
    ({"subResults": {"items": {"name": {"text": "우유"}}}}, "sub_results.0.items.0.name.value", "우유"),
    ({"totalPrice": {"price": {"text": "-₩5,000"}}}, "total_price.price.decimal", Decimal(-5000)),
    ({"totalPrice": {"price": {"text": "5만원"}}}, "total_price.price.value", "5만원"),
]


@pytest.mark.parametrize(("result", "path", "expected"), RECEIPTS)
def test_an_answer_gives_what_its_texts_say(result: dict[str, Any], path: str, expected: object) -> None:
    """A whole answer without formatted values gives its dates, times and numbers from their texts."""
    body = encode_response("r", 1, {"receipt": {"result": result}, "uid": "u", "inferResult": "SUCCESS"})
    value: Any = decode_response(HTTPResponse(200, body), Receipt).document.result
    for part in path.split("."):
        value = value[int(part)] if part.isdigit() else getattr(value, part)
    assert value == expected
