"""Numbers as receipts print them. A number is right, or it is None.

A number in a text is read only if every character beside it is known to be harmless: a sign, a currency, a counter.
With any other character the text is unreadable: it may be a misread digit ("B67"), a multiplier ("5만원"), the rest of
a number without its first digits (",500"), or a second number. The tables below list the harmless words and sources.

A minus behind a number is not among them. Some programs print "50.00-" for a negative number, and hand-written
Japanese receipts print "¥1,000-" so that no digit can be added (source: gentosha-go.com/articles/-/12505, 2018).
"""

from __future__ import annotations

import functools
import re
from decimal import Decimal

from clova_ocr_async.documents.text_normalization import normalize_text

__all__ = ["decimal_from_number", "decimal_from_text", "decimal_of"]

_MAX_LENGTH = 40  # characters; a longer number is neither a price nor a count

# Money that is printed without decimals. Korean and Japanese fonts draw the backslash as a won or yen sign.
# Source: Unicode CLDR 48 (2025-10), symbols and digits of KRW and JPY; w3c/csswg-drafts issue 6848 (2021-12).
_WHOLE_MONEY = ("₩", "¥", "\\", "원", "won", "KRW", "円", "yen", "JPY")

# Money whose decimals follow a point. Source: Unicode CLDR 48 (2025-10), locales en, zh and zh-Hant.
_POINT_MONEY = ("US$", "NT$", "HK$", "CA$", "A$", "$", "£", "元", "USD", "TWD", "HKD", "CAD", "AUD", "GBP", "CNY")

# Money whose decimals follow a comma in some countries. Source: Unicode CLDR 48 (2025-10), locales pt, de and sv.
_COMMA_MONEY = ("R$", "€", "kr", "BRL", "EUR", "SEK", "NOK", "DKK")

# Words behind a count; single Latin letters are not here, because "l" may be a misread 1 and "g" a misread 9.
# Source: National Institute of Korean Language, Standard Korean Language Dictionary, bound nouns of counting.
_COUNTERS = ("개", "매", "장", "병", "잔", "명", "인분", "봉지", "봉", "박스", "팩", "세트", "個", "点", "EA", "pcs")

# Units behind a quantity that may have decimals. Source: SI Brochure, 9th edition (2019).
_MEASURES = ("kg", "ml", "cc")

# Signs before a number; a triangle is a minus, as are brackets around it.
# Source: keihi.com/column/18457 (2024), signs of negative numbers in Japanese accounts; Korean ones use the same.
_MINUS_SIGNS = "-△▲"
_SIGNS = f"{_MINUS_SIGNS}+"


def _any_of(*tables: tuple[str, ...]) -> str:
    words = sorted((word for table in tables for word in table), key=len, reverse=True)
    return "|".join(re.escape(word) for word in words)


_MONEY = _any_of(_WHOLE_MONEY, _POINT_MONEY, _COMMA_MONEY)
_WHOLE_TEXT = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[{_SIGNS}])?\s*(?P<money>{_MONEY})?\s*(?P<inner_sign>[{_SIGNS}])?\s*"
    rf"(?P<number>[0-9][0-9.,]*)\s*"
    rf"(?P<unit>{_any_of(_WHOLE_MONEY, _POINT_MONEY, _COMMA_MONEY, _COUNTERS, _MEASURES)})?\s*(?P<close>\))?",
    re.IGNORECASE,
)
_SPREAD_THOUSANDS = re.compile(r"(?<=[0-9])(?:\s+,\s*|,\s+)(?=[0-9]{3}(?![0-9]))")
_FORMATTED = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?")
_PLAIN = re.compile(r"[0-9]+")
_DIGIT = re.compile(r"[0-9]")
_UNSIGNED = re.compile(r"[0-9.,]*")
_ONE_GROUP = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}(?:(?:\.[0-9]{3})+|(?:,[0-9]{3})+)")
# A head of four digits before a group of three has lost a separator, or is two numbers.
_DECIMALS = re.compile(r"(?:0|[1-9][0-9]*)[.,](?:[0-9]{1,2}|[0-9]{4,})|0[.,][0-9]{3}")
_THOUSANDS_AND_DECIMALS = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+\.[0-9]+|[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]+")


def decimal_from_number(text: str) -> Decimal | None:
    """Return the number of a normal form ("16960", "-0.5"); None for any other text."""
    number = text.strip()
    return Decimal(number) if len(number) <= _MAX_LENGTH and _FORMATTED.fullmatch(number) else None


def decimal_from_text(text: str) -> Decimal | None:
    """Return the number that a text consists of ("7,500원", "16.960", "₩ 1,234.50"); None for any other text.

    A sign before the number or its currency, and brackets around them, make it negative.

    Assumed: a dot or comma before exactly three digits separates thousands, as the service normalises it; but not where
    the currency or unit beside it may have three decimals. Of two different separators the last one is the decimal
    point.
    """
    if len(text) > _MAX_LENGTH:
        return None
    found = _WHOLE_TEXT.fullmatch(_SPREAD_THOUSANDS.sub(",", normalize_text(text).strip()))
    if found is None or (negative := _is_negative(found)) is None:
        return None
    digits = found["number"]
    if found["unit"] is None:
        digits = digits.removesuffix(".")  # a full stop; a comma would have more digits behind it
    number = _number_of(digits, _kinds_beside(found))
    return -number if number is not None and negative else number


# A table and the checks of a receipt ask for the same numbers again.
@functools.lru_cache(maxsize=256)
def decimal_of(formatted: str, text: str) -> Decimal | None:
    """Return the number of a normal form, else the one that a text consists of; None if it lacks the text's minus.

    Args:
        formatted: The service's normal form of the text; empty if there is none.
        text: The text as it was read.
    """
    number = decimal_from_number(formatted)
    if number is None:
        return decimal_from_text(text)
    if number > 0 and _UNSIGNED.fullmatch(text):  # nearly all texts: to read one takes twenty times as long
        return number
    read = decimal_from_text(text)
    # Zero equals its negative, so the comparison would always hold for it.
    if number and read == -number:
        return None
    # A text with other characters is not read as a number ("할인 -1,000"), and its minus must not be dropped either.
    return None if number > 0 and (_has_minus(text) if read is None else read < 0) else number


def _has_minus(text: str) -> bool:
    """Return whether a minus stands before the first digit of a text, with any characters around it."""
    written = normalize_text(text)
    digit = _DIGIT.search(written)
    return digit is not None and any(sign in written[: digit.start()] for sign in _MINUS_SIGNS)


def _is_negative(found: re.Match[str]) -> bool | None:
    """Return whether signs and brackets make a number negative; None if they contradict each other."""
    signs = [sign for sign in (found["sign"], found["inner_sign"]) if sign]
    brackets = [bracket for bracket in (found["open"], found["close"]) if bracket]
    if not brackets:
        return None if len(signs) > 1 else signs not in ([], ["+"])
    counted = (found["unit"] or "").lower() in _NOT_MONEY  # "(3개)" is a remark, not a debt
    return None if signs or len(brackets) == 1 or counted else True


_NOT_MONEY = {word.lower() for word in (*_COUNTERS, *_MEASURES)}
_KINDS = {
    word.lower(): kind
    for kind, words in (("whole", _WHOLE_MONEY), ("point", _POINT_MONEY), ("comma", _COMMA_MONEY + _MEASURES))
    for word in words
}


def _kinds_beside(found: re.Match[str]) -> set[str]:
    """Return the kinds of money or measure beside a number; counters have no kind."""
    beside = ((found["money"] or "").lower(), (found["unit"] or "").lower())
    return {_KINDS[word] for word in beside if word in _KINDS}


def _number_of(digits: str, kinds: set[str]) -> Decimal | None:
    """Return the number of digits with separators; None if they fit no pattern, or more than one."""
    if _PLAIN.fullmatch(digits):
        return Decimal(digits)
    if _ONE_GROUP.fullmatch(digits) and ("comma" in kinds or ("point" in kinds and "." in digits)):
        return None  # "€1.234" and "$3.459" may be thousands or decimals
    if _THOUSANDS.fullmatch(digits):
        return Decimal(digits.replace(".", "").replace(",", ""))
    if "whole" in kinds and "," in digits and not _THOUSANDS_AND_DECIMALS.fullmatch(digits):
        return None  # "7,50원" has lost a digit: won and yen have no decimals behind a comma
    if _DECIMALS.fullmatch(digits) or _THOUSANDS_AND_DECIMALS.fullmatch(digits):
        point = max(digits.rfind("."), digits.rfind(","))
        return Decimal(f"{digits[:point].replace('.', '').replace(',', '')}.{digits[point + 1 :]}")
    return None
