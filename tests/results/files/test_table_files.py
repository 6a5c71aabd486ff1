"""Files of tables: the same rows, types and nulls in CSV, XLSX and Parquet."""

from __future__ import annotations

import csv
import datetime as dt
import io
import logging
import zipfile
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import python_calamine as calamine
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.documents import DOCUMENTS, Receipt
from clova_ocr_async.errors import ClovaOCRError, ConfigurationError
from clova_ocr_async.results import SCHEMA_VERSION, Column, columns
from clova_ocr_async.results.files.csv_file import CsvFile, guarded
from clova_ocr_async.results.files.parquet_file import ParquetFile
from clova_ocr_async.results.files.xlsx_file import XlsxFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLUMNS = (
    Column("source", "text", "파일"),
    Column("number", "decimal", "금액"),
    Column("count", "integer", "수"),
    Column("rate", "float", "율"),
    Column("paid", "boolean", "과금"),
    Column("day", "date", "날"),
    Column("hour", "time", "시각"),
)
ROWS: list[dict[str, Any]] = [
    dict.fromkeys((column.name for column in COLUMNS), None),
    {
        "source": "=HYPERLINK(1)",
        "number": Decimal("-1234.5"),
        "count": 3,
        "rate": 0.25,
        "paid": True,
        "day": dt.date(2026, 11, 29),
        "hour": dt.time(23, 59, 1),
    },
    {
        "source": '4111111111111111, "x"\nnext',
        "number": Decimal("1E+3"),
        "count": 0,
        "rate": 1.0,
        "paid": False,
        "day": dt.date(1900, 3, 1),
        "hour": dt.time(0, 0),
    },
    {"source": "0012345", "number": Decimal("0.000001")} | dict.fromkeys(["count", "rate", "paid", "day", "hour"]),
]


def csv_of(rows: Sequence[dict[str, Any]], shown: Sequence[Column] = COLUMNS, **options: Any) -> bytes:
    """Return rows as CSV."""
    out = io.BytesIO()
    table = CsvFile(shown, out.write, **options)
    for row in rows:
        table.write_row(row)
    table.close()
    return out.getvalue()


def parquet_of(rows: Sequence[dict[str, Any]], shown: Sequence[Column] = COLUMNS) -> bytes:
    """Return rows as Parquet."""
    out = io.BytesIO()
    table = ParquetFile(shown, out.write, {"schema": str(SCHEMA_VERSION)})
    for row in rows:
        table.write_row(row)
    table.close()
    return out.getvalue()


def xlsx_of(
    folder: Path, rows: Sequence[dict[str, Any]], headings: Sequence[str] | None = None, **options: Any
) -> bytes:
    """Return rows as XLSX."""
    out = io.BytesIO()
    book = XlsxFile(out.write, folder, **options)
    table = book.add_table("receipt", COLUMNS, headings)
    for row in rows:
        table.write_row(row)
    table.close()
    book.add_about({"schema": str(SCHEMA_VERSION)}, {"receipt": COLUMNS})
    book.close()
    return out.getvalue()


def sheets_of(book: bytes) -> dict[str, list[list[Any]]]:
    """Return the cells of all sheets; empty ones are ""."""
    found = calamine.CalamineWorkbook.from_filelike(io.BytesIO(book))
    return {name: found.get_sheet_by_name(name).to_python() for name in found.sheet_names}


def read_csv(data: bytes) -> list[dict[str, Any]]:
    """Return the rows of a CSV with the types of its columns."""
    kinds: dict[str, Any] = {
        "decimal": Decimal,
        "integer": int,
        "float": float,
        "boolean": "true".__eq__,
        "date": dt.date.fromisoformat,
        "time": dt.time.fromisoformat,
        "text": str,
    }
    return [
        {column.name: kinds[column.type](row[column.name]) if row[column.name] else None for column in COLUMNS}
        for row in csv.DictReader(io.StringIO(data.decode(), newline=""))
    ]


def test_all_formats_hold_the_same_rows(tmp_path: Path) -> None:
    """CSV, Parquet and XLSX read back give equal values, types and nulls."""
    assert read_csv(csv_of(ROWS, guard=False)) == ROWS
    assert pq.read_table(io.BytesIO(parquet_of(ROWS))).to_pylist() == ROWS
    heads, *cells = sheets_of(xlsx_of(tmp_path, ROWS))["receipt"]
    assert heads == [column.name for column in COLUMNS]
    assert [[None if cell == "" else cell for cell in row] for row in cells] == [
        [None if value is None else float(value) if type(value) in {int, Decimal} else value for value in row.values()]
        for row in ROWS
    ]


def test_an_empty_table_has_the_types_of_a_full_one(tmp_path: Path) -> None:
    """A file without rows has the same columns and types, and the schema version."""
    empty, full = (pq.read_schema(io.BytesIO(parquet_of(rows))) for rows in ([], ROWS))
    assert empty == full
    assert empty.metadata[b"clova_ocr.schema"] == str(SCHEMA_VERSION).encode()
    assert [str(field.type) for field in empty] == [
        "string",
        "decimal128(38, 6)",
        "int64",
        "double",
        "bool",
        "date32[day]",
        "time32[ms]",
    ]
    assert csv_of([]).decode().splitlines() == ["source,number,count,rate,paid,day,hour"]
    assert sheets_of(xlsx_of(tmp_path, []))["about"][0][:2] == ["schema", str(SCHEMA_VERSION)]


@pytest.mark.parametrize("document", DOCUMENTS.values())
def test_every_table_has_a_parquet_schema(document: Any) -> None:
    """The columns of each document make a file; status and document are dictionaries."""
    schema = pq.read_schema(io.BytesIO(parquet_of([], columns(document))))
    assert schema.names == [column.name for column in columns(document)]
    assert pa.types.is_dictionary(schema.field("status").type)


def test_many_rows_make_several_groups() -> None:
    """Rows beyond a group's size go into the next group, and none is lost."""
    data = parquet_of(ROWS[1:2] * 20_001)
    assert pq.ParquetFile(io.BytesIO(data)).num_row_groups == 3
    assert pq.read_table(io.BytesIO(data)).num_rows == 20_001


@pytest.mark.parametrize("number", ["1E-7", "1E+32", "123456789012345678901234567890123456789"])
def test_a_number_beyond_a_decimal_is_null_and_named(number: str, caplog: pytest.LogCaptureFixture) -> None:
    """A number that a Parquet decimal cannot hold is null there, and a warning names its row and column."""
    row = ROWS[3] | {"number": Decimal(number)}
    assert pq.read_table(io.BytesIO(parquet_of([row]))).to_pylist()[0]["number"] is None
    assert "number has more digits" in caplog.text


BEGINNINGS = ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"]
BEGINNINGS += [f"{skipped}=" for skipped in (" ", "\xa0", "\x00", "\u2003", "\u200b", "\u202e", "\u3000", "\ufeff")]


@pytest.mark.parametrize("begin", BEGINNINGS)
def test_text_like_a_formula_is_guarded(begin: str) -> None:
    """A text cell that begins like a formula gets an apostrophe in CSV; with guard=False it does not."""
    text = f"{begin}1"
    (row,) = csv.DictReader(io.StringIO(csv_of([ROWS[0] | {"source": text}]).decode(), newline=""))
    assert row["source"] == f"'{text}"
    (row,) = csv.DictReader(io.StringIO(csv_of([ROWS[0] | {"source": text}], guard=False).decode(), newline=""))
    assert row["source"] == text


@given(st.text())
def test_the_guard_only_adds_an_apostrophe(text: str) -> None:
    """A guarded text is the text itself, or the text behind one apostrophe."""
    assert guarded(text) in {text, f"'{text}"}


def test_numbers_are_never_guarded() -> None:
    """A negative number, and an empty cell, have no apostrophe."""
    assert csv_of([ROWS[0] | {"number": Decimal(-5)}]).decode().splitlines()[1] == ",-5,,,,,"


def test_csv_for_excel() -> None:
    """With ``excel`` the file begins with a byte order mark and its lines end in CRLF; otherwise neither."""
    assert csv_of([], excel=True) == b"\xef\xbb\xbfsource,number,count,rate,paid,day,hour\r\n"
    assert csv_of([]) == b"source,number,count,rate,paid,day,hour\n"


def test_csv_in_cp949() -> None:
    """Hangul is written in CP949, and a character that it lacks is an error that names the row and the column."""
    assert "상호".encode("cp949") in csv_of([ROWS[0] | {"source": "상호"}], encoding="cp949", excel=True)
    with pytest.raises(
        ConfigurationError, match=r"row of ☕.jpg has the character U\+2615 in source, which CP949 lacks"
    ):
        csv_of([ROWS[0] | {"source": "☕.jpg"}], encoding="cp949")


def test_a_heading_that_cp949_lacks_is_named() -> None:
    """A heading, which a manifest may have brought, is refused like a cell if the encoding lacks its character."""
    with pytest.raises(ConfigurationError, match=r"row of headings has the character U\+2615 in ☕, which CP949 lacks"):
        csv_of([], [Column("☕", "text", "☕")], encoding="cp949")


def test_csv_is_written_in_parts() -> None:
    """A large table reaches its target in parts, and whole."""
    parts: list[bytes] = []
    table = CsvFile(COLUMNS, parts.append)
    for _ in range(10_000):
        table.write_row(ROWS[1])
    table.close()
    assert len(parts) > 5
    assert len(read_csv(b"".join(parts))) == 10_000


def test_xlsx_has_no_formula_and_no_link(tmp_path: Path) -> None:
    """Texts that look like formulas, links or numbers are texts; the sheet's XML has no formula."""
    rows = [ROWS[0] | {"source": text} for text in ("=1+1", "https://example.com", "12345678901234567890", "00")]
    book = xlsx_of(tmp_path, rows)
    assert [row[0] for row in sheets_of(book)["receipt"][1:]] == [row["source"] for row in rows]
    sheet = zipfile.ZipFile(io.BytesIO(book)).read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert "hyperlink" not in sheet


@pytest.mark.parametrize("text", ["<r><t>x</t></r>", "<r></is></c></row></r>", "<r></r>", "_x0041_", "a\x01\x1f&<"])
def test_xlsx_takes_no_text_for_markup(tmp_path: Path, text: str) -> None:
    """A text, or a heading, that is like the file's own markup is a text, and the rows behind it are there."""
    book = xlsx_of(tmp_path, [ROWS[0] | {"source": text}, ROWS[1]], [text] * len(COLUMNS))
    heads, *rows = sheets_of(book)["receipt"]
    assert heads == [text] * len(COLUMNS)
    assert [row[0] for row in rows] == [text, ROWS[1]["source"]]


@pytest.mark.parametrize("digits", ["1234567890123456789", "9" * 38, f"1{'0' * 36}1", "123456789012345.6"])
def test_xlsx_keeps_numbers_that_a_double_cannot(tmp_path: Path, digits: str) -> None:
    """A number of more than 15 digits is a text, so that no digit is lost, however many it has."""
    rows = [ROWS[0] | {"number": Decimal(digits)}]
    assert sheets_of(xlsx_of(tmp_path, rows))["receipt"][1][1] == digits


def test_xlsx_has_a_long_number_that_ends_in_zeros_as_a_number(tmp_path: Path) -> None:
    """Zeros behind 15 digits need no text: a double has such a number as it is."""
    rows = [ROWS[0] | {"number": Decimal(12345678901234500)}]
    assert sheets_of(xlsx_of(tmp_path, rows))["receipt"][1][1] == 12345678901234500


def test_xlsx_goes_on_in_a_second_sheet(tmp_path: Path) -> None:
    """Rows past the end of a sheet go to a further one, with the headings again."""
    found = sheets_of(xlsx_of(tmp_path, [ROWS[1]] * 5, largest_sheet=2))
    assert [len(found[name]) for name in ("receipt", "receipt 2", "receipt 3")] == [3, 3, 2]
    assert found["receipt 3"][0] == found["receipt"][0]


def test_xlsx_headings_in_korean(tmp_path: Path) -> None:
    """Headings may be Korean; the sheet ``about`` has the names of both."""
    found = sheets_of(xlsx_of(tmp_path, [], [column.label_ko for column in COLUMNS]))
    assert found["receipt"][0] == ["파일", "금액", "수", "율", "과금", "날", "시각"]
    assert ["receipt", "number", "decimal", "금액", "", "1"] in found["about"]


def test_xlsx_cuts_what_a_cell_cannot_hold(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A text longer than a cell is cut, and a warning names the first row; more of them are counted."""
    with caplog.at_level(logging.WARNING):
        found = sheets_of(xlsx_of(tmp_path, [ROWS[0] | {"source": "x" * 32_768}] * 2))
    assert {len(row[0]) for row in found["receipt"][1:]} == {32_767}
    assert "source is longer than the 32767 characters" in caplog.text
    assert "receipt: 2 cells were longer" in caplog.text


def test_a_cell_that_is_not_written_is_an_error(tmp_path: Path) -> None:
    """A refusal of XlsxWriter, which is only a number, becomes an error: here a column beyond the last of a sheet."""
    book = XlsxFile(io.BytesIO().write, tmp_path)
    with pytest.raises(ClovaOCRError, match="XlsxWriter's code"):
        book.add_table("receipt", [Column("x", "integer", "x")] * 16_385)
    book.abort()


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    """A second file of the same rows is byte-identical."""
    assert xlsx_of(tmp_path, ROWS) == xlsx_of(tmp_path, ROWS)
    assert parquet_of(ROWS) == parquet_of(ROWS)


def test_temporary_rows_lie_in_the_given_folder_alone(tmp_path: Path) -> None:
    """Rows of a workbook lie in the given folder, readable by their owner alone, and are gone afterwards."""
    book = XlsxFile(io.BytesIO().write, tmp_path)
    table = book.add_table("receipt", COLUMNS)
    table.write_row(ROWS[1])
    modes = {file.stat().st_mode & 0o777 for file in tmp_path.rglob("*") if file.is_file()}
    assert modes == {0o600}
    book.close()
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_fails_is_an_os_error(tmp_path: Path) -> None:
    """An output that cannot be written raises its own error."""

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    book = XlsxFile(full, tmp_path)
    book.add_table("receipt", columns(Receipt))
    with pytest.raises(OSError, match="No space left"):
        book.close()
    book.abort()


def test_xlsx_keeps_a_long_text_that_fits(tmp_path: Path) -> None:
    """A text of up to 32,767 characters is whole."""
    text = "x" * 32_767
    assert sheets_of(xlsx_of(tmp_path, [ROWS[0] | {"source": text}]))["receipt"][1][0] == text
