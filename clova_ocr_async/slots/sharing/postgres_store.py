"""The PostgreSQL table in which processes of several hosts share their slots.

Each request is a transaction of its own and leaves nothing in the session, so PgBouncer may stand before the server.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.ledger.postgres.connection import BoundedConnection
from clova_ocr_async.ledger.postgres.errors import cause_of
from clova_ocr_async.slots.sharing.server_store import ServerGateStore, one_line
from clova_ocr_async.slots.sharing.store import StoreAwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.server_url import Password
    from clova_ocr_async.slots.sharing.server_store import Change

__all__ = ["PostgresGateStore"]

# In one schema, whoever asks: a user's own schema comes before it on the search path, and would have other slots.
_CREATE = "CREATE TABLE IF NOT EXISTS public.clova_slots (domain text PRIMARY KEY, state text NOT NULL)"
_MAY_CREATE = "SELECT has_schema_privilege('public', 'CREATE')"
_READ = """
    SELECT asked.name, stored.state, extract(epoch FROM clock_timestamp())::float8
    FROM unnest(%s::text[]) AS asked(name) LEFT JOIN public.clova_slots AS stored ON stored.domain = asked.name
"""
_SWAP = """
    INSERT INTO public.clova_slots AS stored (domain, state) VALUES (%s, %s)
    ON CONFLICT (domain) DO UPDATE SET state = excluded.state WHERE stored.state = %s
"""
# Sent together with each statement, as one transaction.
_BOUNDS = "SET LOCAL statement_timeout = 3000; SET LOCAL lock_timeout = 2000;"  # milliseconds
_CONNECTION: dict[str, Any] = {
    "connect_timeout": 2,  # seconds
    # A server that vanishes is noticed within some seconds, whether it owes an answer or an acknowledgement.
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 4000,  # milliseconds
}
_SILENCE = 6.0  # seconds without a byte of the server, which ends each statement long before, unless it has frozen
_REFUSALS = frozenset({"28000", "28P01", "3D000", "F0000"})  # of a connection: TLS, user, database, service
_WHERE = re.compile(
    r"^(?:connection failed: )?connection to server .*? failed: |\b(?:FATAL|ERROR): "
)  # in libpq's words, once ours are there


class PostgresGateStore(ServerGateStore):
    """A table with one row a domain; a ``GateStore``. It is created with its first use.

    Args:
        url: The URL of the database, without a password.
        password: The password; if not given, libpq looks for one in ``PGPASSWORD``, ``~/.pgpass`` and service files.
        silence: Seconds without a byte of the server after which it is away.

    Raises:
        ConfigurationError: The URL has an option that does not exist.
    """

    def __init__(self, url: str, password: Password | None = None, *, silence: float = _SILENCE) -> None:
        super().__init__()
        self._silence = silence
        self._place = url.partition("?")[0]
        self._password = password
        self._db: BoundedConnection | None = None
        try:
            self._settings: dict[str, Any] = _CONNECTION | conninfo_to_dict(url)
            if "," in self._settings.get("host", ""):  # the first one that answers may be the standby
                self._settings.setdefault("target_session_attrs", "read-write")
        except psycopg.Error as error:
            reason = one_line(error, None)
        else:
            return
        raise ConfigurationError(f"{self._place} cannot be used: {reason}")

    def check(self) -> None:
        """Reach the database once, and change nothing there; see ``ServerGateStore.check``."""
        self._run(_READ, [[]], creates=False)

    def read(self, names: Sequence[str]) -> tuple[float, dict[str, bytes]]:
        """Return the server's time and the values of some domains; see ``ServerGateStore.read``."""
        rows = self._run(_READ, [list(names)]).fetchall()
        return max(now for _, _, now in rows), {name: state.encode() for name, state, _ in rows if state is not None}

    def swap(self, changes: Sequence[Change]) -> bool:
        """Replace the values of some domains; see ``ServerGateStore.swap``."""
        return all(self._run(_SWAP, [name, new.decode(), old.decode()]).rowcount for name, old, new in changes)

    def close(self) -> None:
        """Close the connection."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _run(
        self, statement: LiteralString, parameters: Sequence[object], *, creates: bool = True
    ) -> psycopg.Cursor[Any]:
        try:
            try:
                return self._execute(statement, parameters)
            except errors.UndefinedTable:
                if not creates:
                    return self._require_right_to_create()
                # Another process may do the same at this moment, which PostgreSQL does not expect.
                with suppress(errors.UniqueViolation, errors.DuplicateTable, errors.DuplicateObject):
                    self._execute(_CREATE, [])
                return self._execute(statement, parameters)
        except psycopg.Error as error:
            away = self._away(error)
        # Raised out here: the frames of the library hold the password.
        raise away

    def _require_right_to_create(self) -> psycopg.Cursor[Any]:
        answer = self._execute(_MAY_CREATE, [])
        if answer.fetchone() != (True,):
            raise errors.InsufficientPrivilege("permission denied for schema public")
        return answer

    def _execute(self, statement: LiteralString, parameters: Sequence[object]) -> psycopg.Cursor[Any]:
        if self._db is None:
            settings = self._settings.copy()
            if self._password is not None:
                settings["password"] = self._password.reveal()
            # The cursor puts the parameters into the text: only so can several statements be sent as one.
            cursors = psycopg.ClientCursor
            self._db = BoundedConnection.connect(
                "", autocommit=True, prepare_threshold=None, cursor_factory=cursors, **settings
            )
            self._db.silence = self._silence
        cursor = self._db.execute(_BOUNDS + statement, parameters)
        while cursor.nextset():
            pass  # the last result is that of the statement
        return cursor

    def _away(self, error: psycopg.Error) -> StoreAwayError:
        code, words = cause_of(error)
        said = _WHERE.sub("", one_line(error, None if self._password is None else self._password.reveal()))
        if isinstance(error, errors.InsufficientPrivilege):
            words = (
                "does not allow this user what slots need; the owner of the database must run: "
                f"{_CREATE}; GRANT SELECT, INSERT, UPDATE ON public.clova_slots TO this user"
            )
        reason = f"the server {words} ({said})" if words else said
        wrong = (error.sqlstate is None and code in _REFUSALS) or isinstance(error, psycopg.ProgrammingError)
        return StoreAwayError(self._place, reason, permanent=wrong)
