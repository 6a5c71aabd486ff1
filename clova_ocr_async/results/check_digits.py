"""Check digits of Korean and international numbers. Each function takes the bare digits or characters; pure."""

from __future__ import annotations

import re
from operator import mul

__all__ = [
    "alien_number_fits",
    "business_number_fits",
    "corporate_number_fits",
    "luhn_fits",
    "mrz_digit",
    "resident_number_fits",
]

_BUSINESS_WEIGHTS = (1, 3, 7, 1, 3, 7, 1, 3)
_RESIDENT_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
_MRZ_WEIGHTS = (7, 3, 1)
_MRZ_CHARACTERS = re.compile(r"[0-9A-Z<]*")


def business_number_fits(digits: str) -> bool:
    """Return whether the last of the ten digits of a business registration number fits the others.

    Source: the formula is not published by the tax service; 41 of 42 numbers on public documents fit it (tried
    2026-11-29), and the other one is the made-up number of many forms.
    """
    numbers = list(map(int, digits))
    total: int = sum(map(mul, _BUSINESS_WEIGHTS, numbers))
    # The ninth digit counts five times, and the tens of that product count once more.
    total += 5 * numbers[8] + 5 * numbers[8] // 10
    return (10 - total % 10) % 10 == numbers[9]


def corporate_number_fits(digits: str) -> bool:
    """Return whether the last of the thirteen digits of a corporate registration number fits the others.

    Source: rules of the Supreme Court of Korea on registration numbers of corporations: weights 1 and 2 in turn.
    """
    numbers = [int(digit) for digit in digits]
    total = sum(number * (1 + place % 2) for place, number in enumerate(numbers[:12]))
    return (10 - total % 10) % 10 == numbers[12]


def resident_number_fits(digits: str) -> bool:
    """Return whether the last of the thirteen digits of a resident registration number fits the others.

    Numbers that were issued since October 2020 have a random digit there, so a misfit proves nothing.
    """
    return _resident_digit(digits) == int(digits[12])


def alien_number_fits(digits: str) -> bool:
    """Return whether the last of the thirteen digits of an alien registration number fits the others.

    It is that of a resident number, and two more. As there, a misfit proves nothing.
    """
    return (_resident_digit(digits) + 2) % 10 == int(digits[12])


def _resident_digit(digits: str) -> int:
    total = sum(weight * int(digit) for weight, digit in zip(_RESIDENT_WEIGHTS, digits, strict=False))
    return (11 - total % 11) % 10


def luhn_fits(digits: str) -> bool:
    """Return whether the last digit of a card number fits the others. Source: ISO/IEC 7812-1, annex B."""
    # From the right, since cards have 12 to 19 digits and the last one is the check digit.
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def mrz_digit(characters: str) -> str | None:
    """Return the check digit of some characters of a machine readable zone; None if one of them cannot stand there.

    Source: ICAO Doc 9303, part 3, section 4.9: weights 7, 3, 1; letters count from 10, the filler counts 0.
    """
    if _MRZ_CHARACTERS.fullmatch(characters) is None:
        return None
    # Base 36 gives A the value 10, as the standard does.
    values = [0 if character == "<" else int(character, 36) for character in characters]
    return str(sum(value * _MRZ_WEIGHTS[place % 3] for place, value in enumerate(values)) % 10)
