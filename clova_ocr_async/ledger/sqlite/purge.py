"""Removing stored answers, so that nothing of them is left in the files of a run."""

from __future__ import annotations

import math
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clova_ocr_async.errors import APIError, ClovaOCRError, LedgerError
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.settlement import decode_failure, encode_failure
from clova_ocr_async.ledger.sqlite import owners, statements
from clova_ocr_async.ledger.sqlite.opening import check_agreed, opened_existing, translate_sqlite_errors
from clova_ocr_async.ledger.sqlite.overflow import bring_in, discard, holds_anything, spills_in
from clova_ocr_async.ledger.states import Item
from clova_ocr_async.ledger.storage import Purged

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from clova_ocr_async.ledger.seal import Seal

__all__ = ["purge"]

_PURGED = "what it said has been purged"


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
    """Remove stored answers, and what errors said. What became of each image, its key and its ids stay.

    An image whose answer is removed stays read, and is never paid for again.

    Args:
        folder: The run directory.
        seal: What seals the run.
        older_than: Seconds; younger ones stay. None to remove all.
        process: Who purges.
        clock: Returns seconds of a clock that all processes of this machine share.
        now: Returns Unix seconds.
        patience: Seconds that others may read or write.

    Raises:
        LedgerError: A process is at work on the run, the seal is not the run's, the ledger cannot be used, or a file
            beside it keeps answers.
    """
    with translate_sqlite_errors():
        db = opened_existing(folder)
        try:
            db.execute(f"PRAGMA busy_timeout = {round(patience * 1000)}")
            check_agreed(db, seal)
            before = math.inf if older_than is None else now() - older_than
            purged = _in_one_transaction(
                db, _Purge(Path(folder), seal, before, process or Process.this(), clock(), now)
            )
            _sweep(db)
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
        """Remove what there is to remove, in a transaction."""
        failures = self._remove_words(db)
        db.execute(
            "UPDATE item SET answer = NULL WHERE answer IN (SELECT id FROM answer WHERE came < ?)", (self.before,)
        )
        answers = db.execute("DELETE FROM answer WHERE came < ?", (self.before,)).rowcount
        return Purged(answers, failures)

    def settle_the_dead(self, db: sqlite3.Connection) -> dict[Path, int]:
        """Finish what processes left that have ended; return what ``discard`` is to be told once it is committed."""
        if living := owners.living_owners(db, self.process, self.clock):
            raise LedgerError(
                f"{len(living)} processes are at work on this run; end them, or purge when they have ended"
            )
        brought_in = bring_in(db, spills_in(self.folder))
        owners.take_over(db, owners.dead_owners(db, self.process, self.clock), self.seal, self.now)
        return brought_in

    def _remove_words(self, db: sqlite3.Connection) -> int:
        """Take out of errors what they said; their kinds stay, so that the images are still known as what they are."""
        found = db.execute(
            "SELECT id, sha256, document, failure FROM item WHERE failure IS NOT NULL AND finished_at < ?",
            (self.before,),
        )
        changed = 0
        for number, sha256, document, failure in found.fetchall():
            item = Item(sha256, document)
            kept = self.seal.open(failure, statements.seal_context(item, "failure"))
            bare = encode_failure(_without_words(decode_failure(kept)))
            if bare != kept:
                changed += 1
                db.execute(
                    "UPDATE item SET failure = ? WHERE id = ?",
                    (statements.sealed_failure(self.seal, item, bare), number),
                )
        return changed


def _without_words(error: ClovaOCRError) -> ClovaOCRError:
    if isinstance(error, APIError):
        return type(error)(error.status, error.code, _PURGED)
    return type(error)(_PURGED)


def _in_one_transaction(db: sqlite3.Connection, purge: _Purge) -> Purged:
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN IMMEDIATE")
    try:
        brought_in = purge.settle_the_dead(db)
        purged = purge.remove(db)
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    discard(brought_in)
    return purged


def _check_files(folder: Path) -> None:
    if left := [path.name for path in spills_in(folder) if holds_anything(path)]:
        raise LedgerError(
            f"{left[0]} still holds what was to be purged: a stopped process keeps it, or another version wrote it; "
            "end that process, or open the run with that version, then purge again"
        )


def _sweep(db: sqlite3.Connection) -> None:
    """Have the files hold nothing but what the ledger holds: neither the log nor free pages."""
    for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
        row = db.execute(statement).fetchone()
        if row is not None and row[0]:
            raise LedgerError(
                "another process reads this run, so its log still holds what was purged; end it, then purge again"
            )
