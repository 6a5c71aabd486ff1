"""Runs that are copied, and copies that go wrong."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from clova_ocr_async.ledger.run_rows import Row, RunRows
    from support.stores import Store

__all__ = ["Failing", "Place"]


@dataclass
class Place:
    """A run that is copied, as the tests work on it and as ``copy_run`` takes it."""

    run: Store
    rows: RunRows


class Failing:
    """A place whose copy goes wrong in some way.

    Args:
        rows: The place.
        changed: Changes a row on its way into the copy.
        publish: Called before the copy appears.
    """

    def __init__(
        self,
        rows: RunRows,
        changed: Callable[[Row], Row] = lambda row: row,
        publish: Callable[[], object] = lambda: None,
    ) -> None:
        self.place = rows.place
        self.reading, self.exporting = rows.reading, rows.exporting
        self._rows = rows
        self._changed = changed
        self._before_publishing = publish

    @contextmanager
    def importing(self, source: str) -> Generator[Failing]:
        """Begin the run."""
        with self._rows.importing(source) as self._target:
            yield self

    def write(self, rows: Iterable[Row]) -> None:
        """Write rows."""
        self._target.write(map(self._changed, rows))

    def rows(self) -> Iterator[Row]:
        """Return the rows."""
        return self._target.rows()

    def publish(self) -> None:
        """Fail, or let the run appear."""
        self._before_publishing()
        self._target.publish()
