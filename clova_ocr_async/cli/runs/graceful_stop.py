"""Signals of a running batch: the first one lets the calls in flight finish, the second one cuts them off.

``terminal/signals.py`` has the signals of a command without a batch.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clova_ocr_async.cli.terminal.signals import SIGNALS, signal_handlers
from clova_ocr_async.cli.terminal.stderr import echo_stderr
from clova_ocr_async.errors import ClovaOCRError
from clova_ocr_async.host.plural import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from clova_ocr_async.batch import Batch

__all__ = ["GracefulStop", "InterruptError", "loop_signals"]

_MAX_UNHANDLED = 2  # signals that may wait for a loop that hangs; the next one raises KeyboardInterrupt


class InterruptError(ClovaOCRError):
    """A signal asked the command to end."""


class GracefulStop:
    """Ends a batch by signals; create it in the task that runs the batch.

    Args:
        in_flight: Returns the number of requests in flight.

    Attributes:
        requests: How often the end was requested.
        cancelled: Whether this object has cancelled the task.
        batch: The batch to stop; None while nothing can be in flight.
    """

    def __init__(self, in_flight: Callable[[], int]) -> None:
        self.requests = 0
        self.cancelled = False
        self.batch: Batch[Any] | None = None
        self._in_flight = in_flight
        self._task = asyncio.current_task()

    def request_stop(self) -> None:
        """Stop the batch; the second time, or without a batch, cancel the task."""
        self.requests += 1
        if self.requests == 1 and self.batch is not None:
            message = "ending"
            if count := self._in_flight():
                them = "it" if count == 1 else "them"
                message = f"finishing {plural(count, 'call')} in flight; once more cuts {them} off"
            echo_stderr(message, even_when_quiet=True)
            # A stop and not a cancellation: the calls in flight are paid for, and end within seconds.
            self.batch.stop(InterruptError("interrupted"))
        elif not self.cancelled and self._task is not None:
            self.cancelled = True
            self._task.cancel()

    def uncancel(self) -> bool:
        """Return whether the cancellation of the task was this object's own, and take it back."""
        if self.cancelled and self._task is not None:
            return self._task.uncancel() == 0
        return False


@contextmanager
def loop_signals(handler: Callable[[], object]) -> Generator[None]:
    """Call a handler in the running loop for SIGINT, SIGTERM and SIGHUP while the context is open.

    A signal that is ignored, as nohup does it, stays ignored. Outside of the main thread nothing is changed. A loop can
    hang because the reader of the output has stopped reading; the third signal in such a time interrupts it.
    """
    loop = asyncio.get_running_loop()
    unhandled = 0

    def handle() -> None:
        nonlocal unhandled
        unhandled -= 1
        handler()

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        nonlocal unhandled
        if unhandled == _MAX_UNHANDLED:
            raise KeyboardInterrupt
        unhandled += 1
        # Not at once: a signal arrives between any two instructions, also in the middle of the loop's own work.
        loop.call_soon_threadsafe(handle)

    with signal_handlers(dict.fromkeys(SIGNALS, on_signal)):
        yield
