"""The names of fields as people read them: those of the tables' columns, by the vendor's path."""

from __future__ import annotations

import functools
import itertools
import re

from clova_ocr_async.results.column_lists import DOCUMENTS, ITEMS

__all__ = ["labels_of"]

_CHOICE = re.compile(r"(.*)\{(.*)\}(.*)")


@functools.cache
def labels_of(document: str) -> dict[str, dict[str, str]]:
    """Return the names of a document's fields, in English and Korean, by their paths without numbers of elements.

    Args:
        document: The vendor's path word.
    """
    lines = ITEMS if document == "receipt" else ()
    named = itertools.chain(DOCUMENTS[document], lines)
    return {place: {"en": name, "ko": label} for name, _, label, path in named for place in _places(path) if place}


def _places(path: str) -> list[str]:
    """Return the paths of a column, which may be that of several kinds of cards."""
    if (found := _CHOICE.fullmatch(path)) is None:
        return [path]
    return [f"{found[1]}{kind}{found[3]}" for kind in found[2].split(",")]
