"""Connections to the database of a run, and the transactions on them.

Each transaction says in itself how it is committed, and how long it may wait. Nothing is set for a session, nothing is
prepared, and no lock outlives its transaction. So it works through PgBouncer, whose clients share sessions.

A transaction that failed because the server was away is tried again for some seconds: servers restart. The connection
may have been lost after the commit, before the server's word of it arrived. So all work that is given to ``run`` must
be such that to do it again changes nothing more.

The pool of psycopg is not used. It connects again at its own pace, in threads of its own, and its callers learn only
that they have waited long enough. A ledger must know the cause, within its patience.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict

from clova_ocr_async.errors import ConfigurationError, LedgerError
from clova_ocr_async.ledger.postgres.errors import StoreAwayError, ledger_error

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import LiteralString

    from clova_ocr_async.server_url import ServerURL

__all__ = [
    "COPYING",
    "PATIENCE",
    "SILENCE",
    "BoundedConnection",
    "Database",
    "connect",
    "find_holder",
    "open_connection",
]

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds for which a transaction is tried while the server is away."""

SILENCE = 120.0
"""Seconds without a byte of the server after which a statement is given up. A server that has frozen, and whose host
acknowledges what it is sent, would be waited for without end, while answers that were paid for are in memory alone."""

BEGIN_SILENCE = 15.0
"""The same for what begins a connection or a transaction, and waits for no lock. PgBouncer holds it back, for two
minutes by default, while the server behind it is away."""

LOCK_WAIT = 10.0
"""Seconds for which a transaction waits for the locks of others."""

COPYING = "clova-ocr ledger copy"
"""The beginning of the ``application_name`` of a copy: it may keep a run locked for long, and others name it then."""

_COPIES = """SELECT application_name FROM pg_stat_activity
             WHERE datname = current_database() AND starts_with(application_name, %s) ORDER BY 1"""

_PAUSE, _LONGEST_PAUSE = 0.05, 0.5  # seconds between two tries

# A process that was stopped inside a transaction keeps its locks, and the whole run waits for them: the server ends it.
# None of our transactions sleeps, so this is long. A dead network shows within seconds as well.
_BEGIN: LiteralString = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = 5000; "
    # Times are compared with what was read before: a database may be set to write fewer digits than they have.
    "SET LOCAL extra_float_digits = 1; "
    "SET LOCAL lock_timeout = {lock_wait}; SET LOCAL synchronous_commit = {durable}"
)
_DEFAULTS = {
    "application_name": "clova-ocr",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that gives up a server that has fallen silent.

    Attributes:
        silence: Seconds without a byte of it.
    """

    silence = math.inf

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait for a reply; each statement does."""
        try:
            return super().wait(_until_silent(gen, self.silence), *args, **kwargs)
        except _SilentError:
            self.close()  # the reply may yet arrive
            raise


class _SilentError(psycopg.OperationalError):
    def __init__(self) -> None:
        super().__init__("the server has fallen silent")


def _until_silent(gen: Generator[Any, Any, T], seconds: float) -> Generator[Any, Any, T]:
    """Wait as a generator of psycopg does, which is sent 0 several times a second while nothing arrives."""
    heard = time.monotonic()
    try:
        wanted = next(gen)
        while True:
            if ready := (yield wanted):
                heard = time.monotonic()
            elif time.monotonic() - heard >= seconds:
                raise _SilentError
            wanted = gen.send(ready)
    except StopIteration as done:
        return cast("T", done.value)


def connect(server: ServerURL) -> BoundedConnection:
    """Connect to a server; each statement is a transaction of its own until one is begun, and waits for ``SILENCE``.

    Args:
        server: The server.

    Raises:
        ConfigurationError: The URL has an option that PostgreSQL does not know.
        psycopg.Error: The server does not answer, or refuses.
    """
    try:
        given = conninfo_to_dict(server.url)
    except psycopg.ProgrammingError:  # its message repeats the URL
        raise ConfigurationError(
            "the URL of the run has an option that PostgreSQL does not know, or a value it cannot read; correct it"
        ) from None
    options: dict[str, Any] = _DEFAULTS | given | {"client_encoding": "UTF8"}
    if "," in options.get("host", ""):  # the first one that answers may be the standby
        options.setdefault("target_session_attrs", "read-write")
    if server.password is not None:
        options["password"] = server.password.reveal()
    db = BoundedConnection.connect(autocommit=True, prepare_threshold=None, **options)
    try:
        db.silence = BEGIN_SILENCE
        db.execute("SELECT")  # PgBouncer takes connections while the server behind it is away
        db.silence = SILENCE
    except BaseException:
        db.close()
        raise
    return db


def open_connection(server: ServerURL) -> BoundedConnection:
    """Connect to a server.

    Raises:
        ConfigurationError: As in ``connect``.
        LedgerError: The server does not answer, or refuses.
    """
    try:
        return connect(server)
    except psycopg.Error as error:
        raise ledger_error(error, server) from None


def find_holder(error: psycopg.Error, server: ServerURL) -> str:
    """Return the copies of runs that a transaction has waited for too long, as they name themselves.

    Args:
        error: The error of the transaction.
        server: The server.

    Returns:
        Their names; empty if it waited for something else, or if they cannot be found.
    """
    if not isinstance(error, psycopg.errors.LockNotAvailable):
        return ""
    try:
        with closing(connect(server)) as db:
            return " and ".join(name for (name,) in db.execute(_COPIES, (COPYING,)))
    except psycopg.Error:
        return ""


class Database:
    """The connections of one process to the database of its run; any number of threads may use it.

    Args:
        server: The server.
        patience: Seconds for which a transaction is tried while the server is away.
        clock: Returns seconds that only grow.
        pause: Waits some seconds, in this thread.
        silence: Seconds without a byte of the server after which a statement is given up.
        begin_silence: The same for the beginning of a transaction.
        lock_wait: Seconds for which a transaction waits for the locks of others.
        sends: Whether images are sent meanwhile, for the errors' words.
    """

    def __init__(
        self,
        server: ServerURL,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
        *,
        silence: float = SILENCE,
        begin_silence: float = BEGIN_SILENCE,
        lock_wait: float = LOCK_WAIT,
        sends: bool = False,
    ) -> None:
        self._server = server
        self._lock_wait = round(lock_wait * 1000)
        self._sends = sends
        self._patience = patience
        self._clock = clock
        self._pause = pause
        self._silence = silence
        self._begin_silence = min(begin_silence, silence)
        self._idle: deque[BoundedConnection] = deque()
        self._process = os.getpid()

    def run(
        self, work: Callable[[psycopg.Connection[Any]], T], *, durable: bool = True, patience: float | None = None
    ) -> T:
        """Do something in a transaction; tried again while the server is away.

        Args:
            work: Does it, on the connection. To do it again after it was committed must change nothing more.
            durable: Whether the commit must be on the server's disk when this returns.
            patience: Seconds for which it is tried; those of this object if not given.

        Raises:
            LedgerError: The server is away, or refuses.
        """
        ends, pause = self._clock() + (self._patience if patience is None else patience), 0.0
        while True:
            is_new = not self._idle
            try:
                return self._once(work, durable=durable)
            except StoreAwayError:
                self.close()  # they were lost with this one
                # Once at least with a new connection: the server may have closed the old one long ago.
                if is_new and self._clock() >= ends:
                    raise
            pause = min(2 * pause or _PAUSE, _LONGEST_PAUSE)
            self._pause(pause)

    def check_process(self) -> None:
        """Refuse to go on in the child of a fork: the connections are the parent's.

        Raises:
            LedgerError: This process is another one than the one that opened the ledger.
        """
        if os.getpid() != self._process:
            raise LedgerError("the ledger was opened before this process was forked; open it anew in each process")

    def close(self) -> None:
        """Close the connections that are not in use."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _once(self, work: Callable[[psycopg.Connection[Any]], T], *, durable: bool) -> T:
        self.check_process()
        try:
            db = self._take()
            try:
                begin = _BEGIN.format(lock_wait=self._lock_wait, durable="on" if durable else "off")
                db.silence = self._begin_silence
                db.execute(begin.encode())
                db.silence = self._silence
                result = work(db)
                db.execute("COMMIT")
            except BaseException:
                self._roll_back(db)
                raise
        except psycopg.Error as error:
            holder = find_holder(error, self._server)
            raise ledger_error(error, self._server, holder, sends=self._sends) from None
        self._idle.append(db)
        return result

    def _take(self) -> BoundedConnection:
        with suppress(IndexError):
            return self._idle.pop()
        return connect(self._server)

    def _roll_back(self, db: BoundedConnection) -> None:
        try:
            db.execute("ROLLBACK")
        except psycopg.Error:
            db.close()
        else:
            self._idle.append(db)
