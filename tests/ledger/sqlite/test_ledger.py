from __future__ import annotations

import asyncio
import logging
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from support.ledgers import (
    ANSWER,
    FAILURE,
    Clock,
    answers,
    calls,
    claimed,
    contents,
    crash,
    elsewhere,
    eventually,
    gone,
    in_doubt,
    item,
    look,
    opened,
    perhaps,
    read,
    source,
    states,
    until,
)

from clova_ocr_async.errors import (
    Billing,
    ConfigurationError,
    DiskFullError,
    LedgerError,
    NotSentError,
    SpendingCeilingError,
)
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.connection import _prepare, connect
from clova_ocr_async.ledger.sqlite.overflow import spills_in
from clova_ocr_async.ledger.sqlite.overflow_records import SpilledAnswer
from clova_ocr_async.ledger.sqlite.owners import LEASE
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.sqlite.schema import migrate
from clova_ocr_async.ledger.states import ClaimLostError, FileStamp, ItemEvent, Settlement, SourceFile, State
from clova_ocr_async.protocol.response import HTTPResponse

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))
RELEASE = Settlement(ItemEvent.RELEASE)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory that is not there yet."""
    return tmp_path / "run"


class Full:
    """A watch that fills the disk before the commits it is told of."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.failed: list[str] = []

    def __call__(self, where: str) -> None:
        """Fail as SQLite does."""
        name = where.removeprefix("before commit of ")
        if name in self.names:
            self.failed.append(name)
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error


# ---------------------------------------------------------------------------------------------------------------------
# Opening


@pytest.mark.parametrize(
    "settings",
    [
        {"max_calls": -1},
        {"max_calls": True},
        {"max_calls": 1.5},
        {"store": "some"},
        {"lease": 0},
        {"lease": 31},
        {"lease": "long"},
        {"lease": True},
    ],
)
def test_settings_that_cannot_work(run: Path, settings: dict[str, Any]) -> None:
    """A setting that cannot work is named before anything is made."""
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        SqliteLedger(run, **settings)
    assert not run.exists()


async def test_a_ledger_is_opened_once(run: Path) -> None:
    """A second opening of one object is refused; the run itself is opened as often as one likes."""
    ledger = opened(run)
    async with ledger:
        with pytest.raises(ConfigurationError, match="opened once"):
            await ledger.__aenter__()
    async with opened(run):
        pass
    assert look(run, "SELECT count(*) FROM owner") == [(0,)]
    assert spills_in(run) == []


async def test_a_closed_ledger_says_so(run: Path) -> None:
    """Nobody waits for a ledger that is closed: neither who asks then nor who waited for another's image."""
    ledger = opened(run, sleep=lambda _: asyncio.Event().wait())
    async with ledger:
        claimed(await ledger.admit(item(), None))
        waiting = asyncio.create_task(ledger.changed((await ledger.admit(item(), None)).entry))
        await asyncio.sleep(0)
    await waiting
    with pytest.raises(LedgerError, match="not open"):
        await ledger.admit(item(), None)
    with pytest.raises(LedgerError, match="not open"):
        await ledger.open_for(["local"])


async def test_files_that_are_no_ledger(tmp_path: Path) -> None:
    """A damaged file, another program's, a newer version's, and one that another program locks are refused by name."""
    for name in ("damaged", "another", "newer"):
        (tmp_path / name).mkdir(0o700)
    (tmp_path / "damaged" / LEDGER).write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(LedgerError, match="damaged"):
        await opened(tmp_path / "damaged").__aenter__()
    db = sqlite3.connect(tmp_path / "another" / LEDGER)
    db.execute("CREATE TABLE another (x)")
    db.close()
    with pytest.raises(LedgerError, match="another program"):
        await opened(tmp_path / "another").__aenter__()
    async with opened(tmp_path / "newer"):
        pass
    db = sqlite3.connect(tmp_path / "newer" / LEDGER)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LedgerError, match="schema 99"):
        await opened(tmp_path / "newer").__aenter__()
    with pytest.raises(LedgerError, match="no_such_place"):
        await opened("/proc/no_such_place/run").__aenter__()


async def test_what_holds_for_a_run_is_kept_to(run: Path) -> None:
    """Another key, no key, another store or another service than the run was begun with is refused; the same is not."""
    async with opened(run, seal=AESGCMSeal(KEY), store="none") as ledger:
        await ledger.open_for(["apigw.ntruss.com"])
        with pytest.raises(LedgerError, match="apigw"):
            await ledger.open_for(["local"])
    refusals: list[tuple[dict[str, Any], str]] = [
        ({}, "sealed"),
        ({"seal": Other()}, "the key given is for"),
        ({"seal": AESGCMSeal(KEY[::-1])}, "not the one"),
        ({"seal": AESGCMSeal(KEY), "store": "full"}, "store"),
    ]
    for settings, said in refusals:
        with pytest.raises(LedgerError, match=said):
            await opened(run, **settings).__aenter__()
    async with opened(run, seal=AESGCMSeal(KEY)) as ledger:
        await ledger.open_for(["apigw.ntruss.com"])
    async with opened(run.with_name("open")):
        pass
    with pytest.raises(LedgerError, match="begun without one"):
        await opened(run.with_name("open"), seal=AESGCMSeal(KEY)).__aenter__()


class Other(NoSeal):
    """A seal of another kind."""

    name = "another"


def test_a_file_system_without_a_log_is_refused(tmp_path: Path) -> None:
    """Where SQLite can keep no write-ahead log there can be no ledger; who only reads cannot write by mistake."""
    db = sqlite3.connect(":memory:")
    with pytest.raises(LedgerError, match="no WAL"):
        _prepare(db, tmp_path, reading=False)
    db.close()
    (tmp_path / LEDGER).touch()
    connect(tmp_path).close()
    db = connect(tmp_path, reading=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("CREATE TABLE x (y)")
    db.close()


def test_two_who_make_a_ledger_make_one(tmp_path: Path) -> None:
    """Who finds that another process was quicker to make the tables uses those."""
    quicker = sqlite3.connect(tmp_path / LEDGER, isolation_level=None)

    class Late(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            if arguments == ("BEGIN IMMEDIATE",):
                migrate(quicker)
            return super().execute(*arguments)

    late = sqlite3.connect(tmp_path / LEDGER, isolation_level=None, factory=Late)
    migrate(late)
    assert late.execute("SELECT count(*) FROM item").fetchone() == (0,)
    late.close()
    quicker.close()


async def test_an_opening_that_is_cancelled_leaves_nothing_open(run: Path) -> None:
    """Who gives up while a ledger is opened, at any moment, leaves no thread and no lock behind."""
    for steps in range(12):
        opening = asyncio.create_task(opened(run).__aenter__())
        for _ in range(steps):
            await asyncio.sleep(0.0005)
        opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled():
            await (await opening).__aexit__(None, None, None)
    async with opened(run, process=gone()) as ledger:
        assert (await ledger.admit(item(), None)).claim is not None


async def test_a_run_is_not_begun_without_room(run: Path) -> None:
    """Where there is no room even for what is set aside, opening says so, and the next opening is not held up."""
    program = f"""
import asyncio, resource, signal, sys
sys.path[:] = {sys.path!r}
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.errors import DiskFullError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
async def main():
    try:
        await SqliteLedger({str(run)!r}).__aenter__()
    except DiskFullError as error:
        print(error)
asyncio.run(main())
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "File too large; a run needs at least 2 MiB" in done.stdout
    assert look(run, "SELECT count(*) FROM owner") == [(0,)]
    assert spills_in(run) == []


# ---------------------------------------------------------------------------------------------------------------------
# Images and marks


async def test_an_image_is_paid_once_under_all_its_names(run: Path) -> None:
    """What was read under one name is known under the next one, and a file that has not changed need not be read."""
    identity = FileStamp(1, 2, 3, 4)
    async with opened(run) as ledger:
        claim = claimed(await ledger.admit(item(), SourceFile(b"a", identity)))
        assert await ledger.recall(SourceFile(b"a", identity), "receipt") is None
        await ledger.sending(claim, "r")
        await ledger.answered(claim, "r", ANSWER)
        await ledger.settle(claim, read())
        again = await ledger.admit(item(), source("b"))
        assert (again.claim, again.entry.state, again.entry.answer) == (None, State.SUCCEEDED, ANSWER)
        recalled = await ledger.recall(SourceFile(b"a", identity), "receipt")
        assert recalled is not None
        assert recalled.answer == ANSWER
        for other in (SourceFile(b"b", identity), SourceFile(b"a", FileStamp(1, 2, 3, 5)), SourceFile(b"a")):
            assert await ledger.recall(other, "receipt") is None
        assert await ledger.recall(SourceFile(b"a", identity), "passport") is None
    assert calls(run) == 1


async def test_what_cannot_be_read_is_kept_by_name(run: Path) -> None:
    """A file that cannot be read is on record, and is no more when it has been read."""
    async with opened(run) as ledger:
        await ledger.reject(source("a"), "receipt", b"{}")
        assert look(run, "SELECT path, open, item, failure FROM source") == [(b"a", 0, None, b"{}")]
        await ledger.admit(item(), source("a"))
    assert look(run, "SELECT open, item, failure FROM source") == [(1, 1, None)]


async def test_a_mark_is_on_the_disk_before_the_request(run: Path) -> None:
    """What another connection sees when ``sending`` returns is a request under way, counted."""
    async with opened(run) as ledger:
        claim = claimed(await ledger.admit(item(), None))
        await ledger.sending(claim, "r")
        assert (states(run), calls(run)) == (["sent"], 1)
        await ledger.refused(claim, "r", maybe_billed_before=False)
        assert (states(run), calls(run)) == (["claimed"], 0)
        await ledger.sending(claim, "r")
        await ledger.maybe_billed(claim, "r")
        await ledger.sending(claim, "r")
        await ledger.refused(claim, "r", maybe_billed_before=True)
        assert (states(run), calls(run), perhaps(run)) == (["sent"], 1, 1)
        await ledger.settle(claim, in_doubt())
    assert (states(run), calls(run), perhaps(run)) == (["ambiguous"], 1, 1)


async def test_two_answers_of_one_call_are_both_kept(run: Path) -> None:
    """If an answer that looked paid was none, the next answer of the same call is kept as well, and counts."""
    times = iter([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    async with opened(run, now=lambda: next(times)) as ledger:
        claim = claimed(await ledger.admit(item(), None))
        for response in (FAILURE, ANSWER):
            await ledger.sending(claim, "r")
            await ledger.answered(claim, "r", response)
        await ledger.settle(claim, read())
        assert (await ledger.admit(item(), None)).entry.answer == ANSWER
    assert answers(run) == [FAILURE.body, ANSWER.body]


@pytest.mark.parametrize("store", ["full", "none"])
async def test_what_is_kept_of_an_answer(run: Path, store: Any) -> None:
    """A run that keeps no answers keeps what became of each image, and one that does keeps the bytes as they came."""
    cut = HTTPResponse(200, b"half an ans", cut="the connection was lost")
    async with opened(run, store=store) as ledger:
        for name, response in (("a", ANSWER), ("b", cut)):
            claim = claimed(await ledger.admit(item(name), None))
            await ledger.sending(claim, name)
            await ledger.answered(claim, name, response)
            failed = Settlement(ItemEvent.FAIL, Billing.BILLED, 1.0, b'{"type":"MalformedResponseError"}', "b")
            await ledger.settle(claim, read("a") if name == "a" else failed)
        entries = [(await ledger.admit(item(name), None)).entry for name in "ab"]
    assert [entry.state for entry in entries] == [State.SUCCEEDED, State.FAILED]
    assert [entry.answer for entry in entries] == ([ANSWER, cut] if store == "full" else [None, None])
    assert calls(run) == 2


async def test_the_ceiling_is_never_overshot(run: Path) -> None:
    """Two processes together send no more than the run allows; while one may turn out unpaid the other waits."""
    async with opened(run, max_calls=2) as one, opened(run, max_calls=2) as two:
        first, second = claimed(await one.admit(item("a"), None)), claimed(await one.admit(item("b"), None))
        third = claimed(await two.admit(item("c"), None))
        await one.sending(first, "r1")
        await one.sending(second, "r2")
        assert not await two.sending(third, "r3")
        await one.refused(second, "r2", maybe_billed_before=False)
        assert await two.sending(third, "r3")
        await two.answered(third, "r3", ANSWER)
        await one.answered(first, "r1", ANSWER)
        with pytest.raises(SpendingCeilingError, match="ceiling of 2"):
            await one.sending(second, "r2")
    assert calls(run) == 2


@pytest.mark.parametrize("instead", [None, b"another file"])
async def test_nothing_is_sent_once_the_ledger_is_gone(run: Path, instead: bytes | None) -> None:
    """When the file is removed or replaced under a batch, the next request is refused: nobody would find its answer."""
    async with opened(run) as ledger:
        claim = claimed(await ledger.admit(item(), None))
        (run / LEDGER).rename(run / "moved")
        if instead is not None:
            (run / LEDGER).write_bytes(instead)
        with pytest.raises(LedgerError, match="removed or replaced"):
            await ledger.sending(claim, "r1")
        (run / "moved").replace(run / LEDGER)
    assert calls(run) == 0


@pytest.mark.parametrize(
    ("folder", "settings", "name"), [(5, {}, "folder is a int"), ("run", {"seal": "key"}, "seal is a str")]
)
def test_bad_arguments_are_named(folder: Any, settings: dict[str, Any], name: str) -> None:
    """What is no path, and what is no seal, are refused before anything is made."""
    with pytest.raises(ConfigurationError, match=name):
        SqliteLedger(folder, **settings)


async def test_a_damaged_answer_costs_itself_alone(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A stored answer that does not open is told, and everything else of the run is as it was."""
    seal = AESGCMSeal(bytes(32))
    async with opened(run, seal=seal) as ledger:
        for name in "ab":
            claim = claimed(await ledger.admit(item(name), None))
            await ledger.sending(claim, name)
            await ledger.answered(claim, name, ANSWER)
            await ledger.settle(claim, read(name))
    with closing(sqlite3.connect(run / LEDGER)) as db, db:
        db.execute("UPDATE answer SET body = zeroblob(length(body)) WHERE request_id = 'a'")
    async with opened(run, seal=seal) as ledger:
        damaged, whole = (await ledger.admit(item("a"), None)).entry, (await ledger.admit(item("b"), None)).entry
    assert (damaged.state, damaged.answer, whole.answer) == (State.SUCCEEDED, None, ANSWER)
    assert "does not open" in caplog.text


async def test_two_answers_are_settled_together(run: Path) -> None:
    """What has its answer is settled when there is time, several at once, and whoever waits for it is told."""
    async with opened(run) as ledger:
        found = [claimed(await ledger.admit(item(name), None)) for name in "abc"]
        for claim in found:
            await ledger.sending(claim, f"r{claim.number}")
            await ledger.answered(claim, f"r{claim.number}", ANSWER)
        waiting = asyncio.create_task(ledger.changed((await ledger.admit(item("a"), None)).entry))
        await asyncio.sleep(0)
        for claim in found:
            await ledger.settle(claim, read(f"r{claim.number}"))
        await waiting
        await until(run, *[State.SUCCEEDED] * 3)


# ---------------------------------------------------------------------------------------------------------------------
# Cancellation and waiting


async def test_a_claim_that_nobody_waited_for_is_given_back(run: Path) -> None:
    """Who is cancelled while an image is admitted, at any moment, leaves it free for the next."""
    async with opened(run) as ledger:
        for steps in range(8):
            admitting = asyncio.create_task(ledger.admit(item(), None))
            for _ in range(steps):
                await asyncio.sleep(0.0002)
            admitting.cancel()
            await asyncio.wait([admitting])
            if not admitting.cancelled():
                await ledger.settle(claimed(await admitting), RELEASE)
            async with asyncio.timeout(10):
                while (admission := await ledger.admit(item(), None)).claim is None:
                    await ledger.changed(admission.entry)
            await ledger.settle(claimed(admission), RELEASE)
        taken = claimed(await ledger.admit(item(), None))
        refused = asyncio.create_task(ledger.admit(item(), None))
        await asyncio.sleep(0)
        refused.cancel()
        await asyncio.wait([refused])
        await ledger.settle(taken, RELEASE)
    assert states(run) == ["queued"]


async def test_a_claim_that_was_committed_for_nobody_is_given_back(run: Path) -> None:
    """Who is cancelled while the claim is being committed leaves the image free."""
    reached, go_on = threading.Event(), threading.Event()

    def watch(where: str) -> None:
        if where == "before commit of claim":
            reached.set()
            assert go_on.wait(10)

    async with opened(run, watch=watch) as ledger:
        admitting = asyncio.create_task(ledger.admit(item(), None))
        await asyncio.to_thread(reached.wait, 10)
        admitting.cancel()
        await asyncio.wait([admitting])
        assert admitting.cancelled()
        go_on.set()
        await until(run, State.QUEUED)


async def test_who_does_not_wait_for_a_claim_leaves_the_name(run: Path) -> None:
    """Who is cancelled before the claim is committed leaves the image free, and its name in the ledger, to be read."""
    async with opened(run) as ledger:
        admitting = asyncio.create_task(ledger.admit(item(), source("a.jpg")))
        await asyncio.sleep(0)
        admitting.cancel()
        await asyncio.wait([admitting])
        await eventually(lambda: look(run, "SELECT 1 FROM item JOIN source ON item = item.id WHERE open = 1"))
    assert look(run, "SELECT path, state, open FROM item JOIN source ON item = item.id") == [(b"a.jpg", "queued", 1)]


async def test_a_claim_that_nobody_waits_for_may_fail(run: Path) -> None:
    """Who is cancelled is not told that the claim failed, and nothing is given back."""
    full = Full("claim")
    async with opened(run, watch=full) as ledger:
        admitting = asyncio.create_task(ledger.admit(item(), None))
        await asyncio.sleep(0)
        admitting.cancel()
        await asyncio.wait([admitting])
        await eventually(lambda: full.failed)
        assert admitting.cancelled()
    assert states(run) == []


async def test_a_claim_that_cannot_be_given_back_is_logged(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the disk is full as a claim is given back, that is told in the log, and nothing more is sent."""
    full = Full("released")
    async with opened(run, watch=full) as ledger:
        other = claimed(await ledger.admit(item("other"), None))
        admitting = asyncio.create_task(ledger.admit(item(), None))
        await asyncio.sleep(0)
        admitting.cancel()
        await asyncio.wait([admitting])
        await eventually(lambda: "not recorded yet" in caplog.text)
        with pytest.raises(DiskFullError):
            await ledger.sending(other, "r")
    assert full.failed == ["released"]


async def test_a_name_and_its_claim_stand_or_fall_together(run: Path) -> None:
    """A file whose name cannot be written down is not claimed, so that nothing is in doubt without a name."""
    async with opened(run, watch=Full("claim")) as ledger:
        with pytest.raises(DiskFullError):
            await ledger.admit(item(), source("a.jpg"))
    assert states(run) == []
    assert not look(run, "SELECT path FROM source")


async def test_who_waits_is_told_by_whoever_ends_it(run: Path) -> None:
    """Who waits for an image is woken by its end in this process or another, and does not wait for a dead one."""
    clock = Clock()
    two = opened(run, process=elsewhere(), clock=clock)
    await two.__aenter__()
    async with opened(run, process=elsewhere(), clock=clock) as one:
        claim = claimed(await two.admit(item(), None))
        entry = (await one.admit(item(), None)).entry
        waiting = [asyncio.create_task(one.changed(entry)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0.01)
        assert not waiting[1].done()
        both = [asyncio.create_task(one.changed(entry)) for _ in range(2)]
        await asyncio.sleep(0)
        both[0].cancel()
        one._waiters.wake(entry.number)  # noqa: SLF001 - in the same turn of the loop
        await asyncio.wait(both)
        assert [task.cancelled() for task in both] == [True, False]
        waiting[1] = asyncio.create_task(one.changed(entry))
        await asyncio.sleep(0)
        await two.settle(claim, RELEASE)
        await waiting[1]
        claimed(await two.admit(item(), None))
        last = asyncio.create_task(one.changed(entry))
        await asyncio.sleep(0)
        await crash(two)
        clock.now += LEASE + 1
        await last
        assert (await one.admit(item(), None)).claim is not None


async def test_who_gave_up_waiting_is_not_looked_for(run: Path) -> None:
    """When nobody waits any more nobody looks, and what cannot be looked at is asked for by who waits."""
    looks: list[float] = []

    async def sleep(seconds: float) -> None:
        looks.append(seconds)
        await asyncio.sleep(0)

    async with opened(run, sleep=sleep) as ledger:
        claim = claimed(await ledger.admit(item(), None))
        entry = (await ledger.admit(item(), None)).entry
        waiting = asyncio.create_task(ledger.changed(entry))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.sleep(0.01)
        count = len(looks)
        await asyncio.sleep(0.01)
        assert len(looks) == count > 0
        await ledger.settle(claim, RELEASE)
        db = sqlite3.connect(run / LEDGER)
        db.execute("DELETE FROM item")
        db.commit()
        db.close()
        await ledger.changed(entry)


# ---------------------------------------------------------------------------------------------------------------------
# The dead, the sleepers, the full disk


async def test_what_the_dead_leave(run: Path) -> None:
    """What was not sent is free, what has its answer is finished, the rest is in doubt; a name is to be read again."""
    dead = opened(run, process=gone())
    await dead.__aenter__()
    names = ["claimed", "sent", "answered", "failed", "doubtful"]
    found = {name: claimed(await dead.admit(item(name), source(name))) for name in names}
    for name in names[1:]:
        await dead.sending(found[name], name)
    await dead.answered(found["answered"], "answered", ANSWER)
    await dead.answered(found["failed"], "failed", FAILURE)
    await dead.maybe_billed(found["doubtful"], "doubtful")
    await crash(dead)
    async with opened(run) as ledger:
        assert states(run) == ["queued", "ambiguous", "succeeded", "failed", "ambiguous"]
        assert look(run, "SELECT open FROM source ORDER BY id") == [(1,), (0,), (0,), (0,), (0,)]
        assert (calls(run), perhaps(run)) == (4, 2)
        assert (await ledger.admit(item("sent"), None)).claim is None
        assert (await ledger.admit(item("claimed"), None)).claim is not None
        assert await ledger.requeue(Billing.MAYBE_BILLED) == 2
        assert (await ledger.admit(item("sent"), None)).claim is not None
        assert await ledger.requeue(Billing.BILLED) == 1
        assert await ledger.requeue(Billing.NOT_BILLED) == 0
    assert answers(run) == [ANSWER.body, FAILURE.body]


@pytest.mark.parametrize("taken", [False, True])
async def test_an_answer_that_comes_after_all_is_not_paid_for_again(run: Path, taken: bool) -> None:
    """When the answer of a sleeper comes before its image is sent again, as was asked for, the image is not sent."""
    clock = Clock()
    async with opened(run, process=elsewhere(), clock=clock) as sleeper:
        slept = claimed(await sleeper.admit(item(), None))
        await sleeper.sending(slept, "r1")
        later = Clock()
        later.now = clock.now + LEASE + 1
        async with opened(run, process=elsewhere(), clock=later) as ledger:
            assert await ledger.requeue(Billing.MAYBE_BILLED) == 1
            again = claimed(await ledger.admit(item(), None)) if taken else None
            await sleeper.answered(slept, "r1", ANSWER)
            if again is not None:
                with pytest.raises(ClaimLostError):
                    await ledger.sending(again, "r2")
            assert (await ledger.admit(item(), None)).claim is None
            assert not await ledger.others_at_work("receipt")
            entry = (await ledger.admit(item(), None)).entry
            assert (entry.state, entry.answer) == (State.SUCCEEDED, ANSWER)
        assert (calls(run), perhaps(run)) == (1, 0)


async def test_who_slept_pays_for_nothing_and_loses_nothing(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A process that slept past its lease is refused before it sends, keeps the answers it waited for, and goes on."""
    clock, other = Clock(), Clock()
    async with (
        opened(run, process=elsewhere(), clock=clock) as sleeper,
        opened(run, process=elsewhere(), clock=other) as awake,
    ):
        one, two = claimed(await sleeper.admit(item("a"), None)), claimed(await sleeper.admit(item("b"), None))
        await sleeper.sending(two, "r2")
        other.now += LEASE + 1
        await awake.others_at_work("receipt")
        assert states(run) == ["queued", "ambiguous"]
        again = claimed(await awake.admit(item("a"), None))
        clock.now = other.now
        with pytest.raises(ClaimLostError):
            await sleeper.sending(one, "r1")
        await awake.sending(again, "r3")
        await sleeper.answered(two, "r2", ANSWER)
        await sleeper.settle(two, read("r2"))
        third = claimed(await sleeper.admit(item("c"), None))
        assert third.owner not in {one.owner, again.owner}
        assert {owner for (owner,) in look(run, "SELECT owner FROM item WHERE owner IS NOT NULL")} == {
            third.owner,
            again.owner,
        }
        assert (calls(run), perhaps(run)) == (2, 0)
        await sleeper.recall(source("nobody's"), "receipt")
        assert states(run) == ["sent", "succeeded", "claimed"]
    assert "slept past its lease" in caplog.text


@pytest.mark.parametrize("verdict", [read("r"), Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 1.0, b"{}", "r")])
async def test_a_late_end_without_an_answer_is_counted(run: Path, verdict: Settlement) -> None:
    """A call that was given up and ends after all is in doubt no more, also where answers are not kept."""
    clock, other = Clock(), Clock()
    async with (
        opened(run, process=elsewhere(), clock=clock, store="none") as sleeper,
        opened(run, process=elsewhere(), clock=other) as awake,
    ):
        claim = claimed(await sleeper.admit(item("a"), None))
        await sleeper.sending(claim, "r")
        other.now += LEASE + 1
        await awake.others_at_work("receipt")
        assert (calls(run), perhaps(run)) == (1, 1)
        await sleeper.answered(claim, "r", ANSWER)
        await sleeper.settle(claim, verdict)
        assert (calls(run), perhaps(run)) == (int(verdict.billing is Billing.BILLED), 0)


async def test_an_answer_that_came_late_is_not_asked_for_again(run: Path) -> None:
    """If a sleeper dies between its late answer and its mark, the image is finished by the answer, and not requeued."""
    clock, other = Clock(), Clock()
    async with opened(run, process=elsewhere(), clock=other) as awake:
        sleeper = opened(run, process=elsewhere(), clock=clock)
        await sleeper.__aenter__()
        claim = claimed(await sleeper.admit(item("a"), None))
        await sleeper.sending(claim, "r")
        other.now += LEASE + 1
        await awake.others_at_work("receipt")
        await sleeper.answered(claim, "r", ANSWER)
        await crash(sleeper)
        assert await awake.requeue(Billing.MAYBE_BILLED) == 0
        assert states(run) == ["succeeded"]


async def test_what_a_sleeper_claims_as_it_wakes_is_not_lost(run: Path) -> None:
    """What is claimed under an owner that is gone is taken over like what the dead have."""
    async with opened(run) as ledger:
        db = sqlite3.connect(run / LEDGER)
        db.execute(
            "INSERT INTO item (sha256, document, state, owner) VALUES (?, 'receipt', 'claimed', 77)", (item().sha256,)
        )
        db.commit()
        db.close()
        assert not await ledger.others_at_work("receipt")
        assert (await ledger.admit(item(), None)).claim is not None


async def test_a_lease_that_cannot_be_renewed_makes_nobody_else(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If the mark of a new owner is not committed, the process does not act under its number."""
    clock, other, full = Clock(), Clock(), Full("lease")
    async with (
        opened(run, process=elsewhere(), clock=clock, watch=full) as sleeper,
        opened(run, process=elsewhere(), clock=other) as awake,
    ):
        other.now += LEASE + 1
        await awake.others_at_work("receipt")
        clock.now = other.now
        await sleeper.recall(source("a"), "receipt")
        assert full.failed == ["lease"]
        async with opened(run, process=elsewhere(), clock=other):  # is given the number that was not committed
            mine = claimed(await sleeper.admit(item("b"), None)).owner
            assert (mine,) not in look(run, "SELECT id FROM owner")
        full.names.clear()
        clock.now += LEASE / 3
        await sleeper.recall(source("a"), "receipt")
        await sleeper.others_at_work("receipt")
        assert states(run) == ["queued"]
        await sleeper.admit(item(), None)
        (owner,) = look(run, "SELECT owner FROM item WHERE owner IS NOT NULL")[0]
        assert (owner,) in look(run, "SELECT id FROM owner")
    assert "the lease could not be renewed" in caplog.text


async def test_on_a_full_disk_answers_are_kept_beside_and_nothing_more_is_paid(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that the ledger cannot take is kept beside it, nothing more is sent, and its end brings it in."""
    full = Full("answered")
    async with opened(run, watch=full) as ledger:
        one, two = claimed(await ledger.admit(item("a"), None)), claimed(await ledger.admit(item("b"), None))
        await ledger.sending(one, "r1")
        await ledger.answered(one, "r1", ANSWER)
        errors: list[DiskFullError] = []
        for _ in range(2):
            with pytest.raises(DiskFullError, match="disk is full") as caught:
                await ledger.sending(two, "r2")
            errors.append(caught.value)
        assert errors[0] is not errors[1]
        assert answers(run) == []
        await ledger.settle(one, read("r1"))
        await ledger.settle(two, RELEASE)
        await ledger.recall(source("x"), "receipt")
    assert answers(run) == [ANSWER.body]
    assert states(run) == ["succeeded", "queued"]
    assert spills_in(run) == []
    assert "kept beside the ledger" in caplog.text
    async with opened(run) as ledger:
        assert (await ledger.admit(item("a"), None)).entry.answer == ANSWER


async def test_what_could_not_be_brought_in_is_by_the_next(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If the disk is full to the end, the file with the answers stays, and whoever opens the run next brings it in."""
    full = Full("answered", "close", "settled", "claim")
    async with opened(run, watch=full, process=gone()) as ledger:
        full.names.discard("claim")
        claim = claimed(await ledger.admit(item("a"), None))
        full.names.add("claim")
        await ledger.sending(claim, "r1")
        await ledger.answered(claim, "r1", ANSWER)
        with pytest.raises(DiskFullError):
            await ledger.admit(item("b"), None)
        await ledger.settle(claim, read("r1"))
    assert "was not closed in order" in caplog.text
    assert "not recorded yet" in caplog.text
    assert len(spills_in(run)) == 1
    async with opened(run) as ledger:
        assert (await ledger.admit(item("a"), None)).entry.answer == ANSWER
        assert len(spills_in(run)) == 1  # its own
    assert states(run) == ["succeeded"]
    assert spills_in(run) == []


@pytest.mark.parametrize(
    ("refused", "expected"),
    [({"maybe_billed_before": False}, ("queued", 0, 0)), ({"maybe_billed_before": True}, ("ambiguous", 1, 1))],
)
async def test_a_refusal_that_the_ledger_cannot_take_is_no_doubt(
    run: Path, refused: dict[str, bool], expected: tuple[str, int, int], caplog: pytest.LogCaptureFixture
) -> None:
    """A request that was refused on a full disk is kept as that beside the ledger; what was in doubt before stays."""
    full = Full()
    async with opened(run, watch=full, process=gone()) as ledger:
        claim = claimed(await ledger.admit(item(), None))
        await ledger.sending(claim, "r")
        if refused["maybe_billed_before"]:
            await ledger.maybe_billed(claim, "r")
            await ledger.sending(claim, "r")
        full.names = {"refused", "close"}
        await ledger.refused(claim, "r", **refused)
        with pytest.raises(DiskFullError):
            await ledger.sending(claim, "r")
    assert "that a call was not paid is kept beside the ledger" in caplog.text
    assert states(run) == ["sent"]
    async with opened(run):
        assert (*states(run), calls(run), perhaps(run)) == expected
    assert spills_in(run) == []


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Settlement(ItemEvent.RELEASE, request_id="r"), ("queued", 0, 0)),
        (Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 1.0, b'{"type": "RateLimitError"}', "r"), ("failed", 0, 0)),
        (Settlement(ItemEvent.FAIL, Billing.BILLED, 1.0, b'{"type": "RecognitionError"}', "r"), ("failed", 1, 0)),
        (Settlement(ItemEvent.SUCCEED, Billing.BILLED, 1.0, request_id="r"), ("succeeded", 1, 0)),
        (in_doubt(), ("ambiguous", 1, 1)),
    ],
)
async def test_an_end_that_the_ledger_cannot_take_is_kept(
    run: Path, verdict: Settlement, expected: tuple[str, int, int]
) -> None:
    """How a call ended is kept beside a full ledger, once, also where no answers are, and nothing more is sent."""
    full = Full()
    async with opened(run, watch=full, process=gone(), store="none") as ledger:
        claim, other = claimed(await ledger.admit(item("a"), None)), claimed(await ledger.admit(item("b"), None))
        await ledger.sending(claim, "r")
        full.names = {"settled", "close"}
        await ledger.settle(claim, verdict)
        with pytest.raises(DiskFullError):
            await ledger.sending(other, "s")
        with pytest.raises(DiskFullError):
            await ledger.settle(other, RELEASE)
    assert states(run) == ["sent", "claimed"]
    for _ in range(2):
        async with opened(run) as ledger:
            assert (states(run)[0], calls(run), perhaps(run)) == expected
            found = (await ledger.admit(item("a"), None)).entry
            assert found.failure == verdict.failure
            assert states(run)[1] == "queued"


async def test_nothing_is_paid_after_a_mark_that_could_not_be_made(run: Path) -> None:
    """Whatever keeps a doubt from being written down, the same call does not leave again: it would hide the doubt."""

    def locked(where: str) -> None:
        if where == "before commit of doubted":
            raise LedgerError("made up: locked")

    async with opened(run, watch=locked) as ledger:
        claim = claimed(await ledger.admit(item(), None))
        await ledger.sending(claim, "r")
        for mark in (ledger.maybe_billed(claim, "r"), ledger.sending(claim, "r")):
            with pytest.raises(LedgerError, match="made up"):
                await mark
    assert (states(run), calls(run), perhaps(run)) == (["ambiguous"], 1, 1)


@pytest.mark.parametrize("settled", ["settled", "released"])
async def test_nobody_waits_for_an_end_that_cannot_be_written_down(run: Path, settled: str) -> None:
    """Who waits for an image is woken, and told what is wrong, when its end cannot be written down."""
    full = Full()
    async with opened(run, watch=full) as ledger:
        claim = claimed(await ledger.admit(item(), None))
        entry = (await ledger.admit(item(), None)).entry
        waiting = asyncio.create_task(ledger.changed(entry))
        await ledger.sending(claim, "r")
        full.names = {settled}
        if settled == "settled":
            await ledger.settle(claim, in_doubt())
        else:
            admitting = asyncio.create_task(ledger.admit(item("b"), None))
            await asyncio.sleep(0)
            admitting.cancel()
            await asyncio.wait([admitting])
        await waiting
        with pytest.raises(DiskFullError):
            await ledger.changed(entry)


async def test_a_file_is_not_removed_before_its_answers_are_in(run: Path) -> None:
    """While bringing in the answers of a dead process fails, its file stays."""
    clock, full = Clock(), Full()
    dead = opened(run, process=elsewhere(), watch=Full("answered"), clock=Clock())
    await dead.__aenter__()
    claim = claimed(await dead.admit(item("a"), None))
    await dead.sending(claim, "r1")
    await dead.answered(claim, "r1", ANSWER)
    await crash(dead)
    async with opened(run, watch=full, process=elsewhere(), clock=clock) as ledger:
        full.names = {"look", "lease"}
        clock.now += LEASE + 1
        with pytest.raises(DiskFullError):
            await ledger.others_at_work("receipt")
        assert full.failed == ["lease", "look"]
        assert answers(run) == []
        full.names.clear()
        await ledger.others_at_work("receipt")
        assert answers(run) == [ANSWER.body]
        assert states(run) == ["succeeded"]
        clock.now += LEASE / 3
        await ledger.recall(source("x"), "receipt")
        assert len(spills_in(run)) == 1  # its own


async def test_an_answer_without_an_open_ledger_is_told(run: Path) -> None:
    """An answer that comes when the ledger is closed is told as not kept, and not lost in silence."""
    ledger = opened(run)
    async with ledger:
        claim = claimed(await ledger.admit(item(), None))
        await ledger.sending(claim, "r")
    with pytest.raises(DiskFullError, match="not open"):
        await ledger.answered(claim, "r", ANSWER)
    assert SpilledAnswer(1, "r", 200, None, b"canary", 1.0).item == 1


async def test_leaving_in_the_middle_is_doubt(run: Path) -> None:
    """What is under way when a ledger is closed is in doubt, and what only waited is free."""
    async with opened(run) as ledger:
        one, _ = claimed(await ledger.admit(item("a"), None)), claimed(await ledger.admit(item("b"), None))
        await ledger.sending(one, "r")
    assert states(run) == ["ambiguous", "queued"]
    assert (calls(run), perhaps(run)) == (1, 1)


async def test_nothing_personal_is_logged_or_stored_openly(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a seal, what an answer or an error says is in no file of the run and in no line of the log."""
    caplog.set_level(logging.DEBUG)
    async with opened(run, seal=AESGCMSeal(KEY)) as ledger:
        one, two = claimed(await ledger.admit(item("a"), None)), claimed(await ledger.admit(item("b"), None))
        await ledger.sending(one, "r1")
        await ledger.answered(one, "r1", ANSWER)
        await ledger.settle(two, Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 1.0, b"canaryERROR", None))
        files = contents(run)
        entry = (await ledger.admit(item("b"), None)).entry
        assert entry.failure == b"canaryERROR"
    files += contents(run)
    assert not any(b"canary" in file for file in files)
    assert "canary" not in caplog.text
    assert NotSentError().billing is Billing.NOT_BILLED


# ---------------------------------------------------------------------------------------------------------------------
# Services of a run that holds nothing yet


async def test_a_mistyped_host_can_be_corrected(run: Path) -> None:
    """A run whose calls all failed before they were billed takes the services that are given now, and keeps those."""
    async with opened(run) as ledger:
        await ledger.open_for(["typo.invalid"])
        claim = claimed(await ledger.admit(item(), source("a")))
        assert await ledger.sending(claim, "r")
        await ledger.refused(claim, "r", maybe_billed_before=False)
        await ledger.settle(claim, Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 0.1, b"{}"))
    async with opened(run) as ledger:
        await ledger.open_for(["ocr.example"])
    assert look(run, "SELECT value FROM run WHERE name = 'services'") == [(b'["ocr.example"]',)]


@pytest.mark.parametrize("answered", [False, True])
async def test_a_run_in_which_a_call_may_have_been_paid_keeps_its_services(run: Path, answered: bool) -> None:
    """A run with an answer, or with a call in doubt, is not worked on with other services."""
    async with opened(run) as ledger:
        await ledger.open_for(["local"])
        claim = claimed(await ledger.admit(item(), source("a")))
        assert await ledger.sending(claim, "r")
        if answered:
            await ledger.answered(claim, "r", ANSWER)
        await ledger.settle(claim, read("r") if answered else in_doubt("r"))
    with_local = "with a server on this machine or network, and the domains are of apigw.ntruss.com"
    async with opened(run) as ledger:
        with pytest.raises(LedgerError, match=with_local):
            await ledger.open_for(["apigw.ntruss.com"])


async def test_services_are_not_replaced_under_a_process_at_work(run: Path) -> None:
    """Another process that has the run open may be about to send, so its services hold although nothing is paid."""
    async with opened(run) as ledger:
        await ledger.open_for(["local"])
        async with opened(run, process=elsewhere()) as other:
            with pytest.raises(LedgerError, match="choose another run directory"):
                await other.open_for(["apigw.ntruss.com"])
