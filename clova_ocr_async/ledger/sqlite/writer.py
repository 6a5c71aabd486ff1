"""The one thread that writes: what is asked for while a commit runs shares the next one.

A commit that is on the disk costs milliseconds, and many workers wait for theirs at once. Nobody waits for company,
though: the thread takes whatever has been asked for by now into one transaction, and the time that takes is the window
in which the next one fills. So a lone worker waits for its own commit, and sixty-four of them for one together.

What costs is not SQLite but going to and fro between threads: every statement lets go of the interpreter, and has to
wait for it. So what is asked for in one turn of the loop is handed over at its end, and orders of one kind in one
transaction are done together, by as few statements as that takes.

While another program keeps the file locked, orders wait together, with one patience for all of them (``lock_wait``).
Those that carry what was paid for wait only as long as an ordinary commit of another process may take: then they fail
by a StalledError, and are kept beside the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.tasks import wait_shielded
from clova_ocr_async.ledger.sqlite.errors import StalledError, ledger_error
from clova_ocr_async.ledger.sqlite.forks import ForkGuard
from clova_ocr_async.ledger.sqlite.jobs import Delivery, Order, alike, alone, deliver_all, unheard
from clova_ocr_async.ledger.sqlite.lock_wait import LockWait

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["StalledError", "Writer", "ledger_error"]

logger = logging.getLogger("clova_ocr_async")

T = TypeVar("T")
W = TypeVar("W")

_MOST_AT_ONCE = 256
_GRACE = 0.5  # seconds that another program may keep the file locked before what is urgent goes elsewhere
_LAZINESS = 0.05  # seconds that what nobody waits for may wait for company


class Writer:
    """Does what it is asked on a connection of its own.

    Args:
        connect: Opens the connection, in the thread.
        tick: Called in the thread, in a transaction, whenever ``every`` seconds have passed.
        ticked: Told when that is committed, or the error.
        every: Seconds.
        watch: Told where the thread stands: "before commit of …", "after commit of …"; for tests that kill it there.
        clock: Returns seconds that only grow.
        database: The ledger's file, to name the process that keeps it locked.
        forked: Called in a child after a fork, when the thread is gone.
        lock_wait: How long other programs may keep the file locked.
    """

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        connect: Callable[[], sqlite3.Connection],
        *,
        tick: Callable[[sqlite3.Connection], object],
        ticked: Callable[[Any, BaseException | None], object],
        every: float,
        watch: Callable[[str], object] | None,
        clock: Callable[[], float],
        database: Path | None = None,
        forked: Callable[[], object] = lambda: None,
        lock_wait: LockWait | None = None,
    ) -> None:
        self._connect = connect
        self._tick = tick
        self._ticked = ticked
        self._every = every
        self._watch = watch
        self._clock = clock
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._turn: list[Order] = []  # asked for in this turn of the loop
        self._in_hand: list[Order] = []
        self._next: list[Order] = []  # for the transaction after this one
        self._over = False
        self._synchronous = ""
        self._thread: threading.Thread | None = None
        self._closed_since = "the ledger is not open; use it inside its context: async with"
        self._gate = threading.Lock()  # so that nothing is asked for behind the end
        self._open = False
        self._due = clock() + every
        self._database = database
        self._forked = forked
        self._lock_wait = lock_wait or LockWait()
        self._guard = ForkGuard(self._after_fork)

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
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[T] = loop.create_future()
        arguments = (first, Delivery(loop, opened))
        self._thread = threading.Thread(target=self._run, args=arguments, name="clova-ocr-ledger", daemon=True)
        self._open = True
        self._thread.start()
        try:
            return await opened
        except BaseException:
            self._lock_wait.give_up()
            self._orders.put(Order(alone, undo, durable=True, deliver=unheard, name="undo"))
            await self.stop()
            raise

    def _run(self, first: Callable[[sqlite3.Connection], Any], told: Delivery) -> None:
        try:
            db = self._guard.connection = self._locking(self._connect)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            self._refuse_the_rest()
            told(None, self._translated(error))
            return
        try:
            told(self._locking(partial(first, db)), None)
            self._serve(db)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            told(None, self._translated(error))
        finally:
            with self._guard:
                db.close()
            self._guard.connection = None
            self._refuse_the_rest()

    def _locking(self, attempt: Callable[[], T]) -> T:
        """Do something that needs the lock; outside of SQLite between two tries, so that a fork need not wait."""

        def guarded() -> T:
            with self._guard:
                return attempt()

        return self._lock_wait.run(guarded, self._while_locked)

    def _while_locked(self, error: sqlite3.Error) -> None:
        """Let go of the orders that do not wait long for another program, those included that come meanwhile."""
        if self._lock_wait.waited < _GRACE:
            return
        with contextlib.suppress(queue.Empty):
            while True:
                order = self._orders.get_nowait()
                self._over = self._over or order is None
                self._next += [] if order is None else [order]
        for order in (*self._in_hand, *self._next):
            if order.urgent and not order.given_up:
                order.given_up = True
                order.deliver(None, StalledError(str(error)))

    def tick_soon(self) -> None:
        """Have the tick come before whatever is asked for next."""
        self._due = self._clock()

    def _after_fork(self) -> None:
        self._open, self._thread, self._gate = False, None, threading.Lock()
        self._closed_since = "the ledger was opened before this process was forked; open it anew in each process"
        self._forked()

    def submit(
        self, work: Callable[[sqlite3.Connection], T], name: str, *, durable: bool = False, lazy: bool = False
    ) -> asyncio.Future[T]:
        """Ask for something; the future has its result once it is committed.

        Args:
            work: Does it, in the thread and in a transaction.
            name: What it is called where the thread is watched.
            durable: Whether it must be on the disk by then.
            lazy: Whether it may wait a moment for others to share a commit with.
        """
        return self.submit_alike(alone, work, name, durable=durable, lazy=lazy)

    def submit_alike(
        self,
        work: Callable[[sqlite3.Connection, list[W]], Sequence[T]],
        what: W,
        name: str,
        *,
        durable: bool = False,
        lazy: bool = False,
        urgent: bool = False,
    ) -> asyncio.Future[T]:
        """Ask for something that is done together with what else is asked of the same work.

        What is asked of one work may so be done before what was asked of another one earlier, in the same transaction:
        never ask for two things about one item without waiting for the first.

        Args:
            work: Does all of it, in the thread and in a transaction; returns the results, in the same order.
            what: What it is about.
            name: What it is called where the thread is watched.
            durable: Whether it must be on the disk when the future has its result.
            lazy: Whether it may wait a moment for others to share a commit with.
            urgent: Whether it fails by a StalledError rather than wait long for another program.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        with self._gate:
            if not self._turn:
                loop.call_soon(self._hand_over)
            self._turn.append(Order(work, what, durable, Delivery(loop, done), name, lazy, urgent))
        return done

    def _hand_over(self) -> None:
        """Give the thread what was asked for in this turn."""
        with self._gate:
            orders, self._turn = self._turn, []
            if self._open:
                for order in orders:
                    self._orders.put(order)
                return
        for order in orders:
            order.deliver(None, self._closed())

    def call(self, work: Callable[[sqlite3.Connection], T], name: str) -> T:
        """Ask for something from another thread, and wait for it."""
        done = threading.Event()
        came: list[Any] = []

        def deliver(result: Any, error: BaseException | None) -> None:
            came.extend((result, error))
            done.set()

        with self._gate:
            self._turn.append(Order(alone, work, durable=False, deliver=deliver, name=name))
        self._hand_over()
        done.wait()
        result, error = came
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]  # the work's own

    async def stop(self) -> None:
        """End the thread when all is done that was asked for."""
        self._hand_over()
        with self._gate:
            self._open = False
            self._orders.put(None)
        if self._thread is not None:
            # To its end, whoever cancels: what the thread uses is taken away behind this.
            await wait_shielded(asyncio.get_running_loop().run_in_executor(None, self._thread.join))

    def _refuse_the_rest(self) -> None:
        """Let nobody wait for a thread that has ended."""
        with self._gate:
            self._open = False
        left: list[Order | None] = [*self._in_hand, *self._next]
        with contextlib.suppress(queue.Empty):
            while True:
                left.append(self._orders.get_nowait())
        for order in left:
            if order is not None:
                order.deliver(None, self._closed())

    def _serve(self, db: sqlite3.Connection) -> None:
        while not self._over or self._next:
            self._in_hand = self._gathered()
            if self._clock() >= self._due:  # before the orders: whoever slept must know who it is when it claims
                self._due = self._clock() + self._every
                self._renew(db)
            if self._in_hand:
                self._fulfil(db, self._in_hand)
            self._in_hand = []

    def _renew(self, db: sqlite3.Connection) -> None:
        try:
            # Durable: what it brings in of others is removed from beside the ledger when it is committed.
            self._fulfil(db, [Order(alone, self._tick, durable=True, deliver=self._ticked, name="lease")])
        except Exception:
            logger.exception("what follows the renewing of the lease failed")  # which must cost no order its answer

    def _gathered(self) -> list[Order]:
        """Return what has been asked for, and note whether that was all."""
        orders, self._next = self._next, []
        patience, lazy = 0.0 if orders else max(self._due - self._clock(), 0.0), not orders
        try:
            while len(orders) < _MOST_AT_ONCE:
                order = self._orders.get(timeout=patience)
                if order is None:
                    self._over = True
                    break
                orders.append(order)
                lazy = lazy and order.lazy
                patience = _LAZINESS if lazy else 0.0
        except queue.Empty:
            pass
        return orders

    def _fulfil(self, db: sqlite3.Connection, orders: list[Order]) -> None:
        try:
            self._locking(partial(self._begin, db, durable=any(order.durable for order in orders)))
        except sqlite3.Error as error:  # nobody is to blame, and each would wait as long again
            for order in orders:
                order.deliver(None, self._translated(error))
            return
        orders = [order for order in orders if not order.given_up]
        try:
            with self._guard:
                self._commit(db, orders)
        except BaseException as error:  # noqa: BLE001 - told to whoever asked
            if len(orders) > 1:  # one of them is to blame, and the others must not pay for it
                for order in orders:
                    self._fulfil(db, [order])
                return
            for order in orders:
                order.deliver(None, self._translated(error))
            return
        deliver_all(orders)

    def _begin(self, db: sqlite3.Connection, *, durable: bool) -> None:
        self._synchronise(db, "FULL" if durable else "NORMAL")
        db.execute("BEGIN IMMEDIATE")

    def _commit(self, db: sqlite3.Connection, orders: list[Order]) -> None:
        try:
            for kind in alike(orders):
                results = kind[0].work(db, [order.what for order in kind])
                for order, result in zip(kind, results, strict=True):
                    order.result = result
            if self._watch is not None:
                self._tell("before", orders)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        if self._watch is not None:
            self._tell("after", orders)

    def _closed(self) -> LedgerError:
        return LedgerError(self._closed_since)

    def _translated(self, error: BaseException) -> BaseException:
        return ledger_error(error, self._database) if isinstance(error, sqlite3.Error) else error

    def _tell(self, when: str, orders: list[Order]) -> None:
        assert self._watch is not None  # noqa: S101 - for the type checkers
        for name in sorted({order.name for order in orders}):
            self._watch(f"{when} commit of {name}")

    def _synchronise(self, db: sqlite3.Connection, level: str) -> None:
        if level != self._synchronous:
            db.execute(f"PRAGMA synchronous = {level}")
            self._synchronous = level
