"""Which file a run's ledger is, so that a copy is not taken for it: both would pay for the same images."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Whereabouts", "is_the_same", "this_machine", "whereabouts_of"]

# Source: machine-id(5): the same over boots, confidential, and to be hashed with something of one's own.
_MACHINE_ID = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_OWN = b"clova-ocr-async run directory"


class Whereabouts(msgspec.Struct, frozen=True):
    """Where a ledger is.

    Attributes:
        machine: Which machine, as a hash; empty where that is not known, as in many containers.
        device: Number of the file system; another one after a reboot, perhaps.
        inode: The file's number on it.
        path: The file's path, without links, as it is told.
    """

    machine: str
    device: int
    inode: int
    path: str


def is_the_same(kept: Whereabouts, found: Whereabouts) -> bool:
    """Whether a ledger is the file that it was, as far as can be told.

    One that was renamed keeps its numbers; one whose file system has another number since the reboot keeps its path; a
    copy has another inode.
    """
    if kept.machine and found.machine and kept.machine != found.machine:
        return False
    return kept.inode == found.inode and (kept.device == found.device or kept.path == found.path)


def whereabouts_of(ledger: Path, machine: str | None = None) -> Whereabouts:
    """Return where a ledger is.

    Args:
        ledger: The file.
        machine: The machine; this one if not given.
    """
    found = ledger.stat()
    path = shown_path(os.path.realpath(ledger))
    return Whereabouts(this_machine() if machine is None else machine, found.st_dev, found.st_ino, path)


def this_machine(places: Sequence[str] = _MACHINE_ID) -> str:
    """Return a name for this machine that does not show its id; empty if it has none."""
    for place in places:
        try:
            if machine := Path(place).read_bytes().strip():
                return hashlib.blake2b(_OWN, key=machine[:64], digest_size=16).hexdigest()
        except OSError:
            continue
    return ""
