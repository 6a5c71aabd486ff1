"""Rows of a list: lines with a path, records in JSON, or a table in CSV; each becomes an image or an error."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.batch.sources.document_names import DOCUMENT_WORDS, document_named
from clova_ocr_async.batch.sources.listed_image import ListedImage
from clova_ocr_async.batch.sources.manifest_lines import is_utf8, other_encoding
from clova_ocr_async.batch.sources.record_names import checked_path, named_path
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.protocol.echoed_input import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["RowError", "delimiter_of", "image_in_line", "image_in_record", "images_in_table"]

_PATHS = ("path", "source")
_SPECIAL = frozenset({*_PATHS, "source_bytes", "page", "document"})
_DELIMITERS = ",;\t"
_LONGEST_PAGE = 9  # digits


class RowError(ConfigurationError):
    """A row of a table cannot be read.

    Attributes:
        number: The number of its first line.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


class _Record(msgspec.Struct):
    path: Any = None
    source: Any = None
    source_bytes: Any = None
    page: Any = None
    document: Any = None
    columns: Any = None
    status: Any = msgspec.UNSET
    sha256: Any = msgspec.UNSET


def image_in_line(line: bytes) -> ListedImage:
    """Return the image whose path is a line, byte for byte.

    Raises:
        ConfigurationError: It is not a path.
    """
    return ListedImage(checked_path(os.fsdecode(line)))


def image_in_record(line: bytes) -> ListedImage:
    """Return the image that a line of JSON names.

    Raises:
        ConfigurationError: It is not an object that names an image. The message never repeats the line.
    """
    try:
        record = msgspec.json.decode(line, type=_Record)
        # Of a record of a command, the columns alone are the user's. Of any other, all unknown keys are: for those the
        # line is decoded once more, because a struct drops them.
        is_own = msgspec.UNSET not in (record.status, record.sha256)
        fields: dict[str, Any] = {} if is_own else msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        wrong = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
        if not is_utf8(line):
            wrong = other_encoding(line)
    else:
        columns = record.columns if is_own else {key: fields[key] for key in fields if key not in _SPECIAL}
        return _image_of(record, columns, is_own=is_own)
    # Raised out here, because the decoder's error holds the line, and would be the context of this one.
    raise ConfigurationError(f"it is not a record, that is a JSON object with the path under path or source: {wrong}")


def _image_of(record: _Record, columns: Any, *, is_own: bool) -> ListedImage:
    if record.path is not None and record.source is not None:
        raise ConfigurationError("it has a path and a source; leave one of them out")
    # Before anything is paid: no table could be written of a run that holds others.
    if columns is not None and not isinstance(columns, dict):
        raise ConfigurationError(f"columns is a {type(columns).__name__}; it must be an object, or be left out")
    key, value = ("source", record.source) if record.path is None else ("path", record.path)
    return ListedImage(
        named_path(key, value, record.source_bytes),
        _page(record.page),
        _document(record.document),
        msgspec.json.encode(columns) if columns else b"",
        from_record=is_own,
    )


def _page(value: Any) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _LONGEST_PAGE:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 10**_LONGEST_PAGE:
        named = quoted(value) if isinstance(value, str) else shown(value)
        raise ConfigurationError(f"page is {named}; it must be a whole number from 1, or empty for the whole file")
    return value


def _document(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or (word := document_named(value)) is None:
        named = quoted(value) if isinstance(value, str) else shown(value)
        raise ConfigurationError(f"document is {named}; it must be one of {DOCUMENT_WORDS}")
    return word


def delimiter_of(line: bytes) -> str | None:
    """Return the separator of a table by its first line; None if that line is not the header of a table."""
    for delimiter in _DELIMITERS:
        if any(name.lower() in _PATHS for name in _header_cells(line, delimiter)):
            return delimiter
    return None


def _header_cells(line: bytes, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for row in csv.reader([line.decode()], delimiter=delimiter) for cell in row]
    except (UnicodeDecodeError, csv.Error):
        return []


def images_in_table(lines: Iterator[tuple[int, bytes]], delimiter: str) -> Iterator[tuple[int, ListedImage]]:
    """Yield the images of a table, each with the number of its row's first line.

    Args:
        lines: The lines of the table with their numbers and ends, its header first.
        delimiter: The character between cells.

    Raises:
        RowError: The header or a row is wrong.
    """
    rows = _rows(lines, delimiter)
    number, cells = next(rows)
    names = _checked_header(number, cells)
    for number, row in rows:
        while len(row) > len(names) and not row[-1]:  # Excel pads the rows of a sheet to one width
            row.pop()
        if not any(row):
            continue
        if len(row) != len(names):
            raise RowError(number, f"it has {plural(len(row), 'cell')}, and the header has {len(names)}")
        try:
            yield number, _image_in_row(dict(zip(names, row, strict=True)))
        except ConfigurationError as error:
            raise RowError(number, str(error)) from None


def _rows(lines: Iterator[tuple[int, bytes]], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    last = 0

    def texts() -> Iterator[str]:
        nonlocal last
        for number, line in lines:
            if not is_utf8(line):
                raise RowError(number, other_encoding(line))
            last = number
            yield line.decode()

    # Strict, or a quote that is never closed would swallow all rows behind it as one cell.
    reader = csv.reader(texts(), delimiter=delimiter, strict=True)
    while True:
        first = last + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # an open quote, for example; its message holds no cell
            raise RowError(max(first, 1), f"it is not CSV: {error}") from None
        # Blank lines above the header were left out: its number is the one of the line that was read.
        yield max(first, last) if first == 1 else first, cells


def _checked_header(number: int, cells: Sequence[str]) -> list[str]:
    # The user's own columns keep their capitals: they come back under the same names.
    names = [name.lower() if name.lower() in _SPECIAL else name for name in map(str.strip, cells)]
    while names and not names[-1]:
        names.pop()
    if not all(names):
        raise RowError(number, f"column {names.index('') + 1} has no name")
    if double := next((name for name in names if names.count(name) > 1), None):
        raise RowError(number, f"two columns have the name {quoted(double)}")
    if set(_PATHS) <= set(names):
        raise RowError(number, "it has a column path and a column source; leave one of them out")
    return names


def _image_in_row(row: Mapping[str, str]) -> ListedImage:
    key = next(key for key in _PATHS if key in row)
    columns = {name: value for name, value in row.items() if name not in _SPECIAL}
    return ListedImage(
        named_path(key, row[key], row.get("source_bytes") or None),
        _page(row.get("page", "").strip()),
        _document(row.get("document", "").strip()),
        msgspec.json.encode(columns) if columns else b"",
    )
