"""A file, or bytes in its place, whose pages are counted or cut.

Nothing is mapped into memory: a program that shortens a mapped file ends every process that reads it there. A file in
an archive is unpacked to a temporary file without a name, which no other program can open, if it is not small.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, BinaryIO, TypeAlias, cast

from clova_ocr_async.errors import ImageError
from clova_ocr_async.host.archives import (
    ArchiveError,
    member_pieces,
    member_size,
    read_member_start,
    split_member_path,
)
from clova_ocr_async.host.files import open_to_read
from clova_ocr_async.protocol.echoed_input import non_path, shown_path

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Self

__all__ = ["MAX_MEMBER", "PagedFile", "Stamp"]

Stamp: TypeAlias = tuple[int, ...]
"""Device, inode, size and times of a file: another stamp is another file."""

MAX_MEMBER = 256 * 1024 * 1024
"""Bytes of a file in an archive, which is unpacked to be divided."""

_IN_MEMORY = 8 * 1024 * 1024  # bytes of a file in an archive that is unpacked to memory

_HEAD = 1024  # bytes; readers accept the header of a PDF anywhere in them


@dataclass(frozen=True, slots=True)
class PagedFile:
    """A file, as it was when it was looked at.

    Attributes:
        name: Its name, as messages show it.
        source: Its path, or the bytes themselves.
        stamp: Its stamp; empty for bytes. That of the archive for a file in one.
        size: Its length in bytes.
        head: Its first bytes, which decide its format.
        member: Archive and name of a file in an archive, which is unpacked while it is open; None for others.
    """

    name: str
    source: str | bytes
    stamp: Stamp
    size: int
    head: bytes
    member: tuple[str, str] | None = None

    @classmethod
    def of(cls, source: str | os.PathLike[str] | bytes, name: str = "the image") -> Self:
        """Look at a file.

        Args:
            source: Its path, or its bytes.
            name: The name of bytes in messages.

        Raises:
            ImageError: It is not a regular file, or cannot be read.
        """
        if isinstance(source, bytes):
            return cls(name, source, (), len(source), source[:_HEAD])
        if not isinstance(source, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers are not all typed
            raise ImageError(f"the file is a {type(source).__name__}; it must be a path or bytes")
        path = os.fsdecode(source)
        if (member := split_member_path(path)) is not None:
            return cls(shown_path(path), path, *_looked_at(path, *member), member)
        file, stamp = _opened(path)
        with file:
            return cls(shown_path(path), path, stamp, os.fstat(file.fileno()).st_size, file.read(_HEAD))

    def open(self) -> BinaryIO:
        """Open the file; the caller closes it.

        Raises:
            ImageError: It cannot be opened any more, or is another file by now.
        """
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source)
        if self.member is not None:
            return self._unpacked(self.source, *self.member)
        # By name again, and not by a descriptor that is kept: a batch may have thousands of files in sight.
        file, stamp = _opened(self.source)
        if stamp != self.stamp:
            file.close()
            raise self.changed()
        return file

    def _unpacked(self, path: str, archive: str, name: str) -> BinaryIO:
        with ExitStack() as stack:
            stack.enter_context(_errors_of_member(path, archive))
            unpacked = stack.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY))
            for piece in member_pieces(archive, name):
                _write(unpacked, piece, self.name)
            if _stamp(os.stat(archive)) != self.stamp:  # noqa: PTH116 - as the stamp was taken
                raise self.changed()
            unpacked.seek(0)
            stack.pop_all()
        return cast("BinaryIO", unpacked)

    def read(self) -> bytes:
        """Return the whole file.

        Raises:
            ImageError: It cannot be read, or is another file by now.
        """
        with self.open() as file:
            data = file.read()
            self.check_unchanged(file)
            return data

    def check_unchanged(self, file: BinaryIO) -> None:
        """Refuse what was read of the file if it was written to in the meantime.

        Args:
            file: The file, opened.

        Raises:
            ImageError: Its stamp is another one.
        """
        is_original = isinstance(self.source, str) and self.member is None
        if is_original and _stamp(os.fstat(file.fileno())) != self.stamp:
            raise self.changed()

    def changed(self) -> ImageError:
        """Return the error of a file that is another one by now."""
        return ImageError(
            f"{self.name}: the file changed while it was read; read it again once it is written to its end"
        )


def _looked_at(path: str, archive: str, name: str) -> tuple[Stamp, int, bytes]:
    """Return stamp, length and first bytes of a file in an archive."""
    with _errors_of_member(path, archive):
        stamp, size = _stamp(os.stat(archive)), member_size(archive, name)  # noqa: PTH116 - for each page
        if size > MAX_MEMBER:
            raise ImageError(f"{shown_path(path)}: it is too large to be divided in its archive; unpack the archive")
        return stamp, size, read_member_start(archive, name, _HEAD)


def _write(file: IO[bytes], piece: bytes, name: str) -> None:
    try:
        file.write(piece)
    except OSError as error:
        raise ImageError(
            f"{name}: it cannot be unpacked to the folder of temporary files ({error.strerror}); "
            "free some space there, or set TMPDIR to another folder"
        ) from None


@contextmanager
def _errors_of_member(path: str, archive: str) -> Generator[None]:
    """Turn the errors of a file in an archive into ours."""
    try:
        yield
    except ArchiveError as error:
        raise ImageError(f"{shown_path(path)}: {error}") from None
    except OSError as error:
        raise ImageError(f"{shown_path(archive)}: {error.strerror}") from None


def _opened(path: str) -> tuple[BinaryIO, Stamp]:
    """Open a regular file without a wait for a writer, and return it with its stamp."""
    try:
        descriptor = open_to_read(path)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):  # fdopen() fails for a folder, and would leave its descriptor open
            os.close(descriptor)
            raise ImageError(f"{shown_path(path)}: it is {_kind(found.st_mode)}, not a file")
        return cast("BinaryIO", os.fdopen(descriptor, "rb", buffering=0)), _stamp(found)
    except OSError as error:
        # Opening a socket or a missing device has errors of its own.
        kind = "not a file" if error.errno in {errno.ENXIO, errno.ENODEV} else str(error.strerror)
        raise ImageError(_open_error(path, kind)) from None
    except ValueError:
        raise ImageError(_open_error(path, "the path holds a NUL or another character that no path can hold")) from None


def _kind(mode: int) -> str:
    return "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"


def _open_error(path: str, why: str) -> str:
    """Return why a path cannot be opened. It is not repeated if it is the image itself or a URL."""
    odd = non_path(path)
    return f"{shown_path(path)}: {why}" if odd is None else f"the image is {odd.what}, not a path; {odd.advice}"


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
