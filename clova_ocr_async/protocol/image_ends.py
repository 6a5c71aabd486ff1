"""Whether the end of a picture is there: a copy that was interrupted costs a call and is read wrong, or not at all.

Pure, and safe against any bytes. Only what is certainly missing counts: the end marker of a JPEG, the last chunk of a
PNG, the last table of a PDF, a strip of a TIFF that would lie behind the end of the file. What follows the end
(padding, a phone's trailer, a second picture) is nobody's loss.
"""

from __future__ import annotations

import enum
import itertools
import re
import struct
from typing import TYPE_CHECKING

from clova_ocr_async.protocol.image_headers import jpeg_segments, tiff_directories
from clova_ocr_async.protocol.layout import BeyondEndError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clova_ocr_async.protocol.image_headers import TiffField

__all__ = ["Ending", "jpeg_ending", "pdf_ending", "png_ending", "tiff_ending"]


class Ending(enum.Enum):
    """How much of a picture is there."""

    WHOLE = enum.auto()
    CUT = enum.auto()
    """Some of the picture, and not its end."""
    HEADER = enum.auto()
    """Nothing of the picture but its header."""


_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_JPEG_SCAN = 0xDA


def jpeg_ending(data: bytes) -> Ending:
    """Look for the end marker behind the first scan; data of a scan never looks like it."""
    markers, broken = 0, False
    try:
        for marker, at in jpeg_segments(data):
            markers += 1
            if marker == _JPEG_SCAN:
                return _jpeg_scan_ending(data, at + 2)
    except BeyondEndError:
        pass
    except UnreadableError:
        broken = True
    # No scan. A file that makes no chain of segments is judged by its end marker alone, which must not be that of the
    # thumbnail in a header that was cut off.
    end = data.find(_JPEG_END, 2) if markers <= 1 or broken else -1
    return Ending.WHOLE if end >= 0 and data.find(_JPEG_START, 2, end) < 0 else Ending.HEADER


def _jpeg_scan_ending(data: bytes, at: int) -> Ending:
    """Judge a JPEG whose first scan's header has its length at a place."""
    if data.rfind(_JPEG_END, at) >= 0:
        return Ending.WHOLE
    begin = at + max(int.from_bytes(data[at : at + 2], "big"), 2)
    return Ending.CUT if begin < len(data) else Ending.HEADER


_PNG_LAST = b"\0\0\0\0IEND"


def png_ending(data: bytes) -> Ending:
    """Look for the last chunk, which is always the same."""
    if data.rfind(_PNG_LAST) >= 0:
        return Ending.WHOLE
    pixels = data.find(b"IDAT")
    return Ending.CUT if 0 <= pixels < len(data) - len(b"IDAT") else Ending.HEADER


_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES = 273, 279, 324, 325
_TIFF_PLACES = frozenset((_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES))
_TIFF_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # BYTE, SHORT, LONG, LONG8
_TIFF_HEADER = 8
_TIFF_MAX_PIECES = 200_000  # strips and tiles of all directories that are looked at


def tiff_ending(data: bytes) -> Ending:
    """Compare where directories, strips and tiles lie with the length of the file."""
    begun = cut = False
    try:
        for start, end in _tiff_pieces(data):
            begun |= start < len(data)
            cut |= end > len(data)
    except BeyondEndError:
        # Writers put the directory in front of the picture or behind it, so what there is may be picture.
        begun, cut = len(data) > _TIFF_HEADER, True
    except UnreadableError:
        pass  # broken, and that is not the same as cut off
    if not cut:
        return Ending.WHOLE
    return Ending.CUT if begun else Ending.HEADER


def _tiff_pieces(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each strip and tile begins and ends, as far as the directories say it."""
    left = min(_TIFF_MAX_PIECES, len(data))
    none = True
    for directory in tiff_directories(data, _TIFF_PLACES):
        none = False
        for places, sizes in ((_STRIPS, _STRIP_SIZES), (_TILES, _TILE_SIZES)):
            starts = _tiff_numbers(data, directory.get(places), left)
            left -= len(starts)
            lengths = _tiff_numbers(data, directory.get(sizes), len(starts))
            for start, length in itertools.zip_longest(starts, lengths, fillvalue=1):
                if start:  # a sparse tile is nowhere
                    yield start, start + (length or 1)
    if none:
        raise BeyondEndError  # writers enter the first directory when all else is written


def _tiff_numbers(data: bytes, field: TiffField | None, most: int) -> tuple[int, ...]:
    """Return the values of a field; none where it is not of whole numbers, or has more than allowed."""
    if field is None or field.kind not in _TIFF_NUMBERS or field.times > most:
        return ()
    values = struct.Struct(f"{'<' if field.order == 'little' else '>'}{field.times}{_TIFF_NUMBERS[field.kind]}")
    if values.size <= len(field.value):
        return values.unpack_from(field.value)
    at = int.from_bytes(field.value, field.order)
    if at + values.size > len(data):
        raise BeyondEndError
    return values.unpack_from(data, at)


_PDF_WEB = re.compile(rb"/Linearized\b[^>]{0,200}?/L\s{1,9}(\d{1,10})")
_PDF_WEB_WITHIN = 2048  # bytes at the start
_PDF_STRIPPED = 16  # bytes of white space that editors and mail take off the end
_PDF_OBJECT = re.compile(rb"\d \d{1,5} obj\b")


def pdf_ending(data: bytes) -> Ending:
    """Look for the end of the last revision, and for the beginning of another one behind it."""
    end = max(data.rfind(b"%%EOF"), data.rfind(b"startxref"))
    # A file made for the web has an end of its own behind the first page, and names its whole length.
    web = _PDF_WEB.search(data, 0, _PDF_WEB_WITHIN)
    missing = 0 if web is None else int(web[1]) - len(data)
    if end >= 0 and missing <= _PDF_STRIPPED and _PDF_OBJECT.search(data, end) is None:
        return Ending.WHOLE
    return Ending.CUT if b"stream" in data else Ending.HEADER
