"""The settings of the preparation of pictures."""

from __future__ import annotations

from dataclasses import dataclass

from clova_ocr_async.arguments import require_whole_number
from clova_ocr_async.errors import ConfigurationError

__all__ = ["Preparation"]

_MOST_DPI = 1200  # a page of A4 has 139 million pixels then


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Settings by which pictures are made fit for the service; pictures that need nothing are sent as they are.

    A picture that is written anew for one reason is written upright in plain colours, without metadata.

    Examples:
        >>> client = ClovaOCRClient(domain, prepare=Preparation(render=True, dpi=300))

    Args:
        convert: Convert pictures of formats and colours that the service does not take to JPEG or PNG: HEIC, AVIF,
            WebP, GIF (its first frame), BMP, BigTIFF; 16 bits, CMYK, and transparent pixels, which become white.
        upright: Turn pictures as their EXIF orientation says.
        shrink: Shrink pictures to 8,000 pixels a side and to the limit of bytes, as ``ImageLimits`` has them.
        render: Send each page of a PDF as a picture of itself, also where the page could be sent as a PDF.
        dpi: Dots per inch of rendered pages of PDFs, 1 to 1,200.
        quality: Quality of written JPEGs, 1 to 100.

    Raises:
        ConfigurationError: A switch is neither True nor False, or a number is out of its bounds.
    """

    convert: bool = True
    upright: bool = True
    shrink: bool = True
    render: bool = False
    dpi: int = 200
    quality: int = 92

    def __post_init__(self) -> None:
        for switch in ("convert", "upright", "shrink", "render"):
            value: object = getattr(self, switch)
            if not isinstance(value, bool):
                raise ConfigurationError(f"Preparation.{switch} is a {type(value).__name__}; it must be True or False")
        require_whole_number("Preparation.dpi", self.dpi, most=_MOST_DPI)
        require_whole_number("Preparation.quality", self.quality, most=100)
