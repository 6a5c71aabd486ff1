"""The retry loop: tenacity carries out the decisions of the router."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from tenacity import AsyncRetrying, RetryCallState, retry_if_result

from clova_ocr_async.client.hooks import RetryScheduled, notify
from clova_ocr_async.client.retry.routing import Action, Decision
from clova_ocr_async.errors import AuthenticationError, Billing, DomainError, RateLimitError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from clova_ocr_async.client.hooks import Hook
    from clova_ocr_async.client.retry.budget import RetryBudget
    from clova_ocr_async.client.retry.call import Call
    from clova_ocr_async.documents.recognition import DocumentT, Recognition
    from clova_ocr_async.host.runtime import Runtime

    Attempt: TypeAlias = Callable[[Call[Any]], Awaitable[Recognition[Any] | Decision]]

__all__ = ["RetryLoop"]

logger = logging.getLogger("clova_ocr_async")


class RetryLoop:
    """The loop of attempts of one client's calls.

    Args:
        attempt: Sends one request of a call. Returns the recognition, or the decision to try again; raises any other
            failure.
        budget: Refilled by successes.
        runtime: Time and randomness.
        hooks: Notified of every retry.
    """

    def __init__(self, attempt: Attempt, budget: RetryBudget, runtime: Runtime, hooks: Sequence[Hook]) -> None:
        self._attempt = attempt
        self._budget = budget
        self._runtime = runtime
        self._hooks = hooks

    async def run(self, call: Call[DocumentT]) -> Recognition[DocumentT]:
        """Return the recognition of a call."""
        outcome = await self._attempt(call)
        if isinstance(outcome, Decision):
            # tenacity is entered only after a failure: on every call it would cost a fifth of a bare call's CPU.
            self._announce(call, outcome)
            await self._pause(_pause_of(outcome))
            outcome = await self._run_again(call)
        # Only the price of the last retry is refunded: the earlier ones did not help.
        self._budget.refund(call.history.retry_price or 1)
        return outcome

    async def _run_again(self, call: Call[DocumentT]) -> Recognition[DocumentT]:
        loop = AsyncRetrying(
            retry=retry_if_result(lambda outcome: isinstance(outcome, Decision)),
            wait=lambda state: _pause_of(_decision_of(state)),
            before_sleep=lambda state: self._announce(call, _decision_of(state)),
            sleep=self._pause,
        )
        return cast("Recognition[DocumentT]", await loop(self._attempt, call))

    async def _pause(self, seconds: float) -> None:
        if seconds:
            await self._runtime.sleep(seconds)

    def _announce(self, call: Call[Any], decision: Decision) -> None:
        """Log that a call is sent again, and notify the hooks."""
        if (error := decision.error) is None:
            return  # nothing was sent and nothing failed
        # A request that may be billed twice is never sent silently.
        level = logging.WARNING if error.billing is Billing.MAYBE_BILLED else logging.INFO
        when = f"in {decision.delay:.2f} s"
        if isinstance(error, RateLimitError):
            when = "with the next free slot"
        elif isinstance(error, AuthenticationError | DomainError):
            when = "to another domain"
        logger.log(level, "call %s, request %d, is sent again %s: %r", call.request_id, call.sent + 1, when, error)
        if self._hooks:
            notify(self._hooks, RetryScheduled(call.request_id, call.sent, decision.delay, error, context=call.context))


def _pause_of(decision: Decision) -> float:
    """Return the seconds to sleep before the next attempt; a call that changes its domain waits there."""
    return decision.delay if decision.action is Action.RETRY else 0.0


def _decision_of(state: RetryCallState) -> Decision:
    """Return the outcome of the last attempt; tenacity asks only after a decision to try again."""
    assert state.outcome is not None  # noqa: S101 - for the type checkers
    return cast("Decision", state.outcome.result())
