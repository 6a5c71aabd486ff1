"""Slots for the calls of one process."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Self

from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.slots.interface import GateState, Lane, checked_limits, min_or_none
from clova_ocr_async.slots.limit import ConcurrencyLimit, HeldSlot, Permit, SlotResult
from clova_ocr_async.slots.queue import Waiter, WaitQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.domains.domain import Domain

__all__ = ["LocalSlots"]

logger = logging.getLogger("clova_ocr_async")


class LocalSlots:
    """Slots for the calls of one process, as many as the service turns out to allow.

    Examples:
        >>> client = ClovaOCRClient(domain, slots=LocalSlots(concurrency=5))

    Args:
        concurrency: Calls at once per domain, if you know the limit; more are never tried. Where a domain has its own
            ``max_concurrency``, the lower one counts.
        max_per_second: Calls a second per domain at most; None for no bound. Where a domain has its own, the lower one
            counts.
        runtime: Time and randomness.

    Raises:
        ConfigurationError: ``concurrency`` is not a whole number from 1, or ``max_per_second`` not a positive number.
    """

    def __init__(
        self,
        concurrency: int | None = None,
        *,
        max_per_second: float | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 - immutable
    ) -> None:
        self._concurrency, self._max_per_second = checked_limits(concurrency, max_per_second)
        self._runtime = runtime
        self._domains: dict[str, _DomainSlots] = {}
        # One queue for all domains: a call that waits for several of them must get one slot, not one of each.
        self._queue: WaitQueue[_Grant] = WaitQueue()

    def slot(self, domains: Sequence[Domain], lane: Lane, since: float) -> _LocalSlot:
        """Wait for a slot and hold it; see ``Slots.slot``."""
        candidates = tuple([self._of(domain) for domain in domains])
        return _LocalSlot(domains, candidates, self._queue, interactive=lane == "interactive", since=since)

    def state(self, domain: Domain) -> GateState:
        """Return a snapshot of a domain's slots."""
        return self._of(domain).state()

    def _of(self, domain: Domain) -> _DomainSlots:
        found = self._domains.get(domain.key)
        if found is None:
            found = self._domains[domain.key] = _DomainSlots(
                domain,
                self._queue,
                self._runtime,
                max_concurrency=min_or_none(domain.max_concurrency, self._concurrency),
                max_per_second=min_or_none(domain.max_per_second, self._max_per_second),
            )
        return found


class _DomainSlots:
    """The slots of one domain."""

    def __init__(
        self,
        domain: Domain,
        queue: WaitQueue[_Grant],
        runtime: Runtime,
        *,
        max_concurrency: int | None,
        max_per_second: float | None,
    ) -> None:
        self.domain = domain
        self.key = domain.key
        self._queue = queue
        self._runtime = runtime
        self._max_concurrency = max_concurrency
        self._max_per_second = max_per_second
        # It never exceeds the user's bound: it starts there, and no answer raises it further.
        self._learned = ConcurrencyLimit() if max_concurrency is None else ConcurrencyLimit.known(max_concurrency)
        self._in_flight = 0
        self._timer: asyncio.Task[None] | None = None

    def state(self) -> GateState:
        """Return a snapshot."""
        return GateState(
            ceiling=self._learned.value,
            in_flight=self._in_flight,
            waiting=self._queue.lengths[self.key],
            rejections=self._learned.rejections,
            pace=self._learned.pacer.rate,
        )

    def free(self) -> int:
        """Return the number of slots that no call holds or waits for."""
        return self._learned.value - self._in_flight - self._queue.lengths[self.key]

    def can_take_now(self) -> bool:
        """Return whether a call may take a slot at once, without overtaking a waiter."""
        full = self._in_flight >= self._learned.value or self._queue.lengths[self.key]
        return not full and not self._learned.pacer.wait(self._runtime.clock())

    def take(self) -> Permit:
        """Take a slot."""
        permit = self._learned.on_sent(
            self._in_flight, self._runtime.clock(), self._max_per_second, self._max_concurrency
        )
        self._in_flight += 1
        return permit

    def release(self, permit: Permit, result: SlotResult | None) -> None:
        """Release a slot; the result is None if it is unknown whether the service let the call in."""
        self._in_flight -= 1
        if result is not None:
            before = self._learned.value
            self._learned.on_result(permit, result, self._runtime.clock(), self._runtime.uniform, self._max_concurrency)
            for change in self._learned.changes_since(before, result):
                logger.info("domain %s: %s", self.domain.url, change)
        if self._queue.lengths[self.key]:
            self.grant_free()

    def grant_free(self, now: float = -math.inf) -> None:
        """Grant free slots to waiters.

        Args:
            now: The earliest time that it can be.
        """
        while (waiter := self._queue.peek(self.key)) is not None and self._in_flight < self._learned.value:
            now = max(now, self._runtime.clock())
            if wait := self._learned.pacer.wait(now):
                if self._timer is None:
                    # A task and not the loop's timer: the runtime's ``sleep`` may have a time of its own.
                    self._timer = asyncio.create_task(self._grant_after(wait, now + wait))
                return
            waiter.granted.set_result((self, self.take()))
            self._queue.discard(waiter)

    async def _grant_after(self, wait: float, due: float) -> None:
        try:
            await self._runtime.sleep(wait)
        finally:
            self._timer = None  # also when it is cancelled at the end of its loop: these slots may serve in the next
        self.grant_free(due)  # ``sleep`` may use another clock than ``clock``; the wait is over all the same


_Grant = tuple[_DomainSlots, Permit]


class _LocalSlot(HeldSlot):
    """One slot: waited for, held, released."""

    __slots__ = ("_candidates", "_domains", "_interactive", "_permit", "_queue", "_since", "_taken_from")

    def __init__(
        self,
        domains: Sequence[Domain],
        candidates: tuple[_DomainSlots, ...],
        queue: WaitQueue[_Grant],
        *,
        interactive: bool,
        since: float,
    ) -> None:
        super().__init__()
        self._domains = domains
        self._candidates = candidates
        self._queue = queue
        self._interactive = interactive
        self._since = since

    async def __aenter__(self) -> Self:
        # A free slot is taken without a future, which would cost each call a turn of the loop.
        free = self._candidate_with_a_free_slot()
        if free is not None:
            return self._hold((free, free.take()))
        waiter = self._join_queue()
        try:
            # Awaited here and not in a coroutine below, which each of thousands of waiting calls would keep.
            return self._hold(await waiter.granted)
        except asyncio.CancelledError:
            self._leave_queue(waiter)
            raise

    def _hold(self, grant: _Grant) -> Self:
        self._taken_from, self._permit = grant
        # The caller's own object: another client may call the same domain with another secret.
        self.domain = self._domains[self._candidates.index(self._taken_from)]
        return self

    def _candidate_with_a_free_slot(self) -> _DomainSlots | None:
        if len(self._candidates) == 1:  # nearly every call, which need not build a generator
            return self._candidates[0] if self._candidates[0].can_take_now() else None
        return max(filter(_DomainSlots.can_take_now, self._candidates), key=_DomainSlots.free, default=None)

    def _join_queue(self) -> Waiter[_Grant]:
        keys = tuple([candidate.key for candidate in self._candidates])
        waiter = Waiter[_Grant](keys, interactive=self._interactive, since=self._since)
        self._queue.add(waiter)
        # If only a pause holds the call back, no release will grant the slot: this sets the timer.
        for candidate in self._candidates:
            candidate.grant_free()
        return waiter

    def _leave_queue(self, waiter: Waiter[_Grant]) -> None:
        if waiter.granted.cancel() or waiter.granted.cancelled():
            self._queue.discard(waiter)
        else:  # the slot was granted just before the cancellation
            taken_from, permit = waiter.granted.result()
            taken_from.release(permit, None)

    async def __aexit__(self, *exc_info: object) -> None:
        self._taken_from.release(self._permit, self.result)
