"""Side lengths and pages of a picture, from its headers. Pure, and safe against any bytes.

No function decodes pixels, follows an unchecked length, or raises: what cannot be parsed is None. The work is bounded
by the length of the input and by the limits below, so that a hostile file costs no more than an ordinary one.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from clova_ocr_async.protocol.dimensions import BeyondEndError, Dimensions, UnreadableError
from clova_ocr_async.protocol.pdf_header import pdf_dimensions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

__all__ = [
    "Bytes",
    "Dimensions",
    "TiffField",
    "is_tiff_page",
    "jpeg_dimensions",
    "jpeg_segments",
    "pdf_dimensions",
    "png_dimensions",
    "tiff_dimensions",
    "tiff_directories",
    "tiff_pages",
]

_Order: TypeAlias = Literal["little", "big"]


class Bytes(Protocol):
    """Bytes, or a file of which slices are read as they are needed."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes: ...


_PNG_IHDR = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"
_PNG_SIDES = struct.Struct(">II")


def png_dimensions(data: bytes) -> Dimensions:
    """Parse the IHDR chunk, which must come first."""
    if not data.startswith(_PNG_IHDR) or len(data) < len(_PNG_IHDR) + _PNG_SIDES.size:
        return Dimensions(pages=1)
    width, height = _PNG_SIDES.unpack_from(data, len(_PNG_IHDR))
    return Dimensions(width or None, height or None, 1)


_JPEG_PREFIX = 0xFF
_JPEG_SEGMENT = struct.Struct(">BBH")  # prefix, marker, length
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xfe]")  # skips fill bytes (FF FF) and stuffed zeros (FF 00)
_JPEG_MAX_SEGMENTS = 10_000  # full ones would fill 650 MB; a hostile file has one every two bytes
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0-15 without DHT, JPG, DAC
_JPEG_BARE = frozenset((0x01, *range(0xD0, 0xD8)))  # TEM and RST0-7 have no length
_JPEG_NO_FRAME_AFTER = frozenset((0xD8, 0xD9, 0xDA))  # a second SOI, EOI, SOS: the frame header should have come before


def jpeg_dimensions(data: bytes) -> Dimensions:
    """Walk the segments to the frame header; an EXIF thumbnail lies inside a segment and is skipped."""
    width = height = None
    try:
        at = _jpeg_frame(data)
        height = _unsigned(data, at + 5, 2, "big")  # 0 if a DNL segment after the scan states it
        width = _unsigned(data, at + 7, 2, "big")
    except UnreadableError:
        pass
    return Dimensions(width or None, height or None, 1)


def _jpeg_frame(data: bytes) -> int:
    """Return the place of the frame header's marker."""
    for marker, at in jpeg_segments(data):
        if marker in _JPEG_FRAMES:
            return at
        if marker in _JPEG_NO_FRAME_AFTER:
            break
    raise UnreadableError


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield each marker of a JPEG and its place, up to the first scan; the content of segments is skipped.

    Raises:
        UnreadableError: A segment has no length.
    """
    at, size = 2, len(data)
    for _ in range(_JPEG_MAX_SEGMENTS):
        # Nearly every segment begins where the last one ends; the search, which takes longer, is for the others.
        prefix, marker, length = _JPEG_SEGMENT.unpack_from(data, at) if at + 4 <= size else (0, 0, 0)
        if prefix != _JPEG_PREFIX or not 0 < marker < _JPEG_PREFIX:
            match = _JPEG_MARKER.search(data, at)
            if match is None:
                return
            at = match.start()
            marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, at
        at += 2
        if marker not in _JPEG_BARE:
            if at + 2 > size:
                raise BeyondEndError
            if length < 2:  # noqa: PLR2004 - the length counts its own two bytes
                raise UnreadableError
            at += length


def _unsigned(data: Bytes, at: int, size: int, order: _Order) -> int:
    if at + size > len(data):
        raise BeyondEndError
    return int.from_bytes(data[at : at + size], order)


_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _IMAGE_WIDTH, _IMAGE_LENGTH = 254, 255, 256, 257
_TIFF_BIG = 43  # the version number of BigTIFF
_TIFF_TAGS = frozenset((_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _IMAGE_WIDTH, _IMAGE_LENGTH))
_TIFF_SIZES = {1: 1, 3: 2, 4: 4, 16: 8}  # BYTE, SHORT, LONG, LONG8: type -> bytes
_TIFF_NO_PAGE = 0b101  # NewSubfileType: bit 0 a reduced version of another picture, bit 2 a transparency mask
_TIFF_OLD_REDUCED = 2  # SubfileType, the older tag: a reduced version of another picture
_TIFF_MAX_ENTRIES = 100_000  # of all directories; a page has about 15


class TiffField(NamedTuple):
    """One entry of a directory, in the specification's terms.

    Attributes:
        order: The file's byte order.
        value_type: The number of the type of its values.
        value_count: The number of its values.
        value: The values themselves if they fit, else their place in the file; as raw bytes.
    """

    order: _Order
    value_type: int
    value_count: int
    value: bytes


_Directory: TypeAlias = dict[int, int]


def tiff_dimensions(data: bytes) -> Dimensions:
    """Follow the chain of directories of a TIFF or BigTIFF; the side lengths are the first page's.

    Pages are the directories of the chain that are neither a reduced version nor a mask of another page.
    Sub-directories are outside the chain and are not counted. The pages of a broken or circular chain are unknown.
    """
    directories: list[dict[int, TiffField]] = []
    intact = True
    try:
        directories.extend(tiff_directories(data, _TIFF_TAGS))  # keeps the directories before a break
    except UnreadableError:
        intact = False
    pages = tiff_pages(directories)
    first = _tiff_numbers(directories[pages[0] if pages else 0]) if directories else _Directory()
    count = len(pages) if pages and intact else None
    return Dimensions(first.get(_IMAGE_WIDTH) or None, first.get(_IMAGE_LENGTH) or None, count)


def tiff_pages(directories: Sequence[Mapping[int, TiffField]]) -> list[int]:
    """Return the places in the chain of the directories that are pages; none if they may be versions of one page."""
    pages = [place for place, found in enumerate(directories) if is_tiff_page(found)]
    # Nothing but reduced versions: a single one is the page; several may be pages, or versions of one page.
    return pages or ([0] if len(directories) == 1 else [])


def is_tiff_page(directory: Mapping[int, TiffField]) -> bool:
    """Return whether a directory is a page, and not a reduced version or a mask of another page."""
    numbers = _tiff_numbers(directory)
    subfile_type, old_type = numbers.get(_NEW_SUBFILE_TYPE, 0), numbers.get(_SUBFILE_TYPE)
    return subfile_type & _TIFF_NO_PAGE == 0 and old_type != _TIFF_OLD_REDUCED


def tiff_directories(data: Bytes, tags: Collection[int]) -> Iterator[dict[int, TiffField]]:
    """Yield the directories of the chain of a TIFF or BigTIFF, each with the fields of the given tags.

    Raises:
        BeyondEndError: The chain leads behind the end of the file.
        UnreadableError: The chain breaks, or is circular.
    """
    order: _Order = "little" if data[:2] == b"II" else "big"
    big = _unsigned(data, 2, 2, order) == _TIFF_BIG
    word, count_size, fields = (8, 8, "HHQ8s") if big else (4, 2, "HHI4s")
    entry = struct.Struct(("<" if order == "little" else ">") + fields)
    at = _unsigned(data, word, word, order)
    # The budget also ends a circular chain. Directories that do not overlap have no more entries than fit into a file.
    budget = min(_TIFF_MAX_ENTRIES, len(data) // entry.size)
    while at:
        count = _unsigned(data, at, count_size, order)
        start, end = at + count_size, at + count_size + count * entry.size
        budget -= count
        if end > len(data):
            raise BeyondEndError
        if count == 0 or budget < 0:
            raise UnreadableError
        entries = entry.iter_unpack(data[start:end])
        yield {tag: TiffField(order, *rest) for tag, *rest in entries if tag in tags}
        at = _unsigned(data, end, word, order)


def _tiff_numbers(directory: Mapping[int, TiffField]) -> _Directory:
    return {
        tag: int.from_bytes(field.value[: _TIFF_SIZES[field.value_type]], field.order)
        for tag, field in directory.items()
        if field.value_count == 1 and field.value_type in _TIFF_SIZES
    }
