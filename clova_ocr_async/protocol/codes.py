"""Error answers: the rule table (which error a code is, whether it may be billed, whether a retry helps), and its use.

    code           the service's own, in ``{"code": …}``: "0025"; it decides before the other two
    gateway code   in ``{"error": {"errorCode": …}}``: "420"; of the gateway, which stands in front of the service
    rule           everything that is known of a code, or of a status without one
    billing        whether a call that got this answer may be charged
    retryable      whether the same request may succeed later
    stops_run      whether every other image would get the same answer; an attribute of the rule's error class
    kind           of a refusal for the rate: too many calls "at_once", or too many "per_second"

The HTTP status decides little here. The rate limit (0025) and the spent quota (0023) have the status 400, a domain that
was never deployed (1021) has 500, and a failed recognition has 200. So the code decides, in this order:

1. The service's code. The service wrote a body with such a code, whatever the status.
2. The gateway's code. A request that the gateway refused never reached the service. The gateway's codes 400 and 500
   are not HTTP statuses.
3. The status, when the body has neither: a proxy's page, an empty body.

Billing. A call has no idempotency key, and its price is charged when the service ran. A rule is ``NOT_BILLED`` only
where the answer itself shows that nothing ran. The vendor does not document whether a failed run is charged, so those
rules are ``MAYBE_BILLED``. The failures that usually pass (0500, 0501, 502, 503) are retryable all the same, twice at
the most.

Source: api.ncloud-docs.com, CLOVA OCR overview, "Error codes" (2026-09-17); API specification v1.0.6 (2023-11-23);
the gateway's codes from "API call error handling" at api-gov.ncloud-docs.com (2026-10-22).
Assumed: 1002 and 1022 (reported by users, not documented); the billing of every 5xx.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from clova_ocr_async.documents.base import absent
from clova_ocr_async.documents.envelope import Answer
from clova_ocr_async.errors import (
    APIError,
    AuthenticationError,
    Billing,
    DomainError,
    InvalidRequestError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "GATEWAY_RULES",
    "SERVICE_RULES",
    "STATUS_RULES",
    "Rule",
    "error_of",
    "normalize_code",
    "retry_after",
    "rule_for",
]

_MAX_MESSAGE = 300  # characters of a vendor's message that an error repeats
_MAX_WAIT = 86_400.0  # seconds; a Retry-After beyond a day means no more than "not today"
_LIMITED_TO = re.compile(r"limited to ([0-9]{1,3})\b")
_NUMBER = re.compile(r"(?<![0-9A-Za-z])[0-9]{1,4}(?![0-9A-Za-z])")  # not the 1 of "v1"


@dataclass(frozen=True, slots=True)
class Rule:
    """Everything that is known of a code.

    Attributes:
        error: The class of the error.
        meaning: What happened; the error's message where the answer has none.
        retryable: Whether the same request may succeed later.
        billing: Whether the call may have been billed.
        hint: The way out; None if there is none, or if it depends on where the secret was read.
        kind: Of a ``RateLimitError`` alone: what the domain had too much of.
    """

    error: type[APIError]
    meaning: str
    retryable: bool = False
    billing: Billing = Billing.NOT_BILLED
    hint: str | None = None
    kind: Literal["at_once", "per_second"] | None = None


_PAGE = "on the domain's API Gateway integration page in the CLOVA OCR console"
_URL = f"compare the invoke URL with the one {_PAGE}"
_DOCUMENT = "ask for the document that the domain was made for, or give the invoke URL of a domain made for this one"
_QUOTA = "raise it in the console, or wait until it is renewed"
_DEPLOY = "deploy the domain's model in the CLOVA OCR console"
_BLOCKED = "check the domain's state in the CLOVA OCR console, or ask NAVER Cloud's support"
_IMAGE = "check that the image opens, has one page, and is a JPEG, PNG, PDF or TIFF"
_FAILED = Billing.MAYBE_BILLED  # not documented, so the caller must expect either

SERVICE_RULES: dict[str, Rule] = {
    "0001": Rule(DomainError, "the URL is invalid", hint=_URL),
    "0002": Rule(AuthenticationError, "the secret is not accepted"),
    "0011": Rule(InvalidRequestError, "the request body is invalid", hint=_IMAGE),
    "0021": Rule(
        DomainError, "the protocol version is not supported", hint="check that the invoke URL is of a Document domain"
    ),
    "0022": Rule(DomainError, "the path does not belong to this domain's model", hint=_DOCUMENT),
    "0023": Rule(QuotaExceededError, "the number of calls has reached its upper limit", retryable=True, hint=_QUOTA),
    "0025": Rule(RateLimitError, "more calls at once than the domain allows", retryable=True, kind="at_once"),
    "0500": Rule(ServerError, "unknown error of the service", retryable=True, billing=_FAILED),
    "0501": Rule(ServerError, "error of the OCR engine", retryable=True, billing=_FAILED),
    "1002": Rule(
        DomainError, "the domain refuses the call", hint=f"compare the invoke URL and the secret with those {_PAGE}"
    ),
    "1021": Rule(DomainError, "nothing is deployed at this domain", hint=_DEPLOY),
    "1022": Rule(DomainError, "the service is blocked", hint=_BLOCKED),
}
"""The rules by the service's code."""

GATEWAY_RULES: dict[str, Rule] = {
    "100": Rule(InvalidRequestError, "bad request"),
    "200": Rule(AuthenticationError, "authentication failed"),
    "210": Rule(AuthenticationError, "permission denied"),
    "300": Rule(DomainError, "not found", hint=_URL),
    "400": Rule(QuotaExceededError, "quota exceeded", retryable=True, hint=_QUOTA),
    "410": Rule(RateLimitError, "throttled", retryable=True, kind="per_second"),
    "420": Rule(RateLimitError, "rate limited", retryable=True, kind="per_second"),
    "430": Rule(InvalidRequestError, "the request is too large", hint="send a smaller image"),
    "500": Rule(ServerError, "the endpoint failed", retryable=True, billing=_FAILED),
    # Not retried, like the status 504: the service may still work on the image, and charge for it.
    "510": Rule(ServerError, "the endpoint did not answer in time", billing=_FAILED),
    "900": Rule(ServerError, "unexpected error of the gateway", billing=_FAILED),
}
"""The rules by the gateway's errorCode."""

STATUS_RULES: dict[int, Rule] = {
    HTTPStatus.UNAUTHORIZED: Rule(AuthenticationError, "the secret is not accepted"),
    # Assumed: a gateway or firewall that refuses one call refuses all of them.
    HTTPStatus.FORBIDDEN: Rule(AuthenticationError, "permission denied"),
    HTTPStatus.NOT_FOUND: Rule(DomainError, "not found", hint=_URL),
    HTTPStatus.METHOD_NOT_ALLOWED: Rule(DomainError, "this URL takes no OCR calls", hint=_URL),
    HTTPStatus.TOO_MANY_REQUESTS: Rule(RateLimitError, "too many requests", retryable=True, kind="per_second"),
    HTTPStatus.BAD_GATEWAY: Rule(ServerError, "bad gateway", retryable=True, billing=_FAILED),
    HTTPStatus.SERVICE_UNAVAILABLE: Rule(ServerError, "service unavailable", retryable=True, billing=_FAILED),
}
"""The rules by the HTTP status, for a body without a code."""

_STATUS_CLASSES = {
    3: Rule(DomainError, "a redirect, which is never followed", hint=_URL),
    4: Rule(InvalidRequestError, "the request is not accepted"),
    5: Rule(ServerError, "the service failed", billing=_FAILED),
}
# For example 200 with an error body of an unknown code. Nothing shows that the service did not run.
_UNKNOWN = Rule(APIError, "an error with an unknown code", billing=_FAILED)


def normalize_code(code: str | int | None) -> str | None:
    """Return a service's code in the four characters that the vendor documents, from 25, "25" or "0025"."""
    text = "" if code is None else str(code).strip()
    return (text.zfill(4) if text.isdigit() else text) or None


def rule_for(status: int, service_code: str | None = None, gateway_code: str | None = None) -> Rule:
    """Return the rule of an error answer.

    Args:
        status: The HTTP status.
        service_code: The service's code as ``normalize_code`` returns it.
        gateway_code: The gateway's errorCode.
    """
    if service_code in SERVICE_RULES:
        return SERVICE_RULES[service_code]
    if gateway_code in GATEWAY_RULES:
        return GATEWAY_RULES[gateway_code]
    if status in STATUS_RULES:
        return STATUS_RULES[status]
    return _STATUS_CLASSES.get(status // 100, _UNKNOWN)


def error_of(status: int, headers: Mapping[str, str], answer: Answer | None, redact: Callable[[str], str]) -> APIError:
    """Return the error that an answer is.

    Args:
        status: The HTTP status.
        headers: The answer's headers, names in lower case.
        answer: The body, decoded; None if it cannot be decoded.
        redact: Masks secrets in the texts of the answer.
    """
    answer = absent(Answer) if answer is None else answer
    service_code = normalize_code(answer.code)
    gateway_code = str("" if answer.error.error_code is None else answer.error.error_code).strip() or None
    rule = rule_for(status, service_code, gateway_code)
    error = rule.error(
        status,
        _sanitized(service_code or gateway_code, redact),
        _sanitized(answer.message or answer.error.message or rule.meaning, redact),
        _sanitized(answer.path, redact),
        _sanitized(answer.trace_id, redact),
        answer.timestamp,
        billing=rule.billing,
        retryable=rule.retryable,
    )
    error.hint = rule.hint
    if isinstance(error, RateLimitError | QuotaExceededError | ServerError):
        error.retry_after = retry_after(headers)
    if rule.kind is not None and isinstance(error, RateLimitError):
        error.kind = rule.kind
        # A number in the gateway's message counts calls a second, not calls at once.
        error.ceiling = _named_ceiling(error.message or "", service_code) if rule.kind == "at_once" else None
    return error


def _named_ceiling(message: str, code: str | None) -> int | None:
    """Return the number of calls at once that a refusal names, in any language; None if it names none.

    Source: guide.ncloud-docs.com, CLOVA OCR error messages, 2026-09: "… limited to <N> API calls per domain at the same
    time". Assumed: in other languages the only number in the message is that one.
    """
    limited = _LIMITED_TO.search(message)
    numbers = {limited[1]} if limited else set(_NUMBER.findall(message)) - {code}
    found = int(numbers.pop()) if len(numbers) == 1 else 0
    return found or None


def _sanitized(text: str | None, redact: Callable[[str], str]) -> str | None:
    """Return a text of an answer as an error repeats it: on one line, of bounded length, without secrets."""
    if text is None:
        return None
    # Masked before it is cut: the rest of a key would not be recognized.
    return "".join(character if character.isprintable() else " " for character in redact(text)[:_MAX_MESSAGE])


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of an answer's Retry-After, at most a day; None if it has none that can be read.

    A date is compared with the Date of the same answer: a local clock may differ from the server's.

    Args:
        headers: The answer's headers, names in lower case.
    """
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)  # more than RFC 9110 allows; "nan" and "inf" are dropped below
    except ValueError:
        try:
            until, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
            seconds = (until - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), _MAX_WAIT) if math.isfinite(seconds) else None
