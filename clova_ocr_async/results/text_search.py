"""A search of texts and tables for numbers that identify a person or a card, line by line, in bounded memory."""

from __future__ import annotations

import csv
import io
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from clova_ocr_async.documents import BizLicense
from clova_ocr_async.documents.untyped import is_object
from clova_ocr_async.host.encodings import is_in_encoding
from clova_ocr_async.results.columns import columns
from clova_ocr_async.results.corrections import corrected_columns
from clova_ocr_async.results.embedded_files import embedded_files
from clova_ocr_async.results.number_search import kinds_of_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["PUBLIC", "UNCHECKED", "Leak", "kinds_in_value", "leaks_in_text"]

UNCHECKED = "format that cannot be checked"
"""The kind of a file, or of a part of it, that is not clean because it was not searched."""

_CORPORATE = "result.corpRegisterNum"
_PUBLIC_COLUMNS = (
    *(column for column in columns(BizLicense) if column.path == _CORPORATE),
    *corrected_columns(BizLicense, (f"{_CORPORATE}[0]", f"{_CORPORATE}[1]")),
)
PUBLIC = frozenset({"corpRegisterNum"}).union(*((column.name, column.label_ko) for column in _PUBLIC_COLUMNS))
"""The names of columns and keys of numbers that have the same form and are not secret, in English and Korean."""

_LONGEST_LINE = 16 * 1024 * 1024  # characters; as values of JSON they take some hundred megabytes


class Leak(NamedTuple):
    """Something that a masked copy must not hold; it shows no value.

    Attributes:
        kind: Its kind, in words.
        place: Its place in the file, in words.
    """

    kind: str
    place: str


class _LongLineError(Exception):
    """A line is longer than may be held in memory."""


def leaks_in_text(file: BinaryIO, name: str, search: Callable[[BinaryIO], Iterator[Leak]]) -> Iterator[Leak]:
    """Yield the numbers in a text: in the cells of CSV, in the values of JSON Lines, in the lines of any other text.

    Args:
        file: The file, which can be read from its start again.
        name: Its name; its ending decides how it is read.
        search: Searches a file that stands in a line, as a picture in an HTML page.
    """
    encoding = _encoding_of(file)
    if encoding is None:  # a packed file, or a text of another country, whose digits may be any bytes
        yield Leak(UNCHECKED, "it is in none of UTF-8, UTF-16 and CP949; its ASCII characters were searched")
    text = io.TextIOWrapper(file, encoding or "latin-1", newline="")
    ending = name.rpartition(".")[2].lower()
    try:
        if ending in {"csv", "tsv"}:
            yield from _in_rows(csv.reader(_lines(text), delimiter="\t" if ending == "tsv" else ","))
        else:
            yield from _in_lines(text, search)
    except _LongLineError:
        yield Leak(UNCHECKED, f"it has a line of more than {_LONGEST_LINE:,} characters; the rest was not searched")
    except csv.Error:
        most = csv.field_size_limit()
        yield Leak(UNCHECKED, f"it has a cell of more than {most:,} characters; the rest was not searched")
    finally:
        text.detach()  # the file is the caller's, and a wrapper closes it


def _encoding_of(file: BinaryIO) -> str | None:
    """Return the encoding of a text, which decodes all of it, None if none does; the file is at its start then."""
    file.seek(0)
    encodings = ("utf-16",) if file.read(2) in {b"\xff\xfe", b"\xfe\xff"} else ("utf-8-sig", "cp949")
    found = next((encoding for encoding in encodings if is_in_encoding(file, encoding)), None)
    file.seek(0)
    return found


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Yield the lines of a text with their ends, and without NULs: a text in UTF-16 without a mark has many.

    Raises:
        _LongLineError: A line is too long.
    """
    while line := text.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise _LongLineError
        yield line.replace("\0", "")


def _in_lines(text: io.TextIOWrapper, search: Callable[[BinaryIO], Iterator[Leak]]) -> Iterator[Leak]:
    for number, line in enumerate(_lines(text), 1):
        value = _json(line)
        found = kinds_of_numbers(_unescaped(line)) if value is None else kinds_in_value(value)
        yield from (Leak(kind, f"line {number:,}") for kind in found)
        for embedded in embedded_files(line):
            place = f"line {number:,}, embedded data"
            if embedded is None:
                yield Leak(UNCHECKED, f"{place} without an end in the line")
            else:
                yield from (Leak(kind, f"{place}, {inside}") for kind, inside in search(io.BytesIO(embedded)))


def _json(line: str) -> Any:
    """Return the value of a line of JSON Lines; None if it is not an object or array."""
    if not line.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def _unescaped(line: str) -> str:
    """Return a line of JSON over several lines with its characters, such as digits of full width, as they are."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), line)


def kinds_in_value(value: object) -> Iterator[str]:
    """Yield the kinds of numbers in a value of JSON or of a table; coordinates and confidences have a point."""
    left = [value]
    while left:  # and not by recursion: a hostile value is deeper than the stack
        found = left.pop()
        if is_object(found):
            public = PUBLIC | _PUBLIC_OF_A_CORRECTION if _corrects_public_number(found) else PUBLIC
            for key, child in found.items():
                yield from kinds_of_numbers(key)
                if key not in public:
                    left.append(child)
        elif isinstance(found, list | tuple):  # a map of Parquet has pairs
            left.extend(cast("Iterable[object]", found))
        elif isinstance(found, float) and found.is_integer():  # as programs write whole numbers beside empty cells
            yield from kinds_of_numbers(str(int(found)))
        elif isinstance(found, str | int | Decimal):
            yield from kinds_of_numbers(str(found))
        elif isinstance(found, bytes):
            yield from kinds_of_numbers(found.decode("utf-8", "replace"))


_PUBLIC_OF_A_CORRECTION = frozenset({"old", "new"})


def _corrects_public_number(found: Mapping[str, object]) -> bool:
    """Return whether an object is a correction, as records list them, of a number that is not secret."""
    return re.fullmatch(r"result\.corpRegisterNum\[[0-9]+\]", str(found.get("path"))) is not None


def _in_rows(rows: Iterable[list[str]]) -> Iterator[Leak]:
    header: list[str] = []
    for number, row in enumerate(rows, 1):
        header = header or row
        for column, cell in enumerate(row):
            if column >= len(header) or header[column] not in PUBLIC:
                yield from (Leak(kind, f"row {number:,}, column {column + 1}") for kind in kinds_of_numbers(cell))
