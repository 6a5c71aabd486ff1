"""Whether to send again, and when: decided here from the error alone, carried out by tenacity.

What an error means is its own: ``retryable`` says that asking again can help, ``billing`` whether that may pay twice.
The policy is the user's choice over these two facts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from clova_ocr_async.errors import (
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["RetryPolicy", "Tries", "retrying"]

_DOUBTFUL_RETRIES = 2  # each may be paid, however many attempts the user allows
_LONGEST_OBEYED_WAIT = 120.0  # seconds of a Retry-After; whoever asks for more means "later", and gets our own pace


@dataclass(slots=True)
class Tries:
    """What a call has tried so far.

    Attributes:
        counted: Requests that were neither refused for the rate (0025) nor for the quota (0023).
        doubtful: Those of them that failed at the server in a way that usually passes.
        rejected: Requests refused for the rate.
        probes: Requests refused for the quota while this call probed it.
        maybe_billed: Requests that may have been billed, and nobody knows.
        billing: The worst over all requests.
    """

    counted: int = 0
    doubtful: int = 0
    rejected: int = 0
    probes: int = 0
    maybe_billed: int = 0
    billing: Billing = Billing.NOT_BILLED

    def note(self, error: ClovaOCRError) -> None:
        """Count a failed request."""
        self.billing = max(self.billing, error.billing)
        self.maybe_billed += error.billing is Billing.MAYBE_BILLED
        if isinstance(error, RateLimitError):
            self.rejected += 1
        elif isinstance(error, QuotaExceededError):
            self.probes += 1
        else:
            self.counted += 1
            self.doubtful += isinstance(error, ServerError) and error.retryable


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed request is sent again.

    Attributes:
        max_attempts: Requests of one call, those refused for rate or quota not counted.
        ambiguous: What to do when a request may have been paid and its answer is lost: "park" raises (in a batch: one
            Failure), "retry" sends it again and may pay twice.
        server_errors: What to do with 0500, 0501, 502 and 503, of which nobody says whether they are charged: "retry"
            sends again, at most twice, "park" raises.
        quota_probes: How often a call asks again when the quota is spent, before it gives up.
        connection_base: Seconds; scale of the wait after a failed connection.
        server_base: Seconds; scale of the wait after a server's error.
        rejection_base: Seconds; scale of the wait after a refusal for rate or quota.
        rejection_cap: Seconds; the longest wait after a refusal for rate or quota.
        cap: Seconds; the longest wait after any other error.

    The wait is drawn evenly between 0 and ``min(cap, base * 2 ** (failures - 1))``.
    """

    max_attempts: int = 3
    ambiguous: Literal["park", "retry"] = "park"
    server_errors: Literal["retry", "park"] = "retry"
    quota_probes: int = 5
    connection_base: float = 0.05
    server_base: float = 1.0
    rejection_base: float = 0.5
    rejection_cap: float = 10.0
    cap: float = 20.0

    def __post_init__(self) -> None:
        _check_choice("ambiguous", self.ambiguous, ("park", "retry"))
        _check_choice("server_errors", self.server_errors, ("retry", "park"))
        _check_count("max_attempts", self.max_attempts, least=1)
        _check_count("quota_probes", self.quota_probes, least=0)
        for name in ("connection_base", "server_base", "rejection_base", "rejection_cap", "cap"):
            _check_seconds(name, getattr(self, name))

    def wants(self, error: BaseException) -> bool:
        """Whether an error is of a kind to send again after."""
        if not isinstance(error, ClovaOCRError):
            return False
        if error.billing is Billing.MAYBE_BILLED:
            return (self.server_errors if error.retryable else self.ambiguous) == "retry"
        return error.retryable

    def spent(self, error: BaseException, tries: Tries) -> bool:
        """Whether a call has used up what this kind of error allows."""
        if isinstance(error, RateLimitError):
            return False
        if isinstance(error, QuotaExceededError):
            return tries.probes > self.quota_probes
        if isinstance(error, ServerError) and error.retryable and tries.doubtful > _DOUBTFUL_RETRIES:
            return True
        return tries.counted >= self.max_attempts

    def delay(self, error: BaseException, tries: Tries, uniform: Callable[[float, float], float]) -> float:
        """Return seconds to wait before the next request.

        Args:
            error: The last failure.
            tries: What was tried, that failure included.
            uniform: Draws a float between two bounds.
        """
        if isinstance(error, RateLimitError):
            asked, ceiling = error.retry_after, self._grown(self.rejection_base, tries.rejected, self.rejection_cap)
        elif isinstance(error, QuotaExceededError):
            asked, ceiling = error.retry_after, self._grown(self.rejection_base, tries.probes, self.rejection_cap)
        else:
            base = self.connection_base if isinstance(error, ConnectionFailedError) else self.server_base
            asked, ceiling = None, self._grown(base, tries.counted, self.cap)
        drawn = uniform(0.0, ceiling)
        return drawn if asked is None or asked > _LONGEST_OBEYED_WAIT else max(drawn, asked)

    @staticmethod
    def _grown(base: float, failures: int, cap: float) -> float:
        return min(cap, base * 2.0 ** min(failures - 1, 60))


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"RetryPolicy.{name} is {value!r}; it must be one of {', '.join(choices)}")


def _check_count(name: str, value: object, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"RetryPolicy.{name} is {value!r}; it must be a whole number from {least}")


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"RetryPolicy.{name} is {value!r}; it must be seconds, 0 or more")


def retrying(
    policy: RetryPolicy,
    tries: Tries,
    *,
    wants: Callable[[BaseException], bool],
    sleep: Callable[[float], Awaitable[Any]],
    uniform: Callable[[float, float], float],
    before_sleep: Callable[[ClovaOCRError, float], None],
) -> AsyncRetrying:
    """Return the tenacity loop that carries a policy out.

    Args:
        policy: Decides.
        tries: Counted by whoever sends.
        wants: The policy's own ``wants``, or a stricter one.
        sleep: Waits some seconds.
        uniform: Draws a float between two bounds.
        before_sleep: Told the error and the seconds.
    """

    def error_of(state: RetryCallState) -> ClovaOCRError:
        # tenacity asks for stop and wait only after a failure that `wants` said yes to
        error = state.outcome.exception() if state.outcome else None
        assert isinstance(error, ClovaOCRError)  # noqa: S101 - for the type checkers
        return error

    def announce(state: RetryCallState) -> None:
        before_sleep(error_of(state), state.upcoming_sleep)

    return AsyncRetrying(
        retry=retry_if_exception(wants),
        stop=lambda state: policy.spent(error_of(state), tries),
        wait=lambda state: policy.delay(error_of(state), tries, uniform),
        before_sleep=announce,
        sleep=sleep,
        reraise=True,
    )
