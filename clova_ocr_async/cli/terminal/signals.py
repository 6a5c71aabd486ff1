"""Signals that end a command, outside of a batch's event loop (``interrupts`` has those of a batch).

SIGTERM and SIGHUP (docker stop, systemd, timeout, a closed terminal) do what Ctrl-C does: without a handler they would
end the process before anything is said or cleaned up, and as the first process of a container they would be ignored.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

__all__ = ["INTERRUPTED", "SIGNALS", "end_at_once", "handling", "interrupting"]

INTERRUPTED = 130
"""The exit code of a command that a signal has ended."""

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # not every system has a terminal that hangs up

Handler = Any  # what signal.signal takes and returns


@contextmanager
def handling(handlers: dict[signal.Signals, Handler]) -> Generator[None]:
    """Handle some signals while the context is open.

    A signal that is ignored, as nohup has it, stays ignored. Outside of the main thread nothing is changed.
    """
    before: dict[signal.Signals, Handler] = {}
    try:
        for number, handler in handlers.items():
            previous = signal.getsignal(number)
            if previous is signal.SIG_IGN:
                continue
            try:
                signal.signal(number, handler)
            except ValueError:  # not the main thread
                break
            before[number] = previous
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def interrupting() -> dict[signal.Signals, Handler]:
    """Return handlers with which every signal does what Ctrl-C does: it raises KeyboardInterrupt.

    SIGINT gets Python's own handler, which asyncio takes over while a loop runs; the others pass on to it.
    """
    return {number: signal.default_int_handler if number is signal.SIGINT else _as_ctrl_c for number in SIGNALS}


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(number, frame)
    else:  # SIGINT is ignored, as in the background of a script
        raise KeyboardInterrupt


def end_at_once(end: Callable[[int], object] = os._exit) -> None:
    """Let each signal end the process, silently, from now on.

    While modules are loaded and after all is done there is nothing to clean up, and a KeyboardInterrupt would come out
    as a traceback of whatever was loaded.

    Args:
        end: Ends the process with an exit code.
    """

    def handler(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        end(INTERRUPTED)

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            with suppress(ValueError):  # not the main thread
                signal.signal(number, handler)
