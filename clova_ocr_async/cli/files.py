"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from clova_ocr_async.cli.output import Output, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

__all__ = ["replace_file", "replaced"]

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def replace_file(temporary: Path, final: Path, watch: Callable[[str], object] | None = None) -> None:
    """Give a file its final name, in the place of what has it now.

    Args:
        temporary: The file, on the disk.
        final: Its name, in the same folder.
        watch: Told "before rename" and "after rename"; for tests that end the process there.
    """
    if watch is not None:
        watch("before rename")
    temporary.replace(final)
    with suppress(OSError):  # some systems cannot sync a folder
        folder = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    if watch is not None:
        watch("after rename")


@contextmanager
def replaced(final: Path, watch: Callable[[str], object] | None = None) -> Generator[Callable[[bytes], object]]:
    """Write a file that only its owner can read; it gets its name when it is whole and on the disk.

    Args:
        final: Its name.
        watch: As ``replace_file`` takes it.

    Raises:
        OutputError: It cannot be written; what had the name is as it was.
    """
    temporary = final.with_name(f"{final.name}.{os.getpid()}.part")
    try:
        temporary.unlink(missing_ok=True)  # of a process that had this number before
        descriptor = os.open(temporary, _NEW_FILE, 0o600)
    except OSError as error:
        raise OutputError(os.fspath(final), error) from None
    try:
        try:
            yield Output(os.fspath(final), lambda part: os.write(descriptor, part), descriptor).write
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        replace_file(temporary, final, watch)
    except OSError as error:
        raise OutputError(os.fspath(final), error) from None
    finally:
        temporary.unlink(missing_ok=True)
