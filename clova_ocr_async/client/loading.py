"""Loading of images: a source is read once, so that every attempt sends the same bytes."""

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
from clova_ocr_async.protocol.echoed_input import non_path, quoted, shown_path, shown_prose
from clova_ocr_async.protocol.image import Image, ImageFormat, ImageLimits, check_image, check_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["BinaryFile", "ImageSource", "load_image", "pdf_page_counter", "read_bytes", "read_path"]

logger = logging.getLogger("clova_ocr_async")


@runtime_checkable
class BinaryFile(Protocol):
    """An object whose ``read`` returns bytes, such as a file opened in binary mode."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to so many bytes; all for -1."""
        ...


ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Image
"""A path, bytes, a file opened in binary mode (read from its position, never closed), or an Image."""


async def load_image(source: ImageSource, limits: ImageLimits) -> Image:
    """Read and check an image.

    Args:
        source: The image, as the user gave it.
        limits: The limits beyond which an image is refused.

    Raises:
        ImageError: The image cannot be read, or the service would refuse or waste it.
    """
    if isinstance(source, Image | bytes | bytearray | memoryview):
        image = source if isinstance(source, Image) else Image(source)
        if image.format is not ImageFormat.PDF:  # pages of a PDF are slow to count, so that is done in a thread
            return _checked(image, limits)
        return await anyio.to_thread.run_sync(_checked, image, limits)
    return await anyio.to_thread.run_sync(_read, source, limits)


def _read(source: str | os.PathLike[str] | BinaryFile, limits: ImageLimits) -> Image:
    return _checked(Image(*read_bytes(source, limits)), limits)


def read_bytes(source: str | os.PathLike[str] | BinaryFile, limits: ImageLimits) -> tuple[bytes, str | None]:
    """Read a path or a file, without a check of its format.

    Returns:
        The bytes, and the name under which they are sent.

    Raises:
        ImageError: The file cannot be read, or is too large.
    """
    if isinstance(source, str | os.PathLike):
        return read_path(source, limits), _sent_name(source)
    if isinstance(source, BinaryFile):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers are not all typed
        return _read_file(source, limits)
    raise ImageError(
        f"the image is a {type(source).__name__}; it must be a path, bytes, a file opened in binary mode, or an Image"
        f"{_WITHOUT_CLASS if _is_pair(source) else ''}"
    )


_WITHOUT_CLASS = "; for pairs of image and document class leave out the class for all of them, or give the image alone"


def _is_pair(source: Any) -> bool:
    """Return whether a source is a pair of image and document class, as a batch without a common class takes it."""
    match source:
        case (_, type()):
            return True
        case _:
            return False


def read_path(path: str | os.PathLike[str], limits: ImageLimits) -> bytes:
    """Read a regular file; one that is too large is refused before it is read.

    Raises:
        ImageError: The path is not a regular file, cannot be read, or is too large.
    """
    name = os.fsdecode(path)
    try:
        descriptor = open_to_read(name)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise ImageError(f"{shown_path(name)}: it is {_kind(found.st_mode)}")
            check_size(found.st_size, Path(name).name, limits)
            # fdopen() fails for a folder, and would leave its descriptor open. The file may grow while it is read; the
            # bytes that were read are checked and sent.
            with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
                return file.readall()
        finally:
            os.close(descriptor)
    except OSError as error:
        # Opening a socket or a missing device has errors of its own.
        kind = "not a file" if error.errno in {errno.ENXIO, errno.ENODEV} else error.strerror
        raise ImageError(_open_error(name, str(kind))) from None
    except ValueError:
        raise ImageError(_open_error(name, "the path holds a NUL or another character that no path can hold")) from None


def _open_error(name: str, why: str) -> str:
    """Return why a name cannot be opened. It is not repeated if it is the image itself or a URL."""
    odd = non_path(name)
    return f"{shown_path(name)}: {why}" if odd is None else f"the image is {odd.what}, not a path; {odd.advice}"


def _sent_name(path: str | os.PathLike[str]) -> str:
    """Return a path's last part, with bytes that are not UTF-8 replaced."""
    return Path(os.fsdecode(path)).name.encode("utf-8", "replace").decode()


def _kind(mode: int) -> str:
    return (
        "a folder, not a file; for its pictures see images_in"
        if stat.S_ISDIR(mode)
        else "a pipe, a socket or a device, not a file"
    )


def _read_file(file: BinaryFile, limits: ImageLimits) -> tuple[bytes, str | None]:
    try:
        data = _read_all(file, limits.max_bytes)
    except ImageError:
        raise
    except Exception as error:  # any error of the user's file concerns this one image only
        raise ImageError(f"the file cannot be read: {shown_prose(error)}") from error
    name = getattr(file, "name", None)
    stem = _sent_name(name) if isinstance(name, str) else None
    if not data and _is_past_start(file):
        subject = "file" if stem is None else f"file {quoted(stem)}"
        raise ImageError(f"the {subject} is at its end; rewind it: file.seek(0)")
    check_size(len(data), stem or "image", limits)
    return data, stem


def _is_past_start(file: object) -> bool:
    """Return whether a file is past its start, as far as it can tell."""
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


def _checked(image: Image, limits: ImageLimits) -> Image:
    for warning in check_image(image, limits, pages=_count_pages)[1]:
        logger.warning("%s", warning)
    return image


def _count_pages(data: bytes) -> int | None:
    # Imported only when it is needed: the counter is slow to load.
    count = pdf_page_counter()
    return None if count is None else count(data)


def pdf_page_counter(
    load: Callable[[str], ModuleType] = importlib.import_module,
) -> Callable[[bytes], int | None] | None:
    """Return the exact page counter of the extra ``pictures``; None where it is not installed."""
    try:
        return cast("Callable[[bytes], int | None]", load("clova_ocr_async.pictures.pdf").count_pdf_pages)
    except ModuleNotFoundError:
        return None
