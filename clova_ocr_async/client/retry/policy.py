"""The retry policy: decides from an error alone whether a request is sent again, and when.

Every error carries two facts: ``retryable``, a new request can succeed, and ``billing``, the failed request may have
been billed. The policy is the user's choice over these two facts. ``routing`` applies it, ``loop`` carries it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from clova_ocr_async.arguments import require_seconds, require_whole_number
from clova_ocr_async.errors import (
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    MalformedResponseError,
    QuotaExceededError,
    ServerError,
)
from clova_ocr_async.protocol.echoed_input import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.client.hooks import Cause
    from clova_ocr_async.client.retry.call import CallHistory

__all__ = ["RetryPolicy"]

_SERVER_ERROR_RETRIES = 2  # each may be billed, however many attempts the user allows
_COUNTS = {"max_attempts": 1, "quota_probes": 0, "budget": 0}  # with the least number of each
_DURATIONS = (
    "connection_base",
    "server_base",
    "quota_base",
    "quota_cap",
    "cap",
    "outage_cap",
    "outage_patience",
)
_EJECTED_BASE, _EJECTED_CAP = 60.0, 600.0  # seconds: the domain must be repaired in the console first
_LONGEST_RETRY_AFTER = 120.0  # seconds; a quota that asks for more means "later", so our own backoff applies


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The conditions under which a failed request is sent again.

    Examples:
        >>> client = ClovaOCRClient(domain, retry=RetryPolicy(max_attempts=5, server_errors="park"))

    Attributes:
        max_attempts: Requests of one call; those refused for rate or quota do not count.
        ambiguous: The choice when a request may have been billed and its answer is lost: "park" raises (in a batch: one
            Failure), "retry" sends it again and may pay twice.
        server_errors: The choice after 0500, 0501, 502 and 503, of which it is unknown whether they are billed: "retry"
            sends again, at most twice, "park" raises.
        quota_probes: Probes of a domain whose quota is spent, before its calls give up.
        budget: Tokens for the retries of all calls of a client together. A retry after a ServerError costs 14, after
            any other error 5, after a refusal for rate or quota nothing. A success refunds the price of its call's last
            retry, or 1. When the budget is spent, single calls raise at once, and a batch waits for the outage to end.
            0 means: never retry such errors.
        outage_cap: Seconds; the longest wait between two probes during an outage. Their scale is ``server_base``.
        outage_patience: Seconds that a batch waits for the end of an outage; 0 stops it at once. For a batch an outage
            begins when a call fails with a retryable error that was certainly not billed, and has no attempt or no
            budget left: then one call probes the domain and the others wait.
        connect_patience: Seconds that a batch waits for a domain to which this client has never had a connection, so
            that a mistyped host or a missing proxy ends it quickly; None for as long as ``outage_patience``.
        connection_base: Seconds; scale of the wait after a failed connection.
        server_base: Seconds; scale of the wait after a server's error.
        quota_base: Seconds; scale of the wait after a refusal for the quota.
        quota_cap: Seconds; the longest wait after a refusal for the quota.
        cap: Seconds; the longest wait after any other error.

    The wait is drawn evenly between 0 and ``min(cap, base * 2 ** (failures - 1))``. If a failing server or proxy asks
    for a longer one (Retry-After), the call waits that long, up to 120 s. After a refusal for the rate a call waits for
    its next slot instead.
    """

    max_attempts: int = 3
    ambiguous: Literal["park", "retry"] = "park"
    server_errors: Literal["retry", "park"] = "retry"
    quota_probes: int = 5
    budget: int = 500
    outage_cap: float = 30.0
    outage_patience: float = 600.0
    connect_patience: float | None = None
    connection_base: float = 0.05
    server_base: float = 1.0
    quota_base: float = 0.5
    quota_cap: float = 10.0
    cap: float = 20.0

    def __post_init__(self) -> None:
        _check_choice("ambiguous", self.ambiguous, ("park", "retry"))
        _check_choice("server_errors", self.server_errors, ("retry", "park"))
        for name, least in _COUNTS.items():
            require_whole_number(f"RetryPolicy.{name}", getattr(self, name), least=least)
        for name in _DURATIONS:
            require_seconds(f"RetryPolicy.{name}", getattr(self, name), or_zero=True)
        if self.connect_patience is not None:
            require_seconds("RetryPolicy.connect_patience", self.connect_patience, or_zero=True)

    def wants(self, error: BaseException) -> bool:
        """Return whether the policy sends again after an error of this kind."""
        if not isinstance(error, ClovaOCRError):
            return False
        if isinstance(error, MalformedResponseError):
            return False  # an answer was billed, and another request may be answered in the same way
        if error.billing is Billing.MAYBE_BILLED:
            # A server's passing errors are retryable, and their billing is unknown. With the others the answer is lost.
            return (self.server_errors if error.retryable else self.ambiguous) == "retry"
        return error.retryable

    def exhausted(self, error: ClovaOCRError, history: CallHistory) -> bool:
        """Return whether a call has used up the attempts that this kind of error allows."""
        if isinstance(error, ServerError) and error.retryable and history.server_errors > _SERVER_ERROR_RETRIES:
            return True
        return history.attempts >= self.max_attempts

    def delay(self, error: BaseException, history: CallHistory, uniform: Callable[[float, float], float]) -> float:
        """Return seconds to wait before the next request.

        Args:
            error: The last failure.
            history: The failed requests of the call, that failure included.
            uniform: Draws a float between two bounds.
        """
        # Nothing was processed where no connection was made, so the next request may leave much sooner.
        base = self.connection_base if isinstance(error, ConnectionFailedError) else self.server_base
        return _at_least_retry_after(error, uniform(0.0, self._backoff(base, history.attempts, self.cap)))

    def probe_delay(
        self, cause: Cause, failures: int, error: ClovaOCRError, uniform: Callable[[float, float], float]
    ) -> float:
        """Return seconds to wait before a domain on hold is probed again.

        Args:
            cause: Why it is on hold.
            failures: Failed requests since it is on hold, the one that put it on hold included.
            error: The last failure of that cause.
            uniform: Draws a float between two bounds.
        """
        if cause == "outage":
            return _at_least_retry_after(
                error, uniform(0.0, self._backoff(self.server_base, failures, self.outage_cap))
            )
        if cause != "quota":  # minutes apart, so that probes of several processes need not be spread
            return self._backoff(_EJECTED_BASE, failures, _EJECTED_CAP)
        asked = error.retry_after if isinstance(error, QuotaExceededError) else None
        drawn = uniform(0.0, self._backoff(self.quota_base, failures, self.quota_cap))
        return drawn if asked is None or asked > _LONGEST_RETRY_AFTER else max(drawn, asked)

    def gives_up(self, cause: Cause, failures: int, lasted: float, *, reached: bool = True) -> bool:
        """Return whether a domain on hold was probed often enough, or for long enough.

        Args:
            cause: Why it is on hold.
            failures: Failed requests since it is on hold, the one that put it on hold included.
            lasted: Seconds since it was put on hold.
            reached: Whether a connection to it was ever made.
        """
        if cause == "outage":
            patience = self.outage_patience if reached or self.connect_patience is None else self.connect_patience
            return lasted >= patience
        return cause != "quota" or failures > self.quota_probes

    @staticmethod
    def _backoff(base: float, failures: int, cap: float) -> float:
        # The exponent is capped: 2.0 ** 1024 is an error, and an outage may see more failures than that.
        return min(cap, base * 2.0 ** min(failures - 1, 60))


def _at_least_retry_after(error: BaseException, drawn: float) -> float:
    """Return the drawn wait, or a longer one that a failing server or proxy asks for, cut to what is allowed."""
    asked = error.retry_after if isinstance(error, ServerError | ConnectionFailedError) else None
    return drawn if asked is None else max(drawn, min(asked, _LONGEST_RETRY_AFTER))


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"RetryPolicy.{name} is {shown(value)}; it must be one of {', '.join(choices)}")
