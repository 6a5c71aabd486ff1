"""The stores that the contract tests run against, behind one interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite.corrections import SqliteCorrections
from clova_ocr_async.ledger.sqlite.purge import purge
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from support.ledgers import crash, opened
from support.memory_corrections import MemoryCorrections
from support.memory_ledger import MemoryLedger
from support.memory_run import MemoryRun
from support.memory_view import MemoryView, purge_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clova_ocr_async.ledger import Purged, RunCorrections, RunLedger, RunView

__all__ = ["STORES", "Store"]


class Store(Protocol):
    """One run in a store: its four entry points, and a way to kill a process."""

    def open(self, **settings: Any) -> RunLedger:
        """Return a ledger of the run, for one process."""
        ...

    def view(self, **settings: Any) -> RunView:
        """Return a view of the run."""
        ...

    def correct(self, **settings: Any) -> RunCorrections:
        """Return the record of corrections of the run."""
        ...

    def purge(self, older_than: float | None = None, **settings: Any) -> Purged:
        """Purge the run."""
        ...

    async def crash(self, ledger: Any) -> None:
        """End a ledger as kill -9 does."""
        ...


class SqliteRun:
    """A run directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "run"

    def open(self, **settings: Any) -> RunLedger:
        """Return a ledger of the run."""
        return opened(self._folder, **settings)

    def view(self, **settings: Any) -> RunView:
        """Return a view of the run."""
        return RunReader(self._folder, **settings)

    def correct(self, **settings: Any) -> RunCorrections:
        """Return the record of corrections of the run."""
        return SqliteCorrections(self._folder, **settings)

    def purge(self, older_than: float | None = None, **settings: Any) -> Purged:
        """Purge the run."""
        return purge(self._folder, NoSeal(), older_than, **settings)

    async def crash(self, ledger: Any) -> None:
        """End a ledger as kill -9 does."""
        await crash(ledger)


class RunInMemory:
    """A run in memory."""

    def __init__(self, _: Path) -> None:
        self._run = MemoryRun()

    def open(self, **settings: Any) -> RunLedger:
        """Return a ledger of the run."""
        return MemoryLedger(self._run, **settings)

    def view(self, **settings: Any) -> RunView:
        """Return a view of the run."""
        return MemoryView(self._run, **settings)

    def correct(self, **settings: Any) -> RunCorrections:
        """Return the record of corrections of the run."""
        return MemoryCorrections(self._run, **settings)

    def purge(self, older_than: float | None = None, **settings: Any) -> Purged:
        """Purge the run."""
        return purge_memory(self._run, older_than, **settings)

    async def crash(self, ledger: Any) -> None:
        """End a ledger as kill -9 does."""
        ledger.crash()


STORES: dict[str, Callable[[Path], Store]] = {"sqlite": SqliteRun, "memory": RunInMemory}
"""By name, the class of an empty run; its argument is a folder of its own."""
