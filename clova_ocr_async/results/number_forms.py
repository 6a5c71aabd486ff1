"""The forms of numbers that identify a person or a card, however they are written. Pure.

A number is recognized by its form where no field of the answer says what it is: a resident or alien registration number
by its date of birth and its length, a card number by its groups of digits or its check digit. A number that is known is
found by its *folded* form: digits and letters alone, those of all widths and scripts as one, and those that recognition
takes for each other as one.
"""

from __future__ import annotations

import re
import unicodedata

from clova_ocr_async.results.check_digits import alien_number_fits, luhn_fits, resident_number_fits

__all__ = [
    "AFTER",
    "BEFORE",
    "BIRTH",
    "LIKE_A_DIGIT",
    "SPACED",
    "as_digits",
    "bare",
    "cards_in",
    "folded",
    "forms_of",
    "is_item_code",
    "is_korean_barcode",
    "is_part",
    "latin",
    "narrowed",
    "residents_in",
    "without_bars",
]

_DASHES = "ㅡー"
"""Letters that recognition reads in a dash: a Korean vowel, and the Japanese sign of a long vowel."""

_BARS = "|!"
"""Characters that may be a misread 1, or a line between two groups of digits."""

_LOOKALIKES = ("0OQDㅇ\u3007", f"1ILㅣ{_BARS}", "2Z", "5S", "6G", "8B")
"""Characters that recognition takes for each other, each group with its digit first."""

LIKE_A_DIGIT = "[" + re.escape("0123456789" + "".join(group + group.lower() for group in _LOOKALIKES)) + "]"
"""A pattern of a digit, or of a character that recognition takes for one."""

_AS_DIGIT = str.maketrans({letter: group[0] for group in _LOOKALIKES for letter in group + group.lower()})

_KEPT = frozenset(_DASHES + "".join(_LOOKALIKES))
"""Characters that have a meaning here as they are; the usual form of a Korean vowel is another character."""

BEFORE, AFTER = r"(?<![0-9A-Za-z*])(?<![0-9]\.)(?<![0-9A-Za-z]-)", r"(?![0-9A-Za-z*])(?!-[0-9A-Za-z])"
"""Patterns of the ends of a number that is not in a longer word or number, as a hash; nor behind a decimal point."""

BIRTH = r"[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
"""A pattern of a date of birth in six digits."""

_RESIDENT = re.compile(rf"(?<![0-9]){BIRTH}((?:[^\w*<]|[_{_DASHES}]){{0,3}})[0-9]{{7}}(?![0-9])")
SPACED = re.compile(rf"{BEFORE}[0-9](?: [0-9]){{5}} ?-? ?[0-9](?: [0-9]){{6}}{AFTER}")
"""A pattern of what may be a resident number whose digits are apart from each other, as in the boxes of a form."""

_APART = r"[\s\-‐‑–—−.·_/|]{1,3}"  # noqa: RUF001 - hyphens as scanners and people write them
_CARD = re.compile(
    rf"{BEFORE}(?:[0-9]{{4}}(?:{_APART}[0-9]{{4}}){{3}}|3[47][0-9]{{2}}{_APART}[0-9]{{6}}{_APART}[0-9]{{5}}){AFTER}"
)
_USUAL_GROUPS = re.compile(r"[0-9]{4}(?:[ \-–][0-9]{4}){3}")  # noqa: RUF001 - a hyphen
# By the first digits that card networks have. Source: ISO/IEC 7812 numbers of issuers, as published by the networks.
_CARD_IN_A_ROW = re.compile(
    rf"{BEFORE}(?:3[47][0-9]{{13}}|3[0689][0-9]{{12}}|(?:2[2-7]|35|[456][0-9])[0-9]{{14}}|62[0-9]{{15,17}}){AFTER}"
)


def residents_in(text: str) -> set[str]:
    """Return what reads as a resident or alien number; with misread letters only where a separator divides it."""
    narrow = narrowed(text)
    whole = {match[0] for match in _RESIDENT.finditer(narrow)}
    spaced = (match[0] for match in SPACED.finditer(narrow))
    whole |= {number for number in spaced if _RESIDENT.fullmatch(number.replace(" ", ""))}
    misread = _RESIDENT.finditer(as_digits(narrow))
    return whole | {narrow[match.start() : match.end()] for match in misread if match[1]}


def cards_in(text: str) -> set[str]:
    """Return what reads as a card number: four groups of four digits; with its check digit also written otherwise."""
    narrow = narrowed(text)
    found = {match[0] for pattern in (_CARD, _CARD_IN_A_ROW) for match in pattern.finditer(narrow)}
    return {number for number in found if _USUAL_GROUPS.fullmatch(number) or luhn_fits(re.sub("[^0-9]", "", number))}


def is_korean_barcode(digits: str) -> bool:
    """Return whether digits in a row are a barcode of Korea, wherever they stand, and not a resident or alien number.

    Those that begin otherwise are not told apart: a tenth of the numbers of persons reads as a barcode, as those that
    were issued since October 2020 have no check digit.
    """
    return digits.startswith(_KOREA) and _is_barcode(digits) and not _is_of_person(digits)


def is_item_code(digits: str) -> bool:
    """Return whether digits in a row, where the code of an item stands, are a barcode rather than a number of a person.

    There a barcode of Korea may have a misread digit. Those that begin with 2 are a shop's own, with its own digits.
    """
    if len(digits) != _BARCODE or _is_of_person(digits):
        return False
    return digits.startswith(_KOREA) or (_is_barcode(digits) and not digits.startswith("2"))


def _is_barcode(digits: str) -> bool:
    total = sum(int(digit) * (1 + 2 * (place % 2)) for place, digit in enumerate(digits))
    return len(digits) == _BARCODE and total % 10 == 0


def _is_of_person(digits: str) -> bool:
    return resident_number_fits(digits) or alien_number_fits(digits)


_KOREA = "880"
_BARCODE = 13


def narrowed(text: str) -> str:
    """Return a text of the same length with letters and digits of all widths and scripts in their usual form."""
    return text if text.isascii() else "".join(map(_narrow_character, text))


def as_digits(text: str) -> str:
    """Return a text of the same length with digits in the place of characters that recognition takes for them."""
    return text.translate(_AS_DIGIT)


def _narrow_character(character: str) -> str:
    if character in _KEPT:
        return character
    narrow = unicodedata.normalize("NFKC", character)
    digit = unicodedata.decimal(narrow, None) if len(narrow) == 1 else None
    return str(digit) if digit is not None else narrow if len(narrow) == 1 else character


def is_part(character: str) -> bool:
    """Return whether a character may be a part of a number: a letter, a digit, a star, a filler, or a misread 1."""
    return (character.isalnum() and character not in _DASHES) or character in "*<" or character in _BARS


def bare(text: str) -> str:
    """Return the characters of a text that may be parts of a number."""
    return "".join(filter(is_part, text))


def latin(text: str) -> str:
    """Return the characters of a text that are, in their usual form, of ASCII."""
    return "".join(filter(str.isascii, narrowed(text)))


class _Folding(dict[int, str]):
    """A table for ``str.translate`` that grows with the characters it meets."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        narrow = _narrow_character(character).upper()
        folded_one = narrow.translate(_AS_DIGIT) if is_part(character) else ""
        # One character for one, so that a place in the folded text is one of the text.
        self[code] = folded_one if len(folded_one) <= 1 else character
        return self[code]


_FOLDING = _Folding()


def folded(text: str) -> str:
    """Return the parts of numbers in a text in their folded form, one character for each."""
    return text.translate(_FOLDING)


def forms_of(text: str) -> list[str]:
    """Return the folded forms of a number or a text: with its bars as digits; if it has any, also without them."""
    plain = without_bars(text)
    return [folded(text)] if plain == text else [folded(text), folded(plain)]


def without_bars(text: str) -> str:
    """Return a text of the same length with blanks in the place of bars."""
    return text.translate(_NO_BARS)


_NO_BARS = str.maketrans(dict.fromkeys(_BARS, " "))
