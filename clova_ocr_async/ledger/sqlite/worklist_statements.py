"""The work list of a run as SQL: its files, recorded as they are found and handed to its processes."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.sqlite.item_statements import reopen_sources, stamp_columns
from clova_ocr_async.ledger.sqlite.run_settings import read_setting
from clova_ocr_async.ledger.states import TRANSITIONS, ItemEvent, ListedFile, State, from_states
from clova_ocr_async.ledger.stored_values import opened_columns, sealed_columns

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from clova_ocr_async.ledger.seal import Seal
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


# A file that is open already stays as it is: the process that reads it records what it is then. One without a stamp is
# not there, so it is only worth an entry if it never had an item.
_READ_AGAIN = """CASE WHEN :size IS NULL THEN item IS NULL ELSE failure IS NOT NULL OR size IS NULL OR size IS NOT :size
    OR modified_ns IS NOT :modified_ns OR changed_ns IS NOT :changed_ns OR inode IS NOT :inode END"""
# By name: Python 3.12.0 to 3.12.3 warn of numbered parameters, which later ones allow again.
_ADD = f"""
    INSERT INTO source (document, path, page, open, columns) VALUES (:document, :path, :page, 1, :columns)
    ON CONFLICT (document, path, page) DO UPDATE
    SET open = open OR {_READ_AGAIN}, columns = coalesce(:columns, columns)
    WHERE open = 0 AND {_READ_AGAIN} OR :columns IS NOT NULL AND :columns IS NOT columns
"""
_STAMP = ("size", "modified_ns", "changed_ns", "inode")


def add_files(db: sqlite3.Connection, files: Iterable[SourceFile], document: str, seal: Seal) -> None:
    """Record files that are to be read: new ones, changed ones, and those that could not be read before."""
    for file in files:  # one by one, since the columns are sealed for the spelling that an earlier one may have brought
        known = _in_known_spelling(db, file, document)
        if file.page is not None:  # the trigger source_divided does it for pages that are new
            db.execute(_FORGET_WHOLE, (document, known.path))
        columns = sealed_columns(seal, known, document)
        values = {"document": document, "path": known.path, "page": known.page or 0, "columns": columns}
        db.execute(_ADD, values | dict(zip(_STAMP, stamp_columns(file.stamp), strict=True)))


def _in_known_spelling(db: sqlite3.Connection, file: SourceFile, document: str) -> SourceFile:
    """Return a file under its alias if the run has that, whatever its page."""
    if file.alias is None or db.execute(_HAS_PATH, (document, file.alias)).fetchone() is None:
        return file
    return replace(file, path=file.alias)


_FORGET_WHOLE = "DELETE FROM source WHERE document = ? AND path = ? AND page = 0"
_HAS_PATH = "SELECT 1 FROM source WHERE document = ? AND path = ? LIMIT 1"


def set_base_folder(db: sqlite3.Connection, folder: bytes) -> bytes | None:
    """Record the folder in which the relative paths of a run start, unless they start in another one.

    Returns:
        As ``other_base_folder``.
    """
    # Also if the tree was moved: the run goes on from its new place.
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


def claim_files(
    db: sqlite3.Connection, documents: Sequence[str], owner: int, most: int, seal: Seal
) -> list[ListedFile]:
    """Take files to read, first come first served."""
    # The first ones of each document, since an index gives those however many files wait.
    first = " UNION ALL ".join([_FIRST_OPEN] * len(documents))
    values = [value for document in documents for value in (document, most)]
    rows = db.execute(
        f"""UPDATE source SET owner = ? WHERE id IN (SELECT id FROM ({first}) ORDER BY id LIMIT ?)
            RETURNING id, path, page, document, columns""",
        (owner, *values, most),
    ).fetchall()
    return [  # RETURNING has an order of its own
        ListedFile(path, page or None, document, opened_columns(seal, columns, path, page, document))
        for _, path, page, document, columns in sorted(rows)
    ]


_FIRST_OPEN = """SELECT * FROM
    (SELECT id FROM source WHERE document = ? AND open = 1 AND owner IS NULL ORDER BY id LIMIT ?)"""


def release_files(db: sqlite3.Connection, documents: Sequence[str], owner: int) -> None:
    """Give back the files that were taken and not read."""
    db.execute(
        f"UPDATE source SET owner = NULL WHERE owner = ? AND document IN ({_marks(documents)})", (owner, *documents)
    )


def others_at_work(db: sqlite3.Connection, documents: Sequence[str], owner: int) -> bool:
    """Return whether other processes have files or items that they may yet give back, or have just given some back."""
    asked = f"document IN ({_marks(documents)})"
    found = db.execute(
        f"""SELECT EXISTS (SELECT 1 FROM source WHERE owner IS NOT NULL AND owner <> ? AND {asked})
                OR EXISTS (SELECT 1 FROM source WHERE open = 1 AND owner IS NULL AND {asked})
                OR EXISTS (SELECT 1 FROM item WHERE owner IS NOT NULL AND owner <> ? AND {asked})""",
        (owner, *documents, *documents, owner, *documents),
    ).fetchone()
    return bool(found[0])


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


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
              AND state IN ({_marks(states)})
              AND (was IS NULL OR EXISTS (SELECT 1 FROM source WHERE item = item.id))""",
        (billing, document, *states),
    ).fetchall()
    # The billing begins anew; what the earlier calls cost stays in the count of the run.
    db.executemany(
        "UPDATE item SET state = ?, billing = ?, failure = NULL, answer = NULL, interrupted = 0 WHERE id = ?",
        [(TRANSITIONS[State(state), ItemEvent.REQUEUE], Billing.NOT_BILLED, number) for number, state in items],
    )
    reopen_sources(db, [number for number, _ in items])
    return len(items)
