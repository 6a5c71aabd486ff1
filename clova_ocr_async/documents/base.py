"""The base of every object of an answer.

Three rules make a chain of attributes safe: an absent object is a shared, empty, falsy instance, an absent list is an
empty tuple, an absent scalar is None. ``null`` counts as absent.

Where the vendor spells a field in several ways, each spelling is a field named ``wire_…``, and the public name is a
property over them. So a document encodes to exactly the keys, nesting and values that it was decoded from.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ABSENT", "Document", "Leaf", "Shape", "VendorObject", "absent", "public_name", "safe_repr"]


class _AbsentList(tuple[Any, ...]):
    """An empty tuple that differs from an empty list of the vendor's, so that both encode as they were decoded."""

    __slots__ = ()

    def __reduce__(self) -> str:
        return "ABSENT"  # pickled by reference: a copy would count as a list that the vendor sent


ABSENT: tuple[Any, ...] = _AbsentList()
"""The value of an absent list: equal to ``()``."""

# An object is absent if it is this very instance; an empty object that the vendor sent is another one.
_absent_objects: dict[type[VendorObject], VendorObject] = {}

ObjectT = TypeVar("ObjectT", bound="VendorObject")


def absent(cls: type[ObjectT]) -> ObjectT:
    """Return the shared instance that represents an absent object of a class."""
    found: Any = _absent_objects.get(cls)
    if found is None:
        found = _absent_objects[cls] = cls()
    instance: ObjectT = found
    return instance


def safe_repr(value: object) -> str:
    """Return a description of a value by names and lengths, without the value itself."""
    match value:
        case msgspec.Struct():
            return repr(value)
        case str() | bytes():
            return f"<{len(value)} {'characters' if isinstance(value, str) else 'bytes'}>"
        case tuple() | list() | dict():
            return f"<{len(cast('tuple[object, ...]', value))} items>"
        case _:
            return f"<{type(value).__name__}>"


_PREFIX = "wire_"
_MARKS = ("upper_", "blank_", "empty_")  # in the names of fields for further spellings
# The business registration has its texts under an empty key; the sum had another name before 2021-07-22.
_RENAMED = {"key": "text", "foundvaluessum": "foundvaluesum"}


@functools.cache
def public_name(cls: type[VendorObject], field: str) -> str:
    """Return the name under which people read a field: that of the property over it, where it is a spelling."""
    if not field.startswith(_PREFIX):
        return field
    bare = field.removeprefix(_PREFIX)
    for mark in _MARKS:
        bare = bare.removeprefix(mark)
    bare = bare.removesuffix("_blank").replace("_", "")
    bare = _RENAMED.get(bare, bare)
    return next(name for name in dir(cls) if name.replace("_", "") == bare and not name.startswith("_"))


class Shape:
    """A description whose ``repr`` has no quotes; for libraries that print the parts of an object."""

    __slots__ = ("_description",)

    def __init__(self, description: str) -> None:
        self._description = description

    def __repr__(self) -> str:
        return self._description


# No garbage collection: an answer is a tree of immutable objects, which cannot contain a cycle.
class VendorObject(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, rename="camel"):
    """The base of every object of an answer: immutable, falsy when empty, and printed without its values."""

    def __bool__(self) -> bool:
        return self != absent(type(self))

    def __repr__(self) -> str:
        shown = (f"{name}={safe_repr(value)}" for name, value in self._present())
        return f"{type(self).__name__}({', '.join(shown)})"

    def __rich_repr__(self) -> Iterator[tuple[str, Shape]]:  # type: ignore[override]  # rich allows pairs; a struct's own prints values
        for name, value in self._present():
            yield name, Shape(safe_repr(value))

    # A copy of an absent object would count as one that the vendor sent.
    def __copy__(self) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        cls = type(self)
        if self is absent(cls):  # stays the shared instance, in any process
            return absent, (cls,)
        return _rebuild, (cls, {name: getattr(self, name) for name in self.__struct_fields__})

    def _present(self) -> Iterator[tuple[str, object]]:
        empty = absent(type(self))
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not getattr(empty, name):  # identity: an empty object that the vendor sent is present
                yield public_name(type(self), name), value


class Leaf(VendorObject, frozen=True, kw_only=True):
    """The base of objects of one value that was read: printed as the length of its text, and as what to type for it.

    Attributes:
        TEXT: The attribute of the text as it was read.
        READINGS: The properties that give the value, each in its own type.
    """

    TEXT: ClassVar[str] = "text"
    READINGS: ClassVar[tuple[str, ...]] = ("value",)

    def __repr__(self) -> str:
        return self._shape() if self else f"{type(self).__name__}()"

    def __rich_repr__(self) -> Iterator[Shape]:  # type: ignore[override]  # rich allows single values
        if self:
            yield Shape(self._shape())

    def _shape(self) -> str:
        text: str | None = getattr(self, self.TEXT)
        length = "no text" if text is None else f"text, {len(text)} character{'' if len(text) == 1 else 's'}"
        given = " ".join(f".{name}" for name in self.READINGS if getattr(self, name) is not None)
        return f"<{length}; {given}>" if given else f"<{length}>"


def _rebuild(cls: type[ObjectT], fields: dict[str, Any]) -> ObjectT:
    return cls(**fields)


class Document(VendorObject, frozen=True, kw_only=True):
    """The base of the six documents.

    Attributes:
        path_word: The last part of the invoke URL ("id-card"), and the document's name on the command line.
        answer_key: The document's key in an answer ("idCard").
    """

    path_word: ClassVar[str]
    answer_key: ClassVar[str]
