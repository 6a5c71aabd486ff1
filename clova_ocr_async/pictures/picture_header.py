"""The facts in the header of a picture, and the parser of EXIF orientations that several formats share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from clova_ocr_async.documents.picture import Picture, swapped
from clova_ocr_async.protocol.dimensions import UnreadableError
from clova_ocr_async.protocol.image_headers import TiffField, tiff_directories

__all__ = ["Colour", "PictureHeader", "PictureKind", "exif_orientation", "orientation_of", "sent_whole"]

PictureKind: TypeAlias = Literal["jpeg", "png", "tiff", "bigtiff", "webp", "gif", "bmp", "heic", "avif"]
Colour: TypeAlias = Literal["bilevel", "grey", "palette", "rgb", "cmyk", "other"]

_ORIENTATION = 274
_EXIF_INTEGERS = {1: 1, 3: 2, 4: 4}  # BYTE, SHORT, LONG: type -> bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureHeader:
    """The facts in the header of a picture; those that it does not state are None.

    Attributes:
        kind: The format.
        width: Pixels as stored, before any EXIF orientation. Of HEIC and AVIF as a viewer shows them, because their
            container's own rotation is part of the format and every decoder applies it.
        height: As width.
        orientation: The EXIF orientation, 1 to 8; 1 for any other value, and for HEIC and AVIF.
        frames: Frames of an animation, pages of a TIFF.
        first_frame: The directory of a TIFF that holds its first page, from 0; a thumbnail may lie in front of it.
        bit_depth: Bits of a channel.
        colour: The kind of colours.
        alpha: Whether pixels may be transparent.
        lossless: Whether the format keeps every pixel as it was.
        progressive: Whether a JPEG is progressive: a decoder needs memory for all of it, also to shrink it.
        truncated: Whether the end of the file is missing; never True for JPEG, PNG and TIFF, which
            ``protocol.truncation`` judges.
    """

    kind: PictureKind
    width: int | None = None
    height: int | None = None
    orientation: int = 1
    frames: int | None = 1
    first_frame: int = 0
    bit_depth: int | None = 8
    colour: Colour | None = None
    alpha: bool = False
    lossless: bool = False
    progressive: bool = False
    truncated: bool = False

    @property
    def stored_size(self) -> tuple[int, int] | None:
        """Width and height of the raster in the file; None if not known."""
        return None if self.width is None or self.height is None else (self.width, self.height)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height as a viewer shows the picture; None if not known."""
        stored = self.stored_size
        return None if stored is None else swapped(stored, self.orientation)

    def as_sent(self) -> Picture:
        """Return the record of the picture if it is sent byte for byte."""
        return sent_whole(self.stored_size, self.orientation, converted=self.kind in {"tiff", "bigtiff"})


def sent_whole(stored: tuple[int, int] | None, orientation: int, *, converted: bool = False) -> Picture:
    """Return the record of a picture that is sent byte for byte.

    Args:
        stored: Width and height of the raster in the file; None if not known.
        orientation: The EXIF orientation.
        converted: Whether the service converts the picture, as it does with a TIFF.
    """
    size = None if stored is None else swapped(stored, orientation)
    # With an orientation, or converted, only the service knows the picture that its polygons refer to.
    known = orientation == 1 and not converted
    return Picture(size=size, sent_size=size if known else None, orientation=orientation)


def exif_orientation(exif: bytes) -> int:
    """Return the orientation in the first directory of EXIF data, 1 if there is none or it is not one of the eight."""
    exif = exif.removeprefix(b"Exif\0\0")
    if not exif.startswith((b"II*\0", b"MM\0*")):
        return 1
    try:
        directory = next(tiff_directories(exif, {_ORIENTATION}), dict[int, TiffField]())
    except UnreadableError:
        return 1
    field = directory.get(_ORIENTATION)
    if field is None or field.value_count != 1 or field.value_type not in _EXIF_INTEGERS:
        return 1
    return orientation_of(int.from_bytes(field.value[: _EXIF_INTEGERS[field.value_type]], field.order))


def orientation_of(value: int) -> int:
    """Return an orientation if it is one of the eight, else 1; cameras write 0 for "not known"."""
    return value if 1 <= value <= 8 else 1  # noqa: PLR2004 - EXIF's eight
