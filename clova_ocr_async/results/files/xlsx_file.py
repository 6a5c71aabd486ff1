"""Tables as XLSX (extra ``tables``): a sheet a table, typed cells, and a sheet that explains the columns."""

from __future__ import annotations

import datetime as dt
import logging
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import xlsxwriter as untyped_xlsxwriter  # type: ignore[import-untyped]  # it ships no py.typed

from clova_ocr_async.errors import ClovaOCRError
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.results.files.table import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from clova_ocr_async.results.columns import Column

__all__ = ["XlsxFile", "XlsxSheet"]

logger = logging.getLogger("clova_ocr_async")

xlsxwriter: Any = untyped_xlsxwriter

_MOST_ROWS = 1_048_575  # of data: a sheet has one more, for the headings
_LONGEST_CELL = 32_767  # characters, as UTF-16 counts them
_FIRST_YEAR = 1900  # of a date in Excel; an earlier one is a text
_EXACT_DIGITS = 15  # of a number in Excel, which is a double
_NARROW, _WIDE = 14, 28  # characters of a column
# The same run gives the same bytes.
_CREATED = dt.datetime(2000, 1, 1)  # noqa: DTZ001 - the format has no time zones
_SAFE = {
    "constant_memory": True,
    "use_zip64": True,  # only where a sheet has more than 4 GiB, which would be an error
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
    "default_date_format": "yyyy-mm-dd",
}


class XlsxFile:
    """A workbook.

    Args:
        write: Takes the bytes of the file when it is closed.
        temporary: A private folder: rows lie in it until then, and they hold personal data.
        largest_sheet: Rows of data of a sheet; more go to a further sheet.
    """

    def __init__(self, write: Callable[[bytes], object], temporary: Path, *, largest_sheet: int = _MOST_ROWS) -> None:
        self._book = xlsxwriter.Workbook(Sink(write), {**_SAFE, "tmpdir": str(temporary)})
        self._book.set_properties({"created": _CREATED})
        self._largest_sheet = largest_sheet
        self.formats = {
            "heading": self._book.add_format({"bold": True, "bottom": 1}),
            "integer": self._book.add_format({"num_format": "#,##0"}),
            "fraction": self._book.add_format({"num_format": "#,##0.######"}),
            "date": self._book.add_format({"num_format": "yyyy-mm-dd"}),
            "time": self._book.add_format({"num_format": "hh:mm:ss"}),
            "text": self._book.add_format({"num_format": "@"}),
        }

    def add_table(self, name: str, columns: Sequence[Column], headings: Sequence[str] | None = None) -> XlsxSheet:
        """Add a table, on a sheet of this name."""
        heads = [column.name for column in columns] if headings is None else headings
        return XlsxSheet(self._book, self.formats, name, columns, heads, self._largest_sheet)

    def add_about(self, facts: Mapping[str, str], tables: Mapping[str, Sequence[Column]]) -> None:
        """Add the sheet ``about``: facts about the file, and a row for each column of each table."""
        sheet = self._book.add_worksheet("about")
        sheet.set_column(0, 5, _WIDE)
        lines: list[Sequence[str]] = [[name, value] for name, value in facts.items()]
        lines += [[], ["table", "column", "type", "한국어", "path", "since"]]
        for table, columns in tables.items():
            lines += [
                [table, column.name, column.type, column.label_ko, column.path, str(column.since)] for column in columns
            ]
        for row, line in enumerate(lines):
            for place, text in enumerate(line):
                _write_text(sheet, row, place, text)

    def close(self) -> None:
        """Write the file.

        Raises:
            OSError: A file in the temporary folder, or the output, cannot be written.
        """
        try:
            self._book.close()
        except xlsxwriter.exceptions.FileCreateError as error:
            raise error.args[0] if error.args and isinstance(error.args[0], OSError) else OSError(str(error)) from None

    def abort(self) -> None:
        """Close the files in the temporary folder, without writing the file."""
        for sheet in self._book.worksheets():
            with suppress(OSError):  # its last rows, on a full disk
                sheet.row_data_fh.close()


class XlsxSheet:
    """A table in a workbook; past the last row of a sheet it goes on in a further one.

    Args:
        book: The workbook.
        formats: Its formats by their names.
        name: The sheet's name; further sheets are "name 2", "name 3" ….
        columns: The columns.
        headings: The heading of each column.
        largest: Rows of data of a sheet.
    """

    def __init__(
        self,
        book: Any,
        formats: Mapping[str, Any],
        name: str,
        columns: Sequence[Column],
        headings: Sequence[str],
        largest: int,
    ) -> None:
        self._book = book
        self._formats = formats
        self._name = name
        self._columns = columns
        self._headings = headings
        self._largest = largest
        self._sheets = 0
        self._cut = 0
        self._begin_sheet()

    def _begin_sheet(self) -> None:
        self._sheets += 1
        self._rows = 0
        self._sheet = self._book.add_worksheet(self._name if self._sheets == 1 else f"{self._name} {self._sheets}")
        for place, (column, heading) in enumerate(zip(self._columns, self._headings, strict=True)):
            self._sheet.set_column(place, place, _WIDE if column.type == "text" else _NARROW)
            _write_text(self._sheet, 0, place, heading, self._formats["heading"])
        self._sheet.freeze_panes(1, 0)
        # Card and business numbers are text on purpose; without this each cell has a green corner.
        self._sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})

    def write_row(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        if self._rows == self._largest:
            self._begin_sheet()
        self._rows += 1
        for place, column in enumerate(self._columns):
            value = row[column.name]
            if value is not None:
                self._write(place, column, value, row)

    def close(self) -> None:
        """Log how many cells were cut; the workbook writes the sheet."""
        if self._cut > 1:
            logger.warning("%s: %d cells were longer than Excel allows and are cut", self._name, self._cut)

    def _write(self, place: int, column: Column, value: Any, row: Mapping[str, Any]) -> None:
        sheet, at = self._sheet, self._rows
        match value:
            case str():
                _write_text(sheet, at, place, self._fitting(value, column, row), self._formats["text"])
            case bool():
                _checked(sheet.write_boolean(at, place, value))
            case dt.date() if value.year >= _FIRST_YEAR:
                _checked(sheet.write_datetime(at, place, value, self._formats["date"]))
            case dt.time():
                _checked(sheet.write_datetime(at, place, value, self._formats["time"]))
            case dt.date():
                _write_text(sheet, at, place, value.isoformat(), self._formats["text"])
            case int() | Decimal() if any(Decimal(value).as_tuple().digits[_EXACT_DIGITS:]):
                _write_text(sheet, at, place, f"{Decimal(value):f}", self._formats["text"])
            case Decimal():
                kind = "integer" if value == value.to_integral_value() else "fraction"
                _checked(sheet.write_number(at, place, float(value), self._formats[kind]))
            case _:
                _checked(sheet.write_number(at, place, value))

    def _fitting(self, text: str, column: Column, row: Mapping[str, Any]) -> str:
        """Return a text as a cell can hold it."""
        if len(text) * 2 <= _LONGEST_CELL:  # no character takes more than two
            return text
        units = text.encode("utf-16-le")
        if len(units) <= 2 * _LONGEST_CELL:
            return text
        self._note_cut(column, row)
        return units[: 2 * (_LONGEST_CELL - 1)].decode("utf-16-le", "ignore") + "…"

    def _note_cut(self, column: Column, row: Mapping[str, Any]) -> None:
        self._cut += 1
        if self._cut == 1:
            name = shown_path(str(row.get("source") or row.get("key")))
            logger.warning(
                "%s: %s is longer than the %d characters that an Excel cell holds, and is cut; CSV, JSON Lines and "
                "Parquet have all of it",
                name,
                column.name,
                _LONGEST_CELL,
            )


def _write_text(sheet: Any, row: int, place: int, text: str, *format_: Any) -> None:
    # XlsxWriter takes such a text for its own markup of a rich string, and puts it into the file as it is.
    if text.startswith("<r>") and text.endswith("</r>"):
        # The text of a rich string is escaped; it needs three parts.
        _checked(sheet.write_rich_string(row, place, "<", "r", text[2:], *format_))
    else:
        _checked(sheet.write_string(row, place, text, *format_))


def _checked(code: int) -> None:
    """Refuse a cell that XlsxWriter has not written: it returns a number, and raises nothing."""
    if code != 0:
        raise ClovaOCRError(f"a cell cannot be written to the XLSX file (XlsxWriter's code {code})")
