"""Removal of the stored answers of a run in PostgreSQL.

No row has them afterwards, nor a later dump. What a server has deleted stays for a while in free parts of its files, in
its log, and in its backups; a client cannot change that. Where it must go at once, the owner of the tables runs::

    VACUUM FULL clova_ocr.answer, clova_ocr.item, clova_ocr.correction;
    CHECKPOINT;

The first locks the tables of all runs while it lasts. The log and the backups are the administrator's.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.overflow_file import delete_replayed
from clova_ocr_async.ledger.overflow_replay import replay_records
from clova_ocr_async.ledger.postgres import owners
from clova_ocr_async.ledger.postgres.connection import PATIENCE, Database
from clova_ocr_async.ledger.postgres.existing_run import find_run, lock_run, require_current_version, waiting_files
from clova_ocr_async.ledger.postgres.location import run_location
from clova_ocr_async.ledger.postgres.outcome_statements import write_record
from clova_ocr_async.ledger.settlement import without_message
from clova_ocr_async.ledger.states import Item
from clova_ocr_async.ledger.storage import Purged
from clova_ocr_async.ledger.stored_values import seal_context, sealed_failure
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from psycopg import Connection

    from clova_ocr_async.ledger.postgres.existing_run import ExistingRun
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.server_url import ServerURL

__all__ = ["purge"]


def purge(
    dsn: str | ServerURL,
    seal: Seal,
    older_than: float | None = None,
    *,
    run: str | None = None,
    process: Process | None = None,
    clock: Callable[[], float] | None = None,
    now: Callable[[], float] = time.time,
    patience: float = PATIENCE,
) -> Purged:
    """Remove stored answers, their corrections and the messages of errors. States, keys and ids of images stay.

    An image whose answer is removed stays succeeded, and is never paid for again.

    Args:
        dsn: The URL of the database: ``postgresql://user@host:port/database``, also with ``?run=NAME``.
        seal: The run's encryption.
        older_than: Seconds; younger ones stay. None to remove all.
        run: The name of the run, unless the URL has it.
        process: This process.
        clock: Returns seconds of the clock that leases end by; the server's if not given.
        now: Returns Unix seconds.
        patience: Seconds for which it is tried while the server is away.

    Raises:
        ConfigurationError: The URL cannot be one.
        LedgerError: A process is at work on the run, the seal is not the run's, there is no such run, it cannot be
            written, or an overflow file of this host still has answers.
    """
    server = run_location(dsn, run)
    before = math.inf if older_than is None else now() - older_than
    wanted = _Purge(server, seal, before, process or Process.this(), clock, now)
    database = Database(server, patience, silence=math.inf)  # it may remove millions of rows
    try:
        delete_replayed(database.run(wanted.remove))
        _check_files(database.run(lambda db: waiting_files(db, find_run(db, server))))
    finally:
        database.close()
    return wanted.purged


def _check_files(left: list[Path]) -> None:
    # Last, so that the database is clean even if a file has to stay.
    if left:
        raise LedgerError(
            f"{shown_path(str(left[0]))} still holds answers that were to be deleted: a stopped process keeps the "
            "file, another version of this package wrote it, or they are of images that the run does not have; end "
            "that process, open the run with that version, or delete the file, then purge again"
        )


_NOTHING = Purged(answers=0, failures=0)


@dataclass(slots=True)
class _Purge:
    server: ServerURL
    seal: Seal
    before: float
    process: Process
    clock: Callable[[], float] | None
    now: Callable[[], float]
    purged: Purged = _NOTHING

    def remove(self, db: Connection[Any]) -> dict[Path, int]:
        """Remove answers, what people corrected in them, and messages, in a transaction; ``purged`` counts them.

        Returns:
            The argument of ``delete_replayed`` after the commit.
        """
        require_current_version(db, self.server)
        run = lock_run(db, self.server)
        run.check_seal(self.seal)  # first: an error's message must be opened before it can be removed
        replayed = self._settle_dead_owners(db, run)
        failures = self._remove_messages(db, run.number)
        values = {"run": run.number, "before": self.before}
        db.execute(
            """UPDATE clova_ocr.item SET answer = NULL FROM clova_ocr.answer
               WHERE item.run = %(run)s AND answer.id = item.answer AND answer.came < %(before)s""",
            values,
        )
        answers = db.execute("DELETE FROM clova_ocr.answer WHERE run = %(run)s AND came < %(before)s", values).rowcount
        corrections = db.execute(
            """DELETE FROM clova_ocr.correction USING clova_ocr.item
               WHERE correction.run = %(run)s AND item.id = correction.item AND item.answer IS NULL""",
            values,
        ).rowcount
        # An earlier try may have removed them, by a commit that was not acknowledged.
        before = self.purged
        self.purged = Purged(
            max(answers, before.answers), max(failures, before.failures), max(corrections, before.corrections)
        )
        return replayed

    def _settle_dead_owners(self, db: Connection[Any], run: ExistingRun) -> dict[Path, int]:
        """Settle the work of processes that have ended, and refuse to purge while one is at work."""
        clock = None if self.clock is None else self.clock()
        owners.require_none_at_work(db, run.number, self.process, clock, "purge again")
        replayed = replay_records(partial(write_record, db), waiting_files(db, run))
        dead = owners.dead_owners(db, run.number, self.process, clock)
        owners.take_over(db, run.number, dead, self.seal, self.now)
        return replayed

    def _remove_messages(self, db: Connection[Any], run: int) -> int:
        """Remove the messages of errors; their types stay, so that each image keeps its state."""
        found = db.execute(
            """SELECT id, sha256, document, page, recipe, failure FROM clova_ocr.item
               WHERE run = %s AND failure IS NOT NULL AND finished_at < %s""",
            (run, self.before),
        )
        changed = list[tuple[bytes | None, int]]()
        for number, sha256, document, page, recipe, failure in found.fetchall():
            item = Item(sha256, document, page or None, recipe)
            kept = self.seal.open(failure, seal_context(item, "failure"))
            bare = without_message(kept)
            if bare != kept:
                changed.append((sealed_failure(self.seal, item, bare), number))
        with db.cursor() as cursor:
            cursor.executemany("UPDATE clova_ocr.item SET failure = %s WHERE id = %s", changed)
        return len(changed)
