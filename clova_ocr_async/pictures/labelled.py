"""Pictures with numbered boxes, and beside them a list of what each box holds (extra ``pictures``).

The list stands beside the picture, so that no label hides a value, and the picture keeps its place at the top left: a
place on the original is the same place on the result.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageDraw

from clova_ocr_async.pictures.drawing import stroke

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clova_ocr_async.pictures.polygons import Point
    from clova_ocr_async.pictures.typeface import Typeface

__all__ = ["BoxStyle", "Label", "draw_labels"]


class BoxStyle(NamedTuple):
    """The look of boxes of one kind: a colour, and a pattern for people who see no colours.

    Attributes:
        meaning: The line of the legend.
        colour: The colour of the box and of its number's background.
        pattern: Lengths of line and gap in turn, in widths of the line; empty for a solid line.
    """

    meaning: str
    colour: str
    pattern: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """One field on the picture and in the list.

    Attributes:
        name: Its name.
        text: Its value.
        note: A short note behind its name.
        style: The look of its boxes.
        boxes: Its polygons on the picture; empty if it has no place.
    """

    name: str
    text: str
    note: str
    style: BoxStyle
    boxes: Sequence[Sequence[Point]]


_PAPER, _TEXT, _FAINT = "#ffffff", "#1c1c20", "#5a5a64"
_FONTS = 64  # font sizes in the longer side of a picture
_SMALLEST, _LARGEST = 15, 80  # font sizes in pixels
_COLUMN = 20  # font sizes in the width of a column of the list
_ROWS = 12  # fields for which a column has room at least
_MOST_IN_LINE = 400  # characters; more than the narrowest that fit
_LINES = 3  # lines of a value
_ELLIPSIS = "…"

_Box = tuple[float, float, float, float]


def draw_labels(
    picture: Image.Image, labels: Sequence[Label], legend: Sequence[BoxStyle], typeface: Typeface
) -> Image.Image:
    """Return a new picture with boxes, and at its right the list of fields and the legend.

    Args:
        picture: The picture, in grey or RGB; it is drawn on.
        labels: The fields, in the order of their numbers.
        legend: The kinds of boxes.
        typeface: The typeface.
    """
    size = min(max(round(max(picture.size) / _FONTS), _SMALLEST), _LARGEST)
    board = _Board(size, typeface)
    bottom = board.legend_height(legend)
    height = max(picture.height, round(_ROWS * 3.4 * size) + bottom)
    rows = list(board.rows(labels, height - bottom))
    columns = 1 + max((column for column, _, _ in rows), default=0)
    whole = Image.new("RGB", (picture.width + round((columns * _COLUMN + 1) * size), height), _PAPER)
    whole.paste(picture)
    pen = ImageDraw.Draw(whole)
    for label in labels:
        for corners in label.boxes:
            stroke(pen, _outward(corners, 1.5 * board.line), label.style.colour, board.line, label.style.pattern)
    for label, (left, top, *_), number in board.tags(labels, picture):
        board.draw_tag(pen, (left, top), number, label.style)
    for number, (label, (column, y, lines)) in enumerate(zip(labels, rows, strict=True), 1):
        board.draw_row(pen, (picture.width + (column * _COLUMN + 1) * size, y), number, label, lines)
    board.draw_legend(pen, (picture.width + size, height - bottom), legend)
    return whole


class _Board:
    """The measures of everything that is drawn, and its drawing.

    Args:
        size: The font size, in pixels.
        typeface: The typeface.

    Attributes:
        line: The width of the lines of boxes.
    """

    def __init__(self, size: int, typeface: Typeface) -> None:
        self._size = size
        self._font = typeface.font(size)
        self._small = typeface.font(max(round(size * 0.8), 12))
        self.line = max(2, round(size / 8))

    def rows(self, labels: Sequence[Label], height: float) -> Iterator[tuple[int, float, list[str]]]:
        """Yield the column, the top and the lines of each field of the list."""
        column, y = 0, 0.5 * self._size
        for label in labels:
            lines = self._wrapped(label.text)
            needed = (1.6 + 1.25 * len(lines)) * self._size
            if y + needed > height and y > self._size:
                column, y = column + 1, 0.5 * self._size
            yield column, y, lines
            y += needed

    def _wrapped(self, text: str) -> list[str]:
        """Return a text in as many lines as fit; the last one ends with an ellipsis if there are more."""
        text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
        width = (_COLUMN - 4.5) * self._size
        lines: list[str] = []
        while text and len(lines) < _LINES:
            # Measuring a text costs as much as drawing it, so its end is found by halves.
            ends = range(1, min(len(text), _MOST_IN_LINE) + 1)
            end = max(1, bisect_right(ends, width, key=lambda end: self._font.getlength(text[:end])))
            if end < len(text) and (blank := text.rfind(" ", 1, end + 1)) > end // 2:
                end = blank
            lines.append(text[:end].strip())
            text = text[end:].strip()
        if text:
            lines[-1] = f"{lines[-1][:-1]}{_ELLIPSIS}"
        return lines or [""]

    def draw_row(self, pen: ImageDraw.ImageDraw, at: Point, number: int, label: Label, lines: Sequence[str]) -> None:
        """Draw a field of the list: its number, its name with a note, and under them its value."""
        x, y = at
        if label.boxes:
            self.draw_tag(pen, at, number, label.style)
        left = x + 2.6 * self._size
        pen.text((left, y), label.name, font=self._small, fill=_FAINT)
        right = x + (_COLUMN - 1.2) * self._size
        pen.text((right, y), label.note, font=self._small, fill=label.style.colour, anchor="ra")
        for index, line in enumerate(lines):
            pen.text((left, y + (1.05 + 1.25 * index) * self._size), line, font=self._font, fill=_TEXT)

    def tag_size(self, number: int) -> tuple[float, float]:
        """Return the width and height of a number in its coloured field."""
        return self._small.getlength(str(number)) + 0.6 * self._size, 1.15 * self._size

    def draw_tag(self, pen: ImageDraw.ImageDraw, at: Point, number: int, style: BoxStyle) -> None:
        """Draw a number in its coloured field."""
        width, height = self.tag_size(number)
        pen.rounded_rectangle((*at, at[0] + width, at[1] + height), 0.25 * self._size, fill=style.colour)
        middle = (at[0] + width / 2, at[1] + height / 2)
        pen.text(middle, str(number), font=self._small, fill=_PAPER, anchor="mm")

    def tags(self, labels: Sequence[Label], picture: Image.Image) -> Iterator[tuple[Label, _Box, int]]:
        """Yield the place of each number on the picture: beside its box, where it hides least."""
        taken = [_bounds(corners) for label in labels for corners in label.boxes]
        for number, label in enumerate(labels, 1):
            if not label.boxes:
                continue
            places = list(_beside(_bounds(label.boxes[0]), self.tag_size(number), 2.5 * self.line))
            place = min(places, key=lambda place: _hidden(place, taken, picture))
            taken.append(place)
            yield label, place, number

    def legend_height(self, legend: Sequence[BoxStyle]) -> int:
        """Return the height of the legend."""
        return round((len(legend) * 1.6 + 1) * self._size)

    def draw_legend(self, pen: ImageDraw.ImageDraw, at: Point, legend: Sequence[BoxStyle]) -> None:
        """Draw a piece of each kind of box with its meaning."""
        x, y = at
        for index, style in enumerate(legend):
            top = y + (0.5 + 1.6 * index) * self._size
            box = [(x, top), (x + 3 * self._size, top), (x + 3 * self._size, top + self._size), (x, top + self._size)]
            stroke(pen, box, style.colour, self.line, style.pattern)
            pen.text(
                (x + 3.6 * self._size, top + 0.5 * self._size), style.meaning, font=self._small, fill=_TEXT, anchor="lm"
            )


def _bounds(corners: Sequence[Point]) -> _Box:
    return (
        min(x for x, _ in corners),
        min(y for _, y in corners),
        max(x for x, _ in corners),
        max(y for _, y in corners),
    )


def _beside(box: _Box, size: tuple[float, float], gap: float) -> Iterator[_Box]:
    """Yield places beside a box, the best first."""
    left, top, right, bottom = box
    width, height = size
    middle = (top + bottom - height) / 2
    corners = [
        (left - gap - width, middle),
        (right + gap, middle),
        (left, top - gap - height),
        (right - width, top - gap - height),
        (left, bottom + gap),
        (right - width, bottom + gap),
        (left - gap - width, top - gap - height),
        (left - gap - width, bottom + gap),
    ]
    for x, y in corners:
        yield x, y, x + width, y + height


def _hidden(place: _Box, taken: Sequence[_Box], picture: Image.Image) -> float:
    """Return the area that a place hides: of boxes, of what is printed there, and of itself beyond the edge."""
    area = (place[2] - place[0]) * (place[3] - place[1])
    inside = _common(place, (0, 0, *picture.size))
    left, top, right, bottom = map(round, place)
    darkest, brightest = picture.crop((left, top, max(right, left + 1), max(bottom, top + 1))).convert("L").getextrema()
    printed = inside * (float(brightest) - float(darkest)) / 255  # type: ignore[arg-type]
    return area - inside + printed + sum(2 * _common(place, other) for other in taken)


def _common(first: _Box, second: _Box) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0.0) * max(height, 0.0)


def _outward(corners: Sequence[Point], distance: float) -> list[Point]:
    """Move each corner away from the middle, so that the line runs around the text and not through it."""
    middle = (sum(x for x, _ in corners) / len(corners), sum(y for _, y in corners) / len(corners))
    # By the same distance on each axis: a box of text is far wider than high.
    return [
        (x + math.copysign(distance, x - middle[0]), y + math.copysign(distance, y - middle[1])) for x, y in corners
    ]
