"""Written words with their places on a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

__all__ = ["Box", "Point", "Polygon", "Word"]


class Point(NamedTuple):
    """A place on a picture, in pixels from its top left corner."""

    x: float
    y: float


Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels of a picture before its rotation."""

Polygon: TypeAlias = tuple[Point, Point, Point, Point]
"""Four corners, clockwise from the one at the top left."""


@dataclass(frozen=True, slots=True)
class Word:
    """One written word and the place of its ink.

    Attributes:
        text: The word, without whitespace.
        box: Left, top, right and bottom of its ink before the picture's rotation.
        polygon: The tight polygon around its ink on the rotated picture.
        tail: The same for its last characters, if ``Canvas.write`` was given their number; else ``polygon``.
    """

    text: str
    box: Box
    polygon: Polygon
    tail: Polygon
