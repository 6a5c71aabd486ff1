"""Pictures of rectangles in known colours, and the search for those rectangles in another picture."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeAlias

from PIL import Image, ImageChops, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Iterable

Colour: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[float, float, float, float]

SIZE = (640, 480)
RECTANGLES: dict[Colour, Box] = {
    (200, 0, 0): (24, 32, 264, 232),
    (0, 150, 0): (352, 24, 616, 200),
    (0, 0, 220): (48, 272, 304, 456),
    (0, 0, 0): (360, 248, 600, 440),
}
"""Left, top, right and bottom by colour; no symmetry maps one onto another."""

_NOT_ZERO = [0, *[255] * 255]

_TURN_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def drawn(scale: int = 1) -> Image.Image:
    """Draw the rectangles on white."""
    picture = Image.new("RGB", (SIZE[0] * scale, SIZE[1] * scale), "white")
    draw = ImageDraw.Draw(picture)
    for colour, (left, top, right, bottom) in RECTANGLES.items():
        draw.rectangle((left * scale, top * scale, right * scale - 1, bottom * scale - 1), fill=colour)
    return picture


def as_stored(picture: Image.Image, orientation: int) -> Image.Image:
    """Return the raster that a camera stores for a picture that a viewer shows with an orientation."""
    return picture if orientation == 1 else picture.transpose(_TURN_BACK[orientation])


def exif_of(orientation: int, *, order: str = "II") -> bytes:
    """Write EXIF data with an orientation alone."""
    entry_order = "<" if order == "II" else ">"
    entry = struct.pack(f"{entry_order}HHIHH", 274, 3, 1, orientation, 0)
    return order.encode() + struct.pack(f"{entry_order}HIH", 42, 8, 1) + entry + bytes(4)


def found(picture: Image.Image) -> dict[Colour, Box]:
    """Find the box of each rectangle: of the pixels that are nearer to its colour than to any other and to white."""
    distances = {colour: _distance(picture, colour) for colour in (*RECTANGLES, (255, 255, 255))}
    return {colour: _box(colour, distances) for colour in RECTANGLES}


def _box(colour: Colour, distances: dict[Colour, Image.Image]) -> Box:
    mine = distances[colour]
    mask = Image.new("L", mine.size, 255)
    for other, distance in distances.items():
        if other != colour:
            mask = ImageChops.multiply(mask, ImageChops.subtract(distance, mine).point(_NOT_ZERO))
    # Without the thin lines that a lossy format makes beside edges; each side loses a pixel, and gets it back.
    box = mask.filter(ImageFilter.MinFilter(3)).getbbox()
    assert box is not None, "the colour is not in the picture"
    left, top, right, bottom = box
    return left - (left > 0), top - (top > 0), right + (right < mine.width), bottom + (bottom < mine.height)


def _distance(picture: Image.Image, colour: Colour) -> Image.Image:
    red, green, blue = ImageChops.difference(picture, Image.new("RGB", picture.size, colour)).split()
    return ImageChops.lighter(ImageChops.lighter(red, green), blue)


def overlap(one: Iterable[float], other: Iterable[float]) -> float:
    """Return the shared area of two boxes over the area of both together."""
    (left, top, right, bottom), (left2, top2, right2, bottom2) = one, other
    shared = max(0.0, min(right, right2) - max(left, left2)) * max(0.0, min(bottom, bottom2) - max(top, top2))
    return shared / ((right - left) * (bottom - top) + (right2 - left2) * (bottom2 - top2) - shared)
