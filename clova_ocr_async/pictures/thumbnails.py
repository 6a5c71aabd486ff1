"""Small WebP copies of pictures, for pages that hold many (extra ``pictures``)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["scaled_webp"]

_REDUCING_GAP = 2.0  # a picture of 12 million pixels is scaled in a third of the time, and looks the same


def scaled_webp(image: Image.Image, side: int, quality: int) -> bytes:
    """Return a WebP of the pixels of a picture and nothing else, scaled down until it fits into a square.

    Args:
        image: A picture in grey or RGB.
        side: The longest side of the result, in pixels.
        quality: 0 to 100.
    """
    ratio = min(1.0, side / max(image.size))
    size = _scaled(image.size, ratio)
    small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP) if ratio < 1 else image.copy()
    small.info = {}  # a copy keeps the comments and profiles of its original
    file = io.BytesIO()
    small.save(file, "WEBP", quality=quality, method=4)
    return file.getvalue()


def _scaled(size: Sequence[int], ratio: float) -> tuple[int, int]:
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))
