"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clova_ocr_async.cli.terminal.held_files import open_held
from clova_ocr_async.cli.terminal.output import Output, OutputError, opened_directly, standard_output
from clova_ocr_async.cli.terminal.targets import STANDARD, find_target
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.files import check_replaceable, replace_file, temporary_beside
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

__all__ = ["replaced", "whole_output"]


@contextmanager
def whole_output(name: str | None, *, force: bool) -> Generator[Callable[[bytes], object]]:
    """Write a command's whole result: a file gets its name when it is whole, everything else takes it as it comes.

    Args:
        name: A file, a device, a FIFO or an open descriptor; "-" or None for standard output.
        force: Whether a file may be replaced that is there already.

    Raises:
        ConfigurationError: The name cannot be written to, or is taken, and ``force`` is not given.
        OutputError: The result cannot be written; a file that had the name is as it was.
    """
    if name in {None, STANDARD}:
        yield standard_output().write
        return
    target = find_target(str(name))
    if target.occupied and not force:
        raise ConfigurationError(
            f"{shown_path(str(name))} is there already; choose another file, or replace it with --force"
        )
    if target.direct:
        with opened_directly(target) as output:
            yield output.write
    else:
        with replaced(target.place) as write:
            yield write


@contextmanager
def replaced(final: Path, watch: Callable[[str], object] | None = None) -> Generator[Callable[[bytes], object]]:
    """Write a file that only its owner can read; it gets its name when it is whole and on the disk.

    Args:
        final: Its name.
        watch: As ``replace_file`` takes it.

    Raises:
        OutputError: It cannot be written; what had the name is as it was.
    """
    temporary = temporary_beside(final)
    try:
        check_replaceable(final)
        descriptor = open_held(temporary)
    except OSError as error:
        raise OutputError(os.fspath(final), error) from None
    try:
        try:
            yield Output(os.fspath(final), lambda part: os.write(descriptor, part), descriptor).write
            os.fsync(descriptor)
            replace_file(temporary, final, watch)  # while it is held: nobody takes it for abandoned
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OutputError(os.fspath(final), error) from None
    finally:
        # Also when a signal arrives between the making of the file and the next line: the name is nobody else's.
        temporary.unlink(missing_ok=True)
