"""Whether to send again, and when: decided here from the error alone, carried out by ``retrying`` and ``turns``.

What an error means is its own: ``retryable`` says that asking again can help, ``billing`` whether that may pay twice.
The policy is the user's choice over these two facts.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from clova_ocr_async.errors import (
    AuthenticationError,
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    DomainError,
    MalformedResponseError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from clova_ocr_async.protocol.echoed_input import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.client.hooks import Cause

__all__ = ["CallHistory", "RetryPolicy"]

_DOUBTFUL_RETRIES = 2  # each may be paid, however many attempts the user allows
_DURATIONS = (
    "connection_base",
    "server_base",
    "quota_base",
    "quota_cap",
    "cap",
    "outage_cap",
    "outage_patience",
)
_USELESS_BASE, _USELESS_CAP = 60.0, 600.0  # seconds: somebody has to mend the domain in the console
_LONGEST_OBEYED_WAIT = 120.0  # seconds of a Retry-After; a quota that asks for more means "later": our own pace


class CallHistory(msgspec.Struct):
    """What a call has tried so far.

    Attributes:
        counted: Requests, but those refused for the rate (0025), for the quota (0023), or by a domain of no use.
        doubtful: Those of them that failed at the server in a way that usually passes.
        maybe_billed: Requests that may have been billed, and nobody knows.
        billing: The worst over all requests.
        paid: What the last retry cost of the budget; 0 if none has cost anything.
    """

    counted: int = 0
    doubtful: int = 0
    maybe_billed: int = 0
    billing: Billing = Billing.NOT_BILLED
    paid: int = 0

    def note(self, error: ClovaOCRError) -> None:
        """Count a failed request."""
        self.billing = max(self.billing, error.billing)
        self.maybe_billed += error.billing is Billing.MAYBE_BILLED
        if not isinstance(error, RateLimitError | QuotaExceededError | AuthenticationError | DomainError):
            self.counted += 1
            self.doubtful += isinstance(error, ServerError) and error.retryable

    def forgive(self) -> None:
        """Count only what may have been billed: while a domain is out, the rest uses up no attempt."""
        self.counted = self.maybe_billed


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed request is sent again.

    Attributes:
        max_attempts: Requests of one call, those refused for rate or quota not counted.
        ambiguous: What to do when a request may have been paid and its answer is lost: "park" raises (in a batch: one
            Failure), "retry" sends it again and may pay twice.
        server_errors: What to do with 0500, 0501, 502 and 503, of which nobody says whether they are charged: "retry"
            sends again, at most twice, "park" raises.
        quota_probes: How often a domain whose quota is spent is asked again, before its calls give up.
        budget: What all the calls of a client together may spend on retries. One after a ServerError costs 14, one
            after any other error 5, after a refusal for rate or quota nothing; a success gives back what its call's
            last retry cost, or 1. When it is spent, single calls raise at once, and a batch waits for the outage to
            end. 0 means: never retry such errors.
        outage_cap: Seconds; the longest wait before a domain that is out is asked again. Its scale is ``server_base``.
        outage_patience: Seconds a batch waits for a domain that is out; 0 stops it at once. A domain is out for a
            batch when a call has no retry left after an error that sending again could mend and that was certainly not
            billed, or no budget left: then one call asks again and the others wait.
        connect_patience: Seconds a batch waits for a domain that no connection could be made to since the client was
            made, so that a mistyped host or a missing proxy ends it quickly; None for as long as ``outage_patience``.
        connection_base: Seconds; scale of the wait after a failed connection.
        server_base: Seconds; scale of the wait after a server's error.
        quota_base: Seconds; scale of the wait after a refusal for the quota.
        quota_cap: Seconds; the longest wait after a refusal for the quota.
        cap: Seconds; the longest wait after any other error.

    The wait is drawn evenly between 0 and ``min(cap, base * 2 ** (failures - 1))``. A server or a proxy that fails and
    asks for a longer one (Retry-After) gets it, up to 120 s. After a refusal for the rate a call waits at the gate, as
    long as that says.
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
        _check_count("max_attempts", self.max_attempts, least=1)
        _check_count("quota_probes", self.quota_probes, least=0)
        _check_count("budget", self.budget, least=0)
        for name in _DURATIONS:
            _check_seconds(name, getattr(self, name))
        if self.connect_patience is not None:
            _check_seconds("connect_patience", self.connect_patience)

    def wants(self, error: BaseException) -> bool:
        """Whether an error is of a kind to send again after."""
        if not isinstance(error, ClovaOCRError):
            return False
        if isinstance(error, MalformedResponseError):
            return False  # something was answered, and may be all there will ever be
        if error.billing is Billing.MAYBE_BILLED:
            return (self.server_errors if error.retryable else self.ambiguous) == "retry"
        return error.retryable

    def spent(self, error: ClovaOCRError, tries: CallHistory) -> bool:
        """Whether a call has used up the attempts that this kind of error allows; refusals use up none."""
        if isinstance(error, RateLimitError):
            return False
        if isinstance(error, ServerError) and error.retryable and tries.doubtful > _DOUBTFUL_RETRIES:
            return True
        return tries.counted >= self.max_attempts

    def delay(self, error: BaseException, tries: CallHistory, uniform: Callable[[float, float], float]) -> float:
        """Return seconds to wait before the next request.

        Args:
            error: The last failure.
            tries: What was tried, that failure included.
            uniform: Draws a float between two bounds.
        """
        if isinstance(error, RateLimitError):
            return 0.0  # it queues at the gate again, at its old place, and the gate knows when
        base = self.connection_base if isinstance(error, ConnectionFailedError) else self.server_base
        return _obeyed_so_far(error, uniform(0.0, self._grown(base, tries.counted, self.cap)))

    def probe_delay(
        self, cause: Cause, failures: int, error: ClovaOCRError, uniform: Callable[[float, float], float]
    ) -> float:
        """Return seconds to wait before a domain on hold is asked again.

        Args:
            cause: Why it is on hold.
            failures: How often it was asked in vain, the request that put it on hold included.
            error: The last failure of that cause.
            uniform: Draws a float between two bounds.
        """
        if cause == "outage":
            return _obeyed_so_far(error, uniform(0.0, self._grown(self.server_base, failures, self.outage_cap)))
        if cause != "quota":
            return self._grown(_USELESS_BASE, failures, _USELESS_CAP)
        asked = error.retry_after if isinstance(error, QuotaExceededError) else None
        return _obeyed(asked, uniform(0.0, self._grown(self.quota_base, failures, self.quota_cap)))

    def gives_up(self, cause: Cause, failures: int, lasted: float, *, reached: bool = True) -> bool:
        """Whether a domain on hold has been asked often enough, or for long enough.

        Args:
            cause: Why it is on hold.
            failures: How often it was asked in vain, the request that put it on hold included.
            lasted: Seconds since it was put on hold.
            reached: Whether a connection to it could ever be made.
        """
        if cause == "outage":
            patience = self.outage_patience if reached or self.connect_patience is None else self.connect_patience
            return lasted >= patience
        return cause != "quota" or failures > self.quota_probes

    @staticmethod
    def _grown(base: float, failures: int, cap: float) -> float:
        return min(cap, base * 2.0 ** min(failures - 1, 60))


def _obeyed(asked: float | None, drawn: float) -> float:
    """Return our own wait, or the server's if that is longer and not too long."""
    return drawn if asked is None or asked > _LONGEST_OBEYED_WAIT else max(drawn, asked)


def _obeyed_so_far(error: BaseException, drawn: float) -> float:
    """Return our own wait, or the one a failing server or proxy asks for if that is longer; not more than allowed."""
    asked = error.retry_after if isinstance(error, ServerError | ConnectionFailedError) else None
    return drawn if asked is None else max(drawn, min(asked, _LONGEST_OBEYED_WAIT))


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"RetryPolicy.{name} is {shown(value)}; it must be one of {', '.join(choices)}")


def _check_count(name: str, value: object, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"RetryPolicy.{name} is {shown(value)}; it must be a whole number from {least}")


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        raise ConfigurationError(f"RetryPolicy.{name} is {shown(value)}; it must be seconds, 0 or more")
