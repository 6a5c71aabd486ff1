"""Tables as CSV, for programs and for spreadsheets.

A spreadsheet runs a text cell that begins like a formula. So such a cell gets a leading apostrophe, unless the file is
for programs. Numbers and dates are written from typed values and cannot be formulas.

Source: OWASP, "CSV Injection" (2025-08): the characters = + - @, tab, CR and LF, and their full-width forms.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal

    from clova_ocr_async.results.columns import Column

__all__ = ["CsvFile", "guarded"]

_FORMULAS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
# Excel skips blanks of all kinds before it looks for a formula; so it may skip what does not print.
_RANGES = (
    *((0x00, 0x20), (0x7F, 0xA0), (0xAD, 0xAD), (0x1680, 0x1680), (0x2000, 0x200F), (0x2028, 0x202F)),
    *((0x205F, 0x2064), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
_SKIPPED = "".join(chr(code) for first, last in _RANGES for code in range(first, last + 1))
_LIKE_A_FORMULA = re.compile(f"[{re.escape(_SKIPPED)}]*[{re.escape(_FORMULAS)}]")
_FIRST = frozenset(_SKIPPED + _FORMULAS)
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
        self._excel = excel
        self._names = [column.name for column in columns]
        texts = [place for place, column in enumerate(columns) if column.type == "text"]
        self._guarded = texts if guard else []
        forms = ((place, _FORMS.get(column.type)) for place, column in enumerate(columns))
        self._forms = [(place, form) for place, form in forms if form is not None]
        self._lines: list[str] = []
        self._length = 0
        # With both characters in its line end, the writer quotes cells that hold either; readers split lines at both.
        self._csv = csv.writer(self, lineterminator="\r\n")
        if excel and encoding == "utf-8":
            write(b"\xef\xbb\xbf")
        heads = self._names if headings is None else headings
        cells = [guarded(head) for head in heads] if guard else heads
        self._check(cells, None)
        self._csv.writerow(cells)

    def write_row(self, row: Mapping[str, Any]) -> None:
        """Write a row.

        Raises:
            ConfigurationError: A value holds a character that the encoding lacks.
        """
        cells = [row[name] for name in self._names]
        for place in self._guarded:
            # Nearly all texts begin with another character; to look at it here is several times as fast.
            if (text := cells[place]) and text[0] in _FIRST:
                cells[place] = guarded(text)
        for place, form in self._forms:
            if (value := cells[place]) is not None:
                cells[place] = form(value)
        self._check(cells, row)
        self._csv.writerow(cells)  # it writes None as an empty cell, and dates as ISO 8601

    def close(self) -> None:
        """Write the rest."""
        self._flush()

    def write(self, line: str) -> None:
        """Take a line of the csv module's writer."""
        self._lines.append(line if self._excel else f"{line[:-2]}\n")
        self._length += len(line)
        if self._length >= _FLUSH:
            self._flush()

    def _check(self, cells: Sequence[object], row: Mapping[str, Any] | None) -> None:
        if self._encoding == "utf-8":
            return
        for column, cell in zip(self._columns, cells, strict=True):
            try:
                str(cell).encode(self._encoding)
            except UnicodeEncodeError as error:
                code = ord(error.object[error.start])
                name = "headings" if row is None else shown_path(str(row.get("source") or row.get("key")))
                raise ConfigurationError(
                    f"the row of {name} has the character U+{code:04X} in {shown_path(column.name)}, which "
                    f"{self._encoding.upper()} lacks; write UTF-8, with --excel for Excel"
                ) from None

    def _flush(self) -> None:
        text = "".join(self._lines)
        self._lines.clear()
        self._length = 0
        self._write(text.encode(self._encoding))


def _as_boolean(value: object) -> str:
    return "true" if value else "false"


def _as_decimal(value: Decimal) -> str:
    text = str(value)
    return f"{value:f}" if "E" in text else text  # never as 1E+3


_FORMS: Mapping[str, Callable[[Any], str]] = {"boolean": _as_boolean, "decimal": _as_decimal}
"""The functions that write a value, by the type of its column, where the csv module does not."""


def guarded(text: str) -> str:
    """Return a text as a spreadsheet shows it and never runs it."""
    return f"'{text}" if _LIKE_A_FORMULA.match(text) else text
