"""Threads that read for a batch: as few as keep up.

A thread that reads lets go of the interpreter again and again, and has to wait for it each time; the more of them wait,
the more of the processor goes to nothing but their taking turns. One thread reads thousands of files a second from a
local disk. Where a file takes its time, as on a network, another thread is begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Threads"]

P = ParamSpec("P")
T = TypeVar("T")

_MOST = 40
_PATIENCE = 0.05  # seconds in which something must come to its end before another thread is begun
_IDLE = 1.0  # seconds without work after which a thread ends


class _Errand(NamedTuple):
    """Something to do."""

    done: asyncio.Future[Any]
    work: Callable[[], Any]


class Threads:
    """Works for one event loop, in threads that come and go.

    Args:
        most: How many threads there may be.
        patience: Seconds in which something must come to its end before another thread is begun.
        idle: Seconds without work after which a thread ends.
    """

    def __init__(self, most: int = _MOST, patience: float = _PATIENCE, idle: float = _IDLE) -> None:
        self._most, self._patience, self._idle = most, patience, idle
        self._asked: queue.SimpleQueue[_Errand] = queue.SimpleQueue()
        self._ended: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._told = False  # whether the loop knows that something has ended
        self._count = 0
        self._unfinished = self._finished = 0
        self._gate = threading.Lock()  # so that no thread ends as it is asked
        self._watch: asyncio.TimerHandle | None = None

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function returns, called in a thread; if nobody waits any more, it runs to its end there."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._unfinished += 1
        with self._gate:
            self._asked.put(_Errand(done, partial(work, *args, **kwargs)))
            if not self._count:
                self._begin(loop)
        if self._watch is None and self._unfinished > self._count:
            self._watch = loop.call_later(self._patience, self._look, loop, self._finished)
        return await done

    def _look(self, loop: asyncio.AbstractEventLoop, finished: int) -> None:
        """Begin another thread if some work waits, and none has come to its end for a while."""
        self._watch = None
        if self._unfinished <= self._count:
            return
        if self._finished == finished and self._count < self._most:
            with self._gate:
                self._begin(loop)
        self._watch = loop.call_later(self._patience, self._look, loop, self._finished)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._count += 1
        threading.Thread(target=self._serve, args=(loop,), name="clova-ocr-reading", daemon=True).start()

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        while (errand := self._next()) is not None:
            self._ended.append((errand.done, *_outcome(errand)))
            del errand  # with what it read
            if not self._told:
                self._told = True
                with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                    loop.call_soon_threadsafe(self._deliver)

    def _next(self) -> _Errand | None:
        """Wait for something to do; None if nothing comes."""
        with contextlib.suppress(queue.Empty):
            return self._asked.get(timeout=self._idle)
        with self._gate:
            try:
                return self._asked.get_nowait()
            except queue.Empty:
                self._count -= 1
                return None

    def _deliver(self) -> None:
        self._told = False  # before the look, or what ends behind it would lie there
        while self._ended:
            done, result, error = self._ended.popleft()
            self._unfinished -= 1
            self._finished += 1
            if done.done():
                continue
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)


def _outcome(errand: _Errand) -> tuple[Any, BaseException | None]:
    try:
        return errand.work(), None
    except BaseException as error:  # noqa: BLE001 - told to whoever waits
        return None, error
