"""Exports of tables that cannot be completed: no half file is left, and no temporary one with personal data."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import python_calamine as calamine
from support.commands import CLOVA_OCR, clova_ocr, shell
from support.waiting import wait_for

from clova_ocr_async.emulator import Emulator, draw_sample

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ("csv", "parquet", "xlsx")

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full and the limits of Linux")


@pytest.fixture
def two_kinds(clova: Emulator, tmp_path: Path, run: Path) -> Path:
    """A run with a receipt and an ID card."""
    for word in ("receipt", "id-card"):
        (tmp_path / f"{word}.png").write_bytes(draw_sample(word, seed=1).data)
        assert clova_ocr("batch", word, tmp_path / f"{word}.png", "--run", run).exit_code == 0
    assert clova.billed.total() == 2
    return run


@pytest.fixture
def receipts(clova: Emulator, scans: Path, run: Path) -> Path:
    """A run of receipts."""
    assert clova_ocr("batch", "receipt", scans, "--run", run).exit_code == 0
    assert clova.billed.total() == 6
    return run


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder for the tables."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("format_", FORMATS)
def test_a_full_disk_leaves_nothing(clova: Emulator, receipts: Path, out: Path, format_: str) -> None:
    """If a file cannot grow, an export ends with 1 and names its output; no file is left, an old one unchanged."""
    old = out / f"receipt.{format_}"
    old.write_text("mine")
    options = ["--format", format_, "-o", f"{out}/", "--force"]
    done = shell(clova, 'ulimit -f 1; "$@"', "export", receipts, *options)
    assert (done.returncode, b"File too large" in done.stderr, b"out" in done.stderr) == (1, True, True)
    assert {path.name: path.read_text() for path in out.iterdir()} == {old.name: "mine"}


@pytest.mark.parametrize("format_", FORMATS)
def test_a_full_disk_is_one_line_of_several_tables(clova: Emulator, two_kinds: Path, out: Path, format_: str) -> None:
    """The tables that were begun beside the one that could not grow print nothing more, and leave nothing."""
    # Coverage could not be written either, and would say so.
    line = 'unset "${!COVERAGE@}"; ulimit -f 2; "$@"'
    done = shell(clova, line, "export", two_kinds, "--format", format_, "-o", f"{out}/")
    assert (done.returncode, done.stderr.count(b"\n"), list(out.iterdir())) == (1, 1, []), done.stderr.decode()


@pytest.mark.parametrize(
    ("format_", "number"), [("csv", signal.SIGINT), ("parquet", signal.SIGTERM), ("xlsx", signal.SIGINT)]
)
def test_a_signal_leaves_nothing(two_kinds: Path, out: Path, format_: str, number: signal.Signals) -> None:
    """A signal in the middle of an export removes what was begun."""
    process = begun(two_kinds, out, format_)
    process.send_signal(number)
    _, printed = process.communicate()
    assert (process.returncode, [path.name for path in out.iterdir()]) == (130, [f"receipt.{format_}"])
    assert printed == b"interrupted\n"


def begun(run: Path, out: Path, format_: str) -> subprocess.Popen[bytes]:
    """Start an export that has begun a table, and waits for the reader of the next."""
    os.mkfifo(out / f"receipt.{format_}")
    command = [*CLOVA_OCR, "export", str(run), "--format", format_, "-o", f"{out}/"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    wait_for(lambda: any(path.name.startswith(f"id_card.{format_}.") for path in out.iterdir()))
    return process


@pytest.mark.parametrize("format_", ["csv", "xlsx"])
def test_what_a_killed_export_left_is_removed(two_kinds: Path, out: Path, format_: str) -> None:
    """The next export into the same place removes temporary files and folders of one that was killed."""
    process = begun(two_kinds, out, format_)
    if format_ == "xlsx":
        wait_for(lambda: any(path.is_dir() for path in out.iterdir()))
    process.kill()
    process.communicate()
    assert len(list(out.iterdir())) == {"csv": 2, "xlsx": 3}[format_]
    (out / f"receipt.{format_}").unlink()
    assert clova_ocr("export", two_kinds, "--format", format_, "-o", out).exit_code == 0
    names = {"id_card", "receipt"} | ({"receipt_items"} if format_ == "csv" else set())
    assert {path.name for path in out.iterdir()} == {f"{name}.{format_}" for name in names} | {"schema.json"}


@pytest.mark.parametrize("format_", FORMATS)
def test_a_pipe_and_a_device_are_written_to(receipts: Path, out: Path, format_: str) -> None:
    """A FIFO gets a whole table; a reader that leaves ends the export in silence; a full device is an error."""
    fifo = out / f"pipe.{format_}"
    os.mkfifo(fifo)
    command = [*CLOVA_OCR, "export", str(receipts), "--format", format_, "-o"]
    process = subprocess.Popen([*command, str(fifo)], stderr=subprocess.DEVNULL)
    rows = rows_of(fifo.read_bytes(), format_)
    assert (process.wait(), rows, fifo.is_fifo(), len(list(out.iterdir()))) == (0, 7, True, 1)
    process = subprocess.Popen([*command, str(fifo)], stderr=subprocess.PIPE)
    fifo.open("rb").close()
    assert (process.communicate()[1], process.returncode) == (b"", 1)
    full = clova_ocr("export", receipts, "--format", format_, "-o", "/dev/full")
    assert (full.exit_code, "cannot write to /dev/full: No space left on device" in full.stderr) == (1, True)
    assert clova_ocr("export", receipts, "--format", format_, "-o", os.devnull).exit_code == 0


def rows_of(data: bytes, format_: str) -> int:
    """Return the number of rows of a table of documents."""
    if format_ == "csv":
        return data.count(b"\n") - 1
    if format_ == "parquet":
        return int(pq.read_table(io.BytesIO(data)).num_rows)
    book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
    return len(book.get_sheet_by_name("receipt").to_python()) - 1
