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
from clova_ocr_async.slots.sharing.sqlite_store import SlotsFile, checked_path, default_path, name_of
from clova_ocr_async.slots.sharing.state import Limits, Member, SharedGate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

K = domain().key
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as Linux has them")


@pytest.fixture
def clock() -> Clock:
    """Return a clock that is set by hand."""
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where no file is yet, in a folder that is not there."""
    return tmp_path / "folder" / "slots.sqlite"


@pytest.fixture
def file(path: Path, clock: Clock) -> Iterator[SlotsFile]:
    """Return a file of slots that never waits long."""
    opened = SlotsFile(path, clock, patience=0.05)
    yield opened
    opened.close()


def learn(file: SlotsFile, limit: int, key: str = K) -> None:
    """Write a ceiling."""
    with file.gates([key]) as gates:
        gates[key].ceiling.limit = limit


def known(file: SlotsFile, key: str = K) -> int:
    """Read a ceiling."""
    with file.gates([key]) as gates:
        return gates[key].ceiling.limit


def fresh(path: Path, key: str = K) -> int:
    """Read a ceiling as another process does."""
    other = SlotsFile(path, Clock(), patience=0.05)
    try:
        return known(other, key)
    finally:
        other.close()


def test_what_is_learned_is_kept(file: SlotsFile, path: Path) -> None:
    """What one process leaves, the next one finds, for each domain by itself, with its members."""
    member = Member(remote_process(), 5, 9.0, Limits(3), 2, (True, 1.0, 1), 4.0)
    with file.gates([K, "other"]) as gates:
        gates[K].ceiling = ConcurrencyLimit(limit=7, named=7, rejections=2)
        gates[K].members["a"] = member
    file.close()
    with file.gates([K, "other"]) as gates:
        assert gates == {
            K: SharedGate(ConcurrencyLimit(limit=7, named=7, rejections=2), {"a": member}),
            "other": SharedGate(),
        }
    assert fresh(path) == 7


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_may_read_it(path: Path, clock: Clock, umask: int) -> None:
    """The file, and what SQLite puts beside it, is 0600, and a new folder 0700, under any umask."""
    before = os.umask(umask)
    try:
        file = SlotsFile(path, clock)
        learn(file, 5)
        modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
        file.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("slots.sqlite", "slots.sqlite-shm", "slots.sqlite-wal"), 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_no_secret_is_in_it(file: SlotsFile, path: Path) -> None:
    """Neither the secret nor the invoke URL nor its key is in any of its bytes, nor in its name for a domain."""
    learn(file, 5)
    for data in contents(path.parent):
        assert not any(canary.encode() in data for canary in (KEY, SECRET, URL, "apigw"))
    assert KEY not in name_of(K)
    assert name_of(K) != name_of(K + "x")


def test_an_error_inside_keeps_nothing(file: SlotsFile) -> None:
    """If something fails while the gates are open, they stay as they were, and are open to others at once."""
    learn(file, 5)
    with pytest.raises(ZeroDivisionError), file.gates([K]) as gates:  # noqa: PT012 - what a body raises
        gates[K].ceiling.limit = 6
        raise ZeroDivisionError
    assert known(file) == 5


def test_what_cannot_be_written_is_not_half_written(file: SlotsFile) -> None:
    """An error in writing that is not the file's comes out, and holds up nobody."""
    learn(file, 5)
    wrong: Any = object()
    with pytest.raises(TypeError), file.gates([K]) as gates:
        gates[K].ceiling.limit = wrong
    learn(file, 6)
    assert known(file) == 6


@pytest.mark.parametrize(
    "row", [b"", b"{", b'{"ceiling":[]}', b"\xff", b'"' + b"\xff" * 9 + b'"', b"[" * 100_000, 7, "text", 1.5]
)
def test_a_row_of_another_version_is_learned_again(file: SlotsFile, path: Path, row: object) -> None:
    """A row that this version cannot read counts as nothing learned, and is replaced."""
    learn(file, 5)
    file.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE gate SET state = ?", (row,))
    assert known(file) == ConcurrencyLimit().limit
    assert fresh(path) == ConcurrencyLimit().limit


def damaged(path: Path) -> None:
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
        damaged,
    ],
    ids=["no database", "half a page", "one page", "an empty page"],
)
def test_what_is_no_database_is_put_aside(
    file: SlotsFile, path: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is no database, or a broken one, is kept under another name, said so, and a new one is made."""
    learn(file, 5)
    file.close()
    damage(path)
    before = path.read_bytes()
    learn(file, 6)
    assert fresh(path) == 6
    assert path.with_name("slots.sqlite.broken").read_bytes() == before
    assert [record.message.endswith("slots.sqlite.broken") for record in caplog.records] == [True]


def test_what_another_process_has_put_aside_is_not_put_aside_again(path: Path, clock: Clock) -> None:
    """Of two who find the file broken, the second uses the one that the first has made."""

    class Late(SlotsFile):
        """A process that finds the file broken just as another one has made a new one."""

        late = True

        def _begin(self, names: Any) -> dict[str, SharedGate]:
            found = super()._begin(names)
            if self.late:
                self.late = False
                path.unlink()
                other = SlotsFile(path, clock)
                learn(other, 9)
                other.close()
                raise sqlite3.DatabaseError("malformed")
            return found

    file = Late(path, clock)
    assert known(file) == 9
    file.close()
    assert not path.with_name("slots.sqlite.broken").exists()


def test_a_file_that_is_removed_is_left(file: SlotsFile, path: Path) -> None:
    """When the file is removed or replaced, who has it open goes on with the one that others would find."""
    learn(file, 5)
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink()
    learn(file, 6)
    assert fresh(path) == 6


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was warned of."""
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def goes_on_alone(file: SlotsFile, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Check that a file that cannot be used is made up for, with one warning."""
    for limit in (5, 6, 7):
        with file.gates([K]) as gates:
            assert not gates[K].members
            gates[K].members["me"] = Member(remote_process())
            gates[K].ceiling.limit = limit
        assert known(file) == limit
        clock.now += 11.0
    [warning] = warnings_of(caplog)
    assert "slots are not shared with other processes" in warning
    assert KEY not in warning


@pytest.mark.parametrize("hindrance", ["a folder", "a file for a folder", "no place for files"])
def test_where_no_file_can_be(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, hindrance: str) -> None:
    """Where the file cannot be opened the gates go on in memory, for this process, with one warning."""
    path = tmp_path / "slots.sqlite"
    if hindrance == "a folder":
        path.mkdir()
    elif hindrance == "a file for a folder":
        path.write_text("")
        path /= "slots.sqlite"
    else:
        path = Path("/proc/self/nowhere/slots.sqlite")
    goes_on_alone(SlotsFile(path, clock), clock, caplog)


def test_a_file_of_somebody_elses(path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A database of something else is left as it is, but for our table; one that cannot have it is not used."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE gate (something)")
    goes_on_alone(SlotsFile(path, clock), clock, caplog)


def test_a_lock_held_too_long(file: SlotsFile, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """When another process writes for longer than the patience, this one goes on alone, and comes back later."""
    learn(file, 5)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        learn(file, 6)
        assert known(file) == 6
        db.execute("ROLLBACK")
        clock.now += 9.9
        assert known(file) == 6
        clock.now += 0.1
        assert known(file) == 5
        assert len(warnings_of(caplog)) == 1
        db.execute("BEGIN IMMEDIATE")
        known(file)
        db.execute("ROLLBACK")
    assert len(warnings_of(caplog)) == 2


def test_a_lock_on_a_new_file(path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A new file that another process has locked before it was ready is waited for, as long as the patience lasts."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE other (x)")
        db.execute("BEGIN EXCLUSIVE")
        file = SlotsFile(path, clock, patience=0.05)
        assert known(file) == ConcurrencyLimit().limit
        assert "locked" in warnings_of(caplog)[0]
    clock.now += 10.0
    learn(file, 6)
    file.close()
    assert fresh(path) == 6


def test_two_who_make_a_file_at_once(path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A process that finds a new file not yet ready, and locked by who makes it ready, tries again."""
    path.parent.mkdir()
    locked = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    locked.execute("CREATE TABLE other (x)")
    locked.execute("BEGIN EXCLUSIVE")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        locked.close()

    file = SlotsFile(path, clock, sleep=sleep)
    learn(file, 6)
    file.close()
    assert fresh(path) == 6
    assert slept == [0.02]
    assert not caplog.records


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from clova_ocr_async.slots.sharing.sqlite_store import SlotsFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
now = 5000.0
file = SlotsFile(Path(sys.argv[1]), lambda: now)
with file.gates(["k"]) as gates:
    gates["k"].ceiling.limit = 5
size = Path(sys.argv[1] + "-wal").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
for limit in (6, 7):
    with file.gates(["k"]) as gates:
        gates["k"].ceiling.limit = limit
with file.gates(["k"]) as gates:
    assert gates["k"].ceiling.limit == 7
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
now += 10.0
with file.gates(["k"]) as gates:
    assert gates["k"].ceiling.limit == 5
    gates["k"].ceiling.limit = 8
file.close()
"""


@linux
def test_a_full_disk(path: Path) -> None:
    """When the disk is full the gates go on in memory, with one warning, and are shared again when there is room."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], env=environ, capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("slots are not shared with other processes") == 1
    assert fresh(path, "k") == 8


@linux
def test_two_files_of_one_process_keep_each_others_locks(path: Path, clock: Clock) -> None:
    """A second use of the file in one process does not take the first one's locks, which keep others from its log."""
    one, two = SlotsFile(path, clock), SlotsFile(path, clock)
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
def test_where_each_platform_keeps_it(platform: str, environ: dict[str, str], folder: str) -> None:
    """Without a path the file is where the platform keeps what programs know of a user's work."""
    assert default_path(environ, platform) == Path(folder) / "clova_ocr_async" / "slots.sqlite"


def test_a_folder_that_is_named_needs_no_home() -> None:
    """Who names the folder for state needs no home."""

    def homeless() -> Path:
        raise RuntimeError("no home")

    assert default_path({"XDG_STATE_HOME": "/state"}, "linux", homeless).is_relative_to("/state")


def test_without_a_home_a_path_must_be_given() -> None:
    """A user without a home is told to give a path."""

    def homeless() -> Path:
        raise RuntimeError("no home")

    with pytest.raises(ConfigurationError, match="give a path"):
        default_path({}, "linux", homeless)


@pytest.mark.parametrize("path", [b"slots", 7, "", ".", "/", "a\0b", "a\0b/c"])
def test_what_is_no_path(path: Any) -> None:
    """What cannot be the path of a file is refused by its kind."""
    with pytest.raises(ConfigurationError, match="path is no path of a file, but a "):
        checked_path(path)


def test_a_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means the folder the process was in when it was given."""
    monkeypatch.chdir(tmp_path)
    assert checked_path("slots.sqlite") == tmp_path / "slots.sqlite"
