"""Threads of the event loop that are all taken, so that what is to be done in one waits."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio.to_thread import current_default_thread_limiter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

__all__ = ["no_thread_free", "reached"]


@asynccontextmanager
async def no_thread_free() -> AsyncGenerator[Callable[[], int]]:
    """Let no call into a thread of the loop; yields how many wait for one."""
    limiter, holder = current_default_thread_limiter(), object()
    limiter.total_tokens = 1
    await limiter.acquire_on_behalf_of(holder)
    try:
        yield lambda: limiter.statistics().tasks_waiting
    finally:
        limiter.release_on_behalf_of(holder)


async def reached(what: Callable[[], object]) -> None:
    """Let the loop go on until something is so."""
    while not what():  # noqa: ASYNC110 - what is waited for is in another object, which has no event for it
        await asyncio.sleep(0)
