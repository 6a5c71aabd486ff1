"""Admission control: a call waits for a slot, and is sent, only while it has time for its answer.

Without it, in an overload every call would wait until shortly before its deadline, would be sent, and would be billed
for an answer that comes too late. ``usual_time`` learns how much time a call needs. Here that is compared with the time
that the deadline leaves, at three moments: before the call queues, while it waits, and when it has its slot.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.client.usual_time import UsualTime
from clova_ocr_async.errors import ClovaOCRError, OverloadedError
from clova_ocr_async.host.plural import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clova_ocr_async.client.retry.call import Call
    from clova_ocr_async.documents import Document
    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.slots.interface import GateState, Slots

__all__ = ["Admission", "Backlog", "WaitingCalls"]

_LEAST_WAIT = 0.1  # seconds; a caller that comes back at once meets the same queue
_UNKNOWN_WAIT = 1.0  # seconds, while no answer time of the domain is known


class Backlog(msgspec.Struct, frozen=True):
    """The single calls that wait for a slot of some domains, and how fast slots get free.

    Attributes:
        waiting: Single calls of this client that wait; calls of batches come after a new single call.
        free: Slots that no call holds or waits for.
        slots: Calls at once that the domains take from this process: all but those of other processes, at least one.
        rate: Calls a second that are answered; None while nothing was learned.
    """

    waiting: int
    free: int
    slots: int
    rate: float | None


class WaitingCalls:
    """The numbers of single calls that wait for a slot."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, domains: Sequence[Domain]) -> None:
        """Count a call that waits for a slot of one of some domains."""
        for domain in domains:
            self._counts[domain.key] += 1

    def remove(self, domains: Sequence[Domain]) -> None:
        """Count a call no more."""
        for domain in domains:
            self._counts[domain.key] -= 1

    def of(self, domain: Domain) -> int:
        """Return the number of calls that wait for a slot of a domain."""
        return self._counts[domain.key]


class Admission:
    """The admission control of one client: which calls may wait, and which are sent.

    Only single calls are counted, and refused because of the queue. Calls of a batch queue behind them and wait as long
    as it takes. A call of a batch is refused only if the deadline of one request is shorter than the usual time.

    Args:
        slots: The limit of calls at once.
        max_queued: Single calls that may wait for a slot; None for no bound.
        clock: Returns monotonic seconds.

    Attributes:
        waiting: The single calls that wait for a slot.
    """

    def __init__(self, slots: Slots, max_queued: int | None, clock: Callable[[], float]) -> None:
        self._slots = slots
        self._max_queued = max_queued
        self._clock = clock
        self.waiting = WaitingCalls()
        self._times: dict[tuple[str, type[Document]], UsualTime] = {}

    def reserve(self, call: Call[Any]) -> None:
        """Reserve the usual time for the answer, in the deadline of a single call that begins."""
        if call.deadline.seconds is not None:
            call.deadline.reserve(_usual(self._fastest(call, call.domains)))

    def check_queue(self, call: Call[Any], domains: Sequence[Domain]) -> Sequence[Domain]:
        """Refuse a single call that would wait in vain; else return the domains that it has time for.

        Raises:
            OverloadedError: There is no place or no time left.
            ClovaOCRError: There is no time for another request; the error of the last one.
        """
        first = call.queued_at is None
        # A call that was sent before and queues again has kept its place, so no other call waits before it.
        queued = self._queue_length(domains) if first else 0
        full = first and self._max_queued is not None and queued >= self._max_queued
        if full and not any(self._slots.state(domain).free > 0 for domain in domains):
            raise self._overloaded(call, domains, f"{_waiting(queued)}, and more may not (max_queued)")
        if call.deadline.seconds is None:
            return domains
        left = call.deadline.left
        times = self._fastest(call, domains)
        usual = _usual(times)
        if left < usual:
            raise self._out_of_time(call, domains, usual)
        in_time = [domain for domain in domains if _usual(self._known(call, domain)) <= left]
        if queued and times is not None:
            # With calls before it, the safe time counts: a slot must not go to a call that will be too late.
            wait = (queued + 1) / self._rate(call, in_time)
            if left < wait + times.safe:
                raise self._overloaded(call, in_time, f"{_waiting(queued)}, for about {wait:.3g} s")
        call.deadline.reserve(usual)
        # Thousands may wait, so each keeps a list of its own only if it differs.
        return domains if len(in_time) == len(domains) else in_time

    def backlog(self, document: type[Document], domains: Sequence[Domain]) -> Backlog:
        """Return the calls before a new single call for a document, and how fast slots get free."""
        waiting, slots, in_use, rate = self._queue_length(domains), 0, 0, 0.0
        for domain in domains:
            state = self._slots.state(domain)
            # Other processes have queues of their own, which their slots serve.
            usable = max(1, state.ceiling - state.elsewhere)
            slots += usable
            in_use += min(usable, state.in_flight)
            rate += self._domain_rate(document, domain, state, usable)
        return Backlog(waiting, max(0, slots - in_use - waiting), slots, None if math.isinf(rate) else rate)

    def check_time(self, call: Call[Any], domain: Domain) -> None:
        """Refuse a call that has its slot but no time for the answer.

        Raises:
            OverloadedError: There is no time left.
            ClovaOCRError: The call was sent before; the error of that request.
        """
        single = call.lane == "interactive"
        if single:
            call.deadline.reserve(0.0)  # from here on all of the time is for the answer
        times = self._times.get((domain.key, call.document))
        if times is None or call.deadline.seconds is None:
            return
        left = call.deadline.left if single else call.deadline.seconds
        # Expired times may be too long, and only a request can show it: one call probes.
        forgotten = times.is_forgotten(self._clock())
        crowded = single and not forgotten and self.waiting.of(domain)
        if left < (times.safe if crowded else times.usual):
            if not forgotten or times.prober is not None:
                raise self._out_of_time(call, [domain], times.usual)
            times.prober, call.timing_probe = call, times

    def learn(self, call: Call[Any], domain: Domain, seconds: float) -> None:
        """Record how long the service worked for a request that was billed; refusals and broken calls do not show it.

        Args:
            call: The call.
            domain: The domain that has answered.
            seconds: How long the request held its slot.
        """
        key = domain.key, call.document
        if (times := self._times.get(key)) is None:
            times = self._times[key] = UsualTime()
        times.learn(seconds, self._clock(), late=call.request.detached)

    def too_late(self, call: Call[Any]) -> OverloadedError:
        """Return the error of a call that got no slot while it had time."""
        return self._overloaded(call, call.domains, "no slot was free in time")

    def _queue_length(self, domains: Sequence[Domain]) -> int:
        return min(map(self.waiting.of, domains))

    def _known(self, call: Call[Any], domain: Domain) -> UsualTime | None:
        """Return the answer times of a domain; None if none are known."""
        times = self._times.get((domain.key, call.document))
        return None if times is None or times.is_forgotten(self._clock()) else times

    def _fastest(self, call: Call[Any], domains: Sequence[Domain]) -> UsualTime | None:
        """Return the shortest answer times of some domains; None if those of one of them are unknown."""
        known = [self._known(call, domain) for domain in domains]
        return None if None in known else min(known, key=_usual)

    def _rate(self, call: Call[Any], domains: Sequence[Domain]) -> float:
        """Return the calls a second that some domains answer together; infinite if one of them is unknown."""
        total = 0.0
        for domain in domains:
            state = self._slots.state(domain)
            # A process may have no slot for a while: then a call waits for at least one.
            total += self._domain_rate(call.document, domain, state, max(1, state.ceiling))
        return total

    def _domain_rate(self, document: type[Document], domain: Domain, state: GateState, slots: int) -> float:
        """Return the calls a second that a number of slots of a domain answer; infinite if its times are unknown."""
        times = self._times.get((domain.key, document))
        # Little's law: calls at once, divided by the seconds of each, is calls a second.
        by_time = slots / times.mean if times is not None and times.mean else math.inf
        return by_time if state.pace is None else min(by_time, state.pace)

    def _out_of_time(self, call: Call[Any], domains: Sequence[Domain], usual: float) -> ClovaOCRError:
        if call.request.error is not None:
            return call.request.error
        seconds, takes = call.deadline.seconds or 0.0, f"the {usual:.3g} s that calls of this domain usually take"
        if seconds >= usual:
            return self._overloaded(call, domains, f"less time is left than {takes}")
        error = OverloadedError(
            f"the deadline of {seconds:g} s is shorter than {takes}; nothing was sent",
            retry_after=self._estimated_wait(call, domains),
        )
        error.stops_run = call.lane == "batch"  # every image of the batch would meet the same
        return error

    def _overloaded(self, call: Call[Any], domains: Sequence[Domain], why: str) -> OverloadedError:
        bound = "" if call.deadline.seconds is None else f" (deadline {call.deadline.seconds:g} s)"
        return OverloadedError(f"{why}{bound}; nothing was sent", retry_after=self._estimated_wait(call, domains))

    def _estimated_wait(self, call: Call[Any], domains: Sequence[Domain]) -> float:
        """Return seconds until a new call would get a slot."""
        wait = (self._queue_length(domains) + 1) / self._rate(call, domains)
        return max(_LEAST_WAIT, wait or _UNKNOWN_WAIT)


def _waiting(queued: int) -> str:
    return f"{plural(queued, 'call waits', 'calls wait')} for a slot"


def _usual(times: UsualTime | None) -> float:
    return 0.0 if times is None else times.usual
