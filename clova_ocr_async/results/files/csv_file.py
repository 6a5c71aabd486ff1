"""Tables as CSV, for programs and for spreadsheets.

A spreadsheet runs a text cell that begins like a formula. So such a cell gets a leading apostrophe, unless the file is
for programs. Numbers and dates are written from typed values and cannot be formulas.

Source: OWASP, "CSV Injection" (2025-08): the characters = + - @, tab, CR and LF, and their full-width forms.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal

    from clova_ocr_async.results.columns import Column

__all__ = ["CsvFile", "guarded"]

# Excel skips the first characters, blanks of all kinds, before it looks for a formula.
_LIKE_A_FORMULA = re.compile("[ \u00a0\u200b\ufeff\u3000]*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_FLUSH = 64 * 1024  # characters


class CsvFile:
    """A table as CSV.

    Args:
        columns: The columns.
        write: Takes the bytes of the file.
        headings: The heading of each column; the names if not given.
        excel: Whether the file begins with a byte order mark and its lines end in CRLF, as Excel wants it.
        encoding: "utf-8", or "cp949" for older Korean programs.
        guard: Whether text cells that begin like formulas get an apostrophe.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        write: Callable[[bytes], object],
        *,
        headings: Sequence[str] | None = None,
        excel: bool = False,
        encoding: str = "utf-8",
        guard: bool = True,
    ) -> None:
        self._columns = columns
        self._write = write
        self._encoding = encoding
        self._forms = [(column.name, _form_of(column, guard=guard)) for column in columns]
        self._buffer = io.StringIO(newline="")
        self._end = "\r\n" if excel else "\n"
        # With both characters in its line end, the writer quotes cells that hold either; readers split lines at both.
        self._csv = csv.writer(self, lineterminator="\r\n")
        if excel and encoding == "utf-8":
            write(b"\xef\xbb\xbf")
        heads = [column.name for column in columns] if headings is None else headings
        self._csv.writerow([guarded(head) for head in heads] if guard else heads)

    def write_row(self, row: Mapping[str, Any]) -> None:
        """Write a row.

        Raises:
            ConfigurationError: A value holds a character that the encoding lacks.
        """
        # The csv module writes None as an empty cell.
        cells = [value if (value := row[name]) is None or form is None else form(value) for name, form in self._forms]
        if self._encoding != "utf-8":
            self._check(cells, row)
        self._csv.writerow(cells)
        if self._buffer.tell() >= _FLUSH:
            self._flush()

    def close(self) -> None:
        """Write the rest."""
        self._flush()

    def write(self, line: str) -> None:
        """Take a line of the csv module's writer."""
        self._buffer.write(line.removesuffix("\r\n"))
        self._buffer.write(self._end)

    def _check(self, cells: Sequence[object], row: Mapping[str, Any]) -> None:
        for column, cell in zip(self._columns, cells, strict=True):
            try:
                str(cell).encode(self._encoding)
            except UnicodeEncodeError as error:
                code = ord(error.object[error.start])
                raise ConfigurationError(
                    f"the row of {shown_path(str(row.get('source') or row.get('key')))} has the character U+{code:04X} "
                    f"in {column.name}, which {self._encoding.upper()} lacks; write UTF-8, with --excel for Excel"
                ) from None

    def _flush(self) -> None:
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        self._write(text.encode(self._encoding))


def _form_of(column: Column, *, guard: bool) -> Callable[[Any], str] | None:
    """Return the function that writes a value of a column; None where the csv module does it, dates as ISO 8601."""
    if column.type == "text":
        return guarded if guard else None
    return {"boolean": _as_boolean, "decimal": _as_decimal}.get(column.type)


def _as_boolean(value: object) -> str:
    return "true" if value else "false"


def _as_decimal(value: Decimal) -> str:
    return f"{value:f}"  # never as 1E+3


def guarded(text: str) -> str:
    """Return a text as a spreadsheet shows it and never runs it."""
    return f"'{text}" if _LIKE_A_FORMULA.match(text) else text
