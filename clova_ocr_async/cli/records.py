"""An outcome as a line of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.errors import APIError, Billing, ClovaOCRError, ImageError, RecognitionError

if TYPE_CHECKING:
    from clova_ocr_async.cli.inputs import InputFile
    from clova_ocr_async.documents import Document

__all__ = ["BILLED", "line_of", "status_of"]

BILLED = {Billing.NOT_BILLED: False, Billing.MAYBE_BILLED: None, Billing.BILLED: True}
"""Whether a call was paid, as a record writes it; None for unknown."""


def line_of(outcome: Outcome[Any], document: type[Document]) -> bytes:
    """Return the record of an outcome: one line, with its end."""
    source: InputFile = outcome.source
    record = {
        # Names that are no UTF-8 cannot stand in JSON.
        "source": source.path.encode("utf-8", "replace").decode(),
        "sha256": source.sha256,
        "document": document.path_word,
        "status": status_of(outcome),
    }
    return msgspec.json.encode(record | (_read(outcome) if isinstance(outcome, Success) else _failed(outcome))) + b"\n"


def status_of(outcome: Outcome[Any]) -> str:
    """Return how an image ended: succeeded, failed, skipped (never sent) or ambiguous (perhaps paid, no answer)."""
    if isinstance(outcome, Success):
        return "succeeded"
    if isinstance(outcome.error, ImageError):
        return "skipped"
    return "ambiguous" if outcome.error.billing is Billing.MAYBE_BILLED else "failed"


def _read(outcome: Success[Any]) -> dict[str, Any]:
    recognition = outcome.recognition
    return {
        "attempts": recognition.attempts,
        "billed": outcome.billed,
        "request_id": recognition.request_id,
        "uid": recognition.uid,
        "result": recognition.to_dict(),
    }


def _failed(outcome: Failure) -> dict[str, Any]:
    error = outcome.error
    record: dict[str, Any] = {
        "attempts": error.attempts,
        "billed": BILLED[error.billing],
        "request_id": error.request_id,
        "uid": None,
        "error": {"type": type(error).__name__, "code": _code_of(error), "message": str(error)},
    }
    if isinstance(error, RecognitionError) and error.recognition is not None:
        record |= {"uid": error.recognition.uid, "result": error.recognition.to_dict()}
    return record


def _code_of(error: ClovaOCRError) -> str | None:
    if isinstance(error, RecognitionError):
        return error.infer_result
    return error.code if isinstance(error, APIError) else None
