"""Pages of PDFs: counted, cut without re-encoding, and rendered where a cut page would be wasteful.

pikepdf (qpdf) counts and cuts. A cut page brings only what it uses: with the images of all pages in resources that all
pages share, 200 pages of a 62 MB file came to 12 GB. Equal files give equal bytes. pdfium renders, and sees nothing but
the page that was cut.

Glossary: *widget*, the place of a form's field on a page; *AcroForm*, the list of a document's fields, without which a
reader draws no widget; *optional content*, layers that a reader shows or hides.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pikepdf
import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no py.typed

from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.errors import ImageError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.pictures.library_lock import LibraryLock
from clova_ocr_async.pictures.open_documents import OpenDocuments
from clova_ocr_async.pictures.pdf_content import check_content, largest_image
from clova_ocr_async.pictures.pdf_opening import REPAIR, check_not_recovered, errors_of, open_pdf
from clova_ocr_async.pictures.pdf_page import PageGeometry
from clova_ocr_async.pictures.pdfium import PDFIUM, drawn, pages_of
from clova_ocr_async.pictures.preparation import Preparation

if TYPE_CHECKING:
    import PIL.Image

    from clova_ocr_async.pictures.paged_file import PagedFile

__all__ = ["PIKEPDF", "count_pages", "count_pdf_pages", "cut_page", "draw_page"]

_MAX_SIDE = 8000  # pixels of a rendering. Assumed, as ImageLimits.max_side.
_MAX_IMAGE = 300_000_000  # pixels of a picture inside a page that is rendered; A4 at 1,200 dpi has 140,000,000
_WASTEFUL_BYTES, _WASTEFUL_FACTOR = 2_000_000, 4  # a larger page is compared with its rendering
_TRIES = 3  # further renderings of a page, each smaller, to stay within the limit of bytes
_GLANCE = 400  # pixels of the longer side of a rendering that only shows that there is anything
_MAX_COPIED = 16 * 2**20  # bytes of cut pages, after which a document is opened anew

_BOXES = ("/MediaBox", "/CropBox")

PIKEPDF = LibraryLock()  # made after that of pdfium, so it is the one that is taken first


def count_pdf_pages(data: bytes) -> int | None:
    """Count the pages of a PDF of any kind, encrypted ones that open without a password included.

    Safe to call from several threads; they take turns.

    Args:
        data: The whole file.

    Returns:
        The number of pages, at least 1, as pdfium opens no file without pages. None if it cannot open the file.
    """
    with PDFIUM:
        return pages_of(data)


def count_pages(file: PagedFile) -> int:
    """Count the pages that can be cut out of a PDF.

    Raises:
        ImageError: The file is encrypted, broken or empty.
    """
    with _DOCUMENTS.borrow(file) as document:
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
    with _DOCUMENTS.borrow(file) as document:
        # Only this part holds the document: other threads cut their pages while this one is rendered.
        cut = document.cut(number)
    # Objects that qpdf cannot find are left out of the page: it would be a paid call for white paper.
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
    with _DOCUMENTS.borrow(file) as document:
        cut = document.cut(number)
    # A little less, because pdfium rounds up.
    scale = max(side / shown for side, shown in zip(size, cut.geometry.size, strict=True)) * (1 - 1e-9)
    if any(abs(side - shown * scale) > _ROUNDING for side, shown in zip(size, cut.geometry.size, strict=True)):
        raise ImageError(f"{cut.name} has sides of another ratio than {size[0]} x {size[1]} pixels")
    return _pixels(cut, scale).crop((0, 0, *size))


_ROUNDING = 2  # pixels


@dataclass(frozen=True, slots=True)
class _CutPage:
    """A page as a PDF of its own.

    Attributes:
        name: Page and file, as messages show them.
        page: The number of the page; None for the only page of a file.
        data: The PDF.
        steps: What was done to the page.
        geometry: The visible part of it.
        is_damaged: Whether qpdf had to guess.
    """

    name: str
    page: int | None
    data: bytes
    steps: tuple[str, ...]
    geometry: PageGeometry
    is_damaged: bool


class _Document:
    """A PDF from which pages are cut; used by one thread at a time, under the lock of pikepdf."""

    def __init__(self, file: PagedFile) -> None:
        self._file = file
        self._copied = 0
        with ExitStack() as stack:
            self._stream = stack.enter_context(file.open())
            with errors_of(file.name):
                self._pdf = open_pdf(self._stream)
                stack.callback(lambda: self._pdf.close())  # noqa: PLW0108 - it may be another one by then
                self.count = len(self._pdf.pages)
            check_not_recovered(file.name, self._stream, self._pdf.get_warnings())
            if self.count == 0:
                raise ImageError(f"{file.name} has no page; check that the file was written to its end")
            self._resources = stack.pop_all()

    def close(self) -> None:
        self._resources.close()

    def _open_anew(self) -> None:
        """Open the file again: qpdf keeps what it has copied from a document until that is closed."""
        self._pdf.close()
        self._pdf, self._copied = open_pdf(self._stream), 0

    def cut(self, number: int) -> _CutPage:
        """Cut a page.

        Raises:
            ImageError: There is no such page, or it cannot be read.
        """
        if number > self.count:
            raise ImageError(
                f"{self._file.name} has {plural(self.count, 'page')}, so there is no page {number:,}; "
                f"give a number from 1 to {self.count:,}"
            )
        name = f"page {number:,} of {self._file.name}"
        with errors_of(name), pikepdf.new() as target:
            if self._copied > _MAX_COPIED:
                self._open_anew()
            source = self._pdf.pages[number - 1]
            # In this order: the removal parses the drawing instructions, of which a few kilobytes may hold gigabytes.
            # Before the page is copied, as the pictures of all pages would be copied with those that all share.
            check_content(name, source)
            source.remove_unreferenced_resources()
            target.pages.append(source)
            self._keep_form(target, source)
            self._keep_layers(target)
            page = target.pages[0]
            file = io.BytesIO()
            # By default qpdf makes the /ID of the time, and the same page would have another hash in each run. A
            # deterministic one is an MD5 of the whole page, which takes longer than all else, and no reader needs it.
            target.save(file, static_id=True)
            data = file.getvalue()
            geometry = _geometry(page)
        # At the end, when all that the page needs has been read: qpdf reads objects as they are asked for.
        self._file.check_unchanged(self._stream)
        warnings = self._pdf.get_warnings()
        check_not_recovered(name, self._stream, warnings)
        self._copied += len(data)
        return _CutPage(
            name=name,
            page=None if self.count == 1 else number,
            data=data,
            steps=self._steps(number),
            geometry=geometry,
            is_damaged=bool(warnings),
        )

    def _steps(self, number: int) -> tuple[str, ...]:
        page = () if self.count == 1 else (f"page {number:,} of {self.count:,}",)
        return (*page, "decrypted (owner password)") if self._pdf.is_encrypted else page

    def _keep_form(self, target: pikepdf.Pdf, source: pikepdf.Page) -> None:
        """Keep the fields of a form visible: their widgets come with the page, and the list of fields does not."""
        widgets = [widget for widget in _dictionaries(source.obj.get("/Annots")) if widget.get("/Subtype") == "/Widget"]
        if not widgets:
            return
        if self._pdf.acroform.exists:
            target.acroform.fix_copied_annotations(target.pages[0], source, self._pdf.acroform)
        else:
            # Some readers draw widgets without a form; with a list of them all readers do.
            copied = [note for note in _dictionaries(target.pages[0].obj.Annots) if note.get("/Subtype") == "/Widget"]
            target.Root.AcroForm = pikepdf.Dictionary(Fields=pikepdf.Array(list(map(target.make_indirect, copied))))

    def _keep_layers(self, target: pikepdf.Pdf) -> None:
        """Keep hidden layers hidden."""
        layers = self._pdf.Root.get("/OCProperties")
        if isinstance(layers, pikepdf.Dictionary):
            target.Root.OCProperties = target.copy_foreign(self._pdf.make_indirect(layers))


_DOCUMENTS = OpenDocuments(_Document, PIKEPDF)


def _dictionaries(value: object) -> list[pikepdf.Dictionary]:
    """Return the dictionaries of an array; none if it is not one."""
    return [item for item in value if isinstance(item, pikepdf.Dictionary)] if isinstance(value, pikepdf.Array) else []


def _geometry(page: pikepdf.Page) -> PageGeometry:
    media, crop = (list(box) if isinstance(box, pikepdf.Array) else None for box in map(page.obj.get, _BOXES))
    return PageGeometry.of(media, crop, page.obj.get("/Rotate"), page.obj.get("/UserUnit"))


def _fits(size: int, max_bytes: int | None) -> bool:
    return max_bytes is None or size <= max_bytes


def _thrifty(cut: _CutPage, settings: Preparation, max_bytes: int | None) -> tuple[bytes, Picture]:
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


def _picture(cut: _CutPage, steps: tuple[str, ...], **facts: Any) -> Picture:
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
    cut: _CutPage, settings: Preparation, max_bytes: int | None, why: str | None = None
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


def _shows_anything(cut: _CutPage) -> bool:
    """Return whether a page is anything but one colour."""
    darkest, brightest = _pixels(cut, cut.geometry.scale(72, _GLANCE)).convert("L").getextrema()
    return darkest != brightest


def _pixels(cut: _CutPage, scale: float) -> PIL.Image.Image:
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
