"""An event loop in a thread of its own, for callers that wait for the results of coroutines."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import os
import threading
import weakref
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from anyio.from_thread import start_blocking_portal

from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["LoopThread", "LoopWork", "keep_inherited"]

T = TypeVar("T")

_IN_A_LOOP = (
    "BlockingClient would block the event loop that runs in this thread; use "
    "async with ClovaOCRClient(…) as client: await client.recognize(…), which also works in a cell of a notebook"
)
_FORKED = (
    "the client was used before this process was forked, and its thread exists only in the parent; "
    "make a BlockingClient in each process, or first use it after the fork"
)
_CLOSED = "the client is closed; make a new one"


class LoopWork(Generic[T]):
    """A coroutine that runs in the client's event loop while another thread waits for it.

    Unlike the future of ``asyncio.run_coroutine_threadsafe``, this one ends when the coroutine has ended, also after
    ``cancel``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> None:
        self._loop = loop
        self._work = work
        self._ended: Future[T] = Future()
        self._task: asyncio.Task[T] | None = None
        # With the context of the caller, so that spans and loggers see the caller's context variables.
        loop.call_soon_threadsafe(self._begin, context=contextvars.copy_context())

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._work)
        self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self._ended.set_exception(ConfigurationError("the client was closed while the call was in flight"))
        elif (error := task.exception()) is not None:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(task.result())

    def result(self) -> T:
        """Wait for the end, and return the result or raise the error."""
        return self._ended.result()

    def cancel(self) -> None:
        """Cancel the coroutine, if it has not ended."""
        if not self._ended.done():
            self._loop.call_soon_threadsafe(lambda: self._task is None or self._task.cancel())

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """Call a function when the coroutine has ended."""
        self._ended.add_done_callback(function)

    def cut_off(self) -> T | None:
        """Cancel the coroutine and wait for its end; return its result, or None if it has none."""
        self.cancel()
        return None if self._ended.exception() is not None else self._ended.result()


_started: weakref.WeakSet[LoopThread] = weakref.WeakSet()


class LoopThread:
    """The event loop of a client, in a thread that starts with the first use.

    Args:
        tied: An object that is tied to the loop, as a client with its connections is.
        pid: Returns the id of the process.

    Attributes:
        closed: Whether the loop is not to be used any more.
    """

    def __init__(self, tied: object = None, pid: Callable[[], int] = os.getpid) -> None:
        self._tied = tied
        self._process = pid
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self.closed = False

    @property
    def here(self) -> bool:
        """Whether the thread runs in this process."""
        return self._loop is not None and self._pid == self._process()

    def start(self) -> None:
        """Start the loop if it does not run.

        Raises:
            ConfigurationError: The caller must not wait, the loop is stopped, or it belongs to the parent process.
        """
        self._check_caller()
        with self._lock:
            self._running()

    def _check_caller(self) -> None:
        if asyncio._get_running_loop() is not None:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # raises nothing
            raise ConfigurationError(_IN_A_LOOP)
        if self._loop is not None and not self.here:  # before the lock, which another thread may have held at the fork
            raise ConfigurationError(_FORKED)

    def _running(self) -> asyncio.AbstractEventLoop:
        """Return the running loop; the caller holds the lock."""
        if self.closed:
            raise ConfigurationError(_CLOSED)
        if self._loop is None:
            portal = self._stack.enter_context(start_blocking_portal())
            self._pid, self._loop = self._process(), portal.call(_named_loop)
            _started.add(self)
        return self._loop

    def stop(self) -> None:
        """End the loop and its thread."""
        with self._lock:
            self.closed = True
        self._stack.close()
        _started.discard(self)

    def keep_for_ever(self) -> None:
        """Keep the loop, and what is tied to it, from ever being collected; for the child of a fork.

        The thread exists only in the parent, and the end of the loop would wait for it. Parent and child share an epoll
        object, so a connection that is closed in the child would no longer wake the parent.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))

    def run(self, work: Coroutine[Any, Any, T], *, to_its_end: bool = False) -> T:
        """Run a coroutine in the loop, and return its result.

        Args:
            work: The coroutine.
            to_its_end: If the wait is interrupted, as by Ctrl-C, cancel the coroutine and wait for its end. Else the
                interruption is raised at once.
        """
        begun = self.begin(work)
        try:
            return begun.result()
        except BaseException:
            if to_its_end:
                begun.cut_off()
            else:
                begun.cancel()
            raise

    def begin(self, work: Coroutine[Any, Any, T]) -> LoopWork[T]:
        """Run a coroutine in the loop."""
        try:
            self._check_caller()
            with self._lock:  # another thread must not end the loop between the check and the beginning
                return LoopWork(self._running(), work)
        except BaseException:
            work.close()  # else Python warns that it was never awaited
            raise


def _named_loop() -> asyncio.AbstractEventLoop:
    """Name the thread of the running loop, and return the loop."""
    threading.current_thread().name = "clova-ocr-blocking"
    return asyncio.get_running_loop()


def keep_inherited() -> None:
    """Keep the loops that the child of a fork has inherited."""
    for thread in _started:
        thread.keep_for_ever()


# Windows has no fork.
getattr(os, "register_at_fork", dict)(after_in_child=keep_inherited)
