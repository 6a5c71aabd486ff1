"""Worker processes on several hosts of one machine, which are killed and stopped from outside.

A host has its own home and its own folder for the state of programs. Where ``unshare`` may be used, as root may, a
process can have a host of its own for the package too: in another namespace of pids no process can look it up.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Actor", "Host", "Victim", "Worker", "can_isolate"]

_UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL")
_AT_REST = 0.05  # seconds in which a server commits what a process sent before it was stopped


@cache
def can_isolate() -> bool:
    """Return whether processes can be given a namespace of pids of their own."""
    return shutil.which("unshare") is not None and not subprocess.run([*_UNSHARE, "true"], check=False).returncode


@dataclass(frozen=True)
class Host:
    """A host.

    Attributes:
        home: Its home folder; the state of programs is kept below it.
        isolated: Whether each of its processes is in a namespace of its own, as a container is.
    """

    home: Path
    isolated: bool = False

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of its processes."""
        return {**base, "HOME": str(self.home), "XDG_STATE_HOME": str(self.home / "state")}


class Victim(ABC):
    """What is killed and stopped.

    Attributes:
        was_killed: Whether it was killed from here.
        continues_at: When it is to go on, on the monotonic clock; None unless it is stopped.
    """

    def __init__(self) -> None:
        self.was_killed = False
        self.continues_at: float | None = None

    @property
    @abstractmethod
    def code(self) -> int | None:
        """The exit code; None while it runs."""

    @abstractmethod
    def owners(self) -> list[tuple[str, int]]:
        """Return the place and the pid by which the package knows each of its processes."""

    @abstractmethod
    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to all of them, if it runs."""

    def stop(self, seconds: float) -> None:
        """Stop it, until ``resume``; it is to go on after some seconds."""
        self._signal(signal.SIGSTOP)
        self.continues_at = time.monotonic() + seconds
        time.sleep(_AT_REST)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self.continues_at = None

    def kill(self) -> None:
        """Kill it."""
        self.was_killed = True
        self._signal(signal.SIGKILL)


class Actor(Victim):
    """A process that an engine has started, on this host.

    Args:
        pid: Its number.
    """

    def __init__(self, pid: int) -> None:
        super().__init__()
        self._pid = pid
        self._started = _stat(pid)[19:20]

    @property
    def code(self) -> int | None:
        """The exit code, which nobody knows, as that of a kill; None while it runs."""
        fields = _stat(self._pid)
        runs = fields[19:20] == self._started and fields[:1] not in ([], ["Z"], ["X"])
        return None if runs else -signal.SIGKILL

    def owners(self) -> list[tuple[str, int]]:
        """Return the place and the pid by which the package knows it."""
        return _owners(lambda pid: pid == self._pid)

    def _signal(self, number: signal.Signals) -> None:
        if self.code is None:
            os.kill(self._pid, number)


class Worker(Victim):
    """A program on a host, with the processes that it starts: what is done to it is done to all of them.

    Args:
        host: The host.
        command: What it runs.
        environment: As every host has it.
        log: Where its output goes.

    Attributes:
        host: The host.
    """

    def __init__(self, host: Host, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        super().__init__()
        self.host = host
        outer = _UNSHARE if host.isolated and can_isolate() else ()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*outer, *command],
                env=host.environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def owners(self) -> list[tuple[str, int]]:
        """Return the place and the pid by which the package knows each of its processes."""
        return _owners(lambda pid: _stat(pid)[2:3] == [str(self._process.pid)])

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        super().kill()
        self._process.wait()

    def wait(self, seconds: float) -> int:
        """Wait for its end, and return the exit code."""
        return self._process.wait(seconds)

    def close(self) -> None:
        """End it, if it runs."""
        if self.code is None:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self.code is None:  # else the number may be another process's by now
            os.killpg(self._process.pid, number)


def _stat(pid: int) -> list[str]:
    """Return the fields of a process from its state on, as ``proc(5)`` has them; none if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _owners(wanted: Callable[[int], bool]) -> list[tuple[str, int]]:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    found: list[tuple[str, int]] = []
    for folder in Path("/proc").glob("[0-9]*"):
        if wanted(int(folder.name)):
            with suppress(OSError):  # it has ended just now
                pids = (folder / "status").read_text().partition("NSpid:")[2].splitlines()[0].split()
                found.append((f"{boot} {(folder / 'ns/pid').readlink()}", int(pids[-1])))
    return found
