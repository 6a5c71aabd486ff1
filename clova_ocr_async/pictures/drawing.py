"""Shapes drawn on pictures, and pictures written from their pixels alone (extra ``pictures``)."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Literal

from PIL import Image, ImageDraw

from clova_ocr_async.pictures.polygons import extent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clova_ocr_async.pictures.polygons import Point

__all__ = ["black_out", "encode_pixels", "stroke"]

_BLACK = 0
_GROWTH, _SHARE = 4.0, 0.06
"""A covered polygon grows outward by so many pixels, and by a share of its lesser side: letters stand out of boxes."""
_QUALITY = 95


def encode_pixels(image: Image.Image, output: Literal["jpeg", "png"]) -> bytes:
    """Write the pixels of a picture in grey or RGB, and nothing else that came with them, to a file in memory."""
    # Pillow writes the comments and profiles of the picture that an image was opened from; a new image has none.
    if type(image) is Image.Image:  # made of pixels already, as a turned picture is
        fresh = image
        fresh.info = {}
    else:
        fresh = Image.new(image.mode, image.size)
        fresh.paste(image)
    file = io.BytesIO()
    if output == "jpeg":
        fresh.save(file, "JPEG", quality=_QUALITY)
    else:
        fresh.save(file, "PNG", compress_level=3)  # half the time of the default, for files a few percent larger
    return file.getvalue()


def black_out(image: Image.Image, hulls: Iterable[Sequence[Point]]) -> None:
    """Paint convex polygons, and a margin around each, black.

    Args:
        image: A picture in grey or RGB.
        hulls: The corners of each, at least three.
    """
    pen = ImageDraw.Draw(image)
    for hull in hulls:
        _cover(pen, hull)


def _cover(pen: ImageDraw.ImageDraw, hull: Sequence[Point]) -> None:
    margin = _GROWTH + _SHARE * min(extent(hull))
    # Pixels are named by their left edge here, so a half is taken off to be at their middle.
    corners = [(x - 0.5, y - 0.5) for x, y in hull]
    pen.polygon(corners, fill=_BLACK)
    for start, end in zip(corners, (*corners[1:], *corners[:1]), strict=True):
        pen.polygon(_widened(start, end, margin), fill=_BLACK)
        pen.ellipse((start[0] - margin, start[1] - margin, start[0] + margin, start[1] + margin), fill=_BLACK)


def _widened(start: Point, end: Point, margin: float) -> list[Point]:
    """Return the rectangle around a line."""
    length = math.dist(start, end)
    across = (margin * (end[1] - start[1]) / length, -margin * (end[0] - start[0]) / length)
    return [
        (start[0] + across[0], start[1] + across[1]),
        (end[0] + across[0], end[1] + across[1]),
        (end[0] - across[0], end[1] - across[1]),
        (start[0] - across[0], start[1] - across[1]),
    ]


def stroke(
    pen: ImageDraw.ImageDraw, corners: Sequence[Point], colour: str, width: int, pattern: Sequence[float] = ()
) -> None:
    """Draw the outline of a polygon.

    Args:
        pen: Draws on a picture.
        corners: The corners.
        colour: The colour of the line.
        width: Its width, in pixels.
        pattern: Lengths of line and gap in turn, in widths of the line; empty for a solid line.
    """
    for start, end in zip(corners, (*corners[1:], *corners[:1]), strict=True):
        length = math.dist(start, end)
        for begin, stop in _dashes(length, [part * width for part in pattern]):
            pen.line((_between(start, end, begin), _between(start, end, stop)), fill=colour, width=width)


def _dashes(length: float, pattern: Sequence[float]) -> list[tuple[float, float]]:
    """Return the parts of a line that are drawn, as shares of its length."""
    if not pattern or length == 0:
        return [(0.0, 1.0)]
    found: list[tuple[float, float]] = []
    at, index = 0.0, 0
    while at < length:
        step = pattern[index % len(pattern)]
        if index % 2 == 0:
            found.append((at / length, min(1.0, (at + step) / length)))
        at, index = at + step, index + 1
    return found


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])
