"""Two processes may make the same file at the same moment."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from clova_ocr_async.host.sqlite import enable_wal

if TYPE_CHECKING:
    from pathlib import Path


def opened(place: Path) -> sqlite3.Connection:
    """Open a new file as another process would, without waiting."""
    return sqlite3.connect(place / "some.sqlite3", timeout=0, isolation_level=None)


def test_a_file_that_another_is_just_making_is_waited_for(tmp_path: Path) -> None:
    """While another connection locks a new file, the switch is tried again."""
    other, db, naps = opened(tmp_path), opened(tmp_path), list[float]()
    other.execute("BEGIN EXCLUSIVE")

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            other.execute("COMMIT")

    assert enable_wal(db, 30.0, sleep) == "wal"
    assert len(naps) == 3
    assert db.execute("PRAGMA busy_timeout").fetchone() == (30_000,)
    db.close()
    other.close()


def test_patience_has_an_end(tmp_path: Path) -> None:
    """A file that stays locked for longer than the patience is an error."""
    other, db, naps = opened(tmp_path), opened(tmp_path), list[float]()
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        enable_wal(db, 1.0, naps.append)
    assert sum(naps) == pytest.approx(1.0, abs=0.05)
    db.close()
    other.close()


def test_a_file_that_is_no_database_is_said_to_be_none_at_once(tmp_path: Path) -> None:
    """An error that waiting does not repair is raised at once."""
    (tmp_path / "some.sqlite3").write_bytes(b"no database at all " * 100)
    db, naps = opened(tmp_path), list[float]()
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        enable_wal(db, 1.0, naps.append)
    assert not naps
    db.close()


def test_memory_bears_no_log() -> None:
    """The mode shows that a database cannot use a write-ahead log."""
    db = sqlite3.connect(":memory:")
    assert enable_wal(db, 1.0) == "memory"
    db.close()
