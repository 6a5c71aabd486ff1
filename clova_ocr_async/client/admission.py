"""Admission control: a call waits for a slot, and is sent, only while it has time for it.

Without it, every call that comes in an overload waits until shortly before its deadline, is sent, and is paid for an
answer that nobody waits for any more. ``usual_time`` says how much time a call needs; here that is compared with what
its deadline leaves, at three moments: before the call queues, while it waits, and when it has its slot.
"""

from __future__ import annotations

import math
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from clova_ocr_async.client.usual_time import UsualTime
from clova_ocr_async.errors import Billing, ClovaOCRError, OverloadedError
from clova_ocr_async.protocol.plural import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clova_ocr_async.client.retry.call import Call
    from clova_ocr_async.documents import Document
    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.slots.interface import Slots

__all__ = ["Admission"]

_LEAST_WAIT = 0.1  # seconds; a caller that comes again at once meets the same
_UNKNOWN_WAIT = 1.0  # seconds, while nothing is known of the domain


class Admission:
    """Decides which calls of a client may wait and be sent.

    Only single calls are counted and refused for the queue: those of a batch go behind them, and wait as long as it
    takes. A call of a batch is refused only if the deadline of one request is shorter than the usual time.

    Args:
        slots: How many calls at once are let through.
        max_queued: Single calls that may wait for a slot; None for no bound.
        clock: Returns seconds that only grow.
    """

    def __init__(self, slots: Slots, max_queued: int | None, clock: Callable[[], float]) -> None:
        self._slots = slots
        self._max_queued = max_queued
        self._clock = clock
        self._queued: Counter[str] = Counter()
        self._times: dict[tuple[str, type[Document]], UsualTime] = {}

    def reserve(self, call: Call[Any], domains: Sequence[Domain]) -> None:
        """Let a single call that begins wait only as long as it has time to be sent."""
        if call.deadline.seconds is not None:
            call.deadline.reserve(_usual(_fastest(self._known(call, domains), domains)))

    def check_queue(self, call: Call[Any], domains: Sequence[Domain]) -> Sequence[Domain]:
        """Refuse a single call that would wait in vain; else return the domains that it has time for.

        Raises:
            OverloadedError: There is no place or no time left.
            ClovaOCRError: There is no time for another request; what the last one ended in.
        """
        first = call.since is None
        # A call that was sent before and queues again has kept its place, so nobody waits before it.
        queued = self._length(domains) if first else 0
        if first and self._max_queued is not None and queued >= self._max_queued and not self._has_free_slot(domains):
            raise self._overloaded(call, domains, f"{_waiting(queued)}, and more may not (max_queued)")
        if call.deadline.seconds is None:
            return domains
        left = call.deadline.left
        known = self._known(call, domains)
        in_time = [domain for domain in domains if _usual(known.get(domain)) <= left]
        if not in_time:
            raise self._out_of_time(call, domains, _usual(_fastest(known, domains)))
        times = _fastest(known, in_time)
        if queued and times is not None:
            wait = (queued + 1) / self._rate(call, in_time)
            if left < wait + times.safe:
                raise self._overloaded(call, in_time, f"{_waiting(queued)}, for about {wait:.3g} s")
        call.deadline.reserve(_usual(times))
        return in_time

    def join(self, domains: Sequence[Domain]) -> None:
        """Count a single call that begins to wait."""
        for domain in domains:
            self._queued[domain.key] += 1

    def leave(self, domains: Sequence[Domain]) -> None:
        """Count a single call out that waits no more."""
        for domain in domains:
            self._queued[domain.key] -= 1

    def check_time(self, call: Call[Any], domain: Domain) -> None:
        """Refuse a call that has its slot and no time for the answer.

        Raises:
            OverloadedError: There is no time left.
            ClovaOCRError: It was sent before; what that ended in.
        """
        single = call.lane == "interactive"
        if single:
            call.deadline.reserve(0.0)  # from here on all of the time is for the answer
        times = self._times.get((domain.key, call.document))
        if times is None or call.deadline.seconds is None:
            return
        left = call.deadline.left if single else call.deadline.seconds
        forgotten = times.is_forgotten(self._clock())
        crowded = single and not forgotten and self._queued[domain.key]
        if left < (times.safe if crowded else times.usual):
            if not forgotten or times.prober is not None:
                raise self._out_of_time(call, [domain], times.usual)
            times.prober, call.probe = call, times

    def learn(self, call: Call[Any], domain: Domain, seconds: float, error: BaseException | None) -> None:
        """Note how long the service worked for a request that has ended; refusals and broken connections do not say."""
        if error is None or (isinstance(error, ClovaOCRError) and error.billing is Billing.BILLED):
            times = self._times.setdefault((domain.key, call.document), UsualTime())
            times.learn(seconds, self._clock(), late=call.runs_on)
        self.end_probe(call)

    def end_probe(self, call: Call[Any]) -> None:
        """Let another call probe, if this one does; said when its request has ended, or was not sent after all."""
        if call.probe is not None:
            call.probe.prober = None
            call.probe = None

    def too_late(self, call: Call[Any], domains: Sequence[Domain]) -> OverloadedError:
        """Return what a call fails with that waited as long as it had time."""
        return self._overloaded(call, domains, "no slot was free in time")

    def _length(self, domains: Sequence[Domain]) -> int:
        return min([self._queued[domain.key] for domain in domains])

    def _has_free_slot(self, domains: Sequence[Domain]) -> bool:
        return any(self._slots.state(domain).free > 0 for domain in domains)

    def _known(self, call: Call[Any], domains: Sequence[Domain]) -> dict[Domain, UsualTime]:
        """Return the times of those domains of which something is known."""
        now = self._clock()
        found = {domain: self._times.get((domain.key, call.document)) for domain in domains}
        return {domain: times for domain, times in found.items() if times is not None and not times.is_forgotten(now)}

    def _rate(self, call: Call[Any], domains: Sequence[Domain]) -> float:
        """Return the calls a second that some domains answer together; infinite if of one of them nothing is known."""
        total = 0.0
        for domain in domains:
            state, times = self._slots.state(domain), self._times.get((domain.key, call.document))
            by_time = state.ceiling / times.mean if times is not None and times.mean else math.inf
            total += by_time if state.pace is None else min(by_time, state.pace)
        return total

    def _out_of_time(self, call: Call[Any], domains: Sequence[Domain], usual: float) -> ClovaOCRError:
        if call.refusal is not None:
            return call.refusal
        seconds, takes = call.deadline.seconds or 0.0, f"the {usual:.3g} s that calls of this domain usually take"
        if seconds >= usual:
            return self._overloaded(call, domains, f"less time is left than {takes}")
        error = OverloadedError(
            f"the deadline of {seconds:g} s is shorter than {takes}; nothing was sent",
            retry_after=self._wait(call, domains),
        )
        error.stops_run = call.lane == "batch"  # every image of it would meet the same
        return error

    def _overloaded(self, call: Call[Any], domains: Sequence[Domain], why: str) -> OverloadedError:
        bound = "" if call.deadline.seconds is None else f" (deadline {call.deadline.seconds:g} s)"
        return OverloadedError(f"{why}{bound}; nothing was sent", retry_after=self._wait(call, domains))

    def _wait(self, call: Call[Any], domains: Sequence[Domain]) -> float:
        """Return seconds until a call that came now would get a slot."""
        wait = (self._length(domains) + 1) / self._rate(call, domains)
        return max(_LEAST_WAIT, wait or _UNKNOWN_WAIT)


def _waiting(queued: int) -> str:
    return f"{plural(queued, 'call waits', 'calls wait')} for a slot"


def _usual(times: UsualTime | None) -> float:
    return 0.0 if times is None else times.usual


def _fastest(known: dict[Domain, UsualTime], domains: Sequence[Domain]) -> UsualTime | None:
    """Return the shortest of the times of some domains; None if of one of them nothing is known."""
    times = [known[domain] for domain in domains if domain in known]
    return min(times, key=attrgetter("usual")) if len(times) == len(domains) else None
