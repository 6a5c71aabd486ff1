"""Errors without the frames they came through, whose variables hold images and secrets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from clova_ocr_async.errors import ClovaOCRError

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["frameless", "without_frames"]

T = TypeVar("T")
ErrorT = TypeVar("ErrorT", bound=BaseException)


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
