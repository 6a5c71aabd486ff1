"""Waiting for what a task or a coroutine ends in: to its very end, or without the frames it ended in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from clova_ocr_async.errors import ClovaOCRError

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["ended", "frameless", "without_frames"]

T = TypeVar("T")
ErrorT = TypeVar("ErrorT", bound=BaseException)


async def ended(task: asyncio.Future[Any]) -> None:
    """Wait until a task or future has ended, even when the waiting is cancelled; that cancellation is raised then."""
    cancelled: asyncio.CancelledError | None = None
    # The shield is for anyio's cancellation, which comes again at every await.
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled


async def frameless(work: Awaitable[T]) -> T:
    """Await something whose variables are nobody's business, and return what it returns.

    A crash reporter prints the variables of every frame that an error came through. So one of our errors, or a
    cancellation, is raised without those of ``work``; any other one is a fault of this package, and keeps them.
    """
    try:
        return await work
    except (ClovaOCRError, asyncio.CancelledError) as error:
        failure = without_frames(error)
    raise failure


def without_frames(error: ErrorT) -> ErrorT:
    """Return an error without the frames it came through, its own and those of what was handled when it was raised."""
    error.__context__ = None
    return error.with_traceback(None)
