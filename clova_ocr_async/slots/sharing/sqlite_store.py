"""The file in which the processes of a user share their gates."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import stat
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.files import create_private
from clova_ocr_async.host.sqlite import enable_wal
from clova_ocr_async.protocol.echo import shown_path
from clova_ocr_async.slots.sharing.state import Member, SharedGate
from clova_ocr_async.slots.sharing.validation import is_believable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

__all__ = ["SlotsFile", "checked_path", "default_path", "name_of"]

logger = logging.getLogger("clova_ocr_async")

_PATIENCE = 5.0  # seconds that another process may write
_OFF = 10.0  # seconds without a look at a file that could not be used

_FOLDERS = {
    "win32": ("LOCALAPPDATA", Path("AppData", "Local")),
    "darwin": ("XDG_STATE_HOME", Path("Library", "Application Support")),
}
"""By platform: the variable that names the folder, and where in the user's home it is else; others are like Linux."""

_decoder = msgspec.json.Decoder(SharedGate)


def default_path(
    environ: Mapping[str, str] | None = None, platform: str = sys.platform, find_home: Callable[[], Path] = Path.home
) -> Path:
    """Return where the platform keeps a user's state.

    Args:
        environ: The environment; None for this process's. It is not a default value, which ``help`` would print.
        platform: As ``sys.platform`` has it.
        find_home: Returns the user's home folder, or raises RuntimeError.

    Raises:
        ConfigurationError: Nobody knows where the user is at home.
    """
    environ = os.environ if environ is None else environ
    variable, below_home = _FOLDERS.get(platform, ("XDG_STATE_HOME", Path(".local", "state")))
    given = Path(environ.get(variable, ""))
    # Source: XDG Base Directory Specification 0.8: a relative path there is to be passed over.
    folder = given if given.is_absolute() else _home(environ, find_home) / below_home
    return folder / "clova_ocr_async" / "slots.sqlite"


def _home(environ: Mapping[str, str], find_home: Callable[[], Path]) -> Path:
    if given := environ.get("HOME") or environ.get("USERPROFILE"):
        return Path(given)
    try:
        return find_home()
    except RuntimeError:
        raise ConfigurationError(
            "this user has no home folder to keep the slots in; set XDG_STATE_HOME to a folder, or give a path"
        ) from None


def checked_path(path: str | os.PathLike[str]) -> Path:
    """Return where the slots are to be kept, wherever the process may go.

    Raises:
        ConfigurationError: It is no path.
    """
    try:
        given = Path(path)
    except TypeError:
        given = None
    if given is None or not given.name or "\0" in str(given):
        raise ConfigurationError(f"path is no path of a file, but a {type(path).__name__}; give one, or leave it out")
    return given.absolute()


def name_of(key: str) -> str:
    """Return the name of a domain in the file: its key holds a secret."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


class SlotsFile:
    """A SQLite file of gates, one row each. Nothing is lost with it: what is in it is learned again.

    Where it cannot be used, the gates go on in memory, for this process alone, and it is tried again seconds later.

    Args:
        path: The file; made with its folders if it is not there.
        clock: Returns seconds that only grow.
        patience: Seconds that another process may write.
        sleep: Waits some seconds, in this thread.
    """

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
        self._which: tuple[int, int] | None = None
        self._memory: dict[str, SharedGate] = {}
        self._off_until: float | None = None

    @contextmanager
    def gates(self, keys: Iterable[str]) -> Generator[dict[str, SharedGate]]:
        """Open some gates, by the keys of their domains, to nobody else; what they are like at the end is kept."""
        names = {key: name_of(key) for key in keys}
        try:
            loaded = self._load(names.values())
            yield {key: loaded[name] for key, name in names.items()}
            self._save(loaded)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file, until it is used again."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _load(self, names: Iterable[str]) -> dict[str, SharedGate]:
        if self._off_until is None or self._clock() >= self._off_until:
            try:
                return self._read(names)
            except (sqlite3.Error, OSError) as error:
                self._give_up(error)
        # The others are out of sight, and so are their calls.
        return {
            name: msgspec.structs.replace(self._memory.get(name, SharedGate()), members=dict[str, Member]())
            for name in names
        }

    def _read(self, names: Iterable[str]) -> dict[str, SharedGate]:
        try:
            return self._begin(names)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # No database, or a broken one: what is learned again is worth less than going on.
            self.close()
            if _which(self._path) == self._which:  # else another process has done so
                _put_aside(self._path)
            return self._begin(names)

    def _begin(self, names: Iterable[str]) -> dict[str, SharedGate]:
        if self._db is not None and _which(self._path) != self._which:
            self.close()  # it was removed or put aside: the others share another one
        if self._db is None:
            _create(self._path)
            _check_place(self._path)
            self._which = _which(self._path)
            self._db = _opened(self._path, self._patience, self._sleep)
        self._db.execute("BEGIN IMMEDIATE")
        return {name: _read_gate(self._db, name, self._clock()) for name in names}

    def _save(self, gates: dict[str, SharedGate]) -> None:
        self._memory |= gates
        if self._db is None or not self._db.in_transaction:
            return
        try:
            for name, gate in gates.items():
                self._db.execute("REPLACE INTO gate (domain, state) VALUES (?, ?)", (name, msgspec.json.encode(gate)))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._give_up(error)
        else:
            self._off_until = None

    def _give_up(self, error: Exception) -> None:
        if self._off_until is None:
            path = shown_path(str(self._path))
            logger.warning("slots are not shared with other processes: %s cannot be used: %s", path, error)
        self._off_until = self._clock() + _OFF
        self.close()


def _create(path: Path) -> None:
    """Make the file if it is not there, before SQLite makes it with the rights of anybody."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    create_private(path)


def _check_place(path: Path) -> None:
    """Refuse a file that is not this user's alone, and close one to others that is open to them.

    Raises:
        OSError: It is a symbolic link or no file, has another name as well, or belongs to another user. What is said
            of slots there could be anybody's.
    """
    for end in ("", "-wal", "-shm"):
        file = path.with_name(path.name + end)
        with suppress(FileNotFoundError):
            _check_file(file, file.lstat())


def _check_file(file: Path, found: os.stat_result, user: int | None = None) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{file.name} is {'a symbolic link' if stat.S_ISLNK(found.st_mode) else 'not a file'}")
    if found.st_nlink > 1:
        raise OSError(f"{file.name} has another name as well (a hard link)")
    if hasattr(os, "geteuid"):  # elsewhere neither number nor mode says who may write
        if found.st_uid != (os.geteuid() if user is None else user):
            raise OSError(f"{file.name} belongs to another user (id {found.st_uid})")
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            file.chmod(0o600)
            logger.info("%s was open to other users; it is now closed to them", file)


def _which(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one of the same name; None if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _opened(path: Path, patience: float, sleep: Callable[[float], object]) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        enable_wal(db, patience, sleep)
        # A power cut may cost the file, which costs little; waiting for the disk would cost each call some of its slot.
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
    logger.warning("%s was no file of slots; it is kept as %s", shown_path(str(path)), shown_path(str(kept)))
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _read_gate(db: sqlite3.Connection, name: str, now: float) -> SharedGate:
    row = db.execute("SELECT state FROM gate WHERE domain = ?", (name,)).fetchone()
    try:
        gate = SharedGate() if row is None else _decoder.decode(row[0])
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):  # of another version, or broken
        return SharedGate()
    return gate if is_believable(gate, now) else SharedGate()
