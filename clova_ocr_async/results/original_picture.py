"""The original picture of a recognition, decoded, with the way from the polygons of the answer to its pixels.

A page of a PDF is drawn in the size that its polygons refer to. Any other picture keeps its own size, and lies as a
viewer shows it.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from clova_ocr_async.client.image_bytes import read_bytes
from clova_ocr_async.documents.objects import BoundingPoly, Vertex
from clova_ocr_async.errors import ImageError
from clova_ocr_async.extras import load_module
from clova_ocr_async.pictures.headers import read_header
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.pictures.paged_file import PagedFile
from clova_ocr_async.pictures.pages import cut_page, require_pages
from clova_ocr_async.pictures.plan import MAX_PIXELS
from clova_ocr_async.pictures.preparation import Preparation
from clova_ocr_async.protocol.image import Image, ImageLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import PIL.Image

    from clova_ocr_async.client.loading import ImageSource
    from clova_ocr_async.documents import Recognition
    from clova_ocr_async.documents.picture import Picture
    from clova_ocr_async.pictures.polygons import Point

__all__ = [
    "OriginalPicture",
    "PictureSource",
    "Way",
    "known_place",
    "open_original",
    "open_unread",
    "same_point",
]

PictureSource: TypeAlias = "ImageSource | Page | PIL.Image.Image"
"""The original: a path, bytes, a file opened in binary mode, an Image, a Page, or a PIL image."""

Way: TypeAlias = "Callable[[Point], Point]"
"""A function from a point of an answer to a point of a picture."""

_MIN_SWAPPED = 5  # EXIF orientations from 5 swap width and height
_TIFFS = frozenset(("tiff", "bigtiff"))
_SLACK = 0.02  # of a side; polygons of words at the edge reach a little beyond it


@dataclass(frozen=True, slots=True)
class OriginalPicture:
    """A decoded picture.

    Attributes:
        pixels: The pixels, in grey or RGB; the caller may draw on them.
        output: The format in which a copy is written: that of a JPEG or PNG, JPEG for other formats of photographs, and
            PNG for the rest.
        ways: The functions from a point of the answer to a point of the picture. Where it is not known whether the
            service has turned the picture, there are two, and each of them may be right.
    """

    pixels: PIL.Image.Image
    output: Literal["jpeg", "png"]
    ways: tuple[Way, ...]


def known_place(
    recognition: Recognition[Any], points: Callable[[], Sequence[Sequence[Point]]]
) -> tuple[tuple[float, float] | None, Way]:
    """Return the size of the original as ``open_original`` decodes it, and the way to it, without its file.

    Args:
        recognition: The recognition.
        points: Returns the corners of all polygons; called only where two ways may be right.

    Returns:
        The size, None if it is not known; and the way to it, the first one where two may be right.
    """
    picture = recognition.picture
    # The polygons of a page of a PDF refer to the very picture that is drawn of it.
    if picture.size is None or picture.crop_box is not None:
        return picture.sent_size, same_point
    if picture.steps and picture.sent_size is None:
        return None, same_point
    ways = _possible_ways(picture)
    return picture.size, ways[0] if len(ways) == 1 else _fitting(ways, points(), picture.size)[0]


def open_original(
    image: PictureSource, recognition: Recognition[Any], points: Sequence[Sequence[Point]]
) -> OriginalPicture:
    """Decode the picture of a recognition.

    Args:
        image: The original, as it was given to be recognized.
        recognition: Its recognition.
        points: The corners of all polygons of the answer: a way that leads out of the picture is not one.

    Raises:
        ImageError: The picture cannot be read, or is not the one of the recognition.
        ConfigurationError: The extra ``pictures`` is not installed.
    """
    convert = load_module("clova_ocr_async.pictures.convert", "drawing on a picture")
    number, file = recognition.picture.page, _file_of(image, convert)
    if isinstance(image, Page):
        number = image.number
    head = PagedFile.of(file).head
    header = read_header(head)
    if b"%PDF-" in head and header is None:
        return _page_of_pdf(file, number, recognition)
    if header is not None and header.kind in _TIFFS:
        # A page of its own, so that no other page and no version of this one is decoded.
        data = cut_page(file, _page_number(file, number), max_bytes=None, preparation=None)[0]
    else:
        data = file if isinstance(file, bytes) else read_bytes(file, _NO_LIMITS)[0]
    return _decoded(data, recognition, points, convert)


def open_unread(image: bytes | Page) -> OriginalPicture:
    """Decode a picture of which nothing was read, so that there is no polygon to place on it.

    Args:
        image: The bytes of its file, or the page of a file. A page of a PDF is drawn as a preparation would draw it.

    Raises:
        ImageError: The picture cannot be read, or the file has several pages and none is named.
        ConfigurationError: The extra ``pictures`` is not installed.
    """
    convert = load_module("clova_ocr_async.pictures.convert", "showing a picture")
    number, file = (image.number, os.fsdecode(image.path)) if isinstance(image, Page) else (None, image)
    data = cut_page(file, _page_number(file, number), max_bytes=None, preparation=Preparation(render=True))[0]
    pixels = convert.decode(data)
    return OriginalPicture(pixels, _output_of(data), (same_point,))


def _file_of(image: PictureSource, convert: Any) -> bytes | str:
    """Return the bytes of a picture; the path of a page's file, which may be too large to be read whole."""
    if isinstance(image, Page):
        return os.fsdecode(image.path)
    if isinstance(image, Image):
        return image.data
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if hasattr(image, "getexif"):
        made: bytes = convert.from_pil(image)[0]
        return made
    return read_bytes(image, _NO_LIMITS)[0]


_NO_LIMITS = ImageLimits(max_bytes=None)


def _page_of_pdf(file: bytes | str, number: int | None, recognition: Recognition[Any]) -> OriginalPicture:
    """Draw a page of a PDF in the size that the polygons refer to, so that they need no way."""
    size = recognition.picture.as_converted(recognition.converted_image_info).sent_size
    if recognition.picture.sha256 is not None:  # drawn here before it was sent
        size = recognition.picture.sent_size or size
    if size is None or not all(math.isfinite(side) and side >= 1 for side in size):
        raise ImageError("the answer does not state the size of the picture that its polygons refer to")
    width, height = round(size[0]), round(size[1])
    if width * height > MAX_PIXELS:
        raise ImageError(f"the answer states a picture of {width:,} x {height:,} pixels, which is too large")
    pixels = load_module("clova_ocr_async.pictures.pdf", "a page of a pdf").draw_page(
        PagedFile.of(file), _page_number(file, number), (width, height)
    )
    return OriginalPicture(pixels, "png", (same_point,))


def _page_number(file: bytes | str, number: int | None) -> int:
    if number is not None:
        return number
    if (count := require_pages(file)) > 1:
        raise ImageError(
            f"the file has {count:,} pages, and the recognition is not that of one page; give Page(path, n)"
        )
    return 1


def same_point(point: Point) -> Point:
    """Return a point of a picture that is the one the polygons refer to."""
    return point


def _decoded(
    data: bytes, recognition: Recognition[Any], points: Sequence[Sequence[Point]], convert: Any
) -> OriginalPicture:
    header = read_header(data)
    pixels = convert.decode(data)
    assert header is not None  # noqa: S101 - what was decoded has a header
    picture = recognition.picture
    if picture.size is None and not picture.steps:
        # A recognition that was made by hand: the file was sent as it is.
        picture = header.as_sent().as_converted(recognition.converted_image_info)
    if header.kind in _TIFFS and picture.sent_size is None:
        raise ImageError("the answer does not state the size of the picture that its polygons refer to")
    return OriginalPicture(pixels, _output_of(data), _fitting(_ways(picture, pixels.size), points, pixels.size))


def _output_of(data: bytes) -> Literal["jpeg", "png"]:
    header = read_header(data)
    return "jpeg" if header is not None and header.kind in {"jpeg", "heic", "avif", "webp"} else "png"


def _fitting(ways: tuple[Way, ...], points: Sequence[Sequence[Point]], size: tuple[float, float]) -> tuple[Way, ...]:
    """Return the ways that lead to a place on the picture."""
    if len(ways) == 1:
        return ways
    # If none fits, the polygons themselves are at fault, and are judged one by one.
    return tuple(way for way in ways if _stays_inside(way, points, size)) or ways


def _ways(picture: Picture, size: tuple[int, int]) -> tuple[Way, ...]:
    """Return the possible ways from a sent picture to its original.

    Raises:
        ImageError: The picture is not the one that was sent, or it is not known how it was sent.
    """
    if picture.size is None or (picture.steps and picture.sent_size is None):
        raise ImageError("it is not known how the picture was prepared, so its polygons have no certain place")
    if tuple(map(round, picture.size)) != size:
        raise ImageError(
            f"the picture has changed: it has {size[0]:,} x {size[1]:,} pixels, and the one that was read had "
            f"{round(picture.size[0]):,} x {round(picture.size[1]):,}"
        )
    return _possible_ways(picture)


def _possible_ways(picture: Picture) -> tuple[Way, ...]:
    if picture.orientation == 1 or picture.upright is not None or _is_decided(picture):
        return (_way(picture),)
    return tuple(_way(msgspec.structs.replace(picture, upright=upright)) for upright in (True, False))


def _is_decided(picture: Picture) -> bool:
    """Return whether the sides of the sent picture show if it was turned."""
    sent, size = picture.sent_size, picture.size
    if picture.orientation < _MIN_SWAPPED or sent is None or size is None:
        return False
    return sent[0] != sent[1] and size[0] != size[1]


def _way(picture: Picture) -> Way:
    if picture.orientation == 1 and picture.sent_size in {None, picture.size}:
        return same_point  # as nearly all pictures are; an answer has hundreds of points

    def to_pixels(point: Point) -> Point:
        (moved,) = picture.to_original(BoundingPoly(vertices=(Vertex(x=point[0], y=point[1]),))).vertices
        assert moved.x is not None and moved.y is not None  # noqa: S101, PT018 - what was given has both
        return moved.x, moved.y

    return to_pixels


def _stays_inside(way: Way, points: Sequence[Sequence[Point]], size: tuple[float, float]) -> bool:
    slack = _SLACK * max(size)
    moved = [way(point) for corners in points for point in corners]
    return all(-slack <= x <= size[0] + slack and -slack <= y <= size[1] + slack for x, y in moved)
