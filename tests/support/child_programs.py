"""Programs that a test runs as child processes, and talks with line by line."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["FORKING_PYTHON", "line_of", "running", "write_to"]

# Python 3.12 and later warn of the forks of a process with threads, and such forks are what the programs try.
FORKING_PYTHON = (sys.executable, "-W", "ignore:This process:DeprecationWarning")


@contextmanager
def running(program: str, *arguments: object, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the end of the context.

    Args:
        program: Its text.
        arguments: Its arguments.
        env: Further variables of its environment.
    """
    command = [sys.executable, "-c", program, *map(str, arguments)]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | dict(env or {})
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    """Wait for a line of a process, and return it."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def write_to(process: subprocess.Popen[str], text: str = "go\n") -> None:
    """Write a line to a process."""
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()
