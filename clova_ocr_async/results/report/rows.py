"""The rows of the report: each record of a run as the page's script reads it.

A key whose value is None, False, 0 or empty is left out: a run has thousands of rows, and the script takes an absent
key for one of these.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from clova_ocr_async.batch.outcome import Success
from clova_ocr_async.errors import APIError, RecognitionError
from clova_ocr_async.results.original_picture import Way, known_place, same_point
from clova_ocr_async.results.records import bill_of
from clova_ocr_async.results.report.causes import cause_of
from clova_ocr_async.results.rows import name_in_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from clova_ocr_async.documents import Recognition
    from clova_ocr_async.documents.fields import ReadField
    from clova_ocr_async.documents.objects import BoundingPoly
    from clova_ocr_async.errors import ClovaOCRError
    from clova_ocr_async.pictures.polygons import Point
    from clova_ocr_async.results.checks import Check
    from clova_ocr_async.results.report.reading import Reading

__all__ = ["Place", "bare_path", "place_of", "points_of", "row_of"]

_CORNERS = 3  # of the smallest polygon
_FARTHEST = 1e6  # pixels; a coordinate beyond is not one
_NUMBERS = re.compile(r"\[[0-9]+\]")


class Place(NamedTuple):
    """The picture that a page shows, as the coordinates of its polygons name it.

    Attributes:
        size: Its width and height; None if they are not known.
        way: The function from a point of the answer to a point of the picture.
    """

    size: tuple[float, float] | None = None
    way: Way = same_point


def place_of(recognition: Recognition[Any]) -> Place:
    """Return the place of a recognition's polygons on its original picture, as far as it is known without the file."""
    return Place(*known_place(recognition, lambda: points_of(recognition)))


def points_of(recognition: Recognition[Any]) -> list[list[Point]]:
    """Return the corners of all polygons of a recognition's fields."""
    return [_corners(polygon) for field in recognition.fields() for polygon in field.polygons]


def row_of(
    reading: Reading, number: int, *, place: Place | None = None, words: Callable[[str], str] = str
) -> dict[str, Any]:
    """Return a record as a row of the page, without its picture.

    Args:
        reading: The record.
        number: The number of the row, from 0.
        place: The picture that is shown; if not given, the original as far as it is known.
        words: Returns the message of an error in the words of the place where the page is made.
    """
    record, error = reading.record, reading.error
    bill = bill_of(reading.outcome, record.copy_of)
    call = reading.outcome.recognition if isinstance(reading.outcome, Success) else reading.outcome.error
    cause = cause_of(reading)
    row: dict[str, Any] = {
        "source": None if record.path is None else reading.text(name_in_table(record.path)),
        "file": _file_name(reading),
        "page": record.page,
        "document": record.document,
        "status": record.status,
        "billed": bill["billed"] is True,
        "maybe": bill["maybe_billed"],
        "copy_of": None if bill["copy_of"] is None else reading.text(name_in_table(bill["copy_of"])),
        "request_id": call.request_id,
        "seconds": None if reading.entry is None else round(reading.entry.elapsed, 3),
        "error": None if error is None else _error(error, reading, words),
        "cause": None if cause is None else cause.id,
        "columns": _own_columns(reading),
    }
    found = {"n": number} | {key: value for key, value in row.items() if value}
    # A lowest confidence of 0 means something, unlike that of an answer whose confidences are all 0.
    if (lowest := reading.judgement.lowest) is not None:
        found["min"] = round(lowest, 4)
    return found | _values(reading, place)


def bare_path(path: str) -> str:
    """Return the path of a field without the numbers of elements, as checks and columns have it."""
    return _NUMBERS.sub("", path) if "[" in path else path


def _file_name(reading: Reading) -> str:
    record = reading.record
    if record.path is not None:
        return PurePosixPath(reading.text(name_in_table(record.path))).name
    return "" if reading.entry is None else f"sha256 {reading.entry.item.sha256.hex()[:12]}…"


def _own_columns(reading: Reading) -> dict[str, str]:
    """Return the columns of its own that a list gave the image, as text; none that another program has broken."""
    with suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        found = msgspec.json.decode(reading.record.columns, type=dict[str, Any])
        texts = {
            name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for name, value in found.items()
        }
        return {reading.text(name): reading.text(text) for name, text in texts.items() if text not in {"", "null"}}
    return {}


def _error(error: ClovaOCRError, reading: Reading, words: Callable[[str], str]) -> dict[str, Any]:
    code = error.infer_result if isinstance(error, RecognitionError) else None
    code = error.code if isinstance(error, APIError) else code
    return {"type": type(error).__name__, "code": code, "message": reading.text(words(str(error)))}


# ---------------------------------------------------------------------------------------------------------------------
# What was read


def _values(reading: Reading, place: Place | None) -> dict[str, Any]:
    """Return the part of a row that only an image that was read has."""
    if reading.shown is None:
        return {}
    place = place_of(reading.shown) if place is None else place
    checks = [_check(one) for one in reading.checks if one.outcome != "passed"]
    found: dict[str, Any] = {
        "size": None if place.size is None else _short(place.size),
        "fields": list(_fields(reading, reading.shown, place.way)),
        "checks": checks,
    }
    return {key: value for key, value in found.items() if value}


def _check(check: Check) -> dict[str, Any]:
    return {"name": check.name, "outcome": check.outcome, "reason": check.reason, "fields": check.fields}


def _fields(reading: Reading, shown: Recognition[Any], way: Way) -> Iterator[dict[str, Any]]:
    """Yield the fields in reading order, then the places that should be looked at and have no value."""
    # A check may name all elements of an array at once.
    reasons = reading.judgement.reasons
    plain = None
    if reading.recognition is not None and shown is not reading.recognition:
        plain = {field.path: field for field in reading.recognition.fields()}
    judged = reading.judgement.lowest is not None
    seen: set[str] = set()
    for field in shown.fields():
        bare = bare_path(field.path)
        why = reasons.get(field.path) or reasons.get(bare)
        seen |= {field.path, bare}
        yield _field(field, way, why=why, judged=judged, hidden=_is_hidden(field, plain))
    # The lines of a receipt as a whole are not a field; the check that compares their sum is a row of its own.
    for path, why in reasons.items():
        if path not in seen and path not in _WHOLES:
            yield {"p": path, "t": "", "why": why}


_WHOLES = frozenset({"result.subResults"})


def _is_hidden(field: ReadField, plain: Mapping[str, ReadField] | None) -> bool:
    if plain is None:
        return False
    before = plain.get(field.path)
    return before is None or (before.text, before.value) != (field.text, field.value)


def _field(field: ReadField, way: Way, *, why: list[str] | None, judged: bool, hidden: bool) -> dict[str, Any]:
    value = None if field.value is None else str(field.value)
    text = field.text if field.text is not None else value
    found: dict[str, Any] = {"p": field.path, "t": text}
    if value != text and value is not None:
        found["v"] = value
    # A service that gives no confidences writes 0 for each.
    if judged and field.confidence is not None:
        found["c"] = round(field.confidence, 4)
    places = [_moved(corners, way) for polygon in field.polygons if len(corners := _corners(polygon)) >= _CORNERS]
    if places:
        found["b"] = places
    if why is not None:
        found["why"] = why
    if hidden:
        found["m"] = 1
    return found


def _corners(polygon: BoundingPoly) -> list[Point]:
    return [
        (vertex.x, vertex.y)
        for vertex in polygon.vertices
        if vertex.x is not None and vertex.y is not None and abs(vertex.x) < _FARTHEST and abs(vertex.y) < _FARTHEST
    ]


def _moved(corners: list[Point], way: Way) -> list[float]:
    if way is not same_point:
        corners = [way(corner) for corner in corners]
    return _short([number for corner in corners for number in corner])


def _short(numbers: Iterable[float]) -> list[float]:
    """Return coordinates with one decimal, whole ones without it."""
    return [whole if (whole := int(number)) == number else round(number, 1) for number in numbers]
