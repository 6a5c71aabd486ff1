"""A sample document while it is drawn: a canvas, a language, and a source of random content."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from clova_ocr_async.emulator.samples.answer_objects import AnswerObject, AnswerObjects
from clova_ocr_async.emulator.samples.canvas import Canvas, Style
from clova_ocr_async.emulator.samples.fake_data import MONTHS, Person
from clova_ocr_async.pictures.typeface import Typeface

if TYPE_CHECKING:
    from datetime import date

    from clova_ocr_async.emulator.samples.placed_words import Word

__all__ = ["LABEL", "TEXT", "DrawnDocument", "Layout", "Pair", "Sheet"]


Pair: TypeAlias = tuple[str, str]
"""The same text in Hangul and in Latin letters."""

LABEL = Style(15)
TEXT = Style(22)


class Sheet:
    """One document while it is drawn.

    Args:
        random: The source of its content.
        size: Width and height, in pixels.
        typeface: The typeface.
        photographed: Whether it lies on a table and a little askew, else it is scanned.

    Attributes:
        canvas: The canvas.
        random: The source of its content.
        hangul: Whether its texts are in Hangul, else in Latin letters.
        objects: Makes the answer's objects from written words.
    """

    def __init__(self, random: Random, size: tuple[int, int], typeface: Typeface, *, photographed: bool = True) -> None:
        tilt = round(random.uniform(-2, 2), 2) if photographed else 0.0
        self.canvas = Canvas(size, typeface, tilt=tilt, background="#d9d6cf" if photographed else "#ffffff")
        self.random = random
        self.hangul = typeface.hangul
        self.objects = AnswerObjects(random)

    def localized(self, pair: Pair) -> str:
        """Return the Hangul or the Latin text of a pair."""
        return pair[0 if self.hangul else 1]

    def choose(self, pairs: tuple[Pair, ...]) -> str:
        """Return the Hangul or Latin text of a random pair."""
        return self.localized(self.random.choice(pairs))

    def meta(self) -> AnswerObject:
        """Return the meta object, which names the language."""
        return {"estimatedLanguage": "ko" if self.hangul else "en"}

    def name_of(self, person: Person) -> str:
        """Return a person's name in the sheet's language."""
        return person.hangul if self.hangul else f"{person.family} {person.given}".title()

    def free_date(self, day: date) -> str:
        """Return a date in words."""
        return (
            f"{day.year}년 {day:%m}월 {day:%d}일" if self.hangul else f"{MONTHS[day.month - 1]} {day.day}, {day.year}"
        )

    def write_labelled(self, label: Pair, text: str, at: tuple[float, float], style: Style = TEXT) -> tuple[Word, ...]:
        """Write a label and a text behind it; return the words of the text."""
        x = at[0] + self.canvas.text_width(f"{self.localized(label)} ", style)
        self.canvas.write(self.localized(label), at, style)
        return self.canvas.write(text, (x, at[1]), style)


DrawnDocument: TypeAlias = tuple[Canvas, AnswerObject]
"""A finished canvas and its perfect answer."""

Layout: TypeAlias = Callable[[Random, int, Typeface], DrawnDocument]
"""A function that draws a document from a source of content, the seed that decides its kind, and a typeface."""
