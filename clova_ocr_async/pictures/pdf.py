"""Pages of PDFs: counted, cut out, and rendered where a cut page would be wasteful (extra ``pictures``).

pikepdf (qpdf) counts and cuts; see ``pdf_document``. pdfium renders, and sees nothing but the page that was cut.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import pikepdf
import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no py.typed

from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures.pdf_content import largest_image
from clova_ocr_async.pictures.pdf_document import DOCUMENTS, PIKEPDF, REPAIR, CutPage
from clova_ocr_async.pictures.pdfium import PDFIUM, drawn, number_of_pages
from clova_ocr_async.pictures.preparation import Preparation

if TYPE_CHECKING:
    import PIL.Image

    from clova_ocr_async.pictures.paged_file import PagedFile

__all__ = ["count_pages", "count_pdf_pages", "cut_page", "draw_page"]

_MAX_SIDE = 8000  # pixels of a rendering. Assumed, as ImageLimits.max_side.
_MAX_IMAGE = 300_000_000  # pixels of a picture inside a page that is rendered; A4 at 1,200 dpi has 140,000,000
_WASTEFUL_BYTES, _WASTEFUL_FACTOR = 2_000_000, 4  # a larger page is compared with its rendering
_TRIES = 3  # further renderings of a page, each smaller, to stay within the limit of bytes
_GLANCE = 400  # pixels of the longer side of a rendering that only shows that there is anything
_ROUNDING = 2  # pixels


def count_pdf_pages(data: bytes) -> int | None:
    """Count the pages of a PDF of any kind, encrypted ones that open without a password included.

    Safe to call from several threads; they take turns.

    Args:
        data: The whole file.

    Returns:
        The number of pages, at least 1, as pdfium opens no file without pages. None if it cannot open the file.
    """
    with PDFIUM:
        return number_of_pages(data)


def count_pages(file: PagedFile) -> int:
    """Count the pages that can be cut out of a PDF.

    Raises:
        ImageError: The file is encrypted, broken or empty.
    """
    with DOCUMENTS.borrow(file) as document:
        return document.count


def cut_page(
    file: PagedFile, number: int, *, max_bytes: int | None, preparation: Preparation | None
) -> tuple[bytes, Picture]:
    """Return one page of a PDF as a file of its own: a PDF, or a JPEG where a PDF would be wasteful or too large.

    A file of one page is returned as it is, if it may be.

    Args:
        file: The file.
        number: The page, from 1.
        max_bytes: The largest file that may be sent; None for no limit.
        preparation: The settings of renderings; None for the default ones.

    Raises:
        ImageError: The file is encrypted, broken or empty, has no such page, or the page cannot be made small enough.
    """
    settings = preparation or Preparation()
    with DOCUMENTS.borrow(file) as document:
        # Only this part holds the document: other threads cut their pages while this one is rendered.
        cut = document.cut(number)
    # qpdf recovers 200 pages of a cut-off file whose content is gone: each would be a paid call for white paper.
    if cut.is_damaged and not _shows_anything(cut):
        raise ImageError(f"{cut.name} is damaged, and nothing of the page is left; {REPAIR}")
    if settings.render:
        return _rendered(cut, settings, max_bytes)
    if cut.page is None and _fits(file.size, max_bytes):
        return file.read(), _picture(cut, ())
    if not _fits(len(cut.data), max_bytes):
        return _rendered(cut, settings, max_bytes, f"the page has {len(cut.data):,} bytes as a pdf")
    return _thrifty(cut, settings, max_bytes)


def draw_page(file: PagedFile, number: int, size: tuple[int, int]) -> PIL.Image.Image:
    """Return a page as a picture of a certain size.

    Args:
        file: The file.
        number: The page, from 1.
        size: Width and height in pixels.

    Raises:
        ImageError: The file is encrypted, broken or empty, has no such page, or the sides of the page have another
            ratio.
    """
    with DOCUMENTS.borrow(file) as document:
        cut = document.cut(number)
    # A little less, because pdfium rounds up.
    scale = max(side / shown for side, shown in zip(size, cut.geometry.size, strict=True)) * (1 - 1e-9)
    if any(abs(side - shown * scale) > _ROUNDING for side, shown in zip(size, cut.geometry.size, strict=True)):
        raise ImageError(f"{cut.name} has sides of another ratio than {size[0]} x {size[1]} pixels")
    return _pixels(cut, scale).crop((0, 0, *size))


def _fits(size: int, max_bytes: int | None) -> bool:
    return max_bytes is None or size <= max_bytes


def _thrifty(cut: CutPage, settings: Preparation, max_bytes: int | None) -> tuple[bytes, Picture]:
    """Return a cut page, or its rendering if that is much smaller: a shared font comes whole with every page."""
    # As a PDF if possible: its text stays sharp, and pages of one scan are not encoded a second time.
    if len(cut.data) > _WASTEFUL_BYTES:
        try:
            data, picture = _rendered(cut, settings, max_bytes, f"the page has {len(cut.data):,} bytes as a pdf")
        except ImageError:
            pass  # the page can be sent as it is
        else:
            if len(data) * _WASTEFUL_FACTOR < len(cut.data):
                return data, picture
    return cut.data, _picture(cut, cut.steps, sha256=hashlib.sha256(cut.data).hexdigest())


def _picture(cut: CutPage, steps: tuple[str, ...], **facts: Any) -> Picture:
    geometry = cut.geometry
    return Picture(
        steps=steps,
        page=cut.page,
        size=geometry.size,
        rotation=geometry.rotation,
        crop_box=geometry.crop_box,
        **facts,
    )


def _rendered(
    cut: CutPage, settings: Preparation, max_bytes: int | None, why: str | None = None
) -> tuple[bytes, Picture]:
    """Render a page as a JPEG; at a lower dpi than asked for if it would be too large.

    Raises:
        ImageError: The page cannot be rendered, or not within the limit of bytes.
    """
    scale = cut.geometry.scale(settings.dpi, _MAX_SIDE)
    picture = _pixels(cut, scale)
    data = _jpeg(picture, settings.quality)
    tries = _TRIES
    while max_bytes is not None and len(data) > max_bytes:
        if not tries:
            raise ImageError(
                f"{cut.name} has {len(data):,} bytes as a jpeg of {picture.width} x {picture.height} pixels, "
                f"and {max_bytes:,} are allowed; raise ImageLimits.max_bytes"
            )
        tries -= 1
        # Bytes grow with the area; a tenth less, so that one more try is enough for most pages.
        scale *= 0.9 * (max_bytes / len(data)) ** 0.5
        picture = _pixels(cut, scale)
        data = _jpeg(picture, settings.quality)
    dpi = cut.geometry.dpi(scale)
    notes = [note for note in (why, _less(dpi, settings.dpi)) if note]
    step = f"rendered at {dpi:.0f} dpi to jpeg" + (f" ({'; '.join(notes)})" if notes else "")
    facts = {"sent_size": picture.size, "sha256": hashlib.sha256(data).hexdigest()}
    return data, _picture(cut, (*cut.steps, step), **facts)


def _less(dpi: float, wanted: int) -> str | None:
    return f"{wanted} dpi would exceed the limits" if round(dpi) < wanted else None


def _jpeg(picture: PIL.Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _shows_anything(cut: CutPage) -> bool:
    """Return whether a page is anything but one colour."""
    darkest, brightest = _pixels(cut, cut.geometry.scale(72, _GLANCE)).convert("L").getextrema()
    return darkest != brightest


def _pixels(cut: CutPage, scale: float) -> PIL.Image.Image:
    """Render a page with the fields of its form.

    Raises:
        ImageError: The page cannot be rendered, or holds a picture too large to be decoded.
    """
    with PIKEPDF, pikepdf.open(io.BytesIO(cut.data)) as pdf:
        largest = largest_image(pdf)
    if largest > _MAX_IMAGE:
        raise ImageError(
            f"{cut.name} holds a picture of {largest:,} pixels, and at most {_MAX_IMAGE:,} are decoded; make it smaller"
        )
    with PDFIUM:
        try:
            return drawn(cut.data, scale)
        except (pdfium.PdfiumError, ValueError, MemoryError):
            raise ImageError(f"{cut.name} cannot be rendered: the page is damaged; {REPAIR}") from None
