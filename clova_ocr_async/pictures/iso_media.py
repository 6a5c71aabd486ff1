"""Headers of HEIC and AVIF, which are boxes of the ISO base media format. Pure, and safe against any bytes.

The primary item's properties count, in their order: its sides, then crops and rotations. An EXIF orientation is
ignored, as the HEIF specification asks. Encoders pad small pictures and crop them again, which decoders of HEIC apply
and those of AVIF do not.

Source: ISO/IEC 14496-12 (boxes) and ISO/IEC 23008-12 (items and their properties).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from clova_ocr_async.pictures.picture_header import PictureHeader

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["iso_media_header"]

_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
_MAX_BOXES = 10_000  # on one level; a phone's picture has about 100 properties
_FULL_BOX = 4  # bytes of version and flags
_SAMPLES = (b"trak", b"mdia", b"minf", b"stbl", b"stsz")


class _Box(NamedTuple):
    kind: bytes
    start: int
    end: int


def iso_media_header(data: bytes) -> PictureHeader | None:
    """Walk the boxes to the properties of the primary item; None if the file is not a picture."""
    # The length of the list is the file's own claim, so no more than 128 bytes of it are believed.
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, min(int.from_bytes(data[:4], "big"), 128), 4))}
    if not brands & (_AVIF_BRANDS | _HEIF_BRANDS):
        return None
    boxes = list(_boxes(data, 0, len(data)))
    properties = _properties(data, boxes)
    is_avif = bool(brands & _AVIF_BRANDS)
    sides, channels = _sides(data, properties, cropped=not is_avif), _content(data, properties, b"pixi")
    return PictureHeader(
        kind="avif" if is_avif else "heic",
        width=sides[0] if sides else None,
        height=sides[1] if sides else None,
        frames=_frames(data, boxes),
        bit_depth=channels[5] if len(channels) > 5 else 8,  # noqa: PLR2004 - behind version, flags and their number
        colour="grey" if channels[4:5] == b"\x01" else "rgb",
        alpha=_has_alpha(data, boxes),
        truncated=any(box.end > len(data) for box in boxes) or all(box.kind != b"mdat" for box in boxes),
    )


def _boxes(data: bytes, start: int, end: int) -> Iterator[_Box]:
    """Yield the boxes of one level. Each begins behind the one before, so that no file makes a loop."""
    at = start
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        size, content = int.from_bytes(data[at : at + 4], "big"), at + 8
        if size == 1:  # the real size follows the type
            size, content = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        elif size == 0:  # up to the end
            size = end - at
        if content > at + size:
            return
        yield _Box(data[at + 4 : at + 8], content, at + size)
        at += size


def _child(data: bytes, boxes: list[_Box], kind: bytes, *, skip: int = 0) -> list[_Box]:
    """Return the boxes inside the first box of a kind."""
    for box in boxes:
        if box.kind == kind:
            return list(_boxes(data, box.start + skip, min(box.end, len(data))))
    return []


def _properties(data: bytes, boxes: list[_Box]) -> list[_Box]:
    """Return the properties of the primary item, in their order."""
    meta = _child(data, boxes, b"meta", skip=_FULL_BOX)
    # A phone's file has items for tiles, a thumbnail and a gain map as well: the sides of those are not the picture's.
    primary = next((_item_id(data, box) for box in meta if box.kind == b"pitm"), None)
    container = _child(data, meta, b"iprp")
    shared = _child(data, container, b"ipco")
    for box in container:
        if box.kind == b"ipma":
            for item, numbers in _associations(data, box):
                if item == primary:
                    return [shared[number - 1] for number in numbers if 1 <= number <= len(shared)]
    return []


def _item_id(data: bytes, box: _Box) -> int:
    size = 4 if data[box.start : box.start + 1] > b"\0" else 2  # by the version
    return int.from_bytes(data[box.start + _FULL_BOX :][:size], "big")


def _associations(data: bytes, box: _Box) -> Iterator[tuple[int, list[int]]]:
    """Yield each item and the numbers of its properties, from 1."""
    content = data[box.start : min(box.end, len(data))]
    id_size, wide = (4 if content[:1] > b"\0" else 2), bool(content[3:4] and content[3] & 1)
    at = _FULL_BOX + 4
    while at + id_size < len(content):
        item, count = int.from_bytes(content[at : at + id_size], "big"), content[at + id_size]
        at += id_size + 1
        step = 2 if wide else 1
        numbers = [int.from_bytes(content[place : place + step], "big") for place in range(at, at + count * step, step)]
        yield item, [number & (0x7FFF if wide else 0x7F) for number in numbers]  # the top bit: essential
        at += count * step


def _content(data: bytes, properties: list[_Box], kind: bytes) -> bytes:
    return next((data[box.start : min(box.end, box.start + 64)] for box in properties if box.kind == kind), b"")


def _sides(data: bytes, properties: list[_Box], *, cropped: bool) -> tuple[int, int] | None:
    """Apply the properties to the sides; mirrors (imir) keep them."""
    width = height = 0
    for box in properties:
        content = data[box.start : min(box.end, box.start + 16)]
        words = [int.from_bytes(content[at : at + 4], "big") for at in range(0, 16, 4)]
        if box.kind == b"ispe":
            width, height = words[1:3]
        elif box.kind == b"clap" and cropped and words[1] and words[3]:
            width, height = words[0] // words[1], words[2] // words[3]
        elif box.kind == b"irot" and content[:1] and content[0] & 1:  # turns of 90 degrees
            width, height = height, width
    return (width, height) if width and height else None


def _has_alpha(data: bytes, boxes: list[_Box]) -> bool:
    """Return whether an auxiliary picture holds alpha; phones add others, such as gain maps."""
    container = _child(data, _child(data, boxes, b"meta", skip=_FULL_BOX), b"iprp")
    kinds = [
        data[box.start : min(box.end, box.start + 64)]
        for box in _child(data, container, b"ipco")
        if box.kind == b"auxC"
    ]
    return any(b":alpha" in kind or b":auxid:1\0" in kind for kind in kinds)


def _frames(data: bytes, boxes: list[_Box]) -> int:
    """Return the number of samples of the first track; 1 if the file is not a sequence."""
    inner = _child(data, boxes, b"moov")
    for kind in _SAMPLES[:-1]:
        inner = _child(data, inner, kind)
    samples = _content(data, inner, _SAMPLES[-1])
    return int.from_bytes(samples[8:12], "big") or 1
