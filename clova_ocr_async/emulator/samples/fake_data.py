"""Fake names and numbers for sample documents.

Every number that has a check digit has a wrong one, so no number can belong to a person; the tests of ``sample.py``
check the sums. Besides, resident numbers use a region that was never assigned, telephone numbers an exchange that does
not exist, cards a first digit that no network has, and passports the state Utopia.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

__all__ = [
    "ADDRESSES",
    "BRANCHES",
    "COMPANIES",
    "FILMS",
    "GOODS",
    "MONTHS",
    "PEOPLE",
    "STATE",
    "STORES",
    "MachineReadableZone",
    "PassportHolder",
    "Person",
    "boolean",
    "business_number",
    "card_number",
    "corporate_number",
    "day_between",
    "digits",
    "licence_number",
    "machine_readable_zone",
    "mobile",
    "mrz_check",
    "passport_holder",
    "passport_number",
    "resident_number",
    "telephone",
]


STATE = "UTO"
"""The three letters of the state Utopia, which passport specimens use."""

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
"""The months in English, whatever the locale of the process."""

_CENTURY = 2000
_MRZ_WEIGHTS = (7, 3, 1)  # Source: ICAO Doc 9303, part 3, check digits


@dataclass(frozen=True, slots=True)
class Person:
    """The name of a person that does not exist.

    Attributes:
        hangul: The name in Hangul.
        family: The family name in Latin capitals.
        given: The given name in Latin capitals.
    """

    hangul: str
    family: str
    given: str


PEOPLE = (
    Person("김견본", "KIM", "GYEONBON"),
    Person("이예시", "LEE", "YESI"),
    Person("박보기", "PARK", "BOGI"),
    Person("최표본", "CHOI", "PYOBON"),
    Person("정시험", "JEONG", "SIHEOM"),
    Person("한가상", "HAN", "GASANG"),
)

STORES = (
    ("견본마트", "Gyeonbon Mart"),
    ("예시상회", "Yesi Store"),
    ("보기분식", "Bogi Snacks"),
    ("가상서점", "Gasang Books"),
)

COMPANIES = (
    ("견본상사", "Gyeonbon Trading"),
    ("예시기술", "Yesi Technology"),
    ("모의연구소", "Moui Research"),
)

BRANCHES = (("모의점", "Moui Branch"), ("보기역점", "Bogi Station"), ("표본로점", "Pyobon Road"))

ADDRESSES = (
    ("가상특별시 견본구 보기로 12", "12 Bogi-ro, Gyeonbon-gu, Gasang"),
    ("모의도 예시시 표본대로 305 2층", "2F 305 Pyobon-daero, Yesi-si, Moui-do"),
    ("가상도 보기군 견본읍 시험길 7", "7 Siheom-gil, Bogi-gun, Gasang-do"),
)

GOODS = (
    ("사과 한 봉지", "Bag of apples"),
    ("우유 900ml", "Milk 900 ml"),
    ("두부", "Tofu"),
    ("김밥", "Gimbap"),
    ("공책 A5", "Notebook A5"),
    ("볼펜 3색", "Pen 3 colours"),
    ("보리차", "Barley tea"),
    ("식빵", "Bread"),
    ("달걀 10구", "Eggs 10"),
)

FILMS = (("없는 영화의 밤", "Night Without A Film"), ("견본 도시", "Specimen City"))


def boolean(random: Random) -> bool:
    """Return True or False with equal chance."""
    return random.random() < 0.5  # noqa: PLR2004 - one of two


def digits(random: Random, count: int) -> str:
    """Return random digits, the first of them not 0."""
    return str(random.randrange(10 ** (count - 1), 10**count))


def day_between(random: Random, first: int, last: int) -> date:
    """Return a random day of the years ``first`` to ``last``."""
    start = date(first, 1, 1)
    return start + timedelta(days=random.randrange((date(last, 12, 31) - start).days + 1))


def telephone(random: Random, area: str = "02") -> str:
    """Return a random telephone number whose exchange, 000, does not exist."""
    return f"{area}-000-{digits(random, 4)}"


def mobile(random: Random) -> str:
    """Return a random mobile number whose exchange, 0000, does not exist."""
    return f"010-0000-{digits(random, 4)}"


def business_number(random: Random) -> str:
    """Return a random business registration number, XXX-XX-XXXXX, with a wrong check digit."""
    body = digits(random, 9)
    weighed = sum(int(digit) * weight for digit, weight in zip(body, (1, 3, 7, 1, 3, 7, 1, 3, 5), strict=True))
    right = -(weighed + int(body[8]) * 5 // 10) % 10
    return f"{body[:3]}-{body[3:5]}-{body[5:]}{_other_digit(random, right)}"


def corporate_number(random: Random) -> str:
    """Return a random corporate registration number, XXXXXX-XXXXXXX, with a wrong check digit."""
    body = digits(random, 12)
    right = -sum(int(digit) * (1 + index % 2) for index, digit in enumerate(body)) % 10
    return f"{body[:6]}-{body[6:]}{_other_digit(random, right)}"


def resident_number(random: Random, born: date, *, male: bool, alien: bool = False) -> str:
    """Return a random resident or alien registration number, XXXXXX-XXXXXXX.

    Its check digit is wrong for either kind, and its region is 99, which was never assigned.
    """
    kind = (1 if male else 2) + (0 if born.year < _CENTURY else 2) + (4 if alien else 0)
    body = f"{born:%y%m%d}{kind}99{digits(random, 3)}"
    weighed = sum(int(digit) * (2 + index % 8) for index, digit in enumerate(body)) % 11
    # A citizen's check digit and an alien's have different rules; this one breaks both.
    return f"{body[:6]}-{body[6:]}{_other_digit(random, (11 - weighed) % 10, (13 - weighed) % 10)}"


def card_number(random: Random) -> str:
    """Return 16 random digits of a card, with a first digit that no network has and a wrong check digit."""
    body = f"0{digits(random, 14)}"  # the numbers of no card network begin with 0
    # The Luhn sum, as on real cards.
    doubled = (int(digit) * (2 - index % 2) for index, digit in enumerate(body))
    return f"{body}{_other_digit(random, -sum(sum(divmod(value, 10)) for value in doubled) % 10)}"


def licence_number(random: Random) -> str:
    """Return a random driver's licence number, XX-XX-XXXXXX-XX, of the region 99, which does not exist."""
    return f"99-{digits(random, 2)}-{digits(random, 6)}-{digits(random, 2)}"


def passport_number(random: Random) -> str:
    """Return a random passport number of nine characters."""
    # A letter among the digits, as Korean passports have it since 2021.
    return f"{random.choice('XYZ')}{digits(random, 3)}A{digits(random, 4)}"


@dataclass(frozen=True, slots=True)
class PassportHolder:
    """The holder's data in the machine readable zone of a passport.

    Attributes:
        code: The document code, two characters.
        person: The holder.
        number: Passport number, nine characters.
        born: Day of birth.
        expires: Last day of validity.
        male: Whether the sex is M, else F.
        personal: The optional field, at most 14 characters.
    """

    code: str
    person: Person
    number: str
    born: date
    expires: date
    male: bool
    personal: str


@dataclass(frozen=True, slots=True)
class MachineReadableZone:
    """The lines of a machine readable zone, and its check digits.

    Attributes:
        first: The first line, 44 characters.
        second: The second line, 44 characters.
        checks: Five check digits, all wrong: of the number, the birth, the expiry, the personal number, and all of it.
    """

    first: str
    second: str
    checks: tuple[str, str, str, str, str]


def machine_readable_zone(random: Random, holder: PassportHolder) -> MachineReadableZone:
    """Return the machine readable zone of a passport, with every check digit wrong."""
    born, expires = f"{holder.born:%y%m%d}", f"{holder.expires:%y%m%d}"
    personal = holder.personal.ljust(14, "<")
    parts = (holder.number, born, expires, personal)
    checks = tuple(_other_digit(random, mrz_check(part)) for part in parts)
    number, birth, expiry, optional = (part + check for part, check in zip(parts, checks, strict=True))
    last = _other_digit(random, mrz_check(number + birth + expiry + optional))
    first = f"{holder.code}{STATE}{holder.person.family}<<{holder.person.given}".ljust(44, "<")
    second = f"{number}{STATE}{birth}{'M' if holder.male else 'F'}{expiry}{optional}{last}"
    return MachineReadableZone(first, second, (checks[0], checks[1], checks[2], checks[3], last))


def passport_holder(random: Random, code: str, personal: str) -> PassportHolder:
    """Return a random passport holder; the passport may have expired."""
    # Never 29 February: the passport was issued ten years before, on the same day.
    expires = day_between(random, 2022, 2035)
    return PassportHolder(
        code=code,
        person=random.choice(PEOPLE),
        number=passport_number(random),
        born=day_between(random, 1950, 2004),
        expires=expires.replace(day=min(expires.day, 28)),
        male=boolean(random),
        personal=personal,
    )


def mrz_check(text: str) -> int:
    """Return the right check digit of a part of a machine readable zone."""
    values = (0 if letter == "<" else int(letter, 36) for letter in text)
    return sum(value * _MRZ_WEIGHTS[index % 3] for index, value in enumerate(values)) % 10


def _other_digit(random: Random, *right: int) -> str:
    return str(random.choice([digit for digit in range(10) if digit not in right]))
