"""Opening of PDFs, and the judgement of damaged ones: qpdf recovers what it finds, and may lose pages on the way."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import pikepdf

from clova_ocr_async.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

__all__ = ["REPAIR", "check_not_recovered", "errors_of", "open_pdf"]

REPAIR = "get the whole file, or print it to a new PDF"
"""The way out of most damages, for messages."""

# Of qpdf's warnings; the second one is about a page that is gone.
_SIGNS_OF_LOSS = ("reconstruct cross-reference table", "non-dictionary object")
_TAIL = 2048  # bytes at the end of a file that hold its last table
_PADDING = 65536  # bytes at most that may follow them, of some scanners and transfers


def open_pdf(stream: BinaryIO) -> pikepdf.Pdf:
    """Open a PDF; the caller closes it."""
    # Not mapped into memory: the module of PagedFile gives the reason.
    return pikepdf.open(stream, access_mode=pikepdf.AccessMode.stream)


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


def check_not_recovered(name: str, stream: BinaryIO, warnings: Iterable[object]) -> None:
    """Refuse a file of which qpdf had to guess where its objects are; most warnings are about harmless faults.

    Nothing shows what was lost: the pages that were found are counted, and no others, and what a page refers to is left
    out if it was not found. Each page would be a paid call.

    Args:
        name: The file or page, as messages show it.
        stream: The file.
        warnings: The warnings of qpdf since the file was opened, or since the last look at them.

    Raises:
        ImageError: A warning is about a recovery.
    """
    if not any(sign in str(warning) for warning in warnings for sign in _SIGNS_OF_LOSS):
        return
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - _PADDING))
    tail = stream.read(_PADDING).rstrip(b"\0 \t\r\n")[-_TAIL:]
    if tail.rfind(b"%%EOF") <= tail.rfind(b"startxref"):  # or neither is there
        raise ImageError(f"{name} is cut off: the end of its pdf data is missing; get the whole file", truncated=True)
    raise ImageError(
        f"{name} is damaged, and parts of it may be lost; get the whole file, or repair it and look whether everything "
        "is there: qpdf in.pdf out.pdf"
    )
