"""The overflow file: what becomes of calls while the ledger cannot take it, since its disk is full or it is locked.

It saves at most the calls in flight: after the first answer that is kept here nothing more is sent until the ledger
works again. With 5 slots and answers of 100 KB that is half a megabyte that was paid for, a call an answer; without the
file those calls would be in doubt, and paid again by whoever has to know.

What must be there when the money is spent is set aside before: each process keeps a file of its own, and grows it
before a request is marked as sent, so that the answers of all calls under way fit. Into that room goes, without making
the file any larger, what the ledger cannot take. Whoever opens the ledger next brings it in.

A process keeps its file locked for as long as it runs. So a file is removed only if nobody can write into it any more:
a process that slept past its lease has lost its work to others, and still brings what was paid for. What a dead process
set aside and did not use is given back to the disk by whoever opens the run next, before it asks for room itself.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import struct
import threading
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.ledger.sqlite.overflow_records import pack, unpack
from clova_ocr_async.ledger.sqlite.run_directory import create_private
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import ModuleType

    from clova_ocr_async.ledger.sqlite.overflow_records import Spilled

try:
    import fcntl as _fcntl
except ImportError:  # Windows: the package imports there, and no ledger can be opened
    _locks: ModuleType | None = None
else:
    _locks = _fcntl

__all__ = [
    "Spill",
    "bring_in",
    "check_locks",
    "discard",
    "holds_anything",
    "read_spill",
    "reclaim",
    "spill_of",
    "spills_in",
]

logger = logging.getLogger("clova_ocr_async")

_ROOM = 2 * 1024 * 1024  # bytes to begin with: for how calls end, and the first answers
_HEAD = struct.Struct("<II")
_NO_MORE = bytes(_HEAD.size)  # behind the last record: what stands there may be of records that were brought in before
_TRIES, _PAUSE = 100, 0.01  # until a new file is locked; another process looks into it for a moment
_ALLOCATE: Callable[[int, int, int], object] | None = getattr(os, "posix_fallocate", None)  # macOS has none


def check_locks() -> None:
    """Refuse a system without the locks that a ledger is built on.

    Raises:
        LedgerError: It has none.
    """
    if _locks is None:
        raise LedgerError("a run directory needs the file locks of POSIX, which Windows does not have; use it in WSL")


class Spill:
    """The overflow file of one process; may be used by its event loop and the ledger's thread.

    Args:
        path: The file; it is made, and must not be there.
        room: Bytes.
        allocate: Sets room aside in a file: descriptor, offset, bytes. None where the system has no such call.

    Raises:
        DiskFullError: There is no room even now.
    """

    def __init__(
        self, path: Path, room: int = _ROOM, allocate: Callable[[int, int, int], object] | None = _ALLOCATE
    ) -> None:
        self.path = path
        self._allocate = allocate
        self._size = self._end = 0
        self._gate = threading.Lock()
        self._descriptor = _created(path)
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
        """Bytes that are kept."""
        return self._end

    def available(self) -> int:
        """Return how many bytes the file could have on its disk as it is now."""
        found = os.fstatvfs(self._descriptor)
        return self._size + found.f_bavail * found.f_frsize

    def reserve(self, size: int) -> None:
        """Set room aside for some bytes, beside what is kept already.

        Raises:
            DiskFullError: The disk does not have it.
        """
        with self._gate:
            self._reserve(size)

    def _reserve(self, size: int) -> None:
        try:
            self._grow(self._end + size)
        except OSError as error:
            raise DiskFullError(
                f"no room for the answers of the calls under way ({error.strerror}); make room on the disk of the run, "
                "then run again"
            ) from None

    def _grow(self, size: int) -> None:
        if size <= self._size:
            return
        try:
            self._set_aside(size)
        except OSError:
            with suppress(OSError):  # nobody else is to lack what was had of it
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size = size

    def _set_aside(self, size: int) -> None:
        if self._allocate is not None:
            try:
                self._allocate(self._descriptor, self._size, size - self._size)
            except OSError as error:
                if error.errno not in _NO_SUCH_CALL:
                    raise
            else:
                return
        _write_all(self._descriptor, bytes(size - self._size), self._size)
        os.fsync(self._descriptor)  # else a file system may find out only later that it has no room

    def keep(self, spilled: Spilled) -> None:
        """Keep what became of a call; on the disk when this returns.

        Raises:
            DiskFullError: There is no room left.
        """
        packed = pack(spilled)
        record = _HEAD.pack(len(packed), zlib.crc32(packed)) + packed
        with self._gate:
            try:
                self._reserve(len(record) + len(_NO_MORE))
            except DiskFullError:
                raise DiskFullError(
                    f"{spilled.name} could not be kept: the disk is full, and so is the room set aside for that"
                ) from None
            try:
                _write_all(self._descriptor, record + _NO_MORE, self._end)
                os.fsync(self._descriptor)
            except OSError as error:
                raise DiskFullError(f"{spilled.name} could not be kept: {error.strerror}") from None
            self._end += len(record)

    def empty(self, read: int) -> None:
        """Note that what was kept is in the ledger now.

        Args:
            read: How many bytes of it are, from the beginning; if more was kept meanwhile, all of it stays.
        """
        with self._gate:
            if 0 < self._end <= read:
                with suppress(OSError):  # then it is brought in once more, which changes nothing
                    _write_all(self._descriptor, _NO_MORE, 0)
                self._end = 0

    def close(self) -> None:
        """Let go of the file, and remove it unless it holds anything."""
        if self._end == 0:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def let_go(self) -> None:
        """Let go of the file, and leave it as it is: after a fork it is the parent's."""
        if _is_at(self.path, self._descriptor):  # nothing else may be closed in a child
            os.close(self._descriptor)


_NO_SUCH_CALL = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def _lock(descriptor: int) -> bool:
    """Lock a file for as long as it is open; return whether nobody else has.

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


def _created(path: Path, lock: Callable[[int], bool] = _lock, pause: Callable[[float], object] = time.sleep) -> int:
    """Make a file that only its owner can read, and lock it; return its descriptor.

    Whoever opens the run takes away what nobody has locked, and may come between the making and the locking. So a file
    that is not locked by this process, or has gone, is made again.

    Raises:
        LedgerError: The file cannot be made, or not be locked.
    """
    for _ in range(_TRIES):
        create_private(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # it may have gone already
        if _is_locked_at(path, descriptor, lock):
            return descriptor
        os.close(descriptor)
        pause(_PAUSE)
    raise LedgerError(f"{shown_path(str(path))} is kept locked by another program; end it, then run again")


def _is_locked_at(path: Path, descriptor: int, lock: Callable[[int], bool]) -> bool:
    try:
        return lock(descriptor) and _is_at(path, descriptor)
    except OSError as error:
        os.close(descriptor)
        where = shown_path(str(path.parent))
        raise LedgerError(
            f"{where}: its file system does not bear a ledger (no locks: {error.strerror}); choose one on a local disk"
        ) from None


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
    return [unpack(packed) for packed in _packed_in(path)]


def _packed_in(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return list(_records(file))


def _size_of(records: Iterable[bytes]) -> int:
    """Return how many bytes some records take in a file."""
    return sum(_HEAD.size + len(packed) for packed in records)


def _records(file: BinaryIO) -> Iterator[bytes]:
    """Yield what is in a file, packed; the room behind it, which may be large, is not read."""
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        length, checksum = _HEAD.unpack(head)
        packed = file.read(length)
        if not length or len(packed) < length or zlib.crc32(packed) != checksum:
            return
        yield packed


def reclaim(folder: Path, lock: Callable[[int], bool] = _lock) -> None:
    """Give back to the disk what processes that have ended had set aside and did not use."""
    for path in spills_in(folder):
        with suppress(OSError):  # another process was quicker, or it is not ours to change
            _reclaim(path, lock)


def _reclaim(path: Path, lock: Callable[[int], bool]) -> None:
    with path.open("r+b") as file:
        if not lock(file.fileno()) or not _is_at(path, file.fileno()):  # its process runs, or has made it anew
            return
        if used := _size_of(_records(file)):
            file.truncate(used)
        else:
            path.unlink()


def bring_in(db: sqlite3.Connection, paths: Iterable[Path]) -> dict[Path, int]:
    """Put what is in some files into the ledger, in a transaction that is not its own.

    Returns:
        For each file how many bytes were read, for ``discard`` once that is committed.
    """
    read: dict[Path, int] = {}
    for path in paths:
        with suppress(FileNotFoundError):  # another process was quicker
            records = _packed_in(path)
            if (found := _of_this_version(path, records)) is not None:
                for spilled in found:
                    spilled.write(db)
                read[path] = _size_of(records)
    return read


def _of_this_version(path: Path, records: Iterable[bytes]) -> list[Spilled] | None:
    """Return what is in a file; None, and an error in the log, if another version wrote it."""
    try:
        return [unpack(packed) for packed in records]
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


def discard(brought_in: dict[Path, int], lock: Callable[[int], bool] = _lock) -> None:
    """Remove the files that are in the ledger now, but for those that somebody may write more into."""
    for path, read in brought_in.items():
        with suppress(OSError):  # it stays, and is brought in again
            _discard(path, read, lock)


def _discard(path: Path, read: int, lock: Callable[[int], bool]) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        # Its process may have written one more, and have ended, since it was read.
        if lock(descriptor) and _is_at(path, descriptor) and _size_of(_packed_in(path)) == read:
            path.unlink()
    finally:
        os.close(descriptor)
