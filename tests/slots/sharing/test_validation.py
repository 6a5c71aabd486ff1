from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.fakes import FakeTime, domain
from support.ledgers import Clock, remote_process

from clova_ocr_async.slots.limit import ConcurrencyLimit, LimitSignal
from clova_ocr_async.slots.rate import Pacer
from clova_ocr_async.slots.sharing.sqlite_store import SqliteGateStore, check_private_file
from clova_ocr_async.slots.sharing.state import Limits, Member, SharedGate
from clova_ocr_async.slots.sharing.store import name_of, transaction
from clova_ocr_async.slots.sharing.validation import is_plausible

if TYPE_CHECKING:
    from pathlib import Path

K = domain().key
NOW = 5000.0
NAN, INFINITE = float("nan"), float("inf")


def member(**changes: object) -> SharedGate:
    """Return the slots of a domain with one member."""
    return SharedGate(members={"a": msgspec.structs.replace(Member(remote_process()), **changes)})


@pytest.mark.parametrize(
    "gate",
    [
        SharedGate(ConcurrencyLimit(value=10**9)),
        SharedGate(ConcurrencyLimit(value=0)),
        SharedGate(ConcurrencyLimit(last_in_flight=10**9)),
        SharedGate(ConcurrencyLimit(last_in_flight=-(10**9))),
        SharedGate(ConcurrencyLimit(consecutive_refusals=-1)),
        SharedGate(ConcurrencyLimit(advertised=-1)),
        SharedGate(ConcurrencyLimit(disproved=2**60)),
        SharedGate(ConcurrencyLimit(pacer=Pacer(rate=0.0))),
        SharedGate(ConcurrencyLimit(pacer=Pacer(rate=-1.0))),
        SharedGate(ConcurrencyLimit(pacer=Pacer(rate=NAN))),
        SharedGate(ConcurrencyLimit(pacer=Pacer(rate=INFINITE))),
        SharedGate(ConcurrencyLimit(pacer=Pacer(paused_until=32_503_680_000.0))),
        SharedGate(ConcurrencyLimit(pacer=Pacer(paused_until=NAN))),
        SharedGate(ConcurrencyLimit(pacer=Pacer(next_send=32_503_680_000.0))),
        SharedGate(ConcurrencyLimit(pacer=Pacer(next_send=INFINITE))),
        SharedGate(ConcurrencyLimit(pacer=Pacer(raise_after=-1))),
        member(held=10**9),
        member(held=-1),
        member(wakeup_port=70_000),
        member(wakeup_port=-1),
        member(limits=Limits(max_concurrency=-1)),
        member(limits=Limits(max_per_second=0.0)),
    ],
)
def test_implausible_values(gate: SharedGate) -> None:
    """A limit, a pause or a count that no domain has, and no process writes, is not plausible."""
    assert not is_plausible(gate, NOW)


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
@example([*["admitted"] * 12, LimitSignal()], 1, None)
@example([*["admitted"] * 8, LimitSignal(), *["admitted"] * 100], 1, None)
def test_all_that_is_learned_is_plausible(
    results: list[LimitSignal], concurrency: int, max_per_second: float | None
) -> None:
    """A limit that a process has learned from any results of calls is plausible to the next one."""
    runtime = FakeTime().runtime()
    gate = member(held=concurrency, wakeup_port=60_000, expires=NOW + 30, limits=Limits(concurrency, max_per_second))
    for number, result in enumerate(results):
        permit = gate.limit.on_sent(number % concurrency, runtime.clock(), max_per_second)
        gate.limit.on_result(permit, result, runtime.clock(), runtime.uniform)
        assert is_plausible(gate, runtime.clock())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file that does not exist."""
    return tmp_path / "slots.sqlite"


def learned(path: Path) -> int:
    """Return the limit that a process finds, and store another one."""
    store = SqliteGateStore(path, Clock(), patience=0.05)
    with transaction(store, [K]) as gates:
        found = gates[K].limit.value
        gates[K].limit.value = 7
    store.close()
    return found


def test_an_implausible_row_is_replaced(path: Path) -> None:
    """A row with a limit of a thousand million counts as nothing learned, and is overwritten."""
    learned(path)
    with closing(sqlite3.connect(path)) as db, db:
        row = msgspec.json.encode(SharedGate(ConcurrencyLimit(value=10**9)))
        db.execute("UPDATE gate SET state = ? WHERE domain = ?", (row, name_of(K)))
    assert learned(path) == ConcurrencyLimit().value
    assert learned(path) == 7


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
@pytest.mark.parametrize("what", ["a symbolic link", "a hard link"])
def test_a_link_is_not_used(path: Path, end: str, what: str, caplog: pytest.LogCaptureFixture) -> None:
    """A link in the place of the file, or of one that SQLite keeps beside it, is named and neither read nor written."""
    other = path.with_name("precious")
    other.write_bytes(b"another program's")
    learned(path)
    place = path.with_name(path.name + end)
    place.unlink(missing_ok=True)
    if what == "a hard link":
        place.hardlink_to(other)
    else:
        place.symlink_to(other)
    assert learned(path) == ConcurrencyLimit().value
    assert other.read_bytes() == b"another program's"
    assert f"{place.name} is a symbolic link" in caplog.text or f"{place.name} has another name" in caplog.text


def test_a_pipe_is_not_used(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A pipe in the place of the file is named, and no call waits for its other end."""
    os.mkfifo(path)
    assert learned(path) == ConcurrencyLimit().value
    assert "slots.sqlite is not a file" in caplog.text


def test_another_users_file_is_refused(path: Path) -> None:
    """A file of another user is refused, as anything may stand in it."""
    path.touch()
    found = path.lstat()
    with pytest.raises(OSError, match="belongs to another user"):
        check_private_file(path, found, user=found.st_uid + 1)


def test_a_file_that_was_open_to_other_users_is_closed_to_them(path: Path) -> None:
    """A file that other users may read or write is its owner's alone once it is used."""
    learned(path)
    path.chmod(0o666)
    assert learned(path) == 7
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600


def test_a_link_put_in_place_later_is_not_used(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is replaced by a link to itself while it is open is used no more."""
    store = SqliteGateStore(path, Clock(), patience=0.05)
    with transaction(store, [K]) as gates:
        gates[K].limit.value = 7
    path.rename(path.with_name("moved"))
    path.symlink_to(path.with_name("moved"))
    with transaction(store, [K]) as gates:
        gates[K].limit.value = 8
    store.close()
    assert "is a symbolic link" in caplog.text
