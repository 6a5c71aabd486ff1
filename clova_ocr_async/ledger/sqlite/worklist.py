"""The work list of a run as SQL: its files, recorded as they are found and handed to its processes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.sqlite.item_statements import reopen_sources, stamp_columns
from clova_ocr_async.ledger.sqlite.run_settings import read_setting
from clova_ocr_async.ledger.states import TRANSITIONS, ItemEvent, State, from_states

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from clova_ocr_async.ledger.states import SourceFile

__all__ = [
    "add_files",
    "claim_files",
    "other_base_folder",
    "others_at_work",
    "release_files",
    "requeue",
    "set_base_folder",
]


def add_files(db: sqlite3.Connection, files: Iterable[SourceFile], document: str) -> None:
    """Record files that are to be read: new ones, changed ones, and those that could not be read before."""
    # A file that is open already stays as it is: the process that reads it records what it is then. One without a stamp
    # is not there, so it is only worth an entry if it never had an item.
    db.executemany(
        """INSERT INTO source (document, path, open) VALUES (?1,
               CASE WHEN EXISTS (SELECT 1 FROM source WHERE document = ?1 AND path = ?7) THEN ?7 ELSE ?2 END, 1)
           ON CONFLICT (document, path) DO UPDATE SET open = 1
           WHERE open = 0 AND CASE WHEN ?3 IS NULL THEN item IS NULL ELSE failure IS NOT NULL OR size IS NULL
               OR size IS NOT ?3 OR modified_ns IS NOT ?4 OR changed_ns IS NOT ?5 OR inode IS NOT ?6 END""",
        ((document, file.path, *stamp_columns(file.stamp), file.alias) for file in files),
    )


def set_base_folder(db: sqlite3.Connection, folder: bytes) -> bytes | None:
    """Record the folder in which the relative paths of a run start, unless they start in another one.

    Returns:
        As ``other_base_folder``.
    """
    if (recorded := other_base_folder(db, folder)) is None:
        db.execute("INSERT OR REPLACE INTO run (name, value) VALUES ('starts_in', ?)", (folder,))
    return recorded


def other_base_folder(db: sqlite3.Connection, folder: bytes) -> bytes | None:
    """Return the folder in which the relative paths of a run start; None if that is the given one, or unknown."""
    recorded = read_setting(db, "starts_in")
    if not isinstance(recorded, bytes) or not _has_relative(db):
        return None
    try:
        return None if os.path.samefile(recorded, folder) else recorded  # noqa: PTH121 - a Path takes no bytes
    except OSError:  # the whole tree was moved, or is mounted elsewhere, so relative paths still hold
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
    return [path for _, path in sorted(rows)]  # RETURNING has an order of its own


def release_files(db: sqlite3.Connection, document: str, owner: int) -> None:
    """Give back the files that were taken and not read."""
    db.execute("UPDATE source SET owner = NULL WHERE owner = ? AND document = ?", (owner, document))


def others_at_work(db: sqlite3.Connection, document: str, owner: int) -> bool:
    """Return whether other processes have files or items that they may yet give back, or have just given some back."""
    found = db.execute(
        """SELECT EXISTS (SELECT 1 FROM source WHERE owner IS NOT NULL AND owner <> :me AND document = :document)
               OR EXISTS (SELECT 1 FROM source WHERE open = 1 AND owner IS NULL AND document = :document)
               OR EXISTS (SELECT 1 FROM item WHERE owner IS NOT NULL AND owner <> :me AND document = :document)""",
        {"me": owner, "document": document},
    ).fetchone()
    return bool(found[0])


def requeue(db: sqlite3.Connection, billing: Billing, document: str | None = None) -> int:
    """Queue unread items again; one that was replaced under its last name is left out, as no file holds it any more.

    Args:
        db: The connection.
        billing: NOT_BILLED for those certainly not billed, MAYBE_BILLED for the ambiguous ones, BILLED for the others.
        document: Only those of this document; of all if not given.

    Returns:
        The number of items.
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
