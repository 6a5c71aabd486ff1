"""Detection of truncated pictures: an interrupted copy costs a call and is read wrong, or not at all.

Pure, and safe against any bytes. A picture is truncated only where something is certainly missing: the end marker of a
JPEG, the last chunk of a PNG, the last table of a PDF, a strip of a TIFF that would lie behind the end of the file.
Bytes behind the end (padding, a phone's trailer, a second picture) do no harm.
"""

from __future__ import annotations

import enum
import itertools
import re
import struct
from typing import TYPE_CHECKING

from clova_ocr_async.protocol.dimensions import BeyondEndError, UnreadableError
from clova_ocr_async.protocol.image_headers import jpeg_segments, tiff_directories

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clova_ocr_async.protocol.image_headers import TiffField

__all__ = ["Completeness", "jpeg_completeness", "pdf_completeness", "png_completeness", "tiff_completeness"]


class Completeness(enum.Enum):
    """The part of a picture that is in a file."""

    COMPLETE = enum.auto()
    TRUNCATED = enum.auto()
    """Some of the picture, and not its end."""
    HEADER_ONLY = enum.auto()
    """Nothing of the picture but its header."""


_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_JPEG_SCAN = 0xDA


def jpeg_completeness(data: bytes) -> Completeness:
    """Search for the end marker behind the first scan; the data of a scan never contains it."""
    markers, broken = 0, False
    try:
        for marker, at in jpeg_segments(data):
            markers += 1
            if marker == _JPEG_SCAN:
                return _jpeg_scan_completeness(data, at + 2)
    except BeyondEndError:
        pass
    except UnreadableError:
        broken = True
    # No scan. A file whose segments form no chain is judged by its end marker alone, which must not be that of the
    # thumbnail in a truncated header.
    end = data.find(_JPEG_END, 2) if markers <= 1 or broken else -1
    return Completeness.COMPLETE if end >= 0 and data.find(_JPEG_START, 2, end) < 0 else Completeness.HEADER_ONLY


def _jpeg_scan_completeness(data: bytes, at: int) -> Completeness:
    """Judge a JPEG by its first scan; ``at`` is the place of the length in the scan's header."""
    if data.rfind(_JPEG_END, at) >= 0:
        return Completeness.COMPLETE
    begin = at + max(int.from_bytes(data[at : at + 2], "big"), 2)
    return Completeness.TRUNCATED if begin < len(data) else Completeness.HEADER_ONLY


_PNG_LAST_CHUNK = b"\0\0\0\0IEND"


def png_completeness(data: bytes) -> Completeness:
    """Search for the last chunk, which is the same in every file."""
    if data.rfind(_PNG_LAST_CHUNK) >= 0:
        return Completeness.COMPLETE
    pixels = data.find(b"IDAT")
    return Completeness.TRUNCATED if 0 <= pixels < len(data) - len(b"IDAT") else Completeness.HEADER_ONLY


_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES = 273, 279, 324, 325
_TIFF_OFFSETS = frozenset((_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES))
_TIFF_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # BYTE, SHORT, LONG, LONG8
_TIFF_HEADER = 8
_TIFF_MAX_STRIPS = 200_000  # strips and tiles of all directories that are checked


def tiff_completeness(data: bytes) -> Completeness:
    """Compare the places of directories, strips and tiles with the length of the file."""
    begun = truncated = False
    try:
        for start, end in _tiff_strips(data):
            begun |= start < len(data)
            truncated |= end > len(data)
    except BeyondEndError:
        # Writers put the directory in front of the picture or behind it, so the bytes in the file may be picture.
        begun, truncated = len(data) > _TIFF_HEADER, True
    except UnreadableError:
        pass  # broken, which is not the same as truncated
    if not truncated:
        return Completeness.COMPLETE
    return Completeness.TRUNCATED if begun else Completeness.HEADER_ONLY


def _tiff_strips(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each strip and tile that the directories list."""
    left = min(_TIFF_MAX_STRIPS, len(data))
    is_empty = True
    for directory in tiff_directories(data, _TIFF_OFFSETS):
        is_empty = False
        for places, sizes in ((_STRIPS, _STRIP_SIZES), (_TILES, _TILE_SIZES)):
            starts = _tiff_numbers(data, directory.get(places), left)
            left -= len(starts)
            lengths = _tiff_numbers(data, directory.get(sizes), len(starts))
            for start, length in itertools.zip_longest(starts, lengths, fillvalue=1):
                if start:  # a sparse tile has no place in the file
                    yield start, start + (length or 1)
    if is_empty:
        raise BeyondEndError  # writers fill in the place of the first directory last


def _tiff_numbers(data: bytes, field: TiffField | None, limit: int) -> tuple[int, ...]:
    """Return the values of a field; none if they are not whole numbers, or more than ``limit``."""
    if field is None or field.value_type not in _TIFF_NUMBERS or field.value_count > limit:
        return ()
    values = struct.Struct(
        f"{'<' if field.order == 'little' else '>'}{field.value_count}{_TIFF_NUMBERS[field.value_type]}"
    )
    if values.size <= len(field.value):
        return values.unpack_from(field.value)
    at = int.from_bytes(field.value, field.order)
    if at + values.size > len(data):
        raise BeyondEndError
    return values.unpack_from(data, at)


_PDF_LINEARIZED = re.compile(rb"/Linearized\b[^>]{0,200}?/L\s{1,9}(\d{1,10})")
_PDF_LINEARIZED_WITHIN = 2048  # bytes at the start
_PDF_STRIPPED = 16  # bytes of white space that editors and mail programs strip from the end
_PDF_OBJECT = re.compile(rb"\d \d{1,5} obj\b")


def pdf_completeness(data: bytes) -> Completeness:
    """Search for the end of the last revision, and for the beginning of another one behind it."""
    end = max(data.rfind(b"%%EOF"), data.rfind(b"startxref"))
    # A linearized file (made for the web) has a second end, behind its first page, and states its whole length.
    linearized = _PDF_LINEARIZED.search(data, 0, _PDF_LINEARIZED_WITHIN)
    missing = 0 if linearized is None else int(linearized[1]) - len(data)
    if end >= 0 and missing <= _PDF_STRIPPED and _PDF_OBJECT.search(data, end) is None:
        return Completeness.COMPLETE
    return Completeness.TRUNCATED if b"stream" in data else Completeness.HEADER_ONLY
