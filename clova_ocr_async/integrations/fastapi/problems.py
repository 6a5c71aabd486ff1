"""Errors as answers: RFC 9457 problem documents, with what a call may have cost.

A problem names the error's kind, never its circumstances: no value of the upload, no host, no setting. What the
operator has to repair is in the log.
"""

from __future__ import annotations

import logging
import math
import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from fastapi import Response

from clova_ocr_async import (
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    DiskFullError,
    ImageError,
    InvalidRequestError,
    MalformedResponseError,
    OverloadedError,
    QuotaExceededError,
    RateLimitError,
    RecognitionError,
    RedactionError,
    ResponseTimeoutError,
    ServerError,
    TransportError,
)

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

__all__ = ["MEDIA_TYPE", "ProblemDetails", "error_response", "install_error_handlers", "problem_of", "problem_response"]

logger = logging.getLogger("clova_ocr_async")

MEDIA_TYPE = "application/problem+json"
_URN = "urn:clova-ocr-async:problem:"


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457).

    Attributes:
        type: The stable name of the problem.
        title: The problem in words.
        status: The HTTP status.
        detail: What is wrong with this upload; None where the title says all.
        billing: Whether this request cost a call.
        request_id: The id of the call at the service, for its support; None if nothing was sent.
        retryable: Whether the same request may succeed later.
    """

    type: str
    title: str
    status: int
    detail: str | None = None
    billing: Literal["not_billed", "maybe_billed", "billed"] = "not_billed"
    request_id: str | None = None
    retryable: bool = False


def _kind(status: int, name: str, title: str) -> ProblemDetails:
    return ProblemDetails(type=_URN + name, title=title, status=status)


NOT_A_PICTURE = _kind(415, "not-a-picture", "The upload is not a picture")
TOO_LARGE = _kind(413, "too-large", "The upload is too large")
BAD_FORM = _kind(422, "bad-form", "The request is not a form with one picture")
NOT_A_FORM = _kind(415, "not-a-form", "The request is not multipart/form-data")
TOO_SLOW = _kind(408, "upload-stalled", "The upload stalled")
NOT_READY = _kind(503, "not-ready", "No domain can be called now")
_ON_HOLD = _kind(503, "on-hold", "The OCR service has been failing for a while")
_INTERNAL = _kind(500, "internal", "The server cannot do this")

# The first that fits. What is not the caller's fault is 5xx: 503 for "later", 504 for "no answer", 502 for the rest.
_KINDS: tuple[tuple[type[ClovaOCRError], ProblemDetails], ...] = (
    (ImageError, _kind(422, "unusable-picture", "The picture cannot be used")),
    (RecognitionError, _kind(422, "nothing-read", "No such document was found in the picture")),
    (InvalidRequestError, _kind(422, "refused", "The OCR service does not accept the picture")),
    (RedactionError, _kind(422, "not-maskable", "The picture cannot be masked for certain")),
    (RateLimitError, _kind(429, "rate-limited", "Too many calls")),
    (OverloadedError, _kind(503, "overloaded", "Too many calls wait")),
    (QuotaExceededError, _kind(503, "quota-spent", "The quota of calls is spent")),
    (DiskFullError, _kind(503, "disk-full", "The server cannot store answers now")),
    (ResponseTimeoutError, _kind(504, "timed-out", "The OCR service did not answer in time")),
    (ConnectionFailedError, _kind(502, "unreachable", "The OCR service cannot be reached")),
    (ConnectionLostError, _kind(502, "connection-lost", "The connection to the OCR service was lost")),
    (MalformedResponseError, _kind(502, "malformed-answer", "The answer of the OCR service cannot be read")),
    (ServerError, _kind(502, "service-failed", "The OCR service failed")),
)
_RATE_LIMITED = 429
_LATER = {_RATE_LIMITED, 503}  # these carry Retry-After
_UNKNOWN_WAIT = 30.0  # seconds, where it is not known when a quota is renewed or an outage ends


def problem_of(error: ClovaOCRError) -> ProblemDetails:
    """Return the problem that an error is to the caller of a web service."""
    return msgspec.structs.replace(
        _kind_of(error),
        detail=_fault(str(error)) if isinstance(error, ImageError) else None,
        billing=error.billing.name.lower(),
        request_id=error.request_id,
        retryable=error.retryable,
    )


def _kind_of(error: ClovaOCRError) -> ProblemDetails:
    if isinstance(error, ImageError) and error.not_a_picture:
        return NOT_A_PICTURE
    # The client has given up a domain for all calls: such an error says nothing of this one.
    if error.stops_run and isinstance(error, TransportError | ServerError):
        return _ON_HOLD
    if isinstance(error, ConfigurationError) and error.retryable:  # the server of the slots was never reached
        return NOT_READY
    return next((kind for cls, kind in _KINDS if isinstance(error, cls)), _INTERNAL)


_SUBJECT = re.compile(r"""(?:the (?:image|picture|PDF)|image (?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")) """)
_HINT = re.compile(r"(?<=more than )ImageLimits\.\w+, |, and ImageLimits\.formats allows.*|;.*", re.DOTALL)


def _fault(message: str) -> str | None:
    """Return what is wrong with an image, without its name and without the way out for a Python program.

    A message about a file, and not about the image in it, is the server's own business.
    """
    subject = _SUBJECT.match(message)
    return None if subject is None else f"the upload {_HINT.sub('', message[subject.end() :])}"


def problem_response(problem: ProblemDetails, *, retry_after: float | None = None) -> Response:
    """Return a problem as a response.

    Args:
        problem: The problem.
        retry_after: Seconds until another try makes sense; if not known, half a minute is named.
    """
    headers: dict[str, str] = {}
    if problem.status in _LATER:
        headers["Retry-After"] = str(max(1, math.ceil(_UNKNOWN_WAIT if retry_after is None else retry_after)))
    return Response(msgspec.json.encode(problem), problem.status, headers, MEDIA_TYPE)


def error_response(error: ClovaOCRError, billing: Billing | None = None) -> Response:
    """Return an error as a response, and log a failure that is not the caller's.

    Args:
        error: The error.
        billing: What the request has cost, if not what the error says.
    """
    problem = problem_of(error)
    if billing is not None:
        problem = msgspec.structs.replace(problem, billing=billing.name.lower())
    # The answer does not say why, so the log must; but refusals without a call are too many to log. An overload repairs
    # itself, and of a domain on hold the calls that failed before are in the log.
    unsent = isinstance(error, QuotaExceededError) and not error.attempts
    at_once = unsent or isinstance(error, OverloadedError) or problem.type == _ON_HOLD.type
    if problem.status >= _INTERNAL.status and not at_once:
        for_operator = QuotaExceededError | DiskFullError | ConfigurationError
        repair = problem.status == _INTERNAL.status or isinstance(error, for_operator)
        logger.log(logging.ERROR if repair else logging.WARNING, "an upload was not read: %s", error)
    # A rate limit passes with the next answer.
    retry_after: float | None = getattr(error, "retry_after", None) or (
        1.0 if problem.status == _RATE_LIMITED else None
    )
    return problem_response(problem, retry_after=retry_after)


def install_error_handlers(app: FastAPI) -> None:
    """Let an app answer every ``ClovaOCRError`` that its handlers raise with a problem document.

    The routes of ``ocr_router`` do so by themselves; this is for handlers of your own.
    """

    async def handle(_request: Request, error: Any) -> Response:
        return error_response(error)

    app.add_exception_handler(ClovaOCRError, handle)
