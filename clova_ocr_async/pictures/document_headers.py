"""Headers of the formats that the service takes: JPEG, PNG, TIFF. Pure, and safe against any bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from clova_ocr_async.pictures.picture_header import Colour, PictureHeader, exif_orientation, orientation_of
from clova_ocr_async.protocol.dimensions import UnreadableError
from clova_ocr_async.protocol.image_headers import (
    is_tiff_page,
    jpeg_segments,
    png_dimensions,
    tiff_dimensions,
    tiff_directories,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clova_ocr_async.protocol.image_headers import TiffField

__all__ = ["jpeg_header", "jpeg_orientation", "png_chunks", "png_header", "png_orientation", "tiff_header"]

_JPEG_APP1 = 0xE1
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0-15 without DHT, JPG, DAC
_JPEG_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_JPEG_ENDS = frozenset((0xD8, 0xD9, 0xDA))  # a second SOI, EOI, SOS
_JPEG_FRAME = struct.Struct(">BHHB")  # bits, height, width, components
_JPEG_COLOURS: dict[int, Colour] = {1: "grey", 3: "rgb", 4: "cmyk"}


def jpeg_header(data: bytes) -> PictureHeader:
    """Walk the segments up to the first scan."""
    frame = _JpegFrame()
    # No end at the first frame: of several, Pillow decodes with the last one.
    for marker, at in _jpeg_header_segments(data):
        if marker in _JPEG_FRAMES and at + 4 + _JPEG_FRAME.size <= len(data):
            bits, height, width, components = _JPEG_FRAME.unpack_from(data, at + 4)
            frame = _JpegFrame(bits, height, width, components, marker in _JPEG_PROGRESSIVE)
    return PictureHeader(
        kind="jpeg",
        width=frame.width or None,  # 0 is not a length; a height of 0 is stated behind the first scan
        height=frame.height or None,
        orientation=jpeg_orientation(data),
        bit_depth=frame.bits,
        colour=None if frame.bits is None else _JPEG_COLOURS.get(frame.components, "other"),
        progressive=frame.progressive,
    )


def jpeg_orientation(data: bytes) -> int:
    """Return the EXIF orientation of a JPEG; 1 if it states none."""
    for marker, at in _jpeg_header_segments(data):
        if marker == _JPEG_APP1 and data.startswith(b"Exif\0\0", at + 4):
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            return exif_orientation(data[at + 4 : at + 2 + length])
    return 1


def _jpeg_header_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the marker and the place of the segments in front of the first scan that can be read."""
    try:
        for marker, at in jpeg_segments(data):
            if marker in _JPEG_ENDS:
                return
            yield marker, at
    except UnreadableError:
        return


class _JpegFrame(NamedTuple):
    bits: int | None = None
    height: int = 0
    width: int = 0
    components: int = 0
    progressive: bool = False


_PNG_FIRST_CHUNK = 8
_PNG_CHUNK = struct.Struct(">I4s")  # length, type
_PNG_OVERHEAD = 12  # length, type and checksum of a chunk
_PNG_MAX_CHUNKS = 10_000  # of 8 KiB each they fill 80 MB; more only hold up the event loop
_PNG_COLOURS: dict[int, Colour] = {0: "grey", 2: "rgb", 3: "palette", 4: "grey", 6: "rgb"}
_PNG_ALPHA = 4  # the bit of the colour type


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each chunk of a PNG, and where the whole chunk starts and ends."""
    at = _PNG_FIRST_CHUNK
    last = len(data) - _PNG_OVERHEAD
    for _ in range(_PNG_MAX_CHUNKS):
        if at > last:
            return
        length, kind = _PNG_CHUNK.unpack_from(data, at)
        end = at + _PNG_OVERHEAD + length
        yield kind, at, end
        at = end


def png_header(data: bytes) -> PictureHeader:
    """Walk the chunks; EXIF data and the number of frames may stand behind the pixels."""
    width, height, _ = png_dimensions(data)
    chunks: dict[bytes, tuple[int, int]] = {}
    for kind, start, end in png_chunks(data):
        chunks.setdefault(kind, (start + 8, end - 4))
    frames = data[slice(*chunks.get(b"acTL", (0, 0)))]
    depth, colour_type = (data[24], data[25]) if width and len(data) > 25 else (None, None)  # noqa: PLR2004
    colour = None if colour_type is None else _PNG_COLOURS.get(colour_type, "other")
    return PictureHeader(
        kind="png",
        width=width,
        height=height,
        orientation=png_orientation(data),
        frames=int.from_bytes(frames[:4], "big") or 1,
        bit_depth=depth,
        colour="bilevel" if (colour, depth) == ("grey", 1) else colour,
        alpha=b"tRNS" in chunks or bool((colour_type or 0) & _PNG_ALPHA),
        lossless=True,
    )


def png_orientation(data: bytes) -> int:
    """Return the EXIF orientation of a PNG; 1 if it states none."""
    for kind, start, end in png_chunks(data):
        if kind == b"eXIf":
            return exif_orientation(data[start + 8 : end - 4])
    return 1


_BITS, _PHOTOMETRIC, _ORIENTATION, _EXTRA_SAMPLES = 258, 262, 274, 338
_TIFF_TAGS = range(65536)  # all of them, because the sizes of all fields matter
_TIFF_TEXTS = frozenset((1, 2, 6, 7))  # types of one byte, which decoders keep as they are
_TIFF_MAX_NUMBERS = 200_000  # of a field; a decoder makes an object of each
_TIFF_INTEGERS = {1: 1, 3: 2, 4: 4, 16: 8}  # BYTE, SHORT, LONG, LONG8: type -> bytes
_TIFF_COLOURS: dict[int, Colour] = {0: "grey", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk", 6: "rgb"}


def tiff_header(data: bytes) -> PictureHeader:
    """Follow the chain of directories; the facts are those of the first page."""
    width, height, pages = tiff_dimensions(data)
    try:
        number, fields = _first_page(data)
    except UnreadableError:
        number, fields, width, height = 0, dict[int, int](), None, None
    depth, colour = fields.get(_BITS, 1), _TIFF_COLOURS.get(fields.get(_PHOTOMETRIC, 0), "other")
    return PictureHeader(
        kind="bigtiff" if data[2:4] in {b"+\0", b"\0+"} else "tiff",
        width=width,
        height=height,
        orientation=orientation_of(fields.get(_ORIENTATION, 1)),
        frames=pages,
        first_frame=number,
        bit_depth=depth,
        colour="bilevel" if (colour, depth) == ("grey", 1) else colour,
        alpha=fields.get(_EXTRA_SAMPLES, 0) > 0,  # 0: unspecified data, not alpha
        lossless=True,
    )


def _first_page(data: bytes) -> tuple[int, dict[int, int]]:
    """Return the number and fields of the first directory that is a page; of the first one if none is.

    Raises:
        UnreadableError: The chain of directories breaks before, or a field is of too many numbers.
    """
    first: dict[int, int] = {}
    for number, directory in enumerate(tiff_directories(data, _TIFF_TAGS)):
        if any(map(_is_too_long, directory.values())):
            raise UnreadableError
        fields = {tag: _first_value(data, field) for tag, field in directory.items()}
        if is_tiff_page(directory):
            return number, fields
        first = first or fields
    return 0, first


def _is_too_long(field: TiffField) -> bool:
    return field.value_count > _TIFF_MAX_NUMBERS and field.value_type not in _TIFF_TEXTS


def _first_value(data: bytes, field: TiffField) -> int:
    """Return the first value of a field; 0 if it is not a whole number."""
    size = _TIFF_INTEGERS.get(field.value_type, 0)
    value = field.value
    if size * field.value_count > len(value):
        at = int.from_bytes(value, field.order)
        value = data[at : at + size]
    return int.from_bytes(value[:size], field.order)
