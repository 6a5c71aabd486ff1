from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.ledger.sqlite.lock_wait import LockWait, is_locked, locking_pid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc as Linux has it")


def failure(code: int) -> sqlite3.OperationalError:
    """Return an error as SQLite raises it."""
    error = sqlite3.OperationalError("from SQLite")
    error.sqlite_errorcode = code
    return error


class Time:
    """A clock that advances only in pauses."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def pause(self, seconds: float) -> None:
        """Advance."""
        self.now += seconds


def failing(tries: int, code: int = sqlite3.SQLITE_BUSY) -> Callable[[], str]:
    """Return a function that fails some times before it succeeds."""
    left = [failure(code)] * tries

    def attempt() -> str:
        if left:
            raise left.pop()
        return "done"

    return attempt


def test_a_lock_that_is_released_in_time_is_waited_for() -> None:
    """A function that misses the lock is retried until it succeeds, and each failure is passed to ``meanwhile``."""
    time, failures = Time(), list[sqlite3.Error]()
    assert LockWait(1.0, time, time.pause).run(failing(20), failures.append) == "done"
    assert len(failures) == 20
    assert time.now < 101.0


def test_all_steps_share_one_patience() -> None:
    """Once the lock was missed for as long as the patience, every further step fails at its first try."""
    time = Time()
    wait = LockWait(1.0, time, time.pause)
    for step in range(50):
        with pytest.raises(sqlite3.OperationalError):
            wait.run(failing(10**6))
        assert time.now == pytest.approx(101.0, abs=0.1), step


@given(st.lists(st.integers(0, 300), max_size=20))
def test_the_wait_for_a_lock_that_is_never_released_is_bounded(tries: list[int]) -> None:
    """Steps in any order wait no longer together than one patience, until the lock is obtained."""
    time = Time()
    wait = LockWait(0.5, time, time.pause)
    for count in tries:
        before = time.now
        try:
            wait.run(failing(count))
        except sqlite3.OperationalError:
            pass
        else:
            continue
        with pytest.raises(sqlite3.OperationalError):
            wait.run(failing(1))
        assert time.now - before <= 0.53
        assert wait.run(failing(0)) == "done"


def test_a_lock_that_was_obtained_renews_the_patience() -> None:
    """Once the lock was obtained, even by a single probe, the patience starts anew."""
    time = Time()
    wait = LockWait(1.0, time, time.pause)
    with pytest.raises(sqlite3.OperationalError):
        wait.run(failing(10**6))
    assert wait.run(failing(0)) == "done"
    before = time.now
    with pytest.raises(sqlite3.OperationalError):
        wait.run(failing(10**6))
    assert time.now - before == pytest.approx(1.0, abs=0.1)


def test_a_wait_that_is_given_up_ends() -> None:
    """A wait that is given up, also in the middle of a pause, ends with the next try."""
    wait = LockWait(1000.0)
    failures = list[sqlite3.Error]()

    def meanwhile(error: sqlite3.Error) -> None:
        failures.append(error)
        if len(failures) == 3:
            wait.give_up()

    with pytest.raises(sqlite3.OperationalError):
        wait.run(failing(10**6), meanwhile)
    assert len(failures) == 3


@pytest.mark.parametrize(
    ("code", "locked"),
    [
        (sqlite3.SQLITE_BUSY, True),
        (sqlite3.SQLITE_BUSY | 1 << 8, True),
        (sqlite3.SQLITE_LOCKED, True),
        (sqlite3.SQLITE_PROTOCOL, True),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_CORRUPT, False),
    ],
)
def test_other_errors_are_raised_at_once(code: int, locked: bool) -> None:
    """Only errors which mean that another program holds a lock are retried."""
    time = Time()
    error = failure(code)
    assert is_locked(error) is locked
    assert not is_locked(sqlite3.ProgrammingError("without a number"))
    wait = LockWait(1.0, time, time.pause)
    if locked:
        assert wait.run(failing(1, code)) == "done"
    else:
        with pytest.raises(sqlite3.OperationalError):
            wait.run(failing(1, code))
        assert time.now == 100.0


HOLDER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute(sys.argv[2])
db.execute("INSERT INTO t VALUES (1)")
print("held", flush=True)
sys.stdin.read()
"""


@linux
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_the_holder_of_a_lock_is_named(tmp_path: Path, mode: str) -> None:
    """The pid of the process that has a database locked for writing is found, and none once it has ended."""
    path = tmp_path / "db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")
        db.execute("CREATE TABLE t (x)")
        db.commit()
        db.execute("SELECT * FROM t").fetchall()
        (tmp_path / "db-shm").touch()
        assert locking_pid(path) is None
        command = [sys.executable, "-c", HOLDER, str(path), "BEGIN IMMEDIATE"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"held\n"
            assert locking_pid(path) == other.pid
        assert locking_pid(path) is None


def test_other_locks_name_no_process(tmp_path: Path) -> None:
    """Locks of this process, another namespace, another kind or of readers name no process, nor does a missing list."""
    path, shm, locks = tmp_path / "db", tmp_path / "db-shm", tmp_path / "locks"
    path.touch()
    assert locking_pid(path, locks) is None
    shm.touch()
    assert locking_pid(path, locks) is None
    inode = shm.stat().st_ino
    locks.write_text(
        f"1: POSIX  ADVISORY  WRITE {os.getpid()} fe:00:{inode} 120 120\n"
        f"2: POSIX  ADVISORY  WRITE 0 fe:00:{inode} 120 120\n"
        f"3: POSIX  ADVISORY  READ 77 fe:00:{inode} 123 123\n"
        f"4: FLOCK  ADVISORY  WRITE 78 fe:00:{inode} 0 EOF\n"
        f"5: OFDLCK ADVISORY  WRITE -1 fe:00:{inode} 0 EOF\n"
        f"6: POSIX  ADVISORY  WRITE 79 fe:00:{inode + 1} 120 120\n"
        f"6: -> POSIX  ADVISORY  WRITE 80 fe:00:{inode} 120 120\n"
        "nonsense\n"
    )
    assert locking_pid(path, locks) is None
    with locks.open("a") as file:
        file.write(f"7: POSIX  ADVISORY  WRITE 81 00:2a:{inode} 120 120\n")
    assert locking_pid(path, locks) == 81
