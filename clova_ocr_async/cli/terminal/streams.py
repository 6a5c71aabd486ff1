"""Standard output and standard error as a command needs them: no text and no full disk ends it with a traceback."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["prepare", "settled"]


class _NeverFailing(io.FileIO):
    """A file whose writes never fail: what cannot be written is dropped."""

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        try:
            written = super().write(data)
        except OSError:
            return size
        return size if written is None else written  # None: a pipe that somebody made non-blocking is full


def prepare() -> None:
    r"""Make both streams take every text, and standard error also every failure.

    What the encoding of a stream cannot say is written as \N escapes. Nobody may listen at standard error, or its disk
    may be full: that must neither end what is paid for nor change the exit code.
    """
    # Python leaves None where the shell's >&- has closed a stream, which type checkers do not know.
    streams = vars(sys)
    if isinstance(stdout := streams["stdout"], io.TextIOWrapper):
        stdout.reconfigure(errors="backslashreplace")
    if isinstance(stderr := streams["stderr"], io.TextIOWrapper):
        buffer = io.BufferedWriter(_NeverFailing(stderr.fileno(), "w", closefd=False))
        sys.stderr = io.TextIOWrapper(buffer, stderr.encoding, "backslashreplace", line_buffering=True)


def settled(command: Callable[[], object]) -> int:
    """Run a command, write out what is left in standard output, and return the exit code.

    Python would do that after everything else, and end with its own code 120 and its own words if it fails.

    Args:
        command: Ends with a SystemExit; it has told then why it failed.
    """
    code = 0
    try:
        command()
    except SystemExit as end:
        code = int(end.code or 0)
    except OSError as error:  # of what click prints itself: --help, --version
        code = _failed(error)
    stdout: TextIO | None = vars(sys)["stdout"]
    if stdout is not None:
        try:
            stdout.flush()
        except OSError as error:
            _drop(stdout)
            code = code or _failed(error)
    return code


def _failed(error: OSError) -> int:
    from clova_ocr_async.cli.terminal.stderr import say  # click is slow to import, and is there by now

    if error.errno != errno.EPIPE:  # a reader that has enough is no news
        say(f"error: cannot write to standard output: {error.strerror}", even_when_quiet=True)
    return 1


def _drop(stream: TextIO) -> None:
    """Let what a stream holds, and all that comes, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)
    stream.flush()
