"""Tasks that are waited for to their very end."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio

__all__ = ["wait_shielded"]


async def wait_shielded(task: asyncio.Future[Any]) -> None:
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
