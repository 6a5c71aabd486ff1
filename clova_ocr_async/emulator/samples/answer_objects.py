"""The vendor's objects of an answer, made from drawn words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from random import Random

    from clova_ocr_async.emulator.samples.placed_words import Polygon, Word

__all__ = ["AnswerObject", "AnswerObjects", "base_object", "bounding_poly", "card_field"]


AnswerObject: TypeAlias = dict[str, Any]
"""An object of an answer, as JSON."""


def bounding_poly(polygon: Polygon) -> AnswerObject:
    """Return a polygon as the vendor's BoundingPoly."""
    return {"vertices": [{"x": float(x), "y": float(y)} for x, y in polygon]}


def base_object(words: Sequence[Word]) -> AnswerObject:
    """Return a BaseObject without key and confidence, as in the specification's examples."""
    return {
        "text": " ".join(word.text for word in words),
        "boundingPolys": [bounding_poly(word.polygon) for word in words],
    }


def card_field(words: Sequence[Word], around: Polygon, confidence: float, *, joint: str = " ") -> AnswerObject:
    """Return a Field of a credit card, with a polygon around all its words and one for each word.

    Args:
        words: The words.
        around: The polygon around all of them.
        confidence: The confidence, from 0 to 1.
        joint: The text between two words.
    """
    return {
        "text": joint.join(word.text for word in words),
        "confidence": confidence,
        "boundingPoly": bounding_poly(around),
        "subBoundingPolys": [bounding_poly(word.polygon) for word in words],
    }


@dataclass(frozen=True, slots=True)
class AnswerObjects:
    """Makes the objects of receipts and ID cards, which have an empty key and a confidence.

    Attributes:
        random: The source of the confidences.
    """

    random: Random

    def confidence(self) -> float:
        """Return a random confidence from 0.9 to 1."""
        return round(self.random.uniform(0.9, 1), 4)

    def base(self, words: Sequence[Word]) -> AnswerObject:
        """Return a BaseObject."""
        return {**base_object(words), "keyText": "", "confidenceScore": self.confidence()}

    def value(self, words: Sequence[Word], value: str) -> AnswerObject:
        """Return a TelObject or a FloatObject."""
        return self._formatted(words, {"value": value})

    def number(self, words: Sequence[Word]) -> AnswerObject:
        """Return the FloatObject or TelObject of a text whose normal form is its digits."""
        return self.value(words, "".join(letter for letter in base_object(words)["text"] if letter.isdigit()))

    def string(self, words: Sequence[Word], value: str | None = None, *, masked: bool = False) -> AnswerObject:
        """Return a StringObject.

        Args:
            words: The words.
            value: Their normal form, if it differs from their text.
            masked: Whether it is a personal number, whose last characters get masking polygons.
        """
        formatted = {"value": base_object(words)["text"] if value is None else value}
        return self._formatted(words, formatted, _masks(words, masked=masked))

    def date(self, words: Sequence[Word], day: date, *, masked: bool = False) -> AnswerObject:
        """Return a DateObject."""
        formatted = {"year": f"{day:%Y}", "month": f"{day:%m}", "day": f"{day:%d}"}
        return self._formatted(words, formatted, _masks(words, masked=masked))

    def time(self, words: Sequence[Word], clock: str) -> AnswerObject:
        """Return the TimeObject of HH:MM or HH:MM:SS."""
        hour, minute, second = f"{clock}:00".split(":")[:3]
        return self._formatted(words, {"hour": hour, "minute": minute, "second": second})

    def _formatted(
        self, words: Sequence[Word], formatted: AnswerObject, masks: list[AnswerObject] | None = None
    ) -> AnswerObject:
        # The keys in the order of the vendor's examples: people compare answers by eye.
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


def _masks(words: Sequence[Word], *, masked: bool) -> list[AnswerObject]:
    return [bounding_poly(word.tail) for word in words] if masked else []
