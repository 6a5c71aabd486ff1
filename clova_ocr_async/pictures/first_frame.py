"""The part of a file that a decoder needs for the one picture that is wanted. Pure, and safe against any bytes.

Comments, texts, thumbnails and further frames are left out before Pillow sees the file: it unpacks and joins some of
them at a cost that a hostile file can raise without bounds, and would hand others on to the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.pictures.document_headers import png_chunks
from clova_ocr_async.pictures.web_headers import gif_first_frame
from clova_ocr_async.protocol.dimensions import UnreadableError
from clova_ocr_async.protocol.image_headers import jpeg_segments

if TYPE_CHECKING:
    from clova_ocr_async.pictures.picture_header import PictureHeader

__all__ = ["needed_bytes"]

_PNG_SIGNATURE = 8
_PNG_NEEDED = frozenset((b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"IDAT", b"IEND"))
_JPEG_SCAN = 0xDA
_JPEG_COMMENT = 0xFE
_JPEG_ICC, _JPEG_ADOBE = 0xE2, 0xEE
_JPEG_APPLICATION = frozenset(range(0xE1, 0xF0)) - {_JPEG_ADOBE}


def needed_bytes(data: bytes, header: PictureHeader) -> bytes:
    """Return a file of the same format with the wanted picture alone; the data itself where nothing is to be gained."""
    match header.kind:
        case "jpeg":
            return _jpeg(data)
        case "png":
            return data[:_PNG_SIGNATURE] + b"".join(
                [data[start:end] for kind, start, end in png_chunks(data) if kind in _PNG_NEEDED]
            )
        case "gif":
            return gif_first_frame(data)
        case _:
            return data


def _jpeg(data: bytes) -> bytes:
    """Leave out EXIF, XMP, comments and the list of further pictures, up to the first scan."""
    kept, at = list[bytes](), 0
    try:
        for marker, start in jpeg_segments(data):
            if marker == _JPEG_SCAN:
                break
            if marker == _JPEG_COMMENT or (marker in _JPEG_APPLICATION and not _is_profile(data, marker, start)):
                kept.append(data[at:start])
                at = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    except UnreadableError:
        return data  # the decoder judges it
    return b"".join([*kept, data[at:]])


def _is_profile(data: bytes, marker: int, start: int) -> bool:
    return marker == _JPEG_ICC and data.startswith(b"ICC_PROFILE\0", start + 4)
