"""Those who wait for images that somebody else works on, in this process or in another one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["Waiters"]

_POLL = 0.5  # seconds between looks at what other processes have finished


class Waiters:
    """Wakes those who wait, and looks now and then for what others have done, while anybody waits.

    Args:
        look: Returns which of some items nobody works on any more.
        sleep: Waits some seconds.
    """

    def __init__(
        self,
        look: Callable[[Sequence[int]], Awaitable[Sequence[int]]],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        self._look = look
        self._sleep = sleep
        self._waiting: dict[int, set[asyncio.Future[None]]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, number: int) -> None:
        """Wait until somebody is done with an item, or may be."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(number, set()).add(waiter)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_now_and_then())
        try:
            await waiter
        finally:
            others = self._waiting.get(number, set())
            others.discard(waiter)
            if not others:
                self._waiting.pop(number, None)

    def wake(self, number: int) -> None:
        """Wake those who wait for an item; they ask again."""
        for waiter in self._waiting.pop(number, ()):
            if not waiter.done():
                waiter.set_result(None)

    def wake_all(self) -> None:
        """Wake everybody."""
        for number in list(self._waiting):
            self.wake(number)

    def stop_looking(self) -> None:
        """Look for nothing any more; who waits goes on waiting until it is woken."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look_now_and_then(self) -> None:
        while self._waiting:
            await self._sleep(_POLL)
            numbers = list(self._waiting)
            try:
                done = await self._look(numbers)
            except Exception:  # noqa: BLE001 - who waits asks again, and is told the error
                done = numbers
            for number in done:
                self.wake(number)
