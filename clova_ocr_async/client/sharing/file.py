"""The file in which the processes of a user share their gates."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from clova_ocr_async.client.sharing.gate import Member, SharedGate

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

__all__ = ["SlotsFile", "default_path", "name_of"]

logger = logging.getLogger("clova_ocr_async")

_PATIENCE = 5.0  # seconds that another process may write
_OFF = 10.0  # seconds without a look at a file that could not be used

_decoder = msgspec.json.Decoder(SharedGate)


def default_path(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Return where the platform keeps a user's state."""
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    if platform == "win32":
        folder = Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        folder = home / "Library" / "Application Support"
    else:
        given = environ.get("XDG_STATE_HOME", "")
        # Source: XDG Base Directory Specification 0.8: a relative path there is to be passed over.
        folder = Path(given) if Path(given).is_absolute() else home / ".local" / "state"
    return folder / "clova_ocr_async" / "slots.sqlite"


def name_of(key: str) -> str:
    """Return the name of a domain in the file: its key holds a secret."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


class SlotsFile:
    """A SQLite file of gates, one row each. Nothing is lost with it: what is in it is learned again.

    Where it cannot be used, the gates go on in memory, for this process alone, and it is tried again seconds later.

    Args:
        path: The file; made with its folders if it is not there.
        clock: Returns seconds that only grow.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._db: sqlite3.Connection | None = None
        self._memory: dict[str, SharedGate] = {}
        self._off_until: float | None = None

    @contextmanager
    def gates(self, keys: Iterable[str]) -> Generator[dict[str, SharedGate]]:
        """Open some gates, by the keys of their domains, to nobody else; what they are like at the end is kept."""
        names = {key: name_of(key) for key in keys}
        loaded = self._load(names.values())
        try:
            yield {key: loaded[name] for key, name in names.items()}
        except BaseException:
            self.close()
            raise
        self._save(loaded)

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
            db = self._db = self._db or _opened(self._path)
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # No database, or a broken one: nothing in it is worth more than a new one.
            self.close()
            _remove(self._path)
            db = self._db = _opened(self._path)
            db.execute("BEGIN IMMEDIATE")
        return {name: _read_gate(db, name) for name in names}

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
            logger.warning("slots are not shared with other processes: %s cannot be used: %s", self._path, error)
        self._off_until = self._clock() + _OFF
        self.close()


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # before sqlite makes it, with the rights of anybody
    db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL").close()
        # A power cut may cost the file, which costs little; waiting for the disk would cost each call some of its slot.
        db.execute("PRAGMA synchronous = OFF")
        db.execute("CREATE TABLE IF NOT EXISTS gate (domain TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID")
    except BaseException:
        db.close()
        raise
    return db


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _read_gate(db: sqlite3.Connection, name: str) -> SharedGate:
    row = db.execute("SELECT state FROM gate WHERE domain = ?", (name,)).fetchone()
    try:
        return SharedGate() if row is None else _decoder.decode(row[0])
    except msgspec.DecodeError:  # of another version
        return SharedGate()
