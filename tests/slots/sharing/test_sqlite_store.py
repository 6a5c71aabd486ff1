from __future__ import annotations

import logging
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import KEY, SECRET, URL, domain
from support.ledgers import Clock, contents, remote_process

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.slots.limit import ConcurrencyLimit
from clova_ocr_async.slots.sharing.sqlite_store import SqliteGateStore, checked_path, default_path
from clova_ocr_async.slots.sharing.state import Member
from clova_ocr_async.slots.sharing.store import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clova_ocr_async.slots.sharing.state import SharedGate

K = domain().key
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as Linux has them")


@pytest.fixture
def clock() -> Clock:
    """Return a clock that is set by hand."""
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file that does not exist, in a folder that does not exist."""
    return tmp_path / "folder" / "slots.sqlite"


@pytest.fixture
def store(path: Path, clock: Clock) -> Iterator[SqliteGateStore]:
    """Return a store that never waits long for a lock."""
    opened = SqliteGateStore(path, clock, patience=0.05)
    yield opened
    opened.close()


def learn(store: SqliteGateStore, value: int, key: str = K) -> None:
    """Store a limit."""
    with transaction(store, [key]) as gates:
        gates[key].limit.value = value


def known(store: SqliteGateStore, key: str = K) -> int:
    """Return the stored limit."""
    with transaction(store, [key]) as gates:
        return gates[key].limit.value


def fresh(path: Path, key: str = K) -> int:
    """Return the stored limit as another process reads it."""
    other = SqliteGateStore(path, Clock(), patience=0.05)
    try:
        return known(other, key)
    finally:
        other.close()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_no_other_user_may_read_it(path: Path, clock: Clock, umask: int) -> None:
    """The file and those that SQLite puts beside it are 0600, and a new folder is 0700, under any umask."""
    before = os.umask(umask)
    try:
        store = SqliteGateStore(path, clock)
        learn(store, 5)
        modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("slots.sqlite", "slots.sqlite-shm", "slots.sqlite-wal"), 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_no_secret_is_in_it(store: SqliteGateStore, path: Path) -> None:
    """Neither the secret nor the invoke URL nor its key is in any byte of the file and those beside it."""
    learn(store, 5)
    for data in contents(path.parent):
        assert not any(canary.encode() in data for canary in (KEY, SECRET, URL, "apigw"))


@pytest.mark.parametrize(
    "row", [b"", b"{", b'{"ceiling":[]}', b"\xff", b'"' + b"\xff" * 9 + b'"', b"[" * 100_000, 7, "text", 1.5]
)
def test_a_row_of_another_version_is_learned_again(store: SqliteGateStore, path: Path, row: object) -> None:
    """A row that this version cannot read counts as nothing learned, and is replaced."""
    learn(store, 5)
    store.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE gate SET state = ?", (row,))
    assert known(store) == ConcurrencyLimit().value
    assert fresh(path) == ConcurrencyLimit().value


@pytest.mark.parametrize("limits", ["{}", '{"most":3,"most_per_second":0.5}'])
def test_a_row_of_an_earlier_version_is_read(store: SqliteGateStore, path: Path, limits: str) -> None:
    """The processes of an earlier version and of this one share a file: each reads what the other has written."""
    row = (
        '{"ceiling":{"limit":7,"pace":{}},"members":{"a":{"process":{"place":"boot pid","pid":1,"started":"77"},'
        f'"port":4000,"expires":9.5,"limits":{limits},"held":2,"first":[true,1.5,1],"offered":4.5}}}}}}'
    )
    learn(store, 5)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE gate SET state = ?", (row.encode(),))
    assert known(store) == 7
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT state FROM gate").fetchone() == (row.encode(),)


def cut_off(path: Path) -> None:
    """Cut a file off behind its first page, which looks whole."""
    data = path.read_bytes()
    assert len(data) >= 8192
    path.write_bytes(data[:4096] + b"\0" * 4096)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"a photograph, or some such thing" * 200),
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_bytes(path.read_bytes()[:4096]),
        cut_off,
    ],
    ids=["not a database", "half a page", "one page", "an empty page"],
)
def test_a_damaged_file_is_put_aside(
    store: SqliteGateStore, path: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is damaged or not a database is kept under another name, which is logged, and a new one is made."""
    learn(store, 5)
    store.close()
    damage(path)
    before = path.read_bytes()
    learn(store, 6)
    assert fresh(path) == 6
    assert path.with_name("slots.sqlite.broken").read_bytes() == before
    assert [record.message.endswith("slots.sqlite.broken") for record in caplog.records] == [True]


def test_a_file_that_another_process_has_replaced_is_not_put_aside(path: Path, clock: Clock) -> None:
    """Of two processes that find the file damaged, the second one uses the file that the first one has made."""

    class Late(SqliteGateStore):
        """A store that finds the file damaged just as another process has made a new one."""

        late = True

        def _read(self, names: Any) -> dict[str, SharedGate]:
            found = super()._read(names)
            if self.late:
                self.late = False
                path.unlink()
                other = SqliteGateStore(path, clock)
                learn(other, 9)
                other.close()
                raise sqlite3.DatabaseError("malformed")
            return found

    store = Late(path, clock)
    assert known(store) == 9
    store.close()
    assert not path.with_name("slots.sqlite.broken").exists()


def test_a_removed_file_is_used_no_more(store: SqliteGateStore, path: Path) -> None:
    """When the file is removed or replaced, a process that has it open goes on with the one that others find."""
    learn(store, 5)
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink()
    learn(store, 6)
    assert fresh(path) == 6


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings in the log."""
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def check_goes_on_alone(store: SqliteGateStore, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Check that the slots go on in memory, with one warning."""
    for value in (5, 6, 7):
        with transaction(store, [K]) as gates:
            assert not gates[K].members
            gates[K].members["me"] = Member(remote_process())
            gates[K].limit.value = value
        assert known(store) == value
        clock.now += 11.0
    [warning] = warnings_of(caplog)
    assert "slots are not shared with other processes" in warning
    assert KEY not in warning


@pytest.mark.parametrize("hindrance", ["a folder", "a file for a folder", "no place for files"])
def test_without_a_place_for_a_file(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, hindrance: str
) -> None:
    """If the file cannot be opened, the slots go on in memory, for this process, with one warning."""
    path = tmp_path / "slots.sqlite"
    if hindrance == "a folder":
        path.mkdir()
    elif hindrance == "a file for a folder":
        path.write_text("")
        path /= "slots.sqlite"
    else:
        path = Path("/proc/self/nowhere/slots.sqlite")
    check_goes_on_alone(SqliteGateStore(path, clock), clock, caplog)


def test_a_database_of_another_program(path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A database whose table of this name belongs to another program is not used."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE gate (something)")
    check_goes_on_alone(SqliteGateStore(path, clock), clock, caplog)


def test_a_database_with_other_tables_keeps_them(path: Path, clock: Clock) -> None:
    """A database of another program is left as it is, apart from the table that is added to it."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE other AS SELECT 7 AS value")
    store = SqliteGateStore(path, clock)
    learn(store, 5)
    store.close()
    assert fresh(path) == 5
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT value FROM other").fetchall() == [(7,)]


def test_a_lock_held_too_long(
    store: SqliteGateStore, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """When another process holds the lock for too long, this one goes on in memory, and comes back later."""
    learn(store, 5)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        learn(store, 6)
        assert known(store) == 6
        db.execute("ROLLBACK")
        clock.now += 9.9
        assert known(store) == 6
        clock.now += 0.1
        assert known(store) == 5
        assert len(warnings_of(caplog)) == 1
        db.execute("BEGIN IMMEDIATE")
        known(store)
        db.execute("ROLLBACK")
    assert len(warnings_of(caplog)) == 2


def test_a_lock_on_a_new_file(path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A new file that another process has locked before it was ready is waited for, but not for ever."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE other (x)")
        db.execute("BEGIN EXCLUSIVE")
        store = SqliteGateStore(path, clock, patience=0.05)
        assert known(store) == ConcurrencyLimit().value
        assert "locked" in warnings_of(caplog)[0]
    clock.now += 10.0
    learn(store, 6)
    store.close()
    assert fresh(path) == 6


def test_two_processes_that_create_the_file_at_once(path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A process that finds a new file locked by the process that creates it tries again."""
    path.parent.mkdir()
    locked = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    locked.execute("CREATE TABLE other (x)")
    locked.execute("BEGIN EXCLUSIVE")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        locked.close()

    store = SqliteGateStore(path, clock, sleep=sleep)
    learn(store, 6)
    store.close()
    assert fresh(path) == 6
    assert slept == [0.02]
    assert not caplog.records


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from clova_ocr_async.slots.sharing.sqlite_store import SqliteGateStore
from clova_ocr_async.slots.sharing.store import transaction
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
now = 5000.0
store = SqliteGateStore(Path(sys.argv[1]), lambda: now)
with transaction(store, ["k"]) as gates:
    gates["k"].limit.value = 5
size = Path(sys.argv[1] + "-wal").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
for value in (6, 7):
    with transaction(store, ["k"]) as gates:
        gates["k"].limit.value = value
with transaction(store, ["k"]) as gates:
    assert gates["k"].limit.value == 7
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
now += 10.0
with transaction(store, ["k"]) as gates:
    assert gates["k"].limit.value == 5
    gates["k"].limit.value = 8
store.close()
"""


@linux
def test_a_full_disk(path: Path) -> None:
    """When the disk is full, the slots go on in memory with one warning, and are shared again when there is room."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], env=environ, capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("slots are not shared with other processes") == 1
    assert fresh(path, "k") == 8


@linux
def test_two_stores_of_one_process_keep_each_others_locks(path: Path, clock: Clock) -> None:
    """A second store of the same file in one process does not release the locks of the first one."""
    one, two = SqliteGateStore(path, clock), SqliteGateStore(path, clock)
    learn(one, 5)
    before = Path("/proc/locks").read_text().count(f":{path.stat().st_ino} ")
    assert known(two) == 5
    two.close()
    assert Path("/proc/locks").read_text().count(f":{path.stat().st_ino} ") == before > 0
    one.close()


@pytest.mark.parametrize(
    ("platform", "environ", "folder"),
    [
        ("linux", {"HOME": "/home/u"}, "/home/u/.local/state"),
        ("linux", {"HOME": "/home/u", "XDG_STATE_HOME": "/state"}, "/state"),
        ("linux", {"HOME": "/home/u", "XDG_STATE_HOME": "state"}, "/home/u/.local/state"),
        ("darwin", {"HOME": "/Users/u"}, "/Users/u/Library/Application Support"),
        ("win32", {"LOCALAPPDATA": "/C/Local"}, "/C/Local"),
        ("win32", {"USERPROFILE": "/C/u"}, "/C/u/AppData/Local"),
        ("linux", {}, f"{Path.home()}/.local/state"),
    ],
)
def test_the_default_place_of_each_platform(platform: str, environ: dict[str, str], folder: str) -> None:
    """Without a path the file lies where the platform keeps the state of a user's programs."""
    assert default_path(environ, platform) == Path(folder) / "clova_ocr_async" / "slots.sqlite"


def test_a_folder_that_is_named_needs_no_home() -> None:
    """A user that names the folder for state needs no home folder."""

    def homeless() -> Path:
        raise RuntimeError("no home")

    assert default_path({"XDG_STATE_HOME": "/state"}, "linux", homeless).is_relative_to("/state")


def test_without_a_home_a_path_must_be_given() -> None:
    """The error for a user without a home folder asks for a path."""

    def homeless() -> Path:
        raise RuntimeError("no home")

    with pytest.raises(ConfigurationError, match="give a path"):
        default_path({}, "linux", homeless)


@pytest.mark.parametrize("path", [b"slots", 7, "", ".", "/", "a\0b", "a\0b/c"])
def test_a_value_that_is_not_a_path(path: Any) -> None:
    """A value that cannot be the path of a file is refused by its kind, with the way out."""
    with pytest.raises(ConfigurationError, match=f"path is a {type(path).__name__} that does not name a file; give a"):
        checked_path(path)


def test_a_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is one below the folder that the process was in when it was given."""
    monkeypatch.chdir(tmp_path)
    assert checked_path("slots.sqlite") == tmp_path / "slots.sqlite"
