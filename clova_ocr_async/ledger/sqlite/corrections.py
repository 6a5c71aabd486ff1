"""The corrections of a run directory: appended by people's programs, while batches may be at work on the run."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.corrections import Correction, CorrectionConflictError
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite import owners
from clova_ocr_async.ledger.sqlite.connection import connect_existing
from clova_ocr_async.ledger.sqlite.errors import translate_sqlite_errors
from clova_ocr_async.ledger.sqlite.lock_wait import PATIENCE
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.sqlite.run_settings import check_not_moved, check_seal
from clova_ocr_async.ledger.stored_values import sealed_change

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from clova_ocr_async.ledger.corrections import Change
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.ledger.states import Item

__all__ = ["SqliteCorrections"]

_FIND = "SELECT id, answer FROM item WHERE sha256 = ? AND document = ? AND page = ? AND recipe = ?"
_NEWEST = "SELECT coalesce(max(number), 0) FROM correction WHERE item = ?"
# The number is part of what is sealed, so it is read before the row is added; the table's own counter survives a purge.
_NEXT = "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'correction'"
_APPEND = "INSERT INTO correction (number, item, made, change) VALUES (?, ?, ?, ?)"


class SqliteCorrections:
    """The ``RunCorrections`` of a run directory; a context manager, for one thread.

    Args:
        folder: The run directory.
        seal: The run's encryption.
        process: This process.
        clock: Returns seconds of a clock that all processes of this machine share.
        now: Returns Unix seconds.
        patience: Seconds that other processes may keep the ledger locked.

    Raises:
        LedgerError: On entering: there is no ledger, it cannot be written, the run was copied to another place, or the
            seal is not the run's. Or an older version wrote the ledger, and a process is at work on it, so that its
            tables cannot be brought up to date.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        seal: Seal | None = None,
        *,
        process: Process | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        patience: float = PATIENCE,
    ) -> None:
        self._path = folder
        self._ledger = os.path.join(os.fsdecode(folder), LEDGER)  # noqa: PTH118 - compared with the open file only
        self._seal = seal or NoSeal()
        self._process = process or Process.this()
        self._clock = clock
        self._now = now
        self._patience = patience

    def __enter__(self) -> Self:
        with translate_sqlite_errors():
            self._db = connect_existing(self._path, check=self._require_none_at_work)
            try:
                self._db.execute(f"PRAGMA busy_timeout = {round(self._patience * 1000)}")
                check_not_moved(self._db)
                check_seal(self._db, self._seal)
                self._db.execute("PRAGMA synchronous = FULL")  # what is acknowledged survives a power cut
                self._opened = _identity(self._ledger)
            except BaseException:
                self._db.close()
                raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._db.close()

    def append(self, item: Item, change: Change, *, after: int) -> Correction:
        """Record a change of an item; durable when this returns.

        Args:
            item: The item.
            change: The change.
            after: The number of the newest correction of the item that the caller has seen; 0 for none.

        Raises:
            CorrectionConflictError: The item has a newer one; nothing is recorded.
            LedgerError: The item has no stored answer, the run was copied to another place, or the correction cannot be
                written.
        """
        if _identity(self._ledger) != self._opened:
            raise LedgerError(f"{LEDGER} was removed or replaced meanwhile; nothing more is recorded. Start again")
        with translate_sqlite_errors(), _transaction(self._db) as db:
            check_not_moved(db)
            row = db.execute(_FIND, (item.sha256, item.document, item.page or 0, item.recipe)).fetchone()
            if row is None or row[1] is None:
                raise LedgerError("the image has no stored answer any more, so there is nothing to correct")
            if _number(db, _NEWEST, row[0]) != after:
                raise CorrectionConflictError
            correction = Correction(_number(db, _NEXT), item, self._now(), change)
            body = sealed_change(self._seal, item, correction.number, change)
            db.execute(_APPEND, (correction.number, row[0], correction.at, body))
        return correction

    def _require_none_at_work(self, db: sqlite3.Connection) -> None:
        owners.require_none_at_work(
            db, self._process, self._clock(), "run again, since this version changes its tables"
        )


@contextmanager
def _transaction(db: sqlite3.Connection) -> Generator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # on a full disk SQLite has rolled back itself
            db.execute("ROLLBACK")
        raise


def _number(db: sqlite3.Connection, query: str, *values: object) -> int:
    (number,) = db.execute(query, values).fetchone()
    return int(number)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - the path is a text
    except OSError:
        return None
    return found.st_dev, found.st_ino
