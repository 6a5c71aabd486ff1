from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from support.fakes import FakeTransport, Held, domain, steps
from support.waiting import wait_for

from clova_ocr_async.batch.hashing import stamp_of
from clova_ocr_async.batch.sources.manifest import images_from
from clova_ocr_async.cli.app import app
from clova_ocr_async.cli.exit_codes import ExitCode, exit_code
from clova_ocr_async.cli.runs.call_counter import CallCounter
from clova_ocr_async.cli.runs.failures import FAILURES, write_failures
from clova_ocr_async.cli.runs.graceful_stop import GracefulStop, loop_signals
from clova_ocr_async.cli.runs.inputs import Search
from clova_ocr_async.cli.runs.resumable import ResumableRun, RunSettings
from clova_ocr_async.cli.terminal.output import OutputError, atomic_write, replace_file
from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.documents import IdCard, Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator, draw_sample, emulator_in_thread
from clova_ocr_async.errors import (
    ConfigurationError,
    ConnectionFailedError,
    DiskFullError,
    LedgerError,
    ServerError,
    SpendingCeilingError,
)
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.ledger.states import FileStamp, Item, ItemEvent, Settlement, SourceFile

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

CLOVA_OCR = [sys.executable, "-m", "clova_ocr_async"]
PICTURES = [draw_sample("receipt", seed=seed).data for seed in range(6)]


@pytest.fixture
def clova(monkeypatch: pytest.MonkeyPatch) -> Generator[Emulator]:
    """A local CLOVA, named by the environment."""
    with emulator_in_thread() as emulator:
        monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", emulator.url())
        monkeypatch.setenv("CLOVA_OCR_SECRET", emulator.secret)
        yield emulator


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of six receipts, one of them under a second name."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, data in enumerate([*PICTURES, PICTURES[0]]):
        (folder / f"{number}.png").write_bytes(data)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Where a run directory will be."""
    return tmp_path / "run"


def clova_ocr(*arguments: str | Path) -> Result:
    """Run a command in this process, in a thread of its own."""
    logger = logging.getLogger("clova_ocr_async")
    before = logger.level
    try:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(CliRunner().invoke, app, [str(part) for part in arguments]).result()
    finally:
        logger.setLevel(before)


def exported(run: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    """Return the records of a run."""
    result = clova_ocr("export", run, *arguments)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def status(run: Path) -> dict[str, Any]:
    """Return how far a run is."""
    told: dict[str, Any] = json.loads(clova_ocr("status", run, "--json").stdout)
    return told


# ---------------------------------------------------------------------------------------------------------------------
# A run


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


def test_what_was_not_read_is_named_and_listed_for_another_run(clova: Emulator, scans: Path, run: Path) -> None:
    """Failed and skipped images make the exit code 1 and a file that another run can read from."""
    clova.script("invalid-body")
    (scans / "a.png").write_bytes(b"no image")
    (scans / "b.png").touch()
    (scans / "c\udcff.png").write_bytes(b"no image either")
    result = clova_ocr("batch", "receipt", scans, "--run", run, "-j", "1")
    assert result.exit_code == 1
    assert f"what was not read: {run / FAILURES}" in result.stderr
    assert "code 0011" in result.stderr
    assert ((run / FAILURES).stat().st_mode & 0o777) == 0o600
    records = [json.loads(line) for line in (run / FAILURES).read_bytes().splitlines()]
    failed = {record["source"] for record in records if record["status"] == "failed"}
    assert sorted(record["status"] for record in records) == sorted([*["failed"] * len(failed), *["skipped"] * 3])
    assert failed
    again = clova_ocr("batch", "receipt", "--from", run / FAILURES, "--run", run.with_name("another"))
    assert again.exit_code == 1
    assert status(run.with_name("another"))["images"] == {"succeeded": len(failed), "skipped": 3}
    odd = next(record for record in exported(run) if "source_bytes" in record)
    assert (odd["source"], odd["status"]) == (str(scans / "c\\xff.png"), "skipped")


def test_the_first_image_that_all_would_fail_with_is_not_failed(clova: Emulator, scans: Path, run: Path) -> None:
    """A rejected secret leaves every image to be sent, exits with 3 and tells the command that goes on."""
    clova.script(*["bad-secret"] * 10)
    result = clova_ocr("batch", "receipt", scans, "--run", run)
    assert result.exit_code == 3
    assert "stopped early: HTTP 401" in result.stderr
    assert "to go on: " in result.stderr
    assert re.search(r"\d failed", result.stderr) is None
    assert set(status(run)["images"]) == {"pending"}
    assert status(run)["calls"] == 0


def test_a_ceiling_holds_over_the_whole_life_of_a_run(clova: Emulator, scans: Path, run: Path) -> None:
    """However often the command is repeated, no more calls are billed than allowed; a higher ceiling goes on."""
    for _ in range(2):
        result = clova_ocr("batch", "receipt", scans, "--run", run, "--max-calls", "2")
        assert result.exit_code == 4
        assert clova.billed.total() == 2
    assert "raise the ceiling and repeat: " in result.stderr
    cost = ("--max-cost", "300", "--price", "60.5", "--max-calls", "5")
    assert clova_ocr("batch", "receipt", scans, "--run", run, *cost).exit_code == 4
    assert clova.billed.total() == 4
    done = clova_ocr("batch", "receipt", scans, "--run", run, "--price", "60.5", "--max-calls", "none")
    assert (done.exit_code, clova.billed.total()) == (0, 6)
    assert "6 calls billed (363.0 KRW)" in done.stderr


@pytest.mark.parametrize(
    ("fault", "flag", "word", "said"),
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
    clova: Emulator, scans: Path, run: Path, fault: str, flag: str, word: str, said: str
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
    assert said in result.stderr


def test_an_image_in_doubt_is_told_by_name(clova: Emulator, scans: Path, run: Path) -> None:
    """What may have been paid without an answer is named by batch and status, and has no bill in its record."""
    clova.script("close-after-body")
    result = clova_ocr("batch", "receipt", scans / "1.png", "--run", run)
    assert "1 image is in doubt: perhaps paid, no answer; --retry-ambiguous sends it again: " in result.stderr
    told = clova_ocr("status", run).stdout
    assert re.search(rf"in doubt +{scans / '1.png'}", told)
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


def test_nothing_to_read_is_told(clova: Emulator, run: Path, tmp_path: Path) -> None:
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
def test_quiet_runs_say_nothing_but_errors(scans: Path, run: Path) -> None:
    """With -q a run that went well leaves standard error empty."""
    result = clova_ocr("-q", "batch", "receipt", scans, "--run", run)
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("", "nothing to read: give a PATH, or a list of files with --from"),
        ("{scans} --max-calls 1", "--max-calls is for a run directory; give one with --run DIR"),
        ("{scans} --retry-failed", "--retry-failed is for a run directory"),
        ("{scans} --key-file k", "--key-file is for a run directory"),
        ("{scans} --price 60", "--price is for --run or --dry-run"),
        ("{scans} --run {run} --max-cost 100", "--max-cost needs --price"),
        ("{scans} --run {run} --price 0", "it must be more than 0"),
        ("{scans} --run {run} --price nan", "it must be more than 0"),
        ("{scans} --run {run} --price cheap", "'cheap' is not a number"),
        ("{scans} --run {run} -o out.jsonl", "write them with: clova-ocr export {run} -o FILE"),
        ("{scans} --dry-run -o out.jsonl", "a dry run writes none"),
        ("- --run {run}", "standard input cannot be read again"),
        ("--from {scans}/list --run {run}", "No such file"),
        ("{scans} --run {scans}", "holds other things and no ledger.sqlite3"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    clova: Emulator, scans: Path, run: Path, arguments: str, why: str
) -> None:
    """What would be a mistake is told with the way out, before anything is written or sent."""
    result = clova_ocr("batch", "receipt", *arguments.format(scans=scans, run=run).split())
    assert result.exit_code == 2
    assert why.format(run=run) in result.stderr
    assert not run.exists()
    assert clova.requests == 0


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


# ---------------------------------------------------------------------------------------------------------------------
# What is kept


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
def test_a_run_that_keeps_no_answers_says_so(scans: Path, run: Path) -> None:
    """Without answers every image is still known as read; the record says why there is no result."""
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
    assert "deleted: 5 answers and 1 error message; the run still knows" in purged.stderr
    assert found_in(run, canary) == found_in(run, b"Request body invalid") == []
    assert clova_ocr("batch", "receipt", scans, "--run", run).exit_code == 1
    assert clova.billed.total() == 5


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1y", "1 d"])
def test_an_age_is_a_number_and_a_unit(run: Path, age: str) -> None:
    """A duration without a unit could be anything, and is refused."""
    result = clova_ocr("purge", run, "--older-than", age)
    assert result.exit_code == 2
    assert "as in 12h or 30d" in result.stderr


@pytest.mark.parametrize("verb", ["status", "export", "purge"])
def test_a_folder_without_a_run_is_told(tmp_path: Path, verb: str) -> None:
    """A verb that needs a run makes none."""
    result = clova_ocr(verb, tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "give a run directory" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("clova")
def test_an_export_is_a_whole_file_of_its_owners(scans: Path, run: Path, tmp_path: Path) -> None:
    """The file holds every record, is readable by its owner alone, and replaces nothing unless told to."""
    clova_ocr("batch", "receipt", scans, "--run", run)
    output = tmp_path / "out.jsonl"
    first = clova_ocr("export", run, "--format", "jsonl", "-o", output)
    assert (first.exit_code, first.stdout) == (0, "")
    assert f"7 records in {output}" in first.stderr
    assert output.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["source"] for line in output.read_bytes().splitlines()] == [
        record["source"] for record in exported(run)
    ]
    output.write_text("mine")
    assert "is there already" in clova_ocr("export", run, "-o", output).stderr
    assert output.read_text() == "mine"
    assert clova_ocr("export", run, "-o", output, "--force").exit_code == 0
    assert output.read_bytes().count(b"\n") == 7
    assert "No such file" in clova_ocr("export", run, "-o", tmp_path / "no" / "out").stderr
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
def test_an_export_that_nobody_takes_ends(clova: Emulator, scans: Path, run: Path) -> None:
    """A reader that has enough is no news; an output that is full is told."""
    clova_ocr("batch", "receipt", scans, "--run", run)
    enough = start(clova, "export", run)
    assert enough.stdout is not None
    enough.stdout.close()
    assert enough.stderr is not None
    assert (enough.stderr.read(), enough.wait()) == ("", 1)
    enough.stderr.close()
    with Path("/dev/full").open("w") as reader:
        full = subprocess.run(
            [sys.executable, "-m", "clova_ocr_async", "export", run], stdout=reader, stderr=subprocess.PIPE, check=False
        )
    assert (full.returncode, b"No space left" in full.stderr) == (1, True)


async def test_records_of_what_is_not_finished(run: Path) -> None:
    """An image that is awaited has no bill yet, one that is to be read again no hash, one without a name no source."""
    async with SqliteLedger(run) as ledger:
        claim = (await ledger.admit(Item(b"1" * 32, "receipt"), SourceFile(b"sent"))).claim
        assert claim is not None
        await ledger.sending(claim, "id")
        ledger.add_files([SourceFile(b"unread")], "receipt")
        await ledger.admit(Item(b"2" * 32, "receipt"), None)
        unfit = (await ledger.admit(Item(b"3" * 32, "receipt"), SourceFile(b"changed", FileStamp(1, 2, 3, 4)))).claim
        assert unfit is not None
        await ledger.settle(unfit, Settlement(ItemEvent.SKIP))
        ledger.add_files([SourceFile(b"changed", FileStamp(5, 6, 7, 8))], "receipt")
        records = await asyncio.to_thread(exported, run)
    sent, unread, changed, nameless = records
    assert (changed["status"], changed["sha256"], changed["error"]["type"]) == ("pending", None, "NotSentError")
    assert (sent["status"], sent["billed"], sent["sha256"]) == ("pending", None, (b"1" * 32).hex())
    assert (unread["status"], unread["billed"], unread["sha256"]) == ("pending", False, None)
    assert (nameless["source"], nameless["status"]) == (None, "pending")


@pytest.mark.usefixtures("clova")
def test_a_changed_file_is_pending_until_it_is_read(scans: Path, run: Path) -> None:
    """A file that has changed since, and was not read again, is not shown with the answer of what it was."""
    clova_ocr("batch", "receipt", scans, "--run", run)
    (scans / "0.png").write_bytes(draw_sample("receipt", seed=20).data)
    (scans / "1.png").write_bytes(draw_sample("receipt", seed=21).data)
    assert clova_ocr("batch", "receipt", scans, "--run", run, "--max-calls", "6").exit_code == 4
    pending = [record for record in exported(run) if record["status"] == "pending"]
    assert {record["source"] for record in pending} == {str(scans / "0.png"), str(scans / "1.png")}
    assert not any("result" in record for record in pending)
    assert "1 answered" not in clova_ocr("status", run).stdout


# ---------------------------------------------------------------------------------------------------------------------
# Dry runs


def counts_of(result: Result) -> dict[str, int]:
    """Return the numbers of a dry run."""
    found = re.findall(r"^(\S.*?) {2,}([\d,]+)(?: |$)", result.stdout, re.MULTILINE)
    return {title: int(number.replace(",", "")) for title, number in found}


def test_a_dry_run_without_a_run_counts_every_image(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent or written, no domain is needed; duplicates would be paid each, and unfit files are named."""
    monkeypatch.delenv("CLOVA_OCR_INVOKE_URL", raising=False)
    (scans / "empty.png").touch()
    (scans / "notes.png").write_bytes(b"a note")
    before = sorted(tmp_path.rglob("*"))
    result = clova_ocr("batch", "receipt", scans, "--dry-run", "--price", "60")
    assert (result.exit_code, result.stderr) == (0, "")
    assert counts_of(result) == {"images found": 9, "duplicates": 1, "skipped": 1, "billable calls": 7}
    assert "each paid; with --run once" in result.stdout
    assert "is plain text, and the service reads" in result.stdout
    assert str(scans / "empty.png") in result.stdout
    assert "420 KRW" in result.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_names_the_first_unfit_files(scans: Path) -> None:
    """All unfit files are counted, twenty are named."""
    for number in range(25):
        (scans / f"empty{number}.png").touch()
    result = clova_ocr("batch", "receipt", scans, "--dry-run")
    assert counts_of(result)["skipped"] == 25
    assert result.stdout.count(f" {scans}/empty") == 20


def test_a_dry_run_of_a_run_says_what_the_run_will_do(clova: Emulator, scans: Path, run: Path) -> None:
    """What a dry run counts as billable is what the run then pays, before it, in its middle and after it."""
    command = ("batch", "receipt", scans, "--run", run)
    fresh = clova_ocr(*command, "--dry-run", "--max-calls", "4", "--price", "60")
    assert counts_of(fresh) == {"images found": 7, "duplicates": 1, "billable calls": 6, "within the ceiling": 4}
    assert "of 4, 0 are used (240 KRW)" in fresh.stdout
    assert not run.exists()
    run.mkdir()
    assert counts_of(clova_ocr(*command, "--dry-run"))["billable calls"] == 6
    clova_ocr(*command, "--max-calls", "2")
    left = counts_of(clova_ocr(*command, "--dry-run"))
    assert (left["billable calls"], left["images found"]) == (4, 7)
    clova_ocr(*command, "--max-calls", "none")
    assert clova.billed.total() == 6
    done = counts_of(clova_ocr(*command, "--dry-run"))
    assert done == {"images found": 7, "answered already": 7, "billable calls": 0}


def test_a_dry_run_tells_what_is_parked_and_what_a_flag_would_send(clova: Emulator, scans: Path, run: Path) -> None:
    """Images in doubt, failed and refused ones are counted apart, and become billable with their flags."""
    clova.script("close-after-body", "failure", "invalid-body")
    (scans / "0.png").unlink()
    (scans / "notes.png").write_bytes(b"a note")
    (scans / "gone.png").write_bytes(b"another note")
    command = ("batch", "receipt", scans, "--run", run)
    clova_ocr(*command)
    (scans / "gone.png").unlink()
    parked = counts_of(clova_ocr(*command, "--dry-run"))
    kinds = {"in doubt": 1, "failed, billed": 1, "failed, not billed": 1, "refused before": 1}
    assert parked == {"images found": 7, "answered already": 3, **kinds, "billable calls": 0}
    for flag, kind in (("ambiguous", "in doubt"), ("billed", "failed, billed"), ("failed", "failed, not billed")):
        counts = counts_of(clova_ocr(*command, "--dry-run", f"--retry-{flag}"))
        assert kind not in counts
        assert counts["billable calls"] == 1


async def test_a_dry_run_does_not_read_what_has_not_changed(scans: Path, run: Path) -> None:
    """A file that is as it was when it was read is known without a look at its bytes."""
    path = scans / "0.png"
    async with SqliteLedger(run) as ledger:
        file = SourceFile(os.fsencode(path), stamp_of(path.stat()))
        claim = (await ledger.admit(Item(b"of other bytes".ljust(32), "receipt"), file)).claim
        assert claim is not None
        await ledger.settle(claim, Settlement(ItemEvent.SKIP))
    for flags, kind in ((), "refused before"), (("--retry-failed",), "billable calls"):
        told = await asyncio.to_thread(clova_ocr, "batch", "receipt", path, "--run", run, "--dry-run", *flags)
        assert counts_of(told)[kind] == 1


async def test_a_dry_run_beside_a_batch_counts_what_is_under_way(scans: Path, run: Path) -> None:
    """What another process has sent is not counted again."""
    held = Held()
    reading = asyncio.create_task(part(run, transport=FakeTransport(held)).run([str(scans / "0.png")]))
    await held.reached.wait()
    beside = await asyncio.to_thread(clova_ocr, "batch", "receipt", scans / "0.png", "--run", run, "--dry-run")
    held.go_on.set()
    assert counts_of(beside) == {"images found": 1, "under way": 1, "billable calls": 0}
    assert await reading is ExitCode.OK


# ---------------------------------------------------------------------------------------------------------------------
# Ends


def part(run: Path, *domains: Domain, asked: dict[str, Any] | None = None, **settings: Any) -> ResumableRun:
    """Return one command's part in a run."""
    calls = CallCounter()
    client = ClovaOCRClient(*(domains or (domain(),)), hooks=[calls.note], **settings)
    return ResumableRun(client, calls, RunSettings(str(run), Receipt, NoSeal(), **(asked or {})), Search(()))


async def test_a_spent_quota_is_resumable(scans: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A quota that stays spent exits with 4 and tells the command that resumes."""
    async with Emulator(quota=0) as clova:
        reading = part(
            run,
            Domain(clova.url(), clova.secret),
            retry=RetryPolicy(quota_probes=0),
            asked={"resume": "clova-ocr again"},
        )
        code = await reading.run([str(scans / "0.png")])
    assert code is ExitCode.STOPPED
    assert "to go on: clova-ocr again\n" in capsys.readouterr().err


async def test_a_document_nobody_reads_makes_no_run(scans: Path, run: Path) -> None:
    """Without a domain for the document nothing is begun."""
    with pytest.raises(ConfigurationError):
        await part(run, domain(document=IdCard), transport=FakeTransport()).run([str(scans / "0.png")])
    assert run not in run.parent.iterdir()


def test_an_outage_and_a_full_disk_are_resumable() -> None:
    """Errors that end a run and that time can mend have the exit code of a stop; one image's own have not."""
    down, failing = ConnectionFailedError("refused"), ServerError(503)
    assert [exit_code(error) for error in (down, failing)] == [ExitCode.SOME_FAILED] * 2
    down.stops_run = failing.stops_run = True
    stops = (down, failing, DiskFullError("full"), SpendingCeilingError("reached"))
    assert [exit_code(error) for error in stops] == [ExitCode.STOPPED] * 4
    assert exit_code(LedgerError("of another key")) is ExitCode.USAGE


async def test_a_ledger_that_cannot_be_looked_into_at_the_end_is_told(
    scans: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the ledger is gone when all is done, that is told with the exit code it has."""

    async def vanish(_: object) -> None:
        (run / "ledger.sqlite3").rename(run / "moved")
        raise ConnectionFailedError("refused")

    retry = RetryPolicy(max_attempts=1, outage_patience=0.0)
    code = await part(run, transport=FakeTransport(then=vanish), retry=retry).run([str(scans / "0.png")])
    assert code in {ExitCode.STOPPED, ExitCode.USAGE}
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(("fault", "option"), [("failure", "--retry-billed"), ("silence", "--retry-ambiguous")])
def test_another_runs_payments_are_not_paid_again_unasked(
    clova: Emulator, scans: Path, run: Path, tmp_path: Path, fault: str, option: str
) -> None:
    """A list of what was paid, or perhaps, is refused by a run that knows nothing of that, unless it is asked for."""
    clova.script(fault if fault == "failure" else "close-after-body")
    clova_ocr("batch", "receipt", scans / "0.png", "--run", run)
    failures, other = run / "failures.jsonl", tmp_path / "other"
    refused = clova_ocr("batch", "receipt", "--from", failures, "--run", other)
    assert (refused.exit_code, option in refused.stderr, clova.requests) == (2, True, 1)
    assert clova_ocr("batch", "receipt", "--from", failures, "--run", run).exit_code == 1
    assert clova.requests == 1
    assert clova_ocr("batch", "receipt", "--from", failures, "--run", other, option).exit_code == 0
    assert clova.requests == 2


def test_purging_removes_what_a_killed_process_left(clova: Emulator, scans: Path, run: Path) -> None:
    """A list of failures that was never finished goes with the answers."""
    clova_ocr("batch", "receipt", scans / "0.png", "--run", run)
    assert clova.requests == 1
    left = run / "failures.jsonl.4242.part"
    left.write_text("canary")
    assert clova_ocr("purge", run).exit_code == 0
    assert left not in list(run.iterdir())


async def test_a_file_of_failures_that_cannot_be_written_ends_nothing(
    scans: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the file of what was not read has no place, that is told and the exit code is as it would be."""
    (scans / "0.png").write_bytes(b"no image")
    await part(run, transport=FakeTransport()).run([str(scans / "0.png")])
    (run / FAILURES).unlink()
    (run / FAILURES).mkdir()
    code = await part(run, transport=FakeTransport()).run([str(scans / "0.png")])
    assert code is ExitCode.SOME_FAILED
    assert f"cannot write to {run / FAILURES}: " in capsys.readouterr().err


@pytest.mark.parametrize("total", [30, 300])
async def test_many_failures_are_named_up_to_twenty(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str], total: int
) -> None:
    """Standard error has the first twenty, the file of failures all."""
    for number in range(total):
        (tmp_path / f"{number}.png").touch()
    found = [str(tmp_path / f"{number}.png") for number in range(total)]
    await part(run, transport=FakeTransport()).run(found)
    assert capsys.readouterr().err.count("is empty") == 20
    assert len(list(images_from(run / FAILURES))) == total


async def test_the_first_images_are_read_while_the_last_are_listed(tmp_path: Path, run: Path) -> None:
    """How many there are is told once all are listed; what comes out before does not wait for that."""
    for number in range(300):
        (tmp_path / f"{number}.png").touch()
    reading = part(run, transport=FakeTransport())
    totals: list[int | None] = []

    def found() -> Iterator[str]:
        for number in range(300):
            if number == 256:  # so many are written down at once
                while reading.counts.done < 2:
                    threading.Event().wait(0.001)
                totals.append(reading.counts.total)
            yield str(tmp_path / f"{number}.png")

    assert await reading.run(found()) is ExitCode.SOME_FAILED
    assert (totals, reading.counts.total) == ([None], 300)


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    """Whoever ends the writing before the rename leaves what was there; the rename is told before and after."""
    final = tmp_path / "final"
    final.write_text("before")
    told: list[str] = []

    def watch(place: str) -> None:
        told.append(f"{place}: {final.read_text()}")

    with pytest.raises(TypeError), atomic_write(final) as write:
        write("no bytes")  # type: ignore[arg-type]  # that it fails half way is the point
    with atomic_write(final, watch) as write:
        write(b"whole\n")
    assert told == ["before rename: before", "after rename: whole\n"]
    assert list(tmp_path.iterdir()) == [final]


def test_a_file_that_cannot_be_replaced_is_told(tmp_path: Path) -> None:
    """A folder in the way, or no folder at all, is an error that names the file."""
    (tmp_path / "final").mkdir()
    with pytest.raises(OutputError, match=r"cannot write to .*final"), atomic_write(tmp_path / "final") as write:
        write(b"line\n")
    with pytest.raises(OutputError, match="No such file"), atomic_write(tmp_path / "no" / "final"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_replacing_a_file_tells_nobody_unless_asked(tmp_path: Path) -> None:
    """The rename itself needs no watcher."""
    (tmp_path / "temporary").write_text("whole")
    replace_file(tmp_path / "temporary", tmp_path / "final")
    assert (tmp_path / "final").read_text() == "whole"


async def test_failures_go_when_all_is_read(run: Path) -> None:
    """A run in which nothing failed has no file of failures, whatever was there before."""
    async with SqliteLedger(run):
        (run / FAILURES).write_text("{}")
    with RunReader(run) as reader:
        assert write_failures(str(run), reader) is None
    assert not (run / FAILURES).exists()


# ---------------------------------------------------------------------------------------------------------------------
# Signals


async def test_one_signal_lets_land_what_is_under_way(
    scans: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the first signal nothing else is sent, what flies is recorded, nothing is in doubt, and the code is 130."""
    held = Held()
    transport = FakeTransport(held)
    command = part(run, concurrency=1, transport=transport)
    reading = asyncio.create_task(command.run([str(scans / f"{number}.png") for number in range(4)]))
    await held.reached.wait()
    signal.raise_signal(signal.SIGTERM)
    await steps()
    held.go_on.set()
    assert await reading is ExitCode.INTERRUPTED
    said = capsys.readouterr().err
    assert "finishing 1 call under way; once more cuts it off" in said
    assert "1 image: 1 succeeded; 1 call billed" in said
    assert "to go on: " in said
    with RunReader(run) as reader:
        assert reader.status().images == {"succeeded": 1, "pending": 3}
    assert len(transport.sent) == 1


async def test_two_signals_cut_off_what_is_under_way(
    scans: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the second signal what flew is in doubt and named; a third changes nothing."""
    held = Held()
    command = part(run, concurrency=1, transport=FakeTransport(held))
    reading = asyncio.create_task(command.run([str(scans / f"{number}.png") for number in range(4)]))
    await held.reached.wait()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGINT):
        signal.raise_signal(number)
        await steps()
    assert await reading is ExitCode.INTERRUPTED
    said = capsys.readouterr().err
    assert "finishing 1 call under way; once more cuts it off" in said
    assert re.search(r"1 image is in doubt: .*\d\.png", said)
    assert "0 images: none; 0 calls billed, 1 perhaps" in said
    with RunReader(run) as reader:
        assert reader.status().images == {"ambiguous": 1, "pending": 3}


async def test_a_cancellation_from_elsewhere_is_none_of_ours(scans: Path, run: Path) -> None:
    """Whoever cancels the task for a reason of their own gets their cancellation."""
    held = Held()
    reading = asyncio.create_task(part(run, transport=FakeTransport(held)).run([str(scans / "0.png")]))
    await held.reached.wait()
    reading.cancel()
    held.go_on.set()  # what is under way lands first
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_signal_before_anything_is_under_way_ends_at_once() -> None:
    """While there is no batch the first signal cancels."""

    async def work() -> bool:
        stop = GracefulStop(lambda: 0)
        stop.request_stop()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return stop.uncancel()
        return False

    assert await asyncio.create_task(work())


async def test_signals_are_as_they_were_afterwards() -> None:
    """Handlers come back, an ignored signal stays ignored, and another thread changes nothing."""
    before = signal.getsignal(signal.SIGINT)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asked = asyncio.Event()
    try:
        with loop_signals(asked.set):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGINT)
            await asked.wait()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, hangup)
    assert signal.getsignal(signal.SIGINT) is before


def start(clova: Emulator, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    environment = os.environ | {"CLOVA_OCR_INVOKE_URL": clova.url(), "CLOVA_OCR_SECRET": clova.secret}
    command = [*CLOVA_OCR, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def many(folder: Path, count: int) -> Path:
    """Make a folder of different pictures."""
    folder.mkdir()
    for number in range(count):
        # What stands behind the end of a PNG makes it another one, and is cheaper than drawing.
        (folder / f"{number:03}.png").write_bytes(PICTURES[0] + b"%d" % number)
    return folder


def test_sigterm_drains_a_process_and_the_same_command_resumes(tmp_path: Path, run: Path) -> None:
    """A drained process leaves no doubt, tells the very command that resumes, and that pays for the rest alone."""
    with emulator_in_thread(latency=0.2) as clova:
        folder = many(tmp_path / "scans", 40)
        command = ("batch", "receipt", folder, "--run", run)
        with start(clova, *command, "--retry-failed") as process:
            wait_for(lambda: clova.billed.total() >= 3)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=30)
        assert process.returncode == 130, said
        assert f"to go on: python -m clova_ocr_async batch receipt {folder} --run {run}\n" in said
        images = status(run)["images"]
        assert set(images) == {"succeeded", "pending"}
        assert images["succeeded"] == clova.billed.total() < 40
        with start(clova, *command) as process:
            _, said = process.communicate(timeout=50)
        assert process.returncode == 0, said
        assert clova.billed.total() == len(clova.billed) == 40


def test_a_killed_process_leaves_no_more_doubt_than_calls_under_way(tmp_path: Path, run: Path) -> None:
    """After kill -9 the repeated command pays for every image once, but for those in doubt, which are named."""
    with emulator_in_thread(latency=0.1) as clova:
        folder = many(tmp_path / "scans", 40)
        with start(clova, "batch", "receipt", folder, "--run", run, "--concurrency", "5") as process:
            wait_for(lambda: clova.billed.total() >= 5)
            process.kill()
            process.communicate(timeout=30)
        killed = status(run)
        with start(clova, "batch", "receipt", folder, "--run", run) as process:
            _, said = process.communicate(timeout=50)
        told = status(run)
        paid_twice = [image for image, calls in clova.billed.items() if calls > 1]
    assert paid_twice == []
    assert told["processes"] == 0
    assert len(told["ambiguous"]) == told["images"].get("ambiguous", 0) <= 5
    assert len(killed["ambiguous"]) == len(told["ambiguous"])
    assert told["images"]["succeeded"] + len(told["ambiguous"]) == 40
    assert process.returncode == (1 if told["ambiguous"] else 0)
    assert all(name in said for name in told["ambiguous"])


def test_a_second_signal_ends_a_process_at_once(tmp_path: Path, run: Path) -> None:
    """Two signals end a process while its calls hang; they are the only ones in doubt, and named."""
    with emulator_in_thread(faults=["silence"] * 40) as clova:
        folder = many(tmp_path / "scans", 20)
        with start(clova, "batch", "receipt", folder, "--run", run) as process:
            wait_for(lambda: clova.requests >= 4)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            while "once more cuts them off" not in process.stderr.readline():
                pass
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        told = status(run)
    assert process.returncode == 130
    assert 1 <= len(told["ambiguous"]) <= clova.requests
    assert all(name in said for name in told["ambiguous"])
    assert told["images"]["pending"] == 20 - len(told["ambiguous"])


async def test_a_lost_answer_is_written_also_when_the_run_is_cut_off(
    scans: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An answer that can be stored nowhere is on stdout and named, although a second Ctrl-C came before it was told."""

    class Full(NoSeal):
        def seal(self, plain: bytes, context: bytes) -> bytes:
            """Fail for an answer, as a full disk does, just as somebody is out of patience."""
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
    out, told = capsys.readouterr()
    record = json.loads(out)
    assert (record["source"], record["billed"]) == (str(image), True)
    assert b"canarySHOP" in base64.b64decode(record["raw"])
    assert 'its paid answer is on standard output, in "raw", and nowhere else' in told
