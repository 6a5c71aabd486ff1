"""Work that cancellation does not cut short, and work that does not block the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["LARGE", "call_unblocking", "run_to_completion", "wait_shielded"]

LARGE = 1024 * 1024
"""Bytes; work on more of them is done in a thread. To decode a megabyte takes some 10 ms, and up to a second where much
of it has an unexpected shape; to hash it takes a millisecond."""

T = TypeVar("T")


async def call_unblocking(size: int, function: Callable[[], T]) -> T:
    """Return the result of a function, called in a thread if it has much to work on.

    Args:
        size: Bytes that it works on.
        function: The function.
    """
    return await anyio.to_thread.run_sync(function) if size > LARGE else function()


async def wait_shielded(task: asyncio.Future[Any]) -> None:
    """Wait until a task or future has ended, even if the waiting is cancelled; then raise that cancellation."""
    cancelled: asyncio.CancelledError | None = None
    # The shield is for anyio's cancellation, which is raised again at every await.
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled


async def run_to_completion(work: Awaitable[None]) -> None:
    """Await work to its end, even if the waiting is cancelled; then raise that cancellation.

    A failure of the work is raised. If the waiting was cancelled as well, the failure is the cancellation's cause.
    """
    running = asyncio.ensure_future(work)  # a future needs no task
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError as cancelled:
        with contextlib.suppress(asyncio.CancelledError):  # a second cancellation; the first one is raised
            await wait_shielded(running)
        raise cancelled from (None if running.cancelled() else running.exception())
