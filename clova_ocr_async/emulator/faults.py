"""The faults that the emulator can produce, by name, and the error answers among them."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["ERROR_FAULTS", "ErrorAnswer", "Fault"]


class Fault(enum.StrEnum):
    """A fault of one call; the command line names it by its value.

    The names from ``INVALID_URL`` to ``GATEWAY_UNEXPECTED`` are error answers, those from ``BAD_GATEWAY_PAGE`` to
    ``REDIRECT`` answers that neither service nor gateway writes, those from ``FAILURE`` to ``GENERAL_ANSWER``
    unexpected answers with the status 200, and the rest are faults of the network.

    The vendor does not document whether a failed call is charged, so some errors have two names. With the name that
    ends in ``BILLED`` the call runs and counts as billed; with the other name it does not run.
    """

    INVALID_URL = "invalid-url"
    BAD_SECRET = "bad-secret"  # noqa: S105 - a fault's name
    INVALID_BODY = "invalid-body"
    BAD_VERSION = "bad-version"
    WRONG_DOMAIN = "wrong-domain"
    QUOTA = "quota"
    RATE_LIMITED = "rate-limited"
    UNKNOWN_ERROR = "unknown-error"
    UNKNOWN_ERROR_BILLED = "unknown-error-billed"
    ENGINE_ERROR = "engine-error"
    ENGINE_ERROR_BILLED = "engine-error-billed"
    REFUSED = "refused"
    NOT_DEPLOYED = "not-deployed"
    BLOCKED = "blocked"
    ERROR_UNDER_200 = "error-under-200"
    GATEWAY_BAD_REQUEST = "gateway-bad-request"
    GATEWAY_AUTHENTICATION = "gateway-authentication"
    GATEWAY_PERMISSION = "gateway-permission"
    GATEWAY_NOT_FOUND = "gateway-not-found"
    GATEWAY_QUOTA = "gateway-quota"
    GATEWAY_THROTTLED = "gateway-throttled"
    GATEWAY_RATE_LIMITED = "gateway-rate-limited"
    GATEWAY_TOO_LARGE = "gateway-too-large"
    GATEWAY_ENDPOINT = "gateway-endpoint"
    GATEWAY_TIMEOUT = "gateway-timeout"
    GATEWAY_UNEXPECTED = "gateway-unexpected"

    BAD_GATEWAY_PAGE = "bad-gateway-page"
    BAD_GATEWAY_BILLED = "bad-gateway-billed"
    UNAVAILABLE_PAGE = "unavailable-page"
    UNAVAILABLE_BILLED = "unavailable-billed"
    UNKNOWN_STATUS = "unknown-status"
    REDIRECT = "redirect"

    FAILURE = "failure"
    ERROR = "error"
    EMPTY_ANSWER = "empty-answer"
    HTML_ANSWER = "html-answer"
    HALF_JSON = "half-json"
    NOT_UTF8 = "not-utf8"
    DEEP_JSON = "deep-json"
    WRONG_TYPE = "wrong-type"
    UNKNOWN_FIELD = "unknown-field"
    OTHER_REQUEST_ID = "other-request-id"
    OTHER_DOCUMENT = "other-document"
    GENERAL_ANSWER = "general-answer"

    RESET_BEFORE_BODY = "reset-before-body"
    RESET_DURING_BODY = "reset-during-body"
    RESET_AFTER_BODY = "reset-after-body"
    CLOSE_AFTER_BODY = "close-after-body"
    SILENCE = "silence"
    GARBAGE = "garbage"
    CUT_ANSWER = "cut-answer"
    TRICKLE = "trickle"
    GZIP_BOMB = "gzip-bomb"
    LATE_DUPLICATE = "late-duplicate"


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error answer of the service or its gateway.

    Attributes:
        status: The HTTP status.
        code: The vendor's code.
        message: The vendor's message.
        gateway: Whether it is the gateway's, with the gateway's envelope.
        billed: Whether the call runs and the emulator counts it as billed; the service's own rule is not documented.
    """

    status: int
    code: str
    message: str
    gateway: bool = False
    billed: bool = False


def _gateway(status: int, code: str, message: str, *, billed: bool = False) -> ErrorAnswer:
    return ErrorAnswer(status, code, message, gateway=True, billed=billed)


# The messages are the vendor's, faults of grammar included: a program under test may search them for words.
ERROR_FAULTS: dict[Fault, ErrorAnswer] = {
    Fault.INVALID_URL: ErrorAnswer(400, "0001", "URL is invalid."),
    Fault.BAD_SECRET: ErrorAnswer(401, "0002", "Secret key validate failed."),
    Fault.INVALID_BODY: ErrorAnswer(400, "0011", "Request body invalid."),
    Fault.BAD_VERSION: ErrorAnswer(400, "0021", "Protocol version not support."),
    Fault.WRONG_DOMAIN: ErrorAnswer(400, "0022", "Request domain invalid."),
    Fault.QUOTA: ErrorAnswer(400, "0023", "The number of API requests has reached the upper limit."),
    # The number is part of the message in the vendor's guide (2026-09), and clients learn their limit from it.
    Fault.RATE_LIMITED: ErrorAnswer(
        400, "0025", "Calls to this API are limited to {ceiling} API calls per domain at the same time."
    ),
    Fault.UNKNOWN_ERROR: ErrorAnswer(500, "0500", "Unknown service error."),
    Fault.UNKNOWN_ERROR_BILLED: ErrorAnswer(500, "0500", "Unknown service error.", billed=True),
    Fault.ENGINE_ERROR: ErrorAnswer(500, "0501", "OCR service error."),
    Fault.ENGINE_ERROR_BILLED: ErrorAnswer(500, "0501", "OCR service error.", billed=True),
    Fault.REFUSED: ErrorAnswer(400, "1002", "Auth failed."),
    Fault.NOT_DEPLOYED: ErrorAnswer(500, "1021", "Not found deployed model."),
    Fault.BLOCKED: ErrorAnswer(400, "1022", "Service is blocked."),
    # The code decides, not the status: the body was refused, so no call ran.
    Fault.ERROR_UNDER_200: ErrorAnswer(200, "0011", "Request body invalid."),
    Fault.GATEWAY_BAD_REQUEST: _gateway(400, "100", "Bad Request Exception"),
    Fault.GATEWAY_AUTHENTICATION: _gateway(401, "200", "Authentication Failed"),
    Fault.GATEWAY_PERMISSION: _gateway(401, "210", "Permission Denied"),
    Fault.GATEWAY_NOT_FOUND: _gateway(404, "300", "Not Found Exception"),
    Fault.GATEWAY_QUOTA: _gateway(429, "400", "Quota Exceeded"),
    Fault.GATEWAY_THROTTLED: _gateway(429, "410", "Throttle Limited"),
    Fault.GATEWAY_RATE_LIMITED: _gateway(429, "420", "Rate Limited"),
    Fault.GATEWAY_TOO_LARGE: _gateway(413, "430", "Request Entity Too Large"),
    Fault.GATEWAY_ENDPOINT: _gateway(503, "500", "Endpoint Error"),
    # Billed, as the worst case: the gateway has given up, and the service may work on.
    Fault.GATEWAY_TIMEOUT: _gateway(504, "510", "Endpoint Timeout", billed=True),
    Fault.GATEWAY_UNEXPECTED: _gateway(500, "900", "Unexpected Error"),
}
"""The faults that are error answers."""
