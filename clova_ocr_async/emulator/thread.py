"""The emulator in a thread of its own, for callers without an event loop."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clova_ocr_async.emulator.server import Emulator

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["emulator_in_thread"]


async def _shut_down(emulator: Emulator) -> None:
    """Stop the server and its tasks."""
    await emulator.stop()
    # Calls whose callers have disconnected still run, and a closed loop must not have pending tasks.
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left)


@contextmanager
def emulator_in_thread(**settings: Any) -> Generator[Emulator]:
    """Run an emulator in another thread while the context is open.

    Args:
        settings: The arguments of ``Emulator``.
    """
    emulator = Emulator(**settings)
    loop = asyncio.new_event_loop()
    # A daemon, so that a test that is interrupted here does not keep the interpreter from exiting.
    thread = threading.Thread(target=loop.run_forever, name="clova-emulator", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(emulator.start(), loop).result()
        try:
            yield emulator
        finally:
            asyncio.run_coroutine_threadsafe(_shut_down(emulator), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
