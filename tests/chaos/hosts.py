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
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Host", "Worker", "can_isolate"]

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


class Worker:
    """A program on a host, with the processes that it starts: what is done to it is done to all of them.

    Args:
        host: The host.
        command: What it runs.
        environment: As every host has it.
        log: Where its output goes.

    Attributes:
        host: The host.
        was_killed: Whether it was killed from here.
        continues_at: When it is to go on, on the monotonic clock; None unless it is stopped.
    """

    def __init__(self, host: Host, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.host = host
        self.was_killed = False
        self.continues_at: float | None = None
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
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        found: list[tuple[str, int]] = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended just now
                group = int((folder / "stat").read_text().rpartition(")")[2].split()[2])
                if group == self._process.pid:
                    pids = (folder / "status").read_text().partition("NSpid:")[2].splitlines()[0].split()
                    found.append((f"{boot} {(folder / 'ns/pid').readlink()}", int(pids[-1])))
        return found

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
