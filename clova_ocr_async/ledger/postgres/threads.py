"""The threads in which a ledger's work is done, beside the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.tasks import wait_shielded

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LedgerThreads"]

T = TypeVar("T")

_MOST = 4  # threads, each with a connection; the calls of a process wait for the service and not for these
_NOT_OPEN = "the ledger is not open; use it inside its context: async with"


class LedgerThreads:
    """A few threads. Work that was begun goes on to its end, also if its caller is cancelled.

    Args:
        check: Called before work is accepted; raises a LedgerError to refuse it.
    """

    def __init__(self, check: Callable[[], object]) -> None:
        self._check = check
        self._executor: ThreadPoolExecutor | None = None

    def open(self) -> None:
        """Accept work."""
        self._executor = ThreadPoolExecutor(_MOST, "clova-ocr-ledger")

    def check_open(self) -> None:
        """Refuse work of a ledger that is closed, or another process's.

        Raises:
            LedgerError: It is.
        """
        self._check()
        if self._executor is None:
            raise LedgerError(_NOT_OPEN)

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have work done; the future has its result, or its error. To await it without a shield may cancel it.

        Args:
            work: Does it, in a thread.
        """
        try:
            self.check_open()
        except LedgerError as error:
            refused: asyncio.Future[T] = asyncio.get_running_loop().create_future()
            refused.set_exception(error)
            return refused
        assert self._executor is not None  # noqa: S101 - it is open
        future = asyncio.wrap_future(self._executor.submit(work))
        future.add_done_callback(lambda done: done.exception())  # looked at, also if no caller waits for it any more
        return future

    async def run(self, work: Callable[[], T]) -> T:
        """Return the result of work that goes on if the caller is cancelled.

        Args:
            work: Does it, in a thread.
        """
        return await asyncio.shield(self.submit(work))

    async def close(self) -> None:
        """Accept no more work, and wait until all is done, even if the waiting is cancelled."""
        executor, self._executor = self._executor, None
        assert executor is not None  # noqa: S101 - it is closed once
        await wait_shielded(asyncio.get_running_loop().run_in_executor(None, executor.shutdown))
