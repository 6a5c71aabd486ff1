from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.ledgers import eventually

from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.ledger.sqlite.errors import LockTimeoutError, ledger_error
from clova_ocr_async.ledger.sqlite.lock_wait import LockWait
from clova_ocr_async.ledger.sqlite.writer import Tick, Writer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from pathlib import Path


NO_TICK = Tick(1.0, lambda _: None, lambda _result, _error: None)


class Watch:
    """Records the positions of the thread, and holds it before a commit while ``go_on`` is clear."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, where: str) -> None:
        """Record a position."""
        self.seen.append(where)
        assert self.go_on.wait(30)

    def commits(self) -> list[str]:
        """Return the names of the committed jobs."""
        return [where.removeprefix("after commit of ") for where in self.seen if where.startswith("after")]


@asynccontextmanager
async def writing(
    path: Path,
    watch: Watch | None = None,
    *,
    connect: Callable[[], sqlite3.Connection] | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    tick: Tick = NO_TICK,
    patience: float = 30.0,
) -> AsyncGenerator[Writer]:
    """Run a writer on a file with one table."""

    def connection() -> sqlite3.Connection:
        db = sqlite3.connect(path, isolation_level=None, timeout=0.05)
        db.execute("PRAGMA journal_mode = WAL")
        return db

    writer = Writer(
        connect or connection,
        tick=tick,
        clock=clock,
        watch=watch,
        lock_wait=LockWait(patience),
    )
    await writer.start(create)
    try:
        yield writer
    finally:
        await writer.stop()


def create(db: sqlite3.Connection) -> None:
    """Make the table."""
    db.execute("CREATE TABLE IF NOT EXISTS kept (value)")


def keep(value: object) -> Callable[[sqlite3.Connection], object]:
    """Return work that inserts a value and returns it."""

    def work(db: sqlite3.Connection) -> object:
        db.execute("INSERT INTO kept VALUES (?)", (value,))
        return value

    return work


def fail(db: sqlite3.Connection) -> None:
    """Insert a row, and fail."""
    db.execute("INSERT INTO kept VALUES ('wrong')")
    raise ZeroDivisionError("one's own")


def kept(path: Path) -> list[object]:
    """Return the values in the file."""
    db = sqlite3.connect(path)
    try:
        return [value for (value,) in db.execute("SELECT value FROM kept ORDER BY rowid")]
    finally:
        db.close()


async def held(writer: Writer, watch: Watch) -> asyncio.Future[object]:
    """Hold the writer in a commit, so that the next jobs wait."""
    watch.go_on.clear()
    first = writer.submit(keep("first"), "first")
    await eventually(lambda: watch.seen)
    return first


async def test_waiting_jobs_share_one_commit(tmp_path: Path) -> None:
    """All jobs that are queued during a commit share the next one, and each future gets its own result after it."""
    watch = Watch()
    async with writing(tmp_path / "db", watch) as writer:
        first = await held(writer, watch)
        waiting = [writer.submit(keep(number), "many") for number in range(50)]
        assert not first.done()
        watch.go_on.set()
        assert [await one for one in waiting] == list(range(50))
        assert await first == "first"
    assert watch.commits() == ["first", "many"]
    assert kept(tmp_path / "db") == ["first", *range(50)]


async def test_a_job_that_fails_harms_no_other(tmp_path: Path) -> None:
    """Jobs that share a commit with one that fails are done, and the failed one leaves nothing behind."""
    watch = Watch()
    async with writing(tmp_path / "db", watch) as writer:
        await held(writer, watch)
        before, bad, after = (
            writer.submit(keep(1), "good"),
            writer.submit(fail, "bad"),
            writer.submit(keep(2), "good"),
        )
        watch.go_on.set()
        assert (await before, await after) == (1, 2)
        with pytest.raises(ZeroDivisionError, match="one's own"):
            await bad
    assert kept(tmp_path / "db") == ["first", 1, 2]


async def test_a_rollback_by_sqlite_itself_is_an_error_like_any_other(tmp_path: Path) -> None:
    """A job whose failure has already ended the transaction raises its own error, and the next job is done."""

    def work(db: sqlite3.Connection) -> None:
        db.execute("ROLLBACK")
        raise ZeroDivisionError

    async with writing(tmp_path / "db") as writer:
        with pytest.raises(ZeroDivisionError):
            await writer.submit(work, "bad")
        assert await writer.submit(keep(1), "good") == 1


async def test_durable_jobs_are_committed_with_synchronous_full(tmp_path: Path) -> None:
    """A durable job is committed with synchronous FULL, also together with others; without one it is NORMAL."""
    levels: list[int] = []

    def query(db: sqlite3.Connection) -> None:
        levels.append(db.execute("PRAGMA synchronous").fetchone()[0])

    watch = Watch()
    async with writing(tmp_path / "db", watch) as writer:
        await writer.submit(query, "need not")
        await writer.submit(query, "must", durable=True)
        await writer.submit(query, "need not")
        await held(writer, watch)
        together = [writer.submit(query, "need not"), writer.submit(query, "must", durable=True)]
        watch.go_on.set()
        for one in together:
            await one
    assert levels == [1, 2, 1, 2, 2]


async def test_no_result_is_delivered_before_the_commit(tmp_path: Path) -> None:
    """A result is delivered once another connection can see it, and not before."""
    watch = Watch()
    async with writing(tmp_path / "db", watch) as writer:
        first = await held(writer, watch)
        assert kept(tmp_path / "db") == []
        assert not first.done()
        watch.go_on.set()
        await first
        assert kept(tmp_path / "db") == ["first"]


async def test_closing_drains(tmp_path: Path) -> None:
    """Jobs that were queued before the writer is stopped are done before it ends."""
    watch = Watch()
    async with writing(tmp_path / "db", watch) as writer:
        await held(writer, watch)
        waiting = [writer.submit(keep(number), "many") for number in range(600)]  # more than one commit takes
        watch.go_on.set()
    assert all(one.done() for one in waiting)
    assert kept(tmp_path / "db") == ["first", *range(600)]
    assert threading.active_count() == len([one for one in threading.enumerate() if one.name != "clova-ocr-ledger"])


async def test_a_closed_writer_refuses_jobs(tmp_path: Path) -> None:
    """A job that is submitted before the start or after the end fails at once with an error that names the context."""
    writer = Writer(lambda: sqlite3.connect(":memory:"), tick=NO_TICK, clock=float)
    with pytest.raises(LedgerError, match="not open"):
        await writer.submit(keep(1), "too early")
    await writer.stop()
    async with writing(tmp_path / "db") as writer:
        pass
    with pytest.raises(LedgerError, match="not open"):
        await writer.submit(keep(1), "too late")
    with pytest.raises(LedgerError, match="not open"):
        writer.call(keep(1), "too late")


async def test_another_thread_waits_for_its_job(tmp_path: Path) -> None:
    """A thread without an event loop gets its result, or the error."""
    async with writing(tmp_path / "db") as writer:
        assert await asyncio.to_thread(writer.call, keep("x"), "call") == "x"
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(writer.call, fail, "call")
    assert kept(tmp_path / "db") == ["x"]


async def test_the_tick_comes_when_it_is_due(tmp_path: Path) -> None:
    """The tick runs before the first job after it is due, and not earlier; its result or its error is passed on."""
    now, received = [0.0], queue.SimpleQueue[Any]()
    ticks = iter(["renewed"])

    def tick(_: sqlite3.Connection) -> object:
        return next(ticks)

    async with writing(
        tmp_path / "db", clock=lambda: now[0], tick=Tick(5.0, tick, lambda *what: received.put(what))
    ) as writer:
        await writer.submit(keep(1), "early")
        assert received.empty()
        now[0] = 5.0
        await writer.submit(keep(2), "late")
        assert await asyncio.to_thread(received.get, timeout=10) == ("renewed", None)
        now[0] = 9.999
        await writer.submit(keep(3), "early")
        assert received.empty()
        now[0] = 10.0
        await writer.submit(keep(4), "late")
        result, error = await asyncio.to_thread(received.get, timeout=10)
        assert result is None
        assert isinstance(error, StopIteration)
        assert await writer.submit(keep(5), "after") == 5
    async with writing(tmp_path / "db", tick=Tick(0.001, keep("alone"), lambda *what: received.put(what))):
        pass
    assert received.empty()


async def test_an_idle_writer_ticks(tmp_path: Path) -> None:
    """A writer without jobs wakes by itself when the tick is due."""
    now, received = iter([0.0, 0.0, 1.0, *[1.0] * 1000]), queue.SimpleQueue[Any]()
    async with writing(
        tmp_path / "db", clock=lambda: next(now), tick=Tick(0.01, keep("alone"), lambda *what: received.put(what))
    ):
        assert await asyncio.to_thread(received.get, timeout=10) == ("alone", None)


@pytest.mark.parametrize("fails", ["connect", "first"])
async def test_an_error_of_the_opening_is_raised(tmp_path: Path, fails: str) -> None:
    """An error while the file is opened is raised from start, and no thread stays."""

    def connect() -> sqlite3.Connection:
        if fails == "connect":
            raise sqlite3.OperationalError("from SQLite")
        return sqlite3.connect(tmp_path / "db")

    def first(db: sqlite3.Connection) -> None:
        db.execute("nonsense")

    writer = Writer(connect, tick=NO_TICK, clock=float)
    with pytest.raises(LedgerError, match="cannot be used"):
        await writer.start(first)
    with pytest.raises(LedgerError, match="not open"):
        await writer.submit(keep(1), "never")
    assert all(one.name != "clova-ocr-ledger" for one in threading.enumerate())


async def test_an_opening_that_is_cancelled_leaves_no_thread(tmp_path: Path) -> None:
    """A start that is cancelled while the file is opened leaves no thread."""
    reached, go_on = threading.Event(), threading.Event()

    def connect() -> sqlite3.Connection:
        reached.set()
        assert go_on.wait(10)
        return sqlite3.connect(tmp_path / "db")

    writer = Writer(connect, tick=NO_TICK, clock=float)
    opening = asyncio.create_task(writer.start(keep))
    await asyncio.to_thread(reached.wait, 10)
    opening.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert all(one.name != "clova-ocr-ledger" for one in threading.enumerate())


async def test_a_thread_that_fails_ends_all_waits(tmp_path: Path) -> None:
    """If the thread itself fails, waiting jobs and later ones fail instead of waiting for ever."""
    broken = False

    def clock() -> float:
        if broken:
            raise ZeroDivisionError("a defect")
        return 0.0

    watch = Watch()
    async with writing(tmp_path / "db", watch, clock=clock) as writer:
        await writer.submit(keep("x"), "x")
        await asyncio.sleep(0.01)  # until the thread waits, having looked at the clock
        broken = True
        waiting = [writer.submit(keep("z"), "z") for _ in range(300)]
        found, _ = await asyncio.wait(waiting, timeout=10)
        assert len([one for one in found if isinstance(one.exception(), LedgerError)]) == 300
        with pytest.raises(LedgerError, match="not open"):
            await writer.submit(keep("late"), "late")


async def test_a_defect_behind_the_tick_costs_no_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If the function that receives the tick's result fails, that is logged, and the jobs are done."""

    def ticked(_result: object, _error: object) -> None:
        raise ZeroDivisionError("a defect")

    now = [0.0]
    async with writing(tmp_path / "db", clock=lambda: now[0], tick=Tick(1.0, lambda _: None, ticked)) as writer:
        now[0] = 1.0
        assert await writer.submit(keep("x"), "x") == "x"
    assert "renewal of the lease failed" in caplog.text


def test_a_closed_event_loop_stops_nothing(tmp_path: Path) -> None:
    """Jobs whose event loop was closed meanwhile are done all the same, and nothing is raised in the thread."""
    watch = Watch()

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(tmp_path / "db", isolation_level=None)

    writer = Writer(connect, tick=NO_TICK, clock=float, watch=watch)

    async def leave() -> None:
        await writer.start(create)
        await held(writer, watch)
        for work in (keep("many"), keep("many"), fail):
            writer.submit(work, "many")

    asyncio.run(leave())
    watch.go_on.set()
    assert writer.call(keep("from another thread"), "call") == "from another thread"
    asyncio.run(writer.stop())
    assert kept(tmp_path / "db") == ["first", "many", "many", "from another thread"]


async def test_a_cancelled_wait_does_not_cancel_the_job(tmp_path: Path) -> None:
    """A job is done also if its waiter was cancelled meanwhile, alone or together with others."""
    watch = Watch()
    async with writing(tmp_path / "db", watch) as writer:
        (await held(writer, watch)).cancel()
        waiting = [writer.submit(keep(1), "many"), writer.submit(keep(2), "many")]
        waiting[0].cancel()
        bad = writer.submit(fail, "bad")
        bad.cancel()
        watch.go_on.set()
        assert await waiting[1] == 2
    assert kept(tmp_path / "db") == ["first", 1, 2]


async def test_all_jobs_wait_together_for_a_locked_file(tmp_path: Path) -> None:
    """While another program keeps the file locked, all waiting jobs fail after one wait, and later ones are done."""
    watch = Watch()
    async with writing(tmp_path / "db", watch, patience=0.1) as writer:
        await held(writer, watch)
        waiting = [writer.submit(keep(number), "many") for number in range(3)]
        other = sqlite3.connect(tmp_path / "db", isolation_level=None, timeout=10, check_same_thread=False)
        taken = asyncio.create_task(asyncio.to_thread(other.execute, "BEGIN IMMEDIATE"))
        watch.go_on.set()
        # Either may be quicker: the jobs are done, or fail.
        results = await asyncio.wait(waiting)
        await taken
        received = [one.exception() for one in results[0]]
        late = writer.submit(keep("late"), "late")
        later = writer.submit(keep("late"), "late")
        for one in (late, later):
            with pytest.raises(LedgerError, match="locked; end it"):
                await one
        other.execute("ROLLBACK")
        other.close()
        assert await writer.submit(keep("again"), "again") == "again"
        assert all(error is None or "locked" in str(error) for error in received)


async def test_a_read_only_file_counts_as_a_full_disk(tmp_path: Path) -> None:
    """A file that may only be read raises the error of a full disk."""
    async with writing(tmp_path / "db"):
        pass

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"file:{tmp_path / 'db'}?mode=ro", uri=True, isolation_level=None)

    async with writing(tmp_path / "db", connect=connect) as writer:
        with pytest.raises(DiskFullError, match="readonly"):
            await writer.submit(keep(1), "write")


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (sqlite3.SQLITE_FULL, DiskFullError, "make room"),
        (sqlite3.SQLITE_IOERR | 3 << 8, DiskFullError, "make room"),
        (sqlite3.SQLITE_READONLY, DiskFullError, "; let your user write to the run directory"),
        (sqlite3.SQLITE_CANTOPEN, DiskFullError, "make room on its disk, and let your user write"),
        (sqlite3.SQLITE_BUSY, LedgerError, "locked"),
        (sqlite3.SQLITE_LOCKED, LedgerError, "locked"),
        (sqlite3.SQLITE_CORRUPT, LedgerError, "damaged"),
        (sqlite3.SQLITE_NOTADB, LedgerError, "damaged"),
        (sqlite3.SQLITE_MISUSE, LedgerError, "cannot be used"),
    ],
)
def test_errors_of_sqlite_name_the_way_out(code: int, kind: type[LedgerError], text: str) -> None:
    """An error of SQLite becomes the ledger's error that names the way out."""
    error = sqlite3.OperationalError("from SQLite")
    error.sqlite_errorcode = code
    found = ledger_error(error)
    assert type(found) is kind
    assert text in str(found)
    assert type(ledger_error(sqlite3.ProgrammingError("without a number"))) is LedgerError


async def test_jobs_of_all_threads_keep_their_order(tmp_path: Path) -> None:
    """A job is done before those that were queued after it, in whatever thread."""
    async with writing(tmp_path / "db") as writer:
        first = writer.submit(keep(1), "first")
        writer.call(keep(2), "second")
        await first
    assert kept(tmp_path / "db") == [1, 2]


async def test_the_tick_is_durable(tmp_path: Path) -> None:
    """The tick is on the disk when its result is passed on, since replayed overflow files are deleted then."""
    now, levels, received = [0.0], list[int](), queue.SimpleQueue[Any]()

    def tick(db: sqlite3.Connection) -> None:
        levels.append(db.execute("PRAGMA synchronous").fetchone()[0])

    async with writing(
        tmp_path / "db", clock=lambda: now[0], tick=Tick(1.0, tick, lambda *what: received.put(what))
    ) as writer:
        now[0] = 1.0
        await writer.submit(keep(1), "one")
        await asyncio.to_thread(received.get, timeout=10)
    assert levels == [2]


async def test_jobs_behind_a_lock_are_done_before_the_end(tmp_path: Path) -> None:
    """Jobs that are queued while another program has the file locked are done once it is free, also after a stop."""
    async with writing(tmp_path / "db") as writer:
        with locked(tmp_path / "db"):
            first = writer.submit(keep(1), "first")
            await asyncio.sleep(0.02)
            later = writer.submit(keep(2), "later")
            await asyncio.sleep(0)
            stopping = asyncio.create_task(writer.stop())
            await asyncio.sleep(0.1)
        await stopping
        assert (await first, await later) == (1, 2)
    assert kept(tmp_path / "db") == [1, 2]


async def test_urgent_jobs_do_not_wait_for_another_program(tmp_path: Path) -> None:
    """While the file is locked urgent jobs fail soon, waiting and new ones, and the others are done later."""
    async with writing(tmp_path / "db") as writer:
        with locked(tmp_path / "db"):
            waiting = writer.submit(keep("patient"), "patient")
            for value in (1, 2):
                urgent = writer.submit(keep(value), "urgent", urgent=True)
                with pytest.raises(LockTimeoutError):
                    await urgent
            assert not waiting.done()
        assert await waiting == "patient"
        assert await writer.submit(keep(3), "urgent", urgent=True) == 3
    assert kept(tmp_path / "db") == ["patient", 3]


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Hold a file's lock, as another program does."""
    db = sqlite3.connect(path, isolation_level=None, timeout=10)
    db.execute("BEGIN IMMEDIATE")
    yield
    db.execute("ROLLBACK")
    db.close()
