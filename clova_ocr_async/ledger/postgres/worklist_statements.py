"""The work list of a run as SQL: its files, recorded as they are found and handed to its processes."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.postgres.item_statements import reopen_sources, stamp_columns
from clova_ocr_async.ledger.states import TRANSITIONS, ItemEvent, ListedFile, State, from_states
from clova_ocr_async.ledger.stored_values import opened_columns, sealed_columns

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from psycopg import Connection

    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.ledger.states import SourceFile

__all__ = [
    "add_files",
    "claim_again",
    "claim_files",
    "other_base_folder",
    "others_at_work",
    "release_files",
    "requeue",
    "set_base_folder",
    "taken_files",
]

_NEW = """unnest(%(paths)s::bytea[], %(pages)s::integer[], %(columns)s::bytea[], %(sizes)s::bigint[],
                  %(modified)s::bigint[], %(changed)s::bigint[], %(inodes)s::bigint[])
           WITH ORDINALITY AS new (path, page, columns, size, modified_ns, changed_ns, inode, place)"""
# The pages of a file take the place of the whole.
_FORGET_WHOLE = """
    WITH whole AS (
        DELETE FROM clova_ocr.source WHERE run = %(run)s AND document = %(document)s AND page = 0
            AND path_hash IN (SELECT sha256(path) FROM unnest(%(divided)s::bytea[]) AS divided (path))
        RETURNING item, path
    )
    UPDATE clova_ocr.item SET was = whole.path FROM whole WHERE item.id = whole.item
"""
# A file that is open already stays as it is: the process that reads it records what it is then. One without a stamp is
# not there, so it is only worth an entry if it never had an item.
_READ_AGAIN = """CASE WHEN new.size IS NULL THEN known.item IS NULL
    ELSE known.failure IS NOT NULL OR known.size IS NULL
         OR (known.size, known.modified_ns, known.changed_ns, known.inode)
            IS DISTINCT FROM (new.size, new.modified_ns, new.changed_ns, new.inode) END"""
_CHANGE = f"""
    UPDATE clova_ocr.source AS known
    SET open = known.open OR {_READ_AGAIN}, columns = coalesce(new.columns, known.columns)
    FROM {_NEW}
    WHERE known.run = %(run)s AND known.document = %(document)s AND known.path_hash = sha256(new.path)
      AND known.page = new.page AND (NOT known.open AND {_READ_AGAIN} OR new.columns IS NOT NULL)
"""
_ADD = f"""
    INSERT INTO clova_ocr.source (run, document, path, page, open, columns)
    SELECT %(run)s, %(document)s, path, page, true, columns FROM {_NEW} ORDER BY place
    ON CONFLICT (run, document, path_hash, page) DO NOTHING
"""
_KNOWN = """SELECT path FROM clova_ocr.source WHERE run = %s AND document = %s
            AND path_hash IN (SELECT sha256(path) FROM unnest(%s::bytea[]) AS asked (path))"""


def add_files(db: Connection[Any], run: int, files: Sequence[SourceFile], document: str, seal: Seal) -> None:
    """Record files that are to be read: new ones, changed ones, and those that could not be read before."""
    found = _in_known_spelling(db, run, files, document)
    stamps = zip(*(stamp_columns(file.stamp) for file in found), strict=True)
    values = {
        "run": run,
        "document": document,
        "paths": [file.path for file in found],
        "pages": [file.page or 0 for file in found],
        "columns": [sealed_columns(seal, file, document) for file in found],
        "divided": [file.path for file in found if file.page is not None],
    } | {name: [*column] for name, column in zip(("sizes", "modified", "changed", "inodes"), stamps, strict=False)}
    if found:
        db.execute(_FORGET_WHOLE, values)
        db.execute(_CHANGE, values)
        db.execute(_ADD, values)


def _in_known_spelling(
    db: Connection[Any], run: int, files: Sequence[SourceFile], document: str
) -> Collection[SourceFile]:
    """Return files, each once, and under its alias if the run has that, whatever its page."""
    aliases = [file.alias for file in files if file.alias is not None]
    known = {path for (path,) in db.execute(_KNOWN, (run, document, aliases))}
    found: dict[tuple[bytes, int | None], SourceFile] = {}
    for file in files:
        path = file.alias if file.alias in known and file.alias is not None else file.path
        known.add(path)
        earlier = found.get((path, file.page), file)
        found[path, file.page] = replace(earlier, path=path, columns=file.columns or earlier.columns)
    return found.values()


def set_base_folder(db: Connection[Any], run: int, folder: bytes) -> bytes | None:
    """Record the folder in which the relative paths of a run start, unless they start in another one.

    Returns:
        As ``other_base_folder``.
    """
    # Also if the tree was moved: the run goes on from its new place.
    if (recorded := other_base_folder(db, run, folder)) is None:
        db.execute("UPDATE clova_ocr.run SET base_folder = %s WHERE id = %s", (folder, run))
    return recorded


def other_base_folder(db: Connection[Any], run: int, folder: bytes) -> bytes | None:
    """Return the folder in which the relative paths of a run start; None if that is the given one, or unknown."""
    row = db.execute(
        """SELECT base_folder FROM clova_ocr.run WHERE id = %(run)s AND base_folder IS NOT NULL AND EXISTS (
               SELECT FROM clova_ocr.source WHERE source.run = %(run)s AND substr(path, 1, 1) <> '\\x2f')""",
        {"run": run},
    ).fetchone()
    if row is None:
        return None
    recorded = bytes(row[0])
    try:
        return None if os.path.samefile(recorded, folder) else recorded  # noqa: PTH121 - a Path takes no bytes
    except OSError:  # the whole tree was moved, or is mounted elsewhere, so relative paths still hold
        return None


_COLUMNS = "source.id, path, page, document, columns"
# The first ones of each document, since an index gives those however many files wait. A file that another process takes
# at this moment is passed over.
_CLAIM = f"""
    UPDATE clova_ocr.source SET owner = %(owner)s FROM (
        SELECT found.id FROM unnest(%(documents)s::text[]) AS asked (document) CROSS JOIN LATERAL (
            SELECT id FROM clova_ocr.source
            WHERE run = %(run)s AND source.document = asked.document AND open AND owner IS NULL
            ORDER BY id LIMIT %(most)s FOR NO KEY UPDATE SKIP LOCKED
        ) AS found ORDER BY found.id LIMIT %(most)s
    ) AS first WHERE source.id = first.id RETURNING {_COLUMNS}
"""


def claim_files(
    db: Connection[Any], run: int, documents: Sequence[str], owner: int, most: int
) -> list[tuple[Any, ...]]:
    """Take files to read, first come first served; return their rows, for ``taken_files``."""
    values = {"run": run, "documents": [*documents], "owner": owner, "most": most}
    return sorted(db.execute(_CLAIM, values).fetchall())  # RETURNING has an order of its own


def claim_again(db: Connection[Any], numbers: Sequence[int], owner: int) -> list[tuple[Any, ...]]:
    """Take files whose claim was committed and not acknowledged, or was not committed; return their rows."""
    rows = db.execute(
        f"""UPDATE clova_ocr.source SET owner = %(owner)s
            WHERE id = ANY(%(numbers)s) AND open AND coalesce(owner, %(owner)s) = %(owner)s RETURNING {_COLUMNS}""",
        {"owner": owner, "numbers": [*numbers]},
    )
    return sorted(rows.fetchall())


def taken_files(rows: Iterable[tuple[Any, ...]], seal: Seal) -> list[ListedFile]:
    """Return the rows of files as files."""
    return [
        ListedFile(path, page or None, document, opened_columns(seal, columns, path, page, document))
        for _, path, page, document, columns in rows
    ]


def release_files(db: Connection[Any], run: int, documents: Sequence[str], owner: int) -> None:
    """Give back the files that were taken and not read."""
    db.execute(
        "UPDATE clova_ocr.source SET owner = NULL WHERE run = %s AND owner = %s AND document = ANY(%s)",
        (run, owner, [*documents]),
    )


def others_at_work(db: Connection[Any], run: int, documents: Sequence[str], owner: int) -> bool:
    """Return whether other processes have files or items that they may yet give back, or have just given some back."""
    asked = "run = %(run)s AND document = ANY(%(documents)s)"
    found = db.execute(
        f"""SELECT EXISTS (SELECT FROM clova_ocr.source WHERE {asked} AND owner IS NOT NULL AND owner <> %(owner)s)
                OR EXISTS (SELECT FROM clova_ocr.source WHERE {asked} AND open AND owner IS NULL)
                OR EXISTS (SELECT FROM clova_ocr.item WHERE {asked} AND owner IS NOT NULL AND owner <> %(owner)s)""",
        {"run": run, "documents": [*documents], "owner": owner},
    ).fetchone()
    return found is not None and bool(found[0])


def requeue(
    db: Connection[Any], run: int, billing: Billing, document: str | None = None, *, inconclusive: Collection[int] = ()
) -> list[int]:
    """Queue unread items again; one that was replaced under its last name is left out, as no file holds it any more.

    Args:
        db: The connection.
        run: The run's number.
        billing: NOT_BILLED for those certainly not billed, MAYBE_BILLED for the ambiguous ones, BILLED for the others.
        document: Only those of this document; of all if not given.
        inconclusive: The late answers that settle nothing. An ambiguous item with another one is left out.

    Returns:
        The numbers of the items.
    """
    # The billing begins anew; what the earlier calls cost stays in the count of the run. A late answer may arrive after
    # the caller has looked for such: it is paid, and settles its item.
    rows = db.execute(
        """UPDATE clova_ocr.item SET state = %(queued)s, billing = %(unbilled)s, failure = NULL, answer = NULL,
               interrupted = 0
           WHERE run = %(run)s AND billing = %(billing)s AND document = coalesce(%(document)s::text, document)
             AND state = ANY(%(states)s)
             AND (state <> %(ambiguous)s OR answer IS NULL OR answer = ANY(%(inconclusive)s))
             AND (was IS NULL OR EXISTS (SELECT FROM clova_ocr.source WHERE source.item = item.id))
           RETURNING id""",
        {
            "run": run,
            "queued": _QUEUED,
            "unbilled": Billing.NOT_BILLED,
            "billing": billing,
            "document": document,
            "states": [*from_states(ItemEvent.REQUEUE)],
            "ambiguous": State.AMBIGUOUS,
            "inconclusive": [*inconclusive],
        },
    ).fetchall()
    numbers = [number for (number,) in rows]
    reopen_sources(db, numbers)
    return numbers


(_QUEUED,) = {TRANSITIONS[state, ItemEvent.REQUEUE] for state in from_states(ItemEvent.REQUEUE)}
