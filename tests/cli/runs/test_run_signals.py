from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest
from support.commands import many_pictures, resumable_run, start, status
from support.fakes import FakeTransport, Held, domain, steps
from support.waiting import wait_for

from clova_ocr_async.cli.exit_codes import ExitCode
from clova_ocr_async.cli.runs.call_counter import CallCounter
from clova_ocr_async.cli.runs.inputs import Search
from clova_ocr_async.cli.runs.resumable import ResumableRun, RunSettings
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.emulator import emulator_in_thread
from clova_ocr_async.errors import (
    DiskFullError,
)
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite.run_view import RunReader

if TYPE_CHECKING:
    from pathlib import Path


async def test_one_signal_finishes_what_is_under_way(
    scans: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the first signal calls in flight are recorded, nothing else is sent or ambiguous, and the code is 130."""
    held = Held()
    transport = FakeTransport(held)
    command = resumable_run(run, concurrency=1, transport=transport)
    reading = asyncio.create_task(command.run([str(scans / f"{number}.png") for number in range(4)]))
    await held.reached.wait()
    signal.raise_signal(signal.SIGTERM)
    await steps()
    held.go_on.set()
    assert await reading is ExitCode.INTERRUPTED
    printed = capsys.readouterr().err
    assert "finishing 1 call in flight; once more cuts it off" in printed
    assert "1 image: 1 succeeded; 1 call billed" in printed
    assert "to go on: " in printed
    with RunReader(run) as reader:
        assert reader.status().images == {"succeeded": 1, "pending": 3}
    assert len(transport.sent) == 1


async def test_two_signals_cut_off_what_is_under_way(
    scans: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the second signal what was in flight is ambiguous and named; a third changes nothing."""
    held = Held()
    command = resumable_run(run, concurrency=1, transport=FakeTransport(held))
    reading = asyncio.create_task(command.run([str(scans / f"{number}.png") for number in range(4)]))
    await held.reached.wait()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGINT):
        signal.raise_signal(number)
        await steps()
    assert await reading is ExitCode.INTERRUPTED
    printed = capsys.readouterr().err
    assert "finishing 1 call in flight; once more cuts it off" in printed
    assert re.search(r"1 image is ambiguous: .*\d\.png", printed)
    assert "0 images: none; 0 calls billed, 1 maybe billed" in printed
    with RunReader(run) as reader:
        assert reader.status().images == {"ambiguous": 1, "pending": 3}


async def test_a_cancellation_from_elsewhere_is_none_of_ours(scans: Path, run: Path) -> None:
    """A cancellation of the task that no signal has caused is raised."""
    held = Held()
    reading = asyncio.create_task(resumable_run(run, transport=FakeTransport(held)).run([str(scans / "0.png")]))
    await held.reached.wait()
    reading.cancel()
    held.go_on.set()  # the calls in flight finish first
    with pytest.raises(asyncio.CancelledError):
        await reading


def test_sigterm_drains_a_process_and_the_same_command_resumes(tmp_path: Path, run: Path) -> None:
    """A drained process leaves nothing ambiguous, and shows the command that resumes and pays for the rest alone."""
    with emulator_in_thread(latency=0.2) as clova:
        folder = many_pictures(tmp_path / "scans", 40)
        command = ("batch", "receipt", folder, "--run", run)
        with start(clova, *command, "--retry-failed") as process:
            wait_for(lambda: clova.billed.total() >= 3)
            process.send_signal(signal.SIGTERM)
            printed = process.communicate(timeout=30)[1].decode()
        assert process.returncode == 130, printed
        assert f"to go on: python -m clova_ocr_async batch receipt {folder} --run {run}\n" in printed
        images = status(run)["images"]
        assert set(images) == {"succeeded", "pending"}
        assert images["succeeded"] == clova.billed.total() < 40
        with start(clova, *command) as process:
            printed = process.communicate(timeout=50)[1].decode()
        assert process.returncode == 0, printed
        assert clova.billed.total() == len(clova.billed) == 40


def test_a_killed_process_leaves_no_more_ambiguous_than_calls_in_flight(tmp_path: Path, run: Path) -> None:
    """After kill -9 the repeated command pays for every image once, but for the ambiguous ones, which are named."""
    with emulator_in_thread(latency=0.1) as clova:
        folder = many_pictures(tmp_path / "scans", 40)
        with start(clova, "batch", "receipt", folder, "--run", run, "--concurrency", "5") as process:
            wait_for(lambda: clova.billed.total() >= 5)
            process.kill()
            process.communicate(timeout=30)
        killed = status(run)
        with start(clova, "batch", "receipt", folder, "--run", run) as process:
            printed = process.communicate(timeout=50)[1].decode()
        counts = status(run)
        paid_twice = [image for image, calls in clova.billed.items() if calls > 1]
    assert paid_twice == []
    assert counts["processes"] == 0
    assert len(counts["ambiguous"]) == counts["images"].get("ambiguous", 0) <= 5
    assert len(killed["ambiguous"]) == len(counts["ambiguous"])
    assert counts["images"]["succeeded"] + len(counts["ambiguous"]) == 40
    assert process.returncode == (1 if counts["ambiguous"] else 0)
    assert all(name in printed for name in counts["ambiguous"])


def test_a_second_signal_ends_a_process_at_once(tmp_path: Path, run: Path) -> None:
    """Two signals end a process while its calls hang; they alone are ambiguous, and named."""
    with emulator_in_thread(faults=["silence"] * 40) as clova:
        folder = many_pictures(tmp_path / "scans", 20)
        with start(clova, "batch", "receipt", folder, "--run", run) as process:
            wait_for(lambda: clova.requests >= 4)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            while b"once more cuts them off" not in process.stderr.readline():
                pass
            process.send_signal(signal.SIGINT)
            printed = process.communicate(timeout=30)[1].decode()
        counts = status(run)
    assert process.returncode == 130
    assert 1 <= len(counts["ambiguous"]) <= clova.requests
    assert all(name in printed for name in counts["ambiguous"])
    assert counts["images"]["pending"] == 20 - len(counts["ambiguous"])


async def test_a_lost_answer_is_written_also_when_the_run_is_cut_off(
    scans: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An answer that cannot be stored is on stdout and named, also if a second Ctrl-C comes before it is printed."""

    class Full(NoSeal):
        def seal(self, plain: bytes, context: bytes) -> bytes:
            """Fail for an answer, as a full disk does, just as two signals arrive."""
            if not context.startswith(b"answer|"):
                return super().seal(plain, context)
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise DiskFullError("made up: the disk is full")

    calls, image = CallCounter(), scans / "0.png"
    os.utime(image, (1e9, 1e9))
    client = ClovaOCRClient(domain(), hooks=[calls.note], transport=FakeTransport())
    reading = ResumableRun(client, calls, RunSettings(str(run), Receipt, Full()), Search(()))
    assert await reading.run([str(image)]) is ExitCode.INTERRUPTED
    out, text = capsys.readouterr()
    record = json.loads(out)
    assert (record["source"], record["billed"]) == (str(image), True)
    assert b"canarySHOP" in base64.b64decode(record["raw"])
    assert 'its paid answer is on standard output, in "raw", and nowhere else' in text
