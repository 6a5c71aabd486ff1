"""The run directory: made, or found fit to hold a ledger that nobody else may read."""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.host import files
from clova_ocr_async.protocol.echo import shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LEDGER", "check_links", "create_private", "existing_folder", "prepare_folder", "read_mounts"]

logger = logging.getLogger("clova_ocr_async")

LEDGER = "ledger.sqlite3"
"""Name of the ledger in a run directory."""

_FILES = (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm")  # the ledger, its log and the log's index, as SQLite names them
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_OCTAL = re.compile(r"\\([0-7]{3})")
_FOLDER_MODE = 0o700

_NETWORKS = (
    "9p acfs afs beegfs ceph cifs coda davfs gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs panfs pvfs2 smb3 "
    "smbfs wekafs "
    "fuse.beegfs fuse.blobfuse fuse.blobfuse2 fuse.ceph fuse.ceph-fuse fuse.curlftpfs fuse.davfs fuse.gcsfuse "
    "fuse.glusterfs fuse.google-drive-ocamlfuse fuse.goofys fuse.juicefs fuse.lizardfs fuse.mfs fuse.moosefs "
    "fuse.rclone fuse.s3fs fuse.seaweedfs fuse.smbnetfs fuse.sshfs "
    # Those of the machine around a virtual one or a container.
    "fakeowner fuse.grpcfuse fuse.osxfs fuse.vmhgfs-fuse prl_fs vboxsf virtiofs vmhgfs"
)
_NOT_LOCAL = frozenset(_NETWORKS.split())
"""File systems of other machines, by the names that Linux gives them."""


def prepare_folder(path: str | os.PathLike[str], *, mounts: str | None = None, user: int | None = None) -> Path:
    """Make a run directory that only its owner can read, or accept one that is empty or has a ledger.

    Args:
        path: The directory; folders above it are made as well.
        mounts: What is mounted where, as Linux writes it in /proc/self/mountinfo; this machine's if not given.
        user: Whose the directory must be; this process's user if not given.

    Returns:
        The path as it was given.

    Raises:
        LedgerError: It is no place for a ledger: it is a file, holds other things, is another user's, is on a network's
            file system, or cannot be made. Or its ledger is another user's, is no regular file, or has a second name.
    """
    folder, shown = _checked(path)
    owner = _own_user() if user is None else user
    try:
        _check_local(shown, os.path.realpath(folder), read_mounts() if mounts is None else mounts)
        with suppress(FileExistsError):
            folder.mkdir(_FOLDER_MODE, parents=True)
        _check_folder(shown, folder, owner)
        _tighten(shown, folder)
        # Only now: while the folder was open to others, they could have put a ledger there.
        if (ledger := _found(folder / LEDGER)) is not None:
            _check_owner(f"the ledger in {shown}", ledger, owner)
            check_links(folder)
    except OSError as error:
        raise _unusable(shown, error) from None
    return folder


def existing_folder(path: str | os.PathLike[str]) -> Path:
    """Return a run directory that has a ledger, for whoever only reads it.

    Args:
        path: The directory.

    Returns:
        The path as it was given.

    Raises:
        LedgerError: There is no ledger in it, or it is no regular file.
    """
    folder, shown = _checked(path)
    try:
        if _found(folder / LEDGER) is not None:
            return folder
        what = f"holds no {LEDGER}" if folder.is_dir() else "is not there"
    except NotADirectoryError:
        what = "is a file"
    except OSError as error:
        raise LedgerError(f"{shown}: {error.strerror}") from None
    raise LedgerError(f"{shown} {what}; give a run directory, as a batch with a ledger leaves it")


def check_links(folder: Path) -> None:
    """Refuse a ledger that another folder has as well: SQLite finds the log by the ledger's name, not by the file.

    Whoever opens the file by its other name applies another log to it, which can undo what has been written since.

    Args:
        folder: The run directory.

    Raises:
        LedgerError: One of the ledger's files has more than one name, or is not a regular file.
    """
    for name in _FILES:
        if (found := _found(folder / name)) is not None and found.st_nlink > 1:
            shown = shown_path(os.fspath(folder))
            raise LedgerError(
                f"{name} in {shown} has {found.st_nlink} names (hard links, as cp -al makes them), and a ledger must "
                f"have one; remove the other copy, or make a real one (cp -r {shown} COPY) and go on with that"
            )


def create_private(path: str | os.PathLike[str]) -> None:
    """Make an empty file that only its owner can read, if it is not there.

    Raises:
        LedgerError: What is there is no regular file, or the file cannot be made.
    """
    file, shown = _checked(path)
    try:
        if not files.create_private(file):
            _found(file)
    except OSError as error:
        raise _unusable(shown, error) from None


def _unusable(shown: str, error: OSError) -> LedgerError:
    if error.errno in _FULL:
        return DiskFullError(f"{shown}: {error.strerror}; make room on its disk, then run again")
    return LedgerError(f"{shown}: {error.strerror}")


def read_mounts(source: str = "/proc/self/mountinfo") -> str:
    """Return what is mounted where; nothing where that is not told, as outside of Linux."""
    try:
        return os.fsdecode(Path(source).read_bytes())
    except OSError:
        return ""


def _checked(path: str | os.PathLike[str]) -> tuple[Path, str]:
    """Return a path that can be one, and how it is told."""
    name = os.fsdecode(path)
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        encoded = b"\0"
    if not name or b"\0" in encoded:
        what = "holds a NUL or another character that no path can hold" if name else "is empty"
        raise LedgerError(f"the path of the run directory {what}")
    return Path(name), shown_path(name)


def _own_user() -> int | None:
    # Only POSIX has numbers for users.
    return os.geteuid() if hasattr(os, "geteuid") else None


def _check_local(shown: str, place: str, mounts: str) -> None:
    # SQLite's write-ahead log needs memory shared by all processes, and locks that hold.
    if (kind := _file_system(place, mounts)) in _NOT_LOCAL:
        raise LedgerError(
            f"{shown} is on a file system of another machine ({kind}), where SQLite can lose what is written; "
            "choose a directory on a local disk"
        )


def _file_system(place: str, mounts: str) -> str | None:
    """Return the kind of the file system that a path is on; None if the mounts do not tell."""
    deepest, kind = "", None
    for point, mounted in _mount_points(mounts):
        # Of two mounts at one point the later one hides the other.
        if len(point) >= len(deepest) and f"{place}/".startswith(f"{point.rstrip('/')}/"):
            deepest, kind = point, mounted
    return kind


def _mount_points(mounts: str) -> Iterator[tuple[str, str]]:
    """Yield where something is mounted, and what kind of file system.

    Source: proc_pid_mountinfo(5): the fifth field is the mount point, and the kind follows " - ".
    """
    for line in mounts.split("\n"):
        mount, _, source = line.partition(" - ")
        if source:
            yield _OCTAL.sub(lambda found: chr(int(found[1], 8)), mount.split(" ")[4]), source.split(" ")[0]


def _check_folder(shown: str, folder: Path, owner: int | None) -> None:
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise LedgerError(f"{shown} is a file; a run directory is a folder of its own, so choose another name")
    _check_owner(shown, found, owner)
    with os.scandir(folder) as entries:
        empty = next(entries, None) is None
    # Asked for after the look around: another process may be making it, and makes it before anything else.
    if not empty and not os.path.lexists(folder / LEDGER):
        raise LedgerError(
            f"{shown} holds other things and no {LEDGER}; a run directory is a folder of its own, so choose a new one"
        )


def _check_owner(subject: str, found: os.stat_result, owner: int | None) -> None:
    if owner is not None and found.st_uid != owner:
        raise LedgerError(f"{subject} belongs to another user (id {found.st_uid}); choose a directory of your own")


def _tighten(shown: str, folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    # Elsewhere a mode says nothing of who may read.
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        folder.chmod(_FOLDER_MODE)
        logger.warning("%s was open to other users (mode %04o); it is now closed to them", shown, mode)


def _found(file: Path) -> os.stat_result | None:
    """Return what is known of a regular file; None if it is not there."""
    try:
        found = file.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "no file"
        raise LedgerError(f"{shown_path(str(file))} is {what}, where a regular file belongs; choose another directory")
    return found
