from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from support.commands import PICTURES
from support.fakes import FakeTransport, Held, domain, steps

from clova_ocr_async.batch.sources.watched_folder import WatchedFolder
from clova_ocr_async.cli.exit_codes import ExitCode
from clova_ocr_async.cli.runs.call_counter import CallCounter
from clova_ocr_async.cli.runs.resumable import RunSettings
from clova_ocr_async.cli.runs.watch import WatchRun, native_events, print_exclusions
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite.run_view import RunReader

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder of two receipts."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.png").write_bytes(PICTURES[number])
    return folder


def watch_run(inbox: Path, run: Path, transport: FakeTransport) -> WatchRun:
    """Return the watch of a folder that reads one image at a time, without a wait."""
    calls = CallCounter()
    client = ClovaOCRClient(domain(), hooks=[calls.note], transport=transport, concurrency=1)
    settings = RunSettings(str(run), Receipt, NoSeal(), jobs=1)
    return WatchRun(client, calls, settings, WatchedFolder(str(inbox)), settle=0.0, pages=None, open_events=None)


async def test_a_file_that_is_gone_before_it_is_read_is_no_failure(
    inbox: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is moved away while it waits has a line, and counts neither as an image nor as a failure."""
    held = Held()
    watching = asyncio.create_task(watch_run(inbox, run, FakeTransport(held)).run(()))
    await held.reached.wait()
    with RunReader(run) as reader:
        (name,) = (str(record.path) for record in reader.records() if record.entry is None)
    (inbox / name.rpartition("/")[2]).unlink()
    held.go_on.set()
    printed = ""
    while "gone before it was read" not in printed:
        await asyncio.sleep(0.01)
        printed += capsys.readouterr().err
    signal.raise_signal(signal.SIGTERM)
    assert await watching is ExitCode.INTERRUPTED
    printed += capsys.readouterr().err
    assert f"{name}: gone before it was read\n" in printed
    assert "1 image: 1 succeeded; 1 call billed" in printed
    assert "1 skipped (1 no longer there)" in printed


async def test_a_folder_that_is_gone_is_no_loss_of_each_file(
    inbox: Path, run: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """If the folder is away, its files wait for it; a few that were due are reported, and all are read in the end."""
    for number in range(2, 60):
        (inbox / f"{number}.png").write_bytes(PICTURES[0] + b"%d" % number)
    held = Held()
    watching = asyncio.create_task(watch_run(inbox, run, FakeTransport(held)).run(()))
    await held.reached.wait()
    away = f"{inbox} away"
    os.rename(inbox, away)  # noqa: PTH104 - in a coroutine
    held.go_on.set()
    printed = ""
    while "waits for the folder to come back" not in caplog.text:
        await asyncio.sleep(0.01)
        printed += capsys.readouterr().err
    os.rename(away, inbox)  # noqa: PTH104
    while printed.count(": succeeded, billed\n") < 60:
        await asyncio.sleep(0.01)
        printed += capsys.readouterr().err
    signal.raise_signal(signal.SIGTERM)
    assert await watching is ExitCode.INTERRUPTED
    assert printed.count("gone before it was read") < 20


async def test_a_second_signal_cuts_off_the_call_in_flight(
    inbox: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a batch, a call in flight at the second signal is ambiguous and named."""
    held = Held()
    watching = asyncio.create_task(watch_run(inbox, run, FakeTransport(held)).run(()))
    await held.reached.wait()
    for number in (signal.SIGTERM, signal.SIGTERM):
        signal.raise_signal(number)
        await steps()
    assert await watching is ExitCode.INTERRUPTED
    printed = capsys.readouterr().err
    assert f"watching {inbox}: a file is read as soon as it is found" in printed
    assert "finishing 1 call in flight; once more cuts it off" in printed
    assert "1 image is ambiguous" in printed


async def test_a_picture_that_cannot_be_read_has_a_line(
    inbox: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused file is named with its status and the reason, and the watch goes on."""
    (inbox / "broken.png").write_bytes(b"no image")
    watching = asyncio.create_task(watch_run(inbox, run, FakeTransport()).run(()))
    printed = ""
    while printed.count(".png: ") < 3:
        await asyncio.sleep(0.01)
        printed += capsys.readouterr().err
    signal.raise_signal(signal.SIGTERM)
    assert await watching is ExitCode.INTERRUPTED
    assert f"{inbox / 'broken.png'}: skipped: " in printed
    assert printed.count(": succeeded, billed\n") == 2


def test_files_that_are_left_out_are_counted_at_the_start(inbox: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files with other endings are counted, with the command that reads them; without any there is no line."""
    print_exclusions(WatchedFolder(str(inbox)), "run")
    assert capsys.readouterr().err == ""
    (inbox / "notes.txt").touch()
    print_exclusions(WatchedFolder(str(inbox)), "run")
    assert capsys.readouterr().err == (
        "1 file left out: 1 with another ending (.txt); "
        "clova-ocr batch with --run run reads those that are given as a PATH\n"
    )


def test_without_the_extra_the_folder_is_polled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing library is reported with the line that installs it, and does not end the watch."""
    monkeypatch.delitem(sys.modules, "clova_ocr_async.batch.sources.folder_events", raising=False)
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    assert native_events() is None
    assert "pip install 'clova-ocr-async[watch]'" in capsys.readouterr().err
