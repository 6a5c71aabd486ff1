"""The files of a run: listed as they are found, handed out to whoever has a free hand, looked at again when changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.sqlite.run_settings import value_of
from clova_ocr_async.ledger.sqlite.statements import columns, reopen_sources
from clova_ocr_async.ledger.states import TRANSITIONS, ItemEvent, State, from_states

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from clova_ocr_async.ledger.states import SourceFile

__all__ = ["add_files", "claim_files", "others_at_work", "release_files", "requeue", "start_in", "starts_elsewhere"]


def add_files(db: sqlite3.Connection, files: Iterable[SourceFile], document: str) -> None:
    """Write down files that are to be read: new ones, changed ones, and those that could not be read before.

    A file that somebody is about to read stays as it is: what it is then is written down then. One that has no identity
    is not there; if it was read, it stays what it was. One that is there under its other spelling keeps that.
    """
    db.executemany(
        """INSERT INTO source (document, path, open) VALUES (?1,
               CASE WHEN EXISTS (SELECT 1 FROM source WHERE document = ?1 AND path = ?7) THEN ?7 ELSE ?2 END, 1)
           ON CONFLICT (document, path) DO UPDATE SET open = 1
           WHERE open = 0 AND CASE WHEN ?3 IS NULL THEN item IS NULL ELSE failure IS NOT NULL OR size IS NULL
               OR size IS NOT ?3 OR modified_ns IS NOT ?4 OR changed_ns IS NOT ?5 OR inode IS NOT ?6 END""",
        ((document, file.path, *columns(file.identity), file.also) for file in files),
    )


def start_in(db: sqlite3.Connection, folder: bytes) -> bytes | None:
    """Write down in which folder the relative paths of a run start, unless they start in another one.

    Returns:
        As ``starts_elsewhere``.
    """
    if (kept := starts_elsewhere(db, folder)) is None:
        db.execute("INSERT OR REPLACE INTO run (name, value) VALUES ('starts_in', ?)", (folder,))
    return kept


def starts_elsewhere(db: sqlite3.Connection, folder: bytes) -> bytes | None:
    """Return the folder in which the relative paths of a run start; None if that is the given one, or nobody knows."""
    kept = value_of(db, "starts_in")
    if not isinstance(kept, bytes) or not _has_relative(db):
        return None
    try:
        return None if os.path.samefile(kept, folder) else kept  # noqa: PTH121 - a Path takes no bytes
    except OSError:  # all was moved, or is mounted elsewhere
        return None


def _has_relative(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM source WHERE substr(path, 1, 1) <> x'2f' LIMIT 1").fetchone() is not None


def claim_files(db: sqlite3.Connection, document: str, owner: int, most: int) -> list[bytes]:
    """Take files to read, first come first served."""
    rows = db.execute(
        """UPDATE source SET owner = ? WHERE id IN
             (SELECT id FROM source WHERE document = ? AND open = 1 AND owner IS NULL ORDER BY id LIMIT ?)
           RETURNING id, path""",
        (owner, document, most),
    ).fetchall()
    return [path for _, path in sorted(rows)]


def release_files(db: sqlite3.Connection, document: str, owner: int) -> None:
    """Give back the files that were taken and not read."""
    db.execute("UPDATE source SET owner = NULL WHERE owner = ? AND document = ?", (owner, document))


def others_at_work(db: sqlite3.Connection, document: str, owner: int) -> bool:
    """Whether other processes have files or items that may yet be given back, or have just given some back."""
    found = db.execute(
        """SELECT EXISTS (SELECT 1 FROM source WHERE owner IS NOT NULL AND owner <> :me AND document = :document)
               OR EXISTS (SELECT 1 FROM source WHERE open = 1 AND owner IS NULL AND document = :document)
               OR EXISTS (SELECT 1 FROM item WHERE owner IS NOT NULL AND owner <> :me AND document = :document)""",
        {"me": owner, "document": document},
    ).fetchone()
    return bool(found[0])


def requeue(db: sqlite3.Connection, billing: Billing, document: str | None = None) -> int:
    """Have items tried again that are finished and were not read; a picture that was replaced is not there to be read.

    Args:
        db: The connection.
        billing: NOT_BILLED for those certainly not paid, MAYBE_BILLED for those in doubt, BILLED for those paid.
        document: Only those of this document; of all if not given.

    Returns:
        How many.
    """
    states = from_states(ItemEvent.REQUEUE)
    items = db.execute(
        f"""SELECT id, state FROM item WHERE billing = ? AND document = coalesce(?, document)
              AND state IN ({", ".join("?" * len(states))})
              AND (was IS NULL OR EXISTS (SELECT 1 FROM source WHERE item = item.id))""",
        (billing, document, *states),
    ).fetchall()
    db.executemany(
        "UPDATE item SET state = ?, billing = ?, failure = NULL, answer = NULL WHERE id = ?",
        [(TRANSITIONS[State(state), ItemEvent.REQUEUE], Billing.NOT_BILLED, number) for number, state in items],
    )
    reopen_sources(db, [number for number, _ in items])
    return len(items)
