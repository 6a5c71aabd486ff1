"""Headers of pictures of every format that people have. Pure, and safe against any bytes.

No function decodes pixels or raises. The work is at most linear in the length of the input, and bounded: a hostile file
costs no more than an ordinary one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.pictures.document_headers import (
    jpeg_header,
    jpeg_orientation,
    png_header,
    png_orientation,
    tiff_header,
)
from clova_ocr_async.pictures.iso_media import iso_media_header
from clova_ocr_async.pictures.picture_header import PictureHeader, sent_whole
from clova_ocr_async.pictures.web_headers import bmp_header, gif_header, webp_header
from clova_ocr_async.protocol.image import ImageFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.documents.picture import Picture
    from clova_ocr_async.protocol.image import ImageFacts

__all__ = ["PictureHeader", "read_header", "sent_as_read"]

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


def sent_as_read(data: bytes, facts: ImageFacts) -> Picture:
    """Return the record of a picture that is sent byte for byte, as ``read_header(data).as_sent()``.

    Args:
        data: The whole file: a JPEG, PNG or TIFF.
        facts: The facts in its header. They were read for its checks, so only its orientation is read here: each call
            needs this record.
    """
    if facts.format is ImageFormat.TIFF:
        return tiff_header(data).as_sent()
    stored = None if facts.width is None or facts.height is None else (facts.width, facts.height)
    return sent_whole(stored, png_orientation(data) if facts.format is ImageFormat.PNG else jpeg_orientation(data))
