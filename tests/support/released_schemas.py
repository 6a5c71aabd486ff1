"""The tables of the ledger as each released version made them, and runs in them.

The statements are those of the versions themselves, and stay as they are: they must not follow the package.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from clova_ocr_async.ledger.sqlite.run_directory import LEDGER

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RELEASED", "create_tables", "make_older"]

RELEASED = (1, 2, 3)
"""The schema versions of the releases before the present one."""

_FIRST = """
CREATE TABLE run (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE owner (
    id INTEGER PRIMARY KEY AUTOINCREMENT, place TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL,
    expires REAL NOT NULL
);
CREATE TABLE item (
    id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL, document TEXT NOT NULL, state TEXT NOT NULL, owner INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0, maybe_billed INTEGER NOT NULL DEFAULT 0, billing INTEGER NOT NULL DEFAULT 0,
    request_id TEXT, sent_at REAL, finished_at REAL, elapsed REAL NOT NULL DEFAULT 0, answer INTEGER, failure BLOB,
    UNIQUE (sha256, document)
);
CREATE INDEX item_owned ON item (owner) WHERE owner IS NOT NULL;
CREATE INDEX item_late ON item (id) WHERE state = 'ambiguous' AND answer IS NOT NULL;
CREATE TRIGGER item_sent AFTER UPDATE OF attempts ON item WHEN NEW.attempts > OLD.attempts BEGIN
    UPDATE run SET value = value + 1 WHERE name = 'calls'; END;
CREATE TABLE answer (
    id INTEGER PRIMARY KEY, item INTEGER NOT NULL, request_id TEXT NOT NULL, status INTEGER NOT NULL, cut TEXT,
    body BLOB NOT NULL, came REAL NOT NULL, UNIQUE (item, request_id, came)
);
CREATE TRIGGER answer_came AFTER INSERT ON answer BEGIN
    UPDATE item SET maybe_billed = maybe_billed - 1 WHERE id = NEW.item AND maybe_billed > 0 AND (
        request_id <> NEW.request_id OR state IN ('queued', 'claimed') OR state = 'ambiguous' AND answer IS NULL);
    UPDATE item SET answer = NEW.id, sent_at = NULL WHERE id = NEW.item AND request_id = NEW.request_id AND (
        state IN ('sent', 'ambiguous') OR state IN ('succeeded', 'failed') AND answer IS NULL);
    UPDATE item SET answer = NEW.id, state = 'ambiguous', owner = NULL, billing = 1
    WHERE id = NEW.item AND request_id = NEW.request_id AND state IN ('queued', 'claimed'); END;
CREATE TABLE source (
    id INTEGER PRIMARY KEY, document TEXT NOT NULL, path BLOB NOT NULL, open INTEGER NOT NULL, owner INTEGER,
    item INTEGER, failure BLOB, size INTEGER, modified_ns INTEGER, changed_ns INTEGER, inode INTEGER,
    UNIQUE (document, path)
);
CREATE INDEX source_open ON source (document, id) WHERE open = 1 AND owner IS NULL;
CREATE INDEX source_owned ON source (owner) WHERE owner IS NOT NULL;
CREATE INDEX source_item ON source (item);
PRAGMA application_id = 1129074518;
"""
_SECOND = "ALTER TABLE answer ADD COLUMN unpacked INTEGER;"
_THIRD = """
ALTER TABLE item ADD COLUMN was BLOB;
CREATE TRIGGER source_replaced AFTER UPDATE OF item ON source
WHEN OLD.item IS NOT NULL AND NEW.item IS NOT OLD.item BEGIN
    UPDATE item SET was = OLD.path WHERE id = OLD.item; END;
"""


def create_tables(db: sqlite3.Connection, version: int) -> None:
    """Create the tables of a released version."""
    db.executescript("".join((_FIRST, _SECOND, _THIRD)[:version]) + f"PRAGMA user_version = {version};")


def make_older(run: Path, version: int) -> None:
    """Turn a run of the present version into one of a released version; what that did not know is dropped."""
    with closing(sqlite3.connect(":memory:")) as older, closing(sqlite3.connect(run / LEDGER)) as db:
        create_tables(older, version)
        for table in ("run", "owner", "answer", "item", "source"):  # answers first: their trigger changes items
            names = [name for _, name, *_ in older.execute(f"PRAGMA table_info({table})")]
            columns, marks = ", ".join(names), ", ".join("?" * len(names))
            rows = db.execute(f"SELECT {columns} FROM {table}")  # noqa: S608 - names of our own
            older.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)  # noqa: S608 - as above
        older.commit()
        older.backup(db)
