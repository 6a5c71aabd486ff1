"""A copy of a ledger that nobody else sees: it has no name any more as soon as it holds anything.

A ledger is personal data, and a process that is killed removes nothing. So the file loses its name while it is empty;
only a copied log, which SQLite opens by its name, has one for the moment that this takes.
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

__all__ = ["private_copy", "usual_places"]

_MARGIN = 16 * 1024 * 1024  # bytes beside the copied files: for what is brought into the copy
_MEMORY = "/dev/shm"  # noqa: S108 - a private folder is made in it; where there is room while the disk is full


Fill = Callable[[sqlite3.Connection, BinaryIO, Path], object]
"""Writes a ledger into a new file, by a connection to it or as bytes, and its log under a path."""


def private_copy(fill: Fill, size: int, places: Sequence[str] | None = None) -> sqlite3.Connection:
    """Return a connection to a private copy of a ledger; it may be written to, and is gone when it is closed.

    Args:
        fill: Writes the copy.
        size: Bytes of the ledger and its log.
        places: Folders that it may lie in, by preference; the usual ones for temporary files if not given.

    Raises:
        LedgerError: None of them has the room.
        OSError: It cannot be copied.
        sqlite3.Error: It cannot be copied.
    """
    place = _place_for(size + _MARGIN, usual_places() if places is None else places)
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
            db.execute("PRAGMA journal_mode = MEMORY")  # a file without a name is refused a journal on the disk
            fill(db, file, path.with_name(f"{LEDGER}-wal"))
            file.flush()
            db.execute("PRAGMA locking_mode = EXCLUSIVE")  # needs no index of the log that others could share
            db.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # opens the log while it has its name
        except BaseException:
            db.close()
            raise
    return db


def usual_places(temporary: Callable[[], str] = tempfile.gettempdir) -> list[str]:
    """Return where a private copy may lie, by preference.

    Args:
        temporary: Returns the folder for temporary files.
    """
    try:
        return [temporary(), _MEMORY]
    except FileNotFoundError:  # none can be written to
        return [_MEMORY]


def _place_for(size: int, places: Sequence[str]) -> str:
    for place in places:
        with suppress(OSError):  # it is not there
            if shutil.disk_usage(place).free >= size and os.access(place, os.W_OK):
                return place
    raise LedgerError(
        f"no room to read the run: it needs {size / 2**20:,.0f} MiB for a copy in {' or '.join(places)}; "
        "make room there, or have TMPDIR name a folder with room"
    )
