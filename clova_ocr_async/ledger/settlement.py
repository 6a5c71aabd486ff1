"""Ends of calls: settlements, what a dead process left, and the way back from a stored entry to an outcome. Pure."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async import errors
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.errors import (
    AnswerNotKeptError,
    APIError,
    Billing,
    ClovaOCRError,
    ConnectionLostError,
    ImageError,
    MalformedResponseError,
    NotSentError,
    RateLimitError,
    RecognitionError,
)
from clova_ocr_async.ledger.states import FINISHED, TRANSITIONS, Entry, ItemEvent, Settlement, State, from_states
from clova_ocr_async.protocol.codes import rule_for
from clova_ocr_async.protocol.response import decode_response

if TYPE_CHECKING:
    from collections.abc import Collection

    from clova_ocr_async.documents.base import Document
    from clova_ocr_async.documents.recognition import Recognition
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = [
    "GONE",
    "decode_failure",
    "decoded_or_error",
    "encode_failure",
    "failed_settlement",
    "is_requeued",
    "project",
    "replay",
    "settle_from_answer",
    "settlement_due",
    "settlement_of",
    "succeeded_settlement",
    "without_message",
]

_PURGED = "its message was deleted by a purge"


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
    """Return an error as the ledger keeps it. It needs no cleaning: errors hold no secrets and no personal values."""
    if isinstance(error, APIError):
        failure = _Failure(
            type(error).__name__, error.message, error.status, error.code, error.path, error.trace_id, error.timestamp
        )
    else:
        failure = _Failure(type(error).__name__, str(error))
    return msgspec.json.encode(failure)


# Stores look for these very bytes, also in runs of earlier versions: another wording would be another failure.
GONE = encode_failure(ImageError("the file is no longer there"))
"""The failure of a file that was removed before it was read."""

_ENDED = encode_failure(
    ConnectionLostError("the process that sent it ended before the answer came; it may have been billed")
)


def decode_failure(failure: bytes) -> ClovaOCRError:
    """Return the error that was given to ``encode_failure``."""
    kept = _decoder.decode(failure)
    # A later version of the package may have stored a class that this one does not have.
    kind: type[Any] = getattr(errors, kept.type, ClovaOCRError)
    if issubclass(kind, APIError):
        status = kept.status or 0
        found: APIError = kind(status, kept.code, kept.message, kept.path, kept.trace_id, kept.timestamp)
        if isinstance(found, RateLimitError):
            # Whose code it was, the service's or the gateway's, is not kept; no code is in both tables.
            found.kind = rule_for(status, kept.code, kept.code).kind or found.kind
        return found
    error: ClovaOCRError = ClovaOCRError(kept.message) if kind is NotSentError else kind(kept.message)
    if isinstance(error, AnswerNotKeptError):
        error.lost = True  # a call ends with this error only if its answer is stored nowhere
    return error


def without_message(failure: bytes) -> bytes:
    """Return a failure as a purge leaves it: with its type, its status and its code."""
    error = decode_failure(failure)
    if isinstance(error, APIError):
        return encode_failure(type(error)(error.status, error.code, _PURGED))
    return encode_failure(type(error)(_PURGED))


def succeeded_settlement(recognition: Recognition[Any], request_id: str | None) -> Settlement:
    """Return the settlement of a call that read its image."""
    return Settlement(ItemEvent.SUCCEED, Billing.BILLED, recognition.elapsed, b"", request_id)


def failed_settlement(error: ClovaOCRError, request_id: str | None) -> Settlement:
    """Return the settlement of a call that ended with an error."""
    return Settlement(_event_of(error), error.billing, 0.0, encode_failure(error), request_id)


def _event_of(error: ClovaOCRError) -> ItemEvent:
    # First, whatever the error is: such a call is sent again only on request.
    if error.billing is Billing.MAYBE_BILLED:
        return ItemEvent.MAYBE_BILLED
    if error.billing is Billing.BILLED:
        return ItemEvent.FAIL
    if isinstance(error, ImageError):  # refused by this package, before any request
        return ItemEvent.SKIP
    # An error that every other image would meet as well is not about this one, which stays to be sent.
    return ItemEvent.RELEASE if error.stops_run or isinstance(error, NotSentError) else ItemEvent.FAIL


def settle_from_answer(response: HTTPResponse, document: type[Document], request_id: str) -> Settlement:
    """Return the settlement of a call whose answer is stored and was not read by its caller."""
    return settlement_of(decoded_or_error(response, document, request_id), request_id)


def decoded_or_error(
    response: HTTPResponse, document: type[Document], request_id: str
) -> Recognition[Any] | ClovaOCRError:
    """Return the recognition in an answer, or the error that it is."""
    try:
        return decode_response(response, document, request_id=request_id)
    except ClovaOCRError as error:
        return error


def settlement_of(decoded: Recognition[Any] | ClovaOCRError, request_id: str) -> Settlement:
    """Return the settlement of a call from its decoded answer."""
    if not isinstance(decoded, ClovaOCRError):
        return succeeded_settlement(decoded, request_id)
    if decoded.billing is Billing.MAYBE_BILLED:  # another call's answer proves nothing about this one
        return failed_settlement(decoded, request_id)
    # The service ran for it, whether its answer can be used or not.
    return Settlement(ItemEvent.FAIL, Billing.BILLED, 0.0, encode_failure(decoded), request_id)


def settlement_due(entry: Entry, *, owner_alive: bool) -> Settlement | None:
    """Return the settlement that is still to be recorded for an item.

    The next process that opens the run records it. A reader of the run shows the item as if that were done.

    Args:
        entry: The item as it is stored.
        owner_alive: Whether the process that works on it is alive.

    Returns:
        The settlement; None if the item stays as it is, or was never sent.
    """
    if entry.state not in {State.SENT, State.AMBIGUOUS}:
        return None
    if entry.answer is not None:  # also of a process that lives: it records the same a moment later
        return settle_from_answer(entry.answer, DOCUMENTS[entry.item.document], entry.request_id or "")
    if entry.state is State.AMBIGUOUS or owner_alive:
        return None
    return Settlement(ItemEvent.MAYBE_BILLED, Billing.MAYBE_BILLED, entry.elapsed, _ENDED, entry.request_id)


def project(entry: Entry, *, owner_alive: bool) -> Entry:
    """Return an item as it is after the next process has opened the run.

    Args:
        entry: The item as it is stored.
        owner_alive: Whether the process that works on it is alive.
    """
    settlement = settlement_due(entry, owner_alive=owner_alive)
    if settlement is None:
        if entry.state is State.CLAIMED and not owner_alive:
            return dataclasses.replace(entry, state=TRANSITIONS[State.CLAIMED, ItemEvent.RELEASE], owner=None)
        if entry.state is State.AMBIGUOUS and entry.answered:  # by an answer that cannot be opened
            return dataclasses.replace(entry, maybe_billed=max(entry.maybe_billed, 1))
        return entry
    maybe_billed = entry.maybe_billed
    if settlement.event is ItemEvent.MAYBE_BILLED:
        if entry.state is State.AMBIGUOUS:  # the late answer is another call's: the item stays as it is, and counts
            return dataclasses.replace(entry, maybe_billed=max(maybe_billed, 1))
        maybe_billed += entry.in_flight or entry.answered  # not yet counted as such
    return dataclasses.replace(
        entry,
        state=TRANSITIONS[entry.state, settlement.event],
        maybe_billed=maybe_billed,
        billing=settlement.billing,
        elapsed=settlement.elapsed,
        failure=settlement.failure,
        owner=None,
        in_flight=False,
    )


def is_requeued(entry: Entry, billings: Collection[Billing]) -> bool:
    """Return whether an item is sent again on request.

    Args:
        entry: The item.
        billings: The request: unread items with one of these billings are sent again.
    """
    return entry.state in from_states(ItemEvent.REQUEUE) and entry.billing in billings


def replay(entry: Entry, document: type[Document]) -> Recognition[Any] | ClovaOCRError:
    """Return the outcome of a stored item, as if its call had ended now.

    Args:
        entry: The item.
        document: The class asked for.

    Returns:
        The recognition, or the error.
    """
    outcome = _outcome(entry, document)
    if not isinstance(outcome, ClovaOCRError):
        return _as_called(outcome, entry)
    if isinstance(outcome, RecognitionError) and outcome.recognition is not None:
        outcome.recognition = _as_called(outcome.recognition, entry)
    outcome.attempts, outcome.maybe_billed, outcome.request_id = entry.attempts, entry.maybe_billed, entry.request_id
    # Another call's answer leaves open whether this call was billed, whatever the item's state is.
    if not (isinstance(outcome, MalformedResponseError) and outcome.billing is Billing.MAYBE_BILLED):
        outcome.billing = entry.billing if entry.state in FINISHED else Billing.NOT_BILLED
    return outcome


def _as_called(recognition: Recognition[Any], entry: Entry) -> Recognition[Any]:
    """Return a decoded recognition with what only its call knew."""
    return msgspec.structs.replace(
        recognition,
        attempts=entry.attempts,
        maybe_billed=entry.maybe_billed,
        elapsed=entry.elapsed,
        picture=Picture.from_json(entry.picture).as_converted(recognition.converted_image_info),
    )


def _outcome(entry: Entry, document: type[Document]) -> Recognition[Any] | ClovaOCRError:
    # Decoded at each look: a later version may read more out of the same bytes, and nothing is paid again for that.
    if entry.answer is not None and entry.state in {State.SUCCEEDED, State.FAILED}:
        try:
            return decode_response(entry.answer, document, request_id=entry.request_id)
        except ClovaOCRError as error:
            return error
    if entry.state is State.SUCCEEDED:
        return AnswerNotKeptError("read and paid for earlier; its answer was not stored, or has been purged")
    if entry.state in FINISHED and entry.failure:
        kept = decode_failure(entry.failure)
        kept.raw = b"" if entry.answer is None else entry.answer.body  # the bytes of another call's answer are kept too
        return kept
    return NotSentError()
