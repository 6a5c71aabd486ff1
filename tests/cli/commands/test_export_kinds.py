"""Exports of runs that keep less than a finished run does, in every format."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import python_calamine as calamine
from support.answers import answer_of
from support.commands import clova_ocr

from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger import SqliteLedger, load_seal
from clova_ocr_async.ledger.states import Item, ItemEvent, Settlement, SourceFile
from clova_ocr_async.protocol import HTTPResponse

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ("jsonl", "csv", "xlsx", "parquet")
ANSWER = answer_of(Receipt, {"result": {"totalPrice": {"price": {"text": "5,000"}}}})

pytestmark = pytest.mark.parametrize("format_", FORMATS)


async def read(ledger: SqliteLedger, name: str) -> None:
    """Have a receipt read."""
    claim = (await ledger.admit(Item(name[:1].encode() * 32, "receipt"), SourceFile(name.encode()))).claim
    assert claim is not None
    await ledger.sending(claim, name)
    await ledger.answered(claim, name, HTTPResponse(200, json.dumps(ANSWER | {"requestId": name}).encode()))
    await ledger.settle(claim, Settlement(ItemEvent.SUCCEED, Billing.BILLED, request_id=name))


def begun(run: Path, **settings: Any) -> None:
    """Make a run of a receipt that was read, and one that is to be read."""

    async def begin() -> None:
        async with SqliteLedger(run, **settings) as ledger:
            await read(ledger, "a.jpg")
            ledger.add_files([SourceFile(b"b.jpg")], "receipt")

    asyncio.run(begin())


def rows_of(path: Path, format_: str) -> list[tuple[object, ...]]:
    """Return the source, the status and the total of each row, and the type of its error."""
    if format_ == "jsonl":
        return [_of_record(json.loads(line)) for line in path.read_text().splitlines()]
    if format_ == "csv":
        rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(path.read_text(), newline="")))
    elif format_ == "parquet":
        rows = pq.read_table(path).to_pylist()
    else:
        head, *cells = calamine.CalamineWorkbook.from_path(str(path)).get_sheet_by_name("receipt").to_python()
        rows = [dict(zip(map(str, head), cell, strict=True)) for cell in cells]
    return [_of_row(row) for row in rows]


def _of_record(record: dict[str, Any]) -> tuple[object, ...]:
    price = record["result"]["receipt"]["result"]["totalPrice"]["price"] if "result" in record else {}
    return record["source"], record["status"], price.get("text"), record.get("error", {}).get("type")


def _of_row(row: dict[str, Any]) -> tuple[object, ...]:
    error = (row["error"] or "").partition(":")[0]
    return row["source"], row["status"], row["total_price_text"] or None, error or None


LEFT = ("b.jpg", "pending", None, "NotSentError")
WITHOUT_ANSWER = [("a.jpg", "succeeded", None, "AnswerNotKeptError"), LEFT]
WHOLE = [("a.jpg", "succeeded", "5,000", None), LEFT]


@pytest.mark.parametrize("kind", ["purged", "no answers"])
def test_a_run_without_answers_says_so(run: Path, tmp_path: Path, kind: str, format_: str) -> None:
    """A row of a picture whose answer was purged, or never stored, has the reason; so has the end of the command."""
    begun(run, store="none" if kind == "no answers" else "full")
    if kind == "purged":
        assert clova_ocr("purge", run, "--yes").exit_code == 0
    out = tmp_path / f"out.{format_}"
    done = clova_ocr("export", run, "--format", format_, "-o", out)
    assert done.exit_code == 0
    assert "1 picture was read and has no stored answer" in done.stderr
    assert rows_of(out, format_) == WITHOUT_ANSWER


def test_a_sealed_run_needs_its_key(run: Path, tmp_path: Path, format_: str) -> None:
    """Without its key, or with another one, a sealed run is refused by name and no file is made."""
    key, other = (tmp_path / name for name in ("key", "other"))
    for file, byte in ((key, b"1"), (other, b"2")):
        file.write_bytes(base64.b64encode(byte * 32))
        file.chmod(0o600)
    begun(run, seal=load_seal(str(key), {}))
    out = tmp_path / f"out.{format_}"
    for options, message in (((), "give its key"), (("--key-file", other), "key")):
        refused = clova_ocr("export", run, "--format", format_, "-o", out, *options)
        assert (refused.exit_code, message in refused.stderr, out.exists()) == (2, True, False)
    assert clova_ocr("export", run, "--format", format_, "-o", out, "--key-file", key).exit_code == 0
    assert rows_of(out, format_) == WHOLE


async def test_a_run_at_work_is_exported(run: Path, tmp_path: Path, format_: str) -> None:
    """While a process works on a run, its export has what was read so far, and a row for each image that was not."""
    out = tmp_path / f"out.{format_}"
    async with SqliteLedger(run) as ledger:
        await read(ledger, "a.jpg")
        ledger.add_files([SourceFile(b"b.jpg")], "receipt")
        done = await asyncio.to_thread(clova_ocr, "export", run, "--format", format_, "-o", out)
        await read(ledger, "c.jpg")
    assert (done.exit_code, done.stderr.count("no stored answer")) == (0, 0)
    assert rows_of(out, format_) == WHOLE
