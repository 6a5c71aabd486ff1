"""Pages of TIFF files that cannot be cut as they are, decoded by Pillow and encoded anew."""

from __future__ import annotations

from typing import BinaryIO

import PIL.Image

from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures.colours import to_plain
from clova_ocr_async.pictures.encoding import encode, rgb_profile
from clova_ocr_async.pictures.plan import MAX_PIXELS
from clova_ocr_async.pictures.preparation import Preparation

__all__ = ["decoded_page"]


def decoded_page(
    stream: BinaryIO, name: str, *, place: int, pixels: int, max_bytes: int | None, preparation: Preparation | None
) -> tuple[bytes, str]:
    """Return a page as a PNG, or as a JPEG where that is too large, and the step in words. Pillow turns it upright.

    Args:
        stream: The file.
        name: The page, as messages show it.
        place: The place of its directory in the chain.
        pixels: Pixels of the largest picture up to it.
        max_bytes: The largest file that may be sent; None for no limit.
        preparation: The settings, for the quality of a JPEG; None for the default ones.

    Raises:
        ImageError: The page has too many pixels, cannot be decoded, or cannot be made small enough.
    """
    if pixels > MAX_PIXELS:
        raise ImageError(
            f"{name} cannot be cut as it is, and it or a picture before it has {pixels:,} pixels; {MAX_PIXELS:,} are "
            "decoded; save it as JPEG or PNG"
        )
    picture, profile = _decoded(stream, name, place)
    # PNG first: these pages are scans, and JPEG would blur their letters.
    data, kind = encode(picture, "png", icc_profile=profile), "png"
    if max_bytes is not None and len(data) > max_bytes:
        quality = (preparation or Preparation()).quality
        data, kind = encode(picture, "jpeg", icc_profile=profile, quality=quality), "jpeg"
        if len(data) > max_bytes:
            raise ImageError(
                f"{name} has {len(data):,} bytes as a jpeg, and {max_bytes:,} are allowed; "
                "scale it down, or raise ImageLimits.max_bytes"
            )
    return data, f"tiff to {kind}"


def _decoded(stream: BinaryIO, name: str, place: int) -> tuple[PIL.Image.Image, bytes | None]:
    """Return the pixels of a page in plain colours, and their colour profile."""
    try:
        with PIL.Image.open(stream, formats=["TIFF"]) as picture:
            picture.seek(place)
            picture.load()
            return to_plain(picture), rgb_profile(picture)
    except Exception as error:  # noqa: BLE001 - any error of the decoder concerns this page alone
        raise ImageError(
            f"{name} cannot be decoded ({type(error).__name__}); save it as JPEG or PNG, or get the whole file"
        ) from None
