"""Callers that wait for an item that another caller works on, in this process or in another one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["Waiters"]

_POLL = 0.5  # seconds


class Waiters:
    """The futures of waiting callers by item, and a task that polls the ledger while there are any.

    Args:
        free_of: Returns which of some items no process works on any more.
        sleep: Waits some seconds.
        pause: Returns seconds between two looks at the ledger, for the changes that other processes have made.
    """

    def __init__(
        self,
        free_of: Callable[[Sequence[int]], Awaitable[Sequence[int]]],
        sleep: Callable[[float], Awaitable[object]],
        pause: Callable[[], float] = lambda: _POLL,
    ) -> None:
        self._free_of = free_of
        self._sleep = sleep
        self._pause = pause
        self._waiting: dict[int, set[asyncio.Future[None]]] = {}
        self._polling: asyncio.Task[None] | None = None

    async def wait(self, number: int) -> None:
        """Wait until an item may have changed."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(number, set()).add(waiter)
        # One task for all: a query costs the same for one item as for a hundred.
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            await waiter
        finally:
            others = self._waiting.get(number, set())
            others.discard(waiter)
            if not others:
                self._waiting.pop(number, None)

    def wake(self, number: int) -> None:
        """Wake the callers that wait for an item."""
        for waiter in self._waiting.pop(number, ()):
            if not waiter.done():
                waiter.set_result(None)

    def wake_all(self) -> None:
        """Wake all callers."""
        for number in list(self._waiting):
            self.wake(number)

    def stop_polling(self) -> None:
        """End the polling; callers wait on until they are woken."""
        if self._polling is not None:
            self._polling.cancel()

    async def _poll(self) -> None:
        while self._waiting:
            # Other processes of the run cannot wake the futures of this one.
            await self._sleep(self._pause())
            numbers = list(self._waiting)
            try:
                free = await self._free_of(numbers)
            except Exception:  # noqa: BLE001 - the callers ask the ledger again, and meet the same error
                free = numbers
            for number in free:
                self.wake(number)
