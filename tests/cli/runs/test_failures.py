from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from support.commands import clova_ocr, exported, resumable_run, status
from support.fakes import FakeTransport
from support.files import aged

from clova_ocr_async.cli.exit_codes import ExitCode
from clova_ocr_async.cli.runs.failures import FAILURES, write_failures
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.run_view import RunReader

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator


async def test_failures_go_when_all_is_read(run: Path) -> None:
    """A run in which nothing failed has no file of failures, whatever was there before."""
    async with SqliteLedger(run):
        (run / FAILURES).write_text("{}")
    with RunReader(run) as reader:
        assert write_failures(run, reader) is None
    assert not (run / FAILURES).exists()


async def test_a_file_of_failures_that_cannot_be_written_ends_nothing(
    scans: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list of unread images that has no place is reported and the exit code is as it would be."""
    (scans / "0.png").write_bytes(b"no image")
    await resumable_run(run, transport=FakeTransport()).run([str(scans / "0.png")])
    (run / FAILURES).unlink()
    (run / FAILURES).mkdir()
    code = await resumable_run(run, transport=FakeTransport()).run([str(scans / "0.png")])
    assert code is ExitCode.SOME_FAILED
    assert f"cannot write to {run / FAILURES}: " in capsys.readouterr().err


def test_a_command_that_sends_nothing_names_what_was_refused(clova: Emulator, scans: Path, run: Path) -> None:
    """A command that has nothing to send names the images that were refused before, in the words of a dry run."""
    aged(scans / "a.png", b"no image")
    command = ("batch", "receipt", scans, "--run", run)
    clova_ocr(*command)
    requests = clova.requests
    why = "no picture the service takes, not looked at again without --retry-failed"
    idle = clova_ocr("batch", "receipt", "--run", run, "--retry-billed")
    assert f"nothing was sent; 1 image was refused before: {why}\n" in idle.stderr
    assert re.search(f"^refused before +1  {why}$", clova_ocr(*command, "--dry-run").stdout, re.MULTILINE)
    assert clova.requests == requests


def test_what_was_not_read_is_named_and_listed_for_another_run(clova: Emulator, scans: Path, run: Path) -> None:
    """Failed and skipped images make the exit code 1 and a file that another run can read from."""
    clova.script("invalid-body")
    (scans / "a.png").write_bytes(b"no image")
    aged(scans / "b.png")
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


@pytest.mark.parametrize(("fault", "option"), [("failure", "--retry-billed"), ("silence", "--retry-ambiguous")])
def test_another_runs_payments_are_not_paid_again_unasked(
    clova: Emulator, scans: Path, run: Path, tmp_path: Path, fault: str, option: str
) -> None:
    """A run refuses a list of images that another one has paid for, or may have, unless that is asked for."""
    clova.script(fault if fault == "failure" else "close-after-body")
    clova_ocr("batch", "receipt", scans / "0.png", "--run", run)
    failures, other = run / "failures.jsonl", tmp_path / "other"
    refused = clova_ocr("batch", "receipt", "--from", failures, "--run", other)
    assert (refused.exit_code, option in refused.stderr, clova.requests) == (2, True, 1)
    assert clova_ocr("batch", "receipt", "--from", failures, "--run", run).exit_code == 1
    assert clova.requests == 1
    assert clova_ocr("batch", "receipt", "--from", failures, "--run", other, option).exit_code == 0
    assert clova.requests == 2
