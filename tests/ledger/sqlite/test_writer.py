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
    """Writes down where the thread stands, and holds it before a commit while it is told to."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, where: str) -> None:
        """Note."""
        self.seen.append(where)
        assert self.go_on.wait(30)

    def commits(self) -> list[str]:
        """Return what was committed, with whom."""
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
    """Return work that puts a value down and returns it."""

    def work(db: sqlite3.Connection) -> object:
        db.execute("INSERT INTO kept VALUES (?)", (value,))
        return value

    return work


def fail(db: sqlite3.Connection) -> None:
    """Put something down, and fail."""
    db.execute("INSERT INTO kept VALUES ('wrong')")
    raise ZeroDivisionError("one's own")


def kept(path: Path) -> list[object]:
    """Return what is in the file."""
    db = sqlite3.connect(path)
    try:
        return [value for (value,) in db.execute("SELECT value FROM kept ORDER BY rowid")]
    finally:
        db.close()


async def held(writer: Writer, watch: Watch) -> asyncio.Future[object]:
    """Hold the writer in a commit, so that what is asked for next waits."""
    watch.go_on.clear()
    first = writer.submit(keep("first"), "first")
    await eventually(lambda: watch.seen)
    return first


async def test_what_waits_shares_one_commit(tmp_path: Path) -> None:
    """All that is asked for while a commit runs is in the next one, and each is told its own result after it."""
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


async def test_one_bad_order_harms_no_other(tmp_path: Path) -> None:
    """Who shares a commit with an order that fails is served, and the one that fails leaves nothing behind."""
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


async def test_what_sqlite_rolled_back_itself_is_an_error_like_another(tmp_path: Path) -> None:
    """An order whose failure ended the transaction already is told its own error, and the next one is served."""

    def work(db: sqlite3.Connection) -> None:
        db.execute("ROLLBACK")
        raise ZeroDivisionError

    async with writing(tmp_path / "db") as writer:
        with pytest.raises(ZeroDivisionError):
            await writer.submit(work, "bad")
        assert await writer.submit(keep(1), "good") == 1


async def test_durable_orders_are_committed_fully(tmp_path: Path) -> None:
    """What must survive a power cut is committed with synchronous FULL, also beside what need not; the rest is not."""
    levels: list[int] = []

    def look(db: sqlite3.Connection) -> None:
        levels.append(db.execute("PRAGMA synchronous").fetchone()[0])

    watch = Watch()
    async with writing(tmp_path / "db", watch) as writer:
        await writer.submit(look, "need not")
        await writer.submit(look, "must", durable=True)
        await writer.submit(look, "need not")
        await held(writer, watch)
        together = [writer.submit(look, "need not"), writer.submit(look, "must", durable=True)]
        watch.go_on.set()
        for one in together:
            await one
    assert levels == [1, 2, 1, 2, 2]


async def test_nobody_is_told_before_the_commit(tmp_path: Path) -> None:
    """A result is delivered when another connection can see it, and not before."""
    watch = Watch()
    async with writing(tmp_path / "db", watch) as writer:
        first = await held(writer, watch)
        assert kept(tmp_path / "db") == []
        assert not first.done()
        watch.go_on.set()
        await first
        assert kept(tmp_path / "db") == ["first"]


async def test_closing_drains(tmp_path: Path) -> None:
    """What was asked for before the end is done before the end."""
    watch = Watch()
    async with writing(tmp_path / "db", watch) as writer:
        await held(writer, watch)
        waiting = [writer.submit(keep(number), "many") for number in range(600)]  # more than one commit takes
        watch.go_on.set()
    assert all(one.done() for one in waiting)
    assert kept(tmp_path / "db") == ["first", *range(600)]
    assert threading.active_count() == len([one for one in threading.enumerate() if one.name != "clova-ocr-ledger"])


async def test_behind_the_end_nothing_is_asked_for(tmp_path: Path) -> None:
    """Before it is open and after its end nobody waits for a writer for ever: it says that it is closed."""
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


async def test_another_thread_waits_for_its_order(tmp_path: Path) -> None:
    """A thread without an event loop gets its result, or the error."""
    async with writing(tmp_path / "db") as writer:
        assert await asyncio.to_thread(writer.call, keep("x"), "call") == "x"
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(writer.call, fail, "call")
    assert kept(tmp_path / "db") == ["x"]


async def test_the_lease_is_renewed_between_orders(tmp_path: Path) -> None:
    """What must be done now and then is done in time, also if nobody asks for anything, and its failure is told."""
    now, told = [0.0], queue.SimpleQueue[Any]()
    ticks = iter(["renewed"])

    def tick(_: sqlite3.Connection) -> object:
        return next(ticks)

    async with writing(
        tmp_path / "db", clock=lambda: now[0], tick=Tick(5.0, tick, lambda *what: told.put(what))
    ) as writer:
        await writer.submit(keep(1), "early")
        assert told.empty()
        now[0] = 5.0
        await writer.submit(keep(2), "late")
        assert await asyncio.to_thread(told.get, timeout=10) == ("renewed", None)
        now[0] = 9.999
        await writer.submit(keep(3), "early")
        assert told.empty()
        now[0] = 10.0
        await writer.submit(keep(4), "late")
        result, error = await asyncio.to_thread(told.get, timeout=10)
        assert result is None
        assert isinstance(error, StopIteration)
        assert await writer.submit(keep(5), "after") == 5
    async with writing(tmp_path / "db", tick=Tick(0.001, keep("alone"), lambda *what: told.put(what))):
        pass
    assert told.empty()


async def test_a_lone_writer_looks_at_the_clock(tmp_path: Path) -> None:
    """A writer of which nobody asks anything wakes by itself when it is due."""
    now, told = iter([0.0, 0.0, 1.0, *[1.0] * 1000]), queue.SimpleQueue[Any]()
    async with writing(
        tmp_path / "db", clock=lambda: next(now), tick=Tick(0.01, keep("alone"), lambda *what: told.put(what))
    ):
        assert await asyncio.to_thread(told.get, timeout=10) == ("alone", None)


@pytest.mark.parametrize("fails", ["connect", "first"])
async def test_what_keeps_it_from_opening_is_raised(tmp_path: Path, fails: str) -> None:
    """What goes wrong while the file is opened comes out where it is opened, and no thread stays."""

    def connect() -> sqlite3.Connection:
        if fails == "connect":
            raise sqlite3.OperationalError("said by SQLite")
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
    """Who gives up while the file is opened leaves nothing running behind."""
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


async def test_a_thread_that_ends_lets_nobody_wait(tmp_path: Path) -> None:
    """If the thread itself fails, who waits and who comes later is told instead of waiting for ever."""
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
        assert len(found) == 300
        with pytest.raises(LedgerError, match="not open"):
            await writer.submit(keep("late"), "late")


async def test_a_defect_behind_the_lease_costs_no_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If what is told of the lease fails, that is logged, and what was asked for is done."""

    def ticked(_result: object, _error: object) -> None:
        raise ZeroDivisionError("a defect")

    now = [0.0]
    async with writing(tmp_path / "db", clock=lambda: now[0], tick=Tick(1.0, lambda _: None, ticked)) as writer:
        now[0] = 1.0
        assert await writer.submit(keep("x"), "x") == "x"
    assert "renewal of the lease failed" in caplog.text


def test_a_closed_loop_is_no_reason_to_stop(tmp_path: Path) -> None:
    """Orders whose event loop was closed meanwhile are done all the same, and nothing is raised in the thread."""
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


async def test_who_no_longer_waits_is_not_missed(tmp_path: Path) -> None:
    """An order is done also if whoever asked was cancelled meanwhile, alone or in company."""
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


async def test_a_locked_file_is_told_once_for_all(tmp_path: Path) -> None:
    """While another program keeps the file locked, all that waits fails after one wait, and is served later."""
    watch = Watch()
    async with writing(tmp_path / "db", watch, patience=0.1) as writer:
        await held(writer, watch)
        waiting = [writer.submit(keep(number), "many") for number in range(3)]
        other = sqlite3.connect(tmp_path / "db", isolation_level=None, timeout=10, check_same_thread=False)
        taken = asyncio.create_task(asyncio.to_thread(other.execute, "BEGIN IMMEDIATE"))
        watch.go_on.set()
        # Whoever is quicker: who waits is served, or told.
        results = await asyncio.wait(waiting)
        await taken
        told = [one.exception() for one in results[0]]
        late = writer.submit(keep("late"), "late")
        later = writer.submit(keep("late"), "late")
        for one in (late, later):
            with pytest.raises(LedgerError, match="locked; end it"):
                await one
        other.execute("ROLLBACK")
        other.close()
        assert await writer.submit(keep("again"), "again") == "again"
        assert all(error is None or "locked" in str(error) for error in told)


async def test_a_read_only_file_cannot_be_written(tmp_path: Path) -> None:
    """A file that may only be read is told as a disk that takes nothing."""
    async with writing(tmp_path / "db"):
        pass

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"file:{tmp_path / 'db'}?mode=ro", uri=True, isolation_level=None)

    async with writing(tmp_path / "db", connect=connect) as writer:
        with pytest.raises(DiskFullError, match="readonly"):
            await writer.submit(keep(1), "write")


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (sqlite3.SQLITE_FULL, DiskFullError, "make room"),
        (sqlite3.SQLITE_IOERR | 3 << 8, DiskFullError, "make room"),
        (sqlite3.SQLITE_READONLY, DiskFullError, "make room"),
        (sqlite3.SQLITE_CANTOPEN, DiskFullError, "make room"),
        (sqlite3.SQLITE_BUSY, LedgerError, "locked"),
        (sqlite3.SQLITE_LOCKED, LedgerError, "locked"),
        (sqlite3.SQLITE_CORRUPT, LedgerError, "damaged"),
        (sqlite3.SQLITE_NOTADB, LedgerError, "damaged"),
        (sqlite3.SQLITE_MISUSE, LedgerError, "cannot be used"),
    ],
)
def test_what_an_error_of_sqlite_means(code: int, kind: type[LedgerError], said: str) -> None:
    """An error of the file is told by what its user can do about it."""
    error = sqlite3.OperationalError("said by SQLite")
    error.sqlite_errorcode = code
    found = ledger_error(error)
    assert type(found) is kind
    assert said in str(found)
    assert type(ledger_error(sqlite3.ProgrammingError("without a number"))) is LedgerError


async def test_what_comes_from_another_thread_does_not_overtake(tmp_path: Path) -> None:
    """What was asked for in this turn of the loop is done before what is asked for behind it in any thread."""
    async with writing(tmp_path / "db") as writer:
        first = writer.submit(keep(1), "first")
        writer.call(keep(2), "second")
        await first
    assert kept(tmp_path / "db") == [1, 2]


async def test_the_lease_is_on_the_disk_before_what_follows_it(tmp_path: Path) -> None:
    """What the lease's tick brings in is synced when its end is told, since that removes it from beside the ledger."""
    now, levels, told = [0.0], list[int](), queue.SimpleQueue[Any]()

    def tick(db: sqlite3.Connection) -> None:
        levels.append(db.execute("PRAGMA synchronous").fetchone()[0])

    async with writing(
        tmp_path / "db", clock=lambda: now[0], tick=Tick(1.0, tick, lambda *what: told.put(what))
    ) as writer:
        now[0] = 1.0
        await writer.submit(keep(1), "one")
        await asyncio.to_thread(told.get, timeout=10)
    assert levels == [2]


async def test_what_waits_behind_a_lock_is_done_before_the_end(tmp_path: Path) -> None:
    """Orders that come while another program has the file locked are done when it is free, also if that is the end."""
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


async def test_what_is_urgent_does_not_wait_for_another_program(tmp_path: Path) -> None:
    """While the file is locked urgent orders fail soon, those in hand and those that come, and others are done."""
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
    """Hold a file's lock as another program does."""
    db = sqlite3.connect(path, isolation_level=None, timeout=10)
    db.execute("BEGIN IMMEDIATE")
    yield
    db.execute("ROLLBACK")
    db.close()
