from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from clova_ocr_async.host.processes import Process, lease_is_over

if TYPE_CHECKING:
    from pathlib import Path


def proc_of(folder: Path, pid: int, stat: bytes) -> Path:
    """Make a /proc with one process."""
    (folder / "sys/kernel/random").mkdir(parents=True)
    (folder / "sys/kernel/random/boot_id").write_text("boot-1\n")
    (folder / "self/ns").mkdir(parents=True)
    (folder / "self/ns/pid").symlink_to("pid:[1]")
    (folder / str(pid)).mkdir()
    (folder / str(pid) / "stat").write_bytes(stat)
    return folder


def stat_of(pid: int, state: str = "S", started: str = "777") -> bytes:
    """Write a process's line as Linux does; its name holds what a reader may stumble over."""
    return f"{pid} (a) b) {state} {' '.join(str(number) for number in range(18))} {started} 0".encode()


def test_a_running_process_is_not_dead() -> None:
    """The running process is known to run, and is found again under the same description."""
    this = Process.this()
    assert this == Process.this()
    assert this.pid == os.getpid()
    assert this.place
    assert this.started
    assert not this.is_dead(this)


def test_a_process_that_has_ended_is_dead_at_once() -> None:
    """Of a process that has ended that is known without waiting for its lease, also while it is not yet reaped."""
    this = Process.this()
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as child:
        proc = f"/proc/{child.pid}/stat"
        with open(proc, "rb") as file:  # noqa: PTH123 - /proc is not a place for pathlib's guesses
            started = file.read().rpartition(b")")[2].split()[19].decode()
        found = Process(this.place, child.pid, started)
        assert not found.is_dead(this)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert found.is_dead(this)
    assert found.is_dead(this)


def test_a_pid_that_is_used_again_is_another_process() -> None:
    """A pid that runs again since another time is not the process that had it."""
    this = Process.this()
    assert Process(this.place, this.pid, "1").is_dead(this)


@pytest.mark.parametrize("state", ["Z", "X"])
def test_a_zombie_is_dead(tmp_path: Path, state: str) -> None:
    """A zombie, which its parent has not waited for, counts as dead."""
    proc = proc_of(tmp_path, 5, stat_of(5, state))
    assert Process("boot-1 pid:[1]", 5, "777").is_dead(Process("boot-1 pid:[1]", 6, ""), proc)


def test_the_start_is_read_behind_any_name(tmp_path: Path) -> None:
    """A process's name may hold brackets and blanks; its start is read all the same."""
    proc = proc_of(tmp_path, 5, stat_of(5))
    here = Process("boot-1 pid:[1]", 6, "")
    assert not Process("boot-1 pid:[1]", 5, "777").is_dead(here, proc)
    assert Process("boot-1 pid:[1]", 5, "776").is_dead(here, proc)
    (proc / "5/stat").write_bytes(b"nonsense")
    assert Process("boot-1 pid:[1]", 5, "777").is_dead(here, proc)


def test_where_nothing_can_be_looked_up_nobody_is_called_dead(tmp_path: Path) -> None:
    """Without /proc, or from another container, only the lease decides; after a reboot nothing of before runs."""
    here = Process.this()
    unknown = Process.this(tmp_path)
    assert (unknown.place, unknown.started) == ("", "")
    assert not unknown.is_dead(here)
    assert not Process(here.place, 2_000_000_000, "1").is_dead(unknown)
    boot = here.place.split()[0]
    assert not Process(f"{boot} pid:[another]", 2_000_000_000, "1").is_dead(here)
    assert Process(f"another-boot {here.place.split()[1]}", here.pid, here.started).is_dead(here)


@pytest.mark.parametrize(
    ("expires", "over"),
    [(999.9, True), (1000.0, False), (1030.0, False), (1060.0, False), (1060.1, True), (float("nan"), True)],
)
def test_a_lease_is_over_at_its_end_or_if_another_boot_made_it(expires: float, *, over: bool) -> None:
    """A lease is over when its end has passed, or is further off than two of the longest leases."""
    assert lease_is_over(expires, 1000.0, 30.0) is over
