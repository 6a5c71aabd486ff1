from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import FakeTime, domain
from support.ledgers import Clock, remote_process

from clova_ocr_async.slots.limit import ConcurrencyLimit, LimitSignal
from clova_ocr_async.slots.rate import Pacer
from clova_ocr_async.slots.sharing.sqlite_store import SlotsFile, _check_file, name_of
from clova_ocr_async.slots.sharing.state import Limits, Member, SharedGate
from clova_ocr_async.slots.sharing.validation import is_believable

if TYPE_CHECKING:
    from pathlib import Path

K = domain().key
NOW = 5000.0
NAN, INFINITE = float("nan"), float("inf")


def member(**changes: object) -> SharedGate:
    """Return a gate with one member."""
    return SharedGate(members={"a": msgspec.structs.replace(Member(remote_process()), **changes)})


@pytest.mark.parametrize(
    "gate",
    [
        SharedGate(ConcurrencyLimit(limit=10**9)),
        SharedGate(ConcurrencyLimit(limit=0)),
        SharedGate(ConcurrencyLimit(under_way=10**9)),
        SharedGate(ConcurrencyLimit(under_way=-(10**9))),
        SharedGate(ConcurrencyLimit(refused=-1)),
        SharedGate(ConcurrencyLimit(named=-1)),
        SharedGate(ConcurrencyLimit(disproved=2**60)),
        SharedGate(ConcurrencyLimit(pace=Pacer(rate=0.0))),
        SharedGate(ConcurrencyLimit(pace=Pacer(rate=-1.0))),
        SharedGate(ConcurrencyLimit(pace=Pacer(rate=NAN))),
        SharedGate(ConcurrencyLimit(pace=Pacer(rate=INFINITE))),
        SharedGate(ConcurrencyLimit(pace=Pacer(resumes=32_503_680_000.0))),
        SharedGate(ConcurrencyLimit(pace=Pacer(resumes=NAN))),
        SharedGate(ConcurrencyLimit(pace=Pacer(due=32_503_680_000.0))),
        SharedGate(ConcurrencyLimit(pace=Pacer(due=INFINITE))),
        SharedGate(ConcurrencyLimit(pace=Pacer(stride=-1))),
        member(held=10**9),
        member(held=-1),
        member(port=70_000),
        member(port=-1),
        member(limits=Limits(most=0)),
        member(limits=Limits(most_per_second=0.0)),
    ],
)
def test_what_cannot_have_been_learned_is_not_believed(gate: SharedGate) -> None:
    """A ceiling, a pause or a count that no domain has, and no process writes, is one that is learned again."""
    assert not is_believable(gate, NOW)


events = st.lists(
    st.one_of(
        st.builds(
            LimitSignal,
            st.none() | st.integers(0, 50),
            st.booleans(),
            st.none() | st.floats(0, 200),
        ),
        st.just("admitted"),
    ),
    max_size=60,
)


@given(events, st.integers(1, 60), st.none() | st.floats(0.01, 50))
def test_all_that_is_learned_is_believed(
    outcomes: list[LimitSignal], at_once: int, most_per_second: float | None
) -> None:
    """Whatever calls end in, what a process has learned from it is believed by the next one."""
    runtime = FakeTime().runtime()
    gate = member(held=at_once, port=60_000, expires=NOW + 30, limits=Limits(at_once, most_per_second))
    for number, outcome in enumerate(outcomes):
        entry = gate.ceiling.enter(number % at_once, runtime.clock(), most_per_second)
        gate.ceiling.settle(entry, outcome, runtime)
        assert is_believable(gate, runtime.clock())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a file of slots will be."""
    return tmp_path / "slots.sqlite"


def learned(path: Path) -> int:
    """Return the ceiling that a process finds, and leave another one."""
    file = SlotsFile(path, Clock(), patience=0.05)
    with file.gates([K]) as gates:
        found = gates[K].ceiling.limit
        gates[K].ceiling.limit = 7
    file.close()
    return found


def test_a_row_that_cannot_be_so_is_replaced(path: Path) -> None:
    """A row with a ceiling of a thousand million counts as nothing learned, and is overwritten."""
    learned(path)
    with closing(sqlite3.connect(path)) as db, db:
        row = msgspec.json.encode(SharedGate(ConcurrencyLimit(limit=10**9)))
        db.execute("UPDATE gate SET state = ? WHERE domain = ?", (row, name_of(K)))
    assert learned(path) == ConcurrencyLimit().limit
    assert learned(path) == 7


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
@pytest.mark.parametrize("what", ["a symbolic link", "a hard link"])
def test_a_file_of_another_name_is_not_used(path: Path, end: str, what: str, caplog: pytest.LogCaptureFixture) -> None:
    """A link in the place of the file, or of what SQLite keeps beside it, is neither read nor written, and is named."""
    other = path.with_name("precious")
    other.write_bytes(b"somebody else's")
    learned(path)
    place = path.with_name(path.name + end)
    place.unlink(missing_ok=True)
    if what == "a hard link":
        place.hardlink_to(other)
    else:
        place.symlink_to(other)
    assert learned(path) == ConcurrencyLimit().limit
    assert other.read_bytes() == b"somebody else's"
    assert f"{place.name} is a symbolic link" in caplog.text or f"{place.name} has another name" in caplog.text


def test_what_is_no_file_is_not_used(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A pipe in the place of the file is named, and nobody waits for its other end."""
    os.mkfifo(path)
    assert learned(path) == ConcurrencyLimit().limit
    assert "slots.sqlite is not a file" in caplog.text


def test_another_users_file_is_refused(path: Path) -> None:
    """A file of another user's may say anything."""
    path.touch()
    found = path.lstat()
    with pytest.raises(OSError, match="belongs to another user"):
        _check_file(path, found, user=found.st_uid + 1)


def test_a_file_that_was_open_to_others_is_closed_to_them(path: Path) -> None:
    """A file that others may read or write is its owner's alone once it is used."""
    learned(path)
    path.chmod(0o666)
    assert learned(path) == 7
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600


def test_a_link_that_is_put_in_its_place_later_is_noticed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is replaced by a link to itself while it is open is used no more."""
    file = SlotsFile(path, Clock(), patience=0.05)
    with file.gates([K]) as gates:
        gates[K].ceiling.limit = 7
    path.rename(path.with_name("moved"))
    path.symlink_to(path.with_name("moved"))
    with file.gates([K]) as gates:
        gates[K].ceiling.limit = 8
    file.close()
    assert "is a symbolic link" in caplog.text
