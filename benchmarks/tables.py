"""The cost of tables of a run: CPU over a script with the csv module, pyarrow or XlsxWriter, and over pandas; memory.

The records are made straight in the store: receipts with polygons, each with numbers of its own. Every contender reads
the same run through the same view, decodes the answers and writes both tables. A *script* is what one writes by hand:
it picks the values, and neither judges the reading, nor guards cells, nor looks for copies. What is compared is the CPU
beyond the reading of the stored answers, which all have in common; each contender in a process of its own. Two columns
of our tables hold the judgement of a reading, so a script that writes the same table judges as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import hashlib
import importlib
import sqlite3
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frame import Row, alone, apart, compared, figure, missing, peak_memory, spoken, unmeasured

from clova_ocr_async import Receipt, Recognition, SqliteLedger
from clova_ocr_async.cli.runs.table_export import TableOptions, write_tables
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.ledger.compression import compress
from clova_ocr_async.ledger.settlement import replay
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.protocol.response import encode_response
from clova_ocr_async.results import columns
from clova_ocr_async.results.rows import judged_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clova_ocr_async.ledger.storage import SourceRecord

SHAPES = 20  # different receipts
COMPARED = {"csv": 5_000, "parquet": 5_000, "xlsx": 2_000}
LARGE = {"csv": 1_000_000, "parquet": 1_000_000, "xlsx": 100_000}
PEAKS = {"csv": 80.0, "parquet": 200.0, "xlsx": 120.0}
SMALLER, LARGER = 20_000, 100_000
ROUNDS = 5
AT_ONCE = 2  # exports whose memory is measured: their time does not count


# ---------------------------------------------------------------------------------------------------------------------
# The run


def make_run(folder: Path, count: int) -> None:
    """Make a run of receipts that were read, straight in its tables."""
    asyncio.run(_make_empty(folder))
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite3", isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        shapes = [_body(seed) for seed in range(SHAPES)]
        for number in range(1, count + 1):
            key = f"{number:032x}"
            packed, size = compress(shapes[number % SHAPES].replace(_PLACE, key.encode()))
            sha256 = hashlib.sha256(key.encode()).digest()
            db.execute(_ITEM, (number, sha256, key, number))
            db.execute(_ANSWER, (number, number, key, packed, size))
            db.execute(_SOURCE, (b"scans/%07d.png" % number, number))
        db.execute("COMMIT")


_PLACE = b"0123456789abcdef" * 2  # of the requestId and the approval number
_ITEM = """INSERT INTO item (id, sha256, document, state, attempts, billing, request_id, finished_at, elapsed, answer)
           VALUES (?, ?, 'receipt', 'succeeded', 1, 2, ?, 1, 1, ?)"""
_ANSWER = "INSERT INTO answer (id, item, request_id, status, body, came, unpacked) VALUES (?, ?, ?, 200, ?, 1, ?)"
_SOURCE = """INSERT INTO source (document, path, open, item, size, modified_ns, changed_ns, inode)
             VALUES ('receipt', ?, 0, ?, 1, 1, 1, 1)"""


async def _make_empty(folder: Path) -> None:
    async with SqliteLedger(folder):
        pass


def _body(seed: int) -> bytes:
    answer = draw_sample("receipt", seed=seed).truth.answer
    answer["result"]["paymentInfo"]["confirmNum"] = {"text": _PLACE.decode(), "confidenceScore": 0.97}
    image = {"receipt": answer, "uid": "0" * 32, "name": "image", "inferResult": "SUCCESS", "message": "SUCCESS"}
    return encode_response(_PLACE.decode(), 1_764_000_000_000, image)


# ---------------------------------------------------------------------------------------------------------------------
# The contenders; each returns its seconds of CPU


def read(run: Path, _: Path) -> float:
    """Read the stored answers."""
    with RunReader(run) as view:
        began = time.process_time()
        for record in view.records():
            _decoded(record)
        return time.process_time() - began


def judge(run: Path, _: Path) -> float:
    """Read the stored answers and judge them, as the columns of the lowest confidence and of fields to look at do."""
    with RunReader(run) as view:
        began = time.process_time()
        for record in view.records():
            judged_values(_decoded(record))
        return time.process_time() - began


def export(format_: Any, run: Path, place: Path) -> float:
    """Export a run."""
    importlib.import_module(f"clova_ocr_async.results.files.{format_}_file")  # as the scripts import their library
    with RunReader(run) as view:
        began = time.process_time()
        write_tables(view, TableOptions(format=format_, output=str(place / f"ours.{format_}"), force=True))
        return time.process_time() - began


def _decoded(record: SourceRecord) -> Recognition[Receipt]:
    assert record.entry is not None  # noqa: S101 - made so
    recognition = replay(record.entry, Receipt)
    assert isinstance(recognition, Recognition)  # noqa: S101 - made so
    return recognition


DOCUMENTS = [column.name for column in columns(Receipt)]
ITEMS = [column.name for column in columns(Receipt, "items")]


def _picked(view: RunReader) -> Iterator[tuple[list[Any], list[list[Any]]]]:
    """Yield the values of each record and of its lines, in the order of our columns, as a script picks them."""
    for record in view.records():
        recognition = _decoded(record)
        result = recognition.document.result
        store, payment, total = result.store_info, result.payment_info, result.total_price.price
        taxes = [price for group in result.sub_total for price in group.tax_price]
        discounts = [price for group in result.sub_total for price in group.discount_price]
        entry: Any = record.entry
        key = entry.item.sha256.hex()
        lines = [
            [
                key,
                index,
                item.name.value,
                item.code.value,
                *(item.count.decimal, item.count.text),
                *(item.price.unit_price.decimal, item.price.unit_price.text),
                *(item.price.price.decimal, item.price.price.text),
            ]
            for index, item in enumerate((item for group in result.sub_results for item in group.items), 1)
        ]
        row = [
            key,
            *(record.path, record.page, record.copy_of, key, record.document, record.status, True, None),
            *(recognition.request_id, None, None),
            *(store.name.value, store.sub_name.value, store.biz_num.value),
            " | ".join(tel.value or "" for tel in store.tel) or None,
            " | ".join(address.value or "" for address in store.addresses) or None,
            *(payment.date.date, payment.date.text, payment.time.time, payment.time.text),
            *(payment.card_info.company.value, payment.card_info.number.value, payment.confirm_num.value),
            *(total.decimal, total.text),
            sum(price.decimal or 0 for price in taxes) if taxes else None,
            " | ".join(price.text or "" for price in taxes) or None,
            sum(price.decimal or 0 for price in discounts) if discounts else None,
            " | ".join(price.text or "" for price in discounts) or None,
            *(len(lines), None),
        ]
        yield row, lines


def csv_script(run: Path, place: Path) -> float:
    """Write with the csv module."""
    with RunReader(run) as view:
        began = time.process_time()
        with (
            (place / "a.csv").open("w", newline="", encoding="utf-8") as documents,
            (place / "b.csv").open("w", newline="", encoding="utf-8") as items,
        ):
            rows_, lines_ = csv.writer(documents), csv.writer(items)
            rows_.writerow(DOCUMENTS)
            lines_.writerow(ITEMS)
            for row, lines in _picked(view):
                rows_.writerow(row)
                lines_.writerows(lines)
        return time.process_time() - began


def parquet_script(run: Path, place: Path) -> float:
    """Write with pyarrow, with the types of our columns, a thousand rows at once."""
    pa, pq = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    types = {"text": pa.string(), "integer": pa.int64(), "decimal": pa.decimal128(38, 6), "float": pa.float64()}
    types |= {"boolean": pa.bool_(), "date": pa.date32(), "time": pa.time32("ms")}
    tables_ = columns(Receipt), columns(Receipt, "items")
    schemas = [pa.schema([(column.name, types[column.type]) for column in table]) for table in tables_]
    with RunReader(run) as view:
        began = time.process_time()
        with (
            pq.ParquetWriter(place / "a.parquet", schemas[0], compression="zstd") as documents,
            pq.ParquetWriter(place / "b.parquet", schemas[1], compression="zstd") as items,
        ):
            rows_: list[list[Any]] = []
            lines_: list[list[Any]] = []
            for row, lines in _picked(view):
                rows_.append(row)
                lines_ += lines
                if len(rows_) == 1000:  # noqa: PLR2004 - as many as ours
                    _write(documents, schemas[0], rows_)
                    _write(items, schemas[1], lines_)
            _write(documents, schemas[0], rows_)
            _write(items, schemas[1], lines_)
        return time.process_time() - began


def _write(writer: Any, schema: Any, rows_: list[list[Any]]) -> None:
    pa = importlib.import_module("pyarrow")
    values = zip(schema.types, zip(*rows_, strict=True), strict=True) if rows_ else ()
    arrays = [pa.array(column, type=type_) for type_, column in values]
    if arrays:
        writer.write_batch(pa.record_batch(arrays, schema=schema))
    rows_.clear()


def xlsx_script(run: Path, place: Path) -> float:
    """Write with XlsxWriter in constant memory."""
    xlsxwriter = importlib.import_module("xlsxwriter")
    options = {"constant_memory": True, "default_date_format": "yyyy-mm-dd", "tmpdir": str(place)}
    with RunReader(run) as view:
        began = time.process_time()
        with xlsxwriter.Workbook(place / "a.xlsx", options) as book:
            documents, items = book.add_worksheet("documents"), book.add_worksheet("items")
            documents.write_row(0, 0, DOCUMENTS)
            items.write_row(0, 0, ITEMS)
            at = 1
            for number, (row, lines) in enumerate(_picked(view), 1):
                documents.write_row(number, 0, row)
                for line in lines:
                    items.write_row(at, 0, line)
                    at += 1
        return time.process_time() - began


def with_pandas(format_: str, run: Path, place: Path) -> float:
    """Write with pandas: all rows in two frames."""
    pandas = importlib.import_module("pandas")
    with RunReader(run) as view:
        began = time.process_time()
        rows_: list[list[Any]] = []
        lines_: list[list[Any]] = []
        for row, lines in _picked(view):
            rows_.append(row)
            lines_ += lines
        frames = pandas.DataFrame(rows_, columns=DOCUMENTS), pandas.DataFrame(lines_, columns=ITEMS)
        if format_ == "xlsx":
            with pandas.ExcelWriter(place / "p.xlsx", engine="xlsxwriter") as book:
                for name, frame in zip(("documents", "items"), frames, strict=True):
                    frame.to_excel(book, sheet_name=name, index=False)
        else:
            for name, frame in zip("ab", frames, strict=True):
                write = {"csv": frame.to_csv, "parquet": frame.to_parquet}[format_]
                write(place / f"p{name}.{format_}", index=False)
        return time.process_time() - began


def peak(work: Callable[[Path, Path], float], run: Path, place: Path) -> float:
    """Return the MiB that a contender takes at the most; in a process of its own."""
    work(run, place)
    return peak_memory()


# ---------------------------------------------------------------------------------------------------------------------
# The questions

SCRIPTS: dict[str, tuple[str, str, Callable[[Path, Path], float]]] = {
    "csv": ("CSV", "csv", csv_script),
    "parquet": ("Parquet", "pyarrow", parquet_script),
    "xlsx": ("XLSX", "xlsxwriter", xlsx_script),
}


def of_cpu(format_: str, place: Path, count: int, rounds: int) -> list[Row]:
    """Compare the CPU of an export with that of the scripts."""
    called, package, script = SCRIPTS[format_]
    run = place / f"{count}"
    if not run.exists():
        make_run(run, count)
    contenders: dict[str, Callable[[Path, Path], Any]] = {
        "read": read,
        "judge": judge,
        "ours": partial(export, format_),
        "script": script,
    }
    if missing("pandas") is None:
        contenders["pandas"] = partial(with_pandas, format_)
    costs = {name: list[float]() for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            costs[name].append(apart(work, run, place))
    beyond = {
        name: [cost - least for cost, least in zip(found, costs["read"], strict=True)] for name, found in costs.items()
    }
    each = {name: f"{spoken(min(found) / count * 1e6)} µs" for name, found in beyond.items()}
    reading = f"{spoken(min(costs['read']) / count * 1e6)} µs a record"
    where = f"{called}, {count:,} receipts"
    found = [
        compared(
            f"CPU beyond the reading, over a script with {package}, {where}",
            beyond["ours"],
            beyond["script"],
            2.0,
            note=f"{each['ours']} over {each['script']} a record; reading takes {reading}",
        ),
        compared(
            f"of that, to judge the readings, which the script does not, {where}", beyond["judge"], beyond["script"]
        ),
        compared(
            f"CPU beyond the reading, over a script that judges as well, {where}",
            beyond["ours"],
            [judged + written for judged, written in zip(beyond["judge"], beyond["script"], strict=True)],
            2.0,
        ),
        compared(f"CPU with the reading, over the script's, {where}", costs["ours"], costs["script"], 2.0),
    ]
    if "pandas" in costs:
        found.append(compared(f"CPU with the reading, over pandas, {where}", costs["ours"], costs["pandas"]))
    else:
        found.append(unmeasured(f"CPU with the reading, over pandas, {where}", str(missing("pandas"))))
    return found


def of_memory(place: Path, *, quick: bool) -> list[Row]:
    """Measure the peaks of the exports, and how they grow."""
    wanted = {name: (200, 200, 200) if quick else (SMALLER, LARGER, most) for name, most in LARGE.items()}
    for count in sorted({count for counts in wanted.values() for count in counts}):
        if not (place / f"{count}").exists():
            make_run(place / f"{count}", count)
    # The longest first, beside each other.
    pairs = sorted({(count, name) for name, counts in wanted.items() for count in counts}, reverse=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = [pool.submit(_peak_of, name, place, count) for count, name in pairs]
        peaks = {pair: each.result() for pair, each in zip(pairs, found, strict=True)}
    rows_: list[Row] = []
    for name, counts in wanted.items():
        first, second, last = (peaks[count, name] for count in counts)
        called, grown = SCRIPTS[name][0], f"from {counts[0]:,} to {counts[1]:,} rows"
        rows_ += [
            figure(f"peak memory, {called}, {counts[2]:,} rows", [last], PEAKS[name], unit="MiB"),
            figure(
                f"growth of the peak {grown}, {called}",
                [second - first],
                10.0,
                unit="MiB",
                note=f"{first:.0f} to {second:.0f} MiB",
            ),
        ]
    return rows_


def _peak_of(format_: str, place: Path, count: int) -> float:
    """Return the MiB that an export takes at the most."""
    with tempfile.TemporaryDirectory(dir=place) as output:
        return apart(peak, partial(export, format_), place / f"{count}", Path(output))


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    if why := missing("pyarrow") or missing("xlsxwriter"):
        return [unmeasured("tables", why)]
    # On a disk: a run of a million receipts takes gigabytes.
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        counts = dict.fromkeys(COMPARED, 200) if quick else COMPARED
        cpu = [row for name, count in counts.items() for row in of_cpu(name, place, count, 1 if quick else ROUNDS)]
        return cpu + of_memory(place, quick=quick)


if __name__ == "__main__":
    alone(rows)
