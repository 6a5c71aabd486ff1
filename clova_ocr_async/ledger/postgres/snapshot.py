"""A run in PostgreSQL as it is at one moment: a read-only transaction that keeps no other one waiting."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from clova_ocr_async.ledger.postgres import owners
from clova_ocr_async.ledger.postgres.connection import SILENCE, connect
from clova_ocr_async.ledger.postgres.errors import ledger_error
from clova_ocr_async.ledger.postgres.existing_run import find_run, require_current_version

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import LiteralString

    from clova_ocr_async.host.processes import Process
    from clova_ocr_async.ledger.postgres.connection import BoundedConnection
    from clova_ocr_async.ledger.postgres.existing_run import ExistingRun
    from clova_ocr_async.server_url import ServerURL

__all__ = ["Moment", "RunSnapshots", "blocks_of"]

# Between two blocks of rows pictures may be drawn, for longer than a server may let a transaction wait. That of a
# process that was stopped is not kept for ever, since it holds up the cleaning of the database.
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 600000"  # ms
_cursors = itertools.count(1)


def blocks_of(
    db: psycopg.Connection[Any], query: LiteralString, size: int, **values: object
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of a query in blocks, in the caller's transaction; the server keeps those that are not taken yet.

    Args:
        db: The connection.
        query: The query.
        size: Rows of a block.
        values: The values of the query's parameters.
    """
    cursor = f"clova_{next(_cursors)}"
    db.execute(f"DECLARE {cursor} NO SCROLL CURSOR FOR {query}".encode(), values)
    while found := db.execute(f"FETCH {size} FROM {cursor}".encode(), binary=True).fetchall():
        yield found
    # Where a caller takes no more rows, the end of the transaction closes it.
    db.execute(f"CLOSE {cursor}".encode())


@dataclass(frozen=True, slots=True)
class Moment:
    """A run at one moment.

    Attributes:
        db: The connection, in the transaction.
        run: The run.
        living: The owners that are alive.
    """

    db: psycopg.Connection[Any]
    run: ExistingRun
    living: tuple[int, ...]

    def rows(self, query: LiteralString, **values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query about the run."""
        return self.db.execute(query, {"run": self.run.number} | values, binary=True).fetchall()

    def row(self, query: LiteralString, **values: object) -> tuple[Any, ...]:
        """Return the only row of a query about the run."""
        (row,) = self.rows(query, **values)
        return row

    def counted(self, query: LiteralString) -> Counter[str]:
        """Return the sums of a query that gives words with numbers."""
        counts: Counter[str] = Counter()
        for word, count in self.rows(query):
            counts[word] += count
        return counts

    def blocks(self, query: LiteralString, size: int, **values: object) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a query about the run in blocks."""
        return blocks_of(self.db, query, size, run=self.run.number, **values)


class RunSnapshots:
    """A connection that reads one run, each time at one moment; for one thread.

    Args:
        server: The server, with the name of the run.
        process: The process that reads.
        clock: Returns seconds of the clock that leases end by; None for the server's.
        silence: Seconds without a byte of the server after which a statement is given up.
    """

    def __init__(
        self,
        server: ServerURL,
        process: Process,
        clock: Callable[[], float] | None = None,
        *,
        silence: float = SILENCE,
    ) -> None:
        self._server = server
        self._process = process
        self._clock = clock
        self._silence = silence
        self._db: BoundedConnection | None = None
        self._moment: Moment | None = None

    @contextmanager
    def take(self) -> Generator[Moment]:
        """Read at one moment; a snapshot within another is part of that.

        Raises:
            LedgerError: There is no such run, or the database cannot be read.
        """
        try:
            if self._moment is None:
                with self._transaction() as moment:
                    yield moment
            else:
                yield self._moment
        except psycopg.Error as error:
            raise ledger_error(error, self._server) from None

    @contextmanager
    def _transaction(self) -> Generator[Moment]:
        db = self._connected()
        db.execute(_BEGIN)
        try:
            run = find_run(db, self._server)
            clock = None if self._clock is None else self._clock()
            self._moment = Moment(db, run, tuple(owners.living_owners(db, run.number, self._process, clock)))
            yield self._moment
        finally:
            self._moment = None
            with suppress(psycopg.Error):  # it was closed before all rows were taken, or is lost
                db.execute("ROLLBACK")

    def _connected(self) -> BoundedConnection:
        # A view may be open for days, in which the server restarts.
        if self._db is None or self._db.closed:
            self._db = connect(self._server)
            self._db.silence = self._silence
            require_current_version(self._db, self._server)
        return self._db

    def close(self) -> None:
        """Close the connection."""
        if self._db is not None:
            self._db.close()
