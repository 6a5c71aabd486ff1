"""The tables of the ledger, and how an older file becomes a newer one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.errors import LedgerError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

__all__ = ["APPLICATION_ID", "MIGRATIONS", "migrate", "version_of"]

APPLICATION_ID = 0x434C4F56
"""What makes a SQLite file ours: "CLOV"."""


def _create(db: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";\n\n"):  # a trigger has semicolons of its own
        db.execute(statement)


_TABLES = """
    -- What holds for the whole run: its fingerprint, its seal, the calls paid so far or perhaps.
    CREATE TABLE run (name TEXT PRIMARY KEY, value) WITHOUT ROWID;

    -- The processes at work. An id is never used again, so that it fences what an older owner still writes.
    CREATE TABLE owner (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        place TEXT NOT NULL,        -- boot and process namespace, in which a pid means something
        pid INTEGER NOT NULL,
        started TEXT NOT NULL,      -- of the process, since pids are used again
        expires REAL NOT NULL       -- of the lease, on the clock of that boot
    );

    CREATE TABLE item (
        id INTEGER PRIMARY KEY,
        sha256 BLOB NOT NULL,
        document TEXT NOT NULL,
        state TEXT NOT NULL,
        owner INTEGER,              -- while somebody works on it
        attempts INTEGER NOT NULL DEFAULT 0,
        maybe_billed INTEGER NOT NULL DEFAULT 0,
        billing INTEGER NOT NULL DEFAULT 0,
        request_id TEXT,
        sent_at REAL,               -- while a request is under way; Unix seconds
        finished_at REAL,
        elapsed REAL NOT NULL DEFAULT 0,
        answer INTEGER,             -- the one that counts
        failure BLOB,               -- sealed
        UNIQUE (sha256, document)
    );

    CREATE INDEX item_owned ON item (owner) WHERE owner IS NOT NULL;

    CREATE INDEX item_late ON item (id) WHERE state = 'ambiguous' AND answer IS NOT NULL;

    -- Whatever is sent is counted with it, for the ceiling that all processes share.
    CREATE TRIGGER item_sent AFTER UPDATE OF attempts ON item WHEN NEW.attempts > OLD.attempts BEGIN
        UPDATE run SET value = value + 1 WHERE name = 'calls'; END;

    -- Every answer that came, also those that came too late to count.
    CREATE TABLE answer (
        id INTEGER PRIMARY KEY,
        item INTEGER NOT NULL,
        request_id TEXT NOT NULL,
        status INTEGER NOT NULL,
        cut TEXT,
        body BLOB NOT NULL,         -- sealed
        came REAL NOT NULL,
        UNIQUE (item, request_id, came)
    );

    -- An answer counts if it is the one of the item's last call; it may come from the spill when that is settled. A row
    -- that was given up had the call in doubt, and has it no more. An item that was queued to be sent again, and has
    -- not been sent yet, becomes ambiguous instead, and whoever finds it next finishes it from this answer.
    CREATE TRIGGER answer_came AFTER INSERT ON answer BEGIN
        UPDATE item SET maybe_billed = maybe_billed - 1 WHERE id = NEW.item AND maybe_billed > 0 AND (
            request_id <> NEW.request_id OR state IN ('queued', 'claimed') OR state = 'ambiguous' AND answer IS NULL);
        UPDATE item SET answer = NEW.id, sent_at = NULL WHERE id = NEW.item AND request_id = NEW.request_id AND (
            state IN ('sent', 'ambiguous') OR state IN ('succeeded', 'failed') AND answer IS NULL);
        UPDATE item SET answer = NEW.id, state = 'ambiguous', owner = NULL, billing = 1
        WHERE id = NEW.item AND request_id = NEW.request_id AND state IN ('queued', 'claimed'); END;

    -- The names that images go by.
    CREATE TABLE source (
        id INTEGER PRIMARY KEY,
        document TEXT NOT NULL,
        path BLOB NOT NULL,
        open INTEGER NOT NULL,      -- 1 while it is to be read
        owner INTEGER,              -- while somebody is about to read it
        item INTEGER,               -- once it is read
        failure BLOB,               -- if it could not be read
        size INTEGER,
        modified_ns INTEGER,
        changed_ns INTEGER,
        inode INTEGER,
        UNIQUE (document, path)
    );

    CREATE INDEX source_open ON source (document, id) WHERE open = 1 AND owner IS NULL;

    CREATE INDEX source_owned ON source (owner) WHERE owner IS NOT NULL;

    CREATE INDEX source_item ON source (item)
"""


def _note_compression(db: sqlite3.Connection) -> None:
    # Bytes of an answer that is stored compressed, before that; NULL where it is stored as it came.
    db.execute("ALTER TABLE answer ADD COLUMN unpacked INTEGER")


def _note_replaced(db: sqlite3.Connection) -> None:
    # The last name of a picture under which something else was found. It counts while the picture has no other name:
    # then it is no image of the run any more, and stays only if it was paid.
    db.execute("ALTER TABLE item ADD COLUMN was BLOB")
    db.execute(
        """CREATE TRIGGER source_replaced AFTER UPDATE OF item ON source
           WHEN OLD.item IS NOT NULL AND NEW.item IS NOT OLD.item BEGIN
               UPDATE item SET was = OLD.path WHERE id = OLD.item; END"""
    )


MIGRATIONS: Sequence[Callable[[sqlite3.Connection], None]] = (_create, _note_compression, _note_replaced)
"""Each takes a file from the version of its place in the list to the next."""


def version_of(db: sqlite3.Connection) -> int:
    """Return the schema version of a file; 0 for a new one.

    Raises:
        LedgerError: It is a SQLite file of something else.
    """
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID and (application or version or _has_tables(db)):
        raise LedgerError("ledger.sqlite3 is the database of another program; choose another folder")
    return int(version)


def migrate(db: sqlite3.Connection, migrations: Sequence[Callable[[sqlite3.Connection], None]] = MIGRATIONS) -> None:
    """Bring a file up to date, each step whole or not at all.

    Raises:
        LedgerError: A newer version of this package wrote it, or another program.
    """
    while version_of(db) != len(migrations):
        db.execute("BEGIN IMMEDIATE")
        try:
            _migrate_once(db, migrations)
        except BaseException:
            if db.in_transaction:  # on a full disk SQLite has ended it itself, and its error is the one to see
                db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")


def _migrate_once(db: sqlite3.Connection, migrations: Sequence[Callable[[sqlite3.Connection], None]]) -> None:
    version = version_of(db)  # once more: another process may have been quicker
    if version > len(migrations):
        raise LedgerError(
            f"the ledger has schema {version}, and this version of clova-ocr-async knows {len(migrations)}; update it"
        )
    if version < len(migrations):
        migrations[version](db)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {version + 1}")


def _has_tables(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None
