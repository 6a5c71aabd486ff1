"""Files of a ledger that only their owner can read, and the errors of the file system with a way out."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.host import files
from clova_ocr_async.protocol.echoed_input import shown_path

__all__ = ["checked_path", "create_private", "file_error", "find_regular_file"]

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


def file_error(shown: str, error: OSError) -> LedgerError:
    """Return the ledger's error for an error of the file system.

    Args:
        shown: The path, as it is shown.
        error: Raised by the system.
    """
    if error.errno in _NO_SPACE:
        return DiskFullError(f"{shown}: {error.strerror}; make room on its disk, then run again")
    return LedgerError(f"{shown}: {error.strerror}")


def create_private(path: str | os.PathLike[str]) -> None:
    """Create an empty file that only its owner can read, unless it exists.

    Raises:
        LedgerError: It exists and is not a regular file, or it cannot be created.
    """
    file, shown = checked_path(path)
    try:
        if not files.create_private(file):
            find_regular_file(file)
    except OSError as error:
        raise file_error(shown, error) from None


def checked_path(path: str | os.PathLike[str]) -> tuple[Path, str]:
    """Return a path that the system can take, and the path as it is shown.

    Raises:
        LedgerError: The system cannot take it.
    """
    name = os.fsdecode(path)
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        encoded = b"\0"
    if not name or b"\0" in encoded:
        what = "holds a NUL or another character that no path can hold" if name else "is empty"
        raise LedgerError(f"the path of the run directory {what}")
    return Path(name), shown_path(name)


def find_regular_file(file: Path) -> os.stat_result | None:
    """Return the status of a regular file; None if it does not exist.

    Raises:
        LedgerError: It is not a regular file.
    """
    try:
        found = file.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a file"
        raise LedgerError(f"{shown_path(str(file))} is {what}, and must be a regular file; choose another directory")
    return found
