"""Colours as every reader of JPEG and PNG takes them: black and white, grey, a palette, or RGB, of 8 bits."""

from __future__ import annotations

import io
import math
from typing import cast

from PIL import Image, ImageCms

__all__ = ["PLAIN_MODES", "to_plain"]

PLAIN_MODES = frozenset(("1", "L", "P", "RGB"))

_WITH_ALPHA = frozenset(("LA", "La", "PA", "RGBA", "RGBa"))
_WHITE_16_BIT = 65535
_WHITE = 255


def to_plain(image: Image.Image) -> Image.Image:
    """Return a picture in one of the plain modes; the same one if it is in one already.

    Transparent pixels become white, as paper is: a plain conversion would make them black. Numbers of more than 8 bits
    are scaled: a plain conversion would make everything beyond 255 white.

    Raises:
        ValueError: The picture's numbers cannot be scaled, as they are not finite.
    """
    if "transparency" in image.info and image.mode not in _WITH_ALPHA:
        image = image.convert("RGBA")
    if image.mode in _WITH_ALPHA:
        return _on_white(image)
    if image.mode in PLAIN_MODES:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image)
    if image.mode in {"CMYK", "LAB"}:
        return _managed(image)
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    mode = "L" if image.mode in {"LA", "La"} else "RGB"
    if image.mode in {"La", "RGBa", "PA"}:
        image = image.convert({"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}[image.mode])
    paper = Image.new(mode, image.size, "white")
    paper.paste(image.convert(mode), mask=image.getchannel("A"))
    return paper


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale numbers to 0 to 255. White is the highest number of their depth, or the highest of the picture."""
    if image.mode.startswith("I;16"):
        return _scaled(image if image.mode == "I;16" else image.convert("I"), 0, _WHITE_16_BIT)
    low, high = cast("tuple[float, float]", image.getextrema())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError
    depths = (1, _WHITE, _WHITE_16_BIT) if image.mode == "F" else (_WHITE, _WHITE_16_BIT)
    return _scaled(image, min(low, 0), next((depth for depth in depths if high <= depth), high))


def _scaled(image: Image.Image, black: float, white: float) -> Image.Image:
    factor = _WHITE / (white - black)
    if image.mode == "I;16":  # its own point function knows tables only
        table = [round(value * factor) for value in range(_WHITE_16_BIT + 1)]
        return image.point(table, "L")
    # Rounded, not cut off; as F, because the integers of mode I overflow on the way.
    return image.convert("F").point(lambda value: value * factor + (0.5 - black * factor)).convert("L")


def _managed(image: Image.Image) -> Image.Image:
    """Convert CMYK or LAB to RGB by the embedded profile; without a usable one as Pillow does, or by LAB's own."""
    profile: object = image.info.get("icc_profile")
    if image.mode == "LAB":
        return _to_srgb(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    if isinstance(profile, bytes) and profile:
        try:
            return _to_srgb(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
        except (ImageCms.PyCMSError, OSError):
            pass  # of another kind of colours, or broken
    return image.convert("RGB")


def _to_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    assert converted is not None  # noqa: S101 - it is None only where it was asked to work in place
    return converted
