"""Tables of a run on the command line: a row for each record, in CSV, XLSX and Parquet."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import python_calamine as calamine
from support.commands import clova_ocr, exported

from clova_ocr_async.documents import DOCUMENTS, Receipt, Recognition
from clova_ocr_async.emulator import Emulator, draw_sample
from clova_ocr_async.ledger import SqliteLedger
from clova_ocr_async.ledger.states import Item, SourceFile
from clova_ocr_async.results import columns, to_row

if TYPE_CHECKING:
    from collections.abc import Iterable


@pytest.fixture
def receipts(clova: Emulator, scans: Path, run: Path) -> Path:
    """A run of seven receipts, one of them a copy, and a file that is not a picture."""
    assert clova.billed.total() == 0
    (scans / "broken.jpg").write_bytes(b"not a picture")
    assert clova_ocr("batch", "receipt", scans, "--run", run).exit_code == 1
    return run


@pytest.fixture
def cards(clova: Emulator, tmp_path: Path, run: Path) -> Path:
    """A run of an ID card."""
    assert clova.billed.total() == 0
    (tmp_path / "card.png").write_bytes(draw_sample("id-card", seed=3).data)
    assert clova_ocr("batch", "id-card", tmp_path / "card.png", "--run", run).exit_code == 0
    return run


def rows_in(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def totals(rows: Iterable[dict[str, Any]]) -> Decimal:
    """Return the sum of the prices of some lines."""
    return sum((Decimal(str(row["price"])) for row in rows if row["price"] not in {None, ""}), Decimal(0))


def sheets_in(book: Path) -> list[str]:
    """Return the names of a workbook's sheets."""
    names: list[str] = calamine.CalamineWorkbook.from_path(str(book)).sheet_names
    return names


def test_documents_are_on_standard_output(receipts: Path) -> None:
    """Without -o the table of documents is on standard output, a row for each record."""
    found = clova_ocr("export", receipts, "--format", "csv")
    rows = rows_in(found.stdout)
    assert (found.exit_code, len(rows)) == (0, 8)
    assert list(rows[0]) == [column.name for column in columns(Receipt)]
    assert sorted(row["status"] for row in rows) == ["skipped"] + ["succeeded"] * 7
    assert [row["billed"] for row in rows].count("true") == 6
    (copy,) = (row for row in rows if row["copy_of"])
    assert {Path(copy["source"]).name, Path(copy["copy_of"]).name} == {"0.png", "6.png"}


def test_a_folder_has_all_tables(receipts: Path, tmp_path: Path) -> None:
    """A folder gets a file for each table, and the columns of all; sums over the lines count no copy."""
    folder = tmp_path / "tables"
    found = clova_ocr("export", receipts, "--format", "csv", "-o", f"{folder}{os.sep}")
    assert found.exit_code == 0
    assert "8 rows in" in found.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["receipt.csv", "receipt_items.csv", "schema.json"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    schema = json.loads((folder / "schema.json").read_text())
    assert [column["name"] for column in schema["tables"]["receipt"]] == [column.name for column in columns(Receipt)]
    documents, items = (rows_in((folder / name).read_text()) for name in ("receipt.csv", "receipt_items.csv"))
    assert {item["key"] for item in items} <= {row["key"] for row in documents}
    truth = [
        item
        for record in exported(receipts)
        if record["status"] == "succeeded" and record["copy_of"] is None
        for item in Recognition.from_dict(record, Receipt).document.result.sub_results[0].items
    ]
    assert len(items) == len(truth)
    assert totals(items) == sum((item.price.price.decimal or 0 for item in truth), Decimal(0))


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_lines_lie_beside_a_file(receipts: Path, tmp_path: Path, format_: str) -> None:
    """With a file the table of lines is beside it; both replace nothing without --force."""
    output = tmp_path / f"out.{format_}"
    assert clova_ocr("export", receipts, "--format", format_, "-o", output).exit_code == 0
    beside = tmp_path / f"out_items.{format_}"
    assert beside.exists()
    before = output.read_bytes(), beside.read_bytes()
    refused = clova_ocr("export", receipts, "--format", format_, "-o", output)
    assert refused.exit_code == 2
    assert "is there already" in refused.stderr
    assert clova_ocr("export", receipts, "--format", format_, "-o", output, "--force").exit_code == 0
    assert (output.read_bytes(), beside.read_bytes()) == before


def test_all_formats_have_the_same_rows(receipts: Path, tmp_path: Path) -> None:
    """CSV, Parquet and XLSX of a run have the same rows, and sheets of their names."""
    for format_ in ("csv", "parquet", "xlsx"):
        output = tmp_path / f"out.{format_}"
        assert clova_ocr("export", receipts, "--format", format_, "-o", output).exit_code == 0
    book = calamine.CalamineWorkbook.from_path(str(tmp_path / "out.xlsx"))
    assert book.sheet_names == ["receipt", "receipt_items", "about"]
    for stem, sheet in (("out", "receipt"), ("out_items", "receipt_items")):
        text = rows_in((tmp_path / f"{stem}.csv").read_text())
        typed = pq.read_table(tmp_path / f"{stem}.parquet").to_pylist()
        first, *cells = book.get_sheet_by_name(sheet).to_python()
        heads = [str(head) for head in first]
        assert list(text[0]) == list(typed[0]) == heads
        names = [name for name in heads if name not in {"min_confidence", "billed"}]
        for row, other, third in zip(text, typed, (dict(zip(heads, row, strict=True)) for row in cells), strict=True):
            assert [row[name] == "" for name in names] == [other[name] is None for name in names]
            assert [row[name] == "" for name in names] == [third[name] == "" for name in names]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".clova")] == []


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("export --format csv", "an empty name"),
        ("redact", "the name of the folder is empty"),
        ("annotate", "the name of the folder is empty"),
    ],
)
def test_an_output_without_a_name_is_refused(
    cards: Path, verb: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty name, as of a variable that is not set, is not taken for the current folder."""
    monkeypatch.chdir(cards.parent)
    before = sorted(cards.parent.iterdir())
    done = clova_ocr(*verb.split(), cards.resolve(), "-o", "")
    assert (done.exit_code, message in done.stderr, sorted(cards.parent.iterdir())) == (2, True, before)


def test_a_file_is_no_place_for_tables(cards: Path, tmp_path: Path) -> None:
    """A name with a slash at its end that is a file is named as one."""
    (tmp_path / "plain").touch()
    done = clova_ocr("export", cards, "--format", "csv", "-o", f"{tmp_path}/plain/")
    assert (done.exit_code, "it is a file; give the name of a folder" in done.stderr) == (2, True)


def test_a_table_agrees_with_the_rows_of_python(cards: Path) -> None:
    """A row of the table has the values that ``to_row`` gives for the record's answer."""
    (record,), (row,) = exported(cards), rows_in(clova_ocr("export", cards, "--format", "csv", "--no-guard").stdout)
    expected = to_row(Recognition.from_dict(record), record["source"])
    run_only = {"key", "sha256", "status", "billed", "copy_of", "error"}
    shown = {True: "true", False: "false", None: ""}
    assert {name: value for name, value in row.items() if name not in run_only} == {
        name: shown.get(value, str(value)) if not isinstance(value, int) or isinstance(value, bool) else str(value)
        for name, value in expected.items()
        if name not in run_only
    }


@pytest.mark.parametrize("format_", ["csv", "jsonl", "xlsx", "parquet"])
def test_masked_exports_show_no_number(cards: Path, tmp_path: Path, format_: str) -> None:
    """With --masked no digit of a hidden number is in any byte of the output, and the columns are the same."""
    (record,) = exported(cards)
    (number,) = {
        field.text for field in Recognition.from_dict(record).fields() if field.path.endswith("alienRegNum[0]")
    }
    output = tmp_path / f"out.{format_}"
    assert clova_ocr("export", cards, "--format", format_, "--masked", "-o", output).exit_code == 0
    if format_ == "xlsx":
        cells = calamine.CalamineWorkbook.from_path(str(output)).get_sheet_by_name("id_card").to_python()
        text = json.dumps(cells, default=str)
    elif format_ == "parquet":
        text = json.dumps(pq.read_table(output).to_pylist(), default=str)
    else:
        text = output.read_text()
    assert number is not None
    assert number[-7:] not in text
    assert "-*******" in text


def test_copies_can_be_left_out(receipts: Path) -> None:
    """With --no-copies each picture has one row, in tables and records."""
    assert len(rows_in(clova_ocr("export", receipts, "--format", "csv", "--no-copies").stdout)) == 7
    assert len(exported(receipts, "--no-copies")) == 7


def test_headings_and_encodings(receipts: Path, tmp_path: Path) -> None:
    """Headings may be Korean, CSV may be for Excel or in CP949."""
    korean = clova_ocr("export", receipts, "--format", "csv", "--headers", "ko")
    assert korean.stdout.startswith("키,파일,페이지,")
    output = tmp_path / "out.csv"
    assert clova_ocr("export", receipts, "--format", "csv", "--excel", "-o", output).exit_code == 0
    assert output.read_bytes().startswith(b"\xef\xbb\xbfkey,")
    assert b"\r\n" in output.read_bytes()
    old = tmp_path / "old.csv"
    assert clova_ocr("export", receipts, "--format", "csv", "--encoding", "cp949", "-o", old).exit_code == 0
    assert "키,파일" not in old.read_bytes().decode("cp949")
    book = tmp_path / "out.xlsx"
    assert clova_ocr("export", receipts, "--format", "xlsx", "--headers", "ko", "-o", book).exit_code == 0
    heads = calamine.CalamineWorkbook.from_path(str(book)).get_sheet_by_name("receipt").to_python()[0]
    assert heads[:2] == ["키", "파일"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "jsonl", "--excel"], "--excel is for --format csv"),
        (["--format", "parquet", "--headers", "ko"], "--headers is for --format csv or xlsx"),
        (["--format", "xlsx", "--no-guard"], "--no-guard is for --format csv"),
        (["--format", "csv", "--excel", "--encoding", "cp949"], "--excel writes UTF-8"),
        (["--format", "xlsx"], "XLSX is not for standard output"),
        (["--format", "parquet"], "Parquet is not for standard output"),
        (["--format", "csv", "-o", "x.xlsx"], "give a name that ends in .csv, or --format xlsx"),
        (["-o", "x.csv"], "or --format csv"),
        (["--format", "csv", "-o", "no/such/"], "No such file or directory"),
    ],
)
def test_options_that_do_not_fit_are_refused(receipts: Path, options: list[str], message: str) -> None:
    """An option that would do nothing, or an output that cannot be, is refused before anything is written."""
    found = clova_ocr("export", receipts, *options)
    assert found.exit_code == 2
    assert message in found.stderr


def test_several_documents_have_several_tables(receipts: Path, clova: Emulator, tmp_path: Path) -> None:
    """A run with several documents gives a file, or a sheet, for each; one file is refused with the way out."""
    assert clova.billed.total() == 6
    (tmp_path / "card.png").write_bytes(draw_sample("id-card", seed=3).data)
    assert clova_ocr("batch", "id-card", tmp_path / "card.png", "--run", receipts).exit_code in {0, 1}
    refused = clova_ocr("export", receipts, "--format", "csv")
    assert refused.exit_code == 2
    assert "give a folder, -o DIR/" in refused.stderr
    folder = tmp_path / "tables"
    folder.mkdir()
    assert clova_ocr("export", receipts, "--format", "parquet", "-o", folder).exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "id_card.parquet",
        "receipt.parquet",
        "receipt_items.parquet",
        "schema.json",
    ]
    assert clova_ocr("export", receipts, "--format", "xlsx", "-o", folder).exit_code == 0
    assert sheets_in(folder / "id_card.xlsx") == ["id_card", "about"]
    assert sheets_in(folder / "receipt.xlsx") == ["receipt", "receipt_items", "about"]
    book = tmp_path / "all.xlsx"
    assert clova_ocr("export", receipts, "--format", "xlsx", "-o", book).exit_code == 0
    assert sheets_in(book) == ["id_card", "receipt", "receipt_items", "about"]


def test_a_failed_export_leaves_nothing(receipts: Path, tmp_path: Path) -> None:
    """An export that fails leaves no file under a final name, and none under a temporary one."""
    output = tmp_path / "out.csv"
    (tmp_path / "out_items.csv").write_text("mine")
    assert clova_ocr("export", receipts, "--format", "csv", "-o", output).exit_code == 2
    assert not output.exists()
    assert (tmp_path / "out_items.csv").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


async def test_an_empty_run_has_the_same_columns(run: Path, tmp_path: Path) -> None:
    """A run without images gives the empty tables of all documents; a single table cannot be named."""
    async with SqliteLedger(run):
        pass
    folder = tmp_path / "tables"
    for format_ in ("csv", "xlsx", "parquet"):
        done = await asyncio.to_thread(clova_ocr, "export", run, "--format", format_, "-o", f"{folder}/")
        assert (done.exit_code, "the run holds no images" in done.stderr) == (5, True)
    for word, cls in DOCUMENTS.items():
        stem = word.replace("-", "_")
        names = [column.name for column in columns(cls)]
        assert (folder / f"{stem}.csv").read_text() == ",".join(names) + "\n"
        assert pq.read_schema(folder / f"{stem}.parquet").names == names
        assert sheets_in(folder / f"{stem}.xlsx")[-1] == "about"
    single = await asyncio.to_thread(clova_ocr, "export", run, "--format", "csv", "-o", tmp_path / "one.csv")
    assert (single.exit_code, (tmp_path / "one.csv").exists()) == (5, False)


async def test_a_run_at_work_is_exported_as_it_is(run: Path) -> None:
    """Images that are in flight, or not read yet, have rows with their status and no values."""
    async with SqliteLedger(run) as ledger:
        claim = (await ledger.admit(Item(b"1" * 32, "receipt"), SourceFile(b"sent"))).claim
        assert claim is not None
        await ledger.sending(claim, "id")
        ledger.add_files([SourceFile(b"unread", page=2)], "receipt")
        rows = rows_in((await asyncio.to_thread(clova_ocr, "export", run, "--format", "csv")).stdout)
    assert [(row["source"], row["page"], row["status"], row["billed"]) for row in rows] == [
        ("sent", "", "pending", ""),
        ("unread", "2", "pending", "false"),
    ]
    assert [row["request_id"] for row in rows] == ["id", ""]


def test_purged_answers_leave_rows(receipts: Path) -> None:
    """After a purge each image still has its row: its status and bill, the reason, and no values."""
    before = rows_in(clova_ocr("export", receipts, "--format", "csv").stdout)
    assert clova_ocr("purge", receipts, "--yes").exit_code == 0
    after = rows_in(clova_ocr("export", receipts, "--format", "csv").stdout)
    kept = ("key", "source", "sha256", "status", "billed", "copy_of")
    assert [[row[name] for name in kept] for row in after] == [[row[name] for name in kept] for row in before]
    assert {row["total_price"] for row in after} == {""}
    assert {row["error"].partition(":")[0] for row in after} == {"AnswerNotKeptError", "ImageError"}


def test_a_run_that_keeps_no_answers_has_rows(clova: Emulator, scans: Path, run: Path) -> None:
    """With --store none the rows have no values, and copies are still marked."""
    clova_ocr("batch", "receipt", scans, "--run", run, "--store", "none")
    rows = rows_in(clova_ocr("export", run, "--format", "csv").stdout)
    assert clova.billed.total() == [row["billed"] for row in rows].count("true") == 6
    assert [bool(row["copy_of"]) for row in rows].count(True) == 1
    assert {row["min_confidence"] for row in rows} == {""}


@pytest.mark.usefixtures("clova")
def test_a_sealed_run_gives_the_same_tables(scans: Path, run: Path, tmp_path: Path) -> None:
    """With its key a sealed run is exported as any other; without it nothing is written."""
    key = tmp_path / "key"
    key.write_bytes(base64.b64encode(bytes(32)))
    key.chmod(0o600)
    sealed = tmp_path / "sealed"
    clova_ocr("batch", "receipt", scans, "--run", run)
    clova_ocr("batch", "receipt", scans, "--run", sealed, "--key-file", key)
    output = tmp_path / "out.csv"
    refused = clova_ocr("export", sealed, "--format", "csv", "-o", output)
    assert (refused.exit_code, output.exists()) == (2, False)
    of_the_call = {"request_id", "min_confidence"}
    plain, opened = (
        [{name: value for name, value in row.items() if name not in of_the_call} for row in rows_in(found.stdout)]
        for found in (
            clova_ocr("export", run, "--format", "csv"),
            clova_ocr("export", sealed, "--format", "csv", "--key-file", key),
        )
    )
    assert by_source(plain) == by_source(opened)


def by_source(rows: Iterable[dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return rows by their files; the names of copies depend on the order in which files were found."""
    return {row["source"]: row for row in rows}


@pytest.mark.parametrize("word", DOCUMENTS)
def test_the_schema_of_a_document(word: str) -> None:
    """``schema`` prints the columns of the tables, as text and as JSON."""
    text = clova_ocr("schema", word).stdout
    schema = json.loads(clova_ocr("schema", word, "--format", "json").stdout)
    stem = word.replace("-", "_")
    assert [column["name"] for column in schema["tables"][stem]] == [column.name for column in columns(DOCUMENTS[word])]
    assert ("receipt_items" in schema["tables"]) == (word == "receipt")
    for column in columns(DOCUMENTS[word]):
        assert f"  {column.name} " in text
