"""The tables of the ledger, and the migrations that bring an older file up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["APPLICATION_ID", "MIGRATIONS", "is_current_version", "migrate", "version_of"]

APPLICATION_ID = 0x434C4F56
"""The mark of a SQLite file as a ledger: "CLOV"."""


def _execute_all(db: sqlite3.Connection, statements: str) -> None:
    # Not executescript, which would commit the migration's transaction.
    for statement in statements.split(";\n\n"):  # a trigger has semicolons of its own
        db.execute(statement)


def _create(db: sqlite3.Connection) -> None:
    _execute_all(db, _TABLES)


_TABLES = """
    -- Settings and counts of the whole run: the ledger's file, its encryption ("seal"), the calls that are or may be
    -- billed.
    CREATE TABLE run (name TEXT PRIMARY KEY, value) WITHOUT ROWID;

    -- The processes at work. An id is never used again, so it is a fencing token: a write with an old id has no effect.
    CREATE TABLE owner (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        place TEXT NOT NULL,        -- boot and pid namespace; a pid is unique only there
        pid INTEGER NOT NULL,
        started TEXT NOT NULL,      -- start time of the process, since pids are used again
        expires REAL NOT NULL       -- end of the lease, on the monotonic clock of that boot
    );

    CREATE TABLE item (
        id INTEGER PRIMARY KEY,
        sha256 BLOB NOT NULL,
        document TEXT NOT NULL,
        state TEXT NOT NULL,
        owner INTEGER,              -- while a process works on it
        attempts INTEGER NOT NULL DEFAULT 0,
        maybe_billed INTEGER NOT NULL DEFAULT 0,
        billing INTEGER NOT NULL DEFAULT 0,
        request_id TEXT,
        sent_at REAL,               -- while a request is in flight; Unix seconds
        finished_at REAL,
        elapsed REAL NOT NULL DEFAULT 0,
        answer INTEGER,             -- id of the accepted answer
        failure BLOB,               -- encrypted, if the run is
        UNIQUE (sha256, document)
    );

    CREATE INDEX item_owned ON item (owner) WHERE owner IS NOT NULL;

    CREATE INDEX item_late ON item (id) WHERE state = 'ambiguous' AND answer IS NOT NULL;

    -- Each request is counted as it is marked as sent, for the call limit that all processes share.
    CREATE TRIGGER item_sent AFTER UPDATE OF attempts ON item WHEN NEW.attempts > OLD.attempts BEGIN
        UPDATE run SET value = value + 1 WHERE name = 'calls'; END;

    -- All answers received, including late ones that no item accepted.
    CREATE TABLE answer (
        id INTEGER PRIMARY KEY,
        item INTEGER NOT NULL,
        request_id TEXT NOT NULL,
        status INTEGER NOT NULL,
        cut TEXT,
        body BLOB NOT NULL,         -- compressed, and encrypted if the run is
        came REAL NOT NULL,         -- Unix seconds
        UNIQUE (item, request_id, came)
    );

    -- An item accepts the answer of its last call, also from an overflow file after it was settled. An ambiguous item
    -- counted the call as maybe billed, and now counts it as billed. An item that was queued to be sent again, and has
    -- not been sent yet, becomes ambiguous; the next process to look at it settles it from this answer.
    CREATE TRIGGER answer_came AFTER INSERT ON answer BEGIN
        UPDATE item SET maybe_billed = maybe_billed - 1 WHERE id = NEW.item AND maybe_billed > 0 AND (
            request_id <> NEW.request_id OR state IN ('queued', 'claimed') OR state = 'ambiguous' AND answer IS NULL);
        UPDATE item SET answer = NEW.id, sent_at = NULL WHERE id = NEW.item AND request_id = NEW.request_id AND (
            state IN ('sent', 'ambiguous') OR state IN ('succeeded', 'failed') AND answer IS NULL);
        UPDATE item SET answer = NEW.id, state = 'ambiguous', owner = NULL, billing = 1
        WHERE id = NEW.item AND request_id = NEW.request_id AND state IN ('queued', 'claimed'); END;

    -- The files of the run; several may hold the same image.
    CREATE TABLE source (
        id INTEGER PRIMARY KEY,
        document TEXT NOT NULL,
        path BLOB NOT NULL,
        open INTEGER NOT NULL,      -- 1 until it is read from the disk
        owner INTEGER,              -- the process that is about to read it
        item INTEGER,               -- its image, once it is read
        failure BLOB,               -- the reason if it could not be read
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
    # Bytes of an answer before compression; NULL where it is stored uncompressed.
    db.execute("ALTER TABLE answer ADD COLUMN unpacked INTEGER")


def _note_replaced(db: sqlite3.Connection) -> None:
    # The last file that held an image and now holds another one. While no other file holds the image, it is not part of
    # the run any more, and is kept only if it was billed.
    db.execute("ALTER TABLE item ADD COLUMN was BLOB")
    db.execute(
        """CREATE TRIGGER source_replaced AFTER UPDATE OF item ON source
           WHEN OLD.item IS NOT NULL AND NEW.item IS NOT OLD.item BEGIN
               UPDATE item SET was = OLD.path WHERE id = OLD.item; END"""
    )


def _add_pages(db: sqlite3.Connection) -> None:
    # SQLite cannot change what is unique, so two tables are built anew. Their triggers and indexes go with them; those
    # of other tables that name them must go before, since a renaming checks them.
    _execute_all(db, _PAGES)


_PAGES = """
    DROP TRIGGER answer_came;

    DROP TRIGGER source_replaced;

    CREATE TABLE new_item (
        id INTEGER PRIMARY KEY,
        sha256 BLOB NOT NULL,       -- of the whole file
        document TEXT NOT NULL,
        page INTEGER NOT NULL DEFAULT 0,    -- 0 for the whole file
        recipe TEXT NOT NULL DEFAULT '',    -- the steps that the picture needs before it is sent
        state TEXT NOT NULL,
        owner INTEGER,              -- while a process works on it
        attempts INTEGER NOT NULL DEFAULT 0,
        maybe_billed INTEGER NOT NULL DEFAULT 0,
        billing INTEGER NOT NULL DEFAULT 0,
        request_id TEXT,
        sent_at REAL,               -- while a request is in flight; Unix seconds
        finished_at REAL,
        elapsed REAL NOT NULL DEFAULT 0,
        answer INTEGER,             -- id of the accepted answer
        failure BLOB,               -- encrypted, if the run is
        was BLOB,                   -- the last file that held it and holds another image now
        picture BLOB,               -- what the last request sent, as JSON of documents.picture.Picture
        UNIQUE (sha256, document, page, recipe)
    );

    INSERT INTO new_item (id, sha256, document, state, owner, attempts, maybe_billed, billing, request_id, sent_at,
                          finished_at, elapsed, answer, failure, was)
    SELECT id, sha256, document, state, owner, attempts, maybe_billed, billing, request_id, sent_at,
           finished_at, elapsed, answer, failure, was FROM item;

    DROP TABLE item;

    ALTER TABLE new_item RENAME TO item;

    CREATE INDEX item_owned ON item (owner) WHERE owner IS NOT NULL;

    CREATE INDEX item_late ON item (id) WHERE state = 'ambiguous' AND answer IS NOT NULL;

    CREATE TABLE new_source (
        id INTEGER PRIMARY KEY,
        document TEXT NOT NULL,
        path BLOB NOT NULL,
        page INTEGER NOT NULL DEFAULT 0,    -- 0 for the whole file
        open INTEGER NOT NULL,      -- 1 until it is read from the disk
        owner INTEGER,              -- the process that is about to read it
        item INTEGER,               -- its image, once it is read
        failure BLOB,               -- the reason if it could not be read
        size INTEGER,
        modified_ns INTEGER,
        changed_ns INTEGER,
        inode INTEGER,
        columns BLOB,               -- the manifest's own columns as JSON; encrypted, if the run is
        UNIQUE (document, path, page)
    );

    INSERT INTO new_source (id, document, path, open, owner, item, failure, size, modified_ns, changed_ns, inode)
    SELECT id, document, path, open, owner, item, failure, size, modified_ns, changed_ns, inode FROM source;

    DROP TABLE source;

    ALTER TABLE new_source RENAME TO source;

    CREATE INDEX source_open ON source (document, id) WHERE open = 1 AND owner IS NULL;

    CREATE INDEX source_owned ON source (owner) WHERE owner IS NOT NULL;

    CREATE INDEX source_item ON source (item);

    CREATE TRIGGER item_sent AFTER UPDATE OF attempts ON item WHEN NEW.attempts > OLD.attempts BEGIN
        UPDATE run SET value = value + 1 WHERE name = 'calls'; END;

    CREATE TRIGGER answer_came AFTER INSERT ON answer BEGIN
        UPDATE item SET maybe_billed = maybe_billed - 1 WHERE id = NEW.item AND maybe_billed > 0 AND (
            request_id <> NEW.request_id OR state IN ('queued', 'claimed') OR state = 'ambiguous' AND answer IS NULL);
        UPDATE item SET answer = NEW.id, sent_at = NULL WHERE id = NEW.item AND request_id = NEW.request_id AND (
            state IN ('sent', 'ambiguous') OR state IN ('succeeded', 'failed') AND answer IS NULL);
        UPDATE item SET answer = NEW.id, state = 'ambiguous', owner = NULL, billing = 1
        WHERE id = NEW.item AND request_id = NEW.request_id AND state IN ('queued', 'claimed'); END;

    CREATE TRIGGER source_replaced AFTER UPDATE OF item ON source
    WHEN OLD.item IS NOT NULL AND NEW.item IS NOT OLD.item BEGIN
        UPDATE item SET was = OLD.path WHERE id = OLD.item; END;

    CREATE TRIGGER source_removed AFTER DELETE ON source WHEN OLD.item IS NOT NULL BEGIN
        UPDATE item SET was = OLD.path WHERE id = OLD.item; END;

    -- A file of several pages was refused as a whole, or had one page then: its name is that of its pages now.
    CREATE TRIGGER source_divided AFTER INSERT ON source WHEN NEW.page > 0 BEGIN
        DELETE FROM source WHERE document = NEW.document AND path = NEW.path AND page = 0; END
"""


def _add_corrections(db: sqlite3.Connection) -> None:
    _execute_all(db, _CORRECTIONS)


_CORRECTIONS = """
    -- What people changed about the answers. A number is never used again, also after a purge.
    CREATE TABLE correction (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        item INTEGER NOT NULL,
        made REAL NOT NULL,         -- Unix seconds
        change BLOB NOT NULL        -- JSON of ledger.corrections.Change; encrypted, if the run is
    );

    CREATE INDEX correction_item ON correction (item, number);

    CREATE TRIGGER correction_stays BEFORE UPDATE ON correction BEGIN
        SELECT RAISE(ABORT, 'a correction is never changed'); END
"""


def _count_interruptions(db: sqlite3.Connection) -> None:
    # How many processes have ended, one after the other, while they had the item claimed or made its picture.
    db.execute("ALTER TABLE item ADD COLUMN interrupted INTEGER NOT NULL DEFAULT 0")


MIGRATIONS: Sequence[Callable[[sqlite3.Connection], None]] = (
    _create,
    _note_compression,
    _note_replaced,
    _add_pages,
    _add_corrections,
    _count_interruptions,
)
"""Migrations; the one at index n brings a file from version n to n + 1."""


def version_of(db: sqlite3.Connection) -> int:
    """Return the schema version of a file; 0 for a new one.

    Raises:
        LedgerError: It is another program's SQLite file.
    """
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID and (application or version or _has_tables(db)):
        raise LedgerError("ledger.sqlite3 is the database of another program; choose another folder")
    return int(version)


def is_current_version(db: sqlite3.Connection, folder: Path) -> bool:
    """Return whether the tables are those of this version; False if they can be brought up to date.

    Args:
        db: The connection.
        folder: The run directory, for the error.

    Raises:
        LedgerError: A newer version wrote them, or there are none.
    """
    version, known = version_of(db), len(MIGRATIONS)
    if 0 < version <= known:
        return version == known
    way_out = "update it" if version else "run the batch again, which brings the ledger up to date"
    raise LedgerError(
        f"the ledger in {shown_path(str(folder))} has schema {version}, and this version of clova-ocr-async reads "
        f"{known}; {way_out}"
    )


def migrate(
    db: sqlite3.Connection,
    migrations: Sequence[Callable[[sqlite3.Connection], None]] = MIGRATIONS,
    *,
    check: Callable[[sqlite3.Connection], object] = lambda _: None,
) -> None:
    """Bring a file up to date, each migration in a transaction.

    Args:
        db: The connection.
        migrations: The migrations.
        check: Called in the transaction before the tables of an older version are changed; raises to keep them.

    Raises:
        LedgerError: A newer version of this package wrote it, or another program.
    """
    while version_of(db) != len(migrations):
        db.execute("BEGIN IMMEDIATE")
        try:
            _migrate_once(db, migrations, check)
        except BaseException:
            if db.in_transaction:  # on a full disk SQLite has rolled back itself, and its error is the one to raise
                db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")


def _migrate_once(
    db: sqlite3.Connection,
    migrations: Sequence[Callable[[sqlite3.Connection], None]],
    check: Callable[[sqlite3.Connection], object],
) -> None:
    version = version_of(db)  # read again: another process may have migrated meanwhile
    if version > len(migrations):
        raise LedgerError(
            f"the ledger has schema {version}, and this version of clova-ocr-async reads {len(migrations)}; update it"
        )
    if version < len(migrations):
        if version:
            check(db)
        migrations[version](db)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {version + 1}")


def _has_tables(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None
