"""Opening of PDFs, and the judgement of damaged ones: qpdf recovers what it finds, and may lose pages on the way."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import pikepdf
import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no py.typed

from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures.pdfium import PDFIUM

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

__all__ = ["REPAIR", "check_whole", "errors_of", "open_pdf", "pages_of", "was_recovered"]

REPAIR = "get the whole file, or print it to a new PDF"
"""The way out of most damages, for messages."""

# Of qpdf's warnings; the second one is about a page that is gone.
_SIGNS_OF_LOSS = ("reconstruct cross-reference table", "non-dictionary object")
_TAIL = 2048  # bytes at the end of a file that hold its last table


def open_pdf(stream: BinaryIO) -> pikepdf.Pdf:
    """Open a PDF; the caller closes it."""
    # Not mapped into memory: the module of PagedFile gives the reason.
    return pikepdf.open(stream, access_mode=pikepdf.AccessMode.stream)


def was_recovered(warnings: Iterable[object]) -> bool:
    """Return whether qpdf had to guess where the objects of a file are; most warnings are about harmless faults."""
    return any(sign in str(warning) for warning in warnings for sign in _SIGNS_OF_LOSS)


@contextmanager
def errors_of(name: str) -> Generator[None]:
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


def check_whole(name: str, stream: BinaryIO, count: int) -> None:
    """Refuse a damaged file that may have lost more than its table: qpdf recovers what it finds, and counts no more.

    Args:
        name: The file, as messages show it.
        stream: The file.
        count: The pages that qpdf has found.

    Raises:
        ImageError: The end is missing, pdfium cannot open the file either, or pages may be missing.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - _TAIL))
    tail = stream.read(_TAIL)
    if b"%%EOF" not in tail and b"startxref" not in tail:
        raise ImageError(f"{name} is cut off: the end of its pdf data is missing; get the whole file", truncated=True)
    with PDFIUM:
        stated = pages_of(stream)
    if stated is None:
        raise ImageError(f"{name} is damaged, and its pages cannot be read; {REPAIR}")
    # The only page of a file is sent with the whole file, so nothing of it can be lost on the way.
    if count > 1 or stated > count:
        raise ImageError(
            f"{name} is damaged, and pages of it may be lost; get the whole file, or repair it and look whether all "
            "pages are there: qpdf in.pdf out.pdf"
        )


def pages_of(source: bytes | BinaryIO) -> int | None:
    """Return the pages that pdfium counts in a PDF; None if it cannot open the file. The caller holds its lock."""
    try:
        document = pdfium.PdfDocument(source)
    except pdfium.PdfiumError:
        return None
    try:
        return len(document)
    finally:
        document.close()
