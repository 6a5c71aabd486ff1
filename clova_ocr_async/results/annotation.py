"""Pictures with the fields that were read: a box around each, and beside the picture its name and value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.extras import load_module
from clova_ocr_async.results.arguments import require_recognition
from clova_ocr_async.results.original_picture import open_original

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.documents import Recognition
    from clova_ocr_async.documents.fields import ReadField
    from clova_ocr_async.pictures.labelled import Label
    from clova_ocr_async.pictures.polygons import Point
    from clova_ocr_async.results.original_picture import PictureSource

__all__ = ["annotate"]


class _Level(NamedTuple):
    """Boxes of one range of confidences.

    Attributes:
        minimum: The lowest confidence; None for values without one.
        meaning: The line of the legend.
        colour: Dark enough for white figures, and told apart by colour-blind people.
        pattern: Lengths of line and gap.
    """

    minimum: float | None
    meaning: str
    colour: str
    pattern: tuple[float, ...]


_LEVELS = (
    _Level(0.9, "confidence 0.90 or more", "#005f9e", ()),
    _Level(0.7, "confidence 0.70 to 0.89", "#a85400", (6, 3)),
    _Level(0.0, "confidence below 0.70", "#b3123a", (2, 2)),
    _Level(None, "no confidence stated", "#55555f", (5, 2, 1, 2)),
)
_CORNERS = 3  # of the smallest polygon
_FARTHEST = 1e6  # pixels; a coordinate beyond is not one, and the dashes of a line to it would fill the memory


def annotate(image: PictureSource, recognition: Recognition[Any]) -> bytes:
    """Return a PNG of a picture with a numbered box around each value, and at its right the list of names and values.

    Colour and pattern of a box show the confidence. The picture is upright, as a viewer shows it, and has its place at
    the top left of the result. It shows personal values; for a masked picture see ``redact_image``. Blocking.

    Args:
        image: The original, as it was given to be recognized: a path, bytes, a file, an Image, a Page, a PIL image.
        recognition: Its recognition.

    Raises:
        ConfigurationError: The extra ``pictures`` is not installed.
        ImageError: The picture cannot be read, or is not the one that was read.
        TypeError: ``recognition`` is not a recognition.
    """
    require_recognition(recognition)
    labelled = load_module("clova_ocr_async.pictures.labelled", "drawing on a picture")
    typeface = load_module("clova_ocr_async.pictures.typeface", "drawing on a picture").find_typeface()
    if not typeface.hangul:
        raise ConfigurationError("labels need a font with Hangul: pip install 'clova-ocr-async[pictures]'")
    fields = recognition.fields()
    places = [_places(field) for field in fields]
    original = open_original(image, recognition, [corners for place in places for corners in place])
    labels = _labels(labelled, fields, places, original.ways[0])
    used = {label.style.meaning for label in labels if label.boxes}
    legend = [labelled.BoxStyle(*level[1:]) for level in _LEVELS if level.meaning in used]
    drawing = load_module("clova_ocr_async.pictures.drawing", "drawing on a picture")
    annotated: bytes = drawing.encode_pixels(labelled.draw_labels(original.pixels, labels, legend, typeface), "png")
    return annotated


def _labels(
    labelled: Any, fields: list[ReadField], places: list[list[list[Point]]], way: Callable[[Point], Point]
) -> list[Label]:
    # A service that gives no confidences writes 0 for each.
    judged = any(field.confidence for field in fields)
    labels: list[Label] = []
    for field, place in zip(fields, places, strict=True):
        confidence = field.confidence if judged else None
        style = labelled.BoxStyle(*_level_of(confidence)[1:])
        note = "" if confidence is None else f"{confidence:.2f}"
        boxes = [[way(point) for point in corners] for corners in place]
        labels.append(labelled.Label(_name(field), str(field.value), note, style, boxes))
    return labels


def _level_of(confidence: float | None) -> _Level:
    if confidence is None:
        return _LEVELS[-1]
    return next(level for level in _LEVELS if level.minimum is not None and confidence >= level.minimum)


def _name(field: ReadField) -> str:
    return field.path.removeprefix("result.").removeprefix("passportResult.")


def _places(field: ReadField) -> list[list[Point]]:
    """Return the corners of a field's polygons; those without an area, or far from every picture, have none."""
    found = (
        [(vertex.x, vertex.y) for vertex in polygon.vertices if vertex.x is not None and vertex.y is not None]
        for polygon in field.polygons
    )
    usable = (corners for corners in found if len(corners) >= _CORNERS)
    return [corners for corners in usable if all(abs(x) < _FARTHEST and abs(y) < _FARTHEST for x, y in corners)]
