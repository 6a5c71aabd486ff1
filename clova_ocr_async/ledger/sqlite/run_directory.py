"""The run directory: created, or checked, so that only its owner can read the ledger."""

from __future__ import annotations

import logging
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.private_file import checked_path, create_private, file_error, find_regular_file
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "LEDGER",
    "check_hard_links",
    "check_right_to_write",
    "create_private",
    "find_run_directory",
    "prepare_run_directory",
    "read_mounts",
]

logger = logging.getLogger("clova_ocr_async")

LEDGER = "ledger.sqlite3"
"""Name of the ledger in a run directory."""

_FILES = (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm")  # the ledger, its log and the log's index, as SQLite names them
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


def prepare_run_directory(path: str | os.PathLike[str], *, mounts: str | None = None, user: int | None = None) -> Path:
    """Create a run directory that only its owner can read, or accept one that is empty or has a ledger.

    Args:
        path: The directory; folders above it are created as well.
        mounts: The mounted file systems, as Linux lists them in /proc/self/mountinfo; this machine's if not given.
        user: Id of the user that must own the directory; this process's user if not given.

    Returns:
        The path as it was given.

    Raises:
        LedgerError: It cannot hold a ledger: it is a file, holds other things, belongs to another user, is on a network
            file system, or cannot be created. Or its ledger belongs to another user, is not a regular file, or has a
            second name.
    """
    folder, shown = checked_path(path)
    owner = _own_user() if user is None else user
    try:
        _check_local(shown, os.path.realpath(folder), read_mounts() if mounts is None else mounts)
        with suppress(FileExistsError):
            folder.mkdir(_FOLDER_MODE, parents=True)
        _check_folder(shown, folder, owner)
        _close_to_others(shown, folder)
        # Only now: while the folder was open to other users, they could have put a ledger there.
        if (ledger := find_regular_file(folder / LEDGER)) is not None:
            _check_owner(f"the ledger in {shown}", ledger, owner)
            check_hard_links(folder)
    except OSError as error:
        raise file_error(shown, error) from None
    return folder


def find_run_directory(path: str | os.PathLike[str]) -> Path:
    """Return an existing run directory.

    Args:
        path: The directory.

    Returns:
        The path as it was given.

    Raises:
        LedgerError: There is no ledger in it, or it is empty or not a regular file.
    """
    folder, shown = checked_path(path)
    try:
        if (ledger := find_regular_file(folder / LEDGER)) is not None:
            if ledger.st_size == 0:  # SQLite would write to it as it opens it
                raise LedgerError(f"{shown} holds an empty {LEDGER}: a batch was ended as it began; run it again")
            return folder
        what = f"holds no {LEDGER}" if folder.is_dir() else "is not there"
    except NotADirectoryError:
        what = "is a file"
    except OSError as error:
        raise LedgerError(f"{shown}: {error.strerror}") from None
    raise LedgerError(f"{shown} {what}; give a run directory, as a batch with a ledger leaves it")


def check_hard_links(folder: Path) -> None:
    """Refuse a ledger with a second name: SQLite finds the log by the ledger's name, not by the file.

    A process that opens the file by its other name applies another log to it, which can undo later writes.

    Args:
        folder: The run directory.

    Raises:
        LedgerError: One of the ledger's files has more than one name, or is not a regular file.
    """
    for name in _FILES:
        if (found := find_regular_file(folder / name)) is not None and found.st_nlink > 1:
            shown = shown_path(os.fspath(folder))
            raise LedgerError(
                f"{name} in {shown} has {found.st_nlink} names (hard links, as cp -al makes them), and a ledger must "
                f"have one; remove the other copy, or make a real one (cp -r {shown} COPY) and go on with that"
            )


def check_right_to_write(folder: Path) -> None:
    """Refuse a run directory that the user may not write to.

    SQLite opens a read-only file all the same, and its later errors are those of a full disk, which passes by itself.

    Args:
        folder: The run directory; it has a ledger.

    Raises:
        LedgerError: The directory or the ledger may only be read.
    """
    # By the rights with which files are opened, where the system can tell.
    effective = os.access in os.supports_effective_ids
    for place in (folder, folder / LEDGER):
        if not os.access(place, os.W_OK, effective_ids=effective):
            raise LedgerError(
                f"{shown_path(os.fspath(place))} may only be read; let your user write to the run directory and its "
                "files, on a disk that is mounted for writing, then run again"
            )


def read_mounts(source: str = "/proc/self/mountinfo") -> str:
    """Return the list of mounted file systems; empty where the system has none, as outside of Linux."""
    try:
        return os.fsdecode(Path(source).read_bytes())
    except OSError:
        return ""


def _own_user() -> int | None:
    # Only POSIX has numbers for users.
    return os.geteuid() if hasattr(os, "geteuid") else None


def _check_local(shown: str, place: str, mounts: str) -> None:
    # SQLite's write-ahead log needs memory that all processes share, and reliable locks.
    if (kind := _file_system(place, mounts)) in _NOT_LOCAL:
        raise LedgerError(
            f"{shown} is on a file system of another machine ({kind}), where SQLite can lose data; "
            "choose a directory on a local disk"
        )


def _file_system(place: str, mounts: str) -> str | None:
    """Return the type of the file system that a path is on; None if the list does not show it."""
    deepest, kind = "", None
    for point, mounted in _mount_points(mounts):
        # Of two mounts at one point the later one hides the earlier one.
        if len(point) >= len(deepest) and f"{place}/".startswith(f"{point.rstrip('/')}/"):
            deepest, kind = point, mounted
    return kind


def _mount_points(mounts: str) -> Iterator[tuple[str, str]]:
    """Yield the mount points, each with the type of its file system.

    Source: proc_pid_mountinfo(5): the fifth field is the mount point, and the type follows " - ".
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
    # Checked after the listing: another process may be creating the ledger, and creates it before anything else.
    if not empty and not os.path.lexists(folder / LEDGER):
        raise LedgerError(
            f"{shown} holds other things and no {LEDGER}; a run directory is a folder of its own, so choose a new one"
        )


def _check_owner(subject: str, found: os.stat_result, owner: int | None) -> None:
    if owner is not None and found.st_uid != owner:
        raise LedgerError(f"{subject} belongs to another user (id {found.st_uid}); choose a directory of your own")


def _close_to_others(shown: str, folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    # Only on POSIX does the mode decide who may read.
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        folder.chmod(_FOLDER_MODE)
        logger.warning("%s was open to other users (mode %04o); it is now closed to them", shown, mode)
