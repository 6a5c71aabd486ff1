"""Decoding of HEIC, by libheif (extra ``heic``)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pillow_heif

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["open_heic"]


def open_heic(data: bytes, max_pixels: int) -> Image.Image:
    """Decode the primary picture of a HEIC. It is upright: libheif applies the rotation of the container.

    Not by the plugin for Pillow, which would have to be registered for the whole process.

    Raises:
        ValueError: The picture has more than ``max_pixels`` pixels; it is not decoded then.
    """
    file = pillow_heif.open_heif(io.BytesIO(data))  # pyright: ignore[reportUnknownMemberType]  # partly typed
    width, height = file.size
    if width * height > max_pixels:
        raise ValueError
    return file.to_pillow()
