"""Progress of a batch: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from clova_ocr_async.cli.terminal.stderr import echo_stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.console import Console
    from rich.progress import Progress as RichProgress

    from clova_ocr_async.cli.terminal.counts import Counts

__all__ = ["Progress", "shown_bar", "shown_progress"]

_EVERY = 5.0  # seconds between two lines: a log of an hour stays readable


class Progress(Protocol):
    """Shows the counts of a batch."""

    def update(self, counts: Counts) -> None:
        """Show the counts, if it is time to."""
        ...


class _Lines:
    """Prints a line every few seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()

    def update(self, counts: Counts) -> None:
        if self._clock() - self._last >= _EVERY:
            self._last = self._clock()
            echo_stderr(counts.progress_line())


class _Nothing:
    """Shows nothing, for --quiet."""

    def update(self, counts: Counts) -> None:
        pass


class _Bar:
    """Shows a bar."""

    def __init__(self, progress: RichProgress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def update(self, counts: Counts) -> None:
        self._progress.update(self._task, completed=counts.done, total=counts.total, description=counts.progress_line())


@contextmanager
def shown_progress(
    *, quiet: bool, bar_fits: bool = True, clock: Callable[[], float] = time.monotonic
) -> Generator[Progress]:
    """Show progress on standard error while the context is open.

    Args:
        quiet: Show none.
        bar_fits: Whether a terminal is free for a bar. Answers that are written to the same terminal would tear it.
        clock: Returns seconds that only grow.
    """
    # Python leaves None where the shell's 2>&- has closed it, which type checkers do not know.
    if quiet or vars(sys)["stderr"] is None:
        yield _Nothing()
    elif bar_fits and sys.stderr.isatty():
        with shown_bar() as bar:
            yield bar
    else:
        yield _Lines(clock)


@contextmanager
def shown_bar(console: Console | None = None) -> Generator[Progress]:
    """Show a bar while the context is open, on standard error unless another console is given."""
    from rich.console import Console  # rich is slow to import, and most commands show no bar
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as RichProgress

    console = console or Console(stderr=True)
    spinner = "line" if console.options.ascii_only else "dots"
    columns = (SpinnerColumn(spinner), BarColumn(), TextColumn("{task.description}"))
    with RichProgress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress)
