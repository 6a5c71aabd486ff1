from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from msgspec import structs
from support.fakes import a_request, success
from support.ledgers import ANSWER, item

from clova_ocr_async.batch import Failure
from clova_ocr_async.batch.outcome import Outcome, Success
from clova_ocr_async.cli.runs.input_file import InputFile
from clova_ocr_async.cli.runs.line_writer import line_of
from clova_ocr_async.documents import Receipt
from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.errors import (
    Billing,
    ImageError,
    MalformedResponseError,
    NotSentError,
    RecognitionError,
)
from clova_ocr_async.ledger.settlement import encode_failure
from clova_ocr_async.ledger.states import Entry, State
from clova_ocr_async.ledger.storage import SourceRecord
from clova_ocr_async.protocol.response import decode_response
from clova_ocr_async.results.records import encode_record, record_of, record_of_outcome, without_answer

PICTURE = Picture(steps=("page 3", "scaled 0.50"), page=3)
COLUMNS = b'{"id":"7","\xec\x9d\xb4\xeb\xa6\x84":"canaryNAME"}'


def read(picture: Picture) -> Outcome[Receipt]:
    """Return the outcome of an image that was read."""
    return Success("a.pdf", structs.replace(decode_response(success(a_request()), Receipt), picture=picture))


def stored(state: State = State.SUCCEEDED, **values: Any) -> SourceRecord:
    """Return page 3 of a file in a run."""
    read = state is State.SUCCEEDED
    entry = Entry(
        1,
        item(page=3),
        state,
        billing=Billing.BILLED if read else Billing.NOT_BILLED,
        answer=ANSWER if read else None,
        failure=b"" if read else encode_failure(ImageError("it is empty")),
        picture=PICTURE.to_json(),
    )
    return SourceRecord("scan.pdf", "receipt", state.value, entry, page=3, **values)


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


@pytest.mark.parametrize(("maybe_billed", "status", "billed"), [(0, "pending", False), (1, "ambiguous", None)])
def test_a_record_of_an_image_that_was_not_sent(maybe_billed: int, status: str, billed: bool | None) -> None:
    """An image of a stopped batch is pending, unless an earlier request for it may have been paid."""
    error = NotSentError(ImageError("another"))
    error.billing, error.maybe_billed = Billing(maybe_billed), maybe_billed
    record = json.loads(line_of(Failure(InputFile("a.jpg"), error), Receipt))
    assert (record["status"], record["billed"], record["maybe_billed"]) == (status, billed, maybe_billed)
    assert "raw" not in record


def test_a_record_of_a_reading_without_an_answer_has_an_error_only() -> None:
    """An error that lost its recognition is a record all the same."""
    line = line_of(Failure(InputFile("a.jpg"), RecognitionError("nothing was read")), Receipt)
    assert b'"result"' not in line


def test_a_record_names_its_page_and_what_was_done_to_the_picture() -> None:
    """Page and steps are in the record of a page, and None in that of a file that was sent byte for byte."""
    page = record_of_outcome(read(PICTURE), Receipt, path="scan.pdf", sha256="00", page=3)
    whole = record_of_outcome(read(Picture()), Receipt, path="scan.pdf", sha256="00")
    assert (page["source"], page["page"], page["prepared"]) == ("scan.pdf", 3, ("page 3", "scaled 0.50"))
    assert (whole["page"], whole["prepared"]) == (None, None)
    assert "columns" not in page
    keys = ["source", "page", "sha256", "document", "status", "billed", "maybe_billed", "copy_of", "attempts"]
    assert list(page) == list(whole) == [*keys, "request_id", "uid", "prepared", "result"]


def test_a_record_of_an_image_that_was_not_read_has_its_page_and_steps() -> None:
    """An unread page has its number, and the steps if its answer is known."""
    unsent = record_of_outcome(Failure("a", ImageError("it is empty")), Receipt, path="a", sha256=None, page=2)
    recognition = structs.replace(decode_response(success(a_request()), Receipt), picture=PICTURE)
    failure = Failure("a", RecognitionError("nothing was read", recognition=recognition))
    unread = record_of_outcome(failure, Receipt, path="a", sha256=None, page=2)
    assert (unsent["page"], unsent["prepared"]) == (2, None)
    assert (unread["page"], unread["prepared"]) == (2, ("page 3", "scaled 0.50"))


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.SKIPPED, State.AMBIGUOUS])
def test_a_record_of_a_run_has_the_page_and_the_steps(state: State) -> None:
    """Whatever became of a page of a run, its record has the page and what was done to it."""
    record = record_of(stored(state))
    assert (record["source"], record["page"], list(record["prepared"])) == ("scan.pdf", 3, list(PICTURE.steps))
    assert list(record)[:2] == ["source", "page"]
    pending = record_of(SourceRecord("scan.pdf", "receipt", "pending", page=4))
    assert (pending["page"], pending["prepared"]) == (4, None)


def test_the_columns_of_a_manifest_are_in_the_record() -> None:
    """A manifest's own columns come out as they were given, in the record of a run and without one."""
    alone = record_of_outcome(read(PICTURE), Receipt, path="a", sha256=None, columns=COLUMNS)
    in_run = record_of(stored(columns=COLUMNS, replaced=True))
    for record in (alone, in_run):
        assert json.loads(encode_record(record))["columns"] == {"id": "7", "이름": "canaryNAME"}
    assert list(in_run)[:5] == ["source", "page", "replaced", "columns", "sha256"]


@pytest.mark.parametrize("columns", [b"", b"{", b"[1]", b"\xff", b'{"a":' * 5000])
def test_columns_that_are_no_object_are_left_out(columns: bytes) -> None:
    """Columns that another program has changed leave the rest of the record whole."""
    assert "columns" not in record_of(stored(columns=columns))


def test_the_failures_of_a_sealed_run_show_no_columns() -> None:
    """A record beside a sealed run has neither the columns nor the message of the error; one of an open run has."""
    sealed = without_answer(record_of(stored(State.SKIPPED, columns=COLUMNS)), sealed=True)
    readable = without_answer(record_of(stored(State.SKIPPED, columns=COLUMNS)), sealed=False)
    assert b"canary" not in encode_record(sealed)
    assert readable["columns"]["id"] == "7"
    assert sealed["page"] == 3
