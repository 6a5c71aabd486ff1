"""The fields of a recognition that a person should look at, with the reason."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from clova_ocr_async.arguments import require_number
from clova_ocr_async.documents import DateObject, FloatObject, TimeObject
from clova_ocr_async.documents.fields import confidence_of, in_reading_order, objects_of
from clova_ocr_async.results.arguments import require_recognition
from clova_ocr_async.results.checks import Check, check

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from clova_ocr_async.documents import Recognition
    from clova_ocr_async.documents.base import Leaf

__all__ = ["FieldToReview", "Judgement", "fields_to_review", "judge"]


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

    Raises:
        TypeError: ``recognition`` is not a recognition, or ``today`` not a date.
        ConfigurationError: ``minimum`` is not a number from 0 to 1.
    """
    require_recognition(recognition)
    require_number("minimum", minimum, or_zero=True, most=1, advice="confidences are from 0 to 1")
    return judge(recognition, minimum, today=today).to_review


class Judgement(NamedTuple):
    """The quality of a reading.

    Attributes:
        lowest: The lowest confidence of all values that were read; None if the answer has none that means anything.
        reasons: The reasons why a person should look at a field, by the paths of such fields.
    """

    lowest: float | None
    reasons: dict[str, list[str]]

    @property
    def to_review(self) -> tuple[FieldToReview, ...]:
        """The fields that a person should look at, each with all its reasons."""
        return tuple(FieldToReview(path, "; ".join(found)) for path, found in self.reasons.items())


def judge(
    recognition: Recognition[Any],
    minimum: float = 0.9,
    *,
    today: dt.date | None = None,
    checks: tuple[Check, ...] | None = None,
) -> Judgement:
    """Return the lowest confidence and the fields to look at, from one walk over the document.

    Args:
        recognition: The recognition.
        minimum: As in ``fields_to_review``.
        today: As in ``fields_to_review``.
        checks: The checks of the recognition, if they are made already.
    """
    objects = objects_of(recognition.document)
    confidences = [confidence_of(leaf) for _, leaf in objects]
    known = [confidence for confidence in confidences if confidence is not None]
    # Source: business registrations have 0.0 everywhere (answers of 2026). A constant 0.0 says nothing.
    lowest = min(known) if any(known) else None
    reasons: dict[str, list[str]] = {}
    if lowest is not None and lowest < minimum:
        pairs = zip(objects, confidences, strict=True)
        low = in_reading_order(pair for pair, confidence in pairs if confidence is not None and confidence < minimum)
        for field in low:
            reasons.setdefault(field.path, []).append(f"confidence {field.confidence:.2f}")
    for path, leaf in objects:
        reading = _reading_of(type(leaf))
        if reading is not None and getattr(leaf, reading.attribute) is None and cast("Any", leaf).value is not None:
            reasons.setdefault(path, []).append(f"the text is not {reading.kind}")
    for path, reason in _from_checks(recognition, check(recognition, today=today) if checks is None else checks):
        reasons.setdefault(path, []).append(reason)
    return Judgement(lowest, reasons)


def _from_checks(recognition: Recognition[Any], checks: tuple[Check, ...]) -> Iterator[tuple[str, str]]:
    for found in checks:
        if found.outcome == "failed":
            yield from ((path, f"{found.name}: {found.reason}") for path in found.fields)
    for problem in recognition.problems:
        yield problem.path, f"a {problem.kind} instead of a {problem.expected}"


class _Reading(NamedTuple):
    """The value that a text is read as: its attribute, and its kind in words."""

    attribute: str
    kind: str


_READINGS = {
    FloatObject: _Reading("decimal", "a number"),
    DateObject: _Reading("date", "a date"),
    TimeObject: _Reading("time", "a time"),
}


@functools.cache
def _reading_of(cls: type[Leaf]) -> _Reading | None:
    """Return the value that texts of a class are read as; None if they are texts alone."""
    return next((reading for base, reading in _READINGS.items() if issubclass(cls, base)), None)
