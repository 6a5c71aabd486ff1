"""The vendor's shared objects, under the vendor's names.

Source: API specification v1.0.6 (2023-11-23), "Field object" to "MrzInt object".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import field

from clova_ocr_async.documents.base import ABSENT, Leaf, VendorObject, absent
from clova_ocr_async.documents.dates import (
    date_from_parts,
    date_from_text,
    in_another_half,
    time_from_parts,
    time_from_text,
)
from clova_ocr_async.documents.numbers import decimal_of
from clova_ocr_async.documents.parsing import flag_or_none, number_or_none, text_or_none, whole_number_or_none

if TYPE_CHECKING:
    import datetime as dt
    from decimal import Decimal

__all__ = [
    "BaseObject",
    "BoundingPoly",
    "Checksum",
    "DateObject",
    "Field",
    "FloatObject",
    "FormattedDate",
    "FormattedTime",
    "FormattedValue",
    "KeyCell",
    "Meta",
    "MrzBool",
    "MrzInt",
    "MrzString",
    "PoiObject",
    "StringObject",
    "TelObject",
    "TimeObject",
    "ValueCell",
    "Vertex",
]


class Meta(VendorObject, frozen=True, kw_only=True):
    """Meta information of a document.

    Attributes:
        estimated_language: The estimated language of the document: "ko", "ja" or "en".
    """

    estimated_language: str | None = None


class Vertex(VendorObject, frozen=True, kw_only=True):
    """A point in pixels of the image (of the converted image for PDF and TIFF), from the top left corner.

    Values are fractional, and may be negative or beyond the image.
    """

    x: float | None = None
    y: float | None = None


class BoundingPoly(VendorObject, frozen=True, kw_only=True):
    """A polygon, usually of four vertices, clockwise from the top left of the text."""

    vertices: tuple[Vertex, ...] = ABSENT


class Field(Leaf, frozen=True, kw_only=True):
    """A cell of a credit card."""

    # All scalars default to None: a default of "" would drop an empty text of the vendor's when it is encoded.
    text: str | None = None
    wire_confidence: float | str | None = field(default=None, name="confidence")  # a number, or one in a text
    bounding_poly: BoundingPoly = absent(BoundingPoly)
    sub_bounding_polys: tuple[BoundingPoly, ...] = ABSENT

    @property
    def confidence(self) -> float | None:
        """Reliability of the reading, 0 to 1."""
        return number_or_none(self.wire_confidence)

    @property
    def value(self) -> str | None:
        """The text; None if not read."""
        return text_or_none(self.text)


class BaseObject(Leaf, frozen=True, kw_only=True):
    """A text as it was read, and its place. A value of several words has a polygon for each word."""

    wire_text: str | None = field(default=None, name="text")
    wire_empty_key: str | None = field(default=None, name="")
    bounding_polys: tuple[BoundingPoly, ...] = ABSENT
    # Captured answers have these two since 2024 only.
    key_text: str | None = None
    wire_confidence_score: float | str | None = field(default=None, name="confidenceScore")

    @property
    def text(self) -> str | None:
        """The text as it was read.

        Source: API specification v1.0.6 (2023-11-23), whose business registration example has an empty key for it.
        """
        return self.wire_text if self.wire_text is not None else self.wire_empty_key

    @property
    def confidence_score(self) -> float | None:
        """Reliability of the reading, 0 to 1; business registrations have 0.0 everywhere."""
        return number_or_none(self.wire_confidence_score)

    @property
    def value(self) -> str | None:
        """The formatted value, else the text; None if not read."""
        return text_or_none(self.text)


class FormattedValue(VendorObject, frozen=True, kw_only=True):
    """The service's normal form of a text."""

    wire_value: str | int | float | None = field(default=None, name="value")
    wire_upper_value: str | int | float | None = field(default=None, name="Value")

    @property
    def value(self) -> str | None:
        """The normal form; always text, also for a number.

        Source: API specification v1.0.6 (2023-11-23), whose ID card example writes "Value".
        """
        value = self.wire_value if self.wire_value is not None else self.wire_upper_value
        return None if value is None else str(value)


class _FormattedObject(BaseObject, frozen=True, kw_only=True):
    """The base of the three objects with a text in a normal form."""

    # Captured answers lack it on cells of several kinds, such as a count that was read as "·".
    formatted: FormattedValue = absent(FormattedValue)

    @property
    def value(self) -> str | None:
        """The formatted value, else the text; None if not read."""
        return text_or_none(self.formatted.value) or text_or_none(self.text)


class StringObject(_FormattedObject, frozen=True, kw_only=True):
    """A text with a normal form; ``masking_polys`` cover the part that a copy should not show."""

    # For the picture only: the service never masks the text itself.
    masking_polys: tuple[BoundingPoly, ...] = ABSENT


class TelObject(_FormattedObject, frozen=True, kw_only=True):
    """A telephone number; formatted as digits, with or without a leading "+"."""


class FloatObject(_FormattedObject, frozen=True, kw_only=True):
    """A price or a count."""

    READINGS: ClassVar[tuple[str, ...]] = ("value", "decimal")

    @property
    def decimal(self) -> Decimal | None:
        """The number: the formatted one, else the one the text consists of ("7,500원"); None if there is none ("·").

        Without a formatted number, a dot or comma before exactly three digits separates thousands, as for the service.
        A character beside the number that is not known to be harmless ("5만원", "B67") makes it None, and so does a
        minus in the text that the formatted number lacks.
        """
        formatted, text = self.formatted.wire_value, self.wire_text
        if isinstance(formatted, str) and text is not None:  # as nearly all; the properties take three times as long
            return decimal_of(formatted, text)
        return decimal_of(self.formatted.value or "", self.text or "")


class FormattedDate(VendorObject, frozen=True, kw_only=True):
    """A date in parts: four-digit year, two-digit month and day; any of them may be empty, "00" or incomplete."""

    year: str | None = None
    month: str | None = None
    day: str | None = None


class DateObject(BaseObject, frozen=True, kw_only=True):
    """A date; ``masking_polys`` cover the part that a copy should not show."""

    READINGS: ClassVar[tuple[str, ...]] = ("value", "date")

    formatted: FormattedDate = absent(FormattedDate)
    masking_polys: tuple[BoundingPoly, ...] = ABSENT

    @property
    def date(self) -> dt.date | None:
        """The date of the formatted parts, else the date that the text consists of; None if neither is readable."""
        parts = self.formatted
        return date_from_parts(parts.year, parts.month, parts.day, self.text) or date_from_text(self.text)

    @property
    def value(self) -> str | None:
        """The date as YYYY-MM-DD, else the text; None if not read."""
        date = self.date
        return text_or_none(self.text) if date is None else date.isoformat()


class FormattedTime(VendorObject, frozen=True, kw_only=True):
    """A time in parts of two digits; any of them may be empty."""

    hour: str | None = None
    minute: str | None = None
    second: str | None = None


class TimeObject(BaseObject, frozen=True, kw_only=True):
    """A time of day. The specification's table gives it ``masking_polys``, its model does not."""

    READINGS: ClassVar[tuple[str, ...]] = ("value", "time")

    formatted: FormattedTime = absent(FormattedTime)
    masking_polys: tuple[BoundingPoly, ...] = ABSENT

    @property
    def time(self) -> dt.time | None:
        """The time of the formatted parts, else the time that the text consists of; a missing second counts as 0.

        None if neither is readable, or if the text names a half of the day (AM, 오후) that contradicts the parts.
        """
        parts = self.formatted
        time = time_from_parts(parts.hour, parts.minute, parts.second)
        if time is None:
            return time_from_text(self.text)
        return None if in_another_half(time, self.text) else time

    @property
    def value(self) -> str | None:
        """The time as HH:MM:SS, else the text; None if not read."""
        time = self.time
        return text_or_none(self.text) if time is None else time.isoformat()


class PoiObject(VendorObject, frozen=True, kw_only=True):
    """A store in the service's register of places."""

    gid: str | None = None
    title: str | None = None
    phone: str | None = None
    address: str | None = None
    road_address: str | None = None
    biznum: str | None = None
    wire_confidence: str | float | None = field(default=None, name="confidence")

    @property
    def confidence(self) -> float | None:
        """Reliability of the match; greater is better."""
        return number_or_none(self.wire_confidence)


class _MrzObject(Leaf, frozen=True, kw_only=True):
    """The base of the three objects of a passport's machine readable zone.

    Source: API specification v1.0.6 (2023-11-23): ``postprocessed`` is an int in the tables and an array in the
    example, and the models write ``refinedText`` with a blank behind it.
    """

    TEXT: ClassVar[str] = "raw_text"

    raw_text: str | None = None
    wire_refined_text: str | int | float | bool | None = field(default=None, name="refinedText")
    wire_refined_text_blank: str | int | float | bool | None = field(default=None, name="refinedText ")
    wire_postprocessed: tuple[int, ...] | int | None = field(default=None, name="postprocessed")

    @property
    def postprocessed(self) -> tuple[int, ...]:
        """The numbers of the applied refinements; their meaning is not documented."""
        if self.wire_postprocessed is None:
            return ()
        return self.wire_postprocessed if isinstance(self.wire_postprocessed, tuple) else (self.wire_postprocessed,)

    def _refined(self) -> str | int | float | bool | None:
        return self.wire_refined_text if self.wire_refined_text is not None else self.wire_refined_text_blank


class MrzString(_MrzObject, frozen=True, kw_only=True):
    """A text of the machine readable zone."""

    @property
    def refined_text(self) -> str | None:
        """The refined text, unchanged ("-" included); always text, also for a number."""
        refined = self._refined()
        return None if refined is None else str(refined)

    @property
    def value(self) -> str | None:
        """The refined text, else the raw text; None if not read ("" or "-")."""
        return text_or_none(self.refined_text) or text_or_none(self.raw_text)


class MrzInt(_MrzObject, frozen=True, kw_only=True):
    """A whole number of the machine readable zone."""

    @property
    def refined_text(self) -> int | None:
        """The number, also from a text."""
        return whole_number_or_none(self._refined())

    @property
    def value(self) -> int | None:
        """The number; None if not read."""
        return self.refined_text


class MrzBool(_MrzObject, frozen=True, kw_only=True):
    """A yes or no of the machine readable zone."""

    @property
    def refined_text(self) -> bool | None:
        """The answer, also from a text."""
        return flag_or_none(self._refined())

    @property
    def value(self) -> bool | None:
        """The answer; None if not read."""
        return self.refined_text


class Checksum(VendorObject, frozen=True, kw_only=True):
    """Sums over found cells. No document of the specification refers to it."""

    wire_found: bool | str | int | float | dict[str, Any] | None = field(default=None, name="found")
    found_value_ids: tuple[int, ...] = ABSENT
    wire_found_value_sum: float | str | None = field(default=None, name="foundValueSum")
    wire_found_values_sum: float | str | None = field(default=None, name="foundValuesSum")
    found_total_ids: tuple[int, ...] = ABSENT
    wire_found_total_sum: float | str | None = field(default=None, name="foundTotalSum")
    wire_difference: float | str | None = field(default=None, name="difference")

    @property
    def found(self) -> bool | None:
        """True if a checksum field was found."""
        return bool(self.wire_found) if isinstance(self.wire_found, dict) else flag_or_none(self.wire_found)

    @property
    def found_value_sum(self) -> float | None:
        """Sum of the found values; "foundValuesSum" before 2021-07-22."""
        value = self.wire_found_value_sum if self.wire_found_value_sum is not None else self.wire_found_values_sum
        return number_or_none(value)

    @property
    def found_total_sum(self) -> float | None:
        """Sum of the found totals."""
        return number_or_none(self.wire_found_total_sum)

    @property
    def difference(self) -> float | None:
        """Difference of the two sums."""
        return number_or_none(self.wire_difference)


class KeyCell(VendorObject, frozen=True, kw_only=True):
    """The heading of a row or column. No document of the specification refers to it."""

    bounding_poly: BoundingPoly = absent(BoundingPoly)
    depth: str | int | None = None
    formatted: str | None = None
    group: str | None = None
    value: str | None = None


class ValueCell(VendorObject, frozen=True, kw_only=True):
    """A cell below a heading. No document of the specification refers to it."""

    bounding_poly: BoundingPoly = absent(BoundingPoly)
    wire_confidence: float | str | None = field(default=None, name="confidence")
    value: str | None = None

    @property
    def confidence(self) -> float | None:
        """Reliability of the cell, 0 to 1."""
        return number_or_none(self.wire_confidence)
