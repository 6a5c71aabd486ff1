"""Exact page counts of PDFs, by pdfium."""

from __future__ import annotations

import threading

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no py.typed

__all__ = ["count_pdf_pages"]

_PDFIUM = threading.Lock()  # pdfium is not thread-safe, not even for different documents


def count_pdf_pages(data: bytes) -> int | None:
    """Count the pages of a PDF of any kind, encrypted ones that open without a password included.

    Safe to call from several threads; they take turns.

    Args:
        data: The whole file.

    Returns:
        The number of pages, at least 1, as pdfium opens no file without pages. None if it cannot open the file.
    """
    with _PDFIUM:
        try:
            document = pdfium.PdfDocument(data)
        except pdfium.PdfiumError:
            return None
        try:
            return len(document)
        finally:
            document.close()
