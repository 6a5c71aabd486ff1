"""Where a command's lines go: standard output, what takes them as they come, or a new file only its owner can read."""

from __future__ import annotations

import errno
import os
import select
import sys
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from clova_ocr_async.cli.terminal.targets import STANDARD, Target, find_target
from clova_ocr_async.errors import ClovaOCRError, ConfigurationError
from clova_ocr_async.host.files import open_new_private
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["Output", "OutputError", "opened_directly", "opened_output", "standard_output"]

_THERE = os.O_WRONLY | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)


class OutputError(ClovaOCRError):
    """A line cannot be written.

    Attributes:
        reader_gone: Whoever read the lines has enough of them.
    """

    def __init__(self, name: str, cause: OSError) -> None:
        super().__init__(f"cannot write to {shown_path(name)}: {cause.strerror}")
        self.reader_gone = cause.errno == errno.EPIPE


class Output:
    """Takes lines, each written through at once and whole, or not at all.

    Args:
        name: What messages call it.
        put: Writes some of what it is given and returns how many bytes.
        descriptor: The file that ``put`` writes to; None if there is none to mend.
        wait: Returns when there is room again.
    """

    def __init__(
        self,
        name: str,
        put: Callable[[bytes], int],
        descriptor: int | None = None,
        wait: Callable[[], object] = lambda: None,
    ) -> None:
        self._name = name
        self._put = put
        self._descriptor = descriptor
        self._wait = wait
        self._torn: OutputError | None = None

    @property
    def on_terminal(self) -> bool:
        """Whether the lines are seen as they come."""
        return self._descriptor is not None and os.isatty(self._descriptor)

    def leads_to(self, path: str) -> bool:
        """Return whether the lines go to the file or device at a path."""
        return self._descriptor is not None and os.path.samestat(os.fstat(self._descriptor), Path(path).stat())

    def shares_place(self, other: Output) -> bool:
        """Return whether the lines of both outputs go to the same place."""
        if self._descriptor is None or other._descriptor is None:
            return self._descriptor is other._descriptor
        return os.path.samestat(os.fstat(self._descriptor), os.fstat(other._descriptor))

    def write(self, line: bytes) -> None:
        """Write a line.

        Raises:
            OutputError: It could not be written, and nothing of it is left, or all later lines fail as well.
        """
        if self._torn is not None:
            raise self._torn
        done = 0
        try:
            while done < len(line):
                done += self._put_some(line[done:])
        except OSError as error:
            failure = OutputError(self._name, error)
            if not self._taken_back(done):
                self._torn = failure
            raise failure from None

    def _put_some(self, part: bytes) -> int:
        try:
            return self._put(part)
        except BlockingIOError:  # whoever shares the pipe or the terminal has made it so
            self._wait()
            return 0

    def _taken_back(self, count: int) -> bool:
        """Cut the last bytes off the output again; False if it is no file, or somebody else has written since."""
        if count == 0:
            return True
        if self._descriptor is None:
            return False
        try:
            end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
            if os.fstat(self._descriptor).st_size != end:
                return False
            os.ftruncate(self._descriptor, end - count)
            os.lseek(self._descriptor, end - count, os.SEEK_SET)
        except OSError:
            return False
        return True


@contextmanager
def opened_output(name: str | None) -> Generator[Output]:
    """Open an output for as long as the context is open.

    Lines are in a new file as soon as they are written: what was paid for is there, however the process ends.

    Args:
        name: A file that is not there yet, or a device, a FIFO or an open descriptor; "-" or None for standard output.

    Raises:
        ConfigurationError: The file is there already, or cannot be made; standard output is closed.
        OutputError: The file cannot be closed, so lines may be missing in it.
    """
    if name in {None, STANDARD}:
        yield standard_output()
        return
    target = find_target(str(name))
    if target.occupied:
        raise ConfigurationError(
            f"{shown_path(str(name))} is there already; it may hold answers that were paid for; choose another file"
        )
    with opened_directly(target) if target.direct else _new_file(target) as output:
        yield output


@contextmanager
def opened_directly(target: Target) -> Generator[Output]:
    """Open what takes lines as they come; for a FIFO this waits until somebody reads from it.

    It blocks, so that an interrupt gets through: open it before the event loop runs.

    Args:
        target: A device, a FIFO or an open descriptor.

    Raises:
        ConfigurationError: It cannot be opened.
        OutputError: It cannot be closed, so lines may be missing in it.
    """
    try:
        descriptor = os.open(target.place, _THERE) if target.descriptor is None else os.dup(target.descriptor)
    except OSError as error:
        raise ConfigurationError(f"{target.name}: {error.strerror}") from None
    with _closing(target.name, descriptor) as output:
        yield output


@contextmanager
def _new_file(target: Target) -> Generator[Output]:
    try:
        descriptor = open_new_private(target.place)
    except OSError as error:
        raise ConfigurationError(f"{target.name}: {error.strerror}") from None
    with _closing(target.name, descriptor) as output:
        try:
            yield output
        finally:
            _remove_if_empty(target.place, descriptor)


def _remove_if_empty(place: Path, descriptor: int) -> None:
    """Remove a new file without a line: the next command with this name would be refused because of it."""
    with suppress(OSError):
        made = os.fstat(descriptor)
        if made.st_size == 0 and os.path.samestat(made, place.stat()):
            place.unlink()


@contextmanager
def _closing(name: str, descriptor: int) -> Generator[Output]:
    try:
        yield Output(name, partial(os.write, descriptor), descriptor, partial(_wait_for_room, descriptor))
    finally:
        _close(name, descriptor)


def _close(path: str, descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError as error:  # some network's disks tell only now that they are full
        raise OutputError(path, error) from None


def _wait_for_room(descriptor: int) -> None:
    select.select((), (descriptor,), ())


def standard_output() -> Output:
    """Return standard output.

    Raises:
        ConfigurationError: It is closed.
    """
    # Python leaves None where the shell's >&- has closed it, which type checkers do not know.
    if (stdout := vars(sys)["stdout"]) is None:
        raise ConfigurationError("standard output is closed, and the answers need a place; do not close it")
    name = "standard output"
    try:
        descriptor = int(stdout.fileno())
    except OSError:  # a stream in memory, in the place of standard output
        return Output(name, partial(_put_through, stdout.buffer))
    stdout.flush()
    return Output(name, partial(os.write, descriptor), descriptor, partial(_wait_for_room, descriptor))


def _put_through(stream: BinaryIO, part: bytes) -> int:
    count = stream.write(part)
    stream.flush()
    return count
