"""Errors without the frames they passed through, whose variables hold images and secrets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from clova_ocr_async.errors import ClovaOCRError

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["Given", "frameless", "without_frames", "without_own_frame"]

T = TypeVar("T")
ErrorT = TypeVar("ErrorT", bound=BaseException)


class Given:
    """Arguments that a frame needs and must not show: its ``repr`` has none of them.

    Args:
        image: The image of a call.
        context: The context of a call.

    Attributes:
        image: As given.
        context: As given.
    """

    __slots__ = ("context", "image")

    def __init__(self, image: Any, context: object) -> None:
        self.image = image
        self.context = context


async def frameless(work: Awaitable[T]) -> T:
    """Await work whose variables must not be shown, and return its result.

    A crash reporter prints the variables of every frame that an error passed through. So an error of this package, or
    a cancellation, is raised without the frames of ``work``. Any other error is a fault of this package, and keeps its
    frames.
    """
    try:
        return await work
    except (ClovaOCRError, asyncio.CancelledError) as error:
        failure = without_frames(error)
    raise failure


def without_own_frame(error: ErrorT) -> ErrorT:
    """Return an error that its catcher hands on as a value, without the catcher's frame."""
    frames = error.__traceback__
    return error.with_traceback(None if frames is None else frames.tb_next)


def without_frames(error: ErrorT) -> ErrorT:
    """Return an error without its own frames and without those of the error that was handled when it was raised."""
    error.__context__ = None
    return error.with_traceback(None)
