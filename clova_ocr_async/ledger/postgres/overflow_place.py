"""The files in which a host keeps paid answers while the server of their run is away.

They lie in a fixed private folder of the user, since the next process may be started in another one. The name of a file
has a hash of the server, the database and the run, so that the files of a run are found while its server is away. It
has the random name of the run as well: in a database that was made anew, the numbers in an old file are those of other
images.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.state_folder import user_state_folder
from clova_ocr_async.ledger.overflow_file import has_records, try_lock
from clova_ocr_async.ledger.postgres.location import run_location
from clova_ocr_async.ledger.private_file import file_error
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.server_url import ServerURL

__all__ = [
    "files_of_run",
    "is_in_use",
    "overflow_files_of",
    "overflow_folder",
    "overflow_name",
    "owner_of",
    "prepare_folder",
]

_FOLDER_MODE = 0o700
_ENDING = ".overflow"
_HOST_CHARACTERS = 32


def overflow_folder(
    state_folder: str | os.PathLike[str] | None = None, find: Callable[[], Path] = user_state_folder
) -> Path:
    """Return the folder of a user's overflow files.

    Args:
        state_folder: The folder for the state of the user's programs; the platform's if not given.
        find: Returns the platform's, or raises RuntimeError.

    Raises:
        LedgerError: The user has no home folder.
    """
    try:
        folder = find() if state_folder is None else Path(state_folder)
    except RuntimeError:
        raise LedgerError(
            "this user has no home folder in which paid answers could be kept while the server is away; "
            "set XDG_STATE_HOME to a folder"
        ) from None
    return folder / "clova_ocr_async" / "overflow"


def prepare_folder(folder: Path) -> None:
    """Create the folder of overflow files, readable by its owner only, or close it to others.

    Raises:
        LedgerError: It cannot be created, belongs to another user, or is something else than a folder.
    """
    shown = shown_path(str(folder))
    try:
        folder.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise LedgerError(f"{shown} is a link, or belongs to another user; paid answers are not kept there")
        if stat.S_IMODE(found.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
            folder.chmod(_FOLDER_MODE)
    except OSError as error:
        raise file_error(f"{shown}, where paid answers are kept while the server is away", error) from None


def overflow_name(server: ServerURL, token: str, owner: int, host: str | None = None) -> str:
    """Return the name of an owner's file.

    Args:
        server: The server, with the name of the run.
        token: The random name of the run.
        owner: The owner's number.
        host: The name of this host, for people; the system's if not given.
    """
    host = re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname() if host is None else host)[:_HOST_CHARACTERS]
    return f"{_hash_of(server)}-{token}-{host}-{owner}{_ENDING}"


def _hash_of(server: ServerURL) -> str:
    parts = urlsplit(server.url)
    place = f"{(parts.hostname or '').lower()}|{parts.port or 5432}|{parts.path}|{server.run}"
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def files_of_run(folder: Path, token: str) -> list[Path]:
    """Return the files of a run, whatever URL its server had when they were written."""
    return sorted(folder.glob(f"*-{token}-*{_ENDING}"))


def is_in_use(path: Path) -> bool:
    """Return whether a process of this host may still write to a file; False if it is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def owner_of(path: Path) -> int:
    """Return the number of the owner that wrote a file."""
    number = path.name.removesuffix(_ENDING).rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def overflow_files_of(
    dsn: str | ServerURL, run: str | None = None, *, state_folder: str | os.PathLike[str] | None = None
) -> list[Path]:
    """Return the files on this host that hold answers of a run; the next process that opens the run here stores them.

    The server is not asked. A file that was written under another spelling of the URL is not found.

    Args:
        dsn: The URL of the database.
        run: The name of the run, unless the URL has it.
        state_folder: The folder for the state of the user's programs; the platform's if not given.

    Raises:
        ConfigurationError: The URL cannot be one.
        LedgerError: The user has no home folder.
    """
    files = overflow_folder(state_folder).glob(f"{_hash_of(run_location(dsn, run))}-*{_ENDING}")
    return sorted(path for path in files if has_records(path))
