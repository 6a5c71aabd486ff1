"""Temporary files that the process which writes them keeps locked, so that others know which ones are abandoned.

A lock ends with its process, however that ends, and holds between containers that share a folder, where a process id
says nothing: each container counts its own.
"""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from clova_ocr_async.host.files import open_new_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import ModuleType

__all__ = ["open_held", "remove_abandoned"]

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def open_held(path: Path, load: Callable[[str], ModuleType] = importlib.import_module) -> int:
    """Make a file that only its owner can read, and hold it for as long as it is open.

    Args:
        path: The file; it must not be there.
        load: Imports a module.

    Returns:
        Its descriptor, to write to.

    Raises:
        OSError: It cannot be made.
    """
    while True:
        descriptor = open_new_private(path)
        _lock(descriptor, load)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # another process took it for abandoned between the two calls


def remove_abandoned(paths: Iterable[Path], load: Callable[[str], ModuleType] = importlib.import_module) -> list[Path]:
    """Remove files that no process holds.

    Args:
        paths: Files that ``open_held`` made.
        load: Imports a module.

    Returns:
        Those that are left, because a process writes them or they cannot be removed.
    """
    return [path for path in paths if not _removed(path, load)]


def _removed(path: Path, load: Callable[[str], ModuleType]) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | _NO_LINK)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        if _lock(descriptor, load):
            with suppress(OSError):
                path.unlink()
                return True
        return False
    finally:
        os.close(descriptor)


def _lock(descriptor: int, load: Callable[[str], ModuleType]) -> bool:
    """Lock a file for as long as it is open; return whether no other process has.

    Windows has no such locks, and does not let a file be removed that is open.
    """
    try:
        fcntl = load("fcntl")
    except ModuleNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
