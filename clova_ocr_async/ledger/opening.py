"""A run opened by its location: a run directory, or the URL of a run on PostgreSQL.

The store on PostgreSQL is imported when the first URL is opened, because the base install has no library for it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from clova_ocr_async.extras import load_module
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.corrections import SqliteCorrections
from clova_ocr_async.ledger.sqlite.purge import purge as purge_directory
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.sqlite.run_rows import SqliteRunRows
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.server_url import POSTGRES, ServerURL, is_url, parse_server_url, require_run

if TYPE_CHECKING:
    from clova_ocr_async.ledger.run_rows import RunRows
    from clova_ocr_async.ledger.run_settings import AnswerStorage, CallLimit
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.ledger.storage import Purged, RunCorrections, RunLedger, RunView

__all__ = [
    "RunLocation",
    "locate",
    "open_corrections",
    "open_ledger",
    "open_view",
    "purge",
    "run_exists",
    "run_rows",
    "waiting_files",
]

RunLocation = str | os.PathLike[str] | ServerURL
"""A run directory, or the URL of a run: ``postgresql://user@host:port/database?run=NAME``."""


def locate(run: RunLocation, name: str = "the URL of the run") -> str | os.PathLike[str] | ServerURL:
    """Return the location of a run: a URL is parsed, and its password taken off; a path stays as it is.

    Args:
        run: The location.
        name: What holds it, for errors.

    Raises:
        ConfigurationError: It is a URL, and none of a run on PostgreSQL.
    """
    if not isinstance(run, ServerURL) and not is_url(os.fsdecode(run)):
        return run
    url = run if isinstance(run, ServerURL) else os.fsdecode(run)
    return require_run(parse_server_url(url, POSTGRES, name), name)


def run_exists(run: RunLocation) -> bool:
    """Return whether a run was begun at a location.

    Raises:
        ConfigurationError: The location cannot be one, or the extra is not installed.
        LedgerError: The server cannot be asked.
    """
    place = locate(run)
    if not isinstance(place, ServerURL):
        return Path(place, LEDGER).exists()
    return bool(_postgres().run_exists(place))


def open_ledger(
    run: RunLocation,
    *,
    seal: Seal | None = None,
    store: AnswerStorage | None = None,
    max_calls: CallLimit | None = None,
    moved: bool = False,
) -> RunLedger:
    """Return the ledger of a run, to be entered; the run is begun if it is not there.

    Args:
        run: The location.
        seal: As for ``RunLedger``, and so the next two.
        store: Which answers are kept.
        max_calls: The call limit.
        moved: Whether no other copy of the run is worked on any more, as for ``SqliteLedger`` and ``PostgresLedger``.

    Raises:
        ConfigurationError: The location cannot be one, an argument cannot work, or the extra is not installed.
    """
    place = locate(run)
    if not isinstance(place, ServerURL):
        return SqliteLedger(place, seal=seal, store=store, max_calls=max_calls, moved=moved)
    ledger = _postgres().PostgresLedger(place, seal=seal, store=store, max_calls=max_calls, moved=moved)
    return cast("RunLedger", ledger)


def open_view(run: RunLocation, seal: Seal | None = None) -> RunView:
    """Return a view of a run, to be entered.

    Args:
        run: The location.
        seal: As for ``RunView``.

    Raises:
        ConfigurationError: The location cannot be one, or the extra is not installed.
    """
    place = locate(run)
    if not isinstance(place, ServerURL):
        return RunReader(place, seal)
    return cast("RunView", _postgres().PostgresRunReader(place, seal))


def open_corrections(run: RunLocation, seal: Seal | None = None) -> RunCorrections:
    """Return the record of the corrections of a run, to be entered; arguments and errors as for ``open_view``."""
    place = locate(run)
    if not isinstance(place, ServerURL):
        return SqliteCorrections(place, seal)
    return cast("RunCorrections", _postgres().PostgresCorrections(place, seal))


def purge(run: RunLocation, seal: Seal, older_than: float | None = None) -> Purged:
    """Remove stored answers, their corrections and the messages of errors. States, keys and ids of images stay.

    An image whose answer is removed stays succeeded, and is never paid for again.

    Args:
        run: The location.
        seal: The run's encryption.
        older_than: Seconds; younger ones stay. None to remove all.

    Raises:
        ConfigurationError: The location cannot be one, or the extra is not installed.
        LedgerError: As for ``PurgeRun``.
    """
    place = locate(run)
    if not isinstance(place, ServerURL):
        return purge_directory(place, seal, older_than)
    return cast("Purged", _postgres().purge(place, seal, older_than))


def run_rows(run: RunLocation) -> RunRows:
    """Return the rows of a run, for a copy of it; arguments and errors as for ``open_view``."""
    place = locate(run)
    if not isinstance(place, ServerURL):
        return SqliteRunRows(place)
    return cast("RunRows", _postgres().PostgresRunRows(place))


def waiting_files(run: RunLocation) -> list[Path]:
    """Return the files outside of a run in which this host keeps results that its server could not take.

    The server is not asked. A file that was written under another spelling of the URL is not found.

    Args:
        run: The location.

    Raises:
        ConfigurationError: The location cannot be one, or the extra is not installed.
        LedgerError: The user has no home folder.
    """
    place = locate(run)
    return list(_postgres().overflow_files_of(place)) if isinstance(place, ServerURL) else []


def _postgres() -> Any:
    return load_module("clova_ocr_async.ledger.postgres", "a run on PostgreSQL", "postgres")
