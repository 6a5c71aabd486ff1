"""How a call ended, as the ledger keeps it, and the way back: from what it kept to the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async import errors
from clova_ocr_async.errors import (
    AnswerNotKeptError,
    APIError,
    Billing,
    ClovaOCRError,
    ImageError,
    MalformedResponseError,
    NotSentError,
    RateLimitError,
)
from clova_ocr_async.ledger.states import FINISHED, Entry, ItemEvent, Settlement, State
from clova_ocr_async.protocol.codes import rule_for
from clova_ocr_async.protocol.response import decode_response

if TYPE_CHECKING:
    from clova_ocr_async.documents.base import Document
    from clova_ocr_async.documents.recognition import Recognition
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = [
    "GONE",
    "decode_failure",
    "decoded_or_error",
    "encode_failure",
    "failed_settlement",
    "replay",
    "settle_from_answer",
    "succeeded_settlement",
]


class _Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as the ledger keeps it."""

    type: str
    message: str | None = None
    status: int | None = None
    code: str | None = None
    path: str | None = None
    trace_id: str | None = None
    timestamp: int | None = None


_decoder = msgspec.json.Decoder(_Failure)


def encode_failure(error: ClovaOCRError) -> bytes:
    """Write an error down; errors are free of secrets and personal values by their making."""
    if isinstance(error, APIError):
        failure = _Failure(
            type(error).__name__, error.message, error.status, error.code, error.path, error.trace_id, error.timestamp
        )
    else:
        failure = _Failure(type(error).__name__, str(error))
    return msgspec.json.encode(failure)


GONE = encode_failure(ImageError("the file is no longer there"))
"""How a file is written down that has gone before it was read."""


def decode_failure(failure: bytes) -> ClovaOCRError:
    """Return the error that ``encode_failure`` wrote down."""
    kept = _decoder.decode(failure)
    kind: type[Any] = getattr(errors, kept.type, ClovaOCRError)
    if issubclass(kind, APIError):
        status = kept.status or 0
        found: APIError = kind(status, kept.code, kept.message, kept.path, kept.trace_id, kept.timestamp)
        if isinstance(found, RateLimitError):
            found.kind = rule_for(status, kept.code, kept.code).kind or found.kind
        return found
    error: ClovaOCRError = ClovaOCRError(kept.message) if kind is NotSentError else kind(kept.message)
    if isinstance(error, AnswerNotKeptError):
        error.lost = True  # only then is it written down as how a call ended
    return error


def succeeded_settlement(recognition: Recognition[Any], request_id: str | None) -> Settlement:
    """Return the verdict of a call that read its image."""
    return Settlement(ItemEvent.SUCCEED, Billing.BILLED, recognition.elapsed, b"", request_id)


def failed_settlement(error: ClovaOCRError, request_id: str | None) -> Settlement:
    """Return the verdict of a call that an error ended."""
    return Settlement(_mark_of(error), error.billing, 0.0, encode_failure(error), request_id)


def _mark_of(error: ClovaOCRError) -> ItemEvent:
    if error.billing is Billing.MAYBE_BILLED:
        return ItemEvent.DOUBT
    if error.billing is Billing.BILLED:
        return ItemEvent.FAIL
    if isinstance(error, ImageError):
        return ItemEvent.SKIP
    # What every other image would meet as well says nothing about this one.
    return ItemEvent.RELEASE if error.stops_run or isinstance(error, NotSentError) else ItemEvent.FAIL


def settle_from_answer(response: HTTPResponse, document: type[Document], request_id: str) -> Settlement:
    """Return the verdict of a call whose answer was kept and not yet read."""
    return verdict_of(decoded_or_error(response, document, request_id), request_id)


def decoded_or_error(
    response: HTTPResponse, document: type[Document], request_id: str
) -> Recognition[Any] | ClovaOCRError:
    """Return what an answer holds, or why it holds nothing."""
    try:
        return decode_response(response, document, request_id=request_id)
    except ClovaOCRError as error:
        return error


def verdict_of(decoded: Recognition[Any] | ClovaOCRError, request_id: str) -> Settlement:
    """Return the verdict of a call by what its answer turned out to hold."""
    if not isinstance(decoded, ClovaOCRError):
        return succeeded_settlement(decoded, request_id)
    if decoded.billing is Billing.MAYBE_BILLED:  # another call's answer, which settles nothing
        return failed_settlement(decoded, request_id)
    return Settlement(ItemEvent.FAIL, Billing.BILLED, 0.0, encode_failure(decoded), request_id)


def replay(entry: Entry, document: type[Document]) -> Recognition[Any] | ClovaOCRError:
    """Return what a call for an item ended in, as if it had ended now.

    Args:
        entry: What the ledger holds.
        document: The class asked for.

    Returns:
        The recognition, or the error.
    """
    outcome = _outcome(entry, document)
    if not isinstance(outcome, ClovaOCRError):
        return msgspec.structs.replace(
            outcome, attempts=entry.attempts, maybe_billed=entry.maybe_billed, elapsed=entry.elapsed
        )
    outcome.attempts, outcome.maybe_billed, outcome.request_id = entry.attempts, entry.maybe_billed, entry.request_id
    if not (isinstance(outcome, MalformedResponseError) and outcome.billing is Billing.MAYBE_BILLED):
        outcome.billing = entry.billing if entry.state in FINISHED else Billing.NOT_BILLED
    return outcome


def _outcome(entry: Entry, document: type[Document]) -> Recognition[Any] | ClovaOCRError:
    if entry.answer is not None and entry.state in {State.SUCCEEDED, State.FAILED}:
        try:
            return decode_response(entry.answer, document, request_id=entry.request_id)
        except ClovaOCRError as error:
            return error
    if entry.state is State.SUCCEEDED:
        return AnswerNotKeptError("read and paid for earlier; its answer was not stored, or has been purged")
    if entry.state in FINISHED and entry.failure:
        kept = decode_failure(entry.failure)
        kept.raw = b"" if entry.answer is None else entry.answer.body  # another call's answer settles nothing
        return kept
    return NotSentError()
