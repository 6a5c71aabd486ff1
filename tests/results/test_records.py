from __future__ import annotations

import base64
import json

import pytest

from clova_ocr_async.batch import Failure
from clova_ocr_async.cli.runs.input_file import InputFile
from clova_ocr_async.cli.runs.line_writer import line_of
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import (
    Billing,
    ImageError,
    MalformedResponseError,
    NotSentError,
    RecognitionError,
)


def test_records_of_names_that_are_no_utf8_stay_distinct() -> None:
    """The bytes of a name that are no UTF-8 are written in hex, the rest as it is."""
    records = [
        json.loads(line_of(Failure(InputFile(name), ImageError("it is empty")), Receipt))
        for name in ("영\udcff.jpg", "영\udcfe.jpg")
    ]
    assert [record["source"] for record in records] == ["영\\xff.jpg", "영\\xfe.jpg"]


def test_a_record_keeps_a_paid_answer_that_no_process_can_read() -> None:
    """The bytes of an answer that was paid for are in the record of its error."""
    line = line_of(Failure(InputFile("a.jpg"), MalformedResponseError("cut off", raw=b'{"images":[\xff')), Receipt)
    assert base64.b64decode(json.loads(line)["raw"]) == b'{"images":[\xff'


@pytest.mark.parametrize(("doubts", "status", "billed"), [(0, "pending", False), (1, "ambiguous", None)])
def test_a_record_of_an_image_that_was_not_sent(doubts: int, status: str, billed: bool | None) -> None:
    """An image of a stopped batch is pending, unless an earlier request for it may have been paid."""
    error = NotSentError(ImageError("another"))
    error.billing, error.maybe_billed = Billing(doubts), doubts
    record = json.loads(line_of(Failure(InputFile("a.jpg"), error), Receipt))
    assert (record["status"], record["billed"], record["maybe_billed"]) == (status, billed, doubts)
    assert "raw" not in record


def test_a_record_of_a_reading_without_an_answer_has_an_error_only() -> None:
    """An error that lost its recognition is a record all the same."""
    line = line_of(Failure(InputFile("a.jpg"), RecognitionError("nothing was read")), Receipt)
    assert b'"result"' not in line
