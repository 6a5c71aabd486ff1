"""Checks of the machine readable zone of a passport: its five check digits, and its values against the fields.

Source: ICAO Doc 9303, part 4 (passports of size TD3): two lines of 44 characters.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from clova_ocr_async.results.check_digits import mrz_digit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MrzCheck", "check_mrz"]

_LENGTH = 44
_LINE_1 = re.compile(r"P[A-Z<][A-Z<]{3}(?P<names>[A-Z<]{39})")


class MrzCheck(NamedTuple):
    """The result of one check.

    Attributes:
        name: The check.
        outcome: "passed", "failed" or "unknown".
        reason: The reason in words.
        compared: The fields that the zone was compared with.
    """

    name: str
    outcome: Literal["passed", "failed", "unknown"]
    reason: str
    compared: tuple[str, ...] = ()


class _Digit(NamedTuple):
    """A check digit of the second line: its name, its place, and the characters that it is for."""

    name: str
    place: int
    ranges: tuple[tuple[int, int], ...]


_DIGITS = (
    _Digit("mrz_number", 9, ((0, 9),)),
    _Digit("mrz_birth", 19, ((13, 19),)),
    _Digit("mrz_expiry", 27, ((21, 27),)),
    _Digit("mrz_optional", 42, ((28, 42),)),
    _Digit("mrz_composite", 43, ((0, 10), (13, 20), (21, 43))),
)


def check_mrz(lines: tuple[str | None, str | None], fields: Mapping[str, str | dt.date | None]) -> Iterator[MrzCheck]:
    """Yield the checks of a machine readable zone.

    Args:
        lines: The two lines; None where one was not read.
        fields: The values printed elsewhere on the page: "number", "surname", "given_names" as text, "birth" and
            "expiry" as dates; None where one was not read.
    """
    first, second = (None if line is None else re.sub(r"\s", "", line).upper() for line in lines)
    for digit in _DIGITS:
        yield _check_digit(digit, second)
    yield _agreement("mrz_agrees", fields, first, second)


def _check_digit(digit: _Digit, line: str | None) -> MrzCheck:
    if line is None or len(line) != _LENGTH:
        return MrzCheck(digit.name, "unknown", "the second line was not read as 44 characters")
    characters = "".join(line[start:end] for start, end in digit.ranges)
    expected, found = mrz_digit(characters), line[digit.place]
    # Where there is no optional data, its digit may be a filler.
    if found == expected or (digit.name == "mrz_optional" and found == "<" and not characters.strip("<")):
        return MrzCheck(digit.name, "passed", "the check digit fits")
    return MrzCheck(digit.name, "failed", "the check digit does not fit")


def _agreement(
    name: str, fields: Mapping[str, str | dt.date | None], first: str | None, second: str | None
) -> MrzCheck:
    """Compare the values of the zone with those that are printed elsewhere on the page."""
    zone = _values(first, second)
    compared = tuple(field for field, value in fields.items() if value is not None and zone.get(field) is not None)
    if not compared:
        return MrzCheck(name, "unknown", "no field was read that the zone could be compared with")
    different = tuple(field for field in compared if _as_zone(fields[field]) != zone[field])
    if not different:
        return MrzCheck(name, "passed", "the zone agrees with the fields", compared)
    return MrzCheck(name, "failed", "the zone does not agree with these fields", different)


def _values(first: str | None, second: str | None) -> dict[str, str | None]:
    """Return the values of the zone, in the form that ``_as_zone`` gives to those of fields."""
    found: dict[str, str | None] = {}
    if second is not None and len(second) == _LENGTH:
        found |= {"number": second[:9].rstrip("<"), "birth": second[13:19], "expiry": second[21:27]}
    names = None if first is None else _LINE_1.fullmatch(first)
    # A name that fills the line may have been cut off.
    if names is not None and names["names"].endswith("<"):
        surname, _, given = names["names"].partition("<<")
        found |= {"surname": surname.replace("<", ""), "given_names": given.replace("<", "")}
    return found


def _as_zone(value: str | dt.date | None) -> str:
    """Return a value as the zone has it: dates as six digits, names and numbers as letters and digits alone."""
    # The zone has years of two digits, so only those can be compared.
    if isinstance(value, dt.date):
        return value.strftime("%y%m%d")
    # The zone has neither hyphens nor apostrophes; blanks are fillers there.
    return re.sub(r"[^0-9A-Z]", "", (value or "").upper())
