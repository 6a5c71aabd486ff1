"""Vendor's texts to Python values, or None. Each function takes anything the vendor was seen to send."""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal

__all__ = [
    "date_from_parts",
    "date_from_text",
    "decimal_from_number",
    "decimal_from_text",
    "flag_or_none",
    "number_or_none",
    "text_or_none",
    "time_from_parts",
]

_NOTHING = frozenset({"", "-", "N/A"})
_YEAR_FIRST = re.compile(r"(?<!\d)(\d{4})\s*[-./년]\s*(\d{1,2})\s*[-./월]\s*(\d{1,2})(?!\d)")
_NUMBER = re.compile(r"\d[\d.,]*")
_PLAIN = re.compile(r"[-+]?\d+(?:\.\d+)?")
_MINUS = re.compile(r"(?:^|\s)[-−–△▲]\s*$")  # noqa: RUF001 - the minus signs that receipts print
_CURRENCY = " \t₩￦$¥€"
_MISTAKEN = frozenset("OoIl|")  # what digits are misread as
_LOOSE_SEPARATOR = re.compile(r"(?<=\d)\s*([.,])\s*(?=\d)")
_THOUSANDS = re.compile(r"(?!0)\d{1,3}(?:(?:\.\d{3})+|(?:,\d{3})+)")
_DECIMALS = re.compile(r"\d+[.,]\d+|\d{1,3}(?:,\d{3})+\.\d+|\d{1,3}(?:\.\d{3})+,\d+")
_PART = re.compile(r"\s*\d{1,2}\s*")
_YEAR = re.compile(r"\s*(?:\d{4}|\d{1,2})\s*")
_LAST_YEAR_OF_2000S = 68  # as POSIX reads two digits
_LONGEST_NUMBER = 40  # characters; longer ones are no price and no count


def text_or_none(text: str | None) -> str | None:
    """Return a text, or None for what the vendor writes for nothing: "", "-", "N/A"."""
    return None if text is None or text.strip() in _NOTHING else text


def number_or_none(value: object) -> float | None:
    """Return a number that came as a number or as text; None for anything else, and for what is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def flag_or_none(value: object) -> bool | None:
    """Return a yes or no that came as one, as a number or as text; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "y": True, "1": True, "false": False, "n": False, "0": False}.get(value.strip().lower())
    return None if (number := number_or_none(value)) is None else bool(number)


def date_from_parts(year: str | None, month: str | None, day: str | None) -> dt.date | None:
    """Return the date of three parts; None if one is missing, "00" or impossible.

    Assumed: a year of two digits is read as POSIX does, 69 to 99 in the 1900s and 01 to 68 in the 2000s.
    """
    years, months, days = year or "", month or "", day or ""
    if not (_YEAR.fullmatch(years) and _PART.fullmatch(months) and _PART.fullmatch(days)):
        return None
    number = int(years)
    if number == 0:
        return None
    if len(years.strip()) <= len("24"):
        number += 2000 if number <= _LAST_YEAR_OF_2000S else 1900
    try:
        return dt.date(number, int(months), int(days))
    except ValueError:
        return None


def date_from_text(text: str | None) -> dt.date | None:
    """Return the date in a free text that names the year first ("2025년 12월 27일", "2025. 1. 2"), else None.

    Business registrations carry their dates in this form only. Orders that could mean two dates are not guessed.
    """
    found = _YEAR_FIRST.search(text or "")
    return date_from_parts(*found.groups()) if found else None


def time_from_parts(hour: str | None, minute: str | None, second: str | None) -> dt.time | None:
    """Return the time of three parts, a missing second as 0; None without hour and minute, or if impossible."""
    hours, minutes, seconds = hour or "", minute or "", text_or_none(second) or "0"
    if not (_PART.fullmatch(hours) and _PART.fullmatch(minutes) and _PART.fullmatch(seconds)):
        return None
    try:
        return dt.time(int(hours), int(minutes), int(seconds))
    except ValueError:
        return None


def decimal_from_number(text: str) -> Decimal | None:
    """Return the number a normal form writes ("16960", "-0.5"); None if it is none."""
    plain = text.strip()
    return Decimal(plain) if len(plain) <= _LONGEST_NUMBER and _PLAIN.fullmatch(plain) else None


def decimal_from_text(text: str) -> Decimal | None:
    """Return the one number in a text as it was read ("7,500원", "16.960", "₩ 1,234.50"); None without exactly one.

    A number in brackets, or behind a minus or a triangle, is negative. A letter that is easily taken for a digit right
    beside the number ("7,5OO") makes it unreadable.

    Assumed: a dot or comma before exactly three digits separates thousands, as the service normalises it; of two
    different separators the last one is the decimal point.
    """
    if len(text) > _LONGEST_NUMBER:
        return None
    joined = _LOOSE_SEPARATOR.sub(r"\1", text)
    found = list(_NUMBER.finditer(joined))
    if len(found) != 1:
        return None
    before, after = joined[: found[0].start()], joined[found[0].end() :]
    if before.rstrip(".,")[-1:] in _MISTAKEN or after[:1] in _MISTAKEN:
        return None
    number = decimal_from_number(_with_decimal_point(found[0][0].rstrip(".,")))
    return -number if number is not None and _is_negative(before, after) else number


def _is_negative(before: str, after: str) -> bool:
    bare = before.rstrip(_CURRENCY)
    return bool(_MINUS.search(bare)) or (bare.endswith("(") and after.lstrip(_CURRENCY).startswith(")"))


def _with_decimal_point(digits: str) -> str:
    """Return digits with a point for decimals and nothing between thousands; as they are if they fit no pattern."""
    if _THOUSANDS.fullmatch(digits):
        return digits.replace(".", "").replace(",", "")
    if _DECIMALS.fullmatch(digits):
        point = max(digits.rfind("."), digits.rfind(","))
        return f"{digits[:point].replace('.', '').replace(',', '')}.{digits[point + 1 :]}"
    return digits
