"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from clova_ocr_async.cli.held_files import open_held
from clova_ocr_async.cli.output import Output, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

__all__ = ["replace_file", "replaced"]

_NAMED_AFTER = 20  # characters; of four bytes each they leave room for the rest where names are shortest (143 bytes)


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
    temporary = _temporary(final)
    try:
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
        temporary.unlink(missing_ok=True)


def _temporary(final: Path) -> Path:
    """Return a name beside a file that no other process has, on this machine or another, however long the file's is."""
    return final.with_name(f"{final.name[:_NAMED_AFTER]}.{os.getpid()}.{secrets.token_hex(8)}.part")
