"""Pages of TIFF files that cannot be cut as they are, decoded by Pillow and encoded anew."""

from __future__ import annotations

import io
from typing import BinaryIO

import PIL.Image

from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures.preparation import Preparation

__all__ = ["decoded_page"]

_MAX_PIXELS = 89_000_000  # Pillow warns of larger pictures
_WHITE, _WHITE_16_BIT = 255, 65535


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
    if pixels > _MAX_PIXELS:
        raise ImageError(
            f"{name} cannot be cut as it is, and it or a picture before it has {pixels:,} pixels; {_MAX_PIXELS:,} are "
            "decoded; save it as JPEG or PNG"
        )
    picture = _decoded(stream, name, place)
    data, kind = _encoded(picture, "PNG"), "png"
    if max_bytes is not None and len(data) > max_bytes:
        quality = (preparation or Preparation()).quality
        data, kind = _encoded(picture.convert("RGB"), "JPEG", quality=quality), "jpeg"
        if len(data) > max_bytes:
            raise ImageError(
                f"{name} has {len(data):,} bytes as a jpeg, and {max_bytes:,} are allowed; "
                "scale it down, or raise ImageLimits.max_bytes"
            )
    return data, f"tiff to {kind}"


def _decoded(stream: BinaryIO, name: str, place: int) -> PIL.Image.Image:
    try:
        with PIL.Image.open(stream, formats=["TIFF"]) as picture:
            picture.seek(place)
            return _plain(picture)
    except Exception as error:  # noqa: BLE001 - any error of the decoder concerns this page alone
        raise ImageError(
            f"{name} cannot be decoded ({type(error).__name__}); save it as JPEG or PNG, or get the whole file"
        ) from None


def _plain(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Return a picture in grey or RGB of 8 bits: transparent is white, and 16 bits are scaled."""
    if picture.mode in {"RGBA", "LA", "PA"}:
        paper = PIL.Image.new("RGBA", picture.size, "white")
        return PIL.Image.alpha_composite(paper, picture.convert("RGBA")).convert("RGB")
    if picture.mode.startswith("I;16"):
        return picture.point(lambda value: value * (_WHITE / _WHITE_16_BIT)).convert("L")
    return picture.copy() if picture.mode in {"1", "L", "RGB"} else picture.convert("RGB")


def _encoded(picture: PIL.Image.Image, kind: str, quality: int | None = None) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **({} if quality is None else {"quality": quality}))
    return file.getvalue()
