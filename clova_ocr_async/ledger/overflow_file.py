"""Overflow files: answers and settlements kept beside the ledger while it cannot take them, on a full disk or locked.

They save at most the calls in flight, about 400 KRW: after the first record nothing more is sent until the ledger works
again. Without them those calls would be ambiguous, and might be paid a second time.

Glossary:
    Overflow file: one for each process, ``answers-<owner>.spill``, locked for as long as the process runs.
    Record: an answer, a refusal or a settlement (``overflow_records``), with its length and checksum before it.
    Room: disk space that the file has already. It grows before a request is marked as sent, so that the answers of all
        calls in flight fit; a record then needs no new space.
    Replay: writing the records of a file into the ledger. The next process to open or renew does it.
    Reclaim: giving unused room of processes that have ended back to the disk.

A file is deleted only if no process can write to it any more, which its lock shows: a process that slept past its lease
has lost its work to others, and still keeps answers that were paid for.
"""

from __future__ import annotations

import errno
import logging
import os
import struct
import threading
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.ledger.overflow_records import decode_record, encode_record
from clova_ocr_async.ledger.private_file import create_private
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import ModuleType

    from clova_ocr_async.ledger.overflow_records import OverflowRecord

try:
    import fcntl as _fcntl
except ImportError:  # Windows: the package imports there, and no ledger can be opened
    _locks: ModuleType | None = None
else:
    _locks = _fcntl

__all__ = [
    "OverflowFile",
    "check_locks",
    "create_locked",
    "delete_replayed",
    "has_records",
    "overflow_path",
    "overflow_paths",
    "packed_in",
    "read_records",
    "reclaim",
    "reclaim_files",
    "size_of",
    "try_lock",
]

logger = logging.getLogger("clova_ocr_async")

_ROOM = 2 * 1024 * 1024  # bytes of a new file: for settlements, and the first answers
_HEADER = struct.Struct("<II")  # length and CRC-32 of the record behind it
_END = bytes(_HEADER.size)  # behind the last record, where older ones may stand that were replayed before
_TRIES, _PAUSE = 100, 0.01  # until a new file is locked; another process locks it for a moment to look into it
_ALLOCATE: Callable[[int, int, int], object] | None = getattr(os, "posix_fallocate", None)  # macOS has none
_NOT_SUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def check_locks() -> None:
    """Refuse a system without the file locks that a ledger needs.

    Raises:
        LedgerError: It has none.
    """
    if _locks is None:
        raise LedgerError("a run directory needs the file locks of POSIX, which Windows does not have; use it in WSL")


# ---------------------------------------------------------------------------------------------------------------------
# The file of this process


class OverflowFile:
    """The overflow file of one process; its event loop and the ledger's thread may both use it.

    Args:
        path: The file; it must have no records.
        room: Bytes to begin with.
        allocate: Allocates space in a file: descriptor, offset, bytes. None where the system has no such call.

    Raises:
        DiskFullError: The disk does not have the room.
        LedgerError: The file cannot be created or locked, or has records.
    """

    def __init__(
        self, path: Path, room: int = _ROOM, allocate: Callable[[int, int, int], object] | None = _ALLOCATE
    ) -> None:
        self.path = path
        self._allocate = allocate
        self._size = self._end = 0
        self._lock = threading.Lock()
        self._descriptor = create_locked(path)
        if has_records(path):  # the first record would be written over them
            os.close(self._descriptor)
            raise LedgerError(f"{shown_path(str(path))} holds results that another process kept; run again")
        try:
            self._grow(room)
        except OSError as error:
            self.close()
            where = shown_path(str(path.parent))
            raise DiskFullError(
                f"{where}: {error.strerror}; a run needs at least {room // 2**20} MiB to begin with; make room"
            ) from None

    @property
    def used(self) -> int:
        """Bytes of the records."""
        return self._end

    def available(self) -> int:
        """Return the largest size in bytes that the file could have on its disk as it is now."""
        found = os.fstatvfs(self._descriptor)
        return self._size + found.f_bavail * found.f_frsize

    def reserve(self, size: int) -> None:
        """Make room for some bytes behind the records.

        Raises:
            DiskFullError: The disk does not have it.
        """
        with self._lock:
            self._reserve(size)

    def append(self, record: OverflowRecord) -> None:
        """Append a record; on the disk when this returns.

        Raises:
            DiskFullError: There is no room left.
        """
        packed = encode_record(record)
        framed = _HEADER.pack(len(packed), zlib.crc32(packed)) + packed
        with self._lock:
            try:
                self._reserve(len(framed) + len(_END))
            except DiskFullError:
                raise DiskFullError(
                    f"{record.name} could not be kept: the disk is full, and so is the room set aside for that"
                ) from None
            try:
                _write_all(self._descriptor, framed + _END, self._end)
                os.fsync(self._descriptor)
            except OSError as error:
                raise DiskFullError(f"{record.name} could not be kept: {error.strerror}") from None
            self._end += len(framed)

    def mark_replayed(self, size: int) -> None:
        """Forget the records, which are in the ledger now.

        Args:
            size: Bytes that were replayed, from the beginning; if the file has more by now, all of it stays.
        """
        with self._lock:
            if 0 < self._end <= size:
                with suppress(OSError):  # then they are replayed once more, which changes nothing
                    _write_all(self._descriptor, _END, 0)
                self._end = 0

    def close(self) -> None:
        """Close the file, and delete it if it has no records."""
        if self._end == 0:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def abandon_after_fork(self) -> None:
        """Close the file in the child of a fork, and change nothing: it is the parent's."""
        if _is_at(self.path, self._descriptor):  # the number may be another file's by now
            os.close(self._descriptor)

    def _reserve(self, size: int) -> None:
        try:
            self._grow(self._end + size)
        except OSError as error:
            raise DiskFullError(
                f"no room for the answers of the calls in flight ({error.strerror}); make room on the disk of the run, "
                "then run again"
            ) from None

    def _grow(self, size: int) -> None:
        if size <= self._size:
            return
        try:
            self._extend_to(size)
        except OSError:
            with suppress(OSError):  # other programs must not lack the part that was allocated
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size = size

    def _extend_to(self, size: int) -> None:
        if self._allocate is not None:
            try:
                self._allocate(self._descriptor, self._size, size - self._size)
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    raise
            else:
                return
        _write_all(self._descriptor, bytes(size - self._size), self._size)
        os.fsync(self._descriptor)  # some file systems find out only here that the disk is full


def try_lock(descriptor: int) -> bool:
    """Lock a file for as long as it is open; return False if another process has it locked.

    Raises:
        OSError: Its file system has no locks.
    """
    if _locks is None:
        return False
    try:
        _locks.flock(descriptor, _locks.LOCK_EX | _locks.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def create_locked(
    path: Path, lock: Callable[[int], bool] = try_lock, pause: Callable[[float], object] = time.sleep
) -> int:
    """Create a file that only its owner can read, and lock it; return its descriptor.

    A process that opens the run deletes files that are not locked, and may do so between the creation and the lock. So
    a file that has gone, or that another process has locked, is created again.

    Raises:
        LedgerError: The file cannot be created, or not be locked.
    """
    for _ in range(_TRIES):
        create_private(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # it may have gone already
        try:
            if lock(descriptor) and _is_at(path, descriptor):
                return descriptor
        except OSError as error:
            os.close(descriptor)
            where = shown_path(str(path.parent))
            raise LedgerError(
                f"{where}: its file system cannot hold a ledger (no locks: {error.strerror}); "
                "choose a directory on a local disk"
            ) from None
        os.close(descriptor)
        pause(_PAUSE)
    raise LedgerError(f"{shown_path(str(path))} is kept locked by another program; end it, then run again")


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done


# ---------------------------------------------------------------------------------------------------------------------
# The files of a run


def overflow_path(folder: Path, owner: int) -> Path:
    """Return the path of an owner's file."""
    return folder / f"answers-{owner}.spill"


def overflow_paths(folder: Path) -> list[Path]:
    """Return the files of a run."""
    return sorted(folder.glob("answers-*.spill"))


def read_records(path: Path) -> list[OverflowRecord]:
    """Return the records of a file.

    Raises:
        DecodeError: msgspec's; another version wrote one.
    """
    return [decode_record(packed) for packed in packed_in(path)]


def has_records(path: Path) -> bool:
    """Return whether a file has records, also such that this version cannot read."""
    try:
        return packed_in(path) != []
    except FileNotFoundError:
        return False


def packed_in(path: Path) -> list[bytes]:
    """Return the records of a file as they are encoded.

    Raises:
        FileNotFoundError: There is no such file.
    """
    with path.open("rb") as file:
        return list(_unframed(file))


def _unframed(file: BinaryIO) -> Iterator[bytes]:
    """Yield the records of a file; the room behind them, which may be large, is not read."""
    while len(header := file.read(_HEADER.size)) == _HEADER.size:
        length, checksum = _HEADER.unpack(header)
        packed = file.read(length)
        if not length or len(packed) < length or zlib.crc32(packed) != checksum:
            return
        yield packed


def size_of(records: Iterable[bytes]) -> int:
    """Return how many bytes some records take in a file."""
    return sum(_HEADER.size + len(packed) for packed in records)


def delete_replayed(replayed: dict[Path, int], lock: Callable[[int], bool] = try_lock) -> None:
    """Delete the files whose records are in the ledger now, unless their processes still run."""
    for path, size in replayed.items():
        with suppress(OSError):  # the file stays, and is replayed again
            _delete(path, size, lock)


def _delete(path: Path, size: int, lock: Callable[[int], bool]) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        # The process may have appended a record, and have ended, since the file was read.
        if lock(descriptor) and _is_at(path, descriptor) and size_of(packed_in(path)) == size:
            path.unlink()
    finally:
        os.close(descriptor)


def reclaim(folder: Path, lock: Callable[[int], bool] = try_lock) -> None:
    """Give the unused room of processes that have ended back to the disk."""
    reclaim_files(overflow_paths(folder), lock)


def reclaim_files(paths: Iterable[Path], lock: Callable[[int], bool] = try_lock) -> None:
    """Give the unused room of those of some files whose processes have ended back to the disk."""
    for path in paths:
        with suppress(OSError):  # another process was quicker, or the file belongs to another user
            _reclaim(path, lock)


def _reclaim(path: Path, lock: Callable[[int], bool]) -> None:
    with path.open("r+b") as file:
        if not lock(file.fileno()) or not _is_at(path, file.fileno()):  # its process runs, or has created it anew
            return
        if used := size_of(_unframed(file)):
            file.truncate(used)
        else:
            path.unlink()
