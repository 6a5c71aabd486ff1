"""Colours as every reader of JPEG and PNG takes them: black and white, grey, a palette, or RGB, of 8 bits."""

from __future__ import annotations

import io
import math
from typing import Any, Literal, cast

from PIL import Image, ImageCms

__all__ = ["PLAIN_MODES", "to_plain"]

PLAIN_MODES = frozenset(("1", "L", "P", "RGB"))

_WITH_ALPHA = frozenset(("LA", "La", "PA", "RGBA", "RGBa"))
_WHITE, _WHITE_16_BITS = 255, 65535
_FROM_16_BITS = [round(value * _WHITE / _WHITE_16_BITS) for value in range(_WHITE_16_BITS + 1)]


def to_plain(image: Image.Image) -> Image.Image:
    """Return a picture in one of the plain modes; the same one if it is in one already.

    Transparent pixels become white, as paper is: a plain conversion would make them black. Numbers of more than 8 bits
    are scaled: a plain conversion would make everything beyond 255 white.

    Raises:
        ValueError: The picture's numbers cannot be scaled, as they are not finite.
    """
    if "transparency" in image.info and image.mode in PLAIN_MODES:
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
        return image.convert("I").point(_FROM_16_BITS, "L")
    low, high = cast("tuple[float, float]", image.getextrema())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError
    depths = (1, _WHITE, _WHITE_16_BITS) if image.mode == "F" else (_WHITE, _WHITE_16_BITS)
    black, white = min(low, 0), next((depth for depth in depths if high <= depth), high)
    factor = _WHITE / (white - black)
    # Rounded, not cut off; as F, because integers overflow on the way.
    return image.convert("F").point(lambda value: value * factor + (0.5 - black * factor)).convert("L")


def _managed(image: Image.Image) -> Image.Image:
    """Convert CMYK or LAB to RGB by the embedded profile; without a usable one as Pillow does, or by LAB's own."""
    profile: object = image.info.get("icc_profile")
    if image.mode == "LAB":
        return _to_srgb(image, _standard_profile("LAB"))
    if isinstance(profile, bytes) and profile:
        try:
            return _to_srgb(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
        except (ImageCms.PyCMSError, OSError):
            pass  # of another kind of colours, or broken
    return image.convert("RGB")


def _to_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    converted = ImageCms.profileToProfile(image, profile, _standard_profile("sRGB"), outputMode="RGB")
    assert converted is not None  # noqa: S101 - it is None only where it was asked to work in place
    return converted


def _standard_profile(space: Literal["LAB", "sRGB"]) -> ImageCms.ImageCmsProfile:
    profile: Any = ImageCms.createProfile(space)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return ImageCms.ImageCmsProfile(profile)
