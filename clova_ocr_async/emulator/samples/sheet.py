"""A canvas with a language and a dice: what the layouts of all sample documents share."""

from collections.abc import Callable
from datetime import date
from random import Random
from typing import TypeAlias

from clova_ocr_async.emulator.samples.answer_objects import Cell, Cells
from clova_ocr_async.emulator.samples.canvas import Canvas, Style, Typeface
from clova_ocr_async.emulator.samples.fake_data import MONTHS, Person
from clova_ocr_async.emulator.samples.placed_words import Word

Pair: TypeAlias = tuple[str, str]
"""The same in Hangul and in Latin letters."""

LABEL = Style(15)
TEXT = Style(22)


class Sheet:
    """One document being drawn.

    Attributes:
        canvas: What it is drawn on.
        random: Where its contents come from.
        hangul: Whether they are in Hangul, else in Latin letters.
        cells: Makes cells of what was written.
    """

    def __init__(self, random: Random, size: tuple[int, int], typeface: Typeface, *, photographed: bool = True) -> None:
        """Lay out an empty sheet.

        Args:
            random: Where its contents come from.
            size: Width and height, in pixels.
            typeface: What to write with.
            photographed: Whether it lies on a table and a little askew, else it is scanned.
        """
        tilt = round(random.uniform(-2, 2), 2) if photographed else 0.0
        self.canvas = Canvas(size, typeface, tilt=tilt, ground="#d9d6cf" if photographed else "#ffffff")
        self.random = random
        self.hangul = typeface.hangul
        self.cells = Cells(random)

    def say(self, pair: Pair) -> str:
        """Choose the Hangul or the Latin of a pair."""
        return pair[0 if self.hangul else 1]

    def pick(self, pairs: tuple[Pair, ...]) -> str:
        """Choose one of some pairs, and its Hangul or Latin."""
        return self.say(self.random.choice(pairs))

    def meta(self) -> Cell:
        """Make the part of an answer that names its language."""
        return {"estimatedLanguage": "ko" if self.hangul else "en"}

    def name_of(self, person: Person) -> str:
        """Write a person's name as people do."""
        return person.hangul if self.hangul else f"{person.family} {person.given}".title()

    def free_date(self, day: date) -> str:
        """Write a day in words."""
        return (
            f"{day.year}년 {day:%m}월 {day:%d}일" if self.hangul else f"{MONTHS[day.month - 1]} {day.day}, {day.year}"
        )

    def after(self, label: Pair, text: str, at: tuple[float, float], style: Style = TEXT) -> tuple[Word, ...]:
        """Write a label and, behind it, a text; give the words of the text."""
        x = at[0] + self.canvas.advance(f"{self.say(label)} ", style)
        self.canvas.write(self.say(label), at, style)
        return self.canvas.write(text, (x, at[1]), style)


Drawn: TypeAlias = tuple[Canvas, Cell]
"""A finished canvas and the answer that reads it perfectly."""

Layout: TypeAlias = Callable[[Random, int, Typeface], Drawn]
"""Draws one document, given where its contents come from, the seed that chooses its kind, and the typeface."""
