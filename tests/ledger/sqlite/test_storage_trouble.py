"""Trouble with the ledger's file: a lock that another program holds, a full disk, an opening that is cancelled."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import BUSY, FakeTransport, Held, domain, steps
from support.ledgers import (
    ANSWER,
    FAILURE,
    Clock,
    answers,
    calls,
    claimed,
    crash,
    dead_process,
    eventually,
    item,
    opened,
    query,
    read,
    source,
    states,
)

from clova_ocr_async.batch import BatchDispatcher, Failure, Success
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import AnswerNotKeptError, Billing, ConnectionLostError, DiskFullError, LedgerError
from clova_ocr_async.ledger.overflow_file import overflow_paths, read_records
from clova_ocr_async.ledger.private_file import file_error
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.sqlite.schema import migrate
from clova_ocr_async.protocol.response import HTTPResponse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from clova_ocr_async.ledger.states import Claim, Settlement

MIB = 1024 * 1024
JPEG = b"\xff\xd8\xff\xe0 %b \xff\xd9"


@contextmanager
def locked(run: Path, begin: str = "BEGIN IMMEDIATE") -> Generator[None]:
    """Hold the ledger's lock, as another program does."""
    with closing(sqlite3.connect(run / LEDGER, isolation_level=None, timeout=10)) as db:
        db.execute(begin)
        yield
        db.execute("ROLLBACK")


async def sent(ledger: SqliteLedger, *names: str) -> list[Claim]:
    """Mark requests for some images as sent."""
    found = [claimed(await ledger.admit(item(name), None)) for name in names]
    for claim in found:
        assert await ledger.sending(claim, f"r{claim.number}")
    return found


def large(size: int) -> HTTPResponse:
    """Return an answer of some bytes."""
    return HTTPResponse(200, ANSWER.body + b" " * (size - len(ANSWER.body)))


# ---------------------------------------------------------------------------------------------------------------------
# The lock


async def test_a_short_lock_costs_nothing_and_answers_do_not_wait_for_it(run: Path) -> None:
    """While another program has the lock an answer is soon in the overflow file, and afterwards in the ledger."""
    async with opened(run, patience=30.0) as ledger:
        one, two = await sent(ledger, "a", "b")
        with locked(run):
            waiting = asyncio.create_task(ledger.recall(source("x"), "receipt"))
            async with asyncio.timeout(5):
                await ledger.answered(one, "r1", ANSWER)
                await ledger.answered(two, "r2", FAILURE)
            (overflow,) = overflow_paths(run)
            assert [kept.body for kept in read_records(overflow) if hasattr(kept, "body")] == [
                ANSWER.body,
                FAILURE.body,
            ]
            await ledger.settle(one, read("r1"))
            assert not waiting.done()
        await waiting
        await eventually(lambda: answers(run) == [ANSWER.body, FAILURE.body])
        await eventually(lambda: states(run) == ["succeeded", "sent"])
        assert ledger.stop_reason is None
        await sent(ledger, "c")
    assert overflow_paths(run) == []
    assert calls(run) == 3


@contextmanager
def files_of_at_most(size: int) -> Generator[None]:
    """Let no file of this process grow beyond a size, as on a disk without room for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_an_answer_that_fits_nowhere_waits_for_a_short_lock(run: Path) -> None:
    """An answer for which the overflow file has no room waits for the lock like other jobs, and is kept."""
    large = HTTPResponse(200, os.urandom(3 * MIB))  # it cannot be compressed
    async with opened(run, patience=30.0) as ledger:
        (claim,) = await sent(ledger, "a")
        with locked(run), files_of_at_most(2 * MIB):
            keeping = asyncio.create_task(ledger.answered(claim, "r1", large))
            done, _ = await asyncio.wait([keeping], timeout=1.0)
            assert not done
        await keeping
        assert answers(run) == [large.body]


async def test_a_lasting_lock_is_waited_for_once(run: Path) -> None:
    """Once the patience is used up jobs fail at once, answers go to the overflow file, and nothing more is sent."""
    async with opened(run, patience=0.3, process=dead_process()) as ledger:
        (one,) = await sent(ledger, "a")
        two = claimed(await ledger.admit(item("b"), None))
        began = asyncio.get_running_loop().time()
        with locked(run):
            for _ in range(20):
                with pytest.raises(LedgerError, match="keeps the ledger locked") as caught:
                    await ledger.recall(source("x"), "receipt")
                assert caught.value.resumable
            await ledger.answered(one, "r1", ANSWER)
            await ledger.settle(one, read("r1"))
            for _ in range(2):
                with pytest.raises(LedgerError, match="keeps the ledger locked"):
                    await ledger.sending(two, "r2")
            with pytest.raises(LedgerError, match="keeps the ledger locked"):
                await ledger.admit(item("c"), None)
            assert ledger.stop_reason is not None
            await ledger.__aexit__(None, None, None)
            assert asyncio.get_running_loop().time() - began < 5
        assert answers(run) == []
    async with opened(run) as ledger:
        assert states(run) == ["succeeded", "queued"]
        assert (await ledger.admit(item("a"), None)).entry.answer == ANSWER


async def test_a_ledger_that_was_locked_out_notices_that_it_is_free(run: Path) -> None:
    """Each job is a probe, so jobs that cost no money go on as soon as the lock is free again."""
    async with opened(run, patience=0.1) as ledger:
        with locked(run), pytest.raises(LedgerError):
            await ledger.recall(source("x"), "receipt")
        await ledger.recall(source("x"), "receipt")


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
async def test_a_locked_ledger_is_not_opened(run: Path, begin: str) -> None:
    """Opening a locked ledger fails after one patience with a resumable error, and leaves nothing."""
    async with opened(run):
        pass
    began = asyncio.get_running_loop().time()
    with locked(run, begin), pytest.raises(LedgerError, match="keeps the ledger locked; end it") as caught:
        await opened(run, patience=0.3).__aenter__()
    assert caught.value.resumable
    assert asyncio.get_running_loop().time() - began < 5
    assert query(run, "SELECT count(*) FROM owner") == [(0,)]
    assert overflow_paths(run) == []


async def test_an_opening_that_waits_for_a_lock_can_be_cancelled(run: Path) -> None:
    """An opening that is cancelled while another program keeps the ledger locked does not wait for that program."""
    async with opened(run):
        pass
    with locked(run):
        opening = asyncio.create_task(opened(run, patience=50.0).__aenter__())
        done, _ = await asyncio.wait([opening], timeout=0.2)
        assert not done
        opening.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([opening])
    assert opening.cancelled()


async def test_closing_a_locked_ledger_takes_one_patience(run: Path) -> None:
    """A ledger that is locked as it is closed is closed within the patience, and the next opening settles its work."""
    ledger = opened(run, patience=0.3, process=dead_process())
    await ledger.__aenter__()
    (claim,) = await sent(ledger, "a")
    await ledger.answered(claim, "r1", ANSWER)
    with locked(run):
        async with asyncio.timeout(5):
            await ledger.__aexit__(None, None, None)
    assert ledger.stop_reason is not None
    async with opened(run):
        assert states(run) == ["succeeded"]


# ---------------------------------------------------------------------------------------------------------------------
# Openings that are cancelled


def open_files() -> int:
    """Return how many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class HeldClock:
    """A clock that holds the ledger's thread where it registers as an owner."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self) -> float:
        """Return the time, once the thread may go on."""
        if threading.current_thread().name == "clova-ocr-ledger":
            self.reached.set()
            assert self.go_on.wait(10)
        return 5000.0


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux shows them")
@pytest.mark.parametrize("cancellations", [1, 2, 3])
async def test_an_opening_that_is_cancelled_leaves_nothing(run: Path, cancellations: int) -> None:
    """An opening that is cancelled, even repeatedly, while it registers leaves no owner, open file or overflow file."""
    async with opened(run):
        pass
    before = open_files()
    gate = HeldClock()
    opening = asyncio.create_task(opened(run, clock=gate).__aenter__())
    await asyncio.to_thread(gate.reached.wait, 10)
    for _ in range(cancellations):
        opening.cancel()
        await steps()
    gate.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert query(run, "SELECT count(*) FROM owner") == [(0,)]
    assert overflow_paths(run) == []
    assert open_files() == before
    assert all(one.name != "clova-ocr-ledger" for one in threading.enumerate())


# ---------------------------------------------------------------------------------------------------------------------
# The disk


async def test_room_is_reserved_before_a_request_is_sent(run: Path) -> None:
    """Before a request is marked as sent the overflow file has room for an answer as large as any before."""
    async with opened(run) as ledger:
        (overflow,) = overflow_paths(run)
        found = await sent(ledger, *"abcd")
        assert overflow.stat().st_size >= 4 * MIB // 2
        await ledger.answered(found[0], "r1", large(10 * MIB))
        assert overflow.stat().st_size >= 4 * 15 * MIB  # for calls that are in flight already
        size = overflow.stat().st_size
        await sent(ledger, *"efgh")
        assert overflow.stat().st_size >= 7 * 15 * MIB > size
    async with opened(run) as ledger:  # the size is known to the next process
        (overflow,) = overflow_paths(run)
        await sent(ledger, "i")
        assert overflow.stat().st_size >= 15 * MIB


async def test_the_largest_answer_is_noted_while_the_run_goes_on(run: Path) -> None:
    """The size of the largest answer is stored with the next renewal, so that a later process reserves enough."""
    clock = Clock()
    async with opened(run, clock=clock) as ledger:
        (claim,) = await sent(ledger, "a")
        await ledger.answered(claim, "r1", large(MIB))
        clock.now += 11
        await ledger.recall(source("x"), "receipt")
        assert query(run, "SELECT value FROM run WHERE name = 'largest answer'") == [(MIB,)]


LIMITED = """
import asyncio, os, resource, signal, sys
sys.path[:] = {path!r}
from support.ledgers import ANSWER, claimed, item
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.errors import DiskFullError
from clova_ocr_async.protocol.response import HTTPResponse
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

async def main():
    async with SqliteLedger({run!r}) as ledger:
        found = [claimed(await ledger.admit(item(str(number)), None)) for number in range(6)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_300_000, resource.RLIM_INFINITY))
        print([await ledger.sending(claim, f"r{{claim.number}}") for claim in found])
        await ledger.answered(found[0], "r1", ANSWER)
        print(await ledger.sending(found[4], "r5"), await ledger.sending(found[5], "r6"))
        for number in (2, 3, 4):
            await ledger.refused(found[number], f"r{{number + 1}}", maybe_billed_before=False)
        try:
            await ledger.answered(found[1], "r2", HTTPResponse(200, os.urandom(3_000_000)))
        except DiskFullError as error:
            print(error)
        try:
            await ledger.sending(found[5], "r6")
        except DiskFullError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(ledger.stop_reason is not None)
    async with SqliteLedger({run!r}) as ledger:
        ledger._this_owner.note_size(3_000_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_300_000, resource.RLIM_INFINITY))
        claim = claimed(await ledger.admit(item("5"), None))
        try:
            await ledger.sending(claim, "r9")
        except DiskFullError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

asyncio.run(main())
"""


async def test_a_request_whose_answer_has_no_room_is_not_sent(run: Path) -> None:
    """On a small disk only calls whose answers have room are sent, others wait, and after a loss nothing is sent."""
    program = LIMITED.format(path=sys.path, run=str(run))
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["[True, True, True, True, False, False]", "True False"], done.stderr
    assert "an answer could not be kept: the disk is full, and so is the room" in lines[2]
    assert lines[3:5] == [lines[3], "True"]
    assert "make room" in lines[3]
    assert lines[5].startswith("no room for the answers of the calls in flight (File too large); make room")
    assert len(lines) == 6
    assert (states(run)[5], answers(run)) == ("queued", [ANSWER.body])


async def test_unused_room_of_dead_processes_is_freed_first(run: Path) -> None:
    """Unused room of a dead process goes back to the disk before the ledger is opened, even if the opening fails."""
    dead = opened(run, process=dead_process())
    await dead.__aenter__()
    (claim,) = await sent(dead, "a")
    with locked(run):
        await dead.answered(claim, "r1", ANSWER)  # overflow the ledger
        await crash_at_once(dead)
        (overflow,) = overflow_paths(run)
        assert overflow.stat().st_size >= 2 * MIB
        with pytest.raises(LedgerError):
            await opened(run, patience=0.1).__aenter__()
        assert overflow.stat().st_size < MIB
    async with opened(run):
        assert (states(run), answers(run)) == (["succeeded"], [ANSWER.body])


async def crash_at_once(ledger: SqliteLedger) -> None:
    """End a ledger's process, as kill -9 does, while another program has the lock."""
    ledger._writer._lock_wait.give_up()  # noqa: SLF001 - a killed process does not wait
    await crash(ledger)


def test_a_migration_on_a_full_disk_raises_sqlites_error(tmp_path: Path) -> None:
    """If SQLite rolls a migration back itself, as on a full disk, its own error is raised."""

    def fill(db: sqlite3.Connection) -> None:
        db.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    with (
        closing(sqlite3.connect(tmp_path / LEDGER, isolation_level=None)) as db,
        pytest.raises(sqlite3.OperationalError, match="disk is full"),
    ):
        migrate(db, [fill])


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, DiskFullError), (errno.EDQUOT, DiskFullError), (errno.EACCES, LedgerError)]
)
def test_a_folder_that_has_no_room_is_resumable(number: int, kind: type[LedgerError]) -> None:
    """If the disk or the quota is full, the error of a run directory is resumable and names the way out."""
    error = file_error("run", OSError(number, os.strerror(number)))
    assert type(error) is kind
    assert ("make room" in str(error)) is error.resumable is (kind is DiskFullError)
    assert os.strerror(number) in str(error)


async def test_a_full_disk_as_a_batch_is_left_is_logged_in_a_line(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An error that closes a source after the batch was cut off is logged by its message, without a traceback."""
    held = Held()

    async def images() -> AsyncGenerator[bytes]:
        try:
            yield JPEG % b"a"
            await asyncio.Event().wait()
        finally:
            raise DiskFullError("made up: full")

    async def leave_at_once() -> None:
        async with (
            ClovaOCRClient(domain(), transport=FakeTransport(then=held)) as client,
            BatchDispatcher(client, 2, ledger=run).dispatch(images(), Receipt),
        ):
            await held.reached.wait()
            held.go_on.set()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await leave_at_once()
    (record,) = [record for record in caplog.records if "failed while it was closed" in record.getMessage()]
    assert record.getMessage().endswith("made up: full")
    assert not record.exc_info


class Unsettled(SqliteLedger):
    """A ledger that can store no settlement anywhere."""

    async def settle(self, claim: Claim, verdict: Settlement) -> None:  # noqa: ARG002 - the signature of the ledger
        """Fail, as on a disk that is full to the last byte."""
        raise DiskFullError("made up: full")


async def test_a_settlement_that_is_stored_nowhere_costs_no_answer(
    tmp_path: Path, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If a settlement is lost, the caller still gets the answer, and the ledger has it."""
    async with Unsettled(run, process=dead_process()) as ledger:
        (outcome,) = await outcomes_of(ledger, [picture(tmp_path, "a")], FakeTransport())
    assert isinstance(outcome, Success)
    assert "the end of a call could not be written down: made up: full" in caplog.text
    async with opened(run):
        assert (states(run), len(answers(run))) == (["succeeded"], 1)


# ---------------------------------------------------------------------------------------------------------------------
# Answers that can be stored nowhere


class Nowhere(SqliteLedger):
    """A ledger that can store no answer anywhere."""

    async def answered(self, claim: Claim, request_id: str, response: HTTPResponse) -> None:  # noqa: ARG002 - the ledger's signature
        """Fail, as on a disk that is full to the last byte."""
        raise DiskFullError("made up: the disk is full, and so is the room")

    async def refused(self, claim: Claim, request_id: str, *, maybe_billed_before: bool) -> None:  # noqa: ARG002 - the ledger's signature
        """Fail in the same way."""
        raise DiskFullError("made up: the disk is full, and so is the room")


async def outcomes_of(ledger: Any, images: list[Any], transport: FakeTransport) -> list[Any]:
    """Run a batch, and return its outcomes."""
    async with (
        ClovaOCRClient(domain(), transport=transport) as client,
        BatchDispatcher(client, 2, ledger=ledger).dispatch(images, Receipt) as outcomes,
    ):
        return [outcome async for outcome in outcomes]


def picture(folder: Path, name: str) -> Path:
    """Make a picture."""
    path = folder / f"{name}.jpg"
    path.write_bytes(JPEG % name.encode())
    return path


@pytest.mark.parametrize("answer", [ANSWER, FAILURE, HTTPResponse(200, b"<html>")])
async def test_an_answer_that_is_stored_nowhere_is_a_failure(
    tmp_path: Path, run: Path, answer: HTTPResponse, caplog: pytest.LogCaptureFixture
) -> None:
    """A paid answer that could be stored nowhere is a failure with its bytes, and stays billed in the ledger."""
    image = picture(tmp_path, "a")
    async with Nowhere(run) as ledger:
        (outcome,) = await outcomes_of(ledger, [image], FakeTransport(then=answer))
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, AnswerNotKeptError)
    assert (outcome.error.lost, outcome.error.billing, outcome.error.attempts) == (True, Billing.BILLED, 1)
    assert outcome.error.raw == answer.body
    assert outcome.error.request_id is not None
    assert "canary" not in f"{outcome.error!r} {outcome.error} {caplog.text}"
    assert "an answer could not be kept" in caplog.text
    assert (states(run), calls(run), answers(run)) == (["failed"], 1, [])
    transport = FakeTransport()
    (again,) = await outcomes_of(run, [image], transport)
    assert isinstance(again.error, AnswerNotKeptError)
    assert (again.error.lost, again.error.raw, again.error.billing) == (True, b"", Billing.BILLED)
    assert transport.sent == []
    async with opened(run) as ledger:
        assert await ledger.requeue(Billing.BILLED) == 1
    (found,) = await outcomes_of(run, [image], transport)
    assert isinstance(found, Success)


async def test_the_log_of_a_refused_request_names_no_answer(
    tmp_path: Path, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log line of a refused request that cannot be stored does not mention an answer."""
    async with Nowhere(run) as ledger:
        await outcomes_of(ledger, [picture(tmp_path, "a")], FakeTransport(BUSY, ConnectionLostError))
    assert "the end of a request could not be written down" in caplog.text
    assert "an answer" not in caplog.text


@pytest.mark.parametrize("named", [True, False])
async def test_a_call_that_is_cut_off_as_its_answer_is_lost_is_named(
    tmp_path: Path, run: Path, named: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that can be stored nowhere, and whose call was cut off, is named in the log, and its item is failed."""
    reached = Held()

    class Slow(Nowhere):
        async def answered(self, claim: Claim, request_id: str, response: HTTPResponse) -> None:
            reached.reached.set()
            await reached.go_on.wait()
            await super().answered(claim, request_id, response)

    image: Any = picture(tmp_path, "a") if named else JPEG % b"a"
    async with Slow(run) as ledger:
        batch = asyncio.create_task(outcomes_of(ledger, [image], FakeTransport()))
        await reached.reached.wait()
        for _ in range(2):  # the first one waits for the call
            batch.cancel()
            await steps()
        reached.go_on.set()
        await asyncio.wait([batch])
    assert (states(run), calls(run)) == (["failed"], 1)
    lines = [record.getMessage() for record in caplog.records if "its answer is not stored" in record.getMessage()]
    assert [line.split(": ")[0] for line in lines] == [str(image) if named else "an image without a name"]
