"""Exact page counts, by pdfium."""

from __future__ import annotations

import threading

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no py.typed

__all__ = ["count_pdf_pages"]

_PDFIUM = threading.Lock()  # pdfium may be entered by one thread at a time, whatever the document


def count_pdf_pages(data: bytes) -> int | None:
    """Count the pages of a PDF of any kind, encrypted ones that open without a password included.

    Safe to call from several threads; they take turns.

    Args:
        data: The whole file.

    Returns:
        The number of pages, at least 1: pdfium does not open a file without one. None if it cannot open the file.
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
