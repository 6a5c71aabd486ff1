"""Opening a ledger that is there already: to read it, or for work that begins no run."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.sqlite.connection import connect
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER, check_links, existing_folder
from clova_ocr_async.ledger.sqlite.run_settings import store_or_check_seal
from clova_ocr_async.ledger.sqlite.schema import migrate
from clova_ocr_async.ledger.sqlite.snapshot import is_of_this_version, open_view
from clova_ocr_async.ledger.sqlite.writer import ledger_error
from clova_ocr_async.protocol.echo import shown_path

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.ledger.sqlite.snapshot import View

__all__ = ["check_agreed", "opened_existing", "opened_to_read", "translate_sqlite_errors"]


def opened_existing(given: str | os.PathLike[str]) -> sqlite3.Connection:
    """Open the ledger of a run directory that is there, to write to it.

    Args:
        given: The run directory.

    Raises:
        LedgerError: There is none, one of its files has a second name, or this version of the package does not read it.
        sqlite3.Error: The file cannot be used.
    """
    folder = _existing(given)
    check_links(folder)
    db = connect(folder)
    try:
        if not is_of_this_version(db, folder):
            migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def opened_to_read(given: str | os.PathLike[str]) -> View:
    """Open the ledger of a run directory that is there, and change nothing of it.

    Args:
        given: The run directory.

    Raises:
        LedgerError: There is none, it cannot be read, or this version of the package does not read it.
        sqlite3.Error: The file cannot be used.
    """
    folder = _existing(given)
    try:
        return open_view(folder)
    except OSError as error:
        raise LedgerError(f"{shown_path(os.fspath(folder))} cannot be read: {error.strerror}") from None


def _existing(given: str | os.PathLike[str]) -> Path:
    folder = existing_folder(given)
    if (folder / LEDGER).stat().st_size == 0:  # opening it as a ledger would write
        shown = shown_path(os.fspath(folder))
        raise LedgerError(f"{shown} holds an empty {LEDGER}: a batch was ended as it began; run it again")
    return folder


def check_agreed(db: sqlite3.Connection, seal: Seal) -> None:
    """Refuse a seal that is not the run's, without writing anything.

    Raises:
        LedgerError: The run was begun with another key, or with one and none is given, or the other way round.
    """
    copy = sqlite3.connect(":memory:")  # the agreement writes down what is not written yet
    try:
        copy.execute("CREATE TABLE run (name TEXT PRIMARY KEY, value)")
        copy.executemany("INSERT INTO run VALUES (?, ?)", db.execute("SELECT name, value FROM run"))
        store_or_check_seal(copy, seal)
    finally:
        copy.close()


@contextmanager
def translate_sqlite_errors() -> Generator[None]:
    """Raise what SQLite raises as an error of the ledger."""
    try:
        yield
    except sqlite3.Error as error:
        raise ledger_error(error) from None
