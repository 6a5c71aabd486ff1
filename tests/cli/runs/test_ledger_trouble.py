"""The end of a run whose ledger cannot be written: what was paid for is handed out, named, and resumed."""

from __future__ import annotations

import base64
import json
import resource
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from stress import Scene, lock_held, scene

from clova_ocr_async.cli.exit_codes import ExitCode, exit_code
from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.timeout(120)

LIMIT = 2_400_000  # bytes a file may have: the room for how calls end, and hardly an answer


def limited() -> None:
    """Let no file of this process grow beyond the limit, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


def batch(stage: Scene, limits: Callable[[], object], stdout: int | None = None) -> tuple[int, bytes, str]:
    """Run a batch to its end; return its exit code, and what it printed."""
    command = [sys.executable, "-m", "clova_ocr_async", "batch", "receipt", "scans", "--run", str(stage.run)]
    with subprocess.Popen(
        command,
        env=stage.environment,
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        cwd=stage.place,
        preexec_fn=limits,  # noqa: PLW1509 - it sets a limit, and takes no lock that a thread might hold
    ) as process:
        out, text = process.communicate(timeout=60)
    return process.returncode, out or b"", text.decode("utf-8", "backslashreplace")


def test_an_answer_that_fits_nowhere_is_handed_out() -> None:
    """A paid answer that neither the ledger nor its overflow file can take is on stdout, and named; the run resumes."""
    with scene(20, size=3_500_000) as stage:
        stage.service.go_on.set()
        code, out, text = batch(stage, limited)
        records = [json.loads(line) for line in out.splitlines()]
        assert code == ExitCode.STOPPED, text
        assert 20 > len(records) == stage.service.total > 0
        for record in records:
            assert (record["status"], record["billed"], record["error"]["type"]) == (
                "failed",
                True,
                "AnswerNotKeptError",
            )
            number = json.loads(base64.b64decode(record["raw"]))["images"][0]["uid"]
            assert record["source"] == f"scans/{number}.jpg"
            assert len(record["sha256"]) == 64
            assert f'scans/{number}.jpg: its paid answer is on standard output, in "raw", and nowhere else' in text
        assert "Traceback" not in text
        assert "succeeded" not in text.split("the run in")[0]
        assert f"{len(records)} failed" in text


def test_an_answer_that_even_stdout_does_not_take_is_named() -> None:
    """If standard output is full as well, the image is named, and its cost is on record."""
    with scene(1, size=3_500_000) as stage, open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        stage.service.go_on.set()
        code, _, text = batch(stage, limited, full.fileno())
        assert code == ExitCode.SOME_FAILED, text
        assert "scans/0.jpg: its paid answer is lost: cannot write to standard output: No space left" in text
        with closing(sqlite3.connect(stage.run / LEDGER)) as db:
            assert db.execute("SELECT state, billing FROM item").fetchall() == [("failed", 2)]


def test_a_picture_that_is_gone_is_named_all_the_same() -> None:
    """The record of a lost answer whose picture has been removed meanwhile has no hash, and all else."""
    with scene(1, size=3_500_000) as stage:
        process = stage.batch(limits=limited)
        stage.until(lambda: stage.service.total, "in flight")
        next((stage.place / "scans").iterdir()).unlink()
        stage.service.go_on.set()
        stage.ended(process, (ExitCode.SOME_FAILED,))
        assert "0.jpg: its paid answer is lost" in stage.told  # the limit holds for the file on stdout, too
        assert stage.wrong == []


def test_a_run_that_another_program_locks_is_not_begun() -> None:
    """A batch on a run whose ledger is locked ends with 4, the program that holds it, and the command that goes on."""
    with scene(1) as stage:
        stage.finish()
        with closing(sqlite3.connect(stage.run / LEDGER, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            code, _, text = batch(stage, lambda: None)
        assert code == ExitCode.STOPPED
        assert "keeps the ledger locked; end it" in text
        assert "to go on: " in text
        assert stage.account("locked").wrong == []


def test_an_interrupt_while_the_ledger_is_locked_is_one() -> None:
    """Ctrl-C on a run whose ledger is locked exits with 130 once the patience is over, and names the lock as well."""
    assert lock_held(interrupts=1) == []


def test_what_time_can_mend_is_resumable() -> None:
    """A ledger's error that goes away with its cause has the exit code of a stop; any other is one of usage."""
    locked, wrong = LedgerError("locked"), LedgerError("another key")
    locked.resumable = True
    assert [exit_code(error) for error in (locked, wrong, DiskFullError("full"))] == [
        ExitCode.STOPPED,
        ExitCode.USAGE,
        ExitCode.STOPPED,
    ]
