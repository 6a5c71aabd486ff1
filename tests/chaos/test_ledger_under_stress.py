"""The short form of the stress: real processes, whose ledger's file system fails them. ``nox -s chaos`` is longer."""

from __future__ import annotations

import random
import sys

import copies
import pytest
import stress

MIB = 1024 * 1024

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals, locks and mounts as Linux has them"),
]


@pytest.fixture(scope="session")
def own_mounts() -> None:
    """Skip where this process may mount nothing."""
    if not stress.can_mount():
        pytest.skip("mounting a small disk needs root")


def test_a_held_lock_ends_the_run_once() -> None:
    """While another program holds the lock a run ends within a minute, names it, and the next run finishes it all."""
    assert stress.lock_held() == []


def test_a_held_lock_does_not_hold_up_an_interrupt() -> None:
    """Three Ctrl-C end a run whose ledger is locked, and every paid answer is there afterwards."""
    assert stress.lock_held(interrupts=3) == []


def test_a_process_that_is_stopped_in_a_commit_holds_up_nobody() -> None:
    """While a process is stopped inside a commit another one ends with its pid, and both finish the run afterwards."""
    assert stress.stopped_in_a_commit("before commit of answered") == []


@pytest.mark.usefixtures("own_mounts")
@pytest.mark.parametrize(("size", "disk"), [(300_000, 32 * MIB), (3_000_000, 128 * MIB)])
def test_a_full_disk_loses_no_paid_answer(size: int, disk: int) -> None:
    """With 20 calls in flight as the disk fills every answer is kept, or is handed out and named; the run resumes."""
    assert stress.full_disk(size, disk) == []


@pytest.mark.usefixtures("own_mounts")
def test_a_run_on_a_full_disk_is_begun_later() -> None:
    """On a disk with too little room a run ends resumably before anything is paid, and begins once there is room."""
    assert stress.full_at_opening((0, 16, 200, 2000)) == []


@pytest.mark.usefixtures("own_mounts")
def test_a_killed_run_is_read_on_a_read_only_medium() -> None:
    """A killed run on a read-only medium shows what it shows elsewhere; a batch on it ends, and pays for nothing."""
    assert copies.read_only(random.Random(2411)) == []  # noqa: S311 - the moment of a kill


def test_links_and_copies_of_a_killed_run_pay_for_nothing() -> None:
    """A killed run that was linked, copied and renamed pays for each picture once, and says why it is refused."""
    assert copies.copies(random.Random(2411)) == []  # noqa: S311 - the moment of a kill


def test_late_answers_on_kept_connections_are_nobodys() -> None:
    """Requests that get the answer to the one before are ambiguous, by name; no picture has another's answer."""
    assert stress.late_answers(60, 6) == []


def test_openings_that_are_cancelled_leave_nothing() -> None:
    """Openings cancelled at any moment leave no owner, no open file and no room set aside."""
    assert stress.cancelled_openings(60) == []


def test_forks_of_a_process_at_work_harm_nobody() -> None:
    """No child of a process whose ledger is at work hangs, and the parent's ledger is whole."""
    assert stress.forks(40) == []
