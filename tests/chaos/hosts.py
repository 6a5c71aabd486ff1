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
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Host", "Worker", "can_isolate"]

_UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL")
_STARTED_WITHIN = 30.0  # seconds
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
    """A process on a host.

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
        self._isolated = host.isolated and can_isolate()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*(_UNSHARE if self._isolated else ()), *command],
                env=host.environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def owner(self) -> tuple[str, int] | None:
        """Return the place and the pid by which the package knows it; None if it has ended."""
        try:
            pid = self._pid()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            place = f"{boot} {Path(f'/proc/{pid}/ns/pid').readlink()}"
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return None
        return place, int(status.partition("NSpid:")[2].splitlines()[0].split()[-1])

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
        try:
            os.kill(self._pid(), number)
        except OSError:  # it has ended just now
            return

    def _pid(self) -> int:
        """Return the pid of the command itself.

        Raises:
            OSError: It has ended.
        """
        if not self._isolated:
            return self._process.pid
        end = time.monotonic() + _STARTED_WITHIN
        while time.monotonic() < end:
            outer = self._process.pid
            if children := Path(f"/proc/{outer}/task/{outer}/children").read_text().split():
                return int(children[0])
            if self.code is not None:
                break
            time.sleep(0.005)
        raise ProcessLookupError("the process has not started")
