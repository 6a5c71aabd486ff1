"""A canvas over Pillow that records the place of each word.

Each written word has the polygon of its ink. The rendered picture may be rotated by a few degrees, as a photographed
paper is; the polygons are those of the rotated picture. ``encode`` writes the picture to a file, and its ground truth
beside the pixels.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from PIL import Image, ImageDraw, PngImagePlugin

from clova_ocr_async.emulator.samples.ground_truth import GroundTruth, pack_ground_truth
from clova_ocr_async.emulator.samples.placed_words import Box, Point, Polygon, Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.pictures.typeface import Typeface

__all__ = [
    "FORMATS",
    "INK",
    "MAX_JPEG_COMMENT",
    "PDF_DOTS_PER_INCH",
    "Canvas",
    "Format",
    "Style",
    "encode",
]


Format: TypeAlias = Literal["jpg", "png", "tiff", "pdf"]
FORMATS: tuple[Format, ...] = ("jpg", "png", "tiff", "pdf")
"""The formats of sample files."""

MAX_JPEG_COMMENT = 65_533
"""Bytes that a comment segment of a JPEG file can hold."""

PDF_DOTS_PER_INCH = 150
INK = "#1c1c20"
"""The colour of written words. All other colours of a picture are far lighter."""

_JPEG_QUALITY = 90
_IMAGE_DESCRIPTION = 270


@dataclass(frozen=True, slots=True)
class Style:
    """The style of written words.

    Attributes:
        size: Font size, in pixels.
        bold: Whether the strokes are thickened.
        anchor: The end of the text that is at the given place.
        pitch: Pixels from one letter to the next, as on a typewriter; 0 for the typeface's own widths.
    """

    size: int = 20
    bold: bool = False
    anchor: Literal["left", "middle", "right"] = "left"
    pitch: int = 0


class Canvas:
    """A picture to write on.

    Args:
        size: Width and height, in pixels.
        typeface: The typeface of all words.
        tilt: Degrees by which the rendered picture is rotated about its centre, counter-clockwise.
        background: The colour of the empty picture.

    Attributes:
        width: Width of the picture, in pixels.
        height: Height of the picture, in pixels.
        words: The words written so far, in order.
    """

    def __init__(
        self, size: tuple[int, int], typeface: Typeface, *, tilt: float = 0.0, background: str = "#ffffff"
    ) -> None:
        self.width, self.height = size
        self.typeface = typeface
        self.words: list[Word] = []
        self._tilt = tilt
        self._background = background
        self._sheet = Image.new("RGB", size, background)
        self._pen = ImageDraw.Draw(self._sheet)

    def write(self, text: str, at: tuple[float, float], style: Style, *, tail: int = 0) -> tuple[Word, ...]:
        """Write one line of words.

        Args:
            text: The words, separated by whitespace, which is drawn as one space.
            at: The place of the baseline's anchor, in pixels of the picture before its rotation.
            style: The style.
            tail: Number of last characters of each word that get a polygon of their own.

        Returns:
            The words with their polygons on the rotated picture.

        Raises:
            ValueError: A word leaves no ink, so it has no place.
        """
        words = text.split()
        share = {"left": 0.0, "middle": 0.5, "right": 1.0}[style.anchor]
        # Word by word, as the service gives each word a polygon of its own.
        x = at[0] - share * self.text_width(" ".join(words), style)
        written: list[Word] = []
        for word in words:
            written.append(self._write_word(word, (round(x), round(at[1])), style, tail))
            x += self.text_width(f"{word} ", style)
        self.words += written
        return tuple(written)

    def write_lines(self, text: str, at: tuple[float, float], style: Style, width: float) -> tuple[Word, ...]:
        """Write words in as many lines as they need, one and a half font sizes apart.

        Args:
            text: The words, separated by whitespace.
            at: The start of the first line, as for ``write``.
            style: The style.
            width: Maximum width of a line, in pixels; a single longer word exceeds it.

        Returns:
            The words of all lines.
        """
        lines: list[str] = []
        for word in text.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.text_width(longer, style) <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        step = style.size * 1.5
        starts = ((at[0], at[1] + row * step) for row in range(len(lines)))
        return tuple(word for line, start in zip(lines, starts, strict=True) for word in self.write(line, start, style))

    def bounding_polygon(self, words: Sequence[Word]) -> Polygon:
        """Return the polygon around the ink of some words."""
        lefts, tops, rights, bottoms = zip(*(word.box for word in words), strict=True)
        return self._placed((min(lefts), min(tops), max(rights), max(bottoms)))

    def text_width(self, text: str, style: Style) -> float:
        """Return the width of a text, in pixels."""
        return len(text) * style.pitch if style.pitch else self.typeface.font(style.size).getlength(text)

    def draw_card(self, box: Box, fill: str, radius: int = 0) -> Polygon:
        """Draw a sheet of paper or a plastic card; return its corners, clockwise."""
        self._pen.rounded_rectangle(box, radius, fill=fill, outline="#c4c4c8", width=2)
        return self._placed(box)

    def draw_line(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Draw a thin light line."""
        self._pen.line((start, end), fill="#bcbcc4", width=2)

    def draw_portrait(self, box: Box) -> None:
        """Draw a pale silhouette in the place of a photograph."""
        left, top, right, bottom = box
        width, middle = right - left, (left + right) / 2
        self._pen.rectangle(box, fill="#ececf0", outline="#c8c8d0")
        head = (middle - width * 0.2, top + width * 0.22, middle + width * 0.2, top + width * 0.68)
        self._pen.ellipse(head, fill="#d2d2da")
        self._pen.pieslice(
            (left + width * 0.12, bottom - width * 0.42, right - width * 0.12, bottom + width * 0.4),
            180,
            360,
            fill="#d2d2da",
        )

    def draw_specimen_mark(self) -> None:
        """Write SPECIMEN across the picture, so pale that words over it stay readable."""
        slope = math.atan2(self.height, self.width) * 0.8
        reach = 0.74 * min(self.width / math.cos(slope), self.height / math.sin(slope))
        size = round(100 * reach / self.typeface.font(100).getlength("SPECIMEN"))
        mask = Image.new("L", (round(reach) + size, 2 * size))
        middle = (mask.width / 2, mask.height / 2)
        ImageDraw.Draw(mask).text(middle, "SPECIMEN", font=self.typeface.font(size), fill=32, anchor="mm")
        rotated = mask.rotate(math.degrees(slope), Image.Resampling.BILINEAR, expand=True)
        place = ((self.width - rotated.width) // 2, (self.height - rotated.height) // 2)
        self._sheet.paste("#b04040", place, rotated)

    def render(self) -> Image.Image:
        """Return the rotated picture."""
        # The size stays, so that polygons computed for it hold.
        return self._sheet.rotate(self._tilt, Image.Resampling.BICUBIC, fillcolor=self._background)

    def _write_word(self, word: str, at: tuple[int, int], style: Style, tail: int) -> Word:
        mask, origin = self._draw_ink(word, style)
        ink = mask.getbbox()
        if ink is None:
            raise ValueError(f"a word of {len(word)} characters leaves no ink")
        shift = (at[0] - origin[0], at[1] - origin[1])
        self._sheet.paste(INK, shift, mask)
        # The box of the ink, not of the typeface: the service frames what it sees.
        box = _shifted(ink, shift)
        if tail:  # erases all but the last letters from the mask; the picture keeps the word
            left = origin[0] + round(self.text_width(word[:-tail], style))
            mask.paste(0, (0, 0, left, mask.height))
        return Word(word, box, self._placed(box), self._placed(_shifted(mask.getbbox() or ink, shift)))

    def _draw_ink(self, word: str, style: Style) -> tuple[Image.Image, tuple[int, int]]:
        """Return a word's ink and the origin of its baseline; the margins leave room for overhanging strokes."""
        mask = Image.new("L", (round(self.text_width(word, style)) + 2 * style.size, 2 * style.size))
        pen, font = ImageDraw.Draw(mask), self.typeface.font(style.size)
        origin = (style.size, round(1.4 * style.size))
        stroke = style.size / 36 if style.bold else 0
        if not style.pitch:
            pen.text(origin, word, font=font, fill=255, anchor="ls", stroke_width=stroke)
        for column, letter in enumerate(word if style.pitch else ""):
            middle = origin[0] + (column + 0.5) * style.pitch
            pen.text((middle, origin[1]), letter, font=font, fill=255, anchor="ms", stroke_width=stroke)
        return mask, origin

    def _placed(self, box: Box) -> Polygon:
        """Return the corners of a box on the rotated picture."""
        left, top, right, bottom = box
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        first, second, third, fourth = (self._rotated(*corner) for corner in corners)
        return first, second, third, fourth

    def _rotated(self, x: float, y: float) -> Point:
        sine, cosine = math.sin(math.radians(self._tilt)), math.cos(math.radians(self._tilt))
        right, down = x - self.width / 2, y - self.height / 2
        rotated = (right * cosine + down * sine, down * cosine - right * sine)
        return Point(round(rotated[0] + self.width / 2, 2), round(rotated[1] + self.height / 2, 2))


def _shifted(box: Box, shift: tuple[int, int]) -> Box:
    return box[0] + shift[0], box[1] + shift[1], box[2] + shift[0], box[3] + shift[1]


def encode(picture: Image.Image, format: Format, truth: GroundTruth) -> bytes:  # noqa: A002 - the vendor's word
    """Write a picture to a file in memory, with its ground truth beside the pixels, uncompressed.

    Args:
        picture: The picture.
        format: The format; a PDF has one page, which the picture fills.
        truth: The ground truth of the picture.

    Returns:
        The bytes of the file, equal for equal arguments.

    Raises:
        ValueError: The ground truth cannot be packed, or does not fit the format.
    """
    note = pack_ground_truth(truth)
    file = io.BytesIO()
    match format:
        case "jpg":
            if len(note) > MAX_JPEG_COMMENT:
                raise ValueError(
                    f"a ground truth of {len(note)} bytes does not fit a JPEG comment of {MAX_JPEG_COMMENT}"
                )
            # Without subsampling of colours: the ink of small letters would fray.
            picture.save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0, comment=note)
        case "png":
            chunk = PngImagePlugin.PngInfo()
            chunk.add_text("Comment", note.decode("ascii"))
            picture.save(file, "PNG", pnginfo=chunk)
        case "tiff":
            tags = {_IMAGE_DESCRIPTION: note.decode("ascii")}
            picture.save(file, "TIFF", compression="tiff_adobe_deflate", tiffinfo=tags)
        case "pdf":
            # Without dates the file does not depend on the time of writing.
            undated = {"title": None, "creationDate": None, "modDate": None}
            picture.save(file, "PDF", subject=note, quality=_JPEG_QUALITY, resolution=PDF_DOTS_PER_INCH, **undated)
        case _:
            assert_never(format)
    return file.getvalue()
