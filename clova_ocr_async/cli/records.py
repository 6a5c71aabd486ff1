"""An outcome as a line of JSON."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.errors import APIError, Billing, ClovaOCRError, ImageError, NotSentError, RecognitionError

if TYPE_CHECKING:
    from clova_ocr_async.cli.inputs import InputFile
    from clova_ocr_async.documents import Document

__all__ = ["billed_of", "line_of", "maybe_billed_of", "status_of"]

_BILLED = {Billing.NOT_BILLED: False, Billing.MAYBE_BILLED: None, Billing.BILLED: True}


def line_of(outcome: Outcome[Any], document: type[Document]) -> bytes:
    """Return the record of an outcome: one line, with its end."""
    source: InputFile = outcome.source
    record = {
        "source": source.shown,
        "sha256": source.sha256,
        "document": document.path_word,
        "status": status_of(outcome),
        "billed": billed_of(outcome),
        "maybe_billed": maybe_billed_of(outcome),
    }
    return msgspec.json.encode(record | (_read(outcome) if isinstance(outcome, Success) else _failed(outcome))) + b"\n"


def status_of(outcome: Outcome[Any]) -> str:
    """Return how an image ended.

    Returns:
        "succeeded", "failed", "skipped" (refused before it was sent), "pending" (not sent, because the batch was
        stopped), or "ambiguous" (perhaps paid, no answer).
    """
    if isinstance(outcome, Success):
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
