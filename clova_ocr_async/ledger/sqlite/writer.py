"""The one thread of a process that writes to the ledger, with group commit.

Glossary:
    Job: work for one transaction, with a function that receives the result or the error.
    Group commit: all jobs that wait when a transaction begins are in it, so that they share one sync of the disk.
    Durable: on the disk, and not only in the operating system's cache, when the result is delivered.
    Urgent: a job with a paid answer. It fails soon while another program keeps the file locked; its answer then goes to
        the overflow file.
    Tick: work that is due at fixed intervals: the renewal of the lease.

A commit that is on the disk costs milliseconds, and many workers wait for theirs at once. No job waits for others to
come, though: the thread takes all jobs there are into one transaction, and the time that this takes is the window in
which the next one fills. So one worker waits for its own commit, and sixty-four wait for one together.

While another program keeps the file locked, all jobs wait together (``lock_wait``).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from clova_ocr_async.host.tasks import wait_shielded
from clova_ocr_async.ledger.sqlite.errors import LockTimeoutError, ledger_error
from clova_ocr_async.ledger.sqlite.forks import ForkGuard
from clova_ocr_async.ledger.sqlite.jobs import Deliver, Job, JobQueue, deliver_to
from clova_ocr_async.ledger.sqlite.lock_wait import LockWait

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Tick", "Writer"]

logger = logging.getLogger("clova_ocr_async")

T = TypeVar("T")

_GRACE = 0.5  # seconds that another program may keep the file locked before urgent jobs fail


@dataclass(frozen=True, slots=True)
class Tick:
    """Work that the thread does at fixed intervals.

    Attributes:
        every: Seconds between two ticks.
        work: Does it, on the connection and in a transaction.
        after: Called in the thread with the result once it is committed, or with the error.
    """

    every: float
    work: Callable[[sqlite3.Connection], Any]
    after: Deliver


class Writer:
    """A thread that does jobs on a connection of its own.

    Args:
        connect: Opens the connection, in the thread.
        tick: What is done at intervals.
        clock: Returns seconds that only grow.
        watch: Called in the thread with its position, "before commit of …" and "after commit of …"; for tests that kill
            the process there.
        database: The ledger's file, to name the process that keeps it locked.
        after_fork: Called in the child of a fork, in which the thread is gone.
        lock_wait: Waits while other programs keep the file locked.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        *,
        tick: Tick,
        clock: Callable[[], float],
        watch: Callable[[str], object] | None = None,
        database: Path | None = None,
        after_fork: Callable[[], object] = lambda: None,
        lock_wait: LockWait | None = None,
    ) -> None:
        self._connect = connect
        self._tick = tick
        self._due = clock() + tick.every
        self._clock = clock
        self._watch = watch
        self._database = database
        self._lock_wait = lock_wait or LockWait()
        self._jobs = JobQueue()
        self._current: list[Job] = []  # in the transaction that runs
        self._thread: threading.Thread | None = None
        self._guard = ForkGuard(partial(self._close_after_fork, after_fork))

    # -----------------------------------------------------------------------------------------------------------------
    # For the event loop, and for other threads

    async def start(
        self,
        first: Callable[[sqlite3.Connection], T],
        undo: Callable[[sqlite3.Connection], object] = lambda _: None,
    ) -> T:
        """Open the connection, and do something on it outside any transaction.

        Args:
            first: Does it; it must leave nothing behind if it is locked out.
            undo: Undoes it, in a transaction, if the start is cancelled.
        """
        opened: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        arguments = (first, deliver_to(opened))
        self._thread = threading.Thread(target=self._run, args=arguments, name="clova-ocr-ledger", daemon=True)
        self._jobs.open()
        self._thread.start()
        try:
            return await opened
        except BaseException:
            self._lock_wait.give_up()
            self._jobs.put(Job(undo, "undo", lambda _result, _error: None, durable=True))
            await self.stop()
            raise

    def submit(
        self, work: Callable[[sqlite3.Connection], T], name: str, *, durable: bool = False, urgent: bool = False
    ) -> asyncio.Future[T]:
        """Queue a job; the future has its result once it is committed.

        Args:
            work: Does it, in the thread and in a transaction.
            name: Appears in the ``watch`` calls.
            durable: Whether it must be on the disk when the future has its result.
            urgent: Whether it fails with a LockTimeoutError rather than wait long for another program.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put(Job(work, name, deliver_to(done), durable, urgent))
        return done

    def call(self, work: Callable[[sqlite3.Connection], T], name: str) -> T:
        """Queue a job from another thread, and wait for it."""
        done = threading.Event()
        delivered: list[Any] = []

        def deliver(result: Any, error: BaseException | None) -> None:
            delivered.extend((result, error))
            done.set()

        self._jobs.put(Job(work, name, deliver))
        done.wait()
        result, error = delivered[:2]
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]  # the work's own

    def tick_soon(self) -> None:
        """Have the tick come before the next job."""
        self._due = self._clock()

    async def stop(self) -> None:
        """End the thread once all queued jobs are done."""
        self._jobs.end()
        if self._thread is not None:
            # Shielded from cancellation: the caller removes afterwards what the thread uses.
            await wait_shielded(asyncio.get_running_loop().run_in_executor(None, self._thread.join))

    def _close_after_fork(self, after_fork: Callable[[], object]) -> None:
        self._thread = None
        self._jobs.after_fork()
        after_fork()

    # -----------------------------------------------------------------------------------------------------------------
    # In the thread

    def _run(self, first: Callable[[sqlite3.Connection], Any], deliver: Deliver) -> None:
        try:
            db = self._guard.connection = self._locking(self._connect)
        except BaseException as error:  # noqa: BLE001 - raised in start
            self._jobs.refuse_all()
            deliver(None, self._translated(error))
            return
        try:
            deliver(self._locking(partial(first, db)), None)
            self._serve(db)
        except BaseException as error:  # noqa: BLE001 - raised in start
            deliver(None, self._translated(error))
        finally:
            with self._guard:
                db.close()
            self._guard.connection = None
            self._jobs.refuse_all(self._current)

    def _serve(self, db: sqlite3.Connection) -> None:
        while not self._jobs.ended or self._jobs.waiting:
            self._current = self._jobs.take(max(self._due - self._clock(), 0.0))
            # Before the jobs: a process that slept past its lease gets a new owner id, and must claim with that.
            if self._clock() >= self._due:
                self._due = self._clock() + self._tick.every
                self._do_tick(db)
            if self._current:
                self._do_all(db, self._current)
            self._current = []

    def _do_tick(self, db: sqlite3.Connection) -> None:
        # Durable: overflow files that it replays are deleted once it is committed.
        tick = Job(self._tick.work, "lease", self._tick.after, durable=True)
        try:
            self._do_all(db, [tick])
        except Exception:  # a defect there must cost no job its result
            logger.exception("what follows the renewal of the lease failed")

    def _do_all(self, db: sqlite3.Connection, jobs: list[Job]) -> None:
        """Do jobs in one transaction; if one fails, do each in its own."""
        try:
            self._locking(partial(_begin, db, durable=any(job.durable for job in jobs)))
        except sqlite3.Error as error:  # no job is the cause, and each alone would wait as long again
            for job in jobs:
                job.deliver(None, self._translated(error))
            return
        jobs = [job for job in jobs if not job.abandoned]
        try:
            with self._guard:
                self._commit(db, jobs)
        except BaseException as error:  # noqa: BLE001 - delivered to the job that caused it
            if len(jobs) > 1:  # one of them failed, and the others must not fail with it
                for job in jobs:
                    self._do_all(db, [job])
                return
            for job in jobs:
                job.deliver(None, self._translated(error))
            return
        for job in jobs:
            job.deliver(job.result, None)

    def _commit(self, db: sqlite3.Connection, jobs: list[Job]) -> None:
        try:
            for job in jobs:
                job.result = job.work(db)
            self._call_watch("before", jobs)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # on a full disk SQLite has ended it itself
                db.execute("ROLLBACK")
            raise
        self._call_watch("after", jobs)

    def _call_watch(self, when: str, jobs: list[Job]) -> None:
        if self._watch is not None:
            for name in sorted({job.name for job in jobs}):
                self._watch(f"{when} commit of {name}")

    def _locking(self, attempt: Callable[[], T]) -> T:
        """Do something that needs the lock; outside of SQLite between two tries, so that a fork need not wait."""

        def guarded() -> T:
            with self._guard:
                return attempt()

        return self._lock_wait.run(guarded, self._while_locked)

    def _while_locked(self, error: sqlite3.Error) -> None:
        """Fail the urgent jobs, those included that are queued meanwhile, once the grace is over."""
        if self._lock_wait.waited < _GRACE:
            return
        self._jobs.collect()
        for job in (*self._current, *self._jobs.waiting):
            if job.urgent and not job.abandoned:
                job.abandoned = True
                job.deliver(None, LockTimeoutError(str(error)))

    def _translated(self, error: BaseException) -> BaseException:
        return ledger_error(error, self._database) if isinstance(error, sqlite3.Error) else error


def _begin(db: sqlite3.Connection, *, durable: bool) -> None:
    db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    db.execute("BEGIN IMMEDIATE")
