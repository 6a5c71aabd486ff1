"""The tree of errors: sorted by what the caller can do, and by whether the call may have been billed.

    ClovaOCRError                        .retryable  .billing  .stops_run  .request_id  .attempts
    ├── ConfigurationError               the settings cannot work; nothing was sent (also a ValueError)
    ├── LedgerError                      the run cannot be used, or no longer
    │   └── DiskFullError                the run directory cannot be written at present
    ├── ImageError                       the service would refuse or waste the image; nothing was sent
    ├── NotSentError                     the batch was stopped before this image was sent
    ├── OverloadedError                  no time or no place left to wait for a slot; nothing was sent
    ├── SpendingCeilingError             the allowed number of calls is used up; nothing was sent
    ├── AnswerNotKeptError               the call was billed, and its answer is not stored
    ├── TransportError                   no answer was received
    │   ├── ConnectionFailedError        the body had not begun to leave
    │   ├── ResponseTimeoutError         the body had begun to leave, and the time ran out
    │   └── ConnectionLostError          the body had begun to leave, and the connection broke
    ├── APIError                         the answer is an error
    │   ├── AuthenticationError          the secret is not accepted
    │   ├── DomainError                  the invoke URL is wrong, or not ready yet
    │   ├── InvalidRequestError          this request is not accepted; others may be
    │   ├── RateLimitError               too many calls; this one did not run
    │   ├── QuotaExceededError           the quota is spent; this call did not run
    │   └── ServerError                  the service failed
    ├── MalformedResponseError           the answer is unreadable, or another call's; its bytes are in .raw
    ├── RecognitionError                 the service ran and read nothing (inferResult FAILURE or ERROR)
    └── RedactionError                   a masked copy cannot be made for certain, so none is made

Every error is picklable and free of secrets, invoke keys, image bytes and personal values. A paid answer is in an
attribute that no ``str`` or ``repr`` shows: ``raw``, or the ``recognition`` of a RecognitionError.
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
    "RedactionError",
    "ResponseTimeoutError",
    "ServerError",
    "SpendingCeilingError",
    "TransportError",
]


class Billing(enum.IntEnum):
    """The billing of a call, as far as known. Ordered, so that ``max`` over its attempts is the billing of the call."""

    NOT_BILLED = 0
    MAYBE_BILLED = 1
    BILLED = 2


class ClovaOCRError(Exception):
    """The base of every error of this package.

    Examples:
        >>> try:
        ...     recognition = await client.recognize("receipt.jpg", Receipt)
        ... except ClovaOCRError as error:
        ...     print(error.billing.name, error.retryable)

    Attributes:
        retryable: Whether the same request may succeed later.
        billing: Whether the call may have been billed; the worst of all its attempts.
        stops_run: Whether every other image of a batch would get the same error.
        request_id: The requestId of the call; None if nothing was sent.
        attempts: Number of requests sent for the call.
        maybe_billed: Number of those requests that may have been billed, without certainty.
        raw: The body of a paid answer that is not available in another form; empty if there is none.
    """

    retryable: bool = False
    billing: Billing = Billing.NOT_BILLED
    stops_run: bool = False
    request_id: str | None = None
    attempts: int = 0
    maybe_billed: int = 0
    raw: bytes = b""

    def __init__(self, *args: object, billing: Billing | None = None, retryable: bool | None = None) -> None:
        # Keyword arguments are not in ``args``: unpickling restores them from the instance's __dict__.
        super().__init__(*args)
        # Set only if given: an attribute of the instance overrides the class's.
        if billing is not None:
            self.billing = billing
        if retryable is not None:
            self.retryable = retryable

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r}, billing={self.billing.name})"


class ConfigurationError(ClovaOCRError, ValueError):
    """The settings cannot work: a URL, a secret, a limit, a certificate, a package that is not installed.

    It is retryable if a server that shares slots was never reached, or has never taken a change: its URL may be wrong,
    or it may not run yet.
    """

    stops_run = True


class LedgerError(ClovaOCRError):
    """The run cannot be used, or no longer.

    Attributes:
        resumable: Whether the same run can continue once a cause outside of it has ended, such as a full disk,
            another program that keeps the ledger locked, or a database that is away.
    """

    stops_run = True
    resumable: bool = False


class DiskFullError(LedgerError):
    """The ledger cannot be written at present, so nothing is sent; paid answers are kept, and a later run continues."""

    resumable = True


class RedactionError(ClovaOCRError):
    """A masked copy cannot be made for certain, so none is made; the message shows no value."""


class ImageError(ClovaOCRError):
    """The image was refused before anything was sent, because the service would refuse or waste it.

    Attributes:
        truncated: Whether the end of the file is missing; the rest may still be on its way.
        not_a_picture: Whether the data is something else, such as a text, an archive or a video.
    """

    truncated: bool = False
    not_a_picture: bool = False

    def __init__(
        self,
        *args: object,
        billing: Billing | None = None,
        retryable: bool | None = None,
        truncated: bool = False,
        not_a_picture: bool = False,
    ) -> None:
        super().__init__(*args, billing=billing, retryable=retryable)
        if truncated:
            self.truncated = True
        if not_a_picture:
            self.not_a_picture = True


class NotSentError(ClovaOCRError):
    """The batch was stopped before this image was sent.

    Attributes:
        reason: The error that stopped the batch; None if no batch has reached the image yet.
    """

    def __init__(self, reason: ClovaOCRError | None = None) -> None:
        super().__init__(reason)  # the text is made on demand: unpickling calls the class with ``args``
        self.reason = reason

    def __str__(self) -> str:
        if self.reason is None:
            return "not sent yet"
        return f"not sent: the batch was stopped by {type(self.reason).__name__}: {self.reason}"


class OverloadedError(ClovaOCRError):
    """No time or no place was left to wait for a slot, so nothing was sent.

    Attributes:
        retry_after: Seconds until a slot is likely to be free, from the number of waiting calls, the usual duration of
            a call, and the number of calls at once.
    """

    retryable = True

    def __init__(self, message: str, *, retry_after: float = 1.0, billing: Billing | None = None) -> None:
        super().__init__(message, billing=billing)
        self.retry_after = retry_after


class SpendingCeilingError(ClovaOCRError):
    """The allowed number of calls is billed, or may have been; this call was not sent."""

    stops_run = True


class AnswerNotKeptError(ClovaOCRError):
    """The call was billed, and its answer is not stored.

    Attributes:
        lost: Whether the answer could not be stored when it was received; then ``raw`` is its only copy. If False, the
            image was read earlier, and its answer was not to be stored or has been purged.
    """

    lost: bool = False


class TransportError(ClovaOCRError):
    """No answer was received."""


class ConnectionFailedError(TransportError):
    """The request failed before its body began to leave: refused, unknown host, no connection in time.

    Attributes:
        retry_after: Seconds that a proxy asked to wait; None if it named none.
    """

    retryable = True
    retry_after: float | None = None


# Not retryable, unlike the class above: the same request might be billed again.
class ResponseTimeoutError(TransportError):
    """The body had begun to leave, and no answer was received in time."""

    billing = Billing.MAYBE_BILLED


class ConnectionLostError(TransportError):
    """The body had begun to leave, and the connection broke before an answer."""

    billing = Billing.MAYBE_BILLED


class APIError(ClovaOCRError):
    """The service or its gateway answered with an error.

    Args:
        status: The HTTP status.
        code: The vendor's code ("0011"), or the gateway's ("420"); None if the body named none.
        message: The vendor's message, invoke keys masked.
        path: The request's path in the answer, invoke key masked.
        trace_id: The vendor's traceId, for a support request.
        timestamp: The time of the answer, in Unix milliseconds.
        billing: Overrides the billing of the class.
        retryable: Overrides ``retryable`` of the class.

    Attributes:
        hint: The way out, such as the page of the console to compare with; None if none is known.
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
        # All positional arguments, because unpickling calls the class with the exception's args.
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
        text = f"{', '.join(parts)}: {self.message or 'no message'}"
        return text if self.hint is None else f"{text} ({self.hint})"


class AuthenticationError(APIError):
    """The secret is not accepted for this invoke URL.

    Its hint names the setting that the secret was read from, and the page of the console that shows the right one.
    """

    stops_run = True


class DomainError(APIError):
    """The invoke URL is wrong or of another model, or the domain is not deployed or blocked."""

    stops_run = True


class InvalidRequestError(APIError):
    """This request is not accepted; others may be."""


class RateLimitError(APIError):
    """The domain allows fewer calls at once, or its gateway fewer calls a second; this call did not run.

    Attributes:
        kind: "at_once" for too many calls at the same time (code 0025), "per_second" for too many in a short time.
        ceiling: The number of calls at once that the message names; None if it names none.
        retry_after: Seconds that the answer asked to wait; None if it named none.
    """

    retryable = True
    kind: Literal["at_once", "per_second"] = "at_once"
    ceiling: int | None = None
    retry_after: float | None = None


class QuotaExceededError(APIError):
    """The domain's quota of calls is spent; this call did not run.

    Attributes:
        retry_after: Seconds until the next attempt is worthwhile; None if not known.
    """

    # Both: the same image can be read later, and no other image can be read now.
    retryable = True
    stops_run = True
    retry_after: float | None = None


class ServerError(APIError):
    """The service failed; whether it charged for the call is not known.

    Attributes:
        retry_after: Seconds that the answer asked to wait; None if it named none.
    """

    billing = Billing.MAYBE_BILLED
    retry_after: float | None = None


class MalformedResponseError(ClovaOCRError):
    """The answer cannot be read, or belongs to another call. Its bytes are kept, because they are probably paid.

    An answer of another call leaves open whether this call was billed, so its billing is MAYBE_BILLED.

    Attributes:
        raw: The body as far as it was received.
        status: The HTTP status.
    """

    billing = Billing.BILLED

    def __init__(self, message: str, *, raw: bytes = b"", status: int = 200, billing: Billing | None = None) -> None:
        # The bytes are not in ``args``, which a crash reporter prints.
        super().__init__(message, billing=billing)
        self.raw = raw
        self.status = status


class RecognitionError(ClovaOCRError):
    """The service processed the image and read nothing: inferResult FAILURE (no such document) or ERROR.

    Attributes:
        infer_result: "FAILURE" or "ERROR".
        recognition: The answer, with the service's message, the raw bytes and an absent document.
    """

    billing = Billing.BILLED

    def __init__(self, message: str, *, recognition: Recognition[Any] | None = None) -> None:
        super().__init__(message)
        self.recognition = recognition

    @property
    def infer_result(self) -> str | None:
        """The service's own result: "FAILURE" or "ERROR"."""
        return None if self.recognition is None else self.recognition.infer_result
