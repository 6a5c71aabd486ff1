"""A search for numbers that identify a person or a card, in any text. Pure.

A resident or alien number is found by its form, since numbers issued since October 2020 have no check digit. Barcodes
of Korea are left out; those of other countries cannot be told from such a number. A card number is found by its groups
of digits or its check digit; a line of a machine readable zone, by its form.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from clova_ocr_async.results.number_forms import AFTER, BEFORE, BIRTH, cards_in, is_korean_barcode, narrowed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["kinds_of_numbers"]

_APART = r"(?:[\s\-‐‑–—−.·_/]|[^\S\n]){1,3}"  # noqa: RUF001 - hyphens as scanners and people write them
_RESIDENT = re.compile(rf"{BEFORE}({BIRTH})({_APART})?([0-9]{{7}}){AFTER}")
_ZONE = re.compile(r"(?<![0-9A-Za-z<])(?=[0-9A-Z<]*<<)[0-9A-Z<]{30,44}(?![0-9A-Za-z<])")
# Nearly all texts have neither. What is not Hangul may be a digit in another form, such as full width.
_MAYBE = re.compile(r"(?:[0-9]|[^\x00-\x7f가-힣]){4}|[<\uff1c]{2}")
_ALIEN = "5678"  # the digit for century and sex


def kinds_of_numbers(text: str) -> Iterator[str]:
    """Yield the kind of each number in a text, in words; never the number."""
    if _MAYBE.search(text) is None:
        return
    text = narrowed(text)
    for found in _RESIDENT.finditer(text):
        if found[2] or not is_korean_barcode(found[1] + found[3]):
            yield "alien registration number" if found[3][0] in _ALIEN else "resident registration number"
    for _ in cards_in(text):
        yield "card number"
    for _ in _ZONE.finditer(text):
        yield "machine readable zone"
