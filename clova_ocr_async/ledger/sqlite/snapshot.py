"""A run's ledger as it can be read without changing anything of the run.

SQLite writes even for a reader: it makes an index of the log beside the ledger, and applies the log that a killed
process left, to whatever file has the ledger's name. So a ledger is opened by which processes have it open:

* If any has, the connection joins them, for reading only. It never writes to the ledger or its log.
  If the last of them ends just before it joins, SQLite makes an empty log and an index anew, and a connection for
  reading leaves them there. That is harmless: an empty log holds nothing, so later readers read in place, and the next
  batch removes both. Nobody can look again after joining: closing the file once more would drop SQLite's locks.
* If none has, and its log is empty, it is read in place, as a file that does not change. A read during which it has
  changed all the same fails.
* If none has, and there is a log, or answers are kept beside the ledger, or an older version wrote it, a private copy
  is read, in which the log is applied, the answers are brought in, and the tables are brought up to date. The same
  holds for a ledger with a second name, whose other folder may have another log.
"""

from __future__ import annotations

import enum
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.sqlite.connection import Holder, connect, connect_in_place, copy_closed, holder_of
from clova_ocr_async.ledger.sqlite.overflow import bring_in, holds_anything, spills_in
from clova_ocr_async.ledger.sqlite.private_copy import private_copy
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER, create_private
from clova_ocr_async.ledger.sqlite.schema import MIGRATIONS, migrate, version_of
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["FileState", "View", "Way", "is_of_this_version", "log_counts", "open_view", "way_to_read"]


_LOG = f"{LEDGER}-wal"
_TRIES = 5


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells whether a file has changed.

    Attributes:
        inode: Its number on its file system.
        size: Bytes.
        modified_ns: Time of the last change of its content, nanoseconds since 1970.
    """

    inode: int
    size: int
    modified_ns: int


class Way(enum.Enum):
    """How a ledger is opened to be read."""

    JOIN = enum.auto()
    IN_PLACE = enum.auto()
    COPY = enum.auto()


def way_to_read(holder: Holder, *, links: int, log: bool, beside: bool) -> Way:
    """Return how a ledger is opened to be read.

    Args:
        holder: Who has it open.
        links: How many names it has.
        log: Whether a log belongs to it that holds anything.
        beside: Whether answers are kept beside it.
    """
    if holder is not Holder.NOBODY:
        return Way.JOIN if links == 1 else Way.COPY  # its other name has a log of its own
    return Way.COPY if log or beside else Way.IN_PLACE


def log_counts(ledger: os.stat_result, log: os.stat_result | None) -> bool:
    """Whether a log holds what the ledger does not.

    A ledger with more names than its log was perhaps finished under another name, by what was then its log: this one is
    of before that if the ledger was written after it.

    Args:
        ledger: The ledger.
        log: The log beside it; None if there is none.
    """
    if log is None or log.st_size == 0:
        return False
    return ledger.st_nlink <= log.st_nlink or ledger.st_mtime_ns < log.st_mtime_ns


class View:
    """A ledger that is open to be read.

    Args:
        folder: The run directory.
        db: Reads it.
        before: The files of the run when it was opened, or shortly before; None where later changes show in ``db``.
        in_place: Whether it is an error if the ledger changes while it is read.

    Attributes:
        db: Reads it.
    """

    def __init__(
        self,
        folder: Path,
        db: sqlite3.Connection,
        before: Sequence[FileState | None] | None = None,
        *,
        in_place: bool = False,
    ) -> None:
        self.db = db
        self._folder = folder
        self._before = before
        self._in_place = in_place

    def is_outdated(self) -> bool:
        """Whether the run has changed since, in a way that this view does not show."""
        return self._before is not None and _states(self._folder) != self._before

    def check(self) -> None:
        """Refuse what was read while somebody began to write.

        Raises:
            LedgerError: It may be half of one state and half of another.
        """
        if self._in_place and self._before is not None and _state(self._folder / LEDGER) != self._before[0]:
            raise LedgerError(f"a batch began to work on {_shown(self._folder)} while it was read; repeat the command")

    def close(self) -> None:
        """Close it."""
        self.db.close()


def open_view(folder: Path, places: Sequence[str] | None = None) -> View:
    """Open the ledger of a run directory to be read.

    Args:
        folder: The run directory; it has a ledger.
        places: Where a private copy may lie, by preference; the usual places if not given.

    Raises:
        LedgerError: This version of the package does not read it; there is no room for a copy; or it does not stand
            still long enough to be copied.
        sqlite3.Error: The file cannot be used.
        OSError: It cannot be read.
    """
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):  # its log, or a file beside it, has gone since it was looked for
            if (view := _opened(folder, places)) is not None:
                return view
    raise LedgerError(f"{_shown(folder)} changes all the time and cannot be read from here; try again later")


def _opened(folder: Path, places: Sequence[str] | None) -> View | None:
    """Open the ledger once; return None if it changed meanwhile."""
    before = _states(folder)
    ledger, log = (folder / LEDGER).stat(), _stat(folder / _LOG)
    counts = log_counts(ledger, log)
    beside = [path for path in spills_in(folder) if holds_anything(path)]
    way = way_to_read(holder_of(folder / LEDGER), links=ledger.st_nlink, log=counts, beside=bool(beside))
    if way is Way.JOIN:
        return _joined(folder, beside, places)
    if way is Way.IN_PLACE and (view := _in_place(folder, before)) is not None:
        return view
    copy = private_copy(partial(_copy, folder, log=counts), _size(ledger) + _size(log), places)
    if _states(folder) != before:
        copy.close()
        return None
    return View(folder, _brought_up_to_date(copy, folder, beside), before)


def _joined(folder: Path, beside: Sequence[Path], places: Sequence[str] | None) -> View:
    db = connect(folder, reading=True)
    try:
        if not beside and is_of_this_version(db, folder):
            return View(folder, db)
        copy = private_copy(partial(_back_up, db), _size((folder / LEDGER).stat()), places)
    except BaseException:
        db.close()
        raise
    db.close()
    return View(folder, _brought_up_to_date(copy, folder, beside))


def _in_place(folder: Path, before: Sequence[FileState | None]) -> View | None:
    """Return a view of the file as it is; None if an older version wrote it."""
    db = connect_in_place(folder / LEDGER)
    try:
        if is_of_this_version(db, folder):
            return View(folder, db, before, in_place=True)
    except BaseException:
        db.close()
        raise
    db.close()
    return None


def _copy(folder: Path, _: sqlite3.Connection, target: BinaryIO, log_target: Path, *, log: bool) -> None:
    if not copy_closed(folder / LEDGER, target):
        raise LedgerError(f"a batch of this process works on {_shown(folder)} under another name; read it under that")
    if log:
        create_private(log_target)
        shutil.copyfile(folder / _LOG, log_target)


def _back_up(db: sqlite3.Connection, target: sqlite3.Connection, _: BinaryIO, _log_target: Path) -> None:
    db.backup(target)


def is_of_this_version(db: sqlite3.Connection, folder: Path) -> bool:
    """Whether the tables are those of this version; False if they can be brought up to date.

    Raises:
        LedgerError: A newer version wrote them, or there are none.
    """
    version, known = version_of(db), len(MIGRATIONS)
    if 0 < version <= known:
        return version == known
    way_out = "update it" if version else "run the batch again, which brings the ledger up to date"
    raise LedgerError(
        f"the ledger in {_shown(folder)} has schema {version}, and this version of clova-ocr-async reads {known}; "
        f"{way_out}"
    )


def _brought_up_to_date(copy: sqlite3.Connection, folder: Path, beside: Sequence[Path]) -> sqlite3.Connection:
    """Bring a private copy's tables up to date, and the answers into it that are kept beside the ledger."""
    try:
        if not is_of_this_version(copy, folder):
            migrate(copy)
        copy.execute("BEGIN")
        bring_in(copy, beside)
        copy.execute("COMMIT")
        copy.execute("PRAGMA query_only = ON")
    except BaseException:
        copy.close()
        raise
    return copy


def _states(folder: Path) -> tuple[FileState | None, ...]:
    return _state(folder / LEDGER), _state(folder / _LOG)


def _state(path: Path) -> FileState | None:
    found = _stat(path)
    return None if found is None else FileState(found.st_ino, found.st_size, found.st_mtime_ns)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _size(file: os.stat_result | None) -> int:
    return 0 if file is None else file.st_size


def _shown(folder: Path) -> str:
    return shown_path(os.fspath(folder))
