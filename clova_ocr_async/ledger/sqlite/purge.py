"""Removal of stored answers, so that nothing of them is left in the files of a run."""

from __future__ import annotations

import math
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.overflow_file import delete_replayed, has_records, overflow_paths
from clova_ocr_async.ledger.settlement import without_message
from clova_ocr_async.ledger.sqlite import owners
from clova_ocr_async.ledger.sqlite.connection import connect_existing
from clova_ocr_async.ledger.sqlite.errors import translate_sqlite_errors
from clova_ocr_async.ledger.sqlite.record_statements import replay_files
from clova_ocr_async.ledger.sqlite.run_settings import check_seal
from clova_ocr_async.ledger.states import Item
from clova_ocr_async.ledger.storage import Purged
from clova_ocr_async.ledger.stored_values import seal_context, sealed_failure

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from clova_ocr_async.ledger.seal import Seal

__all__ = ["purge"]


def purge(
    folder: str | os.PathLike[str],
    seal: Seal,
    older_than: float | None = None,
    *,
    process: Process | None = None,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
    patience: float = 30.0,
) -> Purged:
    """Remove stored answers, their corrections and the messages of errors. States, keys and ids of images stay.

    An image whose answer is removed stays succeeded, and is never paid for again.

    Args:
        folder: The run directory.
        seal: The run's encryption.
        older_than: Seconds; younger ones stay. None to remove all.
        process: This process.
        clock: Returns seconds of a clock that all processes of this machine share.
        now: Returns Unix seconds.
        patience: Seconds that other processes may keep the ledger locked.

    Raises:
        LedgerError: A process is at work on the run, the seal is not the run's, the ledger cannot be used, or an
            overflow file still has answers.
    """
    before = math.inf if older_than is None else now() - older_than
    wanted = _Purge(Path(folder), seal, before, process or Process.this(), clock(), now)
    with translate_sqlite_errors():
        db = connect_existing(folder, check=wanted.require_none_at_work)
        try:
            db.execute(f"PRAGMA busy_timeout = {round(patience * 1000)}")
            check_seal(db, seal)  # first: an error's message must be opened before it can be removed
            purged = _in_one_transaction(db, wanted)
            _vacuum(db)
            _check_files(Path(folder))
        finally:
            db.close()
    return purged


@dataclass(frozen=True, slots=True)
class _Purge:
    folder: Path
    seal: Seal
    before: float
    process: Process
    clock: float
    now: Callable[[], float]

    def remove(self, db: sqlite3.Connection) -> Purged:
        """Remove answers, what people corrected in them, and messages, in a transaction."""
        failures = self._remove_messages(db)
        db.execute(
            "UPDATE item SET answer = NULL WHERE answer IN (SELECT id FROM answer WHERE came < ?)", (self.before,)
        )
        answers = db.execute("DELETE FROM answer WHERE came < ?", (self.before,)).rowcount
        corrections = db.execute(
            "DELETE FROM correction WHERE item IN (SELECT id FROM item WHERE answer IS NULL)"
        ).rowcount
        return Purged(answers, failures, corrections)

    def require_none_at_work(self, db: sqlite3.Connection) -> None:
        """Refuse to purge while processes work on the run."""
        owners.require_none_at_work(db, self.process, self.clock, "purge again")

    def settle_dead_owners(self, db: sqlite3.Connection) -> dict[Path, int]:
        """Settle the work of processes that have ended; return the argument of ``delete_replayed`` after the commit."""
        self.require_none_at_work(db)
        replayed = replay_files(db, overflow_paths(self.folder))
        owners.take_over(db, owners.dead_owners(db, self.process, self.clock), self.seal, self.now)
        return replayed

    def _remove_messages(self, db: sqlite3.Connection) -> int:
        """Remove the messages of errors; their types stay, so that each image keeps its state."""
        found = db.execute(
            """SELECT id, sha256, document, page, recipe, failure FROM item
               WHERE failure IS NOT NULL AND finished_at < ?""",
            (self.before,),
        )
        changed = 0
        for number, sha256, document, page, recipe, failure in found.fetchall():
            item = Item(sha256, document, page or None, recipe)
            kept = self.seal.open(failure, seal_context(item, "failure"))
            bare = without_message(kept)
            if bare != kept:
                changed += 1
                db.execute(
                    "UPDATE item SET failure = ? WHERE id = ?",
                    (sealed_failure(self.seal, item, bare), number),
                )
        return changed


def _in_one_transaction(db: sqlite3.Connection, purge: _Purge) -> Purged:
    db.execute("PRAGMA synchronous = FULL")  # overflow files are deleted after the commit
    db.execute("BEGIN IMMEDIATE")
    try:
        replayed = purge.settle_dead_owners(db)
        purged = purge.remove(db)
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # on a full disk SQLite has rolled back itself
            db.execute("ROLLBACK")
        raise
    delete_replayed(replayed)
    return purged


def _check_files(folder: Path) -> None:
    # Last, so that the ledger itself is clean even if a file has to stay.
    if left := [path.name for path in overflow_paths(folder) if has_records(path)]:
        raise LedgerError(
            f"{left[0]} still holds answers that were to be deleted: a stopped process keeps the file, another version "
            "of this package wrote it, or they are of images that the run does not have; end that process, open the "
            "run with that version, or delete the file, then purge again"
        )


def _vacuum(db: sqlite3.Connection) -> None:
    """Empty the log and remove free pages, which may still hold deleted answers."""
    # Twice, since VACUUM writes the whole ledger to the log.
    for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
        row = db.execute(statement).fetchone()
        if row is not None and row[0]:
            raise LedgerError(
                "the answers are deleted from the ledger, but another process reads this run, so the log beside the "
                "ledger still holds them; wait for that process to end, or end it, then purge again"
            )
