"""A search for numbers that identify a person or a card, in any text. Pure.

A resident or alien number is found by its form, since numbers issued since October 2020 have no check digit; with
misread letters only where a separator divides it. Barcodes of Korea are left out; those of other countries cannot be
told from such a number. A card number is found by its groups of digits or its check digit; a line of a machine readable
zone, by its form.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from clova_ocr_async.results.number_forms import (
    AFTER,
    BEFORE,
    BIRTH,
    LIKE_A_DIGIT,
    SPACED,
    as_digits,
    cards_in,
    is_korean_barcode,
    narrowed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["kinds_of_numbers"]

# Hyphens as scanners and people write them, what recognition reads in their place, and what does not print.
_APART = r"(?:[\s\-‐‑–—−.·_/ㅡー\u00ad\u200b-\u200d\u2060\ufeff]|[^\S\n]){1,3}"  # noqa: RUF001 - as above
_RESIDENT = re.compile(rf"{BEFORE}({BIRTH})({_APART})?([0-9]{{7}}){AFTER}")
_MISREAD = re.compile(rf"{BEFORE}{LIKE_A_DIGIT}{{6}}{_APART}{LIKE_A_DIGIT}{{7}}{AFTER}")
_SHORTEST_DIVIDED = 14  # characters of a number with a separator
_SHORTEST_ZONE = 30  # characters of a line
_ZONE = re.compile(r"(?<![0-9A-Za-z<])(?=[0-9A-Z<]*<<)[0-9A-Z<]{30,44}(?![0-9A-Za-z<])")
# The second line of a passport, which has no fillers where it has a personal number.
_ZONE_2 = re.compile(
    r"(?<![0-9A-Za-z<])[0-9A-Z<]{9}[0-9][A-Z<]{3}[0-9]{7}[MFX<][0-9]{7}(?![0-9A-Z<]*<<)[0-9A-Z<]{15}[0-9](?![0-9A-Za-z<])"
)
# Nearly all texts have neither. What is not Hangul may be a digit in another form, such as full width.
_MAYBE = re.compile(r"(?:[0-9]|[^\x00-\x7f가-힣]){4}|(?: [0-9]){5}|[<\uff1c]{2}")
_ALIEN = "5678"  # the digit for century and sex


def kinds_of_numbers(text: str) -> Iterator[str]:
    """Yield the kind of each number in a text, in words; never the number."""
    if _MAYBE.search(text) is None:
        return
    text = narrowed(text)
    for found in _residents(text):
        yield "alien registration number" if found[3][0] in _ALIEN else "resident registration number"
    for _ in cards_in(text):
        yield "card number"
    if len(text) >= _SHORTEST_ZONE:
        for _ in (*_ZONE.finditer(text), *_ZONE_2.finditer(text)):
            yield "machine readable zone"


def _residents(text: str) -> Iterator[re.Match[str]]:
    """Yield the resident and alien numbers in a narrowed text, as matches of ``_RESIDENT``."""
    spans: set[tuple[int, int]] = set()
    for found in _RESIDENT.finditer(text):
        spans.add(found.span())
        if found[2] or not is_korean_barcode(found[1] + found[3]):
            yield found
    if len(text) < _SHORTEST_DIVIDED or text.isalnum():  # as most texts, and hashes
        return
    others = [as_digits(found[0]) for found in _MISREAD.finditer(text) if found.span() not in spans]
    others += (found[0].replace(" ", "") for found in SPACED.finditer(text))
    yield from filter(None, map(_RESIDENT.fullmatch, others))
