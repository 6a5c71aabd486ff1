"""Room set aside on the disk for what becomes of calls when it is full.

What is paid for must be kept, also when the ledger cannot grow any more, and what was not paid must not be in doubt for
that. So each process keeps a file of zeros, and writes into it, without making it any larger, what the ledger cannot
take. Whoever opens the ledger next brings it in.

A process keeps its file locked for as long as it runs. So a file is removed only if nobody can write into it any more:
a process that slept past its lease has lost its work to others, and still brings what was paid for.
"""

from __future__ import annotations

import fcntl
import functools
import logging
import os
import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from clova_ocr_async.batch.sqlite.folder import create_private
from clova_ocr_async.batch.sqlite.spilled import pack, unpack
from clova_ocr_async.errors import DiskFullError
from clova_ocr_async.protocol.echo import shown_path

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from pathlib import Path

    from clova_ocr_async.batch.sqlite.spilled import Spilled

__all__ = [
    "Spill",
    "bring_in",
    "discard",
    "holds_anything",
    "read_spill",
    "spill_of",
    "spills_in",
]

logger = logging.getLogger("clova_ocr_async")

_ROOM = 2 * 1024 * 1024  # bytes: hundreds of answers of a few kilobytes, and one domain has a handful under way
_HEAD = struct.Struct("<II")


class Spill:
    """The room of one process.

    Args:
        path: The file; it is made, and must not be there.
        room: Bytes.

    Raises:
        DiskFullError: There is no room even now.
    """

    def __init__(self, path: Path, room: int = _ROOM) -> None:
        self.path = path
        self._room = room
        self._end = 0
        create_private(path)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        _lock(self._descriptor)
        try:
            _write_all(self._descriptor, bytes(room), 0)
            os.fsync(self._descriptor)
        except OSError as error:
            self.close()
            where = shown_path(str(path.parent))
            raise DiskFullError(
                f"{where}: {error.strerror}; a run needs at least {room // 2**20} MiB to begin with"
            ) from None

    def keep(self, spilled: Spilled) -> None:
        """Keep what became of a call; on the disk when this returns.

        Raises:
            DiskFullError: There is no room left.
        """
        packed = pack(spilled)
        record = _HEAD.pack(len(packed), zlib.crc32(packed)) + packed
        if self._end + len(record) > self._room:
            raise DiskFullError(
                f"{spilled.name} could not be kept: the disk is full, and so is the room set aside for that"
            )
        try:
            _write_all(self._descriptor, record, self._end)
            os.fsync(self._descriptor)
        except OSError as error:
            raise DiskFullError(f"{spilled.name} could not be kept: {error.strerror}") from None
        self._end += len(record)

    def empty(self) -> None:
        """Note that what was kept is in the ledger now."""
        self._end = 0

    def close(self) -> None:
        """Let go of the file, and remove it unless it holds anything."""
        if self._end == 0:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a file for as long as it is open; return whether nobody else has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done


def spill_of(folder: Path, owner: int) -> Path:
    """Return an owner's file."""
    return folder / f"answers-{owner}.spill"


def spills_in(folder: Path) -> list[Path]:
    """Return the files of a run."""
    return sorted(folder.glob("answers-*.spill"))


def read_spill(path: Path) -> list[Spilled]:
    """Return what is in a file, up to where its writer came.

    Raises:
        DecodeError: msgspec's; another version wrote it.
    """
    data = path.read_bytes()
    found: list[Spilled] = []
    at = 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        packed = data[at + _HEAD.size : at + _HEAD.size + length]
        if not length or zlib.crc32(packed) != checksum:
            break
        found.append(unpack(packed))
        at += _HEAD.size + length
    return found


def bring_in(db: sqlite3.Connection, paths: Iterable[Path]) -> dict[Path, int]:
    """Put what is in some files into the ledger, in a transaction that is not its own.

    Returns:
        For each file how many it held, for ``discard`` once that is committed.
    """
    counts: dict[Path, int] = {}
    for path in paths:
        with suppress(FileNotFoundError):  # another process was quicker
            if (found := _read_of_this_version(path)) is not None:
                for spilled in found:
                    spilled.write(db)
                counts[path] = len(found)
    return counts


def _read_of_this_version(path: Path) -> list[Spilled] | None:
    """Return what is in a file; None, and an error in the log, if another version wrote it."""
    try:
        return read_spill(path)
    except msgspec.DecodeError:
        _tell_of_another_version(path)
        return None


@functools.cache  # it is come across at every look, and told once
def _tell_of_another_version(path: Path) -> None:
    logger.error(
        "%s holds paid answers and was written by another version; open the run with that once", shown_path(str(path))
    )


def holds_anything(path: Path) -> bool:
    """Whether a file holds what is to be brought in, as far as that can be told."""
    try:
        return read_spill(path) != []
    except FileNotFoundError:
        return False
    except msgspec.DecodeError:
        return True


def discard(counts: dict[Path, int]) -> None:
    """Remove the files that are in the ledger now, but for those that somebody may write more into."""
    for path, count in counts.items():
        with suppress(OSError):  # it stays, and is brought in again
            _discard(path, count)


def _discard(path: Path, count: int) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        # Its process may have written one more, and have ended, since it was read.
        if _lock(descriptor) and len(read_spill(path)) == count:
            path.unlink()
    finally:
        os.close(descriptor)
