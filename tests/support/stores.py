"""The stores that the contract tests run against, behind one interface."""

from __future__ import annotations

import asyncio
import itertools
import os
from typing import TYPE_CHECKING, Any, Protocol

from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite.corrections import SqliteCorrections
from clova_ocr_async.ledger.sqlite.purge import purge
from clova_ocr_async.ledger.sqlite.run_rows import SqliteRunRows
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from support.ledgers import crash, opened
from support.memory_corrections import MemoryCorrections
from support.memory_ledger import MemoryLedger
from support.memory_run import MemoryRun
from support.memory_view import MemoryView, purge_memory
from support.servers import shared_database

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clova_ocr_async.ledger import Purged, RunCorrections, RunLedger, RunView
    from clova_ocr_async.ledger.run_rows import RunRows

__all__ = ["STORES", "Store", "crash_postgres"]


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

    def rows(self, **settings: Any) -> RunRows:
        """Return the run as what ``copy_run`` takes."""
        return SqliteRunRows(self._folder, **settings)

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


class PostgresRun:
    """A run in a database that it shares with those of other tests; imported late, as it needs the extra postgres."""

    _names = itertools.count(1)

    def __init__(self, _: Path) -> None:
        self._url = f"{shared_database()}?run=run%20{next(self._names)}"

    def open(self, **settings: Any) -> RunLedger:
        """Return a ledger of the run."""
        from clova_ocr_async.ledger import PostgresLedger  # noqa: PLC0415 - as above

        return PostgresLedger(self._url, **({"sleep": lambda _: asyncio.sleep(0.002)} | settings))

    def rows(self, **settings: Any) -> RunRows:
        """Return the run as what ``copy_run`` takes."""
        from clova_ocr_async.ledger.postgres.run_rows import PostgresRunRows  # noqa: PLC0415 - as above

        return PostgresRunRows(self._url, **settings)

    def view(self, **settings: Any) -> RunView:
        """Return a view of the run."""
        from clova_ocr_async.ledger.postgres.run_view import PostgresRunReader  # noqa: PLC0415 - as above

        return PostgresRunReader(self._url, **settings)

    def correct(self, **settings: Any) -> RunCorrections:
        """Return the record of corrections of the run."""
        from clova_ocr_async.ledger.postgres.corrections import PostgresCorrections  # noqa: PLC0415 - as above

        return PostgresCorrections(self._url, **settings)

    def purge(self, older_than: float | None = None, **settings: Any) -> Purged:
        """Purge the run."""
        from clova_ocr_async.ledger.postgres.purge import purge  # noqa: PLC0415 - as above

        return purge(self._url, NoSeal(), older_than, **settings)

    async def crash(self, ledger: Any) -> None:
        """End a ledger as kill -9 does, after it has done what is due, as the others do."""
        ledger._this_owner.renew_if_due(ledger._database)  # noqa: SLF001 - no method does only that
        await crash_postgres(ledger)


async def crash_postgres(ledger: Any) -> None:
    """End a ledger in PostgreSQL as kill -9 does: nothing is given back, and its file stays without a lock."""
    ledger._keeping.cancel()  # noqa: SLF001 - no seam ends a process halfway
    await ledger._threads.close()  # noqa: SLF001 - as above
    ledger._database.close()  # noqa: SLF001 - as above
    os.close(ledger._this_owner.overflow._file._descriptor)  # noqa: SLF001 - as above


STORES: dict[str, Callable[[Path], Store]] = {"sqlite": SqliteRun, "memory": RunInMemory, "postgres": PostgresRun}
"""By name, the class of an empty run; its argument is a folder of its own."""
