"""Reading and hashing of an image for the ledger: in one pass, so that the bytes that are sent are those hashed."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread

from clova_ocr_async.client.loading import read_bytes
from clova_ocr_async.host.archives import ArchiveError, member_size, split_member_path, stat_file
from clova_ocr_async.host.paths import normalize_path
from clova_ocr_async.ledger.states import FileStamp, SourceFile
from clova_ocr_async.protocol.image import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio import CapacityLimiter

    from clova_ocr_async.client.loading import BinaryFile
    from clova_ocr_async.protocol.image import ImageLimits

__all__ = [
    "HashedImage",
    "file_at",
    "hash_now",
    "read_hashed",
    "size_to_read",
    "source_file",
    "stamp_of",
    "stat_source",
]

_MTIME_GRAIN = 2.0  # seconds within which a file may change and keep its times; FAT counts in steps of two

_PATH = (str, os.PathLike)
_COPIED = (bytearray, memoryview)  # types of images that the client copies


@dataclass(frozen=True, slots=True, repr=False)
class HashedImage:
    """The bytes of an image, and their hash.

    Attributes:
        data: The bytes that were read; an Image as it was given.
        name: The name it is sent under; None for the default.
        sha256: Of the bytes.
        file: Its file; None if it has no name.
        stamp_before: The stamp of its file before it was read; None if it is not a path, or the file was missing.
    """

    data: bytes | Image
    name: str | None
    sha256: bytes
    file: SourceFile | None
    stamp_before: FileStamp | None = None

    @property
    def bytes_held(self) -> int:
        """Bytes that were read or copied; an Image is sent as it was given, and takes none."""
        return 0 if isinstance(self.data, Image) else len(self.data)

    def image(self) -> Image:
        """Return the image.

        Raises:
            ImageError: It is not a picture that the service takes.
        """
        return self.data if isinstance(self.data, Image) else Image(self.data, self.name)


async def read_hashed(
    source: Any, limits: ImageLimits, *, limiter: CapacityLimiter | None = None, now: Callable[[], float] = time.time
) -> HashedImage:
    """Read and hash an image in a thread.

    Args:
        source: A path, bytes, a file opened in binary mode, or an Image.
        limits: How large it may be.
        limiter: How many threads may read at once; anyio's own number if not given.
        now: Returns Unix seconds.

    Raises:
        ImageError: It cannot be read, or is too large.
    """
    return await anyio.to_thread.run_sync(hash_now, source, limits, now, limiter=limiter)


async def stat_source(source: Any, limiter: CapacityLimiter | None = None) -> SourceFile | None:
    """Return a file with its stamp, without reading it; None if the source is not a path, or the file is missing."""
    if not isinstance(source, _PATH):
        return None
    return await anyio.to_thread.run_sync(file_at, cast("str | os.PathLike[str]", source), limiter=limiter)


def file_at(path: str | os.PathLike[str]) -> SourceFile | None:
    """Return a file with its stamp, without reading it; None if it is missing. Blocks on the file system."""
    stamp = _stamp_at(path)
    return None if stamp is None else SourceFile(normalize_path(os.fsencode(path)), stamp)


def hash_now(source: Any, limits: ImageLimits, now: Callable[[], float] = time.time) -> HashedImage:
    """Read and hash an image in the current thread, as ``read_hashed`` does."""
    if isinstance(source, Image):
        sha256 = hashlib.sha256(source.data).digest()
        # A name that was given to bytes is not a file's: other bytes may have the same.
        return HashedImage(source, source.name, sha256, SourceFile(f"{source.name} #{sha256.hex()[:12]}".encode()))
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(cast("bytes", source))
        return HashedImage(data, None, hashlib.sha256(data).digest(), None)
    path = cast("str | os.PathLike[str]", source) if isinstance(source, _PATH) else None
    before = None if path is None else _stamp_at(path)
    data, name = read_bytes(cast("BinaryFile", source) if path is None else path, limits)
    file = source_file(source)
    # The stamp stands for these bytes only if a change during the reading, or from now on, would show in it.
    if path is not None and file is not None and _is_older_than_grain(before, now()) and _stamp_at(path) == before:
        file = SourceFile(file.path, before)
    return HashedImage(data, name, hashlib.sha256(data).digest(), file, before)


def _is_older_than_grain(stamp: FileStamp | None, now: float) -> bool:
    return stamp is not None and max(stamp.modified_ns, stamp.changed_ns) / 1e9 < now - _MTIME_GRAIN


def source_file(source: Any) -> SourceFile | None:
    """Return the file that an image is named by, without a stamp; None if it has no name."""
    name = cast("object", source if isinstance(source, _PATH) else getattr(source, "name", None))
    if name is None or not isinstance(name, _PATH):
        return None
    try:
        path = os.fsencode(cast("str | os.PathLike[str]", name))
    except UnicodeEncodeError:  # a str that cannot name a file
        return None
    return None if b"\0" in path else SourceFile(normalize_path(path))


def size_to_read(source: Any) -> int:
    """Return how many bytes the client will read or copy of an image; 0 if it copies none, or the size is not known.

    It asks the file system in the event loop: the iterable of a folder does so as well, and a thread for each file
    would cost more.
    """
    if isinstance(source, _COPIED):
        return memoryview(cast("bytes", source)).nbytes
    file = None if isinstance(source, Image) else source_file(source)
    if file is None:
        return 0
    path = os.fsdecode(file.path)
    try:
        member = split_member_path(path)
        return stat_file(path).st_size if member is None else member_size(*member)
    except (OSError, ValueError, ArchiveError):
        return 0


def _stamp_at(path: str | os.PathLike[str]) -> FileStamp | None:
    try:
        return stamp_of(stat_file(path))
    except (OSError, ValueError):
        return None


def stamp_of(found: os.stat_result) -> FileStamp:
    """Return the stamp by which a change of a file is noticed."""
    return FileStamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
