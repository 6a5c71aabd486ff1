"""Loading of images: a source is read once, so that every attempt sends the same bytes."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import anyio.to_thread

from clova_ocr_async.client.image_bytes import BinaryFile, UploadedFile, read_bytes, sent_name
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
from clova_ocr_async.host.plural import plural
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.pictures.pages import count_pages, require_pages
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.protocol.image import Image, ImageLimits

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
    "open_image",
]

T = TypeVar("T")


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

    def for_whole_pictures(self) -> ImageLoader:
        """Return a loader that refuses truncated pictures, whatever this one's limits allow."""
        if not self.limits.allow_truncated:
            return self
        return ImageLoader(replace(self.limits, allow_truncated=False), self.preparation, self._threads)

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
    """Return the size of the largest picture that is read to be shrunk, in bytes; None if none is shrunk."""
    if preparation is None or not preparation.shrink or limits.max_bytes is None:
        return None
    return max(limits.max_bytes, _MAX_SHRUNK)


def _open_page(
    page: Page, limits: ImageLimits, preparation: Preparation | None, count: Callable[[str], int | None]
) -> OpenedImage:
    """Open a page of a file. A file of one page is opened as a whole: it is billed once, however it is asked for."""
    path = os.fsdecode(page.path)
    pages = count(path)
    if pages is None:
        pages = require_pages(path)  # which raises why they cannot be counted
    if page.number > pages:
        raise ImageError(f"{shown_path(path)} has {plural(pages, 'page')}, so no page {page.number:,}")
    if pages == 1:
        return open_image(path, limits, preparation)
    return judge_page(path, f"{sent_name(path)}#{page.number}", page.number, limits, preparation)


def is_pil_image(source: object) -> bool:
    """Return whether a source is a picture of Pillow, without importing Pillow."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(source).__mro__)
