from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.batch.sources.settling import Settling, pause_before_next

SETTLE = 5.0


def observed(settling: Settling[Any], *scans: tuple[float, dict[str, Any]]) -> list[list[str]]:
    """Return what each of some scans, which take no time, has settled."""
    return [settling.observe(files, now, now) for now, files in scans]


def test_a_file_settles_once_it_stood_still() -> None:
    """A file is settled in the first scan that finds it unchanged for the time, and in no later one."""
    settling = Settling[int](SETTLE)
    assert observed(
        settling, (0, {"a": 1}), (4.9, {"a": 1}), (5, {"a": 1, "b": 1}), (9, {"a": 1, "b": 1}), (10, {"a": 1, "b": 1})
    ) == [[], [], ["a"], [], ["b"]]


def test_a_change_starts_the_wait_anew() -> None:
    """A scanner that pauses 4 s between pages, for however long, leaves its file unsettled until it has finished."""
    settling = Settling[int](SETTLE)
    scans = [(float(now), {"fax.tif": now // 4}) for now in range(40)]
    assert not any(observed(settling, *scans))
    done = {"fax.tif": 9}
    assert observed(settling, (40, done), (41, done)) == [[], ["fax.tif"]]


def test_a_settled_file_that_changes_settles_again() -> None:
    """Other content under the same name is another image, which settles as a new file does."""
    settling = Settling[int](SETTLE)
    assert observed(settling, (0, {"a": 1}), (5, {"a": 1}), (6, {"a": 2}), (10, {"a": 2}), (11, {"a": 2})) == [
        [],
        ["a"],
        [],
        [],
        ["a"],
    ]


def test_a_file_that_vanishes_is_forgotten() -> None:
    """A file that is gone in one scan is a new one when it is back."""
    settling = Settling[int](SETTLE)
    assert observed(settling, (0, {"a": 1}), (5, {"a": 1}), (6, {}), (7, {"a": 1}), (12, {"a": 1}))[-1] == ["a"]


def test_without_a_wait_a_file_settles_at_first_sight() -> None:
    """A settling time of 0 takes each file as it is found."""
    assert observed(Settling[int](0), (0, {"a": 1}), (1, {"a": 1}), (2, {"a": 2})) == [["a"], [], ["a"]]


def test_the_time_of_a_scan_does_not_count() -> None:
    """In a scan that takes long a file may have been looked at late, and in the next one early."""
    settling = Settling[int](SETTLE)
    assert settling.observe({"a": 1}, 0, 3) == []
    assert settling.observe({"a": 1}, 7.9, 11) == []
    assert settling.observe({"a": 1}, 8, 12) == ["a"]


def test_the_next_scan_is_due_when_the_first_file_may_settle() -> None:
    """The earliest of the files that wait decides; without one nothing is due."""
    settling = Settling[int](SETTLE)
    due = [settling.next_due]
    for now, files in ((0.0, {"a": 1}), (2.0, {"a": 1, "b": 1}), (5.0, {"a": 1, "b": 1}), (7.0, {"a": 1, "b": 1})):
        settling.observe(files, now, now)
        due.append(settling.next_due)
    assert due == [None, 5, 5, 7, None]
    assert settling.waiting == 0


class Disk:
    """Files with the time of their last change, as a model of what a scan sees."""

    def __init__(self) -> None:
        self.files: dict[str, int] = {}
        self.changed: dict[str, float] = {}
        self.versions = 0

    def do(self, action: str, name: str, now: float) -> None:
        """Write, replace or remove a file."""
        self.versions += 1
        if action == "remove":
            self.files.pop(name, None)
        else:
            self.files[name] = self.versions
            self.changed[name] = now


ACTIONS = st.lists(
    st.tuples(
        st.floats(0.01, 7),  # seconds since the last action
        st.one_of(
            st.tuples(st.just("scan"), st.floats(0, 3)),  # and how long it takes
            st.tuples(st.sampled_from(["write", "remove"]), st.sampled_from("abc")),
        ),
    ),
    max_size=60,
)


@given(actions=ACTIONS, settle=st.sampled_from([0.0, 1.0, 5.0]))
def test_whatever_happens_only_files_that_stood_still_settle_and_each_content_once(
    actions: list[tuple[float, tuple[str, Any]]], settle: float
) -> None:
    """No file settles within the time of its last change, none twice unless it changed, and in the end all have."""
    disk, settling, now = Disk(), Settling[int](settle), 0.0
    taken: list[tuple[str, int]] = []

    def scan(began: float, ended: float) -> None:
        for name in settling.observe(dict(disk.files), began, ended):
            assert disk.changed[name] + settle <= began
            taken.append((name, disk.files[name]))

    for seconds, (action, what) in actions:
        now += seconds
        if action == "scan":
            scan(now, now + what)
            now += what
        else:
            disk.do(action, what, now)
    assert len(set(taken)) == len(taken)
    scan(now, now)
    scan(now + settle, now + settle)
    assert set(disk.files.items()) <= set(taken)
    assert settling.next_due is None


@given(scan=st.floats(0, 1e4), due=st.none() | st.floats(-10, 1e4), longest=st.floats(0.1, 60))
def test_scans_take_a_small_share_of_the_time(scan: float, due: float | None, longest: float) -> None:
    """A pause is long against its scan, up to a bound; it ends when a file may settle, or else after the longest."""
    rest, pause = pause_before_next(scan, due, longest)
    assert 0.1 <= rest <= pause
    if due is None:
        assert (rest, pause) == (max(0.1, min(19 * scan, 60)), max(rest, longest))
    else:
        assert pause >= max(0.1, min(4 * scan, due, longest))
        assert pause <= max(60, longest)
        assert pause <= max(due, 4 * scan, 0.1)


@pytest.mark.parametrize(
    ("scan", "due", "longest", "expected"),
    [
        (0.0, None, 60.0, (0.1, 60.0)),  # nothing happens in a small folder
        (0.01, 4.3, 1.0, (0.19, 1.0)),  # a file waits, and others may come
        (0.0, 0.02, 1.0, (0.1, 0.1)),
        (0.6, None, 1.0, (11.4, 11.4)),  # 100,000 files
        (0.6, 5.0, 60.0, (5.0, 5.0)),
        (3.0, 5.0, 60.0, (12.0, 12.0)),
        (600.0, 5.0, 60.0, (60.0, 60.0)),
    ],
)
def test_pauses_of_small_and_large_folders(
    scan: float, due: float | None, longest: float, expected: tuple[float, float]
) -> None:
    """A large folder is scanned more rarely, but not much later than its files settle."""
    assert pause_before_next(scan, due, longest) == pytest.approx(expected)
