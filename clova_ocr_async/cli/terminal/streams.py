"""Standard output and standard error of a command, which no text and no full disk ends with a traceback."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["prepare_streams", "run_and_flush"]


class _NeverFailing(io.FileIO):
    """A file whose writes never fail: bytes that cannot be written are dropped."""

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        try:
            written = super().write(data)
        except OSError:
            return size
        return size if written is None else written  # None: the pipe is full and another process made it non-blocking


def prepare_streams() -> None:
    r"""Make both streams take every text, and make standard error ignore every failure.

    Characters that the encoding of a stream lacks are written as \N escapes. The reader of standard error may be gone,
    or its disk may be full: that must neither end calls that are paid for nor change the exit code.
    """
    # Python leaves None where the shell's >&- has closed a stream, which type checkers do not know.
    streams = vars(sys)
    if isinstance(stdout := streams["stdout"], io.TextIOWrapper):
        stdout.reconfigure(errors="backslashreplace")
    if isinstance(stderr := streams["stderr"], io.TextIOWrapper):
        buffer = io.BufferedWriter(_NeverFailing(stderr.fileno(), "w", closefd=False))
        sys.stderr = io.TextIOWrapper(buffer, stderr.encoding, "backslashreplace", line_buffering=True)


def run_and_flush(command: Callable[[], object]) -> int:
    """Run a command, flush standard output, and return the exit code.

    Python would flush it after everything else. If that fails, Python ends with its own message and its own code 120.

    Args:
        command: Ends with a SystemExit, and has printed its errors then.
    """
    code = 0
    try:
        command()
    except SystemExit as end:
        code = int(end.code or 0)
    except OSError as error:  # of --help and --version, which click prints itself
        code = _failed(error)
    stdout: TextIO | None = vars(sys)["stdout"]
    if stdout is not None:
        try:
            stdout.flush()
        except OSError as error:
            _discard(stdout)
            code = code or _failed(error)
    return code


def _failed(error: OSError) -> int:
    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.cli.terminal.stderr import echo_stderr  # click is slow to import, and is loaded by now

    if error.errno != errno.EPIPE:  # a reader such as head that has enough is not an error
        echo_stderr(f"error: cannot write to standard output: {error.strerror}", even_when_quiet=True)
    return exit_code(error)


def _discard(stream: TextIO) -> None:
    """Send the buffered text of a stream, and all that follows, to the null device."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null_device, stream.fileno())
    finally:
        os.close(null_device)
    stream.flush()
