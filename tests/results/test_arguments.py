"""Arguments of the functions that work on recognitions: what people give by mistake is named, with the way out."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from clova_ocr_async import Page, Recognition, Success
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.results import annotate, check, columns, fields_to_review, redact, redact_image, to_items, to_row

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTIONS: dict[str, Callable[[Any], object]] = {
    "check": check,
    "fields_to_review": fields_to_review,
    "to_row": to_row,
    "to_items": to_items,
    "redact": redact,
    "redact_image": lambda recognition: redact_image(b"", recognition),
    "annotate": lambda recognition: annotate(b"", recognition),
}
RECEIPT = Recognition(document=Receipt())
MISTAKES: dict[str, tuple[object, str]] = {
    "document": (RECEIPT.document, "is a Receipt; give the Recognition whose document it is"),
    "outcome": (Success("a.jpg", RECEIPT, billed=True), r"is a Success; give its \.recognition"),
    "record": ({"result": {}}, r"is a dict; Recognition\.from_dict\(…\) makes one of a record"),
    "nothing": (None, r"is a NoneType; it must be a Recognition, as client\.recognize returns it"),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize(("given", "message"), MISTAKES.values(), ids=MISTAKES)
def test_what_is_not_a_recognition_is_named(function: Callable[[Any], object], given: object, message: str) -> None:
    """A document, an outcome, a record and None are told apart, and each has its way out."""
    with pytest.raises(TypeError, match=f"the recognition {message}"):
        function(given)


@pytest.mark.parametrize("today", ["2026-11-30", dt.datetime(2026, 11, 30, tzinfo=dt.UTC)])
def test_a_day_is_a_date(today: Any) -> None:
    """A text, or a date with a time, is refused also where nothing would be compared with it."""
    with pytest.raises(TypeError, match=r"today is a \w+; it must be a datetime\.date"):
        check(RECEIPT, today=today)


@pytest.mark.parametrize("minimum", [90, -0.1, float("nan"), "0.9"])
def test_a_lowest_confidence_is_from_0_to_1(minimum: Any) -> None:
    """Percents, texts and NaN are refused: with them all fields would be listed, or none."""
    with pytest.raises(ConfigurationError, match=r"minimum .*confidences are from 0 to 1"):
        fields_to_review(RECEIPT, minimum)


@pytest.mark.parametrize("document", ["receipt", RECEIPT.document, int])
def test_columns_are_those_of_a_class(document: Any) -> None:
    """The path word of a document, and a document, are refused with the class as the way out."""
    with pytest.raises(TypeError, match="it must be a class, such as Receipt"):
        columns(document)


def test_a_record_that_was_not_read_has_no_document() -> None:
    """The records of an export that hold no answer are refused with the reason."""
    with pytest.raises(
        ValueError, match="the value holds no document; a record whose status is not succeeded has none"
    ):
        Recognition.from_dict({"source": "a.jpg", "status": "failed", "error": {"type": "RecognitionError"}})


def test_a_row_names_the_page_that_a_batch_gives() -> None:
    """The source of an outcome of a file of several pages is a page, whose file and number the row has."""
    row = to_row(RECEIPT, Page("scan.pdf", 3))
    assert (row["source"], row["page"]) == ("scan.pdf", 3)


@pytest.mark.parametrize("source", [b"\x89PNG", 5])
def test_a_source_that_names_no_image_is_refused(source: Any) -> None:
    """Bytes are not taken for a path, as the row would hold the picture itself."""
    with pytest.raises(TypeError, match=r"the source is a \w+; it must be a path or a Page, or left out"):
        to_row(RECEIPT, source)
