"""A private copy of a ledger, in a file without a name.

A ledger holds personal data, and a killed process removes nothing. So the file loses its name while it is empty; only a
copied log, which SQLite opens by its name, has one for the moment that this takes.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER, create_private

__all__ = ["default_places", "private_copy"]

_MARGIN = 16 * 1024 * 1024  # bytes besides the copied files, for records that are replayed in the copy
_MEMORY = "/dev/shm"  # noqa: S108 - a private folder is made in it; it has room while the disk is full


Fill = Callable[[sqlite3.Connection, BinaryIO, Path], object]
"""Fills a new file with a ledger, through the connection or as bytes, and writes its log to the path."""


def private_copy(fill: Fill, size: int, places: Sequence[str] | None = None) -> sqlite3.Connection:
    """Return a connection to a private copy of a ledger; it may be written to, and the copy vanishes at its close.

    Args:
        fill: Writes the copy.
        size: Bytes of the ledger and its log.
        places: Folders for the copy, by preference; the default ones for temporary files if not given.

    Raises:
        LedgerError: None of them has the room.
        OSError: It cannot be copied.
        sqlite3.Error: It cannot be copied.
    """
    place = _place_for(size + _MARGIN, default_places() if places is None else places)
    folder = Path(tempfile.mkdtemp(prefix="clova-ocr-", dir=place))
    try:
        return _filled(folder / LEDGER, fill)
    finally:
        shutil.rmtree(folder)


def _filled(path: Path, fill: Fill) -> sqlite3.Connection:
    create_private(path)
    with path.open("r+b") as file:
        db = sqlite3.connect(path, isolation_level=None)
        try:
            path.unlink()
            create_private(path)  # SQLite gives a log the mode of the file that has the ledger's name
            db.execute("PRAGMA journal_mode = MEMORY")  # SQLite keeps no journal on the disk for a file without a name
            fill(db, file, path.with_name(f"{LEDGER}-wal"))
            file.flush()
            db.execute("PRAGMA locking_mode = EXCLUSIVE")  # without an index of the log in shared memory
            db.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # opens the log while it has its name
        except BaseException:
            db.close()
            raise
    return db


def default_places(temporary: Callable[[], str] = tempfile.gettempdir) -> list[str]:
    """Return the folders for a private copy, by preference.

    Args:
        temporary: Returns the folder for temporary files.
    """
    try:
        return [temporary(), _MEMORY]
    except FileNotFoundError:  # no folder for temporary files is writable
        return [_MEMORY]


def _place_for(size: int, places: Sequence[str]) -> str:
    for place in places:
        with suppress(OSError):  # it does not exist
            if shutil.disk_usage(place).free >= size and os.access(place, os.W_OK):
                return place
    raise LedgerError(
        f"no room to read the run: it needs {size / 2**20:,.0f} MiB for a copy in {' or '.join(places)}; "
        "make room there, or have TMPDIR name a folder with room"
    )
