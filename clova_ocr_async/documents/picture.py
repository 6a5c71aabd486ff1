"""The picture that was sent for a source, and the way back from its polygons to the original."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from clova_ocr_async.documents.envelope import ConvertedImageInfo
    from clova_ocr_async.documents.objects import BoundingPoly

__all__ = ["Picture"]


class Picture(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The picture that was sent for a source: the steps from the original to it, and the sizes of both.

    Attributes:
        steps: What was done to the original, in words, in their order; empty if it was sent byte for byte.
        page: The page that was cut out of a file, from 1; None if the file was sent whole.
        size: Width and height of the original as a viewer shows it, in pixels; those of a PDF page in points (1/72
            inch). None if not known.
        sent_size: Width and height of the picture that the polygons refer to, in pixels. For a PDF or TIFF that was
            sent as such, the picture that the service made of it. None if not known.
        orientation: The EXIF orientation of the original, 1 to 8.
        rotation: The clockwise rotation of the PDF page, in degrees: 0, 90, 180 or 270.
        crop_box: Left, bottom, right and top of the visible part of the PDF page, in points; None for other formats.
        sha256: Of the bytes that were sent, in hex; None if they are those of the original.
    """

    steps: tuple[str, ...] = ()
    page: int | None = None
    size: tuple[float, float] | None = None
    sent_size: tuple[float, float] | None = None
    orientation: int = 1
    rotation: int = 0
    crop_box: tuple[float, float, float, float] | None = None
    sha256: str | None = None

    def to_original(self, polygon: BoundingPoly, *, stored: bool = False) -> BoundingPoly:
        """Return a polygon of the answer on the original."""
        raise NotImplementedError

    def as_converted(self, info: ConvertedImageInfo) -> Picture:
        """Return the picture with the size that the service gave a PDF or TIFF, which its polygons refer to.

        Args:
            info: Of the answer; empty for other formats.
        """
        if info.width is None or info.height is None:
            return self
        return msgspec.structs.replace(self, sent_size=(info.width, info.height))

    def to_json(self) -> bytes:
        """Return the picture as a ledger keeps it."""
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(stored: bytes) -> Picture:
        """Return the picture that ``to_json`` was asked for; an empty one if the bytes are not that."""
        try:
            return msgspec.json.decode(stored, type=Picture)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return Picture()
