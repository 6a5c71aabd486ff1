"""A run that is in a PostgreSQL database already, for what reads or changes it and begins none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.overflow_file import has_records
from clova_ocr_async.ledger.postgres.connection import open_connection
from clova_ocr_async.ledger.postgres.database_identity import DatabaseIdentity, identify_database
from clova_ocr_async.ledger.postgres.errors import ledger_error, server_name
from clova_ocr_async.ledger.postgres.location import run_location
from clova_ocr_async.ledger.postgres.overflow_place import files_of_run, overflow_folder
from clova_ocr_async.ledger.postgres.schema import is_current_version, require_own_tables, version_of
from clova_ocr_async.ledger.run_settings import compare_seals
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.protocol.echoed_input import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import LiteralString

    from psycopg import Connection

    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.server_url import ServerURL

__all__ = [
    "ExistingRun",
    "find_run",
    "lock_run",
    "moved_error",
    "require_current_version",
    "run_exists",
    "waiting_files",
]


@dataclass(frozen=True, slots=True)
class ExistingRun:
    """A run as the database has it.

    Attributes:
        number: Its number in the database.
        token: Its random name, which its overflow files have.
        seal: The name of its seal.
        seal_check: A known text, sealed; None without a key.
        store: "full" if answers are stored, "none" if not.
        services: The services that it is bound to.
        calls: Calls that were billed or may have been.
        max_calls: The call limit; None for any number.
        last_correction: The largest number that a correction has had.
        moved_to: Where it was copied to, and is worked on from then on; None if it was not.
        database: The database that it was worked on in.
    """

    number: int
    token: str
    seal: str
    seal_check: bytes | None
    store: str
    services: tuple[str, ...]
    calls: int
    max_calls: int | None
    last_correction: int
    moved_to: str | None
    database: DatabaseIdentity

    @property
    def sealed(self) -> str | None:
        """The name of its seal; None if its answers are readable."""
        return None if self.seal == NoSeal.name else self.seal

    def check_seal(self, seal: Seal) -> None:
        """Refuse a seal that is not the run's.

        Raises:
            LedgerError: It is not.
        """
        compare_seals(self.seal, self.seal_check, seal)

    def check_not_moved(self) -> None:
        """Refuse a run that was copied to another place: both would pay for the images that neither has.

        Raises:
            LedgerError: It was.
        """
        if self.moved_to is not None:
            raise moved_error(self.moved_to)

    def check_database(self, found: DatabaseIdentity) -> None:
        """Refuse a run in a copy of its database: both would pay for the images that neither has.

        Args:
            found: The database that it is in.

        Raises:
            LedgerError: It is a copy, or was moved or restored.
        """
        if not self.database.is_same(found):
            raise LedgerError(
                "this database is a copy, or was moved or restored: the run was worked on in another one, and two "
                "copies would each pay for the same images; if no other copy is worked on any more, go on with this "
                "one by --run-moved (in Python: PostgresLedger(…, moved=True))"
            )

    def waiting_files(self, find_folder: Callable[[], Path] = overflow_folder) -> list[Path]:
        """Return the files of this host with results that the database does not have yet.

        Args:
            find_folder: Returns the folder of such files, or raises a LedgerError.
        """
        try:
            folder = find_folder()
        except LedgerError:  # this user has no home, so no ledger was opened here
            return []
        return [path for path in files_of_run(folder, self.token) if has_records(path)]


_FIND = """SELECT id, token, seal, seal_check, store, coalesce(services, '{}'), calls, max_calls,
                  last_correction, moved_to, system, database
           FROM clova_ocr.run WHERE name = %s"""


def run_exists(dsn: str | ServerURL, run: str | None = None) -> bool:
    """Return whether a run was begun.

    Args:
        dsn: The URL of the database: ``postgresql://user@host:port/database``, also with ``?run=NAME``.
        run: The name of the run, unless the URL has it.

    Raises:
        ConfigurationError: The URL cannot be one.
        LedgerError: The server does not answer, or refuses.
    """
    server = run_location(dsn, run)
    db = open_connection(server)
    try:
        return version_of(db) > 0 and db.execute(_FIND, (server.run,)).fetchone() is not None
    except psycopg.Error as error:
        raise ledger_error(error, server) from None
    finally:
        db.close()


def find_run(db: Connection[Any], server: ServerURL) -> ExistingRun:
    """Return the run that a URL names.

    Raises:
        LedgerError: There is none.
    """
    return _found(db.execute(_FIND, (server.run,)).fetchone(), server)


def lock_run(db: Connection[Any], server: ServerURL) -> ExistingRun:
    """Return the run that a URL names, and keep others from changing its row until the transaction ends.

    Raises:
        LedgerError: There is none.
    """
    return _found(db.execute(f"{_FIND} FOR UPDATE", (server.run,)).fetchone(), server)


def waiting_files(db: Connection[Any], run: ExistingRun) -> list[Path]:
    """Return the overflow files of a run on this host; in a copy of its database they are those of the original."""
    return run.waiting_files() if run.database.is_same(identify_database(db)) else []


def require_current_version(
    db: Connection[Any], server: ServerURL, migrations: Sequence[LiteralString] | None = None
) -> None:
    """Refuse tables of another version, or of another program.

    Args:
        db: The connection.
        server: The server, with the name of the run.
        migrations: The migrations that this version knows; those of the schema if not given.

    Raises:
        LedgerError: There are none, or others wrote them.
    """
    require_own_tables(db)
    if is_current_version(db, migrations):
        return
    if not version_of(db):
        raise _no_run(server)
    raise LedgerError(
        f"the tables of {server_name(server)} are of an older version of clova-ocr-async; run the batch again, which "
        "brings them up to date"
    )


def moved_error(place: str) -> LedgerError:
    """Return the error of a run that was copied to another place."""
    return LedgerError(
        f"this run was copied to {place}, and is worked on there from then on; if that copy is not worked on any more, "
        "copy it back (clova-ocr ledger copy), or go on with this one by --run-moved (in Python: PostgresLedger(…, "
        "moved=True))"
    )


def _found(row: tuple[Any, ...] | None, server: ServerURL) -> ExistingRun:
    if row is None:
        raise _no_run(server)
    number, token, seal, check, store, services, calls, limit, last_correction, moved_to, *database = row
    return ExistingRun(
        *(number, token, seal, check, store, tuple(services), calls, limit, last_correction, moved_to),
        DatabaseIdentity(*database),
    )


def _no_run(server: ServerURL) -> LedgerError:
    return LedgerError(
        f"{server_name(server)} has no run {quoted(server.run or '')} in this database; give the name of a run that a "
        "batch has begun"
    )
