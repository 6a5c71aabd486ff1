"""The visible part of a PDF page, as readers see it. Pure, and safe against any values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, SupportsFloat, SupportsIndex, TypeAlias, cast

__all__ = ["PageGeometry"]

Box: TypeAlias = tuple[float, float, float, float]

_LETTER: Box = (0.0, 0.0, 612.0, 792.0)
_LARGEST = 1e9  # units; of a coordinate
_SIDES = 4
_QUARTER, _FULL = 90, 360
_POINTS_PER_INCH = 72


class PageGeometry(NamedTuple):
    """The visible part of a page.

    Assumed: the service sees a page as pdfium does. It takes US Letter for a page without a usable media box, and shows
    the part of the crop box that lies within the media box.

    Attributes:
        crop_box: Left, bottom, right and top of the visible part, in units of the page.
        rotation: The clockwise rotation in degrees: 0, 90, 180 or 270.
        user_unit: The unit of the page, in points of 1/72 inch; 1 for nearly all pages.
    """

    crop_box: Box = _LETTER
    rotation: int = 0
    user_unit: float = 1.0

    @classmethod
    def of(cls, media_box: object, crop_box: object, rotation: object, user_unit: object) -> PageGeometry:
        """Return the geometry of a page from the values in its dictionary, which may be missing, or anything."""
        media = _box(media_box) or _LETTER
        left, bottom, right, top = _box(crop_box) or media
        visible = max(left, media[0]), max(bottom, media[1]), min(right, media[2]), min(top, media[3])
        quarters = int((_number(rotation) or 0.0) / _QUARTER)
        unit = _number(user_unit) or 1.0
        return cls(visible if _has_area(visible) else media, quarters * _QUARTER % _FULL, unit if unit > 0 else 1.0)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height as a viewer shows the page, in units of the page."""
        left, bottom, right, top = self.crop_box
        width, height = right - left, top - bottom
        return (height, width) if self.rotation % (2 * _QUARTER) else (width, height)

    def scale(self, dpi: float, max_side: int) -> float:
        """Return the pixels per unit of a rendering.

        Args:
            dpi: Pixels per inch.
            max_side: The pixels that no side may exceed, for which the rendering is made smaller.
        """
        return min(dpi * self.user_unit / _POINTS_PER_INCH, max_side / max(self.size))

    def dpi(self, scale: float) -> float:
        """Return the pixels per inch of a scale."""
        return scale * _POINTS_PER_INCH / self.user_unit


def _box(value: object) -> Box | None:
    """Return a box with its corners in order; None if it is not a box, or has no area."""
    numbers = [_number(item) for item in cast("Iterable[object]", value)] if isinstance(value, Iterable) else []
    found = [number for number in numbers if number is not None]
    if len(found) != _SIDES or len(numbers) != _SIDES:
        return None
    box = min(found[0], found[2]), min(found[1], found[3]), max(found[0], found[2]), max(found[1], found[3])
    return box if _has_area(box) else None


def _has_area(box: Box) -> bool:
    return box[0] < box[2] and box[1] < box[3]


def _number(value: object) -> float | None:
    """Return a finite number that is not beyond all measure; None for any other value."""
    try:
        number = float(cast("SupportsFloat | SupportsIndex", value))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) <= _LARGEST else None
