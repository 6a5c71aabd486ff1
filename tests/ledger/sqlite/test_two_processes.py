from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from support.ledgers import answers, calls, maybe_billed, query, states
from support.waiting import wait_for

from clova_ocr_async.emulator.thread import emulator_in_thread
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator

COUNT = 60
PROGRAM = """
import asyncio, sys
from clova_ocr_async import BatchDispatcher, ClovaOCRClient, Receipt
from clova_ocr_async.batch.sources.worklist import WorkList
from clova_ocr_async.batch.sources.folders import entries_in
from clova_ocr_async.ledger.sqlite import SqliteLedger

async def main(folder, run, lease):
    async with ClovaOCRClient.from_env(concurrency=4) as client, SqliteLedger(run, lease=float(lease)) as ledger:
        images = WorkList(ledger, "receipt", entries_in(folder))
        async with BatchDispatcher(client, 8, ledger=ledger).dispatch(images, Receipt) as outcomes:
            async for _ in outcomes:
                pass

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of pictures, some of them copies of others."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"%d" % (number % 50) + b"\xff\xd9")
    return folder


@contextmanager
def working(folder: Path, run: Path, emulator: Emulator, lease: float) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that works on the folder; it is gone at the end."""
    environ = os.environ | {"CLOVA_OCR_INVOKE_URL": emulator.url(), "CLOVA_OCR_SECRET": emulator.secret}
    arguments = [sys.executable, "-c", PROGRAM, str(folder), str(run), str(lease)]
    with subprocess.Popen(arguments, env=environ | {"PYTHONPATH": os.pathsep.join(sys.path)}) as process:
        try:
            yield process
        finally:
            process.kill()


def under_way(run: Path, owner: int) -> int:
    """Return how many requests of an owner are in flight."""
    with contextlib.suppress(sqlite3.OperationalError):  # the run has not begun yet
        statement = "SELECT count(*) FROM item WHERE owner = ? AND sent_at IS NOT NULL"
        return int(query(run, statement, owner)[0][0])
    return 0


def owner_of(run: Path, process: subprocess.Popen[bytes]) -> int:
    """Return a process's number in the run; 0 if it has none yet."""
    with contextlib.suppress(sqlite3.OperationalError):
        found = query(run, "SELECT id FROM owner WHERE pid = ?", process.pid)
        return int(found[0][0]) if found else 0
    return 0


def check(run: Path, emulator: Emulator) -> None:
    """Check that nothing was paid twice, nothing is lost, and the counts are right."""
    assert max(emulator.billed.values()) == 1
    assert calls(run) == len(answers(run)) + maybe_billed(run)
    assert len(states(run)) == 50
    assert set(states(run)) <= {"succeeded", "ambiguous"}
    assert query(run, "SELECT count(*) FROM source WHERE item IS NULL OR open") == [(0,)]
    assert query(run, "PRAGMA integrity_check") == [("ok",)]
    assert query(run, "SELECT count(*) FROM item WHERE owner IS NOT NULL") == [(0,)]


def test_two_processes_share_a_run(tmp_path: Path, folder: Path) -> None:
    """Two processes on one run pay for each image once, and both end when all is finished."""
    run = tmp_path / "run"
    with emulator_in_thread(latency=0.02, concurrency=None) as emulator:
        with working(folder, run, emulator, 30) as one, working(folder, run, emulator, 30) as two:
            assert (one.wait(40), two.wait(40)) == (0, 0)
        check(run, emulator)
        assert states(run) == ["succeeded"] * 50
        assert sum(emulator.billed.values()) == 50


def test_a_killed_process_is_taken_over_at_once(tmp_path: Path, folder: Path) -> None:
    """When one of two processes is killed the other ends the run; at most the calls in flight are ambiguous."""
    run = tmp_path / "run"
    with emulator_in_thread(latency=0.2, concurrency=None) as emulator:
        with working(folder, run, emulator, 30) as one:
            wait_for(lambda: under_way(run, owner_of(run, one)) > 1)
            with working(folder, run, emulator, 30) as two:
                wait_for(lambda: owner_of(run, two) > 0)
                one.kill()
                assert two.wait(25) == 0
        check(run, emulator)
        assert states(run).count("ambiguous") <= 4
        with working(folder, run, emulator, 30) as again:
            assert again.wait(25) == 0
        check(run, emulator)


def stop(process: subprocess.Popen[bytes], run: Path) -> int:
    """Stop a process while it has requests in flight, and no lock on the file; return its owner."""
    while True:
        wait_for(lambda: under_way(run, owner_of(run, process)) > 0)
        owner = owner_of(run, process)
        process.send_signal(signal.SIGSTOP)
        db = sqlite3.connect(run / LEDGER, isolation_level=None, timeout=0.2)
        try:
            db.execute("BEGIN IMMEDIATE")
            if under_way(run, owner):
                return owner
        except sqlite3.OperationalError:
            pass
        finally:
            db.close()
        process.send_signal(signal.SIGCONT)


def test_a_process_that_sleeps_past_its_lease_loses_nothing(tmp_path: Path, folder: Path) -> None:
    """A process that is stopped past its lease loses its work to the other, and its late answers are stored."""
    run = tmp_path / "run"
    with emulator_in_thread(latency=0.1, concurrency=None) as emulator:
        with working(folder, run, emulator, 1.0) as one:
            stop(one, run)
            with working(folder, run, emulator, 1.0) as two:
                assert two.wait(30) == 0
            assert 0 < states(run).count("ambiguous") <= 4
            assert max(emulator.billed.values()) == 1
            one.send_signal(signal.SIGCONT)
            assert one.wait(30) == 0
        check(run, emulator)
        assert states(run) == ["succeeded"] * 50
        assert maybe_billed(run) == 0
