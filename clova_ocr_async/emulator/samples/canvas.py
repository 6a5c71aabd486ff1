"""A small canvas over Pillow that knows where it wrote what.

Every word that is written comes back with the polygon its ink lies in. The finished picture may be turned by a few
degrees, as photographed papers are; the polygons are those of the turned picture. `encode` puts the picture into a
file, and the truth about it beside the pixels.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, TypeAlias, assert_never

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from clova_ocr_async.emulator.samples.ground_truth import GroundTruth, pack_truth
from clova_ocr_async.emulator.samples.placed_words import Box, Point, Polygon, Word

Format: TypeAlias = Literal["jpg", "png", "tiff", "pdf"]
FORMATS: Final[tuple[Format, ...]] = ("jpg", "png", "tiff", "pdf")
"""The formats a picture can be put into."""

HANGUL_PACKAGE: Final = "pylopdf_fonts_ko"
HANGUL_FILE: Final = "NotoSansKR-Regular.otf"

MAX_JPEG_COMMENT: Final = 65_533
"""Bytes one comment segment of a JPEG file can hold."""

PDF_DOTS_PER_INCH: Final = 150
INK: Final = "#1c1c20"
"""The colour of written words. Everything else on a picture is far lighter."""

_JPEG_QUALITY: Final = 90
_IMAGE_DESCRIPTION: Final = 270


@dataclass(frozen=True, slots=True)
class Style:
    """How words are written.

    Attributes:
        size: Height of the letters' square, in pixels.
        bold: Whether the strokes are thickened.
        anchor: Which end of the text stands at the given place.
        pitch: Pixels from one letter to the next, as typewriters have it; 0 for the typeface's own widths.
    """

    size: int = 20
    bold: bool = False
    anchor: Literal["left", "middle", "right"] = "left"
    pitch: int = 0


@dataclass(frozen=True, slots=True)
class Typeface:
    """A font file in all its sizes, or Pillow's own Latin letters in its place.

    Attributes:
        path: The font file; it must have Hangul. `None` for Pillow's own letters.
    """

    path: Path | None

    @property
    def hangul(self) -> bool:
        """Whether it can write Hangul."""
        return self.path is not None

    def font(self, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        """Give the letters of one size, in pixels."""
        return _font(self.path, size)


@lru_cache(maxsize=64)
def _font(path: Path | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if path is None:
        return ImageFont.load_default(size)
    # The basic layout: the other one is not in every build of Pillow, and pictures should not differ between machines.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def find_typeface(package: str = HANGUL_PACKAGE, file: str = HANGUL_FILE) -> Typeface:
    """Find the typeface to draw with on this machine.

    Args:
        package: The importable package that holds a font file with Hangul.
        file: The name of that font file.

    Returns:
        A typeface that can write Hangul if the package is installed and has the file, else one that cannot.
    """
    spec = find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or []
    return Typeface(next((path for folder in folders if (path := Path(folder, file)).is_file()), None))


class Canvas:
    """A picture to write on.

    Attributes:
        width: Width of the picture, in pixels.
        height: Height of the picture, in pixels.
        words: Every word written so far, in order.
    """

    def __init__(
        self, size: tuple[int, int], typeface: Typeface, *, tilt: float = 0.0, ground: str = "#ffffff"
    ) -> None:
        """Lay out an empty picture.

        Args:
            size: Width and height, in pixels.
            typeface: What to write with.
            tilt: Degrees the finished picture is turned by about its centre, counter-clockwise.
            ground: The colour of the empty picture.
        """
        self.width, self.height = size
        self.typeface = typeface
        self.words: list[Word] = []
        self._tilt = tilt
        self._ground = ground
        self._sheet = Image.new("RGB", size, ground)
        self._pen = ImageDraw.Draw(self._sheet)

    def write(self, text: str, at: tuple[float, float], style: Style, *, tail: int = 0) -> tuple[Word, ...]:
        """Write one line of words.

        Args:
            text: The words, parted by whitespace, which is drawn as one space.
            at: Where the `style`'s anchor of the baseline is, in pixels of the picture before it is turned.
            style: How to write.
            tail: How many last characters of each word get a polygon of their own.

        Returns:
            The words with their places on the turned picture.

        Raises:
            ValueError: A word leaves no ink, so nothing could be said about its place.
        """
        words = text.split()
        share = {"left": 0.0, "middle": 0.5, "right": 1.0}[style.anchor]
        x = at[0] - share * self.advance(" ".join(words), style)
        written: list[Word] = []
        for word in words:
            written.append(self._write_word(word, (round(x), round(at[1])), style, tail))
            x += self.advance(f"{word} ", style)
        self.words += written
        return tuple(written)

    def write_lines(self, text: str, at: tuple[float, float], style: Style, width: float) -> tuple[Word, ...]:
        """Write words in as many lines as they need, one and a half sizes apart.

        Args:
            text: The words, parted by whitespace.
            at: Where the first line begins, as for `write`.
            style: How to write.
            width: Longest line, in pixels; a single longer word stands out.

        Returns:
            The words of all lines.
        """
        lines: list[str] = []
        for word in text.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.advance(longer, style) <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        step = style.size * 1.5
        starts = ((at[0], at[1] + row * step) for row in range(len(lines)))
        return tuple(word for line, start in zip(lines, starts, strict=True) for word in self.write(line, start, style))

    def around(self, words: Sequence[Word]) -> Polygon:
        """Tell what the ink of some words lies in together."""
        lefts, tops, rights, bottoms = zip(*(word.box for word in words), strict=True)
        return self._placed((min(lefts), min(tops), max(rights), max(bottoms)))

    def advance(self, text: str, style: Style) -> float:
        """Tell how far a text moves the pen, in pixels."""
        return len(text) * style.pitch if style.pitch else self.typeface.font(style.size).getlength(text)

    def card(self, box: Box, fill: str, radius: int = 0) -> Polygon:
        """Draw a sheet of paper or plastic from its left, top, right and bottom; give its corners, clockwise."""
        self._pen.rounded_rectangle(box, radius, fill=fill, outline="#c4c4c8", width=2)
        return self._placed(box)

    def rule(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Draw a thin light line."""
        self._pen.line((start, end), fill="#bcbcc4", width=2)

    def portrait(self, box: Box) -> None:
        """Draw a pale nobody where a document has a photograph."""
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

    def specimen(self) -> None:
        """Write SPECIMEN across the picture, so pale that it takes nothing from what is written over it."""
        slope = math.atan2(self.height, self.width) * 0.8
        reach = 0.74 * min(self.width / math.cos(slope), self.height / math.sin(slope))
        size = round(100 * reach / self.typeface.font(100).getlength("SPECIMEN"))
        mask = Image.new("L", (round(reach) + size, 2 * size))
        middle = (mask.width / 2, mask.height / 2)
        ImageDraw.Draw(mask).text(middle, "SPECIMEN", font=self.typeface.font(size), fill=32, anchor="mm")
        turned = mask.rotate(math.degrees(slope), Image.Resampling.BILINEAR, expand=True)
        place = ((self.width - turned.width) // 2, (self.height - turned.height) // 2)
        self._sheet.paste("#b04040", place, turned)

    def finish(self) -> Image.Image:
        """Give the picture, turned."""
        return self._sheet.rotate(self._tilt, Image.Resampling.BICUBIC, fillcolor=self._ground)

    def _write_word(self, word: str, at: tuple[int, int], style: Style, tail: int) -> Word:
        mask, origin = self._inked(word, style)
        ink = mask.getbbox()
        if ink is None:
            raise ValueError(f"a word of {len(word)} characters leaves no ink")
        shift = (at[0] - origin[0], at[1] - origin[1])
        self._sheet.paste(INK, shift, mask)
        box = _shifted(ink, shift)
        if tail:
            left = origin[0] + round(self.advance(word[:-tail], style))
            mask.paste(0, (0, 0, left, mask.height))
        return Word(word, box, self._placed(box), self._placed(_shifted(mask.getbbox() or ink, shift)))

    def _inked(self, word: str, style: Style) -> tuple[Image.Image, tuple[int, int]]:
        """Give the word's ink and where its pen started; the margins leave room for what hangs over."""
        mask = Image.new("L", (round(self.advance(word, style)) + 2 * style.size, 2 * style.size))
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
        """Tell where the corners of a box are once the picture is turned."""
        left, top, right, bottom = box
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        first, second, third, fourth = (self._turned(*corner) for corner in corners)
        return first, second, third, fourth

    def _turned(self, x: float, y: float) -> Point:
        sine, cosine = math.sin(math.radians(self._tilt)), math.cos(math.radians(self._tilt))
        right, down = x - self.width / 2, y - self.height / 2
        turned = (right * cosine + down * sine, down * cosine - right * sine)
        return Point(round(turned[0] + self.width / 2, 2), round(turned[1] + self.height / 2, 2))


def _shifted(box: Box, shift: tuple[int, int]) -> Box:
    return box[0] + shift[0], box[1] + shift[1], box[2] + shift[0], box[3] + shift[1]


def encode(picture: Image.Image, format: Format, truth: GroundTruth) -> bytes:  # noqa: A002 - the vendor's word
    """Put a picture into a file, and the truth about it beside the pixels, uncompressed.

    Args:
        picture: What was drawn.
        format: What kind of file; a PDF file has one page, with the picture all over it.
        truth: What to say about the picture.

    Returns:
        The bytes of the file, the same for the same arguments.

    Raises:
        ValueError: The truth cannot be packed, or does not fit the format.
    """
    note = pack_truth(truth)
    file = io.BytesIO()
    match format:
        case "jpg":
            if len(note) > MAX_JPEG_COMMENT:
                raise ValueError(f"a truth of {len(note)} bytes does not fit a JPEG comment of {MAX_JPEG_COMMENT}")
            picture.save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0, comment=note)
        case "png":
            chunk = PngImagePlugin.PngInfo()
            chunk.add_text("Comment", note.decode("ascii"))
            picture.save(file, "PNG", pnginfo=chunk)
        case "tiff":
            tags = {_IMAGE_DESCRIPTION: note.decode("ascii")}
            picture.save(file, "TIFF", compression="tiff_adobe_deflate", tiffinfo=tags)
        case "pdf":
            # Without its dates the file is the same whenever it is written.
            undated = {"title": None, "creationDate": None, "modDate": None}
            picture.save(file, "PDF", subject=note, quality=_JPEG_QUALITY, resolution=PDF_DOTS_PER_INCH, **undated)
        case _:
            assert_never(format)
    return file.getvalue()
