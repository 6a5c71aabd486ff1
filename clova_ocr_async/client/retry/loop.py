"""Sending again: tenacity runs it, by the policy of the client and out of its budget."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from clova_ocr_async.client.hooks import RetryScheduled, notify
from clova_ocr_async.client.retry.budget import RetryBudget, price_of
from clova_ocr_async.errors import AuthenticationError, Billing, ClovaOCRError, DomainError, RateLimitError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from clova_ocr_async.client.hooks import Hook
    from clova_ocr_async.client.retry.call import Call
    from clova_ocr_async.client.retry.policy import RetryPolicy
    from clova_ocr_async.documents.recognition import DocumentT, Recognition
    from clova_ocr_async.host.runtime import Runtime

__all__ = ["RetryLoop"]

logger = logging.getLogger("clova_ocr_async")


class RetryLoop:
    """The retries of one client.

    Args:
        policy: Decides.
        runtime: Time and randomness.
        hooks: Told of every retry.
    """

    def __init__(self, policy: RetryPolicy, runtime: Runtime, hooks: Sequence[Hook]) -> None:
        self._policy = policy
        self._budget = RetryBudget(policy.budget)
        self._runtime = runtime
        self._hooks = hooks

    async def run(
        self, call: Call[DocumentT], send: Callable[[Call[DocumentT]], Awaitable[Recognition[DocumentT]]]
    ) -> Recognition[DocumentT]:
        """Send a call, and again as long as its failures were granted a retry."""
        try:
            recognition = await send(call)
        except ClovaOCRError as error:
            if call.granted is not error:
                raise
            recognition = await self._run_again(call, send, error)
        # Only the last retry: what the earlier ones cost, they cost in vain.
        self._budget.give_back(call.tries.paid or 1)
        return recognition

    async def _run_again(
        self,
        call: Call[DocumentT],
        send: Callable[[Call[DocumentT]], Awaitable[Recognition[DocumentT]]],
        error: ClovaOCRError,
    ) -> Recognition[DocumentT]:
        failures = [error]

        # tenacity starts only here: entered on every call it would cost more than the rest of this client.
        async def attempt() -> Recognition[DocumentT]:
            if failures:
                raise failures.pop()
            return await send(call)

        def delay(state: RetryCallState) -> float:
            return self._policy.delay(error_of(state), call.tries, self._runtime.uniform)

        loop = AsyncRetrying(
            retry=retry_if_exception(lambda error: error is call.granted),
            wait=delay,
            before_sleep=lambda state: self.announce(call, error_of(state), state.upcoming_sleep),
            sleep=self._runtime.sleep,
            reraise=True,
        )
        return await loop(attempt)

    def grant(self, call: Call[Any], error: ClovaOCRError) -> bool:
        """Decide whether a failed call is sent again, and pay for it; said once a failure."""
        price = price_of(error)
        if not self._policy.wants(error) or self._policy.spent(error, call.tries) or not self._budget.spend(price):
            return False
        call.granted = error
        call.tries.paid = price or call.tries.paid
        return True

    def announce(self, call: Call[Any], error: ClovaOCRError, delay: float) -> None:
        """Say that a call is sent again."""
        # A request that may be paid twice is never sent in silence.
        level = logging.WARNING if error.billing is Billing.MAYBE_BILLED else logging.INFO
        when = f"in {delay:.2f} s"
        if isinstance(error, RateLimitError):
            when = "with the next free slot"
        elif isinstance(error, AuthenticationError | DomainError):
            when = "to another domain"
        logger.log(level, "call %s, request %d, is sent again %s: %r", call.request_id, call.sent + 1, when, error)
        notify(self._hooks, RetryScheduled(call.request_id, call.sent, delay, error))


def error_of(state: RetryCallState) -> ClovaOCRError:
    """Return what the last attempt of a tenacity loop ended in."""
    # tenacity asks for the wait only after a failure that was granted a retry
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, ClovaOCRError)  # noqa: S101 - for the type checkers
    return error
