"""Ctrl-C that waits until some lines have run.

At a second Ctrl-C ``asyncio.run`` raises KeyboardInterrupt between any two lines, those of asyncio included. There it
can lose the wake-up of a task, which then waits for ever.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

__all__ = ["deferred_interrupts"]


@contextmanager
def deferred_interrupts() -> Generator[None]:
    """Raise a KeyboardInterrupt only when the body has run; for a body of microseconds, without an await.

    Handlers of other kinds, such as those of ``loop.add_signal_handler``, raise nothing and stay as they are.
    """
    is_main = threading.current_thread() is threading.main_thread()  # signals are handled in no other thread
    handler = signal.getsignal(signal.SIGINT) if is_main else None
    if not callable(handler) or not _raises(handler):
        yield
        return
    received: list[tuple[int, FrameType | None]] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append((number, frame))

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if received:
            handler(*received[0])


def _raises(handler: Any) -> bool:
    """Return whether a handler raises KeyboardInterrupt: Python's own one does, and that of ``asyncio.run``."""
    owner = getattr(getattr(handler, "func", None), "__self__", None)
    return handler is signal.default_int_handler or isinstance(owner, asyncio.Runner)
