"""Dates and times of day as documents print them. A value is right, or it is None.

A text is read only as a whole: year first, then an optional weekday, a time, and words that are known to be harmless.
Any other character beside the digits may be a misread or detached digit ("12월 2 7일"), so the text is unreadable.
Orders that could mean two dates ("25. 3. 4") are not guessed, and years of an era ("令和7年") are not converted.
"""

from __future__ import annotations

import datetime as dt
import functools
import re

from clova_ocr_async.documents.parsing import text_or_none
from clova_ocr_async.documents.text_normalization import normalize_text

__all__ = ["date_from_parts", "date_from_text", "in_another_half", "time_from_parts", "time_from_text"]

_LAST_YEAR_OF_2000S = 68  # as POSIX reads two digits
_NOON = 12

_YEAR = re.compile(r"[0-9]{4}|[0-9]{2}")
_PART = re.compile(r"[0-9]{1,2}")

# Years of an era, which are not years of the common calendar.
# Source: Unicode CLDR 48 (2025-10), Japanese eras and their letters; Korea counted from 단기 1 (2333 BC) until 1961.
_ERA = re.compile(r"令和|平成|昭和|大正|明治|단기|檀紀|(?<![A-Z])[RHST]\.?\s*[0-9]{1,2}\s*[./年]", re.IGNORECASE)

# Words beside a date that do not change it: the labels and endings of receipts, licences and registrations.
# Source: API specification v1.0.6 (2023-11-23), the fields of its documents in Korean; those fields in Japanese.
_BEFORE = (
    r"(?:발급|발행|거래|승인|결제|판매)?(?:일시|일자|일)|날짜|개업일|개업연월일|생년월일|시간|시각"
    r"|(?:取引|発行)日|日[時付]"
)
_AFTER = r"발급|발행|교부|개업|부터|까지|생|発行|交付|まで|から"

_WEEKDAY = r"[월화수목금토일月火水木金土日](?:요일|曜日)?|(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}"
# Halves of the day. Source: Unicode CLDR 48 (2025-10), day periods of ko, ja, zh and en.
_MORNING = r"오전|午前|上午|a\.?m\.?"
_AFTERNOON = r"오후|午後|下午|p\.?m\.?"

_DATE = (
    r"(?:(?P<year>[0-9]{4})\s*[-./]\s*(?P<month>[0-9]{1,2})\s*[-./]\s*(?P<day>[0-9]{1,2})\s*\.?"
    r"|(?P<year_named>[0-9]{4})\s*[년年]\s*(?P<month_named>[0-9]{1,2})\s*[월月]"
    r"\s*(?P<day_named>[0-9]{1,2})(?:\s*[일日]\.?)?)"
)
_TIME = (
    rf"(?:(?P<half>{_MORNING}|{_AFTERNOON})\s*)?"
    r"(?<![0-9])(?P<hour>[0-9]{1,2})\s*(?::|시|時|时)\s*(?P<minute>[0-9]{1,2})"
    r"(?:\s*(?:[분分]|:\s*(?P<second>[0-9]{1,2})|[분分]\s*(?P<second_named>[0-9]{1,2})\s*[초秒]))?"
    rf"(?:\s*(?P<half_behind>{_MORNING}|{_AFTERNOON}))?"
)
_WHOLE_TEXT = re.compile(
    rf"(?:(?:{_BEFORE})\s*[:.]?\s*)?"
    # A weekday of one letter must not be the beginning of another word.
    rf"(?:{_DATE}(?:\s*(?:\((?:{_WEEKDAY})\)|(?:{_WEEKDAY})(?![가-힣a-z])))?)?"
    rf"\s*[T,]?\s*(?:{_TIME})?"
    rf"\s*(?:{_AFTER})?",
    re.IGNORECASE,
)
# Not the "am" inside another word.
_HALVES = re.compile(rf"(?<![a-z])(?:(?P<morning>{_MORNING})|(?P<afternoon>{_AFTERNOON}))(?![a-z])", re.IGNORECASE)
_NO_WORD = re.compile(r"[0-9:. ]*")
_MAX_LENGTH = 60  # characters of a date with its weekday, time and words


# A table and the checks of a document ask for the same dates again.
@functools.lru_cache(maxsize=64)
def date_from_parts(year: str | None, month: str | None, day: str | None, text: str | None = None) -> dt.date | None:
    """Return the date of three parts; None if one is missing, "00", incomplete or impossible.

    Assumed: a year of two digits is read as POSIX does, 69 to 99 in the 1900s and 01 to 68 in the 2000s.

    Args:
        year: Four digits, or the last two of them.
        month: One or two digits.
        day: One or two digits.
        text: The text of the parts; if it names an era, two digits are not a year of the common calendar.
    """
    # Stripped before: int() strips fewer characters than a pattern takes for blanks, and raises for the others.
    years, months, days = ((part or "").strip() for part in (year, month, day))
    if not (_YEAR.fullmatch(years) and _PART.fullmatch(months) and _PART.fullmatch(days)):
        return None
    number = int(years)
    if len(years) == len("24"):
        # "00" stands for a part that was not read.
        if number == 0 or _ERA.search(normalize_text(text or "")):
            return None
        number += 2000 if number <= _LAST_YEAR_OF_2000S else 1900
    try:
        return dt.date(number, int(months), int(days))
    except ValueError:
        return None


def date_from_text(text: str | None) -> dt.date | None:
    """Return the date that a text consists of ("2025년 12월 27일", "2025. 1. 2", "2025年3月4日(火) 18:20"), else None.

    Business registrations carry their dates in this form only. A weekday, a time and a label may stand beside it.
    """
    found = _read(text)
    if found is None:
        return None
    year, month, day = (found[part] or found[f"{part}_named"] for part in ("year", "month", "day"))
    return date_from_parts(year, month, day)


@functools.lru_cache(maxsize=64)
def time_from_parts(hour: str | None, minute: str | None, second: str | None) -> dt.time | None:
    """Return the time of three parts, a missing second as 0; None without hour and minute, or if impossible."""
    # Many receipts print no seconds.
    hours, minutes, seconds = ((part or "").strip() for part in (hour, minute, text_or_none(second) or "0"))
    if not (_PART.fullmatch(hours) and _PART.fullmatch(minutes) and _PART.fullmatch(seconds)):
        return None
    try:
        return dt.time(int(hours), int(minutes), int(seconds))
    except ValueError:
        return None


def in_another_half(time: dt.time, text: str | None) -> bool:
    """Return whether a text names a half of the day ("AM", "오후") that a time is not in."""
    if text is None or _NO_WORD.fullmatch(text):
        return False
    halves = {found.lastgroup for found in _HALVES.finditer(normalize_text(text))}
    return bool(halves - {"afternoon" if time.hour >= _NOON else "morning"})


def time_from_text(text: str | None) -> dt.time | None:
    """Return the time that a text consists of ("18:20:33", "오후 6시 20분", "2025-01-02 18:20"), else None."""
    found = _read(text)
    if found is None or found["hour"] is None:
        return None
    hour = _hour_of_day(int(found["hour"]), found["half"], found["half_behind"])
    second = found["second"] or found["second_named"]
    return None if hour is None else time_from_parts(str(hour), found["minute"], second)


def _read(text: str | None) -> re.Match[str] | None:
    """Match a whole text as date and time; None if it has other parts, or could be read in two ways."""
    written = normalize_text(text or "").strip()
    found = _WHOLE_TEXT.fullmatch(written) if len(written) <= _MAX_LENGTH else None
    # "2025. 12. 2 7:30" may be half past seven, or the 27th with an hour that was not read.
    split = found is not None and found["day"] and found["hour"] and len(found["day"]) == len(found["hour"]) == 1
    return None if split else found


def _hour_of_day(hour: int, before: str | None, behind: str | None) -> int | None:
    """Return an hour with its half of the day as 0 to 23; None if they contradict each other."""
    if before and behind:
        return None
    half = _HALVES.fullmatch(before or behind or "")
    if half is None:
        return hour
    if half.lastgroup == "morning":
        return 0 if hour == _NOON else hour if hour < _NOON else None
    return None if hour == 0 else hour if hour >= _NOON else hour + _NOON
