"""Reading and hashing of an image for the ledger: in one pass, so that the bytes that are sent are those hashed.

An image is read in two phases. The first gives its key and decodes nothing: it hashes the file and judges its header.
The second makes the picture that is sent, once the ledger has given the image to this process. A file of several pages
is too large to be kept in memory between the two. So it is read again for each page, and refused if it has changed.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import anyio.to_thread

from clova_ocr_async.client.loading import is_pil_image, open_image
from clova_ocr_async.client.tracebacks import frameless
from clova_ocr_async.errors import ImageError
from clova_ocr_async.host.archives import ArchiveError, hash_member, member_size, split_member_path, stat_file
from clova_ocr_async.host.files import open_to_read
from clova_ocr_async.host.paths import normalize_path
from clova_ocr_async.ledger.states import FileStamp, Item, SourceFile
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.pictures.pages import count_pages
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.protocol.image import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio import CapacityLimiter

    from clova_ocr_async.client.loading import ImageLoader
    from clova_ocr_async.client.preparing import OpenedImage, PreparedImage
    from clova_ocr_async.pictures.preparation import Preparation
    from clova_ocr_async.protocol.image import ImageLimits

__all__ = [
    "ChangedFileError",
    "FileHashes",
    "HashedImage",
    "file_at",
    "hash_now",
    "make_picture_of",
    "path_of",
    "read_hashed",
    "size_to_read",
    "source_file",
    "stamp_of",
    "stat_source",
]

_MTIME_GRAIN = 2.0  # seconds within which a file may change and keep its times; FAT counts in steps of two
_MOST_HASHES = 256  # files of several pages that are in work at the same time, and more

_PATH = (str, os.PathLike)
_BYTES = (bytes, bytearray, memoryview)
_COPIED = (bytearray, memoryview)  # types of images that the client copies


class ChangedFileError(Exception):
    """The file of a page is not the one that was hashed; nothing was sent."""


@dataclass(frozen=True, slots=True, repr=False)
class HashedImage:
    """An image that was opened, and the hash of its file.

    Attributes:
        opened: The image, from which its picture is made.
        sha256: Of the bytes of the file; of the pixels of a picture of Pillow.
        file: Its file; None if it has no name.
        stamp_before: The stamp of its file before it was read; None if it is not a path, or the file was missing.
        prepared: Its picture, if that was made already.
    """

    opened: OpenedImage
    sha256: bytes
    file: SourceFile | None
    stamp_before: FileStamp | None = None
    prepared: PreparedImage | None = None

    @property
    def bytes_held(self) -> int:
        """Bytes that were read or copied, and those that its preparation takes."""
        return self.opened.bytes_held

    def item(self, document: str) -> Item:
        """Return the item of the image and a document, by its vendor's path word."""
        return Item(self.sha256, document, self.opened.page, self.opened.recipe)


class _FileFacts(NamedTuple):
    sha256: bytes
    pages: int | None


class FileHashes:
    """The hashes and page counts of files of several pages, so that each file is read for them once.

    Args:
        most: Files that are remembered.
        count: Counts the pages of a file.
    """

    def __init__(self, most: int = _MOST_HASHES, count: Callable[[str], int | None] = count_pages) -> None:
        self._most = most
        self._count = count
        self._facts: OrderedDict[tuple[str, FileStamp], _FileFacts] = OrderedDict()
        self._one_reads = threading.Lock()  # a second thread that wants the same file waits for its hash

    def facts(self, path: str, now: float) -> _FileFacts:
        """Return the hash and the page count of a file.

        Raises:
            ImageError: It cannot be read, or changes meanwhile.
        """
        with self._one_reads:
            stamp = _stamp_at(path)
            if stamp is not None and (known := self._facts.get((path, stamp))) is not None:
                self._facts.move_to_end((path, stamp))
                return known
            # Two reads of the file, so its stamp is compared afterwards: they must be of one version.
            found = _FileFacts(_hash_file(path), self._count(path))
            if stamp is None or _stamp_at(path) != stamp:
                raise ImageError(changed_message(path), truncated=True)
            if _is_older_than_grain(stamp, now):  # else a later change might not show in the stamp
                self._facts[path, stamp] = found
                if len(self._facts) > self._most:
                    self._facts.popitem(last=False)
            return found


def _hash_file(path: str) -> bytes:
    try:
        if (member := split_member_path(path)) is not None:
            return hash_member(*member)
        with os.fdopen(open_to_read(path), "rb", buffering=0) as file:  # file_digest has a buffer of its own
            return hashlib.file_digest(file, "sha256").digest()
    except ArchiveError as error:
        raise ImageError(f"{shown_path(path)}: {error}") from None
    except OSError as error:
        raise ImageError(f"{shown_path(path)}: {error.strerror}") from None


async def read_hashed(
    source: Any,
    loader: ImageLoader,
    *,
    hashes: FileHashes | None = None,
    limiter: CapacityLimiter | None = None,
    now: Callable[[], float] = time.time,
) -> HashedImage:
    """Open and hash an image in a thread.

    Args:
        source: The image, as the client takes it.
        loader: Its limits, and the steps that it may be prepared by.
        hashes: The hashes of files of several pages.
        limiter: How many threads may read at once; anyio's own number if not given.
        now: Returns Unix seconds.

    Raises:
        ImageError: It cannot be read, or is too large.
    """
    read = partial(hash_now, source, loader.limits, loader.preparation, hashes, now)
    return await loader.in_thread(source, read, limiter)


async def stat_source(source: Any, limiter: CapacityLimiter | None = None) -> SourceFile | None:
    """Return a file with its stamp, without reading it; None if the source is not a path, or the file is missing."""
    path = path_of(source)
    if path is None:
        return None
    return await anyio.to_thread.run_sync(file_at, path, _page_of(source), limiter=limiter)


def file_at(path: str | os.PathLike[str], page: int | None = None) -> SourceFile | None:
    """Return a file, or a page of it, with its stamp, without reading it; None if it is missing. Blocks."""
    stamp = _stamp_at(path)
    return None if stamp is None else SourceFile(normalize_path(os.fsencode(path)), stamp, page=page)


def hash_now(
    source: Any,
    limits: ImageLimits,
    preparation: Preparation | None = None,
    hashes: FileHashes | None = None,
    now: Callable[[], float] = time.time,
) -> HashedImage:
    """Open and hash an image in the current thread, as ``read_hashed`` does."""
    path = path_of(source)
    if path is None:
        opened = open_image(source, limits, preparation)
        sha256 = opened.hash()
        return HashedImage(opened, sha256, _named(source, sha256))
    before = _stamp_at(path)
    opened, sha256 = _open_path(source, limits, preparation, hashes or FileHashes(), now())
    if opened.record is not None and _stamp_at(path) != before:  # a page that was cut after its file was hashed
        raise ImageError(changed_message(os.fsdecode(path)), truncated=True)
    # The stamp stands for these bytes only if a change during the reading, or from now on, would show in it.
    certain = _is_older_than_grain(before, now()) and _stamp_at(path) == before
    # One spelling for a path: another one would be another image, with its own line, in a resumed run.
    name = normalize_path(os.fsencode(path))
    file = SourceFile(name, before if certain else None, page=opened.page)
    return HashedImage(opened, sha256, file, before)


def _open_path(
    source: Any, limits: ImageLimits, preparation: Preparation | None, hashes: FileHashes, now: float
) -> tuple[OpenedImage, bytes]:
    """Open a path or a page, and return it with the hash of its file."""
    # The one look at a file that counts its pages gives its hash as well, also for all its further pages.
    hashed: list[bytes] = []

    def count(file: str) -> int | None:
        facts = hashes.facts(file, now)
        hashed.append(facts.sha256)
        return facts.pages

    opened = open_image(source, limits, preparation, count)
    return opened, hashed[0] if opened.page is not None and hashed else opened.hash()


async def make_picture_of(hashed: HashedImage, loader: ImageLoader) -> PreparedImage:
    """Return the picture of an image.

    Raises:
        ImageError: It cannot be made, or the service would refuse or waste it.
        ChangedFileError: The file of a page has changed since it was hashed, or is gone.
    """
    if hashed.prepared is not None:
        return hashed.prepared
    try:
        made = await frameless(loader.make(hashed.opened))
    except ImageError:
        await _check_unchanged(hashed)  # else the error may be about another file
        raise
    await _check_unchanged(hashed)
    return made


async def _check_unchanged(hashed: HashedImage) -> None:
    # A page is cut from the file that is there now, and billed under the hash of the file that was there before.
    path = hashed.opened.data
    if isinstance(path, str) and await anyio.to_thread.run_sync(_stamp_at, path) != hashed.stamp_before:
        raise ChangedFileError(changed_message(path))


def changed_message(path: str) -> str:
    """Return the message for a file that is not the one any more that was hashed."""
    return f"{shown_path(path)} changed while it was read; give it again once it is complete"


def path_of(source: Any) -> str | os.PathLike[str] | None:
    """Return the path of an image that is a path or a page of a file; None for any other."""
    found: object = source.path if isinstance(source, Page) else source
    return cast("str | os.PathLike[str]", found) if isinstance(found, _PATH) else None


def _page_of(source: Any) -> int | None:
    return source.number if isinstance(source, Page) else None


def _named(source: Any, sha256: bytes) -> SourceFile | None:
    """Return the name of an image that is not read from a path; None if it has none."""
    if isinstance(source, Image):
        # A name that was given to bytes is not a file's: other bytes may have the same.
        return SourceFile(f"{source.name} #{sha256.hex()[:12]}".encode())
    return None if isinstance(source, _BYTES) or is_pil_image(source) else source_file(source)


def _is_older_than_grain(stamp: FileStamp | None, now: float) -> bool:
    return stamp is not None and max(stamp.modified_ns, stamp.changed_ns) / 1e9 < now - _MTIME_GRAIN


def source_file(source: Any) -> SourceFile | None:
    """Return the file, or the page, that an image is named by, without a stamp; None if it has no name."""
    path = path_of(source)
    name = cast("object", getattr(source, "name", None) if path is None else path)
    if name is None or not isinstance(name, _PATH):
        return None
    try:
        encoded = os.fsencode(cast("str | os.PathLike[str]", name))
    except UnicodeEncodeError:  # a str that cannot name a file
        return None
    return None if b"\0" in encoded else SourceFile(normalize_path(encoded), page=_page_of(source))


def size_to_read(source: Any) -> int:
    """Return how many bytes the client will read or copy of an image; 0 if it copies none, or the size is not known.

    It asks the file system in the event loop: the iterable of a folder does so as well, and a thread for each file
    would cost more.
    """
    if isinstance(source, _COPIED):
        return memoryview(cast("bytes", source)).nbytes
    if isinstance(source, Page):  # its file is not kept in memory
        return 0
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
    # The size may stay the same, and any program can set the time of modification back; the time of change it cannot.
    return FileStamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
