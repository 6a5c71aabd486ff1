"""An open PDF from which single pages are cut without re-encoding (extra ``pictures``).

A cut page brings only what it uses: with the images of all pages in resources that all pages share, 200 pages of a
62 MB file came to 12 GB. Equal files give equal bytes.

Glossary: *widget*, the place of a form's field on a page; *AcroForm*, the list of a document's fields, without which a
reader draws no widget; *optional content*, layers that a reader shows or hides.
"""

from __future__ import annotations

import io
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import pikepdf

from clova_ocr_async.errors import ImageError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.pictures.library_lock import LibraryLock
from clova_ocr_async.pictures.open_documents import OpenDocuments
from clova_ocr_async.pictures.pdf_content import check_content
from clova_ocr_async.pictures.pdf_page import PageGeometry
from clova_ocr_async.pictures.pdfium import PDFIUM, number_of_pages

if TYPE_CHECKING:
    from collections.abc import Generator

    from clova_ocr_async.pictures.paged_file import PagedFile

__all__ = ["DOCUMENTS", "PIKEPDF", "REPAIR", "CutPage", "PdfDocument"]

REPAIR = "get the whole file, or print it to a new PDF"
"""The way out of a damaged file."""

PIKEPDF = LibraryLock()  # made after that of pdfium, so it is the one that is taken first

_TAIL = 2048  # bytes at the end of a file that hold its last table
_MAX_COPIED = 16 * 2**20  # bytes of cut pages, after which a document is opened anew
_BOXES = ("/MediaBox", "/CropBox")


@dataclass(frozen=True, slots=True)
class CutPage:
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


class PdfDocument:
    """A PDF from which pages are cut; used by one thread at a time, under the lock of pikepdf."""

    def __init__(self, file: PagedFile) -> None:
        self._file = file
        self._copied = 0
        with ExitStack() as stack:
            self._stream = stack.enter_context(file.open())
            with _errors_of(file.name):
                self._pdf = _opened(self._stream)
                stack.callback(lambda: self._pdf.close())  # noqa: PLW0108 - it may be another one by then
                self.count = len(self._pdf.pages)
                self._is_damaged = bool(self._pdf.get_warnings()) and _needs_recovery(self._stream)
            if self.count == 0:
                raise ImageError(f"{file.name} has no page; check that the file was written to its end")
            if self._is_damaged:
                _check_whole(file.name, self._stream)
            self._resources = stack.pop_all()

    def close(self) -> None:
        """Close the file."""
        self._resources.close()

    def _open_anew(self) -> None:
        """Open the file again: qpdf keeps what it has copied from a document until that is closed."""
        self._pdf.close()
        self._pdf, self._copied = _opened(self._stream), 0

    def cut(self, number: int) -> CutPage:
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
        with _errors_of(name), pikepdf.new() as target:
            if self._copied > _MAX_COPIED:
                self._open_anew()
            source = self._pdf.pages[number - 1]
            target.pages.append(source)
            self._keep_form(target, source)
            self._keep_layers(target)
            page = target.pages[0]
            # In this order: the removal parses the drawing instructions, of which a few kilobytes may hold gigabytes.
            check_content(name, page)
            target.remove_unreferenced_resources()
            file = io.BytesIO()
            # Else qpdf writes a random /ID: the same page would have another hash in each run.
            target.save(file, deterministic_id=True)
            data = file.getvalue()
            geometry = _geometry(page)
        # At the end, when all that the page needs has been read: qpdf reads objects as they are asked for.
        self._file.check_unchanged(self._stream)
        self._copied += len(data)
        return CutPage(
            name=name,
            page=None if self.count == 1 else number,
            data=data,
            steps=self._steps(number),
            geometry=geometry,
            is_damaged=self._is_damaged or bool(self._pdf.get_warnings()),
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


DOCUMENTS = OpenDocuments(PdfDocument, PIKEPDF)
"""The PDFs that are kept open between two pages of theirs."""


def _opened(stream: BinaryIO, *, attempt_recovery: bool = True) -> pikepdf.Pdf:
    # Not mapped into memory: the module of PagedFile gives the reason.
    return pikepdf.open(stream, access_mode=pikepdf.AccessMode.stream, attempt_recovery=attempt_recovery)


def _needs_recovery(stream: BinaryIO) -> bool:
    """Return whether a file with warnings cannot be opened as it is; most warnings are about harmless faults."""
    try:
        _opened(stream, attempt_recovery=False).close()
    except pikepdf.PdfError:
        return True
    return False


@contextmanager
def _errors_of(name: str) -> Generator[None]:
    """Turn the errors of pikepdf into ours; its messages may repeat what stands in the file, so they are left out."""
    try:
        yield
    except ImageError:
        raise
    except pikepdf.PasswordError:
        raise ImageError(
            f"{name} is encrypted and needs a password; remove it first: "
            "qpdf --decrypt --password=PASSWORD in.pdf out.pdf"
        ) from None
    except Exception as error:  # noqa: BLE001 - any error of the library concerns this file alone
        raise ImageError(f"{name} cannot be read ({type(error).__name__}): the file is damaged; {REPAIR}") from None


def _check_whole(name: str, stream: BinaryIO) -> None:
    """Refuse a damaged file that lost more than its table: qpdf recovers its pages without their content.

    Raises:
        ImageError: The end is missing, or pdfium cannot open the file either.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - _TAIL))
    tail = stream.read(_TAIL)
    if b"%%EOF" not in tail and b"startxref" not in tail:
        raise ImageError(f"{name} is cut off: the end of its pdf data is missing; get the whole file", truncated=True)
    with PDFIUM:
        if number_of_pages(stream) is None:
            raise ImageError(f"{name} is damaged, and its pages cannot be read; {REPAIR}")


def _dictionaries(value: object) -> list[pikepdf.Dictionary]:
    """Return the dictionaries of an array; none if it is not one."""
    return [item for item in value if isinstance(item, pikepdf.Dictionary)] if isinstance(value, pikepdf.Array) else []


def _geometry(page: pikepdf.Page) -> PageGeometry:
    media, crop = (list(box) if isinstance(box, pikepdf.Array) else None for box in map(page.obj.get, _BOXES))
    return PageGeometry.of(media, crop, page.obj.get("/Rotate"), page.obj.get("/UserUnit"))
