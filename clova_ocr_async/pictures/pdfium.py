"""What pdfium does with PDFs: their pages are counted and drawn, and text layers are read (extra ``pictures``).

It is not thread-safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no py.typed

from clova_ocr_async.pictures.library_lock import LibraryLock

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["PDFIUM", "drawn", "pages_of", "texts"]

PDFIUM = LibraryLock()
"""Held by the caller of each function here, and of anything else of pdfium."""


def drawn(data: bytes, scale: float) -> PIL.Image.Image:
    """Draw the first page of a PDF with the fields of its form.

    Args:
        data: The PDF.
        scale: Pixels for each unit of the page.
    """
    document: Any = pdfium.PdfDocument(data)
    # All is closed by hand: where forms are drawn, pages that are left to the garbage collector leak (pypdfium2 issue
    # 444), and a finalizer would call pdfium outside of the lock.
    try:
        # Without this, filled fields are missing from the picture. It must come before a page is loaded.
        if document.get_formtype():
            document.init_forms()
        page = document[0]
        try:
            bitmap = page.render(scale=scale)
            try:
                picture: PIL.Image.Image = bitmap.to_pil().convert("RGB")
                return picture
            finally:
                bitmap.close()
        finally:
            page.close()
    finally:
        document.close()


def pages_of(data: bytes) -> int | None:
    """Return the number of pages of a PDF; None if pdfium cannot open it."""
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError:
        return None
    try:
        return len(document)
    finally:
        document.close()


def texts(data: bytes) -> list[str]:
    """Return the text layer of each page of a PDF."""
    document: Any = pdfium.PdfDocument(data)
    try:
        return [_text_of(document[index]) for index in range(len(document))]
    finally:
        document.close()


def _text_of(page: Any) -> str:
    try:
        layer = page.get_textpage()
        try:
            text: str = layer.get_text_bounded()
            return text
        finally:
            layer.close()
    finally:
        page.close()
