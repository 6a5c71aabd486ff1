"""A read-only view of a run's ledger that changes nothing of the run.

SQLite writes even for a reader: it creates an index of the log beside the ledger, and applies the log that a killed
process left. So the way to open a ledger depends on the processes that have it open:

* If there are any, the connection *joins* them, for reading only. It never writes to the ledger or its log.
  If the last of them ends just before it joins, SQLite creates an empty log and an index, and a reading connection
  leaves them there. They are harmless: later readers read in place, and the next batch removes both. A second look
  after joining is not possible: closing the file once more would drop SQLite's locks.
* If there are none, and the log is empty, the ledger is read *in place*, as a file that does not change. If it changes
  all the same, the read fails.
* If there are none, and there is a log, or an overflow file has records, or an older version wrote the ledger, a
  private *copy* is read. The log is applied in it, the records are replayed, and the tables are brought up to date.
  The same holds for a ledger with a second name, whose other folder may have another log.
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
from clova_ocr_async.ledger.overflow_file import has_records, overflow_paths
from clova_ocr_async.ledger.sqlite.connection import Holder, connect, connect_in_place, copy_closed, find_holder
from clova_ocr_async.ledger.sqlite.private_copy import private_copy
from clova_ocr_async.ledger.sqlite.record_statements import replay_files
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER, create_private, find_run_directory
from clova_ocr_async.ledger.sqlite.schema import is_current_version, migrate
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["FileState", "ReadMode", "View", "choose_read_mode", "log_is_needed", "open_view"]

_LOG = f"{LEDGER}-wal"
_TRIES = 5  # a run that changes at each of them is too busy to be copied


@dataclass(frozen=True, slots=True)
class FileState:
    """A file's state; another one if the file has changed.

    Attributes:
        inode: Its number on its file system.
        size: Bytes.
        modified_ns: Time of the last change of its content, nanoseconds since 1970.
    """

    inode: int
    size: int
    modified_ns: int


class ReadMode(enum.Enum):
    """A way to open a ledger for reading."""

    JOIN = enum.auto()
    IN_PLACE = enum.auto()
    COPY = enum.auto()


def choose_read_mode(holder: Holder, *, links: int, log: bool, overflow: bool) -> ReadMode:
    """Return the way to open a ledger for reading.

    Args:
        holder: The processes that have it open.
        links: Number of its names.
        log: Whether a log holds parts of it.
        overflow: Whether overflow files have records.
    """
    if holder is not Holder.NONE:
        return ReadMode.JOIN if links == 1 else ReadMode.COPY  # its other name has a log of its own
    return ReadMode.COPY if log or overflow else ReadMode.IN_PLACE


def log_is_needed(ledger: os.stat_result, log: os.stat_result | None) -> bool:
    """Return whether a log holds changes that are not in the ledger.

    A ledger with more names than its log may have been finished under another name, with the log of that name. This log
    is then older than the ledger, and obsolete.

    Args:
        ledger: The ledger.
        log: The log beside it; None if there is none.
    """
    if log is None or log.st_size == 0:
        return False
    return ledger.st_nlink <= log.st_nlink or ledger.st_mtime_ns < log.st_mtime_ns


class View:
    """A ledger that is open for reading.

    Args:
        folder: The run directory.
        db: Reads it.
        before: The states of the files when it was opened, or shortly before; None where ``db`` shows later changes.
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
        """Return whether the run has changed since, in a way that this view does not show."""
        return self._before is not None and _states(self._folder) != self._before

    def check(self) -> None:
        """Refuse data that was read while a batch began to write.

        Raises:
            LedgerError: The data may mix two states.
        """
        if self._in_place and self._before is not None and _state(self._folder / LEDGER) != self._before[0]:
            raise LedgerError(f"a batch began to work on {_shown(self._folder)} while it was read; repeat the command")

    def close(self) -> None:
        """Close it."""
        self.db.close()


def open_view(path: str | os.PathLike[str], places: Sequence[str] | None = None) -> View:
    """Open the ledger of an existing run directory for reading.

    Args:
        path: The run directory.
        places: Folders for a private copy, by preference; the default ones if not given.

    Raises:
        LedgerError: There is no ledger; it cannot be read, or not by this version of the package; there is no room for
            a copy; or it changes too often to be copied.
        sqlite3.Error: The file cannot be used.
    """
    folder = find_run_directory(path)
    try:
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):  # its log, or an overflow file, has gone since it was looked for
                if (view := _open_once(folder, places)) is not None:
                    return view
    except OSError as error:
        raise LedgerError(f"{_shown(folder)} cannot be read: {error.strerror}") from None
    raise LedgerError(f"{_shown(folder)} changes all the time and cannot be read from here; try again later")


def _open_once(folder: Path, places: Sequence[str] | None) -> View | None:
    """Open the ledger; return None if it changed meanwhile."""
    # Before anything is read: a change from here on is noticed.
    before = _states(folder)
    ledger, log = (folder / LEDGER).stat(), _stat(folder / _LOG)
    needed = log_is_needed(ledger, log)
    overflow = [path for path in overflow_paths(folder) if has_records(path)]
    mode = choose_read_mode(find_holder(folder / LEDGER), links=ledger.st_nlink, log=needed, overflow=bool(overflow))
    if mode is ReadMode.JOIN:
        return _join(folder, before, overflow, places)
    if mode is ReadMode.IN_PLACE and (view := _read_in_place(folder, before)) is not None:
        return view
    copy = private_copy(partial(_copy, folder, log=needed), _size(ledger) + _size(log), places)
    if _states(folder) != before:  # the copy may mix two states
        copy.close()
        return None
    return View(folder, _completed(copy, folder, overflow), before)


def _join(
    folder: Path, before: Sequence[FileState | None], overflow: Sequence[Path], places: Sequence[str] | None
) -> View:
    db = connect(folder, reading=True)
    try:
        if not overflow and is_current_version(db, folder):
            return View(folder, db)
        # A reader may not write to the run, so records are replayed and tables migrated in a copy.
        copy = private_copy(partial(_back_up, db), _size((folder / LEDGER).stat()), places)
    except BaseException:
        db.close()
        raise
    db.close()
    return View(folder, _completed(copy, folder, overflow), before)


def _read_in_place(folder: Path, before: Sequence[FileState | None]) -> View | None:
    """Return a view of the file as it is; None if an older version wrote it."""
    db = connect_in_place(folder / LEDGER)
    try:
        if is_current_version(db, folder):
            return View(folder, db, before, in_place=True)
    except BaseException:
        db.close()
        raise
    db.close()
    return None


def _copy(folder: Path, _: sqlite3.Connection, target: BinaryIO, log_target: Path, *, log: bool) -> None:
    if not copy_closed(folder / LEDGER, target):
        raise LedgerError(
            f"a batch of this process works on {_shown(folder)} under another name; read it under that name"
        )
    if log:
        create_private(log_target)
        shutil.copyfile(folder / _LOG, log_target)


def _back_up(db: sqlite3.Connection, target: sqlite3.Connection, _: BinaryIO, _log_target: Path) -> None:
    db.backup(target)


def _completed(copy: sqlite3.Connection, folder: Path, overflow: Sequence[Path]) -> sqlite3.Connection:
    """Bring a private copy's tables up to date, and replay the overflow files in it."""
    try:
        if not is_current_version(copy, folder):
            migrate(copy)
        copy.execute("BEGIN")
        replay_files(copy, overflow)
        copy.execute("COMMIT")
        # As in the run's own file, a view that writes by mistake must fail.
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
