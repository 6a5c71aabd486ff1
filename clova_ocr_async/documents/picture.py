"""The picture that was sent for a source, and the way back from its polygons to the original.

Glossary:
    sent picture      the raster that the polygons of an answer refer to
    viewer's picture  the original as a viewer shows it: EXIF orientation, page rotation and crop box applied
    stored picture    the raster in the original's file; for a page of a PDF its user space, whose y axis points up

Formulas are those of continuous coordinates: the right edge of a picture lies at its width, not at its last pixel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar

import msgspec

if TYPE_CHECKING:
    from clova_ocr_async.documents.envelope import ConvertedImageInfo
    from clova_ocr_async.documents.objects import BoundingPoly, Vertex

__all__ = ["Picture", "swapped"]

NumberT = TypeVar("NumberT", int, float)

_Side: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]
_Size: TypeAlias = tuple[_Side, _Side]
_Point: TypeAlias = tuple[float, float]

_LARGEST_SIDE = 2**31  # pixels; no picture has more, and a whole number may be too large for a float
_SWAPS_SIDES = 5  # EXIF orientations from 5 swap width and height
# Whether each EXIF orientation mirrors the stored picture's x and y axes, before it swaps them.
# Source: EXIF 2.3, tag 274; verified against Pillow for all eight values.
_FLIPS = {
    1: (False, False),
    2: (True, False),
    3: (True, True),
    4: (False, True),
    5: (False, False),
    6: (False, True),
    7: (True, True),
    8: (True, False),
}


# Unknown fields are refused: a field of a later version may change what the others mean, and boxes would be misplaced.
class Picture(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True, forbid_unknown_fields=True
):
    """The picture that was sent for a source: the steps from the original to it, and the sizes of both.

    Attributes:
        steps: What was done to the original, in words, in their order; empty if it was sent byte for byte.
        page: The page that was cut out of a file, from 1; None if the file was sent whole.
        size: Width and height of the original as a viewer shows it, in pixels; those of a PDF page in points (1/72
            inch). None if not known.
        sent_size: Width and height of the picture that the polygons refer to, in pixels. For a PDF or TIFF that was
            sent as such, the picture that the service made of it. None if not known.
        orientation: The EXIF orientation of the original, 1 to 8.
        upright: Whether the sent picture lies as a viewer shows the original (True) or as it is stored (False); None if
            not known. Only of interest for an orientation other than 1.
        rotation: The clockwise rotation of the PDF page, in degrees: 0, 90, 180 or 270.
        crop_box: Left, bottom, right and top of the visible part of the PDF page, in points; None for other formats.
        sha256: Of the bytes that were sent, in hex; None if they are those of the original.
    """

    steps: tuple[str, ...] = ()
    page: Annotated[int, msgspec.Meta(ge=1)] | None = None
    size: _Size | None = None
    sent_size: _Size | None = None
    orientation: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    upright: bool | None = None
    rotation: Annotated[int, msgspec.Meta(ge=0, le=270, multiple_of=90)] = 0
    crop_box: tuple[float, float, float, float] | None = None
    sha256: str | None = None

    def to_original(self, polygon: BoundingPoly, *, stored: bool = False) -> BoundingPoly:
        """Return a polygon of the answer on the original.

        Assumed: a file with an EXIF orientation that was sent byte for byte. It is not documented whether the service
        turns it, so its polygons stay as they were answered. A TIFF is the exception: the sides of the picture that the
        service made of it show whether it was turned, unless they are equal or only mirrored.

        Args:
            polygon: A polygon of the answer that this picture belongs to. Coordinates that are None stay None.
            stored: Whether the result is in the raster of the file, before its EXIF orientation; for a page of a PDF,
                in its user space, in points with the origin at the bottom left. By default the result is on the picture
                as a viewer shows it, from the top left, in pixels; in points for a page of a PDF.

        Returns:
            The polygon on the original; the same one where the sizes of both pictures are not known.
        """
        size = self._viewer_size() or _usable(self.sent_size)
        if size is None or not polygon.vertices:
            return polygon
        vertices = tuple(self._vertex(vertex, size, stored=stored) for vertex in polygon.vertices)
        return msgspec.structs.replace(polygon, vertices=vertices)

    def as_converted(self, info: ConvertedImageInfo) -> Picture:
        """Return the picture with the size that the service gave a PDF or TIFF, which its polygons refer to.

        Args:
            info: Of the answer; empty for other formats. A side that no picture has, such as 0, counts as not known.
        """
        width, height = info.width or 0, info.height or 0
        if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
            return self
        return msgspec.structs.replace(self, sent_size=(width, height))

    def to_json(self) -> bytes:
        """Return the picture as JSON, as a ledger stores it."""
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(stored: bytes) -> Picture:
        """Return a picture from its JSON; an empty one if the JSON is damaged, or of a later version's fields."""
        try:
            return _DECODER.decode(stored)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return Picture()

    def _viewer_size(self) -> _Size | None:
        if self.size is None and self.crop_box is not None:
            left, bottom, right, top = self.crop_box
            width, height = right - left, top - bottom
            return _usable((height, width) if self.rotation % 180 else (width, height))
        return _usable(self.size)

    def _lies_upright(self, size: _Size) -> bool | None:
        """Return whether the sent picture lies as a viewer shows the original; its sides decide in the last place."""
        if self.orientation == 1 or self.upright is not None:
            return self.orientation == 1 or self.upright
        sent = _usable(self.sent_size)
        if self.orientation < _SWAPS_SIDES or sent is None or size[0] == size[1] or sent[0] == sent[1]:
            return None
        return (sent[0] < sent[1]) == (size[0] < size[1])

    def _vertex(self, vertex: Vertex, size: _Size, *, stored: bool) -> Vertex:
        # NaN stands for an unknown coordinate: it survives every formula, axis by axis.
        point = (math.nan if vertex.x is None else vertex.x, math.nan if vertex.y is None else vertex.y)
        x, y = self._point(point, size, stored=stored)
        return msgspec.structs.replace(vertex, x=None if math.isnan(x) else x, y=None if math.isnan(y) else y)

    def _point(self, point: _Point, size: _Size, *, stored: bool) -> _Point:
        upright = self._lies_upright(size)
        raster = swapped(size, self.orientation)
        point = _scaled(point, _usable(self.sent_size), raster if upright is False else size)
        if stored and self.crop_box is not None:
            return _to_user_space(point, self.rotation, self.crop_box)
        if upright is None or upright is not stored:  # it lies already as asked for
            return point
        return _to_stored(point, self.orientation, raster) if stored else _to_upright(point, self.orientation, raster)


_DECODER = msgspec.json.Decoder(Picture)


def _usable(size: tuple[float, float] | None) -> _Size | None:
    """Return a size that can be divided by; a service may answer a side of 0."""
    return size if size is not None and size[0] > 0 and size[1] > 0 else None


def _scaled(point: _Point, sent: _Size | None, original: _Size) -> _Point:
    # The ratio of each axis is its own, because sides were rounded to pixels.
    return point if sent is None else (point[0] * original[0] / sent[0], point[1] * original[1] / sent[1])


def _to_stored(upright: _Point, orientation: int, raster: _Size) -> _Point:
    return _flipped(swapped(upright, orientation), orientation, raster)


def _to_upright(stored: _Point, orientation: int, raster: _Size) -> _Point:
    return swapped(_flipped(stored, orientation, raster), orientation)


def swapped(pair: tuple[NumberT, NumberT], orientation: int) -> tuple[NumberT, NumberT]:
    """Return a pair of one raster in the other one: the stored one for the upright one, and the reverse.

    Args:
        pair: Width and height, or x and y.
        orientation: The EXIF orientation.
    """
    return (pair[1], pair[0]) if orientation >= _SWAPS_SIDES else pair


def _flipped(point: _Point, orientation: int, raster: _Size) -> _Point:
    flip_x, flip_y = _FLIPS[orientation]
    return (raster[0] - point[0] if flip_x else point[0], raster[1] - point[1] if flip_y else point[1])


def _to_user_space(point: _Point, rotation: int, crop_box: tuple[float, float, float, float]) -> _Point:
    """Convert a point of a page, as a viewer shows it, to the user space of the page. UserUnit is not applied."""
    (x, y), (left, bottom, right, top) = point, crop_box
    turned = {
        0: (left + x, top - y),
        90: (left + y, bottom + x),
        180: (right - x, bottom + y),
        270: (right - y, top - x),
    }
    return turned[rotation]
