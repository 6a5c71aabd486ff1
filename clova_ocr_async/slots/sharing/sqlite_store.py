"""The SQLite file in which the processes of a user share their slots."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.files import create_private
from clova_ocr_async.host.sqlite import enable_wal
from clova_ocr_async.host.state_folder import user_state_folder
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.slots.sharing.state import Member, SharedGate
from clova_ocr_async.slots.sharing.validation import decode_gate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = ["SqliteGateStore", "check_private_file", "checked_path", "default_path"]

logger = logging.getLogger("clova_ocr_async")

_PATIENCE = 5.0  # seconds that another process may hold the lock; a transaction takes less than a millisecond
_RETRY_AFTER = 10.0  # seconds until a file that could not be used is tried again


def default_path(
    environ: Mapping[str, str] | None = None, platform: str = sys.platform, find_home: Callable[[], Path] = Path.home
) -> Path:
    """Return the place where the platform keeps a user's state.

    Args:
        environ: The environment; None for this process's. It is not a default value, which ``help`` would print.
        platform: As ``sys.platform`` has it.
        find_home: Returns the user's home folder, or raises RuntimeError.

    Raises:
        ConfigurationError: The user has no home folder.
    """
    try:
        folder = user_state_folder(environ, platform, find_home)
    except RuntimeError:
        raise ConfigurationError(
            "this user has no home folder to keep the slots in; set XDG_STATE_HOME to a folder, or give a path"
        ) from None
    return folder / "clova_ocr_async" / "slots.sqlite"


def checked_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file for the slots, so that it stays valid when the process changes its folder.

    Raises:
        ConfigurationError: It does not name a file.
    """
    try:
        given = Path(path)
    except TypeError:
        given = None
    if given is None or not given.name or "\0" in str(given):
        raise ConfigurationError(
            f"path is a {type(path).__name__} that does not name a file; "
            "give a str or PathLike that names one, or leave it out"
        )
    return given.absolute()


class SqliteGateStore:
    """A SQLite file with one row a domain; a ``GateStore``.

    While the file cannot be used, the slots go on in memory, for this process alone, and the file is tried again some
    seconds later.

    Args:
        path: The file; created with its folders if it does not exist.
        clock: Returns seconds that only grow.
        patience: Seconds that another process may hold the lock.
        sleep: Waits some seconds, in this thread.

    Attributes:
        several_hosts: False: its locks hold on one host alone, and so does the clock.
    """

    several_hosts = False

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float],
        patience: float = _PATIENCE,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._path = path
        self._clock = clock
        self._patience = patience
        self._sleep = sleep
        self._db: sqlite3.Connection | None = None
        self._file_id: tuple[int, int] | None = None
        self._memory: dict[str, SharedGate] = {}
        self._retry_at: float | None = None

    def load(self, names: Collection[str]) -> dict[str, SharedGate]:
        """Begin a transaction, and return the slots of some domains; see ``GateStore.load``."""
        if self._retry_at is None or self._clock() >= self._retry_at:
            try:
                return self._read_or_replace(names)
            except (sqlite3.Error, OSError) as error:
                self._go_on_in_memory(error)
        # The other members cannot be seen, and neither can their calls.
        return {
            name: msgspec.structs.replace(self._memory.get(name, SharedGate()), members=dict[str, Member]())
            for name in names
        }

    def save(self, gates: Mapping[str, SharedGate]) -> None:
        """Commit the transaction; see ``GateStore.save``."""
        self._memory.update(gates)
        if self._db is None or not self._db.in_transaction:
            return
        try:
            for name, gate in gates.items():
                self._db.execute("REPLACE INTO gate (domain, state) VALUES (?, ?)", (name, msgspec.json.encode(gate)))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._go_on_in_memory(error)
        else:
            self._retry_at = None

    def now(self) -> float:
        """Return the time of the monotonic clock, which the processes of a host share."""
        return self._clock()

    def close(self) -> None:
        """Roll back what was not saved, and close the file until the next ``load``."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _read_or_replace(self, names: Collection[str]) -> dict[str, SharedGate]:
        try:
            return self._read(names)
        except sqlite3.OperationalError:  # locked, a full disk, no right: the file itself is in order
            raise
        except sqlite3.DatabaseError:
            # Not a database, or a damaged one. What it holds is learned again, which is better than to stop.
            self.close()
            if _file_id(self._path) == self._file_id:  # else another process has replaced it already
                _put_aside(self._path)
            return self._read(names)

    def _read(self, names: Collection[str]) -> dict[str, SharedGate]:
        if self._db is not None and _file_id(self._path) != self._file_id:
            self.close()  # it was removed or put aside: the other processes share another one
        if self._db is None:
            _create(self._path)
            _check_place(self._path)
            self._file_id = _file_id(self._path)
            self._db = _opened(self._path, self._patience, self._sleep)
        # IMMEDIATE, because a transaction that starts with a read cannot wait for the lock when it comes to write.
        self._db.execute("BEGIN IMMEDIATE")
        return {name: _stored_gate(self._db, name, self._clock()) for name in names}

    def _go_on_in_memory(self, error: Exception) -> None:
        if self._retry_at is None:
            path = shown_path(str(self._path))
            logger.warning("slots are not shared with other processes: %s cannot be used: %s", path, error)
        self._retry_at = self._clock() + _RETRY_AFTER
        self.close()


def _stored_gate(db: sqlite3.Connection, name: str, now: float) -> SharedGate:
    row = db.execute("SELECT state FROM gate WHERE domain = ?", (name,)).fetchone()
    return decode_gate(row and row[0], now)


def _create(path: Path) -> None:
    """Create the file if it does not exist: SQLite would create it with the rights of the umask."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # An existing file is not even opened: closing it would release the locks that SQLite holds on it in this process.
    create_private(path)


def _check_place(path: Path) -> None:
    """Refuse a file that does not belong to this user alone, and close one that is open to other users.

    Raises:
        OSError: It is a symbolic link or not a file, has another name as well, or belongs to another user. Anything
            could stand in it.
    """
    # SQLite trusts the two files beside the database as much as the database.
    for end in ("", "-wal", "-shm"):
        file = path.with_name(path.name + end)
        with suppress(FileNotFoundError):
            check_private_file(file, file.lstat())


def check_private_file(file: Path, found: os.stat_result, user: int | None = None) -> None:
    """Refuse a file that does not belong to a user alone, and close one that is open to other users.

    Args:
        file: The file.
        found: Its status.
        user: The number of the user; None for the one that runs this process.

    Raises:
        OSError: It is a symbolic link or not a file, has another name as well, or belongs to another user.
    """
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{file.name} is {'a symbolic link' if stat.S_ISLNK(found.st_mode) else 'not a file'}")
    if found.st_nlink > 1:  # the other name may be in a folder of another user
        raise OSError(f"{file.name} has another name as well (a hard link)")
    if hasattr(os, "geteuid"):  # on other systems neither number nor mode shows which users may write
        if found.st_uid != (os.geteuid() if user is None else user):
            raise OSError(f"{file.name} belongs to another user (id {found.st_uid})")
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            file.chmod(0o600)
            logger.info("%s was open to other users; it is now closed to them", file)


def _file_id(path: Path) -> tuple[int, int] | None:
    """Return the identity of the file at a path, which a replaced file does not share; None if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _opened(path: Path, patience: float, sleep: Callable[[float], object]) -> sqlite3.Connection:
    # An executor may run each sync in another thread. SQLite demands only that they come one after the other.
    db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        enable_wal(db, patience, sleep)
        # A power cut may cost the file, which costs little. To wait for the disk would cost each call part of its slot.
        db.execute("PRAGMA synchronous = OFF")
        db.execute("CREATE TABLE IF NOT EXISTS gate (domain TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID")
    except BaseException:
        db.close()
        raise
    return db


def _put_aside(path: Path) -> None:
    """Keep a file under another name: the path may have been given by mistake."""
    kept = path.with_name(path.name + ".broken")
    path.replace(kept)
    logger.warning("%s was not a file of slots; it is kept as %s", shown_path(str(path)), shown_path(str(kept)))
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
