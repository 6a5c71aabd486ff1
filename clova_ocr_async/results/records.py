r"""Records: the JSON Lines that the commands write, one record an image under one of its names.

=============  ========================================================================================================
source         The path as it was given; bytes that are not UTF-8 are written as ``\xNN``. None if there is no path.
source_bytes   The path's bytes in base64, only where ``source`` is not the exact path.
page           The page of the file, from 1; None for a file that was sent whole.
replaced       True, only where the file at the path has been replaced since the image was paid for.
columns        The columns of its own that a manifest gave the image, as an object; only where there are any.
sha256         Of the file's bytes, in hex; None if the file was not read.
document       The vendor's path word, such as "receipt".
status         "succeeded"; "failed"; "ambiguous": the call may have been billed, and no answer arrived; "skipped": the
               image was refused before it was sent; "pending": the image was not sent.
billed         Whether a call was billed for this record: False for a copy of another image, None if it is not known.
maybe_billed   The number of requests that may have been billed and have no answer.
copy_of        The source of the image with the same bytes that was billed; None if this record is that image.
attempts       The number of requests.
request_id     The requestId of the call; None if nothing was sent.
uid            The vendor's id of the answer; None without an answer.
prepared       The steps from the file to the picture that was sent; None if it was sent byte for byte.
result         The vendor's object of the image, if it was read; from a run byte for byte as it was answered.
error          ``type``, ``code`` (None if the vendor gave none) and ``message``, if the image was not read.
raw            The bytes of an answer that was paid for and could not be decoded or stored, in base64.
corrections    Corrections of values by ``clova-ocr review``, only where there are any; see
               ``corrections.entries_of``. ``result`` stays as it was answered.
=============  ========================================================================================================

The sums of ``billed`` and ``maybe_billed`` over all records are the calls that were and may have been paid.
"""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.batch.sources.record_names import record_source
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.errors import (
    AnswerNotKeptError,
    APIError,
    Billing,
    ClovaOCRError,
    ImageError,
    NotSentError,
    RecognitionError,
)
from clova_ocr_async.ledger.settlement import decode_failure, replay
from clova_ocr_async.ledger.states import FINISHED, State
from clova_ocr_async.protocol.answer_image_object import image_object
from clova_ocr_async.results.corrections import entries_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clova_ocr_async.documents import Document
    from clova_ocr_async.ledger.states import Entry, Item
    from clova_ocr_async.ledger.storage import SourceRecord
    from clova_ocr_async.results.corrections import Review

__all__ = [
    "bill_of",
    "billed_of",
    "encode_record",
    "maybe_billed_of",
    "outcome_of",
    "record_of",
    "record_of_outcome",
    "shown_entry",
    "status_of",
    "without_answer",
]

_BILLED = {Billing.NOT_BILLED: False, Billing.MAYBE_BILLED: None, Billing.BILLED: True}


def encode_record(record: dict[str, Any]) -> bytes:
    """Return a record as one line of JSON, with its line end."""
    return msgspec.json.encode(record) + b"\n"


def record_of_outcome(
    outcome: Outcome[Any],
    document: type[Document],
    *,
    path: str,
    sha256: str | None,
    page: int | None = None,
    columns: bytes = b"",
) -> dict[str, Any]:
    """Return the record of an outcome.

    Args:
        outcome: The outcome of an image.
        document: The class that was asked for.
        path: The image's path.
        sha256: The hash of the file's bytes in hex; None if they were not read.
        page: The page of the file, from 1; None for the whole file.
        columns: The columns of its own that a manifest gave the image, as a JSON object; empty if there are none.
    """
    names = _names(path, page, columns) | {"sha256": sha256, "document": document.path_word}
    return names | {"status": status_of(outcome)} | _bill_and_end(outcome, _picture_of(outcome))


def record_of(record: SourceRecord, reviews: Mapping[Item, Review] | None = None) -> dict[str, Any]:
    """Return the record of an image of a run; ``result`` as the JSON that was answered, where that is on one line.

    Args:
        record: The record as the ledger has it.
        reviews: The states of the run's items after their corrections.
    """
    found = _record_of(record)
    entry = shown_entry(record)
    review = None if entry is None or reviews is None else reviews.get(entry.item)
    return found if review is None or "result" not in found else found | {"corrections": entries_of(review)}


def _record_of(record: SourceRecord) -> dict[str, Any]:
    entry = shown_entry(record)
    names = _names(record.path, record.page, record.columns, replaced=record.replaced)
    names |= {"sha256": None if entry is None else entry.item.sha256.hex(), "document": record.document}
    names |= {"status": record.status}
    picture = Picture() if entry is None else Picture.from_json(entry.picture)
    # An answer that was read once is repeated without being decoded again.
    if entry is not None and entry.state is State.SUCCEEDED and entry.answer is not None:
        image = image_object(entry.answer.body)
        if image is not None:
            bill = _bill(billed=True, maybe_billed=entry.maybe_billed, copy_of=record.copy_of)
            call = {"attempts": entry.attempts, "request_id": image.request_id, "uid": image.uid}
            return names | bill | call | {"prepared": _steps(picture), "result": image.raw}
    return names | _bill_and_end(outcome_of(record), picture, record.copy_of)


def shown_entry(record: SourceRecord) -> Entry | None:
    """Return the item that a record shows; None if its file was not read, or has changed and is to be read again."""
    entry = record.entry
    if entry is not None and record.status == "pending" and entry.state in FINISHED:
        return None
    return entry


def outcome_of(record: SourceRecord) -> Outcome[Any]:
    """Return the outcome of an image of a run, as if its call had ended now."""
    entry = shown_entry(record)
    if entry is None:
        return Failure(record.path, decode_failure(record.failure) if record.failure else NotSentError())
    result = replay(entry, DOCUMENTS[record.document])
    if not isinstance(result, ClovaOCRError):
        return Success(record.path, result)
    if entry.state is State.SENT:
        result.billing = Billing.MAYBE_BILLED  # its request is still in flight
    return Failure(record.path, result)


def without_answer(record: dict[str, Any], *, sealed: bool) -> dict[str, Any]:
    """Return a record without its answer; of a sealed run also without its columns and the message of its error."""
    left_out = {"result", "raw", "columns"} if sealed else {"result", "raw"}
    kept = {key: value for key, value in record.items() if key not in left_out}
    if sealed and "error" in kept:
        kept["error"] |= {"message": None}
    return kept


def status_of(outcome: Outcome[Any]) -> str:
    """Return the status of an outcome, as the record has it."""
    if isinstance(outcome, Success) or (isinstance(outcome.error, AnswerNotKeptError) and not outcome.error.lost):
        return "succeeded"
    if outcome.error.billing is Billing.MAYBE_BILLED:
        return "ambiguous"
    # The image that meets it first, with an error that stops a batch, was not sent any more than those behind it.
    stopped = outcome.error.stops_run and outcome.error.billing is Billing.NOT_BILLED and not outcome.error.attempts
    if stopped or isinstance(outcome.error, NotSentError):
        return "pending"
    return "skipped" if isinstance(outcome.error, ImageError) else "failed"


def billed_of(outcome: Outcome[Any]) -> bool | None:
    """Return whether the call for an image was billed; None if it is not known."""
    return outcome.billed if isinstance(outcome, Success) else _BILLED[outcome.error.billing]


def maybe_billed_of(outcome: Outcome[Any]) -> int:
    """Return the number of requests for an image that may have been billed and have no answer."""
    return outcome.recognition.maybe_billed if isinstance(outcome, Success) else outcome.error.maybe_billed


def _names(path: str | None, page: int | None, columns: bytes, *, replaced: bool = False) -> dict[str, Any]:
    names: dict[str, Any] = {"source": None} if path is None else dict(record_source(path))
    names |= {"page": page} | ({"replaced": True} if replaced else {})
    # Decoded, since a value that another program has changed must not break the line.
    with suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        names |= {"columns": msgspec.json.decode(columns, type=dict[str, Any])}
    return names


def _picture_of(outcome: Outcome[Any]) -> Picture:
    if isinstance(outcome, Success):
        return outcome.recognition.picture
    error = outcome.error
    if isinstance(error, RecognitionError) and error.recognition is not None:
        return error.recognition.picture
    return Picture()


def _steps(picture: Picture) -> tuple[str, ...] | None:
    return picture.steps or None


def _bill_and_end(outcome: Outcome[Any], picture: Picture, copy_of: str | None = None) -> dict[str, Any]:
    steps = _steps(picture)
    end = _success(outcome, steps) if isinstance(outcome, Success) else _failure(outcome, steps)
    return bill_of(outcome, copy_of) | end


def bill_of(outcome: Outcome[Any], copy_of: str | None) -> dict[str, Any]:
    """Return the keys ``billed``, ``maybe_billed`` and ``copy_of`` of a record.

    Args:
        outcome: The outcome of its image.
        copy_of: The first name of the same image; None if the record has that name.
    """
    return _bill(billed=billed_of(outcome), maybe_billed=maybe_billed_of(outcome), copy_of=copy_of)


def _bill(*, billed: bool | None, maybe_billed: int, copy_of: str | None) -> dict[str, Any]:
    """Return what an image cost under one of its names: nothing for a copy, so that sums count each call once."""
    if copy_of is not None and (billed is not False or maybe_billed):
        return {"billed": False, "maybe_billed": 0, "copy_of": record_source(copy_of)["source"]}
    return {"billed": billed, "maybe_billed": maybe_billed, "copy_of": None}


def _success(outcome: Success[Any], steps: tuple[str, ...] | None) -> dict[str, Any]:
    recognition = outcome.recognition
    return {
        "attempts": recognition.attempts,
        "request_id": recognition.request_id,
        "uid": recognition.uid,
        "prepared": steps,
        "result": recognition.to_dict(),
    }


def _failure(outcome: Failure, steps: tuple[str, ...] | None) -> dict[str, Any]:
    error = outcome.error
    record: dict[str, Any] = {
        "attempts": error.attempts,
        "request_id": error.request_id,
        "uid": None,
        "prepared": steps,
        "error": {"type": type(error).__name__, "code": _code_of(error), "message": str(error)},
    }
    if isinstance(error, RecognitionError) and error.recognition is not None:
        record |= {"uid": error.recognition.uid, "result": error.recognition.to_dict()}
    if error.raw:
        record["raw"] = base64.b64encode(error.raw).decode()
    return record


def _code_of(error: ClovaOCRError) -> str | None:
    if isinstance(error, RecognitionError):
        return error.infer_result
    return error.code if isinstance(error, APIError) else None
