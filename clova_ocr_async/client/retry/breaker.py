"""Domains on hold: the quota is spent, nobody answers, or it is of no use, and every call would meet the same.

The service says neither when a quota comes back nor when an outage ends, so asking is the only way to know, and one
call is enough to ask. That call has the *seat*: it waits, asks, and waits longer, while the others wait for it. Its
count and its pace are the hold's and not its own, so whoever takes the seat over goes on where it was left.
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

_OLD_NEWS = 60.0  # seconds past its time that nobody asked: what was known of the domain is worth nothing any more


@dataclass(slots=True, eq=False)
class Breaker:
    """One hold on a domain, from the failure that began it to the answer that ends it.

    Attributes:
        domain: The domain.
        cause: Why it is on hold.
        since: When it began, by the client's clock.
        error: The last failure.
        prober: The call in the seat; None while it is empty.
        failures: How often the domain was asked in vain, the request that began the hold included.
        retry_after: Seconds from the last failure until the domain is asked again.
        due: When that is, by the client's clock.
        given_up: Seconds it had lasted when its calls gave up; None if they have not.
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
    def useless(self) -> bool:
        """Whether nothing the client can wait for will mend the domain: it has left the pool."""
        return self.cause in {"credentials", "deployment"}

    def schedule(self, now: float, delay: float) -> None:
        """Set when the domain is asked again."""
        self.retry_after, self.due = delay, now + delay

    def vacant(self, now: float) -> bool:
        """Whether it is time to ask, and nobody does."""
        return self.prober is None and self.due <= now

    def forgotten(self, now: float) -> bool:
        """Whether nobody has asked for so long that the hold says nothing any more."""
        return self.prober is None and now - self.due > _OLD_NEWS

    def refusal(self) -> ClovaOCRError:
        """Return what a call fails with that sends nothing because of the hold."""
        if self.cause == "quota":
            refusal = QuotaExceededError(400, "0023", "the domain's quota is spent, as another call found out")
            refusal.retry_after = None if self.given_up is not None else self.retry_after
            return refusal
        return self._no_answer()

    def _no_answer(self) -> ClovaOCRError:
        """Return an error of the class that was met last, for a call that need not have sent anything."""
        met = self.error
        lasted = f"no usable answer for {self.given_up or 0.0:.0f} s"
        refusal = (
            type(met)(met.status, met.code, f"{lasted}: {met.message}", billing=Billing.NOT_BILLED)
            if isinstance(met, APIError)
            else type(met)(f"{lasted}: {met}", billing=Billing.NOT_BILLED)
        )
        refusal.retryable = refusal.stops_run = True
        return refusal


class Breakers:
    """The holds on the domains of a client.

    Args:
        hooks: Told when one begins and when it ends.
    """

    def __init__(self, hooks: Sequence[Hook] = ()) -> None:
        self._hooks = hooks
        self._current: dict[str, Breaker] = {}
        self._changed = asyncio.Event()

    @property
    def any(self) -> bool:
        """Whether any domain is on hold."""
        return bool(self._current)

    def of(self, domain: Domain) -> Breaker | None:
        """Return the hold on a domain, None if there is none."""
        return self._current.get(domain.key)

    def foremost(self, domains: Sequence[Domain], call: object, now: float) -> Breaker | None:
        """Return the hold that a call has to do with; None if it may go to those domains that are not on hold.

        A domain on hold that should be asked by now, and that nobody asks, comes first: else it would never come back
        while the others serve. A domain that has left the pool is asked then, and not waited for.
        """
        holds = [self.of(domain) for domain in domains]
        vacant = next((hold for hold in holds if hold is not None and hold.vacant(now)), None)
        if vacant is not None or None in holds:
            return vacant
        return min(filter(None, holds), key=lambda hold: (hold.useless, hold.prober is not call))

    def begin(self, domain: Domain, cause: Cause, call: object, error: ClovaOCRError, now: float) -> Breaker:
        """Put a domain on hold, a call in the seat; a hold for another cause ends."""
        if (old := self.of(domain)) is not None:
            self.end(old, "for another cause", now)
        hold = self._current[domain.key] = Breaker(domain, cause, now, error, call)
        what = (
            "has left the pool (%s), and others serve; now and then it is asked again: %r"
            if hold.useless
            else "is on hold (%s): one call at a time asks again, the others wait: %r"
        )
        logger.warning(f"domain %s {what}", domain.url, cause, error)  # noqa: G004 - one of two constants
        notify(self._hooks, HoldChanged(str(domain.url), cause, held=True))
        return hold

    def end(self, hold: Breaker, how: str, now: float) -> None:
        """End a hold."""
        del self._current[hold.domain.key]
        logger.info(
            "domain %s is on hold no more (%s): %s, after %.0f s", hold.domain.url, hold.cause, how, now - hold.since
        )
        notify(self._hooks, HoldChanged(str(hold.domain.url), hold.cause, held=False))
        self._tell_waiters()

    def give_up(self, hold: Breaker, now: float) -> None:
        """End a hold that has lasted too long: whoever waits for it fails."""
        hold.given_up = now - hold.since
        self.end(hold, "given up", now)

    def leave(self, call: object, but: Breaker | None = None) -> None:
        """Empty a call's seats, one excepted; the next who waits takes each."""
        for hold in self._current.values():
            if hold.prober is call and hold is not but:
                hold.prober = None
                self._tell_waiters()

    async def changed(self) -> None:
        """Wait until a hold ends or a seat is empty."""
        await self._changed.wait()

    def _tell_waiters(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
