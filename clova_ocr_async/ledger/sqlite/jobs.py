"""Jobs for the ledger's thread, and the queue that they wait in."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import LedgerError

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Deliver", "Job", "JobQueue", "deliver_to"]

Deliver = Callable[[Any, BaseException | None], object]
"""Receives a job's result, or its error."""

_MOST_AT_ONCE = 256  # jobs in one transaction
_NOT_OPEN = "the ledger is not open; use it inside its context: async with"
_FORKED = "the ledger was opened before this process was forked; open it anew in each process"


@dataclass(slots=True, repr=False)
class Job:
    """Work to do in a transaction.

    Attributes:
        work: Does it, on the connection.
        name: Appears in the ``watch`` calls around the commit.
        deliver: Called with the result once it is committed, or with the error.
        durable: Whether the commit must be on the disk before the result is delivered.
        urgent: Whether it fails with a ``LockTimeoutError`` rather than wait long for another program.
        abandoned: Whether it has failed that way, and must not be done any more.
        result: What ``work`` returned, until it is committed.
    """

    work: Callable[[sqlite3.Connection], Any]
    name: str
    deliver: Deliver
    durable: bool = False
    urgent: bool = False
    abandoned: bool = False
    result: Any = None


class JobQueue:
    """Jobs that the thread has not begun. Closed at first; a job that is put into a closed queue fails at once.

    Attributes:
        waiting: Jobs that are in the next transaction, first in first out.
        ended: Whether the end of the queue has been read.
    """

    def __init__(self) -> None:
        self.waiting: list[Job] = []
        self.ended = False
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()  # None is the end
        self._closed: str | None = _NOT_OPEN
        self._lock = threading.Lock()  # no job is put behind the end

    def open(self) -> None:
        """Accept jobs."""
        self._closed = None

    def put(self, job: Job) -> None:
        """Append a job; may be called in any thread."""
        with self._lock:
            closed = self._closed
            if closed is None:
                self._queue.put(job)
        if closed is not None:
            job.deliver(None, LedgerError(closed))

    def end(self) -> None:
        """Accept no more jobs, and end the queue behind those that are in it."""
        with self._lock:
            self._closed = self._closed or _NOT_OPEN
            self._queue.put(None)

    def take(self, timeout: float) -> list[Job]:
        """Return the jobs of the next transaction: all that wait by now.

        Args:
            timeout: Seconds to wait for the first one.
        """
        jobs, self.waiting = self.waiting, []
        with contextlib.suppress(queue.Empty):
            while len(jobs) < _MOST_AT_ONCE and not self.ended:
                job = self._queue.get(timeout=0.0 if jobs else timeout)
                if job is None:
                    self.ended = True
                else:
                    jobs.append(job)
        return jobs

    def collect(self) -> None:
        """Move every job that has been put to ``waiting``, so that urgent ones among them are found."""
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._queue.get_nowait()
                self.ended = self.ended or job is None
                self.waiting += [] if job is None else [job]

    def refuse_all(self, current: Iterable[Job] = ()) -> None:
        """Close the queue, and fail every job: the thread has ended.

        Args:
            current: Jobs that were taken and may not be done.
        """
        self.end()
        self.collect()
        for job in (*current, *self.waiting):
            job.deliver(None, LedgerError(_NOT_OPEN))

    def after_fork(self) -> None:
        """Close the queue in the child of a fork, which has no thread that would read it."""
        self._closed, self._lock = _FORKED, threading.Lock()


def deliver_to(future: asyncio.Future[Any]) -> Deliver:
    """Return what brings a result from the ledger's thread to a future of the running event loop."""
    loop = asyncio.get_running_loop()

    def deliver(result: Any, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits any more
            loop.call_soon_threadsafe(_resolve, future, result, error)

    return deliver


def _resolve(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # its waiter was cancelled
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
