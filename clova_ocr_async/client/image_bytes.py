"""The bytes of an image: of a path, of a member of an archive, and of an open or uploaded file."""

from __future__ import annotations

import errno
import inspect
import os
import stat
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from clova_ocr_async.errors import ImageError
from clova_ocr_async.host.archives import ArchiveError, member_size, read_member, split_member_path
from clova_ocr_async.host.files import open_to_read
from clova_ocr_async.protocol.echoed_input import non_path, quoted, shown_path, shown_prose
from clova_ocr_async.protocol.image import ImageLimits, check_size

__all__ = ["BinaryFile", "UploadedFile", "read_bytes", "read_path", "read_unchanged", "sent_name"]


@runtime_checkable
class BinaryFile(Protocol):
    """An object whose ``read`` returns bytes, such as a file opened in binary mode."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to so many bytes; all for -1."""
        ...


class UploadedFile(Protocol):
    """An upload of FastAPI or Starlette, whose ``file`` is a binary file."""

    @property
    def file(self) -> BinaryFile:
        """The file that the upload was written to."""
        ...

    async def read(self, size: int = -1) -> bytes:
        """Return up to so many bytes; all for -1."""
        ...


def read_bytes(source: Any, limits: ImageLimits, shrunk_from: int | None = None) -> tuple[bytes, str | None]:
    """Read a path or a file, without a check of its format.

    Args:
        source: The path or the file.
        limits: The limits beyond which it is refused.
        shrunk_from: As in ``check_size``.

    Returns:
        The bytes, and the name under which they are sent.

    Raises:
        ImageError: The file cannot be read, or is too large.
    """
    if isinstance(source, str | os.PathLike):
        path = cast("str | os.PathLike[str]", source)
        return read_path(path, limits, shrunk_from), sent_name(path)
    if _is_upload(source):
        return _read_upload(source, limits, shrunk_from)
    if isinstance(source, BinaryFile):
        return _read_file(source, getattr(source, "name", None), limits, shrunk_from)
    raise ImageError(
        f"the image is a {type(source).__name__}; it must be a path, a Page, bytes, a file opened in binary mode, or "
        f"an Image{_WITHOUT_CLASS if _is_pair(source) else ''}"
    )


_WITHOUT_CLASS = "; for pairs of image and document class leave out the class for all of them, or give the image alone"


def _is_pair(source: Any) -> bool:
    """Return whether a source is a pair of image and document class, as a batch without a common class takes it."""
    match source:
        case (_, type()):
            return True
        case _:
            return False


def read_path(path: str | os.PathLike[str], limits: ImageLimits, shrunk_from: int | None = None) -> bytes:
    """Read a regular file, or a file in a zip archive; one that is too large is refused before it is read.

    Args:
        path: The path.
        limits: The limits beyond which it is refused.
        shrunk_from: As in ``check_size``.

    Raises:
        ImageError: The path is not a regular file, cannot be read, is too large, or changes while it is read.
    """
    name = os.fsdecode(path)
    if (member := split_member_path(name)) is not None:
        return _read_member(name, *member, limits, shrunk_from)
    try:
        descriptor = open_to_read(name)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise ImageError(f"{shown_path(name)}: it is {_kind(found.st_mode)}")
            check_size(found.st_size, Path(name).name, limits, shrunk_from=shrunk_from)
            return read_unchanged(descriptor, found, name)
        finally:
            os.close(descriptor)
    except OSError as error:
        # Opening a socket or a missing device has errors of its own.
        kind = "not a file" if error.errno in {errno.ENXIO, errno.ENODEV} else error.strerror
        raise ImageError(_open_error(name, str(kind))) from None
    except ValueError:
        raise ImageError(_open_error(name, "the path holds a NUL or another character that no path can hold")) from None


def read_unchanged(descriptor: int, before: os.stat_result, name: str) -> bytes:
    """Read an open file to its end.

    Args:
        descriptor: Its descriptor.
        before: Its status, from before it is read.
        name: Its path, for messages.

    Raises:
        ImageError: It was written to meanwhile, so that the bytes may be of two versions, or of a part.
        OSError: It cannot be read.
    """
    # fdopen() fails for a folder, and would leave its descriptor open.
    with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
        data = file.readall()
    after = os.fstat(descriptor)
    if len(data) != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise ImageError(
            f"{shown_path(name)} changed while it was read; give it again once it is complete", truncated=True
        )
    return data


def _read_member(path: str, archive: str, name: str, limits: ImageLimits, shrunk_from: int | None) -> bytes:
    try:
        check_size(member_size(archive, name), Path(name).name, limits, shrunk_from=shrunk_from)
        return read_member(archive, name)
    except ArchiveError as error:
        raise ImageError(f"{shown_path(path)}: {error}") from None
    except OSError as error:
        raise ImageError(f"{shown_path(archive)}: {error.strerror}") from None


def _open_error(name: str, why: str) -> str:
    """Return why a name cannot be opened. It is not repeated if it is the image itself or a URL."""
    odd = non_path(name)
    return f"{shown_path(name)}: {why}" if odd is None else f"the image is {odd.what}, not a path; {odd.advice}"


def sent_name(path: str | os.PathLike[str]) -> str:
    """Return a path's last part, with bytes that are not UTF-8 replaced."""
    return Path(os.fsdecode(path)).name.encode("utf-8", "replace").decode()


def _kind(mode: int) -> str:
    return (
        "a folder, not a file; for its pictures see images_in"
        if stat.S_ISDIR(mode)
        else "a pipe, a socket or a device, not a file"
    )


def _is_upload(source: Any) -> bool:
    """Return whether a source is an upload of FastAPI or Starlette, whose own ``read`` is for the event loop."""
    return hasattr(source, "file") and inspect.iscoroutinefunction(getattr(source, "read", None))


def _read_upload(upload: Any, limits: ImageLimits, shrunk_from: int | None) -> tuple[bytes, str | None]:
    if getattr(upload.file, "closed", False):
        named = f" {quoted(upload.filename)}" if upload.filename else ""
        raise ImageError(f"the upload{named} is closed, as each is at the end of its request; pass it before that")
    return _read_file(upload.file, upload.filename, limits, shrunk_from)


def _read_file(
    file: BinaryFile, name: object, limits: ImageLimits, shrunk_from: int | None
) -> tuple[bytes, str | None]:
    try:
        if (seekable := getattr(file, "seekable", None)) is not None and seekable():
            cast("Any", file).seek(0)
        data = _read_all(file, limits.max_bytes if shrunk_from is None else shrunk_from)
    except ImageError:
        raise
    except Exception as error:  # any error of the user's file concerns this one image only
        raise ImageError(f"the file cannot be read: {shown_prose(error)}") from error
    stem = sent_name(name) if isinstance(name, str) else None
    if not data and _is_past_start(file):
        subject = "file" if stem is None else f"file {quoted(stem)}"
        raise ImageError(f"the {subject} is at its end; rewind it: file.seek(0)")
    check_size(len(data), stem or "image", limits, shrunk_from=shrunk_from)
    return data, stem


def _is_past_start(file: object) -> bool:
    """Return whether a file is past its start, as far as it reports its position."""
    try:
        position: object = cast("Any", file).tell()
    except Exception:  # noqa: BLE001 - a file without tell(), or one that raises
        return False
    return isinstance(position, int) and position > 0


def _read_all(file: BinaryFile, max_bytes: int | None) -> bytes:
    """Read to the end: pipes and unbuffered files return less than they are asked for."""
    parts: list[bytes] = []
    # One byte over the limit is enough to refuse, however endless the file is.
    left = -1 if max_bytes is None else max_bytes + 1
    while max_bytes is None or left > 0:
        part = cast("object", file.read(left))
        if not isinstance(part, bytes):
            raise ImageError(f"the file's read() gave {_unusable(part)}")
        if not part:
            break
        parts.append(part)
        left -= 0 if max_bytes is None else len(part)
    return b"".join(parts)


def _unusable(part: object) -> str:
    if isinstance(part, Coroutine):
        part.close()
        return "a coroutine; await it and pass the bytes"
    return f"a {type(part).__name__}; open it in binary mode"
