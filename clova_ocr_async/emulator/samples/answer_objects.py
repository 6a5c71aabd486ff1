"""The cells of an answer, made of words that were drawn."""

from dataclasses import dataclass
from datetime import date
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.emulator.samples.placed_words import Polygon, Word

Cell: TypeAlias = dict[str, Any]


def poly(polygon: "Polygon") -> Cell:
    """Give a polygon the shape it has on the wire."""
    return {"vertices": [{"x": float(x), "y": float(y)} for x, y in polygon]}


def base(words: "Sequence[Word]") -> Cell:
    """Make a BaseObject without a key and a confidence, as the specification's examples have it."""
    return {"text": " ".join(word.text for word in words), "boundingPolys": [poly(word.polygon) for word in words]}


def field(words: "Sequence[Word]", around: "Polygon", confidence: float, *, joint: str = " ") -> Cell:
    """Make a Field of a credit card: one polygon around all its words, and one a word.

    Args:
        words: The words.
        around: What the ink of all of them lies in.
        confidence: How sure the reading is, from 0 to 1.
        joint: What stands between the words in the text.

    Returns:
        The field.
    """
    return {
        "text": joint.join(word.text for word in words),
        "confidence": confidence,
        "boundingPoly": poly(around),
        "subBoundingPolys": [poly(word.polygon) for word in words],
    }


@dataclass(frozen=True, slots=True)
class Cells:
    """Makes the cells of receipts and ID cards, which have a key, always empty, and a confidence.

    Attributes:
        random: Where the confidences come from.
    """

    random: Random

    def confidence(self) -> float:
        """Make up how sure a reading is: from 0.9 to 1."""
        return round(self.random.uniform(0.9, 1), 4)

    def base(self, words: "Sequence[Word]") -> Cell:
        """Make a BaseObject."""
        return {**base(words), "keyText": "", "confidenceScore": self.confidence()}

    def value(self, words: "Sequence[Word]", value: str) -> Cell:
        """Make a TelObject or a FloatObject."""
        return self._formatted(words, {"value": value})

    def number(self, words: "Sequence[Word]") -> Cell:
        """Make the FloatObject or TelObject of a text whose normal form is its digits."""
        return self.value(words, "".join(letter for letter in base(words)["text"] if letter.isdigit()))

    def string(self, words: "Sequence[Word]", value: str | None = None, *, masked: bool = False) -> Cell:
        """Make a StringObject.

        Args:
            words: The words.
            value: Their normal form, if it is another than their text.
            masked: Whether it is a personal number, whose last characters are to be blacked out.

        Returns:
            The cell.
        """
        formatted = {"value": base(words)["text"] if value is None else value}
        return self._formatted(words, formatted, _masks(words, masked=masked))

    def date(self, words: "Sequence[Word]", day: date, *, masked: bool = False) -> Cell:
        """Make a DateObject."""
        formatted = {"year": f"{day:%Y}", "month": f"{day:%m}", "day": f"{day:%d}"}
        return self._formatted(words, formatted, _masks(words, masked=masked))

    def time(self, words: "Sequence[Word]", clock: str) -> Cell:
        """Make a TimeObject of a clock's HH:MM or HH:MM:SS."""
        hour, minute, second = f"{clock}:00".split(":")[:3]
        return self._formatted(words, {"hour": hour, "minute": minute, "second": second})

    def _formatted(self, words: "Sequence[Word]", formatted: Cell, masks: list[Cell] | None = None) -> Cell:
        plain = self.base(words)
        masking = {} if masks is None else {"maskingPolys": masks}
        return {
            "text": plain["text"],
            "formatted": formatted,
            "boundingPolys": plain["boundingPolys"],
            **masking,
            "keyText": plain["keyText"],
            "confidenceScore": plain["confidenceScore"],
        }


def _masks(words: "Sequence[Word]", *, masked: bool) -> list[Cell]:
    return [poly(word.tail) for word in words] if masked else []
