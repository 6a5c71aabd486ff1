"""An outcome as a line of JSON."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.batch.sources.manifest import record_source
from clova_ocr_async.documents import DOCUMENTS
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
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from clova_ocr_async.cli.runs.inputs import InputFile
    from clova_ocr_async.documents import Document
    from clova_ocr_async.ledger.states import Entry
    from clova_ocr_async.ledger.storage import SourceRecord
    from clova_ocr_async.protocol.answer_image_object import ImageObject

__all__ = ["billed_of", "line_of", "maybe_billed_of", "record_of", "status_of", "without_answer"]

_BILLED = {Billing.NOT_BILLED: False, Billing.MAYBE_BILLED: None, Billing.BILLED: True}


def line_of(outcome: Outcome[Any], document: type[Document], copy_of: str | None = None) -> bytes:
    """Return the record of an outcome: one line, with its end.

    Args:
        outcome: Of an image that was called for, or of a copy of one.
        document: What was asked for.
        copy_of: The path of the image that was called for, if this is a copy of it.
    """
    source: InputFile = outcome.source
    names = record_source(source.path) | {"sha256": source.sha256, "document": document.path_word}
    return msgspec.json.encode(names | {"status": status_of(outcome)} | _ended(outcome, copy_of)) + b"\n"


def record_of(record: SourceRecord) -> dict[str, Any]:
    """Return the record of an image of a run; ``result`` as the JSON that came, where that is on one line."""
    names: dict[str, Any] = {"source": None} if record.path is None else dict(record_source(record.path))
    names |= {"replaced": True} if record.replaced else {}
    entry = record.entry
    if entry is not None and record.status == "pending" and entry.state in FINISHED:
        entry = None  # the file has changed since, and is to be read again
    names |= {"sha256": None if entry is None else entry.item.sha256.hex(), "document": record.document}
    if entry is None:
        outcome: Outcome[Any] = Failure(
            record.path, decode_failure(record.failure) if record.failure else NotSentError()
        )
        return names | {"status": record.status} | _ended(outcome)
    if entry.state is State.SUCCEEDED and entry.answer is not None and (image := image_object(entry.answer.body)):
        bill = _bill(billed=True, maybe_billed=entry.maybe_billed, copy_of=record.copy_of)
        return names | {"status": record.status} | bill | _as_it_came(entry, image)
    ended = replay(entry, DOCUMENTS[record.document])
    if isinstance(ended, ClovaOCRError):
        if entry.state is State.SENT:
            ended.billing = Billing.MAYBE_BILLED
        outcome = Failure(record.path, ended)
    else:
        outcome = Success(record.path, ended)
    return names | {"status": record.status} | _ended(outcome, record.copy_of)


def without_answer(record: dict[str, Any], *, sealed: bool) -> dict[str, Any]:
    """Return a record without what was answered; of a sealed run also without the words of its error."""
    kept = {key: value for key, value in record.items() if key not in {"result", "raw"}}
    if sealed and "error" in kept:
        kept["error"] |= {"message": None}
    return kept


def _ended(outcome: Outcome[Any], copy_of: str | None = None) -> dict[str, Any]:
    bill = _bill(billed=billed_of(outcome), maybe_billed=maybe_billed_of(outcome), copy_of=copy_of)
    return bill | (_read(outcome) if isinstance(outcome, Success) else _failed(outcome))


def _bill(*, billed: bool | None, maybe_billed: int, copy_of: str | None) -> dict[str, Any]:
    """Return what an image cost under one of its names: nothing if it is a copy, so that the sum is what was paid."""
    if copy_of is not None and (billed is not False or maybe_billed):
        return {"billed": False, "maybe_billed": 0, "copy_of": shown_path(copy_of)}
    return {"billed": billed, "maybe_billed": maybe_billed, "copy_of": None}


def _as_it_came(entry: Entry, image: ImageObject) -> dict[str, Any]:
    return {"attempts": entry.attempts, "request_id": image.request_id, "uid": image.uid, "result": image.raw}


def status_of(outcome: Outcome[Any]) -> str:
    """Return how an image ended.

    Returns:
        "succeeded", "failed", "skipped" (refused before it was sent), "pending" (not sent, because the batch was
        stopped), or "ambiguous" (perhaps paid, no answer).
    """
    if isinstance(outcome, Success) or (isinstance(outcome.error, AnswerNotKeptError) and not outcome.error.lost):
        return "succeeded"
    if outcome.error.billing is Billing.MAYBE_BILLED:
        return "ambiguous"
    if isinstance(outcome.error, NotSentError):
        return "pending"
    return "skipped" if isinstance(outcome.error, ImageError) else "failed"


def billed_of(outcome: Outcome[Any]) -> bool | None:
    """Return whether an image was paid; None if nobody knows."""
    return outcome.billed if isinstance(outcome, Success) else _BILLED[outcome.error.billing]


def maybe_billed_of(outcome: Outcome[Any]) -> int:
    """Return how many requests for an image may have been paid without an answer."""
    return outcome.recognition.maybe_billed if isinstance(outcome, Success) else outcome.error.maybe_billed


def _read(outcome: Success[Any]) -> dict[str, Any]:
    recognition = outcome.recognition
    return {
        "attempts": recognition.attempts,
        "request_id": recognition.request_id,
        "uid": recognition.uid,
        "result": recognition.to_dict(),
    }


def _failed(outcome: Failure) -> dict[str, Any]:
    error = outcome.error
    record: dict[str, Any] = {
        "attempts": error.attempts,
        "request_id": error.request_id,
        "uid": None,
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
