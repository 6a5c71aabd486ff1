"""How far a batch is: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from clova_ocr_async.cli.terminal.stderr import say

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from clova_ocr_async.cli.terminal.counts import Tally

__all__ = ["Progress", "shown_progress"]

_EVERY = 5.0  # seconds between two lines


class Progress(Protocol):
    """Shows a tally."""

    def update(self, tally: Tally) -> None:
        """Show it, if it is time to."""
        ...


class _Lines:
    """A line every few seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()

    def update(self, tally: Tally) -> None:
        if self._clock() - self._last >= _EVERY:
            self._last = self._clock()
            say(tally.progress())


class _Nothing:
    """For --quiet."""

    def update(self, tally: Tally) -> None:
        pass


@contextmanager
def shown_progress(
    *, quiet: bool, bar_fits: bool = True, clock: Callable[[], float] = time.monotonic
) -> Generator[Progress]:
    """Show progress on stderr while the context is open.

    Args:
        quiet: Show none.
        bar_fits: Whether a terminal is free for a bar; answers written to it as well would tear it.
        clock: Returns seconds that only grow.
    """
    # Python leaves None where the shell's 2>&- has closed it, which type checkers do not know.
    if quiet or vars(sys)["stderr"] is None:
        yield _Nothing()
    elif bar_fits and sys.stderr.isatty():
        from clova_ocr_async.cli.terminal.bar import shown_bar

        with shown_bar() as bar:
            yield bar
    else:
        yield _Lines(clock)
