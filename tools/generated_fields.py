"""The fields of a document as a table: attribute, type, and place in the vendor's answer."""

from __future__ import annotations

import inspect
import typing
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from field_meanings import MEANINGS

from clova_ocr_async.documents import BoundingPoly, FloatObject, Meta, Receipt, SubTotal, VendorObject
from clova_ocr_async.documents.base import Leaf, public_name
from clova_ocr_async.results import columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clova_ocr_async.documents import Document

__all__ = ["fields_of"]


class _Field(NamedTuple):
    attribute: str
    type: str
    path: str
    plain_path: str


def fields_of(document: type[Document]) -> str:
    """Return the table of a document's fields, with the Korean headings of those that have a column.

    Raises:
        LookupError: A field has no meaning, or a meaning has no field.
    """
    tables = [columns(document)]
    if document is Receipt:
        tables.append(columns(Receipt, "items"))
    # Reversed, because the column of a value stands before that of its text.
    shown = [column for table in tables for column in reversed(table)]
    headings = {path: column.label_ko for column in shown for path in _paths(column.path)}
    lines = ["| attribute | meaning | type | place in the answer | Korean |", "|---|---|---|---|---|"]
    fields, meanings = list(_walk(document, _Field("", "", "", ""))), MEANINGS[document.path_word]
    if different := {found.attribute for found in fields} ^ meanings.keys():
        message = f"tools/field_meanings.py and {document.__name__} differ in: {min(different)}"
        raise LookupError(message)
    for found in fields:
        heading, meaning = headings.get(found.plain_path, ""), meanings[found.attribute]
        lines.append(f"| `{found.attribute}` | {meaning} | `{found.type}` | `{found.path}` | {heading} |")
    return "\n".join(lines)


def _paths(path: str) -> list[str]:
    """Return the places of a column that has one for several kinds of cards: ``result.{ic,dl}.name``."""
    before, brace, rest = path.partition("{")
    kinds, _, after = rest.partition("}")
    return [f"{before}{kind}{after}" for kind in kinds.split(",")] if brace else [path]


def _walk(cls: type[VendorObject], above: _Field) -> Iterator[_Field]:
    """Yield the fields of an object and of the objects in it, in the vendor's order."""
    hints, seen = typing.get_type_hints(cls), set[str]()
    for field in msgspec.structs.fields(cls):
        name = public_name(cls, field.name)
        if name in seen:  # a further spelling
            continue
        seen.add(name)
        over = inspect.getattr_static(cls, name)
        hint = typing.get_type_hints(over.fget)["return"] if isinstance(over, property) else hints[field.name]
        kind, several = _kind(hint)
        mark = "[]" if several else ""
        found = _Field(
            f"{above.attribute}.{name}{mark}".lstrip("."),
            f"tuple[{kind.__name__}, …]" if several else kind.__name__,
            f"{above.path}.{field.encode_name.strip()}{mark}".lstrip("."),
            f"{above.plain_path}.{field.encode_name.strip()}".lstrip("."),
        )
        # A subtotal is a value, and has other values in it.
        if kind is SubTotal or (issubclass(kind, VendorObject) and not issubclass(kind, BoundingPoly | Leaf | Meta)):
            inner = _walk(kind, found)
            yield from (one for one in inner if kind is not SubTotal or FloatObject.__name__ in one.type)
        else:
            yield found


def _kind(hint: Any) -> tuple[type, bool]:
    """Return the class in a type, and whether there are several of it."""
    parts = [part for part in typing.get_args(hint) if part not in {type(None), Ellipsis}]
    if typing.get_origin(hint) is tuple:
        return parts[0], True
    if parts:  # a union: an array or its only object, or a value and None
        return _kind(parts[0])
    return hint, False
