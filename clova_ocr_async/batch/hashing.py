"""Reading an image for the ledger: once, and hashed where it is read, so that bytes sent = bytes hashed."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread

from clova_ocr_async.client.loading import read_bytes
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

_SETTLED = 2.0  # seconds after which a change of a file shows in its times; the coarsest file systems count in twos


@dataclass(frozen=True, slots=True, repr=False)
class HashedImage:
    """An image's bytes.

    Attributes:
        data: What was read; an Image as it was handed in.
        name: What it is sent under; None for the default.
        sha256: Of the bytes.
        file: The name it goes by; None if it has none.
        before: The identity of its file before it was read; None if it is no path, or was not there.
    """

    data: bytes | Image
    name: str | None
    sha256: bytes
    file: SourceFile | None
    before: FileStamp | None = None

    @property
    def copied(self) -> int:
        """Bytes that were read, or copied; what was handed in as an Image or as bytes is what is sent."""
        return 0 if isinstance(self.data, Image) else len(self.data)

    def image(self) -> Image:
        """Return the image.

        Raises:
            ImageError: It is no picture the service takes.
        """
        return self.data if isinstance(self.data, Image) else Image(self.data, self.name)


async def read_hashed(
    source: Any, limits: ImageLimits, *, readers: CapacityLimiter | None = None, now: Callable[[], float] = time.time
) -> HashedImage:
    """Read and hash an image in a thread.

    Args:
        source: A path, bytes, a file opened in binary mode, or an Image.
        limits: How large it may be.
        readers: How many threads may read at once; anyio's own number if not given.
        now: Returns Unix seconds.

    Raises:
        ImageError: It cannot be read, or is too large.
    """
    return await anyio.to_thread.run_sync(hash_now, source, limits, now, limiter=readers)


async def stat_source(source: Any, readers: CapacityLimiter | None = None) -> SourceFile | None:
    """Return a file as it is now, without reading it; None for what is no path, or is not there."""
    if not isinstance(source, str | os.PathLike):
        return None
    return await anyio.to_thread.run_sync(file_at, cast("str | os.PathLike[str]", source), limiter=readers)


def file_at(path: str | os.PathLike[str]) -> SourceFile | None:
    """Return a file as it is now, without reading it; None if it is not there. It asks the file system."""
    identity = _identity_of(path)
    return None if identity is None else SourceFile(normalize_path(os.fsencode(path)), identity)


def hash_now(source: Any, limits: ImageLimits, now: Callable[[], float] = time.time) -> HashedImage:
    """Read and hash an image in the thread that asks, as ``read_hashed`` does."""
    if isinstance(source, Image):
        sha256 = hashlib.sha256(source.data).digest()
        # A name that was given to bytes is no file's: others may have the same.
        return HashedImage(source, source.name, sha256, SourceFile(f"{source.name} #{sha256.hex()[:12]}".encode()))
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(cast("bytes", source))
        return HashedImage(data, None, hashlib.sha256(data).digest(), None)
    path = cast("str | os.PathLike[str]", source) if isinstance(source, str | os.PathLike) else None
    before = None if path is None else _identity_of(path)
    data, name = read_bytes(cast("BinaryFile", source) if path is None else path, limits)
    file = source_file(source)
    if path is not None and file is not None and _is_settled(before, now()) and _identity_of(path) == before:
        file = SourceFile(file.path, before)
    return HashedImage(data, name, hashlib.sha256(data).digest(), file, before)


def _is_settled(identity: FileStamp | None, now: float) -> bool:
    """Whether a change from now on would show in the file's times."""
    return identity is not None and max(identity.modified_ns, identity.changed_ns) / 1e9 < now - _SETTLED


def source_file(source: Any) -> SourceFile | None:
    """Return the name an image goes by, its identity not looked at; None if it has none."""
    name = cast("object", source if isinstance(source, str | os.PathLike) else getattr(source, "name", None))
    if not isinstance(name, str | os.PathLike):
        return None
    try:
        path = os.fsencode(cast("str | os.PathLike[str]", name))
    except UnicodeEncodeError:  # a str that can name no file
        return None
    return None if b"\0" in path else SourceFile(normalize_path(path))


def size_to_read(source: Any) -> int:
    """Return how many bytes reading or copying an image is going to take; 0 for what is sent as it is, or not known.

    A folder that is iterated in the event loop is looked at there as well; a thread for each file would cost more.
    """
    if isinstance(source, bytearray | memoryview):
        return memoryview(cast("bytes", source)).nbytes
    file = None if isinstance(source, Image) else source_file(source)
    found = None if file is None else _identity_of(os.fsdecode(file.path))
    return 0 if found is None else found.size


def _identity_of(path: str | os.PathLike[str]) -> FileStamp | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - twice for every image, and a Path takes longer than the file system
    except (OSError, ValueError):
        return None
    return stamp_of(found)


def stamp_of(found: os.stat_result) -> FileStamp:
    """Return what a file is told by."""
    return FileStamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
