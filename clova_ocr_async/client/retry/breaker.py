"""Circuit breakers: domains on hold, because every call to them would meet the same failure.

The service announces neither the renewal of a quota nor the end of an outage. Only a request finds out, and
one call is enough to send it. That call is the *prober*: it waits, sends, and waits longer after each failure, while
the other calls wait for the result. The failures and the waiting time belong to the breaker. So a call that takes over
as prober goes on where the last one stopped.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clova_ocr_async.client.hooks import HoldChanged, notify
from clova_ocr_async.errors import APIError, Billing, QuotaExceededError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.client.hooks import Cause, Hook
    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.errors import ClovaOCRError

__all__ = ["Breaker", "Breakers"]

logger = logging.getLogger("clova_ocr_async")

_STALE_AFTER = 60.0  # seconds that a probe is overdue, after which the domain may have recovered unseen


@dataclass(slots=True, eq=False)
class Breaker:
    """An open breaker of one domain, from the failure that opened it to the answer that closes it.

    Attributes:
        domain: The domain.
        cause: Why the domain is on hold.
        since: When the breaker opened, by the client's clock.
        error: The last failure.
        prober: The call that probes the domain; None if no call does.
        failures: Failed requests since the breaker opened, the one that opened it included.
        retry_after: Seconds from the last failure to the next probe.
        due: When the next probe is due, by the client's clock.
        given_up: Seconds that the breaker had been open when the waiting calls gave up; None if they have not.
    """

    domain: Domain
    cause: Cause
    since: float
    error: ClovaOCRError
    prober: object | None
    failures: int = 1
    retry_after: float = 0.0
    due: float = 0.0
    given_up: float | None = None

    @property
    def ejected(self) -> bool:
        """True if the domain has left the pool: only its owner can repair it, so no call waits for it."""
        return self.cause in {"credentials", "deployment"}

    def schedule(self, now: float, delay: float) -> None:
        """Set when the domain is probed again."""
        self.retry_after, self.due = delay, now + delay

    def probe_due(self, now: float) -> bool:
        """Return whether the next probe is due and has no prober."""
        return self.prober is None and self.due <= now

    def stale(self, now: float) -> bool:
        """Return whether the probe is overdue for so long that the breaker's state has no value any more."""
        return self.prober is None and now - self.due > _STALE_AFTER

    def rejection(self) -> ClovaOCRError:
        """Return the error of a call that sends nothing because the domain is on hold."""
        if self.cause == "quota":
            refusal = QuotaExceededError(400, "0023", "the domain's quota is spent, as another call found out")
            # Once the probes are used up, it is unknown when the quota is renewed.
            refusal.retry_after = None if self.given_up is not None else self.retry_after
            return refusal
        # Of the class that was met last: handlers of that class then serve both cases.
        met = self.error
        lasted = f"no usable answer for {self.given_up or 0.0:.0f} s"
        failure = (
            type(met)(met.status, met.code, f"{lasted}: {met.message}", billing=Billing.NOT_BILLED)
            if isinstance(met, APIError)
            else type(met)(f"{lasted}: {met}", billing=Billing.NOT_BILLED)
        )
        # The outage has nothing to do with the image: the batch stops, and a later run sends it.
        failure.retryable = failure.stops_run = True
        return failure


class Breakers:
    """The open breakers of a client.

    Args:
        hooks: Notified when a breaker opens or closes.

    Attributes:
        by_domain: The open breakers by the key of their domain; usually empty.
    """

    def __init__(self, hooks: Sequence[Hook] = ()) -> None:
        self.by_domain: dict[str, Breaker] = {}
        self._given_up: dict[str, Breaker] = {}  # until the domain answers
        self._hooks = hooks
        self._changed = asyncio.Event()

    def get(self, domain: Domain) -> Breaker | None:
        """Return the open breaker of a domain; None if the domain is not on hold."""
        return self.by_domain.get(domain.key)

    def governing(self, domains: Sequence[Domain], call: object, now: float) -> Breaker | None:
        """Return the breaker that decides for a call; None if the call may go to the domains that are not on hold.

        A breaker whose probe is due comes first: as long as other domains serve, no other call would probe it. A domain
        that has left the pool is probed then, and no call waits for it.
        """
        breakers = [self.get(domain) for domain in domains]
        due = next((breaker for breaker in breakers if breaker is not None and breaker.probe_due(now)), None)
        if due is not None or None in breakers:
            return due
        # A domain that may recover comes before one that its owner must repair, and the call's own probe before others.
        return min(filter(None, breakers), key=lambda breaker: (breaker.ejected, breaker.prober is not call))

    def open(self, domain: Domain, cause: Cause, call: object, error: ClovaOCRError, now: float) -> Breaker:
        """Put a domain on hold with a call as its prober; a breaker that is open for another cause closes."""
        if (old := self.get(domain)) is not None:
            self.close(old, "for another cause", now)
        breaker = self.by_domain[domain.key] = Breaker(domain, cause, now, error, call)
        what = (
            "has left the pool (%s), and others serve; now and then it is asked again: %r"
            if breaker.ejected
            else "is on hold (%s): one call at a time asks again, the others wait: %r"
        )
        logger.warning(f"domain %s {what}", domain.url, cause, error)  # noqa: G004 - one of two constants
        notify(self._hooks, HoldChanged(str(domain.url), cause, held=True, label=domain.label))
        return breaker

    def close(self, breaker: Breaker, reason: str, now: float) -> None:
        """Close a breaker, so that calls go to its domain again."""
        del self.by_domain[breaker.domain.key]
        logger.info(
            "domain %s is no longer on hold (%s): %s, after %.0f s",
            breaker.domain.url,
            breaker.cause,
            reason,
            now - breaker.since,
        )
        domain = breaker.domain
        notify(self._hooks, HoldChanged(str(domain.url), breaker.cause, held=False, label=domain.label))
        self._wake_waiters()

    def give_up(self, breaker: Breaker, now: float) -> None:
        """Close a breaker that was open for too long: the calls that wait for it fail."""
        breaker.given_up, breaker.prober = now - breaker.since, None
        self.close(breaker, "given up", now)
        self._given_up[breaker.domain.key] = breaker

    def cause(self, domain: Domain, now: float) -> Cause | None:
        """Return why a domain is on hold, or was given up a moment ago and has not answered since; None if neither.

        After a minute it may have recovered, and only a call can find out. Without this bound, a service that is sent
        no calls because it is not ready would never be ready.
        """
        if (breaker := self.get(domain)) is None:
            breaker = self._given_up.get(domain.key)
        return None if breaker is None or breaker.stale(now) else breaker.cause

    def on_answer(self, domain: Domain) -> None:
        """Forget that a domain was given up."""
        self._given_up.pop(domain.key, None)

    def release_probes(self, call: object, but: Breaker | None = None) -> None:
        """Let other calls probe the domains that a call probes, except for one."""
        for breaker in self.by_domain.values():
            if breaker.prober is call and breaker is not but:
                breaker.prober = None
                self._wake_waiters()

    async def wait_for_change(self) -> None:
        """Wait until a breaker closes or needs a prober."""
        await self._changed.wait()

    def _wake_waiters(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()  # a new one, so that each waiter is woken once
