from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import io
import json
import os
import pty
from typing import TYPE_CHECKING, Any

import click
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console
from support.fakes import FAILED, JPEG, SECRET, FakeTime, FakeTransport, Held, Sent, domain, success, url_of

from clova_ocr_async import errors
from clova_ocr_async.batch import Failure, Success
from clova_ocr_async.cli.app import app
from clova_ocr_async.cli.exit_codes import ExitCode, exit_code
from clova_ocr_async.cli.runs.call_counter import CallCounter
from clova_ocr_async.cli.runs.inputs import InputFile, Search
from clova_ocr_async.cli.runs.line_writer import LineWriter, line_of
from clova_ocr_async.cli.runs.one_shot import OneShotRun, run_once
from clova_ocr_async.cli.terminal.counts import Counts
from clova_ocr_async.cli.terminal.demo_table import Reading, highlights, show_table
from clova_ocr_async.cli.terminal.output import Output, OutputError, opened_output
from clova_ocr_async.cli.terminal.phrases import format_gates
from clova_ocr_async.cli.terminal.progress import shown_bar, shown_progress
from clova_ocr_async.client import CallFinished, ClovaOCRClient, RetryPolicy
from clova_ocr_async.client.probe import probe
from clova_ocr_async.documents import DOCUMENTS, IdCard, Receipt, Recognition
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator, draw_sample
from clova_ocr_async.errors import (
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ImageError,
    MalformedResponseError,
    NotSentError,
    RecognitionError,
)
from clova_ocr_async.protocol.plural import plural
from clova_ocr_async.slots import LocalSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from clova_ocr_async.client import Event
    from clova_ocr_async.protocol.response import HTTPResponse


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        """Begin at nought."""
        self.now = 0.0

    def __call__(self) -> float:
        """Return seconds."""
        return self.now


def all_errors() -> Generator[ClovaOCRError]:
    """Yield one of every error."""
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type) and issubclass(kind, ClovaOCRError):
            yield kind(400) if issubclass(kind, errors.APIError) else kind("what happened")


@pytest.mark.parametrize("error", list(all_errors()), ids=lambda error: type(error).__name__)
def test_every_error_has_an_exit_code(error: ClovaOCRError) -> None:
    """No error can end a command without an exit code that is neither 0 nor 'no input'."""
    assert exit_code(error) not in {ExitCode.OK, ExitCode.NO_INPUT, ExitCode.INTERRUPTED}


def test_a_tally_tells_how_far_it_is_and_how_long_it_takes() -> None:
    """The line on the way has count, total, what was not read, rate and time left; without a total only the rate."""
    clock = Clock()
    counts = Counts(clock)
    assert counts.progress_line() == "0 images, 0.0/s"
    clock.now = 10.0
    counts.add("succeeded", billed=True)
    counts.add("ambiguous", billed=False, maybe_billed=3)
    assert counts.progress_line() == "2 images, 1 not read, 0.2/s"
    counts.total = 1000
    assert counts.progress_line() == "2 of 1,000 images, 1 not read, 0.2/s, 1 h 23 min left"
    assert counts.summary() == "2 images: 1 succeeded, 1 ambiguous; 1 call billed, 3 perhaps; 10.0 s, 0.2/s"
    clock.now = 100.0
    assert "1 min 40 s" in counts.summary()


async def test_progress_tells_of_the_domains_that_serve() -> None:
    """The gates of all domains that serve the document are told together; those of others, or gone, are not."""
    serving = [Domain(url_of(number), SECRET, document=Receipt) for number in (1, 2)]
    other = Domain(url_of(3), SECRET, document=IdCard)
    async with ClovaOCRClient(*serving, other, transport=FakeTransport(), slots=LocalSlots(3)) as client:
        assert format_gates(client, Receipt) == "0 of 6 calls at once on 2 domains"
        assert format_gates(client, IdCard) == "0 of 3 calls at once"
    counts = Counts(Clock(), gates=lambda: "3 of 5 calls at once")
    assert counts.progress_line() == "0 images, 0.0/s; 3 of 5 calls at once"


@pytest.mark.parametrize(("waiting", "told"), [(0, ""), (4, ", 4 waiting")])
async def test_progress_tells_what_the_gate_does(waiting: int, told: str) -> None:
    """Calls under way, waiting and refused are told; nothing is told of what there is none of."""
    held = Held()
    client = ClovaOCRClient(domain(), transport=FakeTransport(then=held), concurrency=1)
    calls = [asyncio.create_task(client.recognize(JPEG, Receipt)) for _ in range(waiting + 1)]
    await held.reached.wait()
    assert format_gates(client, Receipt) == f"1 of 1 call at once{told}"
    held.go_on.set()
    await asyncio.wait(calls)


def test_progress_elsewhere_than_on_a_terminal_is_a_line_every_five_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard error that is no terminal gets a line every five seconds, and nothing in between."""
    clock = Clock()
    counts = Counts(clock)
    with shown_progress(quiet=False, clock=clock) as progress:
        for now in (1.0, 5.0, 6.0, 10.0):
            clock.now = now
            counts.add("succeeded", billed=True)
            progress.update(counts)
    assert capsys.readouterr().err == "2 images, 0.4/s\n4 images, 0.4/s\n"


def test_quiet_progress_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """With quiet there is no progress at all."""
    with shown_progress(quiet=True) as progress:
        progress.update(Counts(total=1))
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        """Claim to be one."""
        return True


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets a bar that shows the same words."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    counts = Counts(Clock(), total=3)
    counts.add("succeeded", billed=True)
    with shown_progress(quiet=False) as progress:
        progress.update(counts)
    assert "1 of 3 images" in terminal.getvalue()


def test_a_terminal_that_shows_the_answers_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the lines are written to a terminal no bar is drawn between them."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    clock = Clock()
    with shown_progress(quiet=False, bar_fits=False, clock=clock) as progress:
        clock.now = 5.0
        progress.update(Counts(clock))
    assert terminal.getvalue() == "0 images, 0.0/s\n"


def test_an_output_knows_a_terminal() -> None:
    """Lines on a terminal are told from lines in a pipe or in memory."""
    ends = (*pty.openpty(), *os.pipe())
    shown = [Output("", len, end).on_terminal for end in (*ends[1:], None)]
    for end in ends:
        os.close(end)
    assert shown == [True, False, False, False]


def test_a_bar_of_unknown_length_moves_too() -> None:
    """Before the images are counted the bar shows what came out so far."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with shown_bar(console) as bar:
        counts = Counts(Clock())
        counts.add("succeeded", billed=True)
        bar.update(counts)
    assert isinstance(console.file, io.StringIO)
    assert "1 image" in console.file.getvalue()


def test_input_files_are_paths_and_what_is_in_folders(tmp_path: Path) -> None:
    """Files come as they are named, folders by their pictures, a dash as it is."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.JPG").touch()
    (tmp_path / "folder" / "notes.txt").touch()
    (tmp_path / "b.txt").touch()
    found = Search([str(tmp_path / "b.txt"), "-", str(tmp_path / "folder")]).files()
    assert [file.path for file in found] == [str(tmp_path / "b.txt"), "-", str(tmp_path / "folder" / "a.JPG")]


def test_an_input_file_refuses_more_than_the_client_asks_for(tmp_path: Path) -> None:
    """A file over the limit is refused by its size, before it is read; without a limit it is read whole."""
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff12345")
    file = InputFile(str(tmp_path / "a.jpg"))
    with pytest.raises(ImageError, match=r"8 bytes, more than"):
        file.read(8)
    assert file.sha256 is None
    assert len(file.read()) == 8
    assert file.read() == b""
    assert file.sha256 == hashlib.sha256(b"\xff\xd8\xff12345").hexdigest()


def test_records_of_names_that_are_no_utf8_stay_distinct() -> None:
    """The bytes of a name that are no UTF-8 are written in hex, the rest as it is."""
    records = [
        json.loads(line_of(Failure(InputFile(name), ImageError("it is empty")), Receipt))
        for name in ("영\udcff.jpg", "영\udcfe.jpg")
    ]
    assert [record["source"] for record in records] == ["영\\xff.jpg", "영\\xfe.jpg"]


def test_a_record_keeps_a_paid_answer_that_nobody_can_read() -> None:
    """The bytes of an answer that was paid for are in the record of its error."""
    line = line_of(Failure(InputFile("a.jpg"), MalformedResponseError("cut off", raw=b'{"images":[\xff')), Receipt)
    assert base64.b64decode(json.loads(line)["raw"]) == b'{"images":[\xff'


@pytest.mark.parametrize(("doubts", "status", "billed"), [(0, "pending", False), (1, "ambiguous", None)])
def test_a_record_of_an_image_that_was_not_sent(doubts: int, status: str, billed: bool | None) -> None:
    """An image of a stopped batch is pending, unless an earlier request for it may have been paid."""
    error = NotSentError(ImageError("another"))
    error.billing, error.maybe_billed = Billing(doubts), doubts
    record = json.loads(line_of(Failure(InputFile("a.jpg"), error), Receipt))
    assert (record["status"], record["billed"], record["maybe_billed"]) == (status, billed, doubts)
    assert "raw" not in record


def test_a_record_of_a_reading_without_an_answer_has_an_error_only() -> None:
    """An error that lost its recognition is a record all the same."""
    line = line_of(Failure(InputFile("a.jpg"), RecognitionError("nothing was read")), Receipt)
    assert b'"result"' not in line


@pytest.mark.parametrize("document", list(DOCUMENTS.values()), ids=list(DOCUMENTS))
def test_highlights_of_every_document_are_one_line(document: type[Any]) -> None:
    """Every document has telling fields, and an empty one none."""
    import msgspec  # noqa: PLC0415 - this test's own

    for seed in range(4):
        answer = draw_sample(document.path_word, seed=seed).truth.answer
        assert " · " in highlights(msgspec.convert(answer, document))
    assert highlights(document()) == ""


def test_the_table_tells_what_is_not_as_drawn(tmp_path: Path) -> None:
    """A misreading and a failure stand in the table as what they are."""
    sample = draw_sample("receipt")
    path = tmp_path / "receipt.png"
    path.write_bytes(sample.data)
    readings = [
        Reading.of(path, Success(path, Recognition(document=Receipt()))),
        Reading.of(path, Failure(path, MalformedResponseError("nobody can read it"))),
    ]
    console = Console(file=io.StringIO(), width=100)
    show_table(readings, console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("NOT as drawn") == 2
    assert "nobody can read it" in console.file.getvalue()
    assert [reading.billed for reading in readings] == [True, True]


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


async def read(run: OneShotRun, files: Iterable[InputFile], *, jobs: int = 1, ordered: bool = False) -> None:
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
        (tmp_path / f"{number}.jpg").touch()
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


@pytest.mark.parametrize(("reason", "told"), [(errno.ENOSPC, 1), (errno.EPIPE, 0)])
async def test_an_output_that_fails_lets_land_what_is_under_way_and_sends_no_more(
    receipts: list[InputFile], capsys: pytest.CaptureFixture[str], reason: int, told: int
) -> None:
    """Calls under way land and are named, up to twenty; what waits for a slot or is not pulled yet is not paid."""
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
    said = capsys.readouterr().err
    assert said.count("cannot write to out.jsonl: No space left on device; no other image is sent") == told
    named = plural(paid, "paid answer was not written", "paid answers were not written")
    assert f"{named}: {receipts[0].path.removesuffix('00.png')}" in said
    assert f" and {paid - 20} more\n" in said
    assert f"{run.counts.statuses['pending']} or more images were not sent" in said


async def test_an_interrupt_writes_what_was_answered_and_names_what_is_in_doubt(
    receipts: list[InputFile], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers that wait for their turn are written; calls that were cut off are counted by what they may have cost."""
    settled = asyncio.Event()
    ended: list[Event] = []
    failures = [FAILED]

    async def answer(sent: Sent) -> HTTPResponse:
        if sent.parsed.name == "01.png":
            sent.exchange.begin_response(200, {})
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
    said = capsys.readouterr().err
    assert output.read_bytes().count(b'"succeeded"') == 28
    assert "28 images: 28 succeeded; 29 calls billed, 2 perhaps" in said
    assert f"2 calls were under way and may have been paid: {receipts[0].path}, {receipts[1].path}\n" in said


async def test_a_folder_that_turns_out_unreadable_is_told_once_with_what_was_paid_before(
    receipts: list[InputFile], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was read before is written and counted, and the counting of images stumbles in silence."""

    def found() -> Iterator[InputFile]:
        yield receipts[0]
        raise ConfigurationError("scans: Permission denied")

    client = ClovaOCRClient(domain(), transport=FakeTransport())
    with opened_output(str(tmp_path / "out.jsonl")) as lines, pytest.raises(ConfigurationError):
        await run_once(client, CallCounter(), Receipt, Given(found), lines)
    assert (tmp_path / "out.jsonl").read_bytes().count(b"\n") == 1
    said = capsys.readouterr().err
    assert said.startswith("1 image: 1 succeeded; 1 call billed")
    assert said.count("\n") == 1


async def test_a_batch_that_cannot_begin_counts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no image was tried there are no counts to tell."""
    client = ClovaOCRClient(domain(document=IdCard), transport=FakeTransport())
    with opened_output(str(tmp_path / "out.jsonl")) as lines, pytest.raises(ConfigurationError):
        await run_once(client, CallCounter(), Receipt, Search(()), lines)
    assert capsys.readouterr().err == ""


async def test_a_call_that_was_cut_off_before_it_was_sent_is_in_no_doubt(
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
    assert "1 call was under way and may have been paid: " in capsys.readouterr().err


def test_short_writes_and_a_full_pipe_make_whole_lines() -> None:
    """A line is written to its end, however little is taken at a time."""
    taken = bytearray()
    waits: list[int] = []

    def put(part: bytes) -> int:
        if len(taken) == 3 and not waits:
            raise BlockingIOError
        taken.extend(part[:3])
        return len(part[:3])

    Output("a pipe", put, wait=lambda: waits.append(len(taken))).write(b"a whole line\n")
    assert (bytes(taken), waits) == (b"a whole line\n", [3])


class Hiccup:
    """Writes to a file, but fails once after a few bytes."""

    def __init__(self, descriptor: int) -> None:
        """Fail with the first line."""
        self.descriptor = descriptor
        self.calls = 0

    def __call__(self, part: bytes) -> int:
        """Write."""
        self.calls += 1
        if self.calls == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(self.descriptor, part[:3] if self.calls == 1 else part)


def test_a_torn_line_is_taken_back_from_a_file(tmp_path: Path) -> None:
    """What was written of a line that failed is cut off, and the next line stands where it should."""
    with (tmp_path / "out").open("wb", buffering=0) as file:
        output = Output("out", Hiccup(file.fileno()), file.fileno())
        with pytest.raises(OutputError, match="cannot write to out: No space left on device"):
            output.write(b"first\n")
        output.write(b"second\n")
    assert (tmp_path / "out").read_bytes() == b"second\n"


def test_nothing_is_cut_off_that_somebody_else_wrote(tmp_path: Path) -> None:
    """A file that others append to is left as it is, and takes no line after a torn one."""
    with (tmp_path / "out").open("wb", buffering=0) as file:
        (tmp_path / "out").write_bytes(b"somebody else's\n")
        check_torn(Output("out", Hiccup(file.fileno()), file.fileno()))
    assert (tmp_path / "out").read_bytes() == b"firebody else's\n"


def test_a_pipe_takes_no_line_after_a_torn_one() -> None:
    """What cannot be taken back is not made worse."""
    read_end, write_end = os.pipe()
    check_torn(Output("a pipe", Hiccup(write_end), write_end))
    os.close(write_end)
    assert os.read(read_end, 100) == b"fir"
    os.close(read_end)


def test_a_stream_in_memory_takes_no_line_after_a_torn_one(tmp_path: Path) -> None:
    """Where there is no file to mend, a torn line is the last."""
    with (tmp_path / "out").open("wb", buffering=0) as file:
        check_torn(Output("out", Hiccup(file.fileno())))
    assert (tmp_path / "out").read_bytes() == b"fir"


def test_a_file_that_cannot_be_closed_is_told(tmp_path: Path) -> None:
    """Lines that are lost only when the file is closed are not lost in silence."""
    next_one = os.dup(0)
    os.close(next_one)
    with pytest.raises(OutputError, match=r"cannot write to .*out: Bad file"), opened_output(str(tmp_path / "out")):
        os.close(next_one)


def check_torn(output: Output) -> None:
    """Have a line torn, and check that the next one fails as well."""
    for line in (b"first\n", b"second\n"):
        with pytest.raises(OutputError, match="No space"):
            output.write(line)


async def test_the_probe_takes_only_a_refusal_of_the_body_for_good() -> None:
    """A right URL and secret are told by code 0011; a wrong secret is told as such."""
    async with Emulator() as clova:
        right = await probe(Domain(clova.url("receipt"), clova.secret))
        wrong = await probe(Domain(clova.url("receipt"), "not-the-secret"))
    assert right is None
    assert isinstance(wrong, errors.AuthenticationError)


async def test_the_probe_is_not_taken_in_by_whoever_answers() -> None:
    """A server that reads a request without an image as if there were one is no CLOVA, and is told."""

    async def always(_: web.Request) -> web.Response:
        return web.json_response({"images": [{"receipt": {"result": {}}}]})

    app = web.Application()
    app.router.add_post("/{path:.*}", always)
    async with TestServer(app) as server:
        told = await probe(Domain(str(server.make_url("/custom/v1/1/key")), "secret"))
    assert isinstance(told, MalformedResponseError)


def test_saying_outside_of_a_command_works(capsys: pytest.CaptureFixture[str]) -> None:
    """What is said without a command around it is said, without what steers a terminal."""
    from clova_ocr_async.cli.terminal.stderr import echo_stderr, is_quiet  # noqa: PLC0415 - this test's own

    echo_stderr("a\x1bb")
    assert capsys.readouterr().err == "a?b\n"
    assert not is_quiet()
    assert click.get_current_context(silent=True) is None


def test_shell_completion_knows_the_verbs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Completing an empty word offers every verb."""
    monkeypatch.setenv("_CLOVA_OCR_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "clova-ocr ")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        app(prog_name="clova-ocr")
    assert "plain,recognize" in capsys.readouterr().out


@pytest.mark.parametrize("begun", [False, True])
async def test_a_doubt_is_counted_once(begun: bool) -> None:
    """A call that is cancelled counts the doubt of its earlier request once, and its last one's if that had begun."""
    calls, time, held = CallCounter(), FakeTime(), Held()
    if not begun:
        time.gate = asyncio.Event()  # whoever waits to send again waits for ever
    transport = FakeTransport(FAILED, held)
    client = ClovaOCRClient(domain(), transport=transport, runtime=time.runtime(), hooks=[calls.note])
    call = asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch"))
    await (held.reached if begun else time.asleep).wait()
    call.cancel()
    await asyncio.wait([call])
    assert calls.maybe_billed == len(transport.sent) == 1 + begun
    assert (calls.billed, calls.in_flight) == (0, 0)
