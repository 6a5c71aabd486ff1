"""Temporary files that their process keeps locked, so that other processes can recognize and remove abandoned ones.

A lock ends with its process, however the process ends. It also works between containers that share a folder, where a
process id is useless: each container counts its own.
"""

from __future__ import annotations

import importlib
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from clova_ocr_async.host.files import open_new_private, temporaries_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import ModuleType

__all__ = ["ROWS", "create_locked", "remove_abandoned", "remove_abandoned_beside"]

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def create_locked(path: Path, load: Callable[[str], ModuleType] = importlib.import_module) -> int:
    """Create a file that only its owner can read, and lock it for as long as it is open.

    Args:
        path: The file, which must not exist yet.
        load: Imports a module.

    Returns:
        The file's descriptor, open for writing.

    Raises:
        OSError: The file cannot be created.
    """
    while True:
        descriptor = open_new_private(path)
        _lock(descriptor, load)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # another process removed it as abandoned between the two calls


def remove_abandoned(paths: Iterable[Path], load: Callable[[str], ModuleType] = importlib.import_module) -> list[Path]:
    """Remove files that no process has locked.

    Args:
        paths: Files that ``create_locked`` made.
        load: Imports a module.

    Returns:
        The files that are left: a process is writing them, or they cannot be removed.
    """
    return [path for path in paths if not _removed(path, load)]


ROWS = ".rows"
"""The ending of a folder with temporary data of a locked file, whose name it has otherwise."""


def remove_abandoned_beside(final: Path) -> None:
    """Remove temporary files of killed processes that were to appear under this name, or a similar one."""
    found = temporaries_beside(final)
    remove_abandoned(path for path in found if path.suffix != ROWS)
    for folder in found:
        # A process makes the file before the folder, and removes it behind it.
        if folder.suffix == ROWS and not os.path.lexists(folder.with_suffix(".part")):
            shutil.rmtree(folder, ignore_errors=True)


def _removed(path: Path, load: Callable[[str], ModuleType]) -> bool:
    try:
        # Opened for writing too, which NFS demands of an exclusive lock.
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
    """Lock a file for as long as it is open; return whether no other process has locked it.

    Windows has no such locks, but does not let a process remove a file that another one has open.
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
