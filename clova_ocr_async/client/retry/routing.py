"""Whose turn it is: which domains a call may go to, when, and what each answer means for the domain.

A batch must not fail image by image because its service is out for some minutes. So a call of a batch that has no
retry left puts its domain on hold instead, and asks again for all. Single calls have somebody waiting for them: they
fail at once where the quota is spent, and try their luck where the domain is out. A domain that takes no secret, or has
nothing deployed, leaves the pool while others go on; the only one there is does not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import (
    APIError,
    AuthenticationError,
    Billing,
    ClovaOCRError,
    ConnectionFailedError,
    DomainError,
    MalformedResponseError,
    QuotaExceededError,
    RateLimitError,
    RecognitionError,
    ServerError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.client.hooks import Cause
    from clova_ocr_async.client.retry.breaker import Breaker, Breakers
    from clova_ocr_async.client.retry.call import Call
    from clova_ocr_async.client.retry.loop import RetryLoop
    from clova_ocr_async.client.retry.policy import RetryPolicy
    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.domains.pool import DomainPool
    from clova_ocr_async.host.runtime import Runtime

__all__ = ["DomainRouter"]

_ANSWERS = (APIError, MalformedResponseError, RecognitionError)


class DomainRouter:
    """The turns of one client's calls.

    Args:
        pool: Knows the domains of a document.
        holds: Which of them are on hold.
        policy: Says which errors blame a domain, and how long to ask it again.
        retries: Grants retries.
        runtime: Time and randomness.
    """

    def __init__(
        self, pool: DomainPool, holds: Breakers, policy: RetryPolicy, retries: RetryLoop, runtime: Runtime
    ) -> None:
        self._pool = pool
        self._holds = holds
        self._policy = policy
        self._retries = retries
        self._runtime = runtime
        self._reached: set[str] = set()  # keys of the domains that a connection could be made to

    async def turn(self, call: Call[Any]) -> Sequence[Domain]:
        """Wait until some domains may be called, without a slot, and return them.

        Raises:
            QuotaExceededError: The quota is spent; at once for a single call, else when it was asked often enough.
            ClovaOCRError: The domain has been out for too long for a batch.
        """
        while True:
            serving = self._pool.serving(call.document)
            if not self._holds.any:
                call.asks = None
                return serving
            hold = self._holds.foremost(serving, call, self._runtime.clock())
            self._holds.leave(call, but=hold)
            call.asks = hold
            if hold is None:
                return [domain for domain in serving if self._holds.of(domain) is None]
            if await self._passes(hold, call):
                return [hold.domain]
            if hold.given_up is not None:
                raise hold.refusal()

    async def _passes(self, hold: Breaker, call: Call[Any]) -> bool:
        """Return whether a call may go to a domain on hold; False after a wait, to look again."""
        now = self._runtime.clock()
        if hold.forgotten(now):
            self._holds.end(hold, "nobody asked", now)
            return True
        if hold.prober is None and (call.lane == "batch" or hold.vacant(now)):
            hold.prober = call
        if hold.prober is call:
            return await self._due(hold, now)
        if call.lane == "batch":
            await self._holds.changed()
        elif hold.cause == "quota":
            raise hold.refusal()
        return call.lane == "interactive"

    async def _due(self, hold: Breaker, now: float) -> bool:
        if hold.due <= now:
            return True
        await self._runtime.sleep(hold.due - now)
        hold.due = min(hold.due, self._runtime.clock())  # whoever sleeps by another clock has slept enough as well
        return False

    def admits(self, domain: Domain, call: Call[Any]) -> bool:
        """Return whether a call that has its slot now may still go: the domain may be on hold since."""
        hold = self._holds.of(domain)
        return hold is None or hold.prober is call or (call.lane == "interactive" and hold.cause == "outage")

    def leave(self, call: Call[Any]) -> None:
        """Let the next call ask the domains that a call asked, which has ended."""
        self._holds.leave(call)

    def answered(self, call: Call[Any], domain: Domain, error: ClovaOCRError | None = None) -> None:
        """Note that a domain answered, be it with an error: it is not out, and its quota not spent."""
        self._reached.add(domain.key)
        hold = self._holds.of(domain)
        if hold is None:
            return
        # What left before the quota was spent proves nothing about it, nor does a refusal for the rate.
        if hold.cause == "outage" or (hold.prober is call and not isinstance(error, RateLimitError)):
            self._holds.end(hold, "it answers", self._runtime.clock())

    def failed(self, call: Call[Any], domain: Domain, error: ClovaOCRError) -> bool:
        """Note what a request ended in; return whether its call takes another turn instead of failing with it.

        If it does fail, ``call.granted`` says whether it is sent again.

        Raises:
            ClovaOCRError: The domain has been out for too long for a batch.
        """
        hold, cause = self._holds.of(domain), _cause_of(error)
        if not isinstance(error, ConnectionFailedError):
            self._reached.add(domain.key)
        if cause is None and isinstance(error, _ANSWERS):
            self.answered(call, domain, error)
        if hold is not None and hold.prober is call and hold.cause == cause:
            hold.failures += 1
            self._schedule(hold, error)
        if cause in {"credentials", "deployment"}:
            return self._found_useless(call, domain, error, cause)
        if isinstance(error, QuotaExceededError):
            return self._found_spent(call, domain, error)
        if cause == "outage" and call.lane == "batch":
            return self._found_out(call, domain, error)
        self._retries.grant(call, error)
        if hold is not None and hold.cause == "outage":
            self._holds.leave(call)  # a single call asks once for others; its own retries are its own
        return False

    def _found_useless(self, call: Call[Any], domain: Domain, error: ClovaOCRError, cause: Cause) -> bool:
        holds = [self._holds.of(other) for other in self._pool.serving(call.document) if other is not domain]
        if all(hold is not None and hold.useless for hold in holds):
            self.answered(call, domain, error)
            return False
        hold = self._holds.of(domain)
        if hold is None or not hold.useless or (hold.prober is call and hold.cause != cause):
            hold = self._begin(domain, cause, call, error)
        if error.billing is not Billing.NOT_BILLED:
            hold.due = math.inf  # each time it is asked is paid for
            error.stops_run = False
            return False
        self._announce(call, error)
        return True

    def _found_spent(self, call: Call[Any], domain: Domain, error: QuotaExceededError) -> bool:
        hold = self._holds.of(domain)
        if hold is None or hold.cause == "outage":
            hold = self._begin(domain, "quota", call, error)
        if hold.prober is call:
            if self._hopeless(call):
                return False
        elif call.lane == "interactive" and not self._elsewhere(call):
            error.retry_after = error.retry_after or hold.retry_after
            return False
        self._announce(call, error)
        return True

    def _found_out(self, call: Call[Any], domain: Domain, error: ClovaOCRError) -> bool:
        if call.asks is not None and call.asks.given_up is not None:
            raise call.asks.refusal() from error  # given up by another domain's prober meanwhile
        hold = self._holds.of(domain)
        if hold is None or (hold.cause != "outage" and hold.prober is call):
            # What was never reached is on hold at once: retries of every call would only draw its end out.
            unknown = self._policy.connect_patience is not None and domain.key not in self._reached
            if (not unknown and self._retries.grant(call, error)) or self._final(call, error):
                return False
            hold = self._begin(domain, "outage", call, error)
        call.tries.forgive()
        if hold.prober is call and self._hopeless(call):
            raise hold.refusal() from error
        if self._final(call, error):
            return False
        self._announce(call, error)
        return True

    def _final(self, call: Call[Any], error: ClovaOCRError) -> bool:
        """Return whether a call fails with an error, however patient it is: it could be paid once too often."""
        spent = error.billing is Billing.MAYBE_BILLED and self._policy.spent(error, call.tries)
        return spent or not self._policy.wants(error)

    def _begin(self, domain: Domain, cause: Cause, call: Call[Any], error: ClovaOCRError) -> Breaker:
        hold = self._holds.begin(domain, cause, call, error, self._runtime.clock())
        self._schedule(hold, error)
        return hold

    def _schedule(self, hold: Breaker, error: ClovaOCRError) -> None:
        hold.error = error
        delay = self._policy.probe_delay(hold.cause, hold.failures, error, self._runtime.uniform)
        hold.schedule(self._runtime.clock(), delay)

    def _hopeless(self, call: Call[Any]) -> bool:
        """Give up every domain a call could go to, if each was asked long enough; return whether that is so."""
        now = self._runtime.clock()
        holds = [self._holds.of(domain) for domain in self._pool.serving(call.document)]
        for hold in holds:
            if hold is None or not self._gives_up(hold, now):
                return False
        for hold in filter(None, holds):
            if not hold.useless:
                self._holds.give_up(hold, now)
        return True

    def _gives_up(self, hold: Breaker, now: float) -> bool:
        reached = hold.domain.key in self._reached
        return self._policy.gives_up(hold.cause, hold.failures, now - hold.since, reached=reached)

    def _elsewhere(self, call: Call[Any]) -> bool:
        return any(self._holds.of(domain) is None for domain in self._pool.serving(call.document))

    def _announce(self, call: Call[Any], error: ClovaOCRError) -> None:
        now = self._runtime.clock()
        hold = self._holds.foremost(self._pool.serving(call.document), call, now)
        self._retries.announce(call, error, 0.0 if hold is None else max(0.0, hold.due - now))


def _cause_of(error: ClovaOCRError) -> Cause | None:
    """Return what an error says is wrong with its whole domain, if it says that."""
    if isinstance(error, AuthenticationError):
        return "credentials"
    if isinstance(error, DomainError):
        return "deployment"
    if isinstance(error, QuotaExceededError):
        return "quota"
    return "outage" if isinstance(error, TransportError | ServerError) else None
