"""What can go wrong, sorted by what it means for the caller and for the bill.

    ClovaOCRError                        .retryable  .billing  .stops_run  .request_id  .attempts
    ├── ConfigurationError               the settings cannot work; nothing was sent (also a ValueError)
    ├── LedgerError                      the run directory cannot be used, or not any more
    │   └── DiskFullError                nothing more can be written into it for now
    ├── ImageError                       the image would be refused or wasted; nothing was sent
    ├── NotSentError                     a batch was stopped before this image was sent
    ├── OverloadedError                  no time or no place left to wait for a slot; nothing was sent
    ├── SpendingCeilingError             as many calls as allowed are paid, or perhaps; nothing was sent
    ├── AnswerNotKeptError               paid for, and the answer is not stored
    ├── TransportError                   no answer came
    │   ├── ConnectionFailedError        nothing of the image had left yet
    │   ├── ResponseTimeoutError         it had left, and no answer came in time
    │   └── ConnectionLostError          it had left, and the connection broke
    ├── APIError                         an answer came, and it is an error
    │   ├── AuthenticationError          the secret is not accepted
    │   ├── DomainError                  the invoke URL is not (or not yet) the right one
    │   ├── InvalidRequestError          this request is not accepted; others may be
    │   ├── RateLimitError               too many calls at once; not run
    │   ├── QuotaExceededError           the allowance is spent; not run
    │   └── ServerError                  the service failed
    ├── MalformedResponseError           an answer came that nobody can read; kept in .raw
    └── RecognitionError                 the service ran and read nothing (inferResult FAILURE or ERROR)

Every error is picklable and free of secrets, invoke keys, image bytes and personal values. Those that hold a paid
answer hold it in an attribute that no ``str`` or ``repr`` shows: ``raw``, or RecognitionError's ``recognition``.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from clova_ocr_async.documents.recognition import Recognition

__all__ = [
    "APIError",
    "AnswerNotKeptError",
    "AuthenticationError",
    "Billing",
    "ClovaOCRError",
    "ConfigurationError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "DiskFullError",
    "DomainError",
    "ImageError",
    "InvalidRequestError",
    "LedgerError",
    "MalformedResponseError",
    "NotSentError",
    "OverloadedError",
    "QuotaExceededError",
    "RateLimitError",
    "RecognitionError",
    "ResponseTimeoutError",
    "ServerError",
    "SpendingCeilingError",
    "TransportError",
]


class Billing(enum.IntEnum):
    """May the call have been paid? Ordered by doubt, so that ``max`` over attempts judges a whole call."""

    NOT_BILLED = 0
    MAYBE_BILLED = 1
    BILLED = 2


class ClovaOCRError(Exception):
    """Base of every error this package raises.

    Attributes:
        retryable: Whether sending the same request again can help.
        billing: Whether the call may have been paid; the worst over all its attempts.
        stops_run: Whether every other image of a batch would meet the same error.
        request_id: The requestId the call was sent with; None if nothing was sent.
        attempts: How many requests were sent for the call.
        maybe_billed: How many of them may have been billed, and nobody knows.
        raw: The body of a paid answer that could not be given otherwise; empty if there is none.
    """

    retryable: bool = False
    billing: Billing = Billing.NOT_BILLED
    stops_run: bool = False
    request_id: str | None = None
    attempts: int = 0
    maybe_billed: int = 0
    raw: bytes = b""

    def __init__(self, *args: object, billing: Billing | None = None, retryable: bool | None = None) -> None:
        super().__init__(*args)
        if billing is not None:
            self.billing = billing
        if retryable is not None:
            self.retryable = retryable

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r}, billing={self.billing.name})"


class ConfigurationError(ClovaOCRError, ValueError):
    """The settings cannot work: a URL, a secret, a limit, a certificate, a package that is not installed."""

    stops_run = True


class LedgerError(ClovaOCRError):
    """The run directory cannot be used, or not any more.

    Attributes:
        resumable: Whether the same run goes on once something outside of it has changed: a full disk, or another
            program that keeps the ledger locked.
    """

    stops_run = True
    resumable: bool = False


class DiskFullError(LedgerError):
    """The ledger cannot be written for now, so nothing is sent; what was paid for is kept, and a later run goes on."""

    resumable = True


class ImageError(ClovaOCRError):
    """The image was refused before anything was sent, because the service would reject or waste it.

    Attributes:
        truncated: Whether the end of the file is missing, so that the file may still be on its way.
    """

    truncated: bool = False

    def __init__(
        self, *args: object, billing: Billing | None = None, retryable: bool | None = None, truncated: bool = False
    ) -> None:
        super().__init__(*args, billing=billing, retryable=retryable)
        if truncated:
            self.truncated = True


class NotSentError(ClovaOCRError):
    """A batch was stopped before this image was sent.

    Attributes:
        reason: The error that stopped the batch; None if no batch has come to the image yet.
    """

    def __init__(self, reason: ClovaOCRError | None = None) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        if self.reason is None:
            return "not sent yet"
        return f"not sent: the batch was stopped by {type(self.reason).__name__}: {self.reason}"


class OverloadedError(ClovaOCRError):
    """There was no time or no place left to wait for a slot, so nothing was sent.

    Attributes:
        retry_after: Seconds until a slot is likely to be free, from the calls that wait, the time a call usually takes
            and the calls at once that are let through.
    """

    retryable = True

    def __init__(self, message: str, *, retry_after: float = 1.0, billing: Billing | None = None) -> None:
        super().__init__(message, billing=billing)
        self.retry_after = retry_after


class SpendingCeilingError(ClovaOCRError):
    """As many calls as allowed are paid, or may have been; this one was not sent."""

    stops_run = True


class AnswerNotKeptError(ClovaOCRError):
    """The image was paid for, and its answer is not stored.

    Attributes:
        lost: Whether the answer could be stored nowhere when it came; it is in ``raw`` then, and only there. If not,
            the image was read earlier, and its answer was not to be stored, or has been purged.
    """

    lost: bool = False


class TransportError(ClovaOCRError):
    """No answer came."""


class ConnectionFailedError(TransportError):
    """The request failed before the body began to leave: refused, no such host, no connection in time.

    Attributes:
        retry_after: Seconds that a proxy asked to wait; None if it did not say.
    """

    retryable = True
    retry_after: float | None = None


class ResponseTimeoutError(TransportError):
    """The body had begun to leave and no answer came in time."""

    billing = Billing.MAYBE_BILLED


class ConnectionLostError(TransportError):
    """The body had begun to leave and the connection broke before an answer."""

    billing = Billing.MAYBE_BILLED


class APIError(ClovaOCRError):
    """The service or its gateway answered with an error.

    Args:
        status: The HTTP status.
        code: The vendor's code ("0025"), or the gateway's ("420"); None if the body named none.
        message: The vendor's message, invoke keys masked.
        path: The path the vendor repeats, invoke key masked.
        trace_id: The vendor's traceId, for a support request.
        timestamp: The vendor's time of the answer, Unix milliseconds.
        billing: Overrides the class's billing.
        retryable: Overrides the class's retryable.

    Attributes:
        hint: What to do about it, such as what to compare with which page of the console; None if nothing is known.
    """

    hint: str | None = None

    def __init__(
        self,
        status: int,
        code: str | None = None,
        message: str | None = None,
        path: str | None = None,
        trace_id: str | None = None,
        timestamp: int | None = None,
        *,
        billing: Billing | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(status, code, message, path, trace_id, timestamp, billing=billing, retryable=retryable)
        self.status = status
        self.code = code
        self.message = message
        self.path = path
        self.trace_id = trace_id
        self.timestamp = timestamp

    def __str__(self) -> str:
        parts = [f"HTTP {self.status}"]
        if self.code is not None:
            parts.append(f"code {self.code}")
        if self.trace_id is not None:
            parts.append(f"traceId {self.trace_id}")
        told = f"{', '.join(parts)}: {self.message or 'no message'}"
        return told if self.hint is None else f"{told} ({self.hint})"


class AuthenticationError(APIError):
    """The secret is not accepted for this invoke URL.

    Its hint names where the secret was read, and the page of the console that shows the right one.
    """

    stops_run = True


class DomainError(APIError):
    """The invoke URL is wrong, of another model, not deployed, or blocked."""

    stops_run = True


class InvalidRequestError(APIError):
    """This one request is not accepted."""


class RateLimitError(APIError):
    """More calls at once than the domain allows, or more a second than its gateway does; this one was not run.

    Attributes:
        kind: "at_once" for too many calls at the same time (code 0025), "per_second" for too many in a short time.
        ceiling: The number of calls at once that the message names; None if it names none.
        retry_after: Seconds the answer asked to wait; None if it did not say.
    """

    retryable = True
    kind: Literal["at_once", "per_second"] = "at_once"
    ceiling: int | None = None
    retry_after: float | None = None


class QuotaExceededError(APIError):
    """The domain's allowance of calls is spent; this one was not run.

    Attributes:
        retry_after: Seconds until it is worth asking again, as far as known; None if nobody said.
    """

    retryable = True
    stops_run = True
    retry_after: float | None = None


class ServerError(APIError):
    """The service failed; whether it charged for that is not known.

    Attributes:
        retry_after: Seconds the answer asked to wait; None if it did not say.
    """

    billing = Billing.MAYBE_BILLED
    retry_after: float | None = None


class MalformedResponseError(ClovaOCRError):
    """An answer came, probably paid, that cannot be read, or that is another call's. Its bytes are kept.

    Another call's answer says nothing of this call, which may have been billed.

    Attributes:
        raw: The body as far as it came.
        status: The HTTP status.
    """

    billing = Billing.BILLED

    def __init__(self, message: str, *, raw: bytes = b"", status: int = 200, billing: Billing | None = None) -> None:
        super().__init__(message, billing=billing)
        self.raw = raw
        self.status = status


class RecognitionError(ClovaOCRError):
    """The service looked at the image and read nothing: inferResult FAILURE (no such document) or ERROR.

    Attributes:
        infer_result: "FAILURE" or "ERROR".
        recognition: The answer, with the service's message, its raw bytes and an absent document.
    """

    billing = Billing.BILLED

    def __init__(self, message: str, *, recognition: Recognition[Any] | None = None) -> None:
        super().__init__(message)
        self.recognition = recognition

    @property
    def infer_result(self) -> str | None:
        """The service's own word: "FAILURE" or "ERROR"."""
        return None if self.recognition is None else self.recognition.infer_result
