"""The columns of the tables: their names, types, labels and order, the same for every run.

A column's name, type or place changes only with ``SCHEMA_VERSION``, which every file names.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal, cast

import msgspec

from clova_ocr_async.documents import Document, Receipt
from clova_ocr_async.results.column_lists import COMMON, DOCUMENTS, ITEMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SCHEMA_VERSION", "Column", "ColumnType", "Table", "columns", "stem_of", "tables_of"]

SCHEMA_VERSION = 1
"""The version of the tables; it grows when a column is added, renamed, moved or typed anew."""

ColumnType = Literal["text", "integer", "decimal", "float", "boolean", "date", "time"]
Table = Literal["documents", "items"]


class Column(msgspec.Struct, frozen=True):
    """A column of a table.

    Attributes:
        name: Its name, in snake_case.
        type: "text", "integer", "decimal", "float", "boolean", "date" or "time".
        label_ko: Its Korean heading.
        path: The place of its value in the vendor's answer, in the vendor's names; "" if it is not from an answer.
        since: The schema version that brought it.
    """

    name: str
    type: ColumnType
    label_ko: str
    path: str = ""
    since: int = 1


@functools.cache
def columns(document: type[Document], table: Table = "documents") -> tuple[Column, ...]:
    """Return the columns of a table, in their order.

    Args:
        document: The document's class.
        table: "documents", a row a record; or "items", a row a line of a receipt.

    Raises:
        TypeError: ``document`` is not the class of a document.
        ValueError: The document has no such table.
    """
    if not (isinstance(document, type) and issubclass(document, Document)):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers are not all typed
        raise TypeError(f"the document is a {type(document).__name__}; it must be a class, such as Receipt")
    if table == "documents":
        return tuple(_expanded(COMMON + DOCUMENTS[document.path_word]))
    if table == "items" and document is Receipt:
        return tuple(_expanded(ITEMS))
    raise ValueError(f"{document.__name__} has no table of this name; give 'documents', or 'items' of a receipt")


def stem_of(word: str) -> str:
    """Return the name of a document's table, by the vendor's path word."""
    return word.replace("-", "_")


def tables_of(
    shown: Mapping[str, Sequence[Column]], items: Sequence[Column] | None = None
) -> dict[str, Sequence[Column]]:
    """Return the columns of all tables by their names: those of documents, and that of the lines of receipts.

    Args:
        shown: The columns of documents' tables, by the vendor's path word.
        items: The columns of the lines; the fixed ones if not given.
    """
    found = {stem_of(word): table for word, table in shown.items()}
    if Receipt.path_word in shown:
        found[f"{stem_of(Receipt.path_word)}_items"] = columns(Receipt, "items") if items is None else items
    return found


def _expanded(specifications: tuple[tuple[str, str, str, str], ...]) -> list[Column]:
    """Return the columns of a list, with the text of each number, date and time, and the rest of each array."""
    found: list[Column] = []
    for name, kind, label, path in specifications:
        type_, _, several = kind.partition("*")
        found.append(Column(name, cast("ColumnType", type_), label, path))
        if type_ in {"decimal", "date", "time"} or name == "age":
            found.append(Column(f"{name}_text", "text", f"{label}(원문)", path))
        if several:
            found.append(Column(f"{name}_more", "text", f"{label}(나머지)", path))
    return found
