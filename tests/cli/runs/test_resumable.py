from __future__ import annotations

import asyncio
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.commands import PICTURES, clova_ocr, exported, status

from clova_ocr_async.cli.runs.failures import FAILURES
from clova_ocr_async.emulator import Emulator, draw_sample
from clova_ocr_async.ledger.sqlite import SqliteLedger


def test_a_run_pays_once_and_its_repetition_nothing(clova: Emulator, scans: Path, run: Path) -> None:
    """The same bytes are paid once and answered for every name; a finished run sends nothing and exits with 0."""
    clova.script("rate-limited")
    first = clova_ocr("batch", "receipt", scans, "--run", run)
    again = clova_ocr("batch", "receipt", scans, "--run", run)
    assert (first.exit_code, again.exit_code) == (0, 0), first.stderr
    assert (first.stdout, again.stdout) == ("", "")
    assert "7 images: 7 succeeded; 1 answered from the ledger; 6 calls billed" in first.stderr
    assert f"the run in {run}: 7 images: 7 succeeded; 6 calls billed" in again.stderr
    assert f"for the results: clova-ocr export {run}" in first.stderr
    assert clova.billed.total() == 6
    records = exported(run)
    assert sorted(record["source"] for record in records) == [str(scans / f"{number}.png") for number in range(7)]
    assert {record["status"] for record in records} == {"succeeded"}
    assert all(record["result"]["receipt"] for record in records)
    assert not (run / FAILURES).exists()


def test_files_lists_and_folders_make_one_run(clova: Emulator, scans: Path, run: Path, tmp_path: Path) -> None:
    """Paths may be folders, files, and lists of files."""
    (tmp_path / "alone.png").write_bytes(draw_sample("receipt", seed=10).data)
    (tmp_path / "-").write_bytes(draw_sample("receipt", seed=11).data)
    (tmp_path / "list").write_text(f"{scans / '0.png'}\n{tmp_path / '-'}\n")
    result = clova_ocr("batch", "receipt", scans, tmp_path / "alone.png", "--from", tmp_path / "list", "--run", run)
    assert result.exit_code == 0, result.stderr
    assert status(run)["images"] == {"succeeded": 9}
    assert clova.billed.total() == 8


def test_a_list_is_read_without_a_run_as_well(clova: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a run a list gives lines as paths do, and a dash in it is a file's name."""
    monkeypatch.chdir(tmp_path)
    Path("-").write_bytes(PICTURES[0])
    Path("list").write_text("-\n")
    result = clova_ocr("batch", "receipt", "--from", "list")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["source"] == "./-"
    assert clova.billed.total() == 1


def test_the_first_image_that_all_would_fail_with_is_not_failed(clova: Emulator, scans: Path, run: Path) -> None:
    """A rejected secret leaves every image to be sent, exits with 3 and shows the command that goes on."""
    clova.script(*["bad-secret"] * 10)
    result = clova_ocr("batch", "receipt", scans, "--run", run)
    assert result.exit_code == 3
    assert "stopped early: HTTP 401" in result.stderr
    assert "to go on: " in result.stderr
    assert re.search(r"\d failed", result.stderr) is None
    assert set(status(run)["images"]) == {"pending"}
    assert status(run)["calls"] == 0


def test_a_call_limit_holds_over_the_whole_life_of_a_run(clova: Emulator, scans: Path, run: Path) -> None:
    """However often the command is repeated, no more calls are billed than allowed; a higher limit goes on."""
    for _ in range(2):
        result = clova_ocr("batch", "receipt", scans, "--run", run, "--max-calls", "2")
        assert result.exit_code == 4
        assert clova.billed.total() == 2
    assert "raise the call limit and repeat: " in result.stderr
    cost = ("--max-cost", "300", "--price", "60.5", "--max-calls", "5")
    assert clova_ocr("batch", "receipt", scans, "--run", run, *cost).exit_code == 4
    assert clova.billed.total() == 4
    done = clova_ocr("batch", "receipt", scans, "--run", run, "--price", "60.5", "--max-calls", "none")
    assert (done.exit_code, clova.billed.total()) == (0, 6)
    assert "6 calls billed (363.0 KRW)" in done.stderr


@pytest.mark.parametrize(
    ("fault", "flag", "word", "printed"),
    [
        ("invalid-body", "--retry-failed", "failed", "sending again 1 image that was certainly not paid for\n"),
        (
            "close-after-body",
            "--retry-ambiguous",
            "ambiguous",
            "sending again 1 image that may have been paid for already (60 KRW)\n",
        ),
        ("failure", "--retry-billed", "failed", "sending again 1 image that was paid for and not read (60 KRW)\n"),
    ],
)
def test_what_was_not_read_is_sent_again_only_when_its_flag_is_given(
    clova: Emulator, scans: Path, run: Path, fault: str, flag: str, word: str, printed: str
) -> None:
    """Each kind of failure has a flag of its own; without it a repetition sends nothing and exits with 1."""
    clova.script(fault)
    command = ("batch", "receipt", scans, "--run", run, "--price", "60")
    assert clova_ocr(*command).exit_code == 1
    assert status(run)["images"][word] in {1, 2}  # it may be the one with two names
    before = clova.requests
    for other in {"--retry-failed", "--retry-ambiguous", "--retry-billed"} - {flag}:
        assert clova_ocr(*command, other).exit_code == 1
    assert clova.requests == before
    result = clova_ocr(*command, flag)
    assert (result.exit_code, clova.requests) == (0, before + 1)
    assert printed in result.stderr


def test_an_ambiguous_image_is_reported_by_name(clova: Emulator, scans: Path, run: Path) -> None:
    """A call that may have been paid without an answer is named by batch and status, and its record has no billing."""
    clova.script("close-after-body")
    result = clova_ocr("batch", "receipt", scans / "1.png", "--run", run)
    assert "1 image is ambiguous: maybe billed, no answer; --retry-ambiguous sends it again: " in result.stderr
    text = clova_ocr("status", run).stdout
    assert re.search(rf"ambiguous +{scans / '1.png'}", text)
    (record,) = exported(run)
    assert (record["status"], record["billed"], record["maybe_billed"]) == ("ambiguous", None, 1)
    assert record["error"]["type"] == "ConnectionLostError"


def begin_empty(run: Path) -> None:
    """Begin a run of no images, as a command does that is killed at once."""

    async def begin() -> None:
        async with SqliteLedger(run):
            pass

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, begin()).result()


def test_nothing_to_read_is_reported(clova: Emulator, run: Path, tmp_path: Path) -> None:
    """An empty folder and an empty run exit with 5, and so does their export."""
    (tmp_path / "empty").mkdir()
    result = clova_ocr("batch", "receipt", tmp_path / "empty", "--run", run)
    assert result.exit_code == 5
    assert result.stderr.startswith(f"no images found in {tmp_path / 'empty'}; a folder is searched for files that end")
    assert not run.exists()
    begin_empty(run)
    again = clova_ocr("batch", "receipt", tmp_path / "empty", "--run", run)
    assert (again.exit_code, again.stderr) == (5, result.stderr)
    export = clova_ocr("export", run)
    assert (export.exit_code, export.stderr) == (5, "the run holds no images\n")
    assert clova_ocr("batch", "receipt", tmp_path / "empty", "--run", run, "--dry-run").exit_code == 5
    assert clova.requests == 0


def test_a_list_with_a_bad_line_is_refused_before_anything_is_paid(
    clova: Emulator, scans: Path, run: Path, tmp_path: Path
) -> None:
    """A list is judged to its end first: the bad line is named, and nothing before it is read."""
    (tmp_path / "list").write_bytes(b"\n".join([os.fsencode(scans / "0.png"), b"a\0b"]))
    result = clova_ocr("batch", "receipt", "--from", tmp_path / "list", "--run", run)
    assert result.exit_code == 2
    assert "list, line 2: it holds a NUL" in result.stderr
    assert clova.billed.total() == 0
    assert not run.exists()


@pytest.mark.usefixtures("clova")
def test_quiet_runs_print_nothing_but_errors(scans: Path, run: Path) -> None:
    """With -q a run that went well leaves standard error empty."""
    result = clova_ocr("-q", "batch", "receipt", scans, "--run", run)
    assert (result.exit_code, result.output) == (0, "")


def test_a_run_of_another_service_is_refused_before_it_is_changed(
    clova: Emulator, scans: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made-up answers do not mix with real ones, and nothing is put up for sending again by the attempt."""
    clova.script(*["invalid-body"] * 2)
    clova_ocr("batch", "receipt", scans, "--run", run)
    before = status(run)["images"]
    assert before["failed"]
    monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", "https://a.apigw.ntruss.com/custom/v1/1/key")
    result = clova_ocr("batch", "receipt", scans, "--run", run, "--retry-failed")
    assert result.exit_code == 2
    assert "choose another run directory" in result.stderr
    assert status(run)["images"] == before
