"""The identity of a ledger's file, to refuse a copy of it: both would pay for the same images."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FileIdentity", "hashed_machine_id", "identify_file", "is_same_file"]

# Source: machine-id(5): constant over boots, confidential, and to be hashed with a key of the application.
_MACHINE_ID = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_HASHED = b"clova-ocr-async run directory"


class FileIdentity(msgspec.Struct, frozen=True):
    """The place of a ledger, as the run stores it.

    Attributes:
        machine: The machine's id as a hash; empty where it has none, as in many containers.
        device: Number of the file system; it may change with a reboot.
        inode: The file's number on it.
        path: The file's path, without links, as it is shown.
    """

    machine: str
    device: int
    inode: int
    path: str


def is_same_file(recorded: FileIdentity, found: FileIdentity) -> bool:
    """Return whether a ledger is the file that it was before, as far as the system shows.

    A file that was renamed keeps its numbers. After a reboot the file system may have another number, and the path is
    the same. A copy has another inode.
    """
    if recorded.machine and found.machine and recorded.machine != found.machine:
        return False
    return recorded.inode == found.inode and (recorded.device == found.device or recorded.path == found.path)


def identify_file(ledger: Path, machine: str | None = None) -> FileIdentity:
    """Return the identity of a ledger.

    Args:
        ledger: The file.
        machine: The machine's hashed id; this one's if not given.
    """
    found = ledger.stat()
    path = shown_path(os.path.realpath(ledger))
    return FileIdentity(hashed_machine_id() if machine is None else machine, found.st_dev, found.st_ino, path)


def hashed_machine_id(places: Sequence[str] = _MACHINE_ID) -> str:
    """Return a hash of this machine's id, which does not reveal the id; empty if it has none."""
    for place in places:
        try:
            if machine := Path(place).read_bytes().strip():
                return hashlib.blake2b(_HASHED, key=machine[:64], digest_size=16).hexdigest()
        except OSError:
            continue
    return ""
