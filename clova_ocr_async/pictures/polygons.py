"""Polygons in the plane. Pure.

Coordinates are continuous: the left edge of the first pixel lies at 0, and the right edge of a picture at its width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Point", "area", "clipped_area", "convex_hull", "extent"]

Point: TypeAlias = tuple[float, float]


def convex_hull(points: Iterable[Point]) -> list[Point]:
    """Return the corners of the convex hull, counter-clockwise on paper; fewer than three if there is no area."""
    ordered = sorted(set(points))
    lower, upper = _half_hull(ordered), _half_hull(ordered[::-1])
    return lower[:-1] + upper[:-1]


def _half_hull(ordered: list[Point]) -> list[Point]:
    half: list[Point] = []
    for point in ordered:
        while len(half) > 1 and _turn(half[-2], half[-1], point) <= 0:
            half.pop()
        half.append(point)
    return half


def _turn(first: Point, second: Point, third: Point) -> float:
    return (second[0] - first[0]) * (third[1] - first[1]) - (second[1] - first[1]) * (third[0] - first[0])


def area(corners: Sequence[Point]) -> float:
    """Return the area of a polygon."""
    following = (*corners[1:], *corners[:1])
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(corners, following, strict=True))) / 2


def clipped_area(hull: Sequence[Point], size: tuple[float, float]) -> float:
    """Return the area of the part of a convex polygon that lies on a picture of a size."""
    corners = list(hull)
    for axis, limit, sign in ((0, 0.0, 1), (1, 0.0, 1), (0, size[0], -1), (1, size[1], -1)):
        corners = _clipped(corners, axis, limit, sign)
    return area(corners)


def _clipped(corners: list[Point], axis: int, limit: float, sign: int) -> list[Point]:
    """Return the part of a polygon on one side of a line, after Sutherland and Hodgman."""
    kept: list[Point] = []
    for start, end in zip(corners, (*corners[1:], *corners[:1]), strict=True):
        inside, leaves = (start[axis] - limit) * sign >= 0, (end[axis] - limit) * sign < 0
        if inside:
            kept.append(start)
        if inside is leaves:
            share = (limit - start[axis]) / (end[axis] - start[axis])
            kept.append((start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])))
    return kept


def extent(hull: Sequence[Point]) -> tuple[float, float]:
    """Return the length of a convex polygon along its longest edge, and its width across that."""
    edges = list(zip(hull, (*hull[1:], *hull[:1]), strict=True))
    start, end = max(edges, key=lambda edge: math.dist(*edge))
    length = math.dist(start, end)
    along = ((end[0] - start[0]) / length, (end[1] - start[1]) / length)
    lengths = [x * along[0] + y * along[1] for x, y in hull]
    widths = [y * along[0] - x * along[1] for x, y in hull]
    return max(lengths) - min(lengths), max(widths) - min(widths)
