"""The settings of the preparation of pictures."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Preparation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How pictures are made fit for the service before they are sent; pictures that need nothing stay as they are.

    Args:
        convert: Convert pictures of formats and colours that the service does not take to JPEG or PNG.
        upright: Turn pictures as their EXIF orientation says.
        shrink: Shrink pictures to 8,000 pixels a side and to the limit of bytes.
        render: Send each page of a PDF as a picture of itself, also where the page could be sent as a PDF.
        dpi: Dots per inch of rendered pages of PDFs.
        quality: Quality of written JPEGs, 1 to 100.
    """

    convert: bool = True
    upright: bool = True
    shrink: bool = True
    render: bool = False
    dpi: int = 200
    quality: int = 92
