"""The tables of the runs of a PostgreSQL database, and the migrations that bring older ones up to date.

All tables lie in the schema ``clova_ocr``, apart from those of other programs. One database holds several runs: each
row names its run. Times are Unix seconds, as in every store.

A role that may only work on runs needs no more than this, once a role that may create a schema has opened a run::

    GRANT USAGE ON SCHEMA clova_ocr TO worker;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA clova_ocr TO worker;

Whoever owns the schema can change what its tables do. So only roles that may read the answers should be allowed to
create a schema in the database (``GRANT CREATE ON DATABASE``). Tables with rules, policies or triggers of another
program are refused.

After an update of this package that changes the tables, the role that owns the schema opens a run once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import LiteralString

    from psycopg import Connection

__all__ = ["MIGRATIONS", "is_current_version", "migrate", "require_own_tables", "version_of"]

_LOCK = 0x434C4F56  # "CLOV": the advisory lock of a migration

_TABLES = """
    CREATE SCHEMA clova_ocr;

    CREATE TABLE clova_ocr.schema_version (version integer NOT NULL);
    INSERT INTO clova_ocr.schema_version VALUES (0);

    -- Rows name their run without a foreign key: its check would lock the run's row, which each request updates.
    CREATE TABLE clova_ocr.run (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        token text NOT NULL,                -- random; overflow files have it, as numbers begin anew in a new database
        seal text NOT NULL,                 -- name of the seal; "none"
        seal_check bytea,                   -- a known text, sealed; NULL without a key
        store text NOT NULL,                -- "full" or "none"
        services text[],                    -- NULL until the first process has named them
        services_by bigint NOT NULL DEFAULT 0,  -- the owner that was checked last
        base_folder bytea,
        calls bigint NOT NULL DEFAULT 0,    -- that were billed or may have been, those in flight included
        max_calls bigint,                   -- NULL for any number
        largest_answer bigint NOT NULL DEFAULT 0,
        last_correction bigint NOT NULL DEFAULT 0,  -- its number is never used again, also after a purge
        system text NOT NULL,               -- the server and the database that it was begun in, or continued in
        database bigint NOT NULL,
        moved_to text                       -- where the run was copied to; no process may open it here any more
    );

    -- The processes at work. An id is never used again, so it is a fencing token: a write with an old id has no effect.
    CREATE TABLE clova_ocr.owner (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run bigint NOT NULL,
        place text NOT NULL,                -- boot and pid namespace; a pid is unique only there
        pid bigint NOT NULL,
        started text NOT NULL,              -- start time of the process, since pids are used again
        expires double precision NOT NULL   -- end of the lease, on the server's clock
    );

    CREATE INDEX owner_of_run ON clova_ocr.owner (run);

    CREATE TABLE clova_ocr.item (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run bigint NOT NULL,
        sha256 bytea NOT NULL,              -- of the whole file
        document text NOT NULL,
        page integer NOT NULL,              -- 0 for the whole file
        recipe text NOT NULL,               -- the steps that the picture needs before it is sent
        state text NOT NULL,
        owner bigint,                       -- while a process works on it
        attempts integer NOT NULL DEFAULT 0,
        maybe_billed integer NOT NULL DEFAULT 0,
        billing smallint NOT NULL DEFAULT 0,
        request_id text,
        sent_at double precision,           -- while a request is in flight
        finished_at double precision,
        elapsed double precision NOT NULL DEFAULT 0,
        answer bigint,                      -- id of the accepted answer
        failure bytea,                      -- encrypted, if the run is
        was bytea,                          -- the last file that held it and holds another image now
        picture bytea,                      -- what the last request sent, as JSON of documents.picture.Picture
        interrupted integer NOT NULL DEFAULT 0,     -- processes that have ended while they had it or made its picture
        UNIQUE (run, sha256, document, page, recipe)
    );

    CREATE INDEX item_owned ON clova_ocr.item (run, owner) WHERE owner IS NOT NULL;
    CREATE INDEX item_late ON clova_ocr.item (run, id) WHERE state = 'ambiguous' AND answer IS NOT NULL;

    -- All answers received, including late ones that no item accepted.
    CREATE TABLE clova_ocr.answer (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run bigint NOT NULL,
        item bigint NOT NULL,
        request_id text NOT NULL,
        status integer NOT NULL,
        cut text,
        body bytea NOT NULL,                -- compressed, and encrypted if the run is
        unpacked bigint,                    -- bytes before compression; NULL where it is stored uncompressed
        came double precision NOT NULL,
        UNIQUE (item, request_id, came)
    );

    ALTER TABLE clova_ocr.answer ALTER COLUMN body SET STORAGE EXTERNAL;  -- compressed already
    CREATE INDEX answer_of_run ON clova_ocr.answer (run, came);

    -- The files of a run; several may hold the same image.
    CREATE TABLE clova_ocr.source (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run bigint NOT NULL,
        document text NOT NULL,
        path bytea NOT NULL,
        path_hash bytea NOT NULL GENERATED ALWAYS AS (sha256(path)) STORED,  -- a path may be too long for an index
        page integer NOT NULL,              -- 0 for the whole file
        open boolean NOT NULL,              -- until it is read from the disk
        owner bigint,                       -- the process that is about to read it
        item bigint,                        -- its image, once it is read
        failure bytea,                      -- the reason if it could not be read
        size bigint,
        modified_ns bigint,
        changed_ns bigint,
        inode bigint,
        columns bytea,                      -- the manifest's own columns as JSON; encrypted, if the run is
        UNIQUE (run, document, path_hash, page)
    );

    CREATE INDEX source_in_order ON clova_ocr.source (run, document, id);
    CREATE INDEX source_open ON clova_ocr.source (run, document, id) WHERE open AND owner IS NULL;
    CREATE INDEX source_owned ON clova_ocr.source (run, owner) WHERE owner IS NOT NULL;
    CREATE INDEX source_item ON clova_ocr.source (item);

    -- What people changed about the answers.
    CREATE TABLE clova_ocr.correction (
        run bigint NOT NULL,
        number bigint NOT NULL,             -- counted in the run, as the sealed change is bound to it
        item bigint NOT NULL,
        made double precision NOT NULL,
        change bytea NOT NULL,              -- JSON of ledger.corrections.Change; encrypted, if the run is
        PRIMARY KEY (run, number)
    );

    CREATE INDEX correction_item ON clova_ocr.correction (item, number);

    CREATE FUNCTION clova_ocr.keep_correction() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'a correction is never changed'; END $$;
    CREATE TRIGGER correction_stays BEFORE UPDATE ON clova_ocr.correction
        FOR EACH ROW EXECUTE FUNCTION clova_ocr.keep_correction();
"""

# What runs by itself when a row is written, or lies in the place of a table, is another program's: it could read the
# answers, or leave out the mark of a request that was sent.
_FOREIGN = """SELECT relname::text FROM pg_catalog.pg_class
              JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
              WHERE nspname = 'clova_ocr' AND relname = ANY(%s)
                AND (relkind <> 'r' OR relrowsecurity
                     -- Not relhasrules, which may stay true after the last rule was dropped.
                     OR EXISTS (SELECT FROM pg_catalog.pg_rewrite WHERE ev_class = pg_class.oid)
                     OR EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = pg_class.oid AND NOT tgisinternal
                         AND (relname, tgname) <> ('correction', 'correction_stays')))
              ORDER BY relname"""
_NAMES = ["schema_version", "run", "owner", "item", "answer", "source", "correction"]
_HAS_TABLES = """SELECT FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
                 WHERE nspname = 'clova_ocr' AND relname = 'schema_version'"""

MIGRATIONS: Sequence[LiteralString] = (_TABLES,)
"""Migrations; the one at index n brings the tables from version n to n + 1."""


def version_of(db: Connection[Any]) -> int:
    """Return the schema version of a database; 0 if it has no run yet."""
    # Not by to_regclass, which may remember within a transaction that another process had not made the tables yet.
    if db.execute(_HAS_TABLES).fetchone() is None:
        return 0
    row = db.execute("SELECT version FROM clova_ocr.schema_version").fetchone()
    return 0 if row is None else int(row[0])


def require_own_tables(db: Connection[Any]) -> None:
    """Refuse tables that another program has made or changed; those of an older version are this package's own.

    Raises:
        LedgerError: One is not a plain table, or has rules, policies or triggers.
    """
    if found := db.execute(_FOREIGN, (_NAMES,)).fetchone():
        raise LedgerError(
            f"clova_ocr.{found[0]} in this database is not as this package makes it: it is not a plain table, or has "
            "rules, policies or triggers of another program; look at what they do, and remove them, or use another "
            "database"
        )


def is_current_version(db: Connection[Any], migrations: Sequence[LiteralString] | None = None) -> bool:
    """Return whether the tables are those of this version; False if there are none, or older ones.

    Args:
        db: The connection.
        migrations: The migrations that this version knows; ``MIGRATIONS`` if not given.

    Raises:
        LedgerError: A newer version wrote them.
    """
    version, known = version_of(db), len(MIGRATIONS if migrations is None else migrations)
    if version > known:
        raise LedgerError(
            f"the tables of the database have schema {version}, and this version of clova-ocr-async reads {known}; "
            "update it"
        )
    return version == known


def migrate(db: Connection[Any], migrations: Sequence[LiteralString] | None = None) -> None:
    """Bring the tables up to date, in the caller's transaction.

    Args:
        db: The connection.
        migrations: The migrations; ``MIGRATIONS`` if not given.

    Raises:
        LedgerError: A newer version wrote them, or another program.
    """
    migrations = MIGRATIONS if migrations is None else migrations
    require_own_tables(db)
    if is_current_version(db, migrations):
        return
    db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    if is_current_version(db, migrations):  # another process has done it meanwhile
        return
    for migration in migrations[version_of(db) :]:
        db.execute(migration)
    db.execute("UPDATE clova_ocr.schema_version SET version = %s", (len(migrations),))
