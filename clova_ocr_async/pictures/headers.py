"""Headers of pictures of every format that people have. Pure, and safe against any bytes.

No function decodes pixels or raises. The work is at most linear in the length of the input, and bounded: a hostile file
costs no more than an ordinary one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.pictures.document_headers import jpeg_header, png_header, tiff_header
from clova_ocr_async.pictures.iso_media import iso_media_header
from clova_ocr_async.pictures.picture_header import PictureHeader
from clova_ocr_async.pictures.web_headers import bmp_header, gif_header, webp_header

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PictureHeader", "read_header"]

_PARSERS: tuple[tuple[bytes, Callable[[bytes], PictureHeader | None]], ...] = (
    (b"\xff\xd8\xff", jpeg_header),
    (b"\x89PNG\r\n\x1a\n", png_header),
    (b"II*\0", tiff_header),
    (b"MM\0*", tiff_header),
    (b"II+\0", tiff_header),
    (b"MM\0+", tiff_header),
    (b"GIF87a", gif_header),
    (b"GIF89a", gif_header),
    (b"BM", bmp_header),
)


def read_header(data: bytes) -> PictureHeader | None:
    """Read the header of a picture, by its first bytes.

    Args:
        data: The whole file.

    Returns:
        The facts; those that a broken header does not state are None. None for a PDF, and for anything that is not a
        picture of these formats: JPEG, PNG, TIFF, WebP, GIF, BMP, HEIC, AVIF.
    """
    for magic, parser in _PARSERS:
        if data.startswith(magic):
            return parser(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return webp_header(data)
    return iso_media_header(data) if data[4:8] == b"ftyp" else None
