"""The values that were read, one by one: as a list in reading order, as a tree for people, and with other texts."""

from __future__ import annotations

import functools
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import msgspec

from clova_ocr_async.documents.base import Leaf, VendorObject, absent, public_name, safe_repr
from clova_ocr_async.documents.lenient import places_in
from clova_ocr_async.documents.objects import BaseObject, BoundingPoly, Field
from clova_ocr_async.documents.parsing import number_or_none

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from clova_ocr_async.documents.base import Document

__all__ = ["ReadField", "confidence_of", "fields_of", "in_reading_order", "objects_of", "tree_lines", "with_texts"]

ObjectT = TypeVar("ObjectT", bound=VendorObject)

_INDENT = "  "


class ReadField(NamedTuple):
    """One value that was read; its ``repr`` shows its path alone.

    Attributes:
        path: Its place in the document, in the vendor's names, as in "result.storeInfo.name".
        value: The formatted value, else the text; a number, or True or False, in a passport.
        text: The text as it was read; None if there is none.
        confidence: Reliability of the reading, 0 to 1; None if the answer has none.
        polygons: Where it stands, a polygon a word; empty if the answer has none.
    """

    path: str
    value: str | int | bool | None
    text: str | None
    confidence: float | None
    polygons: tuple[BoundingPoly, ...]

    def __repr__(self) -> str:
        return f"ReadField(path={self.path!r}, value={safe_repr(self.value)})"


def fields_of(document: Document) -> list[ReadField]:
    """Return the values of a document in reading order."""
    return in_reading_order(objects_of(document))


def objects_of(value: VendorObject, path: str = "") -> list[tuple[str, Leaf]]:
    """Return the objects of one value that an answer has, with their paths, in the order of the document's class.

    Args:
        value: A document, or a part of one.
        path: The place of the part in the document.
    """
    found: list[tuple[str, Leaf]] = []
    _add(value, path, found)
    return found


def _add(value: VendorObject, path: str, found: list[tuple[str, Leaf]]) -> None:
    """Add an object, if it is of one value, and those below it."""
    if isinstance(value, Leaf):
        found.append((path, value))
    for child_of, here, nothing, is_end in _places_below(type(value), path):
        child = child_of(value)
        # The default object of an absent key: the answer does not have it.
        if child is nothing:
            continue
        if isinstance(child, tuple):
            elements = enumerate(cast("tuple[Any, ...]", child))  # type: ignore[redundant-cast]  # pyright needs it
            for index, element in elements:
                if is_end:
                    found.append((f"{here}[{index}]", element))
                else:
                    _add(element, f"{here}[{index}]", found)
        elif is_end:
            found.append((here, child))
        else:
            _add(child, here, found)


@functools.lru_cache(1024)  # those of most answers; only long arrays have more
def _places_below(
    cls: type[VendorObject], path: str
) -> tuple[tuple[Callable[[VendorObject], Any], str, object, bool], ...]:
    """Return the function that returns it, the place, the default and the end of each branch of a class.

    A branch ends where nothing further is below it.
    """
    start = f"{path}." if path else ""
    return tuple(
        (attrgetter(branch.attribute), f"{start}{branch.wire}", branch.nothing, not _branches(branch.struct))
        for branch in _far_branches(cls)
    )


class _Branch(NamedTuple):
    """A field that leads to values.

    Attributes:
        attribute: Its attribute.
        wire: Its name on the wire.
        nothing: Its value where the answer does not have it.
        struct: The class of its object, or of those of its array.
        is_object: Whether it is an object, and never an array.
    """

    attribute: str
    wire: str
    nothing: object
    struct: type[VendorObject]
    is_object: bool


@functools.cache
def _far_branches(cls: type[VendorObject]) -> tuple[_Branch, ...]:
    """Return the branches of a class down to values and arrays: a walk need not stop at the objects between.

    Attributes and names have dots then. An object that the answer does not have is an empty one, so none is in the way.
    """
    found: list[_Branch] = []
    for branch in _branches(cls):
        if branch.is_object and not issubclass(branch.struct, Leaf):
            found += (
                far._replace(attribute=f"{branch.attribute}.{far.attribute}", wire=f"{branch.wire}.{far.wire}")
                for far in _far_branches(branch.struct)
            )
        else:
            found.append(branch)
    return tuple(found)


@functools.cache
def _branches(cls: type[VendorObject]) -> tuple[_Branch, ...]:
    """Return the fields of a class that lead to values.

    Most objects of an answer are corners of polygons, and a walk that looks at them takes ten times as long.
    """
    return tuple(
        _Branch(
            place.attribute, wire.strip(), getattr(absent(cls), place.attribute), place.struct, not place.takes_array
        )
        for wire, place in places_in(cls).items()
        if place.struct is not None and (issubclass(place.struct, Leaf) or _branches(place.struct))
    )


def confidence_of(leaf: Leaf) -> float | None:
    """Return the reliability of a value, 0 to 1; None if nothing was read, or if the answer has none."""
    if isinstance(leaf, BaseObject):
        # Nearly all objects have a text, and to look at its attribute alone is faster.
        if leaf.wire_text is None and leaf.text is None and leaf.value is None:
            return None
        score = leaf.wire_confidence_score
        return score if type(score) is float and 0 <= score <= 1 else number_or_none(score)  # nearly all are in range
    if isinstance(leaf, Field):
        return None if leaf.text is None else leaf.confidence
    return None


def in_reading_order(objects: Iterable[tuple[str, Leaf]]) -> list[ReadField]:
    """Return those of some objects that have a value, in reading order: line by line, each from left to right.

    Values without a polygon, as all of a passport are, come last, in the order of the answer.
    """
    found = [field for path, value in objects if (field := _leaf(value, path)) is not None]
    boxes = [(_box(field.polygons), field) for field in found]
    placed = [(box, field) for box, field in boxes if box is not None]
    return [*_in_lines(placed), *(field for box, field in boxes if box is None)]


def _leaf(leaf: Any, path: str) -> ReadField | None:
    """Return the value of an object; None if nothing was read."""
    text = getattr(leaf, leaf.TEXT)
    if leaf.value is None and text is None:
        return None
    if isinstance(leaf, Field):
        polygons = (leaf.bounding_poly,) if leaf.bounding_poly else leaf.sub_bounding_polys
        return ReadField(path, leaf.value, text, leaf.confidence, tuple(polygons))
    if isinstance(leaf, BaseObject):
        return ReadField(path, leaf.value, text, leaf.confidence_score, tuple(leaf.bounding_polys))
    return ReadField(path, leaf.value, text, None, ())


def with_texts(document: ObjectT, texts: Mapping[str, str]) -> ObjectT:
    """Return a copy of a document that has other texts at some paths, without the service's normal form of them.

    Args:
        document: The document.
        texts: The texts by the paths of ``fields_of``. A path may also be that of an object that the answer has not; a
            path that no document of the class can have, or of an element that its array has not, is left out.
    """
    return _with_texts(document, "", texts)


def _with_texts(value: ObjectT, path: str, texts: Mapping[str, str]) -> ObjectT:
    changed: dict[str, Any] = {}
    for attribute, wire, nothing, *_ in _branches(type(value)):
        here = f"{path}.{wire}" if path else wire
        if not any(text.startswith(here) for text in texts):
            continue
        child = getattr(value, attribute)
        if isinstance(child, tuple):
            if child is nothing:
                continue
            elements = enumerate(cast("tuple[VendorObject, ...]", child))
            changed[attribute] = tuple(_with_texts(element, f"{here}[{index}]", texts) for index, element in elements)
        else:
            changed[attribute] = _with_texts(child, here, texts)
    if isinstance(value, Leaf) and path in texts:
        changed |= _text_of(value, texts[path])
    return msgspec.structs.replace(value, **changed) if changed else value


def _text_of(leaf: Leaf, text: str) -> dict[str, Any]:
    """Return the attributes of an object of one value that consists of a text."""
    match leaf:
        case Field():
            return {"text": text}
        case BaseObject():
            formatted: VendorObject | None = getattr(leaf, "formatted", None)
            bare: dict[str, Any] = {} if formatted is None else {"formatted": absent(type(formatted))}
            return {"wire_text": text, "wire_empty_key": None} | bare
        case _:
            return {"raw_text": text, "wire_refined_text": text, "wire_refined_text_blank": None}


class _Box(NamedTuple):
    left: float
    top: float
    bottom: float


def _box(polygons: Sequence[BoundingPoly]) -> _Box | None:
    corners = [
        (corner.x, corner.y)
        for polygon in polygons
        for corner in polygon.vertices
        if corner.x is not None and corner.y is not None
    ]
    if not corners:
        return None
    rows = [y for _, y in corners]
    return _Box(min(x for x, _ in corners), min(rows), max(rows))


def _in_lines(fields: Iterable[tuple[_Box, ReadField]]) -> Iterator[ReadField]:
    """Sort fields into lines: a field stands in a line if its middle is above the bottom of the line's first field."""
    # By the first field of a line, and not by a grid: lines have any height, and photographed ones are a little askew.
    line: list[tuple[_Box, ReadField]] = []
    for box, field in sorted(fields, key=lambda item: item[0].top):
        if line and (box.top + box.bottom) / 2 > line[0][0].bottom:
            yield from _from_left(line)
            line = []
        line.append((box, field))
    yield from _from_left(line)


def _from_left(line: list[tuple[_Box, ReadField]]) -> Iterator[ReadField]:
    return (field for _, field in sorted(line, key=lambda item: item[0].left))


def tree_lines(name: str, value: object, depth: int = 0) -> Iterator[str]:
    """Yield the lines of a tree: names as they are typed, values, and confidences in brackets.

    Args:
        name: The name of the value.
        value: An object of an answer, or a plain value of one.
        depth: How far the first line is indented.
    """
    indent = _INDENT * depth
    if isinstance(value, tuple):
        for index, element in enumerate(cast("tuple[object, ...]", value)):
            yield from tree_lines(f"{name}[{index}]", element, depth)
        return
    if not isinstance(value, VendorObject):
        yield f"{indent}{name}: {value}"
        return
    children = list(_children(value))
    leaf = _leaf(value, name) if isinstance(value, Leaf) else None
    if leaf is not None:
        confidence = "" if leaf.confidence is None else f"  ({leaf.confidence:.2f})"
        yield f"{indent}{name}: {leaf.text if leaf.value is None else leaf.value}{confidence}"
    # An empty branch is left out, but not the root: an empty document must not print nothing.
    elif children or depth == 0:
        yield f"{indent}{name}"
    for child_name, child in children:
        yield from tree_lines(child_name, child, depth + 1)


def _children(value: VendorObject) -> Iterator[tuple[str, object]]:
    """Yield what stands below an object; of an object of one value only further objects of values."""
    for name in value.__struct_fields__:
        child = getattr(value, name)
        if child is None or _is_place(child):
            continue
        if isinstance(child, VendorObject | tuple):
            if child and not (isinstance(value, Leaf) and name == "formatted"):
                yield public_name(type(value), name), child
        elif not isinstance(value, Leaf):
            yield public_name(type(value), name), child


def _is_place(value: object) -> bool:
    """Return whether a value is a polygon, or an array of them."""
    parts = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    return any(isinstance(part, BoundingPoly) for part in parts)
