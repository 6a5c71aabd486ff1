"""Lenient decoding of an answer that does not fit: each misfit costs its own field, nothing else, and is listed.

A typed decoder refuses a whole body because of one value. This walk visits the untyped value once, beside the structs'
fields, so its cost is linear in the body with any number of misfits.
"""

from __future__ import annotations

import functools
import math
import types
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from clova_ocr_async.documents.base import VendorObject, absent
from clova_ocr_async.documents.untyped import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Problem", "places_in", "read_leniently", "unknown_paths"]

ObjectT = TypeVar("ObjectT", bound=VendorObject)

_MAX_PROBLEMS = 1000  # listed; a few are enough to show that a field has changed its shape everywhere
_REPLACED = "\ufffd"  # the replacement of bytes that are not UTF-8; the rest of the text is kept

_KINDS: dict[type, str] = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


class Problem(msgspec.Struct, frozen=True):
    """A field of an unexpected shape.

    Attributes:
        path: Its place in the answer, in the vendor's names.
        expected: The kind of value that the specification documents.
        kind: The kind of value in the answer: string, number, boolean, array or object.
    """

    path: str
    expected: str
    kind: str


def read_leniently(cls: type[ObjectT], value: Any) -> tuple[ObjectT, tuple[Problem, ...]]:
    """Convert any untyped value to a struct; return it with its misfits, at most 1,000."""
    problems: list[Problem] = []
    return _object(cls, value, "", problems), tuple(problems)


def unknown_paths(cls: type[VendorObject], value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of keys that no struct has."""
    if not is_object(value):
        return
    known = places_in(cls)
    for key, item in value.items():
        here = _join(path, key)
        if key not in known:
            yield here
        elif (struct := known[key].struct) is not None:
            if is_array(item):
                for index, element in enumerate(item):
                    yield from unknown_paths(struct, element, f"{here}[{index}]")
            else:
                yield from unknown_paths(struct, item, here)


class _Place(NamedTuple):
    """The attribute of a wire name and its type; of structs also the class, and whether an object or an array fits."""

    attribute: str
    type_: Any
    struct: type[VendorObject] | None
    takes_object: bool
    takes_array: bool


# Filled at the first misfit of a class: resolving type hints is slow, and most answers fit.
_places: dict[type[VendorObject], dict[str, _Place]] = {}


def places_in(cls: type[VendorObject]) -> dict[str, _Place]:
    """Return the fields of a class by their names on the wire."""
    if cls not in _places:
        hints = get_type_hints(cls)
        names = zip(cls.__struct_encode_fields__, cls.__struct_fields__, strict=True)
        _places[cls] = {wire: _place(attribute, hints[attribute]) for wire, attribute in names}
    return _places[cls]


def _place(attribute: str, type_: Any) -> _Place:
    objects = _structs_among(_members(type_))
    elements = [get_args(member)[0] for member in _members(type_) if get_origin(member) is tuple]
    arrays = [struct for element in elements for struct in _structs_among(_members(element))]
    return _Place(attribute, type_, next(iter(objects + arrays), None), bool(objects), bool(arrays))


def _structs_among(members: tuple[Any, ...]) -> list[type[VendorObject]]:
    return [member for member in members if isinstance(member, type) and issubclass(member, VendorObject)]


def _members(type_: Any) -> tuple[Any, ...]:
    return get_args(type_) if get_origin(type_) in {Union, types.UnionType} else (type_,)


def _object(cls: type[ObjectT], value: Any, path: str, problems: list[Problem]) -> ObjectT:
    # The vendor has made arrays of objects before (subTotal, 2023-11), so both directions are read.
    if is_array(value) and len(value) == 1:
        _misfit(path, "object", value, problems)
        value = value[0]
    if not is_object(value):
        _misfit(path, "object", value, problems)
        return absent(cls)
    found: dict[str, Any] = {}
    for wire, place in places_in(cls).items():
        if (item := value.get(wire)) is not None:
            read = _read(place, item, _join(path, wire), problems)
            if read is not None:
                found[place.attribute] = read
    return cls(**found)


def _read(place: _Place, value: Any, path: str, problems: list[Problem]) -> Any:
    """Convert a value that is not null; None if it does not fit."""
    if place.struct is None:
        return _leaf(place.type_, value, path, problems)
    if place.takes_object and (is_object(value) or not place.takes_array):
        return _object(place.struct, value, path, problems)
    if is_object(value):
        _misfit(path, "array", value, problems)
        value = [value]
    if not is_array(value):
        _misfit(path, "array", value, problems)
        return None
    return tuple(_elements(place.struct, value, path, problems))


def _elements(cls: type[ObjectT], values: list[Any], path: str, problems: list[Problem]) -> Iterator[ObjectT]:
    for index, value in enumerate(values):
        if is_object(value):
            yield _object(cls, value, f"{path}[{index}]", problems)
        elif value is not None:
            _misfit(f"{path}[{index}]", "object", value, problems)


def _leaf(type_: Any, value: Any, path: str, problems: list[Problem]) -> Any:
    if isinstance(value, str) and _takes_numbers_only(type_):
        # The service sends "64.0" for 64.0, and "" or "-" for an absent number.
        if value.strip() in {"", "-"}:
            return None
        lax = _converted(value, type_, strict=False)
        return lax if isinstance(lax, int | float) else _misfit(path, _expected(type_), value, problems)
    if isinstance(value, str) and _REPLACED in value:
        _misfit(path, "UTF-8", value, problems)
    read = _converted(value, type_, strict=True)
    return _misfit(path, _expected(type_), value, problems) if read is None else read


def _converted(value: Any, type_: Any, *, strict: bool) -> Any:
    try:
        read = msgspec.convert(value, type_, strict=strict)
    except (msgspec.ValidationError, ValueError):  # ValueError: a number of thousands of digits in a text
        return None
    # JSON has no infinity, so a document with one could not be encoded again.
    return None if isinstance(read, float) and not math.isfinite(read) else read


def _misfit(path: str, expected: str, value: Any, problems: list[Problem]) -> None:
    if len(problems) < _MAX_PROBLEMS:
        problems.append(Problem(path, expected, _KINDS[type(value)]))


@functools.cache
def _takes_numbers_only(type_: Any) -> bool:
    takes = set(get_args(type_))
    return bool({int, float} & takes) and str not in takes


@functools.cache
def _expected(type_: Any) -> str:
    names = {_KINDS.get(get_origin(part) or part, "array") for part in get_args(type_) or (type_,)}
    return " or ".join(sorted(names - {"null"}))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
