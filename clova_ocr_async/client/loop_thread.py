"""An event loop in a thread of its own, for callers that wait for the results of coroutines."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from anyio.from_thread import start_blocking_portal

from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["LoopThread", "LoopWork"]

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
        """Cancel the coroutine."""
        self._loop.call_soon_threadsafe(lambda: self._task is None or self._task.cancel())

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """Call a function when the coroutine has ended."""
        self._ended.add_done_callback(function)

    def wait(self) -> None:
        """Wait for the end."""
        self._ended.exception()

    def cut_off(self) -> T | None:
        """Cancel the coroutine and wait for its end; return its result, or None if it has none."""
        self.cancel()
        return None if self._ended.exception() is not None else self._ended.result()


class LoopThread:
    """The event loop of a client, in a thread that starts with the first use.

    Args:
        pid: Returns the id of the process.

    Attributes:
        closed: Whether the loop is not to be used any more.
    """

    def __init__(self, pid: Callable[[], int] = os.getpid) -> None:
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

    def start(self) -> asyncio.AbstractEventLoop:
        """Return the loop; start it if it does not run.

        Raises:
            ConfigurationError: The caller must not wait, the loop is stopped, or it belongs to the parent process.
        """
        if asyncio._get_running_loop() is not None:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # raises nothing
            raise ConfigurationError(_IN_A_LOOP)
        if self._loop is not None and not self.here:  # before the lock, which another thread may have held at the fork
            raise ConfigurationError(_FORKED)
        with self._lock:
            if self.closed:
                raise ConfigurationError(_CLOSED)
            if self._loop is None:
                portal = self._stack.enter_context(start_blocking_portal(name="clova-ocr-blocking"))
                self._pid, self._loop = self._process(), portal.call(asyncio.get_running_loop)
            return self._loop

    def stop(self) -> None:
        """End the loop and its thread."""
        self._stack.close()

    def run(self, work: Coroutine[Any, Any, T], *, to_its_end: bool = False) -> T:
        """Run a coroutine in the loop, and return its result.

        Args:
            work: The coroutine.
            to_its_end: If the wait is interrupted, as by Ctrl-C, cancel the coroutine and wait for its end. Else the
                interruption is raised at once.
        """
        return self.wait(self.begin(work), to_its_end=to_its_end)

    def begin(self, work: Coroutine[Any, Any, T]) -> LoopWork[T]:
        """Run a coroutine in the loop."""
        try:
            return LoopWork(self.start(), work)
        except BaseException:
            work.close()  # else Python warns that it was never awaited
            raise

    @staticmethod
    def wait(begun: LoopWork[T], *, to_its_end: bool) -> T:
        """Wait for a coroutine that runs in the loop, as ``run`` does."""
        try:
            return begun.result()
        except BaseException:
            begun.cancel()
            if to_its_end:
                begun.wait()
            raise
