"""First bytes of pictures, by which a file without the ending of a picture is one."""

from __future__ import annotations

from clova_ocr_async.protocol.unsupported_formats import unsupported_signature

__all__ = ["SIGNATURE_BYTES", "is_picture"]

SIGNATURE_BYTES = 64
"""Number of a file's first bytes that decide."""

_READ = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"%PDF-", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_NOT_READ = frozenset({"GIF", "WebP", "AVIF", "HEIC/HEIF", "JPEG 2000", "JPEG XL"})
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})  # sizes of the second header


def is_picture(start: bytes) -> bool:
    """Return whether a file is a picture of a format that the service reads, or that can be converted to one.

    Args:
        start: Its first bytes, at least ``SIGNATURE_BYTES`` of them if it has so many.
    """
    if start.startswith(_READ):
        return True
    if start.startswith(b"BM"):  # also the first letters of many texts
        return start[6:10] == bytes(4) and int.from_bytes(start[14:18], "little") in _BMP_HEADERS
    found = unsupported_signature(start)
    return found is not None and found[0] in _NOT_READ
