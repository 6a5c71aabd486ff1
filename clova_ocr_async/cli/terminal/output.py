"""Outputs of the commands: standard output, a device or FIFO, or a private file.

There are two kinds of files. The lines of a batch were paid for, so they are in their file as soon as they are written
(``opened_output``). An export can be repeated, so its file appears when it is complete (``whole_output``).
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from clova_ocr_async.cli.terminal.locked_files import ROWS, create_locked, remove_abandoned_beside
from clova_ocr_async.cli.terminal.output_target import STANDARD, OutputTarget, inspect_target
from clova_ocr_async.cli.terminal.signals import held_signals
from clova_ocr_async.errors import ClovaOCRError, ConfigurationError
from clova_ocr_async.host.files import check_replaceable, open_new_private, replace_file, temporary_beside
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = [
    "Output",
    "OutputError",
    "WholeOutputs",
    "atomic_write",
    "opened_directly",
    "opened_output",
    "standard_output",
    "whole_output",
]

_EXISTING = os.O_WRONLY | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)


class OutputError(ClovaOCRError):
    """A line cannot be written.

    Attributes:
        reader_gone: Whether the reader of the lines has closed its end, as head does when it has enough.
    """

    def __init__(self, name: str, cause: OSError) -> None:
        super().__init__(f"cannot write to {shown_path(name)}: {cause.strerror}")
        self.reader_gone = cause.errno == errno.EPIPE


class Output:
    """Writes lines without a buffer, each line completely or not at all.

    Args:
        name: The output's name in messages.
        put: Writes a part of the bytes it is given, and returns their number.
        descriptor: The descriptor that ``put`` writes to; None if there is none.
        wait: Returns when ``put`` can write again.
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
        """True if the lines appear on a terminal."""
        return self._descriptor is not None and os.isatty(self._descriptor)

    def leads_to(self, path: str) -> bool:
        """Return whether the lines go to the file or device at a path."""
        return self._descriptor is not None and os.path.samestat(os.fstat(self._descriptor), Path(path).stat())

    def shares_place(self, other: Output) -> bool:
        """Return whether the lines of both outputs go to the same file or device."""
        if self._descriptor is None or other._descriptor is None:
            return self._descriptor is other._descriptor
        return os.path.samestat(os.fstat(self._descriptor), os.fstat(other._descriptor))

    def write(self, line: bytes) -> None:
        """Write a line.

        Raises:
            OutputError: The line could not be written. No part of it is left, or all later lines fail as well.
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
        except BlockingIOError:  # another process that shares the pipe or terminal has made it non-blocking
            self._wait()
            return 0

    def _taken_back(self, count: int) -> bool:
        """Cut the last bytes off the output; return False if it is not a file, or if another process has written."""
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
    except OSError:  # a stream in memory has replaced it
        return Output(name, partial(_put_through, stdout.buffer))
    stdout.flush()
    return Output(name, partial(os.write, descriptor), descriptor, partial(_wait_for_room, descriptor))


def _put_through(stream: BinaryIO, part: bytes) -> int:
    count = stream.write(part)
    stream.flush()
    return count


def _wait_for_room(descriptor: int) -> None:
    select.select((), (descriptor,), ())


# ---------------------------------------------------------------------------------------------------------------------
# Lines that are there as soon as they are written


@contextmanager
def opened_output(name: str | None) -> Generator[Output]:
    """Open an output for the lines of a batch.

    A line is in a new file as soon as it is written: an answer that was paid for is there, however the process ends.

    Args:
        name: A file that does not exist yet, a device, a FIFO or an open descriptor; "-" or None for standard output.

    Raises:
        ConfigurationError: The file exists already or cannot be created; standard output is closed.
        OutputError: The file cannot be closed, so lines may be missing in it.
    """
    if name in {None, STANDARD}:
        yield standard_output()
        return
    target = inspect_target(str(name))
    if target.occupied:
        raise ConfigurationError(
            f"{shown_path(str(name))} is there already; it may hold answers that were paid for; choose another file"
        )
    with opened_directly(target) if target.direct else _new_file(target) as output:
        yield output


@contextmanager
def opened_directly(target: OutputTarget) -> Generator[Output]:
    """Open a device, a FIFO or an open descriptor; opening a FIFO waits for its reader.

    The call blocks and can be interrupted, so it must come before the event loop runs.
    """
    try:
        descriptor = os.open(target.path, _EXISTING) if target.descriptor is None else os.dup(target.descriptor)
    except OSError as error:
        raise ConfigurationError(f"{target.name}: {error.strerror}") from None
    with _closing(target.name, descriptor) as output:
        yield output


@contextmanager
def _new_file(target: OutputTarget) -> Generator[Output]:
    try:
        descriptor = open_new_private(target.path)
    except OSError as error:
        raise ConfigurationError(f"{target.name}: {error.strerror}") from None
    with _closing(target.name, descriptor) as output:
        try:
            yield output
        finally:
            _remove_if_empty(target.path, descriptor)


def _remove_if_empty(path: Path, descriptor: int) -> None:
    """Remove a new file without a line: because of it the next command with this name would be refused."""
    with suppress(OSError):
        created = os.fstat(descriptor)
        if created.st_size == 0 and os.path.samestat(created, path.stat()):
            path.unlink()


@contextmanager
def _closing(name: str, descriptor: int) -> Generator[Output]:
    try:
        yield Output(name, partial(os.write, descriptor), descriptor, partial(_wait_for_room, descriptor))
    finally:
        try:
            os.close(descriptor)
        except OSError as error:  # some network file systems report a full disk only here
            raise OutputError(name, error) from None


# ---------------------------------------------------------------------------------------------------------------------
# Files that appear when they are complete


class WholeOutputs:
    """Outputs of one result, which is complete or is not there; a context manager.

    All files of the result appear together when the context is left without an error. Other outputs take the result as
    it comes.

    Args:
        watch: As in ``replace_file``.
        link: Makes a hard link.
    """

    def __init__(
        self, watch: Callable[[str], object] | None = None, link: Callable[[Path, Path], object] = os.link
    ) -> None:
        self._watch = watch
        self._link = link
        self._stack = ExitStack()
        self._files: list[tuple[Path, Path, int]] = []  # the temporary name, the final one, and the descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with held_signals(), self._stack:  # a second Ctrl-C would leave a temporary file
            if kind is None:
                self._publish()

    def open(self, name: str | None, *, force: bool) -> Callable[[bytes], object]:
        """Open an output, and return the function that writes to it.

        Args:
            name: A file, a device, a FIFO or an open descriptor; "-" or None for standard output.
            force: Whether an existing file may be replaced.

        Raises:
            ConfigurationError: The name cannot be written to, or exists already and ``force`` is not given.
            OutputError: The file cannot be created.
        """
        if name in {None, STANDARD}:
            return standard_output().write
        target = inspect_target(str(name))
        if target.occupied and not force:
            raise ConfigurationError(
                f"{shown_path(str(name))} is there already; choose another file, or replace it with --force"
            )
        if target.direct:
            return self._stack.enter_context(opened_directly(target)).write
        return self.create(target.path)

    def create(self, final: Path) -> Callable[[bytes], object]:
        """Begin a file that only its owner can read, and return the function that writes to it.

        Raises:
            OutputError: It cannot be created.
        """
        remove_abandoned_beside(final)
        temporary = temporary_beside(final)
        # Before it is created, in case a signal arrives just then: no other process uses this name.
        self._stack.callback(temporary.unlink, missing_ok=True)
        with _named_errors(final):
            check_replaceable(final)
            descriptor = create_locked(temporary)
        self._stack.callback(os.close, descriptor)
        self._files.append((temporary, final, descriptor))
        return Output(os.fspath(final), partial(os.write, descriptor), descriptor).write

    def folder(self) -> Path:
        """Make a private folder for temporary data of the last output; it is removed with the context.

        Raises:
            OSError: It cannot be created.
        """
        if not self._files:
            return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="clova-ocr-")))
        folder = self._files[-1][0].with_suffix(ROWS)
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        return folder

    def _publish(self) -> None:
        """Give all files their names; if one of them fails, take back those that others have."""
        for _, final, descriptor in self._files:
            with _named_errors(final):
                os.fsync(descriptor)
        with ExitStack() as undo:
            for temporary, final, _ in self._files:
                way_back = self._way_back(final)
                with _named_errors(final):
                    replace_file(temporary, final, self._watch)  # still locked, so that it is not removed as abandoned
                undo.callback(way_back)
            undo.pop_all()

    def _way_back(self, final: Path) -> Callable[[], object]:
        """Return a function that gives a name back to the file that has it now, or to none."""
        kept = temporary_beside(final)
        try:
            self._link(final, kept)
        except FileNotFoundError:
            return partial(final.unlink, missing_ok=True)
        except OSError:  # no hard links here: the file that replaces it stays
            return lambda: None
        self._stack.callback(kept.unlink, missing_ok=True)
        return partial(kept.replace, final)


@contextmanager
def whole_output(name: str | None, *, force: bool) -> Generator[Callable[[bytes], object]]:
    """Open an output for a complete result: a file appears when it is complete, all other outputs take it as it comes.

    Args:
        name: As in ``WholeOutputs.open``.
        force: As in ``WholeOutputs.open``.

    Raises:
        ConfigurationError: As in ``WholeOutputs.open``.
        OutputError: The result cannot be written; an existing file is unchanged.
    """
    with WholeOutputs() as outputs:
        yield outputs.open(name, force=force)


@contextmanager
def atomic_write(final: Path, watch: Callable[[str], object] | None = None) -> Generator[Callable[[bytes], object]]:
    """Write a file that only its owner can read, and that appears when it is complete and on the disk.

    Args:
        final: The path of the file.
        watch: As in ``replace_file``.

    Raises:
        OutputError: The file cannot be written; an existing one is unchanged.
    """
    with _named_errors(final), WholeOutputs(watch) as outputs:
        yield outputs.create(final)


@contextmanager
def _named_errors(path: Path) -> Generator[None]:
    """Name the file in the errors of the system."""
    try:
        yield
    except OSError as error:
        raise OutputError(os.fspath(path), error) from None
