"""The progress bar of a terminal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as RichProgress

if TYPE_CHECKING:
    from collections.abc import Generator

    from clova_ocr_async.cli.terminal.counts import Tally

__all__ = ["shown_bar"]


class _Bar:
    def __init__(self, progress: RichProgress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def update(self, tally: Tally) -> None:
        """Show a tally."""
        self._progress.update(self._task, completed=tally.done, total=tally.total, description=tally.progress())


@contextmanager
def shown_bar(console: Console | None = None) -> Generator[_Bar]:
    """Show a bar while the context is open, on stderr unless another console is given."""
    console = console or Console(stderr=True)
    spinner = "line" if console.options.ascii_only else "dots"
    columns = (SpinnerColumn(spinner), BarColumn(), TextColumn("{task.description}"))
    with RichProgress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress)
