"""The fields of a recognition that a person should look at, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.documents import DateObject, FloatObject, TimeObject
from clova_ocr_async.documents.fields import objects_of
from clova_ocr_async.results.checks import check

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from clova_ocr_async.documents import Recognition

__all__ = ["FieldToReview", "fields_to_review", "lowest_confidence"]


class FieldToReview(msgspec.Struct, frozen=True):
    """A field to look at; it holds no value of the document.

    Attributes:
        path: The field, in the vendor's names, as in "result.storeInfo.name".
        reason: The reason in words.
    """

    path: str
    reason: str


def fields_to_review(
    recognition: Recognition[Any], minimum: float = 0.9, *, today: dt.date | None = None
) -> tuple[FieldToReview, ...]:
    """Return the fields that a person should look at: read with little confidence, unreadable, or in a failed check.

    Args:
        recognition: The recognition.
        minimum: The confidence below which a field is returned, 0 to 1.
        today: For the checks; the date of this machine if not given.

    Returns:
        Each field once, with all its reasons: those of fields in reading order, then those of checks and of fields of
        an unexpected shape.
    """
    reasons: dict[str, list[str]] = {}
    for path, reason in _reasons(recognition, minimum, today):
        reasons.setdefault(path, []).append(reason)
    return tuple(FieldToReview(path, "; ".join(found)) for path, found in reasons.items())


def lowest_confidence(recognition: Recognition[Any]) -> float | None:
    """Return the lowest confidence of all values that were read; None if the answer has none that means anything.

    Source: business registrations have 0.0 everywhere (answers of 2026). A constant 0.0 says nothing.
    """
    found = [field.confidence for field in recognition.fields() if field.confidence is not None]
    return min(found) if any(found) else None


def _reasons(recognition: Recognition[Any], minimum: float, today: dt.date | None) -> Iterator[tuple[str, str]]:
    confident = lowest_confidence(recognition) is not None
    for field in recognition.fields():
        if confident and field.confidence is not None and field.confidence < minimum:
            yield field.path, f"confidence {field.confidence:.2f}"
    for path, value in objects_of(recognition.document):
        if (kind := _unreadable(value)) is not None:
            yield path, f"the text is not {kind}"
    for found in check(recognition, today=today):
        if found.outcome == "failed":
            yield from ((path, f"{found.name}: {found.reason}") for path in found.fields)
    for problem in recognition.problems:
        yield problem.path, f"a {problem.kind} instead of a {problem.expected}"


def _unreadable(value: object) -> str | None:
    """Return the kind of value that a text should be and is not."""
    if isinstance(value, FloatObject) and value.value is not None and value.decimal is None:
        return "a number"
    if isinstance(value, DateObject) and value.value is not None and value.date is None:
        return "a date"
    if isinstance(value, TimeObject) and value.value is not None and value.time is None:
        return "a time"
    return None
