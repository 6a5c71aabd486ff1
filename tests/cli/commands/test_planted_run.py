"""A run with everything that breaks tables, read back from CSV, Parquet and XLSX."""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
import io
import json
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import python_calamine as calamine
from support.commands import PICTURES, clova_ocr, exported

from clova_ocr_async.documents import DOCUMENTS, Receipt, Recognition
from clova_ocr_async.emulator import Emulator, Fault, draw_sample
from clova_ocr_async.emulator.samples.ground_truth import END, START, GroundTruth, pack_ground_truth
from clova_ocr_async.ledger import SqliteLedger
from clova_ocr_async.ledger.states import SourceFile
from clova_ocr_async.results import columns, to_items, to_row
from clova_ocr_async.results.run_rows import columns_of_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from clova_ocr_async.results import Column

# A sample without its truth: the emulator then answers with the one behind it.
BARE = PICTURES[0][: PICTURES[0].index(START)] + PICTURES[0][PICTURES[0].index(END) :]
OWN = {"=id": "007", "status": "=1+1", "비고": "a\nb", "empty": "", "tags": ["x", 1]}


def read(text: str, value: str | None = None, confidence: float = 0.97) -> dict[str, Any]:
    """Return a wire object of a text, with its formatted value if there is one."""
    wire: dict[str, Any] = {"text": text, "confidenceScore": confidence, "boundingPolys": []}
    return wire if value is None else wire | {"formatted": {"value": value}}


def line(name: str, price: str, count: str = "1") -> dict[str, Any]:
    """Return a line of a receipt."""
    amount = price.replace(",", "").removesuffix("원")
    return {"name": read(name), "count": read(count), "price": {"price": read(price, amount)}}


def receipt(lines: Sequence[dict[str, Any]], total: str | None, **parts: Any) -> dict[str, Any]:
    """Return the result of a receipt."""
    price = {} if total is None else {"totalPrice": {"price": read(total)}}
    return {"subResults": [{"items": list(lines)}], **price, **parts}


def paid(date: dict[str, Any], time: str = "10:20:30", **more: Any) -> dict[str, Any]:
    """Return the payment of a receipt."""
    return {"date": date, "time": read(time), **more}


DAY = {"text": "2026-11-29", "formatted": {"year": "2026", "month": "11", "day": "29"}}
NO_DAY = {"text": "20261100123456", "formatted": {"year": "2026", "month": "11", "day": "00"}}
TWICE = receipt(
    [line("tea", "3,000"), line("cake", "2,000", "2")],
    "5,000",
    storeInfo={"name": read("Cafe"), "bizNum": read("220-81-62517")},
    paymentInfo=paid(DAY, confirmNum=read("00012345"), cardInfo={"number": read("4111111111111111")}),
)
RECEIPTS: dict[str, dict[str, Any]] = {
    "formula": receipt(
        [line('=HYPERLINK("http://evil/","x")', "-1,500"), line("+82-2-555", "1,000원"), line("@x\ty", "0")],
        "-500",
        storeInfo={
            "name": read("=1+1"),
            "subName": read("-2+3"),
            "addresses": [read('@SUM(A1)\r\n"second", line'), read("\uff1d1")],
            "tel": [read("02-1"), read("+82-2")],
        },
        paymentInfo=paid(NO_DAY, "noon"),
    ),
    "long numbers": receipt(
        [line("0012345", "12,345", "007")],
        "12,345",
        storeInfo={"bizNum": read("0123456789"), "name": read("\ttab"), "subName": read("_x0041_")},
        paymentInfo=paid(DAY, confirmNum=read("000000000000001234"), cardInfo={"number": read("1234567812345678")}),
    ),
    "lines only": receipt([line("\u200b=x", "700"), line("소주", "5,000")], "5,700"),
    "unreadable": receipt([line("B67", "B67"), line("·", "100", "·")], "8만원", subTotal=[{"taxPrice": [read("x")]}]),
    "huge": receipt([line("barcode", "123456789012345678901234567890")], "1" * 36, subTotal=[]),
    "old": receipt(
        [line("x", "1")], "1", paymentInfo=paid({"text": "0204.1.2", "formatted": {"year": "0204", "month": "1"}})
    ),
    "twice": TWICE,
}


def picture(document: str, result: dict[str, Any], mark: bytes = b"") -> bytes:
    """Return a picture that the local CLOVA reads as a result."""
    return BARE + pack_ground_truth(GroundTruth(document, 100, 100, {"result": result})) + mark


@pytest.fixture
def planted(clova: Emulator, tmp_path: Path, run: Path) -> Path:
    """A run with planted values, failures, copies, and a receipt that was photographed twice."""
    scans = tmp_path / "scans"
    scans.mkdir()
    for name, result in RECEIPTS.items():
        (scans / f"{name}.png").write_bytes(picture("receipt", result))
    (scans / "twice again.png").write_bytes(picture("receipt", TWICE, b"another photograph"))
    (scans / "=copy.png").write_bytes(picture("receipt", RECEIPTS["formula"]))
    (scans / "\u1100\u1161.png").write_bytes(b"not a picture")

    async def list_one() -> None:
        async with SqliteLedger(run) as ledger:
            named = SourceFile(str(scans / "lines only.png").encode(), columns=json.dumps(OWN).encode())
            ledger.add_files([named], "receipt")

    asyncio.run(list_one())
    assert clova_ocr("batch", "receipt", scans, "--run", run, "-q").exit_code == 1
    for number, fault in enumerate([Fault.FAILURE, Fault.HALF_JSON, Fault.OTHER_REQUEST_ID, Fault.CLOSE_AFTER_BODY]):
        failing = tmp_path / f"{fault}.png"
        failing.write_bytes(picture("receipt", TWICE, b"%d" % number))
        clova.script(fault)
        clova_ocr("batch", "receipt", failing, "--run", run, "-q")
    return run


def csv_of(run: Path, *options: str) -> str:
    """Return the CSV of a run, with the line ends in its cells."""
    return clova_ocr("export", run, "--format", "csv", *options).stdout_bytes.decode()


def typed_csv(text: str, shown: Sequence[Column]) -> list[dict[str, Any]]:
    """Return the rows of a CSV with the types of its columns."""
    kinds: dict[str, Any] = {"decimal": Decimal, "integer": int, "float": float, "text": str}
    kinds |= {"boolean": {"true": True, "false": False}.__getitem__}
    kinds |= {"date": dt.date.fromisoformat, "time": dt.time.fromisoformat}
    types = {column.name: kinds[column.type] for column in shown}
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return [{name: types[name](value) if value else None for name, value in row.items()} for row in rows]


def typed_sheet(book: Path, name: str, shown: Sequence[Column]) -> list[dict[str, Any]]:
    """Return the rows of a sheet with the types of its columns; numbers that Excel does not hold are texts there."""
    head, *rows = calamine.CalamineWorkbook.from_path(str(book)).get_sheet_by_name(name).to_python()
    assert head == [column.name for column in shown]
    return [
        {column.name: _from_cell(column.type, cell) for column, cell in zip(shown, row, strict=True)} for row in rows
    ]


def _from_cell(type_: str, cell: Any) -> Any:
    if cell == "":
        return None
    if type_ in {"decimal", "integer"}:
        return Decimal(str(cell)) if type_ == "decimal" else int(cell)
    if type_ == "date" and isinstance(cell, str):
        return dt.date.fromisoformat(cell)
    return cell


def total(rows: Iterable[dict[str, Any]], name: str) -> Decimal:
    """Return the sum of a column."""
    with localcontext(prec=60):
        return sum((row[name] for row in rows if row[name] is not None), Decimal(0))


def planted_lines(names: Iterable[str]) -> list[int]:
    """Return the readable prices of the planted lines."""
    texts = [
        item["price"]["price"]["formatted"]["value"]
        for name in names
        for item in RECEIPTS[name]["subResults"][0]["items"]
    ]
    return [int(text) for text in texts if text.lstrip("-").isdigit()]


def test_a_planted_run_reads_back_equal(planted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """CSV, Parquet and XLSX have the same rows, types and nulls, and sums equal to what was planted."""
    out = tmp_path / "out"
    for format_ in ("csv", "parquet", "xlsx"):
        extra = ["--no-guard"] if format_ == "csv" else []
        done = clova_ocr("export", planted, "--format", format_, "-o", f"{out}/", *extra)
        assert done.exit_code == 0, done.stderr
    documents, lines = columns_of_run(Receipt, OWN), columns(Receipt, "items")
    tables = {}
    for stem, shown in (("receipt", documents), ("receipt_items", lines)):
        rows = typed_csv((out / f"{stem}.csv").read_bytes().decode(), shown)
        packed = pq.read_table(out / f"{stem}.parquet").to_pylist()
        assert "has more digits" in caplog.text
        assert without_huge(packed) == without_huge(rows)
        assert typed_sheet(out / "receipt.xlsx", stem, shown) == rows
        tables[stem] = rows
    rows, items = tables["receipt"], tables["receipt_items"]
    assert len(rows) == len(list((tmp_path / "scans").iterdir())) + 4 == len(exported(planted))
    assert {item["key"] for item in items} <= {row["key"] for row in rows}
    assert total(items, "price") == sum(planted_lines([*RECEIPTS, "twice"]))
    counted = [row for row in rows if row["copy_of"] is None]
    assert total(counted, "total_price") == -500 + 12_345 + 5_700 + int("1" * 36) + 1 + 2 * 5_000


def without_huge(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with null for numbers that Parquet does not hold."""
    most = Decimal(10) ** 32
    return [
        {name: None if isinstance(value, Decimal) and value >= most else value for name, value in row.items()}
        for row in rows
    ]


def test_planted_values(planted: Path) -> None:
    """Each planted value is right in its row: no digit, sign or zero is lost, and no text becomes a date."""
    shown = columns_of_run(Receipt, OWN)
    rows = {name_of(row): row for row in typed_csv(csv_of(planted, "--no-guard", "--no-copies"), shown)}
    assert len(rows) == 13
    (original,) = rows.keys() & {"=copy", "formula"}
    expected: dict[str, dict[str, Any]] = {
        original: {
            "store_name": "=1+1",
            "store_branch": "-2+3",
            "store_address": '@SUM(A1)\r\n"second", line | \uff1d1',
            "total_price": Decimal(-500),
            "payment_date": None,
            "payment_date_text": "20261100123456",
            "payment_time": None,
            "payment_time_text": "noon",
            "item_count": 3,
        },
        "long numbers": {
            "store_biz_num": "0123456789",
            "confirm_num": "000000000000001234",
            "card_number": "1234567812345678",
            "store_branch": "_x0041_",
        },
        "lines only": {
            "store_name": None,
            "payment_date_text": None,
            "item_count": 2,
            "=id": "007",
            "manifest_status": "=1+1",
            "비고": "a\nb",
            "empty": None,
            "tags": '["x",1]',
        },
        "unreadable": {"total_price": None, "total_price_text": "8만원", "tax_price": None, "tax_price_text": "x"},
        "old": {"payment_date": dt.date(204, 1, 2)},
        "\uac00": {"status": "skipped", "billed": False, "item_count": None},
        "failure": {"status": "failed", "billed": True, "store_name": None},
        "half-json": {"status": "failed", "billed": True},
        "other-request-id": {"status": "ambiguous", "billed": None},
        "close-after-body": {"status": "ambiguous", "billed": None},
    }
    for name, values in expected.items():
        assert {column: rows[name][column] for column in values} == values, name
    photographs = rows["twice"], rows["twice again"]
    assert [row["copy_of"] for row in photographs] == [None, None]
    first, second = sorted((row["possible_copy_of"] or "", row["source"]) for row in photographs)
    assert (first[0], second[0]) == ("", first[1])
    assert rows["failure"]["error"].startswith("RecognitionError: inferResult FAILURE")
    assert ".recognition" not in rows["failure"]["error"]
    assert rows["half-json"]["error"].startswith("MalformedResponseError: ")


def name_of(row: dict[str, Any]) -> str:
    """Return the name of a row's file without its folder and ending."""
    return str(row["source"]).rpartition("/")[2].removesuffix(".png")


def test_a_guarded_cell_differs_by_its_apostrophe_alone(planted: Path) -> None:
    """With the guard each text that begins like a formula has an apostrophe, and nothing else differs."""
    plain, guarded = (
        list(csv.reader(io.StringIO(csv_of(planted, *options), newline=""))) for options in (["--no-guard"], [])
    )
    triples = [triple for rows in zip(plain, guarded, strict=True) for triple in zip(plain[0], *rows, strict=True)]
    changed = {(name, before) for name, before, after in triples if before != after}
    assert all(after in {before, f"'{before}"} for _, before, after in triples)
    assert {("store_name", "=1+1"), ("store_branch", "-2+3"), ("store_name", "\ttab"), ("=id", "=id")} <= changed
    assert ("total_price_text", "-500") in changed
    assert ("total_price", "-500", "-500") in triples
    assert not {"0123456789", "", "true"} & {before for _, before in changed}


def test_a_second_export_is_byte_identical(planted: Path, tmp_path: Path) -> None:
    """The same run gives the same bytes in every format."""
    for format_ in ("csv", "parquet", "xlsx", "jsonl"):
        first, second = (tmp_path / f"{number}.{format_}" for number in (1, 2))
        for output in (first, second):
            assert clova_ocr("export", planted, "--format", format_, "-o", output).exit_code == 0
        assert first.read_bytes() == second.read_bytes()


def test_rows_of_python_are_those_of_the_run(planted: Path) -> None:
    """``to_row`` and ``to_items`` of a record's answer have the values of the run's tables."""
    shown = columns(Receipt)
    table = typed_csv(csv_of(planted, "--no-guard"), columns_of_run(Receipt, OWN))
    of_the_run = {"key", "sha256", "copy_of", "status", "billed", "error", "possible_copy_of"}
    for record, row in zip(exported(planted), table, strict=True):
        if record["status"] == "succeeded":
            recognition = Recognition.from_dict(record)
            mine = to_row(recognition, record["source"])
            assert [mine[column.name] for column in shown if column.name not in of_the_run] == [
                row[column.name] for column in shown if column.name not in of_the_run
            ]
            assert len(to_items(recognition)) == row["item_count"]


def test_every_document_has_its_tables(clova: Emulator, tmp_path: Path, run: Path) -> None:
    """A run with all six documents gives a table, or a sheet, for each, with a row for each image."""
    counts = dict.fromkeys(DOCUMENTS, 1) | {"id-card": 4}
    for word, count in counts.items():
        folder = tmp_path / word
        folder.mkdir()
        for seed in range(count):
            sample = draw_sample(word, seed=seed, format="png")
            (folder / sample.name).write_bytes(sample.data)
        assert clova_ocr("batch", word, folder, "--run", run, "-q").exit_code == 0
    assert clova.billed.total() == 9
    out = tmp_path / "out"
    for format_ in ("csv", "parquet", "xlsx"):
        assert clova_ocr("export", run, "--format", format_, "-o", f"{out}/").exit_code == 0
    for word, count in counts.items():
        stem = word.replace("-", "_")
        rows = typed_csv((out / f"{stem}.csv").read_text(), columns(DOCUMENTS[word]))
        assert len(rows) == count
        assert rows == pq.read_table(out / f"{stem}.parquet").to_pylist()
        assert rows == typed_sheet(out / f"{stem}.xlsx", stem, columns(DOCUMENTS[word]))
        assert {row["document"] for row in rows} == {word}
    cards = typed_csv((out / "id_card.csv").read_text(), columns(DOCUMENTS["id-card"]))
    assert sorted(row["kind"] for row in cards) == ["ac", "dl", "ic", "pp"]
