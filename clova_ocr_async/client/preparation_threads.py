"""The threads in which pictures are prepared: as many as there are processors, and none of those that read files.

A conversion takes a processor for up to a second, and the memory of the decoded picture. So conversions queue for
threads of their own, and a picture that needs none never waits behind one. A large picture takes several places, so
that the memory of all conversions together stays bounded.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PLACE_BYTES", "PreparationThreads"]

PLACE_BYTES = 256 * 1024 * 1024
"""Bytes that a conversion may take in one place; one that takes more occupies further places."""

T = TypeVar("T")


class PreparationThreads:
    """The threads of one event loop in which pictures are prepared.

    Args:
        places: Conversions at the same time; the number of processors if not given.
    """

    def __init__(self, places: int | None = None) -> None:
        self._places = places or os.cpu_count() or 1
        self._limiter: CapacityLimiter | None = None
        self._turn = asyncio.Lock()  # one waits for its places at a time, or two large ones could each keep half
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def busy(self) -> int:
        """The number of pictures that are being prepared."""
        return len(self._running)

    async def run(self, work: Callable[[], T], size: int = 0) -> T:
        """Return the result of work, done in one of these threads.

        A caller that is cancelled leaves at once. Work that has begun is done to its end, keeps its places until then,
        and its result is dropped.

        Args:
            work: The work.
            size: Bytes that it takes meanwhile, as far as known.
        """
        limiter = self._limiter = self._limiter or CapacityLimiter(self._places)
        places = [object() for _ in range(min(1 + size // PLACE_BYTES, self._places))]
        try:
            async with self._turn:
                for place in places:
                    await limiter.acquire_on_behalf_of(place)
            running = asyncio.ensure_future(self._work(work, limiter, places))
        except BaseException:
            _release(limiter, places)
            raise
        self._running.add(running)  # the loop itself keeps no task alive
        running.add_done_callback(self._forget)
        await asyncio.wait([running])
        return running.result()

    async def _work(self, work: Callable[[], T], limiter: CapacityLimiter, places: list[object]) -> T:
        try:
            return await anyio.to_thread.run_sync(work, limiter=CapacityLimiter(1))
        finally:
            _release(limiter, places)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may have gone, and asyncio would log that nobody took it


def _release(limiter: CapacityLimiter, places: list[object]) -> None:
    for place in places:
        if place in limiter.statistics().borrowers:
            limiter.release_on_behalf_of(place)
