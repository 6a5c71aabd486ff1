"""The corrections of a run in PostgreSQL: appended by people's programs, while batches may be at work on the run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.corrections import Correction, CorrectionConflictError
from clova_ocr_async.ledger.postgres.connection import PATIENCE, Database
from clova_ocr_async.ledger.postgres.existing_run import lock_run, require_current_version
from clova_ocr_async.ledger.postgres.location import run_location
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.stored_values import sealed_change

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

    from clova_ocr_async.ledger.corrections import Change
    from clova_ocr_async.ledger.postgres.existing_run import ExistingRun
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.ledger.states import Item
    from clova_ocr_async.server_url import ServerURL

__all__ = ["PostgresCorrections"]

_FIND = """SELECT id, answer FROM clova_ocr.item
           WHERE run = %s AND sha256 = %s AND document = %s AND page = %s AND recipe = %s"""
_NEWEST = "SELECT number, made, change FROM clova_ocr.correction WHERE item = %s ORDER BY number DESC LIMIT 1"
_NUMBER = "UPDATE clova_ocr.run SET last_correction = %s WHERE id = %s"
_APPEND = "INSERT INTO clova_ocr.correction (run, number, item, made, change) VALUES (%s, %s, %s, %s, %s)"


class PostgresCorrections:
    """The ``RunCorrections`` of a run in PostgreSQL; a context manager, for one thread.

    Args:
        dsn: The URL of the database: ``postgresql://user@host:port/database``, also with ``?run=NAME``.
        seal: The run's encryption.
        run: The name of the run, unless the URL has it.
        now: Returns Unix seconds.
        patience: Seconds for which a correction is tried while the server is away.

    Raises:
        ConfigurationError: The URL cannot be one.
        LedgerError: On entering: there is no such run, it cannot be written, it was copied to another place, or the
            seal is not its own.
    """

    def __init__(
        self,
        dsn: str | ServerURL,
        seal: Seal | None = None,
        *,
        run: str | None = None,
        now: Callable[[], float] = time.time,
        patience: float = PATIENCE,
    ) -> None:
        self._server = run_location(dsn, run)
        self._database = Database(self._server, patience)
        self._seal = seal or NoSeal()
        self._now = now

    def __enter__(self) -> Self:
        try:
            self._database.run(self._check)
        except BaseException:
            self._database.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._database.close()

    def _check(self, db: Connection[Any]) -> None:
        require_current_version(db, self._server)
        self._locked(db).check_seal(self._seal)

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
        made = self._now()
        written = list[tuple[int, float, bytes]]()

        def work(db: Connection[Any]) -> Correction:
            run = self._locked(db)
            found = db.execute(_FIND, (run.number, item.sha256, item.document, item.page or 0, item.recipe)).fetchone()
            if found is None or found[1] is None:
                raise LedgerError("the image has no stored answer any more, so there is nothing to correct")
            newest = db.execute(_NEWEST, (found[0],)).fetchone() or (0, 0.0, b"")
            if newest in written:  # by a commit that was not acknowledged
                return Correction(newest[0], item, made, change)
            if newest[0] != after:
                raise CorrectionConflictError
            number = run.last_correction + 1
            written.append((number, made, sealed_change(self._seal, item, number, change)))
            db.execute(_NUMBER, (number, run.number))
            db.execute(_APPEND, (run.number, number, found[0], *written[-1][1:]))
            return Correction(number, item, made, change)

        return self._database.run(work)

    def _locked(self, db: Connection[Any]) -> ExistingRun:
        """Return the run, whose newest number stays as it is in this transaction."""
        run = lock_run(db, self._server)
        run.check_not_moved()
        return run
