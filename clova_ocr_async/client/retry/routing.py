"""Choice of a domain before a request, and the decision after a failed one.

Glossary:
    attempt: a request that counts against ``max_attempts``; one refused for rate or quota does not.
    retry: another request of the same call after a failure; most retries are paid for out of the *budget*.
    breaker: marks a domain as on hold; while it is open, one call at a time, the *prober*, sends a request (*probe*).
    ejected: a domain that refuses the secret or has nothing deployed; the calls go to the other domains.
    ambiguous: a request of which it is unknown whether it was billed; ``maybe_billed`` counts such requests.
    lane: "interactive" for a single call, whose caller waits; "batch" for one of many.

A batch must not fail image by image while its service is out for some minutes. So a call of a batch that has no retry
left puts its domain on hold, and one call probes the domain for all of them. The caller of a single call waits for it:
so that call fails at once where the quota is spent, and is sent in spite of an outage. The only domain of a client is
never ejected.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.client.retry.budget import RetryBudget, price_of
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
    from clova_ocr_async.client.retry.policy import RetryPolicy
    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.host.runtime import Runtime

__all__ = ["Action", "Decision", "DomainRouter"]

_ANSWERS = (APIError, MalformedResponseError, RecognitionError)  # errors that only a domain in service can answer with


class Action(enum.Enum):
    """The next step of a call after a request."""

    RETRY = "send again"
    NEXT_DOMAIN = "choose a domain again"
    FAIL = "fail"


class Decision(msgspec.Struct, frozen=True):
    """The decision about a call after a request that gave no recognition.

    Attributes:
        action: The next step.
        error: The failure; None if the request was not sent, because its domain was put on hold meanwhile, or because
            its slot was lost.
        delay: Seconds until the next request, as far as known; NEXT_DOMAIN waits in ``wait_for_domain``.
    """

    action: Action
    error: ClovaOCRError | None = None
    delay: float = 0.0


class DomainRouter:
    """The router of one client's calls to its domains.

    Args:
        breakers: The domains on hold.
        policy: Decides which failures are retried, and how long a domain is probed.
        budget: Pays for retries.
        runtime: Time and randomness.
    """

    def __init__(self, breakers: Breakers, policy: RetryPolicy, budget: RetryBudget, runtime: Runtime) -> None:
        self._breakers = breakers
        self._policy = policy
        self._budget = budget
        self._runtime = runtime
        self._reached: set[str] = set()  # keys of the domains that a connection could be made to

    async def wait_for_domain(self, call: Call[Any]) -> Sequence[Domain]:
        """Wait, without a slot, until some domains may be called, and return them.

        Raises:
            QuotaExceededError: The quota is spent: at once for a single call, in a batch after the last probe.
            ClovaOCRError: The outage of the domain is too long for a batch.
        """
        while True:
            if not self._breakers.by_domain:
                call.probing = None
                return call.domains
            # Looked up again after every wait: another call may have closed or given up the breaker.
            breaker = self._breakers.governing(call.domains, call, self._runtime.clock())
            self._breakers.release_probes(call, but=breaker)
            call.probing = breaker
            if breaker is None:
                return [domain for domain in call.domains if self._breakers.get(domain) is None]
            if await self._may_probe(breaker, call):
                return [breaker.domain]
            if breaker.given_up is not None:
                raise breaker.rejection()

    async def _may_probe(self, breaker: Breaker, call: Call[Any]) -> bool:
        """Return whether a call may go to a domain on hold; False after a wait, so that the caller looks again."""
        now = self._runtime.clock()
        if breaker.stale(now):
            self._breakers.close(breaker, "no call has asked", now)
            return True
        if breaker.prober is None and (call.lane == "batch" or breaker.probe_due(now)):
            breaker.prober = call
        if breaker.prober is call:
            if breaker.due <= now:
                return True
            await self._runtime.sleep(breaker.due - now)
            # The sleep may go by another clock than ours; once it is over, the probe is due.
            breaker.due = min(breaker.due, self._runtime.clock())
            return False
        if call.lane == "batch":
            await self._breakers.wait_for_change()
        elif breaker.cause == "quota":
            raise breaker.rejection()
        return call.lane == "interactive"

    def still_allowed(self, domain: Domain, call: Call[Any]) -> bool:
        """Return whether a call may go to the domain of its slot: the domain may have been put on hold meanwhile."""
        breaker = self._breakers.get(domain)
        return breaker is None or breaker.prober is call or (call.lane == "interactive" and breaker.cause == "outage")

    def release(self, call: Call[Any]) -> None:
        """Let other calls probe the domains that a finished call has probed."""
        self._breakers.release_probes(call)

    def on_answer(self, call: Call[Any], domain: Domain, error: ClovaOCRError | None = None) -> None:
        """Record that a domain has answered, even with an error: there is no outage, and the quota is not spent."""
        self._reached.add(domain.key)
        if not isinstance(error, RateLimitError):
            self._breakers.on_answer(domain)
        breaker = self._breakers.by_domain.get(domain.key)
        if breaker is None:
            return
        # A request that left before the quota was spent proves nothing about the quota, nor does a rate limit.
        if breaker.cause == "outage" or (breaker.prober is call and not isinstance(error, RateLimitError)):
            self._breakers.close(breaker, "it answers", self._runtime.clock())

    def on_failure(self, call: Call[Any], domain: Domain, error: ClovaOCRError) -> Decision:
        """Record a failed request, and decide what its call does next.

        Args:
            call: The call.
            domain: The domain that the request went to.
            error: The failure. A decision to FAIL may carry another error instead.
        """
        if isinstance(error, RateLimitError):
            # The call queues for a slot again at its old place; the slots know when the domain takes another one.
            self.on_answer(call, domain, error)
            return Decision(Action.RETRY, error)
        breaker, cause = self._breakers.get(domain), _cause_of(error)
        # Only a failure after a connection shows that the host exists.
        if not isinstance(error, ConnectionFailedError):
            self._reached.add(domain.key)
        # An error about this one image is as good a sign of life as a recognition.
        if cause is None and isinstance(error, _ANSWERS):
            self.on_answer(call, domain, error)
        if breaker is not None and breaker.prober is call and breaker.cause == cause:
            breaker.failures += 1
            self._schedule(breaker, error)
        if cause in {"credentials", "deployment"}:
            return self._eject(call, domain, error, cause)
        if isinstance(error, QuotaExceededError):
            return self._open_for_quota(call, domain, error)
        if cause == "outage" and call.lane == "batch":
            return self._open_for_outage(call, domain, error)
        decision = self._retry_or_fail(call, error)
        if breaker is not None and breaker.cause == "outage":
            self._breakers.release_probes(call)  # a single call probes once; its own retries are not probes
        return decision

    def _retry_or_fail(self, call: Call[Any], error: ClovaOCRError) -> Decision:
        """Decide whether a call is sent again, and take the price out of the budget; call once a failure."""
        price = price_of(error)
        policy = self._policy
        if not policy.wants(error) or policy.exhausted(error, call.history) or not self._budget.spend(price):
            return Decision(Action.FAIL, error)
        call.history.retry_price = price
        return Decision(Action.RETRY, error, policy.delay(error, call.history, self._runtime.uniform))

    def _eject(self, call: Call[Any], domain: Domain, error: ClovaOCRError, cause: Cause) -> Decision:
        others = [self._breakers.get(other) for other in call.domains if other is not domain]
        # The last domain is never ejected: its owner must see the error of every call.
        if all(breaker is not None and breaker.ejected for breaker in others):
            self.on_answer(call, domain, error)
            return Decision(Action.FAIL, error)
        breaker = self._breakers.get(domain)
        if breaker is None or not breaker.ejected or (breaker.prober is call and breaker.cause != cause):
            breaker = self._open(domain, cause, call, error)
        if error.billing is not Billing.NOT_BILLED:
            breaker.due = math.inf  # every probe would be billed
            error.stops_run = False
            return Decision(Action.FAIL, error)
        return self._next_domain(call, error)

    def _open_for_quota(self, call: Call[Any], domain: Domain, error: QuotaExceededError) -> Decision:
        breaker = self._breakers.get(domain)
        if breaker is None or breaker.cause == "outage":
            breaker = self._open(domain, "quota", call, error)
        if breaker.prober is call:
            if self._give_up_all(call):
                return Decision(Action.FAIL, error)
        elif call.lane == "interactive" and None not in map(self._breakers.get, call.domains):
            # Its caller waits, and a quota is rarely renewed within a deadline.
            error.retry_after = error.retry_after or breaker.retry_after
            return Decision(Action.FAIL, error)
        return self._next_domain(call, error)

    def _open_for_outage(self, call: Call[Any], domain: Domain, error: ClovaOCRError) -> Decision:
        if call.probing is not None and call.probing.given_up is not None:
            return Decision(Action.FAIL, call.probing.rejection())  # the prober of another domain gave up for all
        breaker = self._breakers.get(domain)
        if breaker is None or (breaker.cause != "outage" and breaker.prober is call):
            # A domain that was never reached is put on hold at once: retries of every call would only delay the end.
            unknown = self._policy.connect_patience is not None and domain.key not in self._reached
            decision = Decision(Action.FAIL, error) if unknown else self._retry_or_fail(call, error)
            if decision.action is Action.RETRY or self._must_fail(call, error):
                return decision
            breaker = self._open(domain, "outage", call, error)
        # The wait for the outage is not the call's fault, so it keeps its attempts.
        call.history.forget_unbilled()
        if breaker.prober is call and self._give_up_all(call):
            return Decision(Action.FAIL, breaker.rejection())
        if self._must_fail(call, error):
            return Decision(Action.FAIL, error)
        return self._next_domain(call, error)

    def _must_fail(self, call: Call[Any], error: ClovaOCRError) -> bool:
        """Return whether a call fails even where it could wait: it could be billed once too often."""
        exhausted = error.billing is Billing.MAYBE_BILLED and self._policy.exhausted(error, call.history)
        return exhausted or not self._policy.wants(error)

    def _open(self, domain: Domain, cause: Cause, call: Call[Any], error: ClovaOCRError) -> Breaker:
        breaker = self._breakers.open(domain, cause, call, error, self._runtime.clock())
        self._schedule(breaker, error)
        return breaker

    def _schedule(self, breaker: Breaker, error: ClovaOCRError) -> None:
        breaker.error = error
        delay = self._policy.probe_delay(breaker.cause, breaker.failures, error, self._runtime.uniform)
        breaker.schedule(self._runtime.clock(), delay)

    def _give_up_all(self, call: Call[Any]) -> bool:
        """Give up all domains of a call, if each was probed for long enough; return whether that is so."""
        now = self._runtime.clock()
        breakers = [self._breakers.get(domain) for domain in call.domains]
        for breaker in breakers:
            if breaker is None or not self._gives_up(breaker, now):
                return False
        for breaker in filter(None, breakers):
            if not breaker.ejected:  # no call waits for such a domain, and it stays out of the pool
                self._breakers.give_up(breaker, now)
        return True

    def _gives_up(self, breaker: Breaker, now: float) -> bool:
        reached = breaker.domain.key in self._reached
        return self._policy.gives_up(breaker.cause, breaker.failures, now - breaker.since, reached=reached)

    def _next_domain(self, call: Call[Any], error: ClovaOCRError) -> Decision:
        now = self._runtime.clock()
        breaker = self._breakers.governing(call.domains, call, now)
        return Decision(Action.NEXT_DOMAIN, error, 0.0 if breaker is None else max(0.0, breaker.due - now))


def _cause_of(error: ClovaOCRError) -> Cause | None:
    """Return the trouble of the whole domain that an error stands for; None if it concerns one request only."""
    if isinstance(error, AuthenticationError):
        return "credentials"
    if isinstance(error, DomainError):
        return "deployment"
    if isinstance(error, QuotaExceededError):
        return "quota"
    return "outage" if isinstance(error, TransportError | ServerError) else None
