"""The first object of an array, for chains of attributes that never fail."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar, cast

from clova_ocr_async.documents.base import VendorObject, absent
from clova_ocr_async.documents.envelope import ImageAnswer
from clova_ocr_async.documents.lenient import places_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["first"]

ObjectT = TypeVar("ObjectT", bound=VendorObject)


def first(objects: Sequence[ObjectT]) -> ObjectT:
    """Return the first object of an array; if there is none, an empty one.

    The empty one is falsy. Its attributes are None, or empty as well, so that a chain never fails:
    ``first(card.result.ic.name).value`` is None where no name was read.

    Args:
        objects: An array of an answer, such as ``recognition.document.result.ic.name``.
    """
    if isinstance(objects, VendorObject):
        # Receipts and credit cards have single objects where other documents have arrays.
        return cast("ObjectT", objects)
    return objects[0] if objects else cast("ObjectT", _EMPTY)


class _Empty:
    """An absent object of no certain class: the array that would show its class is empty."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        values = _absent_values()
        if name not in values:
            raise AttributeError(f"no object of an answer has the attribute {name!r}")
        return values[name]

    def __bool__(self) -> bool:
        return False

    def __iter__(self) -> Iterator[Any]:  # where other documents have an array
        return iter(())

    def __repr__(self) -> str:
        return "<nothing was read>"

    def __reduce__(self) -> str:
        return "_EMPTY"


_EMPTY = _Empty()


@functools.cache
def _absent_values() -> dict[str, Any]:
    """Return the value of each attribute that an object of an array may have, as it is where the object is absent."""
    found: dict[str, Any] = {}
    for cls in _classes_in_arrays():
        for name in _names(cls):
            value = getattr(absent(cls), name)
            # An attribute that is an object in one class may be text in another: an empty object suits both.
            if isinstance(value, VendorObject):
                found[name] = _EMPTY
            else:
                found.setdefault(name, value)
    return found


def _names(cls: type[VendorObject]) -> Iterator[str]:
    yield from (name for name in cls.__struct_fields__ if not name.startswith("wire_"))
    yield from (name for name in dir(cls) if isinstance(getattr(cls, name), property))


def _classes_in_arrays() -> set[type[VendorObject]]:
    """Return the classes of the objects in arrays of answers, and of the objects below those."""
    # Each class at most twice, since it may stand in an array in one document and alone in another.
    seen: set[tuple[type[VendorObject], bool]] = set()
    pending: list[tuple[type[VendorObject], bool]] = [(ImageAnswer, False)]
    while pending:
        cls, in_array = pending.pop()
        if (cls, in_array) not in seen:
            seen.add((cls, in_array))
            places = places_in(cls).values()
            pending += [(place.struct, in_array or place.takes_array) for place in places if place.struct is not None]
    return {cls for cls, in_array in seen if in_array}
