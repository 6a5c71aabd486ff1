"""Opening a ledger that is there already: to read it, or for work that begins no run."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clova_ocr_async.batch.sqlite.agreement import agree_on_seal
from clova_ocr_async.batch.sqlite.connection import connect
from clova_ocr_async.batch.sqlite.folder import LEDGER, existing_folder
from clova_ocr_async.batch.sqlite.schema import MIGRATIONS, version_of
from clova_ocr_async.batch.sqlite.writer import ledger_error
from clova_ocr_async.errors import LedgerError
from clova_ocr_async.protocol.echo import shown_path

if TYPE_CHECKING:
    from collections.abc import Generator

    from clova_ocr_async.batch.seal import Seal

__all__ = ["check_agreed", "opened_existing", "told_errors"]


def opened_existing(given: str | os.PathLike[str], *, reading: bool = False) -> sqlite3.Connection:
    """Open the ledger of a run directory that is there.

    Args:
        given: The run directory.
        reading: Nothing will be written.

    Raises:
        LedgerError: There is none, or this version of the package does not read it.
        sqlite3.Error: The file cannot be used.
    """
    folder = existing_folder(given)
    shown = shown_path(os.fspath(folder))
    if (folder / LEDGER).stat().st_size == 0:  # opening it as a ledger would write
        raise LedgerError(f"{shown} holds an empty {LEDGER}: a batch was ended as it began; run it again")
    db = connect(folder, reading=reading)
    try:
        _check_version(db, shown)
    except BaseException:
        db.close()
        raise
    return db


def _check_version(db: sqlite3.Connection, shown: str) -> None:
    version, known = version_of(db), len(MIGRATIONS)
    if version != known:
        way_out = "update it" if version > known else "run the batch again, which brings the ledger up to date"
        raise LedgerError(
            f"the ledger in {shown} has schema {version}, and this version of clova-ocr-async reads {known}; {way_out}"
        )


def check_agreed(db: sqlite3.Connection, seal: Seal) -> None:
    """Refuse a seal that is not the run's, without writing anything.

    Raises:
        LedgerError: The run was begun with another key, or with one and none is given, or the other way round.
    """
    copy = sqlite3.connect(":memory:")  # the agreement writes down what is not written yet
    try:
        copy.execute("CREATE TABLE run (name TEXT PRIMARY KEY, value)")
        copy.executemany("INSERT INTO run VALUES (?, ?)", db.execute("SELECT name, value FROM run"))
        agree_on_seal(copy, seal)
    finally:
        copy.close()


@contextmanager
def told_errors() -> Generator[None]:
    """Raise what SQLite raises as an error of the ledger."""
    try:
        yield
    except sqlite3.Error as error:
        raise ledger_error(error) from None
