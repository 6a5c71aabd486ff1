"""Files that are private from their first moment, that block no open, or that replace another file atomically."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "check_replaceable",
    "create_private",
    "open_new_private",
    "open_to_read",
    "replace_file",
    "temporaries_beside",
    "temporary_beside",
]

# Flags that a system does not have count as 0.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
# A pipe or a device must not block the open; both flags are POSIX's or Windows' own.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_PREFIX = 20  # characters of a name; of four bytes each they leave room where names are shortest (143 bytes)


def open_new_private(path: str | os.PathLike[str]) -> int:
    """Create a file that only its owner can read, and return its descriptor to write to.

    Raises:
        FileExistsError: The name is taken.
        OSError: The file cannot be created.
    """
    return os.open(path, _NEW_FILE, 0o600)


def create_private(path: str | os.PathLike[str]) -> bool:
    """Create an empty file that only its owner can read, before a library creates it with other rights.

    A file that is there is not opened: to close it would release the locks that this process has on it.

    Returns:
        Whether the file is new; False if the name is taken, by whatever.

    Raises:
        OSError: The file cannot be created.
    """
    try:
        os.close(open_new_private(path))
    except FileExistsError:
        return False
    return True


def open_to_read(path: str | os.PathLike[str]) -> int:
    """Open a file, a pipe or a device for reading, without waiting for a writer, and return the descriptor.

    Raises:
        OSError: It cannot be opened.
        ValueError: The path cannot be one.
    """
    return os.open(path, _READ)


def temporary_beside(final: Path) -> Path:
    """Return a name in the folder of a file that no other process has, on this machine or another."""
    return final.with_name(f"{final.name[:_PREFIX]}.{os.getpid()}.{secrets.token_hex(8)}.part")


def temporaries_beside(final: Path) -> list[Path]:
    """Return the names in the folder of a file that ``temporary_beside`` gave for it, or for one of a similar name."""
    form = re.compile(rf"{re.escape(final.name[:_PREFIX])}\.[0-9]+\.[0-9a-f]{{16}}\.\w+")
    with suppress(OSError):
        return [path for path in sorted(final.parent.iterdir()) if form.fullmatch(path.name)]
    return []


def check_replaceable(final: Path) -> None:
    """Refuse a name that something other than a file has, which a rename would replace.

    Raises:
        OSError: The name is that of a folder, a pipe, a socket or a device.
    """
    with suppress(FileNotFoundError):
        mode = final.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise OSError(errno.EINVAL, "it is not a file")


def replace_file(temporary: Path, final: Path, watch: Callable[[str], object] | None = None) -> None:
    """Rename a file to its final name, and replace the file that has the name.

    Args:
        temporary: The file, complete and on the disk.
        final: Its name, in the same folder.
        watch: Called with "before rename" and "after rename"; for tests that end the process there.
    """
    if watch is not None:
        watch("before rename")
    temporary.replace(final)
    with suppress(OSError):  # some systems cannot sync a folder
        folder = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # else the new name can be lost with the power
        finally:
            os.close(folder)
    if watch is not None:
        watch("after rename")
