"""The parts of a picture's file that are not the pixels people see. Pure.

A masked copy has none of them. Each may still hold what the mask covers: a thumbnail shows the picture as it was, and a
comment may repeat a number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from clova_ocr_async.pictures.document_headers import png_chunks
from clova_ocr_async.protocol.dimensions import UnreadableError
from clova_ocr_async.protocol.image_headers import tiff_directories, tiff_pages

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Remain", "remains_of_jpeg", "remains_of_png", "remains_of_tiff"]


class Remain(NamedTuple):
    """A part of a file.

    Attributes:
        kind: Its kind, in words.
        place: Its place in the file, in words.
    """

    kind: str
    place: str


_BROKEN = "broken file, which cannot be checked"

_START, _END, _SCAN, _COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
_APPLICATION = range(0xE0, 0xF0)
_APP1 = 0xE1  # EXIF, whose directory may hold a thumbnail
_JFIF_LENGTH = 16  # of a segment without a thumbnail
_ADOBE_LENGTH = 14
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_APPLICATIONS = (
    (0xE1, b"Exif\0", "EXIF metadata"),
    (0xE1, b"http://ns.adobe.com/", "XMP metadata"),
    (0xE2, b"ICC_PROFILE\0", "colour profile"),
    (0xE2, b"MPF\0", "second picture"),
    (0xED, b"", "IPTC metadata"),
)


def remains_of_jpeg(data: bytes) -> Iterator[Remain]:
    """Yield what a JPEG holds beside its pixels."""
    at = 2
    while True:
        found = _NEXT_MARKER.search(data, at)
        if found is None:
            yield Remain(_BROKEN, "its end is missing")
            return
        marker, at = data[found.end() - 1], found.end()
        if marker == _END:
            break
        length = int.from_bytes(data[at : at + 2], "big")
        yield from _of_segment(marker, data[at + 2 : at + max(length, 2)], found.start())
        at += max(length, 2)
    if at < len(data):
        yield Remain("trailing bytes", f"behind the end of the picture, at byte {at:,}")


def _of_segment(marker: int, content: bytes, at: int) -> Iterator[Remain]:
    place = f"at byte {at:,}"
    if marker == _COMMENT:
        yield Remain("comment", place)
    elif marker == _APPLICATION[0] and content.startswith(b"JFIF\0"):
        if len(content) != _JFIF_LENGTH - 2:
            yield Remain("thumbnail", place)
    elif marker in _APPLICATION and not (content.startswith(b"Adobe") and len(content) <= _ADOBE_LENGTH - 2):
        kinds = (kind for at_marker, begin, kind in _APPLICATIONS if marker == at_marker and content.startswith(begin))
        yield Remain("thumbnail" if content.startswith(b"JFXX\0") else next(kinds, "metadata"), place)
        if marker == _APP1 and b"\xff\xd8\xff" in content:
            yield Remain("thumbnail", place)


_PNG_CHUNKS = frozenset(
    (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"sBIT", b"bKGD")
)
_PNG_KINDS = {
    b"tEXt": "comment",
    b"zTXt": "comment",
    b"iTXt": "comment",
    b"eXIf": "EXIF metadata",
    b"iCCP": "colour profile",
    b"acTL": "second frame",
    b"fdAT": "second frame",
    b"fcTL": "second frame",
}


def remains_of_png(data: bytes) -> Iterator[Remain]:
    """Yield what a PNG holds beside its pixels."""
    for kind, start, end in png_chunks(data):
        if kind not in _PNG_CHUNKS:
            yield Remain(_PNG_KINDS.get(kind, "metadata"), f"at byte {start:,}")
        if kind == b"IEND":
            if end < len(data):
                yield Remain("trailing bytes", f"behind the end of the picture, at byte {end:,}")
            return
    yield Remain(_BROKEN, "its end is missing")


# Tags that say how the pixels are stored.
_STRUCTURE = frozenset(
    (*range(254, 260), 262, 263, 266, 273, 274, *range(277, 285), *range(290, 294), 296, 297, 301, *range(317, 326))
).union(range(338, 342), range(529, 533), (332, 347))
_TIFF_KINDS = {
    330: "second picture",
    700: "XMP metadata",
    33723: "IPTC metadata",
    34377: "thumbnail",
    34665: "EXIF metadata",
    34675: "colour profile",
    34853: "GPS metadata",
}


def remains_of_tiff(data: bytes) -> Iterator[Remain]:
    """Yield what a TIFF holds beside the pixels of its pages."""
    try:
        directories = list(tiff_directories(data, range(65536)))
    except UnreadableError:
        yield Remain(_BROKEN, "its chain of pages is broken")
        return
    pages = tiff_pages(directories)
    for number, directory in enumerate(directories, 1):
        place = f"in directory {number}"
        if number - 1 not in pages:
            yield Remain("thumbnail", place)
        for tag in sorted(directory.keys() - _STRUCTURE):
            yield Remain(_TIFF_KINDS.get(tag, "metadata"), f"{place}, tag {tag}")
    if len(pages) > 1:
        yield Remain("second frame", f"{len(pages):,} pages")
