"""Headers of WebP, GIF and BMP. Pure, and safe against any bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from clova_ocr_async.pictures.picture_header import PictureHeader, exif_orientation

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["bmp_header", "gif_first_frame", "gif_header", "webp_header"]

_MAX_BLOCKS = 200_000  # that are walked over; a GIF of 50 MB has as many

_WEBP_CHUNK = struct.Struct("<4sI")
_WEBP_ALPHA = 0x10
_WEBP_LOSSLESS_ALPHA = 1 << 28
_WEBP_SIDE = 0x3FFF


def webp_header(data: bytes) -> PictureHeader:
    """Walk the chunks; the canvas of the extended header counts, else the sides of the only frame."""
    width = height = None
    alpha, orientation, frames, lossless = False, 1, 0, False
    end = 8 + int.from_bytes(data[4:8], "little")
    for kind, start, stop in _webp_chunks(data):
        chunk = data[start : min(stop, start + 64)]
        if kind == b"VP8X" and len(chunk) >= 10:  # noqa: PLR2004 - flags, reserved, two sides of 24 bits
            alpha = chunk[0] & _WEBP_ALPHA > 0
            width, height = (int.from_bytes(chunk[at : at + 3], "little") + 1 for at in (4, 7))
        elif kind == b"VP8 " and width is None and chunk[3:6] == b"\x9d\x01\x2a":
            width, height = (int.from_bytes(chunk[at : at + 2], "little") & _WEBP_SIDE for at in (6, 8))
        elif kind == b"VP8L" and chunk[:1] == b"\x2f":
            bits, lossless = int.from_bytes(chunk[1:5], "little"), True
            if width is None:
                width, height = (bits & _WEBP_SIDE) + 1, (bits >> 14 & _WEBP_SIDE) + 1
                alpha = bits & _WEBP_LOSSLESS_ALPHA > 0
        elif kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF":
            orientation = exif_orientation(data[start:stop])
    return PictureHeader(
        kind="webp",
        width=width or None,
        height=height or None,
        orientation=orientation,
        frames=frames or 1,
        colour="rgb",
        alpha=alpha,
        lossless=lossless,
        truncated=end > len(data),
    )


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each chunk, and where its content starts and ends."""
    at = 12
    for _ in range(_MAX_BLOCKS):
        if at + _WEBP_CHUNK.size > len(data):
            return
        kind, length = _WEBP_CHUNK.unpack_from(data, at)
        at += _WEBP_CHUNK.size
        yield kind, at, at + length
        at += length + length % 2


_GIF_SCREEN = 13  # bytes of signature and logical screen
_GIF_IMAGE, _GIF_EXTENSION, _GIF_CONTROL = 0x2C, 0x21, 0xF9
_GIF_DESCRIPTOR = 10  # bytes of an image descriptor


def gif_header(data: bytes) -> PictureHeader:
    """Walk the blocks and count the frames. A first frame that is larger than the logical screen enlarges it."""
    if len(data) < _GIF_SCREEN:
        return PictureHeader(kind="gif", truncated=True)
    width, height, _ = struct.unpack_from("<HHB", data, 6)
    frames, alpha, blocks = 0, False, 0
    for kind, start, end, steps in _gif_blocks(data):
        blocks += steps
        if kind == _GIF_IMAGE:
            if frames == 0:
                left, top, wide, high = struct.unpack_from("<HHHH", data, start + 1)
                width, height = max(width, left + wide), max(height, top + high)
            frames += end <= len(data)
        elif frames == 0 and data[start + 1] == _GIF_CONTROL:
            alpha |= data[start + 3] & 1 > 0
    return PictureHeader(
        kind="gif",
        width=width or None,
        height=height or None,
        frames=None if blocks >= _MAX_BLOCKS else max(frames, 1),
        colour="palette",
        alpha=alpha,
        lossless=True,
        truncated=frames == 0 and blocks < _MAX_BLOCKS,
    )


def gif_first_frame(data: bytes) -> bytes:
    """Return a GIF of the first frame and its transparent colour alone."""
    kept = [data[: _gif_start(data)]]
    for kind, start, end, _ in _gif_blocks(data):
        if kind == _GIF_IMAGE:
            return b"".join([*kept, data[start:end], b";"])
        if data[start + 1] == _GIF_CONTROL:
            kept.append(data[start:end])
    return data  # no frame: the decoder judges it


def _gif_start(data: bytes) -> int:
    return _GIF_SCREEN + _colour_table(data[_GIF_SCREEN - 3])


def _colour_table(flags: int) -> int:
    """Return the bytes of the table that the flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_blocks(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield the kind of each block, where it starts and ends, and its number of parts; up to the limit of parts."""
    at, left = _gif_start(data), _MAX_BLOCKS
    while left > 0 and at + _GIF_DESCRIPTOR < len(data) and data[at] in {_GIF_IMAGE, _GIF_EXTENSION}:
        kind, start, before = data[at], at, left
        at += 2
        if kind == _GIF_IMAGE:
            at = start + _GIF_DESCRIPTOR + _colour_table(data[start + _GIF_DESCRIPTOR - 1]) + 1  # and the code size
        while left > 0 and at < len(data) and data[at]:
            at, left = at + 1 + data[at], left - 1
        at, left = at + 1, left - 1
        yield kind, start, at, before - left


_BMP_OLD = 12  # bytes of the header of OS/2
_BMP_HEADERS = frozenset((_BMP_OLD, 40, 52, 56, 64, 108, 124))
_BMP_PLAIN = frozenset((0, 3))  # not compressed
_BMP_ALPHA_MASK = 66
_BMP_WITH_ALPHA = frozenset((56, 108, 124))
_BMP_TRUE_COLOUR = 16  # bits of a pixel; fewer are a palette's


def bmp_header(data: bytes) -> PictureHeader | None:
    """Parse the two headers; None if they are not those of a BMP, whose two letters many texts begin with."""
    header = int.from_bytes(data[14:18], "little")
    if header not in _BMP_HEADERS or len(data) < 14 + header:
        return None
    if header == _BMP_OLD:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    stride = (width * bits + 31) // 32 * 4
    end = int.from_bytes(data[10:14], "little") + stride * abs(height)  # a negative height: rows from the top
    mask = data[_BMP_ALPHA_MASK : _BMP_ALPHA_MASK + 4] if header in _BMP_WITH_ALPHA else b""
    return PictureHeader(
        kind="bmp",
        width=width if width > 0 else None,
        height=abs(height) or None,
        colour="palette" if bits < _BMP_TRUE_COLOUR else "rgb",
        alpha=compression in {3, 6} and any(mask),
        lossless=True,
        truncated=compression in _BMP_PLAIN and end > len(data),
    )
