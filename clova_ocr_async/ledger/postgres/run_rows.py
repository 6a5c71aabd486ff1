"""A run in PostgreSQL as rows: read to be copied, or written as the copy of another run, in one transaction."""

from __future__ import annotations

import os
import platform
import secrets
from array import array
from contextlib import contextmanager
from itertools import compress, groupby, islice
from typing import TYPE_CHECKING, Any, cast

import msgspec
import psycopg

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.postgres import owners
from clova_ocr_async.ledger.postgres.connection import COPYING, find_holder, open_connection
from clova_ocr_async.ledger.postgres.database_identity import identify_database
from clova_ocr_async.ledger.postgres.errors import ledger_error
from clova_ocr_async.ledger.postgres.existing_run import find_run, lock_run, require_current_version, waiting_files
from clova_ocr_async.ledger.postgres.location import run_location
from clova_ocr_async.ledger.postgres.schema import migrate
from clova_ocr_async.ledger.postgres.snapshot import RunSnapshots, blocks_of
from clova_ocr_async.ledger.run_rows import (
    LOST_OWNER,
    AnswerRow,
    CorrectionRow,
    ItemRow,
    Row,
    SettingsRow,
    SourceRow,
    occupied_error,
    waiting_error,
)
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from typing import LiteralString

    from psycopg import Connection

    from clova_ocr_async.ledger.postgres.existing_run import ExistingRun
    from clova_ocr_async.server_url import ServerURL

__all__ = ["PostgresRunRows"]

_BLOCK = 64  # rows a query; each may bring an answer of megabytes into memory
_IDS = 10_000  # of rows, a query
_SILENCE = 900.0  # seconds without a byte of the server: one statement may delete millions of rows
_SET = (
    "SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = 10000; "
    "SET LOCAL idle_in_transaction_session_timeout = 0"  # the other store may be slow
)
# A process that slept past its lease may still bring in an answer: what is copied is of one moment.
_BEGIN_EXPORT = f"BEGIN ISOLATION LEVEL REPEATABLE READ; {_SET}"
_BEGIN_IMPORT = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_SET}"
# Numbers from 1 without gaps, whatever the ids are.
_NUMBERED = """(SELECT id, answer, row_number() OVER (ORDER BY id) AS number
                FROM clova_ocr.item WHERE run = %(run)s) AS item"""
_SETTINGS = """SELECT seal, seal_check, store, services, base_folder, calls, max_calls, largest_answer, last_correction
               FROM clova_ocr.run WHERE id = %(run)s"""
_SELECTIONS: dict[type[Row], LiteralString] = {
    ItemRow: """SELECT sha256, document, page, recipe, state, owner IS NOT NULL, attempts, maybe_billed, billing,
                       request_id, sent_at, finished_at, elapsed, failure, was, picture, interrupted
                FROM clova_ocr.item WHERE run = %(run)s ORDER BY id""",
    AnswerRow: f"""SELECT item.number, request_id, status, cut, body, unpacked, came,
                          item.answer IS NOT DISTINCT FROM answer.id
                   FROM clova_ocr.answer JOIN {_NUMBERED} ON item.id = answer.item
                   WHERE answer.run = %(run)s ORDER BY answer.id""",
    SourceRow: f"""SELECT document, path, page, open, owner IS NOT NULL, item.number, failure, size, modified_ns,
                          changed_ns, inode, columns
                   FROM clova_ocr.source LEFT JOIN {_NUMBERED} ON item.id = source.item
                   WHERE source.run = %(run)s ORDER BY source.id""",
    CorrectionRow: f"""SELECT correction.number, item.number, made, change
                       FROM clova_ocr.correction JOIN {_NUMBERED} ON item.id = correction.item
                       WHERE correction.run = %(run)s ORDER BY correction.number""",
}
_BEGUN = """INSERT INTO clova_ocr.run (name, token, seal, store, system, database)
            VALUES (%s, %s, 'none', 'full', '', 0) ON CONFLICT (name) DO NOTHING RETURNING id"""
_TOOK_OVER = """UPDATE clova_ocr.run SET token = %(token)s, seal = %(seal)s, seal_check = %(seal_check)s,
                    store = %(store)s, services = %(services)s, services_by = 0, base_folder = %(base_folder)s,
                    calls = %(calls)s, max_calls = %(max_calls)s, largest_answer = %(largest_answer)s,
                    last_correction = %(last_correction)s, moved_to = NULL, system = %(system)s,
                    database = %(database)s WHERE id = %(run)s"""
_COPIES: dict[type[Row], LiteralString] = {
    ItemRow: """COPY clova_ocr.item (run, sha256, document, page, recipe, state, owner, attempts, maybe_billed, billing,
                    request_id, sent_at, finished_at, elapsed, failure, was, picture, interrupted) FROM STDIN""",
    AnswerRow: "COPY clova_ocr.answer (run, item, request_id, status, cut, body, unpacked, came) FROM STDIN",
    SourceRow: """COPY clova_ocr.source (run, document, path, page, open, owner, item, failure, size, modified_ns,
                      changed_ns, inode, columns) FROM STDIN""",
    CorrectionRow: "COPY clova_ocr.correction (run, number, item, made, change) FROM STDIN",
}
_TABLES: tuple[LiteralString, ...] = ("owner", "item", "answer", "source", "correction")
_ACCEPT = """UPDATE clova_ocr.item SET answer = accepted.answer
             FROM unnest(%s::bigint[], %s::bigint[]) AS accepted (item, answer) WHERE item.id = accepted.item"""


class PostgresRunRows:
    """The ``RunRows`` of a run in PostgreSQL.

    Args:
        dsn: The URL of the database: ``postgresql://user@host:port/database``, also with ``?run=NAME``.
        run: The name of the run, unless the URL has it.
        process: This process.
        clock: Returns seconds of the clock that leases end by; the server's if not given.
        silence: Seconds without a byte of the server after which a copy is given up.

    Raises:
        ConfigurationError: The URL cannot be one.
    """

    def __init__(
        self,
        dsn: str | ServerURL,
        *,
        run: str | None = None,
        process: Process | None = None,
        clock: Callable[[], float] | None = None,
        silence: float = _SILENCE,
    ) -> None:
        self._server = run_location(dsn, run)
        self._process = process or Process.this()
        self._clock = clock
        self._silence = silence

    @property
    def place(self) -> str:
        """The URL of the run, without its password."""
        return str(self._server)

    @contextmanager
    def reading(self) -> Generator[Iterator[Row]]:
        """Read all rows of one moment."""
        snapshots = RunSnapshots(self._server, self._process, self._clock, silence=self._silence)
        try:
            with snapshots.take() as moment:
                yield _rows(moment.db, moment.run.number)
        finally:
            snapshots.close()

    @contextmanager
    def exporting(self, target: str) -> Generator[_Source]:
        """Keep every process from working on the run while it is copied."""
        with self._transaction(_BEGIN_EXPORT) as db:
            require_current_version(db, self._server)
            run = lock_run(db, self._server)
            if run.moved_to not in {None, target}:
                raise LedgerError(f"{self.place} was moved to {run.moved_to}, so it is not copied; copy that one")
            run.check_database(identify_database(db))
            self._require_free(db, run)
            yield _Source(db, run.number)

    @contextmanager
    def importing(self, source: str) -> Generator[_Target]:
        """Begin the run anew."""
        with self._transaction(_BEGIN_IMPORT) as db:
            migrate(db)
            begun = db.execute(_BEGUN, (self._server.run, secrets.token_hex(16))).fetchone()
            number = self._replaced(db, source) if begun is None else int(begun[0])
            yield _Target(db, number)

    # -----------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self, begin: LiteralString) -> Generator[Connection[Any]]:
        db = open_connection(self._server)
        try:
            db.silence = self._silence
            db.execute(begin)
            # For those that wait for it, as it may have been stopped; until the end of the transaction.
            name = f"{COPYING}, process {os.getpid()} on {platform.node()}"
            db.execute("SELECT set_config('application_name', %s, true)", (name,))
            yield db
        except psycopg.Error as error:
            raise ledger_error(error, self._server, find_holder(error, self._server)) from None
        finally:
            db.close()  # without a commit nothing has changed

    def _replaced(self, db: Connection[Any], source: str) -> int:
        """Empty a run that was moved to where it is copied from now; return its number."""
        # First without the lock: the copy itself has it, where both URLs are those of one run.
        for find in (find_run, lock_run):
            run = find(db, self._server)
            if run.moved_to != source:
                raise occupied_error(self.place, run.moved_to)
        self._require_free(db, run)
        for table in _TABLES:
            db.execute(f"DELETE FROM clova_ocr.{table} WHERE run = %s", (run.number,))
        return run.number

    def _require_free(self, db: Connection[Any], run: ExistingRun) -> None:
        """Refuse a run that a process works on, or of which results wait on this host.

        Raises:
            LedgerError: It is one.
        """
        owners.require_none_at_work(
            db, run.number, self._process, None if self._clock is None else self._clock(), "copy again"
        )
        if waiting := waiting_files(db, run):
            raise waiting_error(shown_path(str(waiting[0])), self.place)


class _Source:
    """The ``RunSource`` of a run in PostgreSQL, in a transaction that has locked its row."""

    def __init__(self, db: Connection[Any], run: int) -> None:
        self._db = db
        self._run = run

    def rows(self) -> Iterator[Row]:
        """Yield all rows."""
        return _rows(self._db, self._run)

    def mark_moved(self, place: str) -> None:
        """Record where the run is from now on."""
        self._db.execute("UPDATE clova_ocr.run SET moved_to = %s WHERE id = %s", (place, self._run))
        self._db.execute("COMMIT")


class _Target:
    """The ``RunTarget`` of a run in PostgreSQL, in a transaction that has made its row."""

    def __init__(self, db: Connection[Any], run: int) -> None:
        self._db = db
        self._run = run

    def write(self, rows: Iterable[Row]) -> None:
        """Write all rows."""
        items = array("q")  # the id of each item
        for kind, found in cast("Iterator[tuple[type[Row], Iterator[Any]]]", groupby(rows, type)):
            if kind is SettingsRow:
                self._begin(next(found))
            elif kind is ItemRow:
                self._copy(kind, (_with_owner(row, 5) for row in found))
                items = self._ids("item")
            elif kind is AnswerRow:
                self._copy_answers(found, items)
            elif kind is SourceRow:
                self._copy(kind, (_with_item(_with_owner(row, 4), 5, items) for row in found))
            else:
                self._copy(kind, (_with_item(msgspec.structs.astuple(row), 1, items) for row in found))

    def _begin(self, settings: SettingsRow) -> None:
        values = msgspec.structs.asdict(settings)
        services = None if settings.services is None else list(settings.services)
        here = identify_database(self._db)
        known = {
            "run": self._run,
            "token": secrets.token_hex(16),
            "services": services,
            "system": here.system,
            "database": here.number,
        }
        self._db.execute(_TOOK_OVER, values | known)

    def _copy(self, kind: type[Row], rows: Iterable[tuple[Any, ...]]) -> None:
        with self._db.cursor() as cursor, cursor.copy(_COPIES[kind]) as copy:
            for row in rows:
                copy.write_row((self._run, *row))

    def _copy_answers(self, rows: Iterable[Any], items: array[int]) -> None:
        """Copy answers, and then have each item accept its own, which has an id by then."""
        its_item, accepted = array("q"), bytearray()

        def columns() -> Iterator[tuple[Any, ...]]:
            for row in rows:
                *values, is_accepted = _with_item(msgspec.structs.astuple(row), 0, items)
                its_item.append(values[0])
                accepted.append(is_accepted)
                yield tuple(values)

        self._copy(AnswerRow, columns())
        pairs = compress(zip(its_item, self._ids("answer"), strict=True), accepted)
        while block := list(islice(pairs, _IDS)):
            self._db.execute(_ACCEPT, ([item for item, _ in block], [answer for _, answer in block]))

    def _ids(self, table: LiteralString) -> array[int]:
        """Return the ids of the rows that were copied, which grow in their order."""
        query: LiteralString = f"SELECT id FROM clova_ocr.{table} WHERE run = %(run)s ORDER BY id"
        blocks = blocks_of(self._db, query, _IDS, run=self._run)
        return array("q", (number for block in blocks for (number,) in block))

    def rows(self) -> Iterator[Row]:
        """Yield all rows as they are stored now."""
        return _rows(self._db, self._run)

    def publish(self) -> None:
        """Make the run appear."""
        self._db.execute("COMMIT")


def _with_owner(row: Row, place: int) -> tuple[Any, ...]:
    """Return the columns of a row in which a place holds whether some process had it."""
    values = msgspec.structs.astuple(row)
    return (*values[:place], LOST_OWNER if values[place] else None, *values[place + 1 :])


def _with_item(values: tuple[Any, ...], place: int, items: array[int]) -> tuple[Any, ...]:
    """Return the columns of a row in which a place holds the number of an item, from 1."""
    number: int | None = values[place]
    found = None if number is None else items[number - 1]
    return (*values[:place], found, *values[place + 1 :])


def _rows(db: Connection[Any], run: int) -> Iterator[Row]:
    """Yield all rows of a run, in the caller's transaction."""
    ((seal, check, store, services, *rest),) = db.execute(_SETTINGS, {"run": run}).fetchall()
    yield SettingsRow(seal, check, store, None if services is None else tuple(services), *rest)
    for kind, query in _SELECTIONS.items():
        for block in blocks_of(db, query, _BLOCK, run=run):
            yield from (kind(*row) for row in block)
