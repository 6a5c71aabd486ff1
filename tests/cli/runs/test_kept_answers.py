from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.commands import clova_ocr, exported

from clova_ocr_async.cli.runs.failures import FAILURES

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A key that only its owner can read."""
    path = tmp_path / "key"
    path.write_bytes(b"k" * 32)
    path.chmod(0o600)
    return path


def found_in(folder: Path, text: bytes) -> list[str]:
    """Return the files of a folder that hold a text."""
    return [path.name for path in folder.iterdir() if text in path.read_bytes()]


def test_a_sealed_run_shows_its_answers_to_its_key_alone(
    clova: Emulator, scans: Path, run: Path, key_file: Path, tmp_path: Path
) -> None:
    """No file of the run holds what was read; counts need no key, results do, and only the right one."""
    clova.script("not-utf8", "failure", "invalid-body")
    result = clova_ocr("batch", "receipt", scans, "--run", run, "--key-file", key_file)
    assert result.exit_code == 1, result.stderr
    records = exported(run, "--key-file", key_file)
    words = [record["result"]["receipt"] for record in records if record["status"] == "succeeded"]
    canary = words[0]["result"]["storeInfo"]["name"]["text"].encode()
    assert found_in(run, canary) == found_in(run, b"Request body invalid") == found_in(run, b"inferText") == []
    kept = [json.loads(line) for line in (run / FAILURES).read_bytes().splitlines()]
    assert {record["error"]["message"] for record in kept} == {None}
    assert not any({"raw", "result"} & set(record) for record in kept)
    assert "sealed (aes-256-gcm)" in clova_ocr("status", run).stdout
    for arguments, why in ((), "is sealed"), (("--key-file", tmp_path / "other"), "not the one this run"):
        (tmp_path / "other").write_bytes(b"x" * 32)
        (tmp_path / "other").chmod(0o600)
        refused = clova_ocr("export", run, *arguments)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert why in refused.stderr
    assert clova_ocr("batch", "receipt", scans, "--run", run, "--dry-run").exit_code == 0


@pytest.mark.usefixtures("clova")
def test_a_run_that_keeps_no_answers_shows_that(scans: Path, run: Path) -> None:
    """Without answers every image is still known as read; the record shows why there is no result."""
    assert clova_ocr("batch", "receipt", scans, "--run", run, "--store", "none").exit_code == 0
    records = exported(run)
    assert {record["status"] for record in records} == {"succeeded"}
    assert {record["error"]["type"] for record in records} == {"AnswerNotKeptError"}
    assert re.search("answers +not kept", clova_ocr("status", run).stdout)
    refused = clova_ocr("batch", "receipt", scans, "--run", run, "--store", "full")
    assert refused.exit_code == 2
    assert "begun with 'none'" in refused.stderr


def test_a_file_touched_after_its_answer_was_dropped_is_read_all_the_same(
    clova: Emulator, scans: Path, run: Path
) -> None:
    """An image whose answer was not kept counts as read when it comes up again, not as failed."""
    clova_ocr("batch", "receipt", scans, "--run", run, "--store", "none")
    os.utime(scans / "0.png", (1, 1))
    result = clova_ocr("batch", "receipt", scans, "--run", run)
    assert result.exit_code == 0
    assert "failed" not in result.stderr
    assert clova.billed.total() == 6


@pytest.mark.parametrize("verb", ["status", "export", "purge"])
def test_a_folder_without_a_run_is_reported(tmp_path: Path, verb: str) -> None:
    """A verb that needs a run makes none."""
    result = clova_ocr(verb, tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "give a run directory" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_purging_leaves_nothing_of_the_answers(clova: Emulator, scans: Path, run: Path) -> None:
    """Answers are removed, their images stay read, and nothing is paid again; what is younger than asked stays."""
    clova.script("invalid-body")
    clova_ocr("batch", "receipt", scans, "--run", run)
    young = clova_ocr("purge", run, "--older-than", "1.5h")
    assert "nothing was deleted: the run keeps no such answers" in young.stderr
    with closing(sqlite3.connect(run / "ledger.sqlite3")) as db:
        (canary,) = db.execute("SELECT substr(body, 100, 32) FROM answer").fetchone()
    assert found_in(run, canary)
    assert b"Request body invalid" in (run / FAILURES).read_bytes()
    purged = clova_ocr("purge", run)
    assert (purged.exit_code, purged.stdout) == (0, "")
    assert "deleted: 5 answers and 1 error message; the run still has" in purged.stderr
    assert found_in(run, canary) == found_in(run, b"Request body invalid") == []
    assert clova_ocr("batch", "receipt", scans, "--run", run).exit_code == 1
    assert clova.billed.total() == 5


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1y", "1 d"])
def test_an_age_is_a_number_and_a_unit(run: Path, age: str) -> None:
    """A duration without a unit could be anything, and is refused."""
    result = clova_ocr("purge", run, "--older-than", age)
    assert result.exit_code == 2
    assert "as in 12h or 30d" in result.stderr


def test_purging_removes_what_a_killed_process_left(clova: Emulator, scans: Path, run: Path) -> None:
    """A list of failures that was never finished goes with the answers."""
    clova_ocr("batch", "receipt", scans / "0.png", "--run", run)
    assert clova.requests == 1
    left = run / "failures.jsonl.4242.part"
    left.write_text("canary")
    assert clova_ocr("purge", run).exit_code == 0
    assert left not in list(run.iterdir())
