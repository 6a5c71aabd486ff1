"""The parts of a PDF that people do not see on its pages: texts, notes, metadata, files (extra ``pictures``)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pikepdf
import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no py.typed

from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures.pdf import PIKEPDF
from clova_ocr_async.pictures.pdfium import PDFIUM, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["hidden_parts", "jpegs_in", "texts_of_pages"]

# Written by the program that made the file, about itself.
_HARMLESS = frozenset({"/Producer", "/Creator", "/CreationDate", "/ModDate", "/Trapped"})


def texts_of_pages(data: bytes) -> list[str]:
    """Return the text layer of each page.

    Raises:
        ImageError: The file cannot be opened.
    """
    with PDFIUM:
        try:
            return texts(data)
        except pdfium.PdfiumError:
            raise ImageError("the PDF is encrypted or broken") from None


def hidden_parts(data: bytes) -> list[str]:
    """Return the kinds of what a PDF holds beside its pages.

    Raises:
        ImageError: The file cannot be opened.
    """
    with PIKEPDF:
        try:
            with pikepdf.open(io.BytesIO(data)) as pdf:
                return list(_parts_of(pdf))
        except pikepdf.PdfError:
            raise ImageError("the PDF is encrypted or broken") from None


def _parts_of(pdf: pikepdf.Pdf) -> Iterator[str]:
    if any(key not in _HARMLESS and str(value).strip() for key, value in pdf.docinfo.items()):
        yield "document information"
    if "/Metadata" in pdf.Root:
        yield "XMP metadata"
    if pdf.attachments:
        yield "embedded file"
    if any("/Annots" in page.obj for page in pdf.pages):
        yield "annotation over a page"


def jpegs_in(data: bytes) -> list[bytes]:
    """Return the JPEG files inside a PDF."""
    with PIKEPDF, pikepdf.open(io.BytesIO(data)) as pdf:
        return [
            item.read_raw_bytes()
            for item in pdf.objects
            if isinstance(item, pikepdf.Stream) and item.get("/Filter") in ("/DCTDecode", pikepdf.Array(["/DCTDecode"]))
        ]
