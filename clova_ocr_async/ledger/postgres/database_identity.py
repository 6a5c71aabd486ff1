"""The identity of a database, to refuse a copy of it: runs in both would pay for the same images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["DatabaseIdentity", "identify_database"]

_MAY_READ = "SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"
_SYSTEM = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()"
_NUMBER = "SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = current_database()"


@dataclass(frozen=True, slots=True)
class DatabaseIdentity:
    """A database, as a run stores it.

    A dump that is restored is another database. A standby that takes over is the same one, and so is a copy of the
    server's files: the two cannot be told apart.

    Attributes:
        system: The identifier of the server's files; empty where this user may not read it.
        number: The number of the database on its server.
    """

    system: str
    number: int

    def is_same(self, other: DatabaseIdentity) -> bool:
        """Return whether two are one database, as far as the server shows."""
        if self.system and other.system and self.system != other.system:
            return False
        return self.number == other.number


def identify_database(db: Connection[Any]) -> DatabaseIdentity:
    """Return the identity of the database of a connection."""
    system = ""
    # Apart from the reading, whose permission is checked before anything is read. Some hosting services take it away.
    if _value(db, _MAY_READ):
        system = _value(db, _SYSTEM)
    return DatabaseIdentity(system, _value(db, _NUMBER))


def _value(db: Connection[Any], query: str) -> Any:
    row = db.execute(query.encode()).fetchone()
    assert row is not None  # noqa: S101 - each of these has one row
    return row[0]
