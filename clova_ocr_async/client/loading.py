"""Loading of images: a source is read once, so that every attempt sends the same bytes."""

from __future__ import annotations

import errno
import inspect
import os
import stat
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, runtime_checkable

import anyio.to_thread

from clova_ocr_async.client.preparation_threads import PreparationThreads
from clova_ocr_async.client.preparing import (
    OpenedImage,
    PreparedImage,
    judge,
    judge_page,
    judge_pil,
    make_picture,
)
from clova_ocr_async.errors import ImageError
from clova_ocr_async.host.archives import ArchiveError, member_size, read_member, split_member_path
from clova_ocr_async.host.files import open_to_read
from clova_ocr_async.host.plural import plural
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.pictures.pages import count_pages, require_pages
from clova_ocr_async.protocol.echoed_input import non_path, quoted, shown_path, shown_prose
from clova_ocr_async.protocol.image import Image, ImageLimits, check_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio import CapacityLimiter

    from clova_ocr_async.pictures.preparation import Preparation

__all__ = [
    "BinaryFile",
    "ImageLoader",
    "ImageSource",
    "PreparedImage",
    "is_pil_image",
    "load_image",
    "open_image",
    "read_bytes",
    "read_path",
]

T = TypeVar("T")


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


class PILImage(Protocol):
    """A picture of Pillow."""

    @property
    def mode(self) -> str:
        """The kind of its pixels, such as "RGB"."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        ...

    def tobytes(self) -> bytes:
        """Return the pixels."""
        ...


ImageSource = (
    str | os.PathLike[str] | Page | bytes | bytearray | memoryview | BinaryFile | UploadedFile | PILImage | Image
)
"""A path, a page of a file, bytes, a file opened in binary mode, an upload, a picture of Pillow, or an Image.

A file that can be rewound is read from its start, any other one from its position; neither is closed.
"""

_AT_HAND = (Image, bytes, bytearray, memoryview)
_PIL_BYTES = 8  # of a pixel of Pillow while it is written
_MAX_SHRUNK = 256 * 1024 * 1024  # bytes of a picture that is read to be shrunk


def _uncounted(size: int) -> None:
    """Count nothing."""


class ImageLoader:
    """Loads the images of one client: reads each, checks it, and prepares it where it needs that.

    Args:
        limits: The limits beyond which an image is refused.
        preparation: The steps that pictures may be prepared by; None to send them as they are.
        threads: The threads in which pictures are prepared.

    Attributes:
        limits: As given.
        preparation: As given.
    """

    def __init__(
        self, limits: ImageLimits, preparation: Preparation | None = None, threads: PreparationThreads | None = None
    ) -> None:
        self.limits = limits
        self.preparation = preparation
        self._threads = threads or PreparationThreads()

    @property
    def preparing(self) -> int:
        """The number of pictures that are being prepared."""
        return self._threads.busy

    async def load(
        self, source: ImageSource | PreparedImage, held: Callable[[int], object] = _uncounted
    ) -> PreparedImage:
        """Return the picture of an image.

        Args:
            source: The image, as the user gave it.
            held: Called with the bytes that the image takes from then on: once it is read, and once it is prepared.

        Raises:
            ImageError: The image cannot be read, or the service would refuse or waste it.
        """
        if isinstance(source, PreparedImage):
            return source
        opened: OpenedImage | PreparedImage
        if isinstance(source, _AT_HAND):
            opened = open_image(source, self.limits, self.preparation)
        else:
            opened = await self.in_thread(source, partial(self._opened_or_made, source))
        if isinstance(opened, PreparedImage):
            return opened
        held(opened.bytes_held)
        made = await self.make(opened)
        if opened.needs_preparation:
            held(len(made.image.data))
        return made

    async def in_thread(self, source: Any, read: Callable[[], T], limiter: CapacityLimiter | None = None) -> T:
        """Return what a function reads of an image, in a thread for reading, or for preparation if it takes that.

        Args:
            source: The image, as the user gave it.
            read: The function.
            limiter: How many threads may read at once; anyio's own number if not given.
        """
        if is_pil_image(source):  # it is encoded
            width, height = source.size
            return await self._threads.run(read, width * height * _PIL_BYTES)
        return await anyio.to_thread.run_sync(read, limiter=limiter)

    def _opened_or_made(self, source: ImageSource) -> OpenedImage | PreparedImage:
        """Open an image, and make its picture in the same thread if that takes no preparation."""
        opened = open_image(source, self.limits, self.preparation)
        return opened if opened.needs_preparation else make_picture(opened, self.limits, self.preparation)

    async def make(self, opened: OpenedImage) -> PreparedImage:
        """Return the picture of an image, made in a thread if it takes long.

        Raises:
            ImageError: It cannot be made, or the service would refuse or waste it.
        """

        def make() -> PreparedImage:
            return make_picture(opened, self.limits, self.preparation)

        if opened.needs_preparation:
            return await self._threads.run(make, opened.memory)
        # Pages of a PDF are slow to count.
        return await anyio.to_thread.run_sync(make) if opened.is_pdf else make()


async def load_image(source: ImageSource, limits: ImageLimits, preparation: Preparation | None = None) -> PreparedImage:
    """Read, prepare and check an image, as the ``ImageLoader`` of a client does."""
    return await ImageLoader(limits, preparation).load(source)


def open_image(
    source: Any,
    limits: ImageLimits,
    preparation: Preparation | None = None,
    count: Callable[[str], int | None] = count_pages,
) -> OpenedImage:
    """Read an image, and judge it by its header; blocks on the file system.

    Args:
        source: The image, as the user gave it.
        limits: The limits beyond which an image is refused.
        preparation: The steps that it may be prepared by; None for none.
        count: Counts the pages of a file.

    Raises:
        ImageError: The image cannot be read.
    """
    if isinstance(source, Page):
        return _open_page(source, limits, preparation, count)
    if isinstance(source, bytes | bytearray | memoryview):
        return judge(bytes(cast("bytes", source)), None, limits, preparation)
    if isinstance(source, Image):
        return judge(source, None, limits, preparation)
    if is_pil_image(source):
        return judge_pil(source, limits, preparation)
    return judge(*read_bytes(source, limits, _shrunk_from(limits, preparation)), limits, preparation)


def _shrunk_from(limits: ImageLimits, preparation: Preparation | None) -> int | None:
    """Return the size up to which a picture that is too large to be sent is read, to be shrunk; None for none."""
    if preparation is None or not preparation.shrink or limits.max_bytes is None:
        return None
    return max(limits.max_bytes, _MAX_SHRUNK)


def _open_page(
    page: Page, limits: ImageLimits, preparation: Preparation | None, count: Callable[[str], int | None]
) -> OpenedImage:
    """Open a page of a file. The only page of a file is the file: so it is billed once, however it is asked for."""
    path = os.fsdecode(page.path)
    pages = count(path)
    if pages is None:
        pages = require_pages(path)  # which raises why they cannot be counted
    if page.number > pages:
        raise ImageError(f"{shown_path(path)} has {plural(pages, 'page')}, so no page {page.number:,}")
    if pages == 1:
        return open_image(path, limits, preparation)
    return judge_page(path, f"{_sent_name(path)}#{page.number}", page.number, limits, preparation)


def is_pil_image(source: object) -> bool:
    """Return whether a source is a picture of Pillow, without importing Pillow."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(source).__mro__)


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
        return read_path(path, limits, shrunk_from), _sent_name(path)
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
        ImageError: The path is not a regular file, cannot be read, or is too large.
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


def _sent_name(path: str | os.PathLike[str]) -> str:
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
    stem = _sent_name(name) if isinstance(name, str) else None
    if not data and _is_past_start(file):
        subject = "file" if stem is None else f"file {quoted(stem)}"
        raise ImageError(f"the {subject} is at its end; rewind it: file.seek(0)")
    check_size(len(data), stem or "image", limits, shrunk_from=shrunk_from)
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
