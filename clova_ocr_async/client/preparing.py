"""The two steps from an image that was read to the picture of its call: judge it by its header, then make it.

The first looks at headers alone, and names the steps that the picture needs. So a ledger finds what was paid before
anything is decoded. The second cuts, converts and checks.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import logging
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from clova_ocr_async.client.tracebacks import without_frames
from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.errors import ConfigurationError, ImageError
from clova_ocr_async.extras import load_module
from clova_ocr_async.pictures.headers import read_header, sent_as_read
from clova_ocr_async.pictures.paged_file import PagedFile
from clova_ocr_async.pictures.pages import cut_page, require_pages
from clova_ocr_async.pictures.plan import Plan, plan
from clova_ocr_async.protocol.echoed_input import quoted
from clova_ocr_async.protocol.image import Image, ImageFormat, check_image, inspect_image
from clova_ocr_async.protocol.repr_without_values import Redacted
from clova_ocr_async.protocol.truncation import Completeness, pdf_completeness

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from clova_ocr_async.pictures.preparation import Preparation
    from clova_ocr_async.protocol.image import ImageFacts, ImageLimits

__all__ = [
    "OpenedImage",
    "PreparedImage",
    "check_decoder",
    "judge",
    "judge_page",
    "judge_pil",
    "make_picture",
    "pdf_page_counter",
]

logger = logging.getLogger("clova_ocr_async")

PAGE_BYTES = 32 * 1024 * 1024
"""Bytes that a page takes while it is cut out, or rendered at the default resolution."""


class PreparedImage(Redacted, frozen=True):
    """A picture that is sent as it is: its checks are done.

    Attributes:
        image: The picture.
        picture: The steps from the original to it.
    """

    image: Image
    picture: Picture


class OpenedImage(Redacted, frozen=True, kw_only=True):
    """An image that was read and judged by its header; its picture is still to be made.

    Attributes:
        data: Its bytes; an Image as it was given; the path of a file, for a page that is still to be cut out of it.
        name: The name it is sent under; None for the default.
        page: The page of the file, from 1; None if the file is sent whole.
        cut: The page to cut out, or to render, when the picture is made; None for none.
        plan: The steps that the picture needs; None if it needs none.
        recipe: The name of these steps in a ledger; empty if it needs none.
        memory: Bytes that the preparation takes meanwhile, as far as known; 0 if the picture needs none.
        record: How the bytes were made, if they are not those of a file.
        digest: The sha256 of the pixels, for a picture of Pillow; None for others.
        refusal: The error that making the picture ends in; None if the header shows none.
    """

    data: bytes | Image | str
    name: str | None = None
    page: int | None = None
    cut: int | None = None
    plan: Plan | None = None
    recipe: str = ""
    memory: int = 0
    record: Picture | None = None
    digest: bytes | None = None
    refusal: ImageError | None = None

    @property
    def needs_preparation(self) -> bool:
        """True if making its picture takes a processor for long."""
        return self.memory > 0

    @property
    def bytes_held(self) -> int:
        """Bytes that it takes until its picture is made; an Image is the caller's own, and takes none."""
        return self.memory + (len(self.data) if isinstance(self.data, bytes) else 0)

    @property
    def content(self) -> bytes:
        """Its bytes; none for a page that is still in its file."""
        if isinstance(self.data, Image):
            return self.data.data
        return self.data if isinstance(self.data, bytes) else b""

    @property
    def is_pdf(self) -> bool:
        """True if it may be a PDF, which takes time to look into."""
        return _is_pdf(self.content)

    def hash(self) -> bytes:
        """Return the sha256 of its bytes, or of the pixels of a picture of Pillow."""
        return self.digest or hashlib.sha256(self.content).digest()


def judge(
    data: bytes | Image,
    name: str | None,
    limits: ImageLimits,
    preparation: Preparation | None,
    **known: Any,
) -> OpenedImage:
    """Return an image with the steps that its header asks for; pure.

    Args:
        data: The bytes, or an Image.
        name: The name it is sent under; None for the default.
        limits: The limits of what is sent.
        preparation: The steps that are allowed; None for none.
        known: Further attributes of the image.
    """
    opened = OpenedImage(data=data, name=name, **known)
    if preparation is None:
        return opened
    if opened.is_pdf and preparation.render:
        return replace(opened, cut=1, recipe=_render_recipe(preparation), memory=PAGE_BYTES)
    content = opened.content
    try:
        steps = plan(read_header(content), len(content), preparation, limits, name=_name_of(opened))
    except ImageError as error:
        return replace(opened, refusal=without_frames(error))
    return replace(opened, plan=steps, recipe=steps.recipe, memory=steps.memory) if steps else opened


def judge_page(file: str, name: str, page: int, limits: ImageLimits, preparation: Preparation | None) -> OpenedImage:
    """Return a page of a PDF or TIFF of several.

    A page of a TIFF that may be prepared is cut out at once: that is cheap, and only its own header shows what it
    needs. A page of a PDF is cut out when its picture is made.

    Args:
        file: The path of the file.
        name: The name it is sent under.
        page: The page, from 1.
        limits: The limits of what is sent.
        preparation: The steps that are allowed; None for none.

    Raises:
        ImageError: The page cannot be cut out.
    """
    if preparation is None or _is_pdf(PagedFile.of(file).head):
        recipe = _render_recipe(preparation) if preparation is not None and preparation.render else ""
        return OpenedImage(data=file, name=name, page=page, cut=page, recipe=recipe, memory=PAGE_BYTES)
    data, record = cut_page(file, page, max_bytes=None, preparation=preparation)
    return judge(data, name, limits, preparation, page=page, record=record)


def judge_pil(image: Any, limits: ImageLimits, preparation: Preparation | None) -> OpenedImage:
    """Return a picture of Pillow, written to bytes; it takes a processor for long.

    Raises:
        ImageError: It cannot be written.
    """
    data, record = _convert().from_pil(image)
    # Its pixels name it in a ledger: the bytes depend on the version of Pillow.
    digest = hashlib.sha256(f"{image.mode} {image.size}".encode())
    digest.update(image.tobytes())
    return judge(data, None, limits, preparation, record=record, digest=digest.digest())


def _is_pdf(content: bytes) -> bool:
    return b"%PDF-" in content[:1024]


def _name_of(opened: OpenedImage) -> str | None:
    return opened.data.name if isinstance(opened.data, Image) else opened.name


def _render_recipe(preparation: Preparation) -> str:
    return f"1;render {preparation.dpi} dpi q{preparation.quality}"


def _convert() -> Any:
    return load_module("clova_ocr_async.pictures.convert", "the preparation of a picture")


def check_decoder(opened: OpenedImage) -> None:
    """Refuse an image whose picture can only be made with a library that is not installed; nothing is decoded.

    Raises:
        ImageError: It is a HEIC, and the extra ``heic`` is not installed.
    """
    if opened.plan is not None and opened.plan.header is not None and opened.plan.header.kind == "heic":
        _convert().load_heic_decoder()


def make_picture(opened: OpenedImage, limits: ImageLimits, preparation: Preparation | None) -> PreparedImage:
    """Return the picture of an image, checked. It blocks, for up to seconds if the image needs preparation.

    Raises:
        ImageError: It cannot be made, or the service would refuse or waste it.
    """
    if opened.refusal is not None:
        raise opened.refusal
    if opened.plan is not None:
        data, picture = _convert().carry_out(opened.content, opened.plan)
        return _made(opened, data, picture, limits)
    if opened.cut is not None and isinstance(opened.data, str):
        return _made(opened, *_cut(opened.data, opened.cut, limits, preparation), limits=limits)
    image = opened.data if isinstance(opened.data, Image) else Image(opened.content, opened.name)
    facts, warnings = _check(image, limits)
    if opened.cut is not None:  # rendered, now that it is known to be the only page
        return _made(opened, *_cut(image.data, opened.cut, limits, preparation, image.name), limits=limits)
    made = PreparedImage(image, opened.record or _record_of(image, facts, limits))
    _log(warnings)
    return made


def _cut(
    file: str | bytes, number: int, limits: ImageLimits, preparation: Preparation | None, name: str = ""
) -> tuple[bytes, Picture]:
    return cut_page(file, number, max_bytes=limits.max_bytes, preparation=preparation, name=_subject(name))


def _made(opened: OpenedImage, data: bytes, picture: Picture, limits: ImageLimits) -> PreparedImage:
    """Return a picture that was made of an image, checked and under the image's name."""
    if (record := opened.record) is not None:
        picture = replace(picture, page=record.page, steps=(*record.steps, *picture.steps))
    image = Image(data, _name_of(opened))
    _log(_check(image, limits, made=True)[1])
    return PreparedImage(image, picture)


def _check(image: Image, limits: ImageLimits, *, made: bool = False) -> tuple[ImageFacts, tuple[str, ...]]:
    """Refuse an image that the service would refuse or waste; return its facts, and what else may be wrong with it."""
    try:
        return check_image(image, limits, pages=_pages_if_installed, converted=made)
    except ImageError as error:
        if image.format is ImageFormat.PDF and not error.truncated:
            _check_division(image)
        raise


def _check_division(image: Image) -> None:
    """Refuse a PDF that cannot be split by its own fault: the advice to split it would lead nowhere.

    Raises:
        ImageError: It is encrypted or damaged, or one page is all that can be found of several.
    """
    with contextlib.suppress(ConfigurationError):
        found = require_pages(image.data, name=_subject(image.name))
        stated = inspect_image(image.data).pages or _pages_if_installed(image.data) or found
        if found == 1 < stated:
            raise ImageError(
                f"{_subject(image.name)} claims to have {stated:,} pages, and only one can be found; "
                "print it to a new PDF, or get the whole file"
            )


def _log(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        logger.warning("%s", warning)


def _subject(name: str) -> str:
    return f"image {quoted(name)}"


def _record_of(image: Image, facts: ImageFacts, limits: ImageLimits) -> Picture:
    """Return the record of an image that is sent byte for byte.

    Raises:
        ImageError: It is a PDF that cannot be opened, and the extra ``pictures`` is installed to find that out.
    """
    if image.format is not ImageFormat.PDF:
        return sent_as_read(image.data, facts)
    try:
        picture = cut_page(image.data, 1, max_bytes=None, preparation=None, name=_subject(image.name))[1]
    except ConfigurationError:
        return Picture()
    except ImageError as error:
        # A file that lost its last bytes may count as complete by its bytes alone.
        truncated = error.truncated or pdf_completeness(image.data) is not Completeness.COMPLETE
        if truncated and limits.allow_truncated:
            return Picture()
        raise
    return Picture() if picture.page is not None else picture  # the limits may allow several pages


def _pages_if_installed(data: bytes) -> int | None:
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
