"""What Ctrl-C and its like do to a run: what is under way lands first; asked twice, it is cut off."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clova_ocr_async.cli.terminal.signals import SIGNALS, handling
from clova_ocr_async.cli.terminal.stderr import say
from clova_ocr_async.errors import ClovaOCRError
from clova_ocr_async.protocol.plural import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from clova_ocr_async.batch import Batch

__all__ = ["InterruptError", "Interrupts", "handled_signals"]

_PATIENCE = 2  # signals that may wait for the loop; the next one does not wait for it


class InterruptError(ClovaOCRError):
    """Somebody asked the command to end."""


class Interrupts:
    """Ends a run when it is asked to; made in the task to end.

    Args:
        under_way: Returns how many calls are under way.

    Attributes:
        asked: How often it was asked.
        cut_off: Whether the task was cancelled by this.
        batch: What is to land; None while nothing can be under way.
    """

    def __init__(self, under_way: Callable[[], int]) -> None:
        self.asked = 0
        self.cut_off = False
        self.batch: Batch[Any] | None = None
        self._under_way = under_way
        self._task = asyncio.current_task()

    def ask(self) -> None:
        """Ask for the end."""
        self.asked += 1
        if self.asked == 1 and self.batch is not None:
            told = "ending"
            if count := self._under_way():
                told = (
                    f"finishing {plural(count, 'call')} under way; once more cuts {'it' if count == 1 else 'them'} off"
                )
            say(told, even_when_quiet=True)
            self.batch.stop(InterruptError("interrupted"))
        elif not self.cut_off and self._task is not None:
            self.cut_off = True
            self._task.cancel()

    def forgive(self) -> bool:
        """Whether a cancellation was this one's own; then the task goes on."""
        if self.cut_off and self._task is not None:
            return self._task.uncancel() == 0
        return False


@contextmanager
def handled_signals(handler: Callable[[], object]) -> Generator[None]:
    """Have SIGINT, SIGTERM and SIGHUP handled in the running loop while the context is open.

    A signal that is ignored, as nohup has it, stays ignored. Outside of the main thread nothing is changed. A loop that
    hangs, because what reads the output has stopped reading, is interrupted by the third signal that finds it so.
    """
    loop = asyncio.get_running_loop()
    waiting = 0

    def handle() -> None:
        nonlocal waiting
        waiting -= 1
        handler()

    def signalled(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        nonlocal waiting
        if waiting == _PATIENCE:
            raise KeyboardInterrupt
        waiting += 1
        loop.call_soon_threadsafe(handle)

    with handling(dict.fromkeys(SIGNALS, signalled)):
        yield
