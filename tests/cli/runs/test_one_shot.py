from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING

import pytest
from support.fakes import FAILED, FakeTime, FakeTransport, Held, Sent, domain, success
from support.files import aged

from clova_ocr_async.cli.exit_codes import ExitCode
from clova_ocr_async.cli.runs.call_counter import CallCounter
from clova_ocr_async.cli.runs.input_file import InputFile, InputPage
from clova_ocr_async.cli.runs.inputs import Search
from clova_ocr_async.cli.runs.line_writer import LineWriter
from clova_ocr_async.cli.runs.one_shot import OneShotRun, run_once
from clova_ocr_async.cli.terminal.output import OutputError, opened_output
from clova_ocr_async.cli.terminal.progress import shown_progress
from clova_ocr_async.client import CallFinished, ClovaOCRClient, RetryPolicy
from clova_ocr_async.documents import IdCard, Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator, draw_sample
from clova_ocr_async.errors import (
    ConfigurationError,
)
from clova_ocr_async.host.plural import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from clova_ocr_async.client import Event
    from clova_ocr_async.protocol.response import HTTPResponse


async def test_a_spent_quota_ends_a_run_as_resumable(tmp_path: Path) -> None:
    """A run that the quota stopped exits with 4, and its lines are there."""
    (tmp_path / "a.png").write_bytes(draw_sample("receipt").data)
    lines: list[bytes] = []
    async with Emulator(quota=0) as clova:
        domain = Domain(clova.url(), clova.secret)
        calls = CallCounter()
        async with ClovaOCRClient(domain, retry=RetryPolicy(quota_probes=0), hooks=[calls.note]) as client:
            run = OneShotRun(client, calls, Receipt, LineWriter(lines.append), Search(()))
            await read(run, Search([str(tmp_path)]).files())
    assert run.finish() is ExitCode.STOPPED
    assert b'"code":"0023"' in lines[0]


async def read(
    run: OneShotRun, files: Iterable[InputFile | InputPage], *, jobs: int = 1, ordered: bool = False
) -> None:
    """Read files without showing how far it is."""
    with shown_progress(quiet=True) as progress:
        await run.read(files, progress, jobs=jobs, ordered=ordered)


class Given(Search):
    """A search that finds what it is given."""

    def __init__(self, found: Callable[[], Iterator[InputFile]]) -> None:
        super().__init__(())
        self._found = found

    def files(self) -> Iterator[InputFile]:
        """Yield what was given."""
        return self._found()


async def test_many_failures_are_named_up_to_twenty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard error is not flooded: the output has every failure, standard error the first twenty."""
    for number in range(25):
        aged(tmp_path / f"{number}.jpg")
    lines: list[bytes] = []
    async with ClovaOCRClient(domain(), transport=FakeTransport()) as client:
        run = OneShotRun(client, CallCounter(), Receipt, LineWriter(lines.append), Search(()))
        await read(run, Search([str(tmp_path)]).files())
    assert len(lines) == 25
    assert capsys.readouterr().err.count("is empty") == 20


@pytest.fixture
def receipts(tmp_path: Path) -> list[InputFile]:
    """Thirty receipts."""
    data = draw_sample("receipt").data
    for number in range(30):
        (tmp_path / f"{number:02}.png").write_bytes(data)
    return [InputFile(str(tmp_path / f"{number:02}.png")) for number in range(30)]


class FullOutput:
    """An output that takes nothing."""

    def __init__(self, reason: int) -> None:
        """Fail for a reason."""
        self.reason = reason
        self.failed = asyncio.Event()

    def __call__(self, line: bytes) -> None:
        """Fail."""
        assert line.endswith(b"\n")
        self.failed.set()
        raise OutputError("out.jsonl", OSError(self.reason, os.strerror(self.reason)))


@pytest.mark.parametrize(("reason", "messages"), [(errno.ENOSPC, 1), (errno.EPIPE, 0)])
async def test_an_output_that_fails_finishes_what_is_under_way_and_sends_no_more(
    receipts: list[InputFile], capsys: pytest.CaptureFixture[str], reason: int, messages: int
) -> None:
    """Calls in flight finish and are named, up to twenty; an image that waits or is not pulled yet is not paid."""
    late = [Held() for _ in range(21)]
    output = FullOutput(reason)
    first = Held()
    transport = FakeTransport(first, *late)
    async with ClovaOCRClient(domain(), concurrency=22, transport=transport) as client:
        run = OneShotRun(client, CallCounter(), Receipt, LineWriter(output), Search(()))
        reading = asyncio.create_task(read(run, receipts, jobs=26))
        for held in late:
            await held.reached.wait()
        first.go_on.set()
        await output.failed.wait()
        for held in late:
            held.go_on.set()
        await reading
    paid = len(transport.sent)
    assert paid in {22, 23}  # the slot of the first is free before its line is tried
    assert run.finish() is ExitCode.SOME_FAILED
    printed = capsys.readouterr().err
    assert printed.count("cannot write to out.jsonl: No space left on device; no other image is sent") == messages
    named = plural(paid, "paid answer was not written", "paid answers were not written")
    assert f"{named}: {receipts[0].path.removesuffix('00.png')}" in printed
    assert f" and {paid - 20} more\n" in printed
    assert f"{run.counts.statuses['pending']} or more images were not sent" in printed


async def test_an_interrupt_writes_what_was_answered_and_names_what_is_ambiguous(
    receipts: list[InputFile], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers that wait for their turn are written; images whose call was cut off are counted as their lines say."""
    settled = asyncio.Event()
    ended: list[Event] = []
    failures = [FAILED]

    async def answer(sent: Sent) -> HTTPResponse:
        if sent.parsed.name == "01.png":
            sent.progress.begin_response(200, {})
        if sent.parsed.name in {"00.png", "01.png"}:
            await asyncio.Event().wait()
        return failures.pop() if failures and sent.parsed.name == "02.png" else success(sent.request)

    def note(event: Event) -> None:
        if isinstance(event, CallFinished):
            ended.append(event)
        if len(ended) == len(receipts) - 2:
            settled.set()

    output = tmp_path / "out.jsonl"
    time, transport = FakeTime(), FakeTransport(then=answer)
    calls = CallCounter()
    client = ClovaOCRClient(domain(), transport=transport, hooks=[calls.note, note], runtime=time.runtime())
    with opened_output(str(output)) as lines:
        reading = asyncio.create_task(
            run_once(client, calls, Receipt, Given(lambda: iter(receipts)), lines, ordered=True)
        )
        await settled.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    printed = capsys.readouterr().err
    assert output.read_bytes().count(b'"succeeded"') == 28
    assert "30 images: 28 succeeded, 1 ambiguous, 1 failed; 29 calls billed, 2 maybe billed" in printed
    assert f"2 calls were in flight and may have been paid: {receipts[0].path}, {receipts[1].path}\n" in printed


async def test_a_folder_that_turns_out_unreadable_is_reported_once_with_what_was_paid_before(
    receipts: list[InputFile], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images that were read before a failure are written and counted; a failure of their count is silent."""

    def found() -> Iterator[InputFile]:
        yield receipts[0]
        raise ConfigurationError("scans: Permission denied")

    client = ClovaOCRClient(domain(), transport=FakeTransport())
    with opened_output(str(tmp_path / "out.jsonl")) as lines, pytest.raises(ConfigurationError):
        await run_once(client, CallCounter(), Receipt, Given(found), lines)
    assert (tmp_path / "out.jsonl").read_bytes().count(b"\n") == 1
    printed = capsys.readouterr().err
    assert printed.startswith("1 image: 1 succeeded; 1 call billed")
    assert printed.count("\n") == 1


async def test_a_batch_that_cannot_begin_counts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a tried image there are no counts to report."""
    client = ClovaOCRClient(domain(document=IdCard), transport=FakeTransport())
    with opened_output(str(tmp_path / "out.jsonl")) as lines, pytest.raises(ConfigurationError):
        await run_once(client, CallCounter(), Receipt, Search(()), lines)
    assert capsys.readouterr().err == ""


async def test_a_call_that_was_cut_off_before_it_was_sent_is_not_ambiguous(
    receipts: list[InputFile], capsys: pytest.CaptureFixture[str]
) -> None:
    """Images that wait for a slot when a batch is interrupted are not named."""
    held = Held()
    calls = CallCounter()
    transport = FakeTransport(held)
    async with ClovaOCRClient(domain(), concurrency=1, transport=transport, hooks=[calls.note]) as client:
        batch = OneShotRun(client, calls, Receipt, LineWriter(list[bytes]().append), Search(()))
        reading = asyncio.create_task(read(batch, receipts, jobs=9))
        await held.reached.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        batch.report_cut_short()
    assert "1 call was in flight and may have been paid: " in capsys.readouterr().err
