"""The places of a picture that a masked copy must cover. Pure.

An object of the answer must be covered if masking changes one of its texts, or if it stands at a path of
``sensitive_paths`` and has a place but no text: the service saw something there. So a second copy of a number in
another field, or in the machine readable zone, is covered as well. A number without a certain place is an error, never
a guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.documents.untyped import is_array, is_object
from clova_ocr_async.errors import RedactionError
from clova_ocr_async.protocol.echoed_input import quoted
from clova_ocr_async.results.redaction import mask_answer, rule_at
from clova_ocr_async.results.sensitive_paths import ALWAYS_PRINTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clova_ocr_async.pictures.polygons import Point
    from clova_ocr_async.results.sensitive_paths import Policy, Rule

__all__ = ["Corners", "HiddenPlace", "all_corners", "hidden_places"]

Corners = list["Point"]

_OWN_KEYS = ("boundingPolys", "boundingPoly", "subBoundingPolys")
_MASK_KEY = "maskingPolys"
_NOT_TEXTS = frozenset((*_OWN_KEYS, _MASK_KEY, "confidence", "confidenceScore", "keyText"))
# About the call and the file, not on the picture.
_NOT_DRAWN = frozenset({"uid", "name", "message", "inferResult", "validationResult", "convertedImageInfo"})
_DOCUMENTS = frozenset(document.answer_key for document in DOCUMENTS.values())
_CARDS = ("ic", "dl", "pp", "ac")
_CORNERS = 3  # of the smallest polygon
_FARTHEST = 1e6  # pixels; a coordinate beyond is not one


@dataclass(frozen=True, slots=True)
class HiddenPlace:
    """An object that must be covered.

    Attributes:
        path: Its path, for messages; it holds no value.
        text: Its text as it was read.
        rule: The rule of its own path; None if it holds a copy of another number.
        whole: The polygons around all of it: of each word, or one of the field.
        words: The polygons of each word.
        masks: The polygons that the service gives for the part that is usually masked.
    """

    path: str
    text: str
    rule: Rule | None
    whole: list[Corners]
    words: list[Corners]
    masks: list[Corners]


def hidden_places(answer: Any, policy: Policy) -> list[HiddenPlace]:
    """Return the places that a policy hides.

    Args:
        answer: The plain values of the whole answer.
        policy: "standard" or "all".

    Raises:
        RedactionError: A number that must be hidden has no certain place, or was not read although such a document
            always has it. The message names the field.
    """
    masked = mask_answer(answer, policy)
    found = _Found(policy)
    for image, masked_image in zip(_listed(answer["images"]), _listed(masked["images"]), strict=True):
        if is_object(image):
            _check_document(image)
            for key, masked_key in zip(image, masked_image, strict=True):
                if key not in _NOT_DRAWN:
                    found.walk(image[key], masked_image[masked_key], (key.strip(), masked_key.strip()), None)
    return [_place_of(wire, path, rule) for wire, path, rule in found.objects.values()]


def all_corners(value: Any) -> Iterator[Corners]:
    """Yield the corners of every usable polygon of an answer."""
    if is_object(value):
        if is_array(value.get("vertices")):
            corners = _corners_of(value)
            if corners is not None:
                yield corners
        for child in value.values():
            yield from all_corners(child)
    elif is_array(value):
        for child in value:
            yield from all_corners(child)


def _listed(value: Any) -> list[Any]:
    return value if is_array(value) else [value]


class _Found:
    """The objects to cover, by their identity.

    Args:
        policy: "standard" or "all".
    """

    def __init__(self, policy: Policy) -> None:
        self._policy: Policy = policy
        self.objects: dict[int, tuple[dict[str, Any], str, Rule | None]] = {}

    def walk(self, value: Any, masked: Any, paths: tuple[str, str], holder: tuple[dict[str, Any], str] | None) -> None:
        """Compare a value with its masked copy.

        Args:
            value: The value.
            masked: Its masked copy, of the same shape.
            paths: Its path in the vendor's names, and the same with masked keys and with numbers of elements.
            holder: The nearest object around it that has polygons, and its path.
        """
        if is_object(value):
            if any(key in value for key in (*_OWN_KEYS, _MASK_KEY)):
                holder = (value, paths[1])
                self._look_at(value, paths)
            for key, masked_key in zip(value, masked, strict=True):
                if key not in _NOT_TEXTS:
                    below = (f"{paths[0]}.{key.strip()}", f"{paths[1]}.{masked_key.strip()}")
                    self.walk(value[key], masked[masked_key], below, holder)
                    if key != masked_key:
                        self._add(holder, below)
        elif is_array(value):
            for index, (child, masked_child) in enumerate(zip(value, masked, strict=True)):
                self.walk(child, masked_child, (paths[0], f"{paths[1]}[{index}]"), holder)
        elif value != masked:
            self._add(holder, paths)

    def _look_at(self, value: dict[str, Any], paths: tuple[str, str]) -> None:
        """Cover an object of a sensitive path that has a place, and no text that could have been masked."""
        if rule_at(paths[0], self._policy) is not None and not _text_of(value).strip() and _has_polygons(value):
            self._add((value, paths[1]), paths)

    def _add(self, holder: tuple[dict[str, Any], str] | None, paths: tuple[str, str]) -> None:
        if holder is None:
            raise RedactionError(_no_place(paths[1]))
        wire, path = holder
        self.objects.setdefault(id(wire), (wire, path, rule_at(paths[0], self._policy)))


def _no_place(path: str) -> str:
    return f"{quoted(path)} must be hidden, and the answer has no polygon for it"


def _check_document(image: dict[str, Any]) -> None:
    """Refuse an image whose document is not known, or lacks a number that is printed on every one of its kind.

    Raises:
        RedactionError: There is no such number, or the document or its kind was not read.
    """
    documents = {key.strip(): value for key, value in image.items() if key.strip() in _DOCUMENTS}
    if not documents:
        raise RedactionError("the answer has no document, so it is not known what the picture shows")
    if "passport" in documents:
        raise RedactionError(
            "passportResult: the service gives no polygons for a passport, so its picture cannot be masked; "
            "read the passport as id-card"
        )
    card = documents.get("idCard", {}).get("result") if is_object(documents.get("idCard", {})) else None
    if "idCard" in documents and not (is_object(card) and any(card.get(kind) for kind in _CARDS)):
        raise RedactionError("idCard.result: the kind of the card was not read, so it is not known what it shows")
    for kind, numbers in ALWAYS_PRINTED.items():
        for name in numbers:
            if _was_not_read(image, kind, name):
                raise RedactionError(f"{kind}.{name} was not read, and every document of its kind shows it")


def _was_not_read(image: dict[str, Any], kind: str, name: str) -> bool:
    """Return whether an image shows a kind of document, and no number that has this name."""
    holder: Any = image
    for step in kind.split("."):
        holder = holder.get(step) if is_object(holder) else None
    if not is_object(holder) or not holder:
        return False
    found = next((holder[key] for key in holder if key.strip().lower() == name.lower()), None)
    return not any(is_object(cell) and cell for cell in _listed(found))


def _has_polygons(value: dict[str, Any]) -> bool:
    return any(_polygons_of(value.get(key)) for key in (*_OWN_KEYS, _MASK_KEY))


def _text_of(value: dict[str, Any]) -> str:
    text = value.get("text")
    return text if isinstance(text, str) else ""


def _place_of(wire: dict[str, Any], path: str, rule: Rule | None) -> HiddenPlace:
    """Return the place of an object.

    Raises:
        RedactionError: A polygon is missing or is not one.
    """
    around, words = _polygons_of(wire.get("boundingPoly")), _polygons_of(wire.get("subBoundingPolys"))
    if not around:
        around = words = _polygons_of(wire.get("boundingPolys"))
    text = _text_of(wire)
    if not around or (words and "boundingPoly" not in wire and len(words) < len(text.split())):
        raise RedactionError(_no_place(path) if not around else f"{quoted(path)} has fewer polygons than words")
    shapes = [[_corners_of(polygon) for polygon in part] for part in (around, words, _polygons_of(wire.get(_MASK_KEY)))]
    whole, parts, masks = ([corners for corners in part if corners is not None] for part in shapes)
    if any(None in part for part in shapes):
        raise RedactionError(f"{quoted(path)} has a polygon without an area")
    return HiddenPlace(path, text, rule, whole, parts, masks)


def _polygons_of(value: Any) -> list[Any]:
    return [polygon for polygon in _listed(value) if polygon is not None and polygon != {}]


def _corners_of(polygon: Any) -> Corners | None:
    """Return the corners of a polygon; None if it is not one."""
    vertices = polygon.get("vertices") if is_object(polygon) else None
    corners = [
        (float(vertex["x"]), float(vertex["y"]))
        for vertex in (vertices if is_array(vertices) else [])
        if is_object(vertex) and _is_coordinate(vertex.get("x")) and _is_coordinate(vertex.get("y"))
    ]
    return corners if is_array(vertices) and len(corners) == len(vertices) >= _CORNERS else None


def _is_coordinate(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and abs(value) < _FARTHEST
    )
