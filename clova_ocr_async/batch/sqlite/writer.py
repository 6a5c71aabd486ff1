"""The one thread that writes: what is asked for while a commit runs shares the next one.

A commit that is on the disk costs milliseconds, and many workers wait for theirs at once. Nobody waits for company,
though: the thread takes whatever has been asked for by now into one transaction, and the time that takes is the window
in which the next one fills. So a lone worker waits for its own commit, and sixty-four of them for one together.

What costs is not SQLite but going to and fro between threads: every statement lets go of the interpreter, and has to
wait for it. So what is asked for in one turn of the loop is handed over at its end, and orders of one kind in one
transaction are done together, by as few statements as that takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from clova_ocr_async.errors import DiskFullError, LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Writer", "ledger_error"]

logger = logging.getLogger("clova_ocr_async")

T = TypeVar("T")
W = TypeVar("W")

_MOST_AT_ONCE = 256
_LAZINESS = 0.05  # seconds that what nobody waits for may wait for company
_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})


@dataclass(slots=True, repr=False)
class _Order:
    """Something to do in a transaction.

    Attributes:
        work: Does it, for any number of orders at once: what they are about to their results.
        what: What it is about.
        durable: Whether it must be on the disk before anybody is told.
        lazy: Whether it may wait for the next order that is not; nobody waits for it.
        deliver: Told the result, or the error.
        name: What it is called where the thread is watched.
    """

    work: Callable[[sqlite3.Connection, list[Any]], Sequence[Any]]
    what: Any
    durable: bool
    deliver: Callable[[Any, BaseException | None], object]
    name: str
    lazy: bool = False
    result: Any = None


def ledger_error(error: sqlite3.Error) -> LedgerError:
    """Say what an error of SQLite means for whoever runs a batch."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of the number is detail
    if code in _FULL:
        return DiskFullError(f"the ledger cannot be written: {error}; make room on its disk, then run again")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return LedgerError("another program keeps the ledger locked; end it, then run again")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return LedgerError(f"the ledger is damaged: {error}; copy it away, then try sqlite3's .recover")
    return LedgerError(f"the ledger cannot be used: {error}")


class Writer:
    """Does what it is asked on a connection of its own.

    Args:
        connect: Opens the connection, in the thread.
        tick: Called in the thread, in a transaction, whenever ``every`` seconds have passed.
        ticked: Told when that is committed, or the error.
        every: Seconds.
        watch: Told where the thread stands: "before commit of …", "after commit of …"; for tests that kill it there.
        clock: Returns seconds that only grow.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        *,
        tick: Callable[[sqlite3.Connection], object],
        ticked: Callable[[Any, BaseException | None], object],
        every: float,
        watch: Callable[[str], object] | None,
        clock: Callable[[], float],
    ) -> None:
        self._connect = connect
        self._tick = tick
        self._ticked = ticked
        self._every = every
        self._watch = watch
        self._clock = clock
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._turn: list[_Order] = []  # asked for in this turn of the loop
        self._in_hand: list[_Order] = []
        self._synchronous = ""
        self._thread: threading.Thread | None = None
        self._gate = threading.Lock()  # so that nothing is asked for behind the end
        self._open = False
        self._due = clock() + every

    async def start(self, first: Callable[[sqlite3.Connection], T]) -> T:
        """Open the connection, and do something on it outside any transaction."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[T] = loop.create_future()
        arguments = (first, _Delivery(loop, opened))
        self._thread = threading.Thread(target=self._run, args=arguments, name="clova-ocr-ledger", daemon=True)
        self._open = True
        self._thread.start()
        try:
            return await opened
        except BaseException:
            await self.stop()
            raise

    def _run(self, first: Callable[[sqlite3.Connection], Any], told: _Delivery) -> None:
        try:
            db = self._connect()
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            told(None, _translated(error))
            return
        try:
            told(first(db), None)
            self._serve(db)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            told(None, _translated(error))
        finally:
            db.close()
            self._refuse_the_rest()

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
        return self.submit_alike(_alone, work, name, durable=durable, lazy=lazy)

    def submit_alike(
        self,
        work: Callable[[sqlite3.Connection, list[W]], Sequence[T]],
        what: W,
        name: str,
        *,
        durable: bool = False,
        lazy: bool = False,
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
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        with self._gate:
            if not self._turn:
                loop.call_soon(self._hand_over)
            self._turn.append(_Order(work, what, durable, _Delivery(loop, done), name, lazy))
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
            order.deliver(None, _closed())

    def call(self, work: Callable[[sqlite3.Connection], T], name: str) -> T:
        """Ask for something from another thread, and wait for it."""
        done = threading.Event()
        came: list[Any] = []

        def deliver(result: Any, error: BaseException | None) -> None:
            came.extend((result, error))
            done.set()

        with self._gate:
            self._turn.append(_Order(_alone, work, durable=False, deliver=deliver, name=name))
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
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _refuse_the_rest(self) -> None:
        """Let nobody wait for a thread that has ended."""
        with self._gate:
            self._open = False
        left: list[_Order | None] = [*self._in_hand]
        with contextlib.suppress(queue.Empty):
            while True:
                left.append(self._orders.get_nowait())
        for order in left:
            if order is not None:
                order.deliver(None, _closed())

    def _serve(self, db: sqlite3.Connection) -> None:
        over = False
        while not over:
            self._in_hand, over = self._gathered()
            if self._clock() >= self._due:  # before the orders: whoever slept must know who it is when it claims
                self._due = self._clock() + self._every
                self._renew(db)
            if self._in_hand:
                self._fulfil(db, self._in_hand)
            self._in_hand = []

    def _renew(self, db: sqlite3.Connection) -> None:
        try:
            self._fulfil(db, [_Order(_alone, self._tick, durable=False, deliver=self._ticked, name="lease")])
        except Exception:
            logger.exception("what follows the renewing of the lease failed")  # which must cost no order its answer

    def _gathered(self) -> tuple[list[_Order], bool]:
        """Return what has been asked for, and whether that was all."""
        orders: list[_Order] = []
        patience, lazy = max(self._due - self._clock(), 0.0), True
        try:
            while len(orders) < _MOST_AT_ONCE:
                order = self._orders.get(timeout=patience)
                if order is None:
                    return orders, True
                orders.append(order)
                lazy = lazy and order.lazy
                patience = _LAZINESS if lazy else 0.0
        except queue.Empty:
            pass
        return orders, False

    def _fulfil(self, db: sqlite3.Connection, orders: list[_Order]) -> None:
        try:
            self._begin(db, durable=any(order.durable for order in orders))
        except sqlite3.Error as error:  # nobody is to blame, and each would wait as long again
            for order in orders:
                order.deliver(None, _translated(error))
            return
        try:
            self._commit(db, orders)
        except BaseException as error:  # noqa: BLE001 - told to whoever asked
            if len(orders) > 1:  # one of them is to blame, and the others must not pay for it
                for order in orders:
                    self._fulfil(db, [order])
                return
            orders[0].deliver(None, _translated(error))
            return
        deliveries: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
        for order in orders:
            if isinstance(order.deliver, _Delivery):
                deliveries.setdefault(order.deliver.loop, []).append((order.deliver.future, order.result))
            else:
                order.deliver(order.result, None)
        for loop, results in deliveries.items():
            _from_thread(loop, _settle_all, results)

    def _begin(self, db: sqlite3.Connection, *, durable: bool) -> None:
        self._synchronise(db, "FULL" if durable else "NORMAL")
        db.execute("BEGIN IMMEDIATE")

    def _commit(self, db: sqlite3.Connection, orders: list[_Order]) -> None:
        try:
            for alike in _alike(orders):
                results = alike[0].work(db, [order.what for order in alike])
                for order, result in zip(alike, results, strict=True):
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

    def _tell(self, when: str, orders: list[_Order]) -> None:
        assert self._watch is not None  # noqa: S101 - for the type checkers
        for name in sorted({order.name for order in orders}):
            self._watch(f"{when} commit of {name}")

    def _synchronise(self, db: sqlite3.Connection, level: str) -> None:
        if level != self._synchronous:
            db.execute(f"PRAGMA synchronous = {level}")
            self._synchronous = level


def _alike(orders: list[_Order]) -> Iterator[list[_Order]]:
    """Yield the orders of each kind together; one that is done alone is a barrier, which no other crosses."""
    kinds: dict[Callable[..., object], list[_Order]] = {}
    for order in orders:
        if order.work is _alone:
            yield from kinds.values()
            kinds = {}
            yield [order]
        else:
            kinds.setdefault(order.work, []).append(order)
    yield from kinds.values()


def _alone(db: sqlite3.Connection, works: list[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
    """Do what has nothing in common with anything else."""
    return [work(db) for work in works]


class _Delivery:
    """Brings one result to its event loop."""

    __slots__ = ("future", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]) -> None:
        self.loop = loop
        self.future = future

    def __call__(self, result: Any, error: BaseException | None) -> None:
        _from_thread(self.loop, _settle, self.future, result, error)


def _from_thread(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:  # the loop is closed, and nobody waits any more
        return


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _settle_all(results: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in results:
        if not future.done():
            future.set_result(result)


def _closed() -> LedgerError:
    return LedgerError("the ledger is not open; use it inside its context: async with")


def _translated(error: BaseException) -> BaseException:
    return ledger_error(error) if isinstance(error, sqlite3.Error) else error
