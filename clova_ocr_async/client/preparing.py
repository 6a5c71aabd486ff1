"""The two steps from an image that was read to the picture of its call: judge it by its header, then make it.

The first looks at headers alone, and names the steps that the picture needs. So a ledger finds what was paid before
anything is decoded. The second cuts, converts and checks.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures.headers import read_header
from clova_ocr_async.pictures.plan import plan
from clova_ocr_async.protocol.image import Image, check_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from clova_ocr_async.pictures.pil_image import PILCopy
    from clova_ocr_async.pictures.plan import Plan
    from clova_ocr_async.pictures.preparation import Preparation
    from clova_ocr_async.protocol.image import ImageLimits

__all__ = ["OpenedImage", "PreparedImage", "count_pages", "judge", "judge_page", "judge_still", "load_pictures", "make_picture", "pdf_page_counter"]

logger = logging.getLogger("clova_ocr_async")

_PIXEL_BYTES = 8  # of a picture while it is converted: its decoded pixels, and those of the next step
_PAGE_BYTES = 32 * 1024 * 1024  # of a page while it is cut, or rendered at the default resolution


@dataclass(frozen=True, slots=True, repr=False)
class PreparedImage:
    """A picture that is sent as it is: its checks are done.

    Attributes:
        image: The picture.
        picture: The steps from the original to it.
    """

    image: Image
    picture: Picture


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class OpenedImage:
    """An image that was read and judged by its header; its picture is still to be made.

    Attributes:
        data: Its bytes; an Image as it was given; a copy of a picture of Pillow; or the path of a file, for a page.
        name: The name it is sent under; None for the default.
        page: The page to cut out of it, from 1; None if it is sent whole.
        plan: The steps that it needs; None if it needs none.
        recipe: The name of these steps in a ledger; empty if it needs none.
        memory: Bytes that its preparation takes meanwhile, as far as known; 0 if it needs none.
        refusal: The error that its picture ends in; None if the header shows none.
    """

    data: bytes | Image | PILCopy | str
    name: str | None = None
    page: int | None = None
    plan: Plan | None = None
    recipe: str = ""
    memory: int = 0
    refusal: ImageError | None = None

    @property
    def needs_preparation(self) -> bool:
        """Whether making its picture takes a processor for long."""
        return self.memory > 0

    @property
    def bytes_held(self) -> int:
        """Bytes that it takes until its picture is made; an Image is the caller's own, and takes none."""
        return self.memory + (len(self.data) if isinstance(self.data, bytes) else 0)

    def hash(self) -> bytes:
        """Return the sha256 of its file; of the pixels of a picture of Pillow. Not for a page that is in its file."""
        if isinstance(self.data, bytes | Image):
            data = self.data if isinstance(self.data, bytes) else self.data.data
            return hashlib.sha256(data).digest()
        return cast("PILCopy", self.data).hash()

    @property
    def is_pdf(self) -> bool:
        """Whether it may be a PDF, whose pages take time to count."""
        data = self.data.data if isinstance(self.data, Image) else self.data
        return isinstance(data, bytes) and b"%PDF-" in data[:1024]


def judge(
    data: bytes | Image, name: str | None, limits: ImageLimits, preparation: Preparation | None
) -> OpenedImage:
    """Return an image with the steps that its header asks for; pure.

    Args:
        data: The bytes of the file, or an Image.
        name: The name it is sent under; None for the default.
        limits: The limits of what is sent.
        preparation: The steps that are allowed; None for none.
    """
    content = data.data if isinstance(data, Image) else data
    header = None if preparation is None else read_header(content)
    if preparation is None or header is None:  # a PDF, or not a picture
        return OpenedImage(data=data, name=name)
    try:
        steps = plan(header, len(content), preparation, limits)
    except ImageError as error:
        return OpenedImage(data=data, name=name, refusal=error)
    if not steps.steps:
        return OpenedImage(data=data, name=name)
    width, height = header.stored_size or (0, 0)
    memory = max(width * height * _PIXEL_BYTES, 1)
    return OpenedImage(data=data, name=name, plan=steps, recipe=steps.recipe, memory=memory)


def judge_page(file: str | bytes, name: str, number: int, preparation: Preparation | None) -> OpenedImage:
    """Return a page that is cut out of a file when its picture is made.

    Args:
        file: The path of the file, or its bytes.
        name: The name it is sent under.
        number: The page, from 1.
        preparation: The steps that are allowed; None for none.
    """
    recipe = ""
    return OpenedImage(data=file, name=name, page=number, recipe=recipe, memory=_PAGE_BYTES)


def judge_still(still: Any, limits: ImageLimits, preparation: Preparation | None) -> OpenedImage:
    """Return a picture of Pillow, copied, so that a later change of it changes nothing.

    Raises:
        ImageError: Its pixels cannot be read.
    """
    raise NotImplementedError


def make_picture(opened: OpenedImage, limits: ImageLimits, preparation: Preparation | None) -> PreparedImage:
    """Return the picture of an image, checked. It blocks, for up to seconds if the image needs preparation.

    Raises:
        ImageError: It cannot be made, or the service would refuse or waste it.
    """
    if opened.refusal is not None:
        raise opened.refusal
    if opened.page is not None:
        cut = load_pictures("pages", "a page of a file").cut_page
        return _made(*cut(opened.data, opened.page, max_bytes=limits.max_bytes, preparation=preparation), opened, limits)
    if opened.plan is not None:
        content = opened.data.data if isinstance(opened.data, Image) else opened.data
        convert = load_pictures("convert", "to prepare a picture").carry_out
        return _made(*convert(content, opened.plan), opened, limits)
    image = opened.data if isinstance(opened.data, Image) else Image(cast("bytes", opened.data), opened.name)
    _check(image, limits)
    header = read_header(image.data)
    return PreparedImage(image, Picture() if header is None else header.as_sent())


def _made(data: bytes, picture: Picture, opened: OpenedImage, limits: ImageLimits) -> PreparedImage:
    """Return a picture that was made of an image, checked and under the image's name."""
    image = Image(data, opened.data.name if isinstance(opened.data, Image) else opened.name)
    _check(image, limits, made=True)
    return PreparedImage(image, picture)


def _check(image: Image, limits: ImageLimits, *, made: bool = False) -> None:
    """Refuse an image that the service would refuse or waste, and log what else may be wrong with it."""
    for warning in check_image(image, limits, pages=_pages_if_installed, converted=made)[1]:
        logger.warning("%s", warning)


def count_pages(file: str | bytes) -> int | None:
    """Return the exact number of pages of a file; None if it cannot be counted.

    Raises:
        ImageError: The extra ``pictures`` is not installed.
    """
    count: int | None = load_pictures("pages", "a page of a file").count_pages(file)
    return count


def _pages_if_installed(data: bytes) -> int | None:
    # Imported only when it is needed: the counter is slow to load.
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
