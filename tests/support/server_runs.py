"""A store on a server that is a folder: what is done with the URL of a run, without a server."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING

from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.corrections import SqliteCorrections
from clova_ocr_async.ledger.sqlite.purge import purge
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.sqlite.run_rows import SqliteRunRows
from clova_ocr_async.ledger.sqlite.run_view import RunReader

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.server_url import ServerURL

__all__ = ["POSTGRES_MODULE", "folder_postgres"]

POSTGRES_MODULE = "clova_ocr_async.ledger.postgres"
"""The module that opens runs on PostgreSQL."""


def folder_postgres(folder: Path) -> types.ModuleType:
    """Return a module in its place, whose runs are folders in a folder; ``opened`` has the URLs it was given."""
    opened: list[ServerURL] = []

    def place(url: ServerURL) -> Path:
        opened.append(url)
        return folder / str(url.run)

    module = types.ModuleType(POSTGRES_MODULE)
    vars(module).update(
        opened=opened,
        PostgresLedger=lambda url, **settings: SqliteLedger(place(url), **settings),
        PostgresRunReader=lambda url, seal: RunReader(place(url), seal),
        PostgresCorrections=lambda url, seal: SqliteCorrections(place(url), seal),
        PostgresRunRows=lambda url: SqliteRunRows(place(url)),
        purge=lambda url, seal, older_than: purge(place(url), seal, older_than),
        overflow_files_of=lambda _: sorted(folder.glob("*.overflow")),
        run_exists=lambda url: (place(url) / LEDGER).exists(),
    )
    return module
