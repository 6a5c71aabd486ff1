"""Writing of pixels as a JPEG or PNG that holds nothing else (extra ``pictures``)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

    from clova_ocr_async.pictures.plan import Output

__all__ = ["encode", "rgb_profile"]


def encode(image: Image.Image, output: Output, *, icc_profile: bytes | None = None, **options: Any) -> bytes:
    """Write pixels and their colour profile alone.

    Args:
        image: The pixels, in one of the plain modes.
        output: The format.
        icc_profile: Their colour profile; None for none.
        options: Pillow's options for a JPEG; a PNG has none.
    """
    file = io.BytesIO()
    if output == "png":
        # Level 3 of 9: half the time of the default, for files a few percent larger.
        image.save(file, "PNG", icc_profile=icc_profile, exif=b"", pnginfo=None, compress_level=3)
        return file.getvalue()
    # JPEG has no palettes and no single bits.
    if image.mode not in {"L", "RGB"}:
        image = image.convert("L" if image.mode == "1" else "RGB")
    # An empty comment, because Pillow would write the original's: it may name a place or a person.
    image.save(file, "JPEG", exif=b"", comment=b"", icc_profile=icc_profile, **options)
    return file.getvalue()


def rgb_profile(image: Image.Image) -> bytes | None:
    """Return the embedded colour profile of RGB pixels; None for other pixels, whose profile a conversion uses up."""
    profile: object = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and image.mode in {"RGB", "RGBA", "RGBX"} else None
