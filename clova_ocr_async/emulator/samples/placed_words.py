"""Words and where they stand on a picture."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class Point(NamedTuple):
    """A place on a picture, in pixels from its top left corner."""

    x: float
    y: float


Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels of a picture before it is turned."""

Polygon: TypeAlias = tuple[Point, Point, Point, Point]
"""Four corners, clockwise from the one at the top left."""


@dataclass(frozen=True, slots=True)
class Word:
    """One written word and where its ink is.

    Attributes:
        text: The word, without whitespace.
        box: Left, top, right and bottom of its ink before the picture is turned.
        polygon: What its ink lies in, tightly, on the turned picture.
        tail: The same for the ink of its last characters, as many as `Canvas.write` was told; else `polygon`.
    """

    text: str
    box: Box
    polygon: Polygon
    tail: Polygon
