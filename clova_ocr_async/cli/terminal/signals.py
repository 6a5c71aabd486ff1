"""Signals that end a command; ``runs/graceful_stop.py`` has those that reach a running batch.

SIGTERM and SIGHUP (docker stop, systemd, timeout, a closed terminal) do what Ctrl-C does. Without a handler they would
end the process before it could clean up, and the first process of a container would ignore them.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from clova_ocr_async.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

__all__ = ["SIGNALS", "exit_at_once", "held_signals", "interrupt_handlers", "signal_handlers"]

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP

Handler = Any  # what signal.signal takes and returns


@contextmanager
def signal_handlers(handlers: dict[signal.Signals, Handler]) -> Generator[None]:
    """Install handlers of signals while the context is open.

    A signal that is ignored, as nohup does it, stays ignored. Outside of the main thread nothing is changed.
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


@contextmanager
def held_signals() -> Generator[None]:
    """Let signals wait until the context is left, for what must be done whole or not at all."""
    held: list[int] = []

    def hold(number: int, _: FrameType | None) -> None:
        held.append(number)

    try:
        # Not by a mask of this thread: a library's thread would take the signal.
        with signal_handlers(dict.fromkeys(SIGNALS, hold)):
            yield
    finally:
        if held:
            signal.raise_signal(held[0])


def interrupt_handlers() -> dict[signal.Signals, Handler]:
    """Return handlers that raise KeyboardInterrupt, as Ctrl-C does.

    SIGINT gets Python's own handler, which asyncio replaces while a loop runs; the other signals pass on to it.
    """
    return {number: signal.default_int_handler if number is signal.SIGINT else _as_ctrl_c for number in SIGNALS}


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(number, frame)
    else:  # SIGINT is ignored, as in the background of a script
        raise KeyboardInterrupt


def exit_at_once(exit_process: Callable[[int], object] = os._exit) -> None:
    """Let each signal end the process silently from now on.

    While modules are loaded, and after the command has ended, there is nothing to clean up. A KeyboardInterrupt would
    print the traceback of an import.

    Args:
        exit_process: Ends the process with an exit code.
    """

    def handler(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        exit_process(ExitCode.INTERRUPTED)

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            with suppress(ValueError):  # not the main thread
                signal.signal(number, handler)
