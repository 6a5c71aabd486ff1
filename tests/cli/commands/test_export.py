from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import clova_ocr, exported, start

from clova_ocr_async.emulator import Emulator, draw_sample
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.states import FileStamp, Item, ItemEvent, Settlement, SourceFile


@pytest.mark.usefixtures("clova")
def test_an_export_is_a_whole_file_of_its_owners(scans: Path, run: Path, tmp_path: Path) -> None:
    """The file holds every record, is readable by its owner alone, and replaces nothing without --force."""
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
def test_an_export_that_no_process_reads_ends(clova: Emulator, scans: Path, run: Path) -> None:
    """A reader that has enough is not an error; an output that is full is one."""
    clova_ocr("batch", "receipt", scans, "--run", run)
    enough = start(clova, "export", run)
    assert enough.stdout is not None
    enough.stdout.close()
    assert enough.stderr is not None
    assert (enough.stderr.read(), enough.wait()) == (b"", 1)
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
