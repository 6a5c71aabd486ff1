"""The tables of the ledger as each released version made them, and runs in them.

The statements are those of the versions themselves, and stay as they are: they must not follow the package.
"""

from __future__ import annotations

import sqlite3
import struct
import zlib
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from support.ledgers import ANSWER, FAILURE, dead_process, item

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.host.processes import Process

__all__ = ["RELEASED", "begin_older", "create_tables", "make_older"]

RELEASED = (1, 2, 3, 4, 5)
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
_FOURTH = """
DROP TRIGGER answer_came;
DROP TRIGGER source_replaced;
CREATE TABLE new_item (
    id INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL,
    document TEXT NOT NULL,
    page INTEGER NOT NULL DEFAULT 0,
    recipe TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL,
    owner INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    maybe_billed INTEGER NOT NULL DEFAULT 0,
    billing INTEGER NOT NULL DEFAULT 0,
    request_id TEXT,
    sent_at REAL,
    finished_at REAL,
    elapsed REAL NOT NULL DEFAULT 0,
    answer INTEGER,
    failure BLOB,
    was BLOB,
    picture BLOB,
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
    page INTEGER NOT NULL DEFAULT 0,
    open INTEGER NOT NULL,
    owner INTEGER,
    item INTEGER,
    failure BLOB,
    size INTEGER,
    modified_ns INTEGER,
    changed_ns INTEGER,
    inode INTEGER,
    columns BLOB,
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
CREATE TRIGGER source_divided AFTER INSERT ON source WHEN NEW.page > 0 BEGIN
    DELETE FROM source WHERE document = NEW.document AND path = NEW.path AND page = 0; END;
"""
_FIFTH = """
CREATE TABLE correction (
    number INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL, made REAL NOT NULL, change BLOB NOT NULL
);
CREATE INDEX correction_item ON correction (item, number);
CREATE TRIGGER correction_stays BEFORE UPDATE ON correction BEGIN
    SELECT RAISE(ABORT, 'a correction is never changed'); END;
"""


def create_tables(db: sqlite3.Connection, version: int) -> None:
    """Create the tables of a released version."""
    scripts = _FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH
    db.executescript("".join(scripts[:version]) + f"PRAGMA user_version = {version};")


def make_older(run: Path, version: int) -> None:
    """Turn a run of the present version into one of a released version; what that did not know is dropped."""
    with closing(sqlite3.connect(":memory:")) as older, closing(sqlite3.connect(run / LEDGER)) as db:
        create_tables(older, version)
        for table in ("run", "owner", "answer", "item", "source"):  # answers first: their trigger changes items
            names = [name for _, name, *_ in older.execute(f"PRAGMA table_info({table})")]
            columns, marks = ", ".join(names), ", ".join("?" * len(names))
            rows = db.execute(f"SELECT {columns} FROM {table}")  # noqa: S608 - names of our own
            older.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)  # noqa: S608 - as above
        if version == 1:  # which stored answers as they came
            packed = db.execute("SELECT body, id FROM answer WHERE unpacked IS NOT NULL").fetchall()
            older.executemany(
                "UPDATE answer SET body = ? WHERE id = ?", [(zlib.decompress(body), number) for body, number in packed]
            )
        older.commit()
        older.backup(db)


# ---------------------------------------------------------------------------------------------------------------------
# A run as a process of a released version left it when it was killed

OWNER = 4
READ, DOUBTED, QUEUED, ANSWERED, LOST, UNREAD, REFUSED, SETTLED, TAKEN_BACK = range(3, 12)
"""Numbers of items: each is named after what the killed process knew of it."""

CALLS = 7
"""Calls that such a run has counted."""

_ITEMS = (
    # number, name, state, owner, attempts, maybe_billed, billing, request_id, sent_at, answer, failure
    (READ, "read", "succeeded", None, 1, 0, 2, "r3", None, 1, None),
    (DOUBTED, "doubted", "ambiguous", None, 1, 1, 1, "r4", None, None, b'{"type":"ConnectionLostError","message":"x"}'),
    (QUEUED, "queued", "queued", None, 0, 0, 0, None, None, None, None),
    (ANSWERED, "answered", "sent", OWNER, 1, 0, 0, "r6", 6.0, None, None),
    (LOST, "lost", "sent", OWNER, 1, 0, 0, "r7", 7.0, None, None),
    (UNREAD, "unread", "failed", None, 1, 0, 2, "r8", None, 2, b'{"type":"RecognitionError","message":"x"}'),
    (REFUSED, "refused", "skipped", None, 0, 0, 0, None, None, None, b'{"type":"ImageError","message":"x"}'),
    (SETTLED, "settled", "sent", OWNER, 1, 0, 0, "r10", 10.0, None, None),
    (TAKEN_BACK, "taken back", "sent", OWNER, 1, 0, 0, "r11", 11.0, None, None),
)

_RECORDS: tuple[tuple[object, ...], ...] = (
    ("answer", ANSWERED, "r6", 200, None, ANSWER.body, 6.5),
    (
        "settlement",
        {"number": SETTLED, "owner": OWNER, "item": {"sha256": item("settled").sha256, "document": "receipt"}},
        {"event": "doubt", "billing": 1, "elapsed": 1.0, "failure": b"", "request_id": "r10"},
        b'{"type":"ConnectionLostError","message":"x"}',
        10.5,
    ),
    ("refusal", TAKEN_BACK, "r11", False),
)


def begin_older(run: Path, version: int, owner: Process | None = None) -> None:
    """Make a run of a released version, with an overflow file, as a process left it that was killed.

    Args:
        run: The run directory.
        version: Of the schema.
        owner: The process.
    """
    run.mkdir(0o700)
    (run / LEDGER).touch(0o600)
    process = owner or dead_process()
    with closing(sqlite3.connect(run / LEDGER)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        create_tables(db, version)
        db.executemany(
            "INSERT INTO run VALUES (?, ?)",
            [("seal", "none"), ("store", "full"), ("services", b'["local"]'), ("calls", CALLS)],
        )
        db.execute(
            "INSERT INTO owner VALUES (?, ?, ?, ?, ?)", (OWNER, process.place, process.pid, process.started, 5030.0)
        )
        db.executemany(  # before the items, which its trigger would change
            "INSERT INTO answer (id, item, request_id, status, body, came) VALUES (?, ?, ?, 200, ?, 3.5)",
            [(1, READ, "r3", ANSWER.body), (2, UNREAD, "r8", FAILURE.body)],
        )
        for number, name, *values in _ITEMS:
            db.execute(
                "INSERT INTO item (id, sha256, document, state, owner, attempts, maybe_billed, billing, request_id, "
                "sent_at, answer, failure) VALUES (?, ?, 'receipt', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (number, item(name).sha256, *values),
            )
            db.execute(
                "INSERT INTO source (document, path, open, item, size, modified_ns, changed_ns, inode) "
                "VALUES ('receipt', ?, ?, ?, 1, 2, 3, 4)",
                (name.encode(), number == QUEUED, number),
            )
        db.execute("INSERT INTO source (document, path, open, owner) VALUES ('receipt', x'6e6577', 1, ?)", (OWNER,))
    packed = [msgspec.msgpack.encode(record) for record in _RECORDS]
    framed = b"".join(struct.pack("<II", len(one), zlib.crc32(one)) + one for one in packed)
    (run / f"answers-{OWNER}.spill").write_bytes(framed + bytes(8))
