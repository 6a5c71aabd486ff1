"""Reading what the user hands in, once, so that every attempt sends the same bytes."""

from __future__ import annotations

import errno
import importlib
import logging
import os
import stat
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import anyio.to_thread

from clova_ocr_async.errors import ImageError
from clova_ocr_async.host.files import open_to_read
from clova_ocr_async.protocol.echo import oddity_of, quoted, shown_path, shown_prose
from clova_ocr_async.protocol.image import Image, ImageFormat, ImageLimits, check_image, check_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["BinaryFile", "ImageSource", "load_image", "pdf_page_counter", "read_bytes", "read_path"]

logger = logging.getLogger("clova_ocr_async")


@runtime_checkable
class BinaryFile(Protocol):
    """Something with a ``read`` that gives bytes, such as a file opened in binary mode."""

    def read(self, size: int = -1, /) -> bytes:
        """Return so many bytes, all for -1."""
        ...


ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Image
"""A path, bytes, a file opened in binary mode (read from where it stands, never closed), or an Image."""


async def load_image(source: ImageSource, limits: ImageLimits) -> Image:
    """Read and judge an image.

    Args:
        source: What the user handed in.
        limits: What to refuse.

    Raises:
        ImageError: It cannot be read, or the service would refuse or waste it.
    """
    if isinstance(source, Image | bytes | bytearray | memoryview):
        image = source if isinstance(source, Image) else Image(source)
        if image.format is not ImageFormat.PDF:
            return _judged(image, limits)
        return await anyio.to_thread.run_sync(_judged, image, limits)
    return await anyio.to_thread.run_sync(_read, source, limits)


def _read(source: str | os.PathLike[str] | BinaryFile, limits: ImageLimits) -> Image:
    return _judged(Image(*read_bytes(source, limits)), limits)


def read_bytes(source: str | os.PathLike[str] | BinaryFile, limits: ImageLimits) -> tuple[bytes, str | None]:
    """Read a path or a file, without looking at what it is a picture of.

    Returns:
        The bytes, and the name they are sent under.

    Raises:
        ImageError: It cannot be read, or is too large.
    """
    if isinstance(source, str | os.PathLike):
        return read_path(source, limits), _sendable(source)
    if isinstance(source, BinaryFile):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers are not all typed
        return _read_file(source, limits)
    raise ImageError(
        f"the image is a {type(source).__name__}; it must be a path, bytes, a file opened in binary mode, or an Image"
        f"{_WITHOUT_CLASS if _is_pair(source) else ''}"
    )


_WITHOUT_CLASS = "; for pairs of image and document class leave out the class for all of them, or give the image alone"


def _is_pair(source: Any) -> bool:
    """Return whether a source is an image and a document class, as a batch takes them that has no class for all."""
    match source:
        case (_, type()):
            return True
        case _:
            return False


def read_path(path: str | os.PathLike[str], limits: ImageLimits) -> bytes:
    """Read a regular file, refusing one that is too large before it is read.

    Raises:
        ImageError: It is no regular file, cannot be read, or is too large.
    """
    name = os.fsdecode(path)
    try:
        descriptor = open_to_read(name)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise ImageError(f"{shown_path(name)}: it is {_kind(found.st_mode)}")
            check_size(found.st_size, Path(name).name, limits)
            # A folder's descriptor cannot be made a file, and would stay open. The file may grow while it is read; what
            # is read is what is judged and sent.
            with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
                return file.readall()
        finally:
            os.close(descriptor)
    except OSError as error:
        # Opening a socket or a device that is not there has errors of its own.
        kind = "not a file" if error.errno in {errno.ENXIO, errno.ENODEV} else error.strerror
        raise ImageError(_unopened(name, str(kind))) from None
    except ValueError:
        raise ImageError(_unopened(name, "the path holds a NUL or another character that no path can hold")) from None


def _unopened(name: str, why: str) -> str:
    """Return why there is no file of a name, which may be the image itself or a URL and is not repeated then."""
    odd = oddity_of(name)
    return f"{shown_path(name)}: {why}" if odd is None else f"the image is {odd.what}, not a path; {odd.advice}"


def _sendable(path: str | os.PathLike[str]) -> str:
    """Return a path's last part, with what is no UTF-8 in it replaced."""
    return Path(os.fsdecode(path)).name.encode("utf-8", "replace").decode()


def _kind(mode: int) -> str:
    return (
        "a folder, not a file; for its pictures see images_in"
        if stat.S_ISDIR(mode)
        else "a pipe, a socket or a device, not a file"
    )


def _read_file(file: BinaryFile, limits: ImageLimits) -> tuple[bytes, str | None]:
    try:
        data = _drained(file, limits.max_bytes)
    except ImageError:
        raise
    except Exception as error:  # whatever the user's file raises is about this one image
        raise ImageError(f"the file cannot be read: {shown_prose(error)}") from error
    name = getattr(file, "name", None)
    stem = _sendable(name) if isinstance(name, str) else None
    if not data and _stands_behind(file):
        subject = "file" if stem is None else f"file {quoted(stem)}"
        raise ImageError(f"the {subject} is at its end; rewind it: file.seek(0)")
    check_size(len(data), stem or "image", limits)
    return data, stem


def _stands_behind(file: object) -> bool:
    """Return whether a file is not at its start, as far as it knows."""
    try:
        position: object = cast("Any", file).tell()
    except Exception:  # noqa: BLE001 - a file that has no tell, or no answer
        return False
    return isinstance(position, int) and position > 0


def _drained(file: BinaryFile, max_bytes: int | None) -> bytes:
    """Read to the end: pipes and unbuffered files give less than they are asked for."""
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


def _judged(image: Image, limits: ImageLimits) -> Image:
    for warning in check_image(image, limits, pages=_counted_pages)[1]:
        logger.warning("%s", warning)
    return image


def _counted_pages(data: bytes) -> int | None:
    # Looked for only when it is needed: what counts is slow to load.
    count = pdf_page_counter()
    return None if count is None else count(data)


def pdf_page_counter(
    load: Callable[[str], ModuleType] = importlib.import_module,
) -> Callable[[bytes], int | None] | None:
    """Return the exact page counter of the extra ``pictures``; None where it is not installed."""
    try:
        return cast("Callable[[bytes], int | None]", load("clova_ocr_async.pictures.pages").count_pdf_pages)
    except ModuleNotFoundError:
        return None
