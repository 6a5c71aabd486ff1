"""The broker between the calls of one event loop and the slots that its process shares with others."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING

from clova_ocr_async.slots.interface import GateState
from clova_ocr_async.slots.limit import LimitSignal
from clova_ocr_async.slots.queue import Waiter, WaitQueue
from clova_ocr_async.slots.sharing.membership import Grant, Seen, SyncResult
from clova_ocr_async.slots.sharing.wakeup import WakeupSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.host.runtime import Runtime
    from clova_ocr_async.slots.limit import SlotResult
    from clova_ocr_async.slots.sharing.state import Limits
    from clova_ocr_async.slots.sharing.sync import GateSync

__all__ = ["SlotBroker", "SyncThread"]

logger = logging.getLogger("clova_ocr_async")

_MAX_WAITERS = 64  # waiters of a domain that one sync considers, so that a sync costs the same however many wait
_SYNC_EVERY = 1.0  # seconds, more or less: a wake-up may be lost, and processes die
_POLL_EVERY = 0.05  # seconds, where the process cannot be woken


class SyncThread:
    """The thread that syncs with the store, so that the event loop never waits for it.

    Args:
        sync: Syncs with the store.
        executor: Runs one thing after the other.
        deliver: Called in the event loop with the result of each sync, or with its error.

    Attributes:
        loop: The event loop that gets the results; it may change between two syncs.
    """

    def __init__(self, sync: GateSync, executor: Executor, deliver: Callable[[SyncResult | Exception], object]) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._sync = sync
        self._executor = executor
        self._deliver = deliver
        self._ordered = False
        self._results: deque[SyncResult | Exception] = deque()
        self._closed = False

    def order(self) -> None:
        """Run a sync, unless one is ordered that has not begun."""
        if not self._ordered and not self._closed:
            self._ordered = True
            self._executor.submit(self._run)

    def close(self) -> None:
        """Release everything, for good: the event loop was closed over its calls."""
        self._closed = True
        # In the thread, as a sync may still run there.
        self._executor.submit(self._sync.release_all)
        self._executor.shutdown(wait=False)

    def abandon_after_fork(self) -> None:
        """Run nothing any more: after a fork it is all the parent's."""
        self._closed = True

    def _run(self) -> None:
        self._ordered = False  # before the waiters are read: one that comes later orders another sync
        try:
            self._results.append(self._sync.run())
        except Exception as error:  # noqa: BLE001 - the waiters get it, as no code waits for this thread
            self._results.append(error)
        assert self.loop is not None  # noqa: S101 - for the type checkers
        try:
            self.loop.call_soon_threadsafe(self._deliver_all)
        except RuntimeError:
            # The loop is closed, and with it all calls that waited are gone.
            for result in self._pop_results():
                if isinstance(result, SyncResult):
                    self._sync.release_unclaimed(result)

    def _deliver_all(self) -> None:
        """Deliver the results, also those that the loop before had no time for."""
        for result in self._pop_results():
            self._deliver(result)

    def _pop_results(self) -> Iterator[SyncResult | Exception]:
        with suppress(IndexError):  # the loop and the thread may both take from it
            while True:
                yield self._results.popleft()


class SlotBroker:
    """Grants the slots that syncs with the store bring, to the calls of one event loop.

    Args:
        domains: The domains, by their keys; may grow.
        sync: Syncs with the store.
        executor: Runs the syncs, one after the other.
        runtime: Randomness.
    """

    def __init__(self, domains: Mapping[str, Domain], sync: GateSync, executor: Executor, runtime: Runtime) -> None:
        self._domains = domains
        self._sync = sync
        self._runtime = runtime
        self._thread = SyncThread(sync, executor, self._on_synced)
        self._wakeup = WakeupSocket()
        self._queue: WaitQueue[Grant] = WaitQueue()
        self._held: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._seen: dict[str, Seen] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._sync_is_scheduled = False
        self._has_unsynced = False  # whether waiters may exist that the last sync was not given

    def state(self, key: str, limits: Limits) -> GateState:
        """Return a snapshot of a domain's slots, as last seen.

        Args:
            key: The domain's key.
            limits: The limits that the user gave for it.
        """
        seen = self._seen.get(key) or Seen(limits.initial_limit())
        at_once = limits.applied_to(seen.limit)
        return GateState(
            ceiling=at_once if seen.share is None else min(at_once, seen.share),
            in_flight=self._held[key],
            elsewhere=seen.elsewhere,
            waiting=self._queue.lengths[key],
            rejections=self._refused[key],
            pace=seen.limit.pacer.rate,
        )

    def bind_loop(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Serve a running loop from now on; return False if calls of another one hold or await slots."""
        if self._thread.loop is not loop and self._is_busy():
            return False
        self._thread.loop = loop
        return True

    def loop_is_closed(self) -> bool:
        """Return whether its loop was closed over its calls."""
        return self._thread.loop is not None and self._thread.loop.is_closed()

    async def acquire(self, keys: Sequence[str], *, interactive: bool, since: float) -> Grant:
        """Wait for a slot of one of several domains, and take it."""
        loop = asyncio.get_running_loop()
        waiter = Waiter[Grant](keys, interactive=interactive, since=since)
        self._queue.add(waiter)
        self._has_unsynced = True
        # With each call, because the socket is closed whenever no call of this process waits or holds a slot.
        self._wakeup.listen(loop, self._start_sync)
        if self._needs_sync(waiter):
            self._start_sync()
        try:
            return await waiter.granted
        except BaseException:
            self._withdraw(waiter)
            raise

    def holds(self, grant: Grant) -> bool:
        """Return whether a slot is still this process's: others have it if the process was stopped for too long."""
        return self._sync.holds(grant)

    def release(self, grant: Grant, result: SlotResult | None) -> None:
        """Release a slot; the result is None if it is unknown whether the service let the call in."""
        self._held[grant.key] -= 1
        self._refused[grant.key] += isinstance(result, LimitSignal)
        self._sync.finished.append((grant.key, (grant.permit, result)))
        self._sync_after_release()

    def close(self) -> None:
        """Release everything, for good: the loop is closed, and late releases of its calls are ignored."""
        self._wakeup.close()
        self._thread.close()

    def abandon_after_fork(self) -> None:
        """Touch nothing any more: after a fork it is all the parent's."""
        self._thread.abandon_after_fork()
        self._wakeup.abandon_after_fork()

    def _withdraw(self, waiter: Waiter[Grant]) -> None:
        with suppress(RuntimeError):  # a closed loop, whose tasks are collected as garbage
            waiter.granted.cancel()
        if waiter.granted.cancelled():
            self._queue.discard(waiter)
            self._sync_after_release()
        elif waiter.granted.exception() is None:  # the slot was granted just before the cancellation
            self.release(waiter.granted.result(), None)

    def _sync_after_release(self) -> None:
        loop = self._thread.loop
        if loop is None or loop.is_closed() or not self._is_busy():
            self._start_sync()
            self._stop_listening_if_idle()
        elif not self._sync_is_scheduled:  # one sync for all calls that end in one turn of the loop
            self._sync_is_scheduled = True
            loop.call_soon(self._start_sync)

    def _stop_listening_if_idle(self) -> None:
        # At once, and not after the last sync: the loop may be closed by then.
        if not self._is_busy():
            self._wakeup.close()

    def _is_busy(self) -> bool:
        return any(self._held.values()) or self._is_awaited()

    def _is_awaited(self) -> bool:
        return any(self._queue.lengths[key] for key in self._domains)

    def _needs_sync(self, waiter: Waiter[Grant]) -> bool:
        """Return whether a new waiter goes before one that the store was given, or all of those are served."""
        return any(self._all_served(key) or waiter < self._sync.waiting[key][-1] for key in waiter.domains)

    def _all_served(self, key: str) -> bool:
        """Return whether all waiters are served that the last sync was given."""
        return all(waiter.granted.done() for waiter in self._sync.waiting.get(key, ()))

    def _start_sync(self) -> None:
        self._sync_is_scheduled = False
        # Else the last sync's waiters are still all there are. To look for them takes a pass over the whole queue.
        if self._has_unsynced or not self._is_awaited():
            waiting = {
                key: self._queue.peek_many(key, _MAX_WAITERS) for key in self._domains if self._queue.lengths[key]
            }
            self._sync.waiting = waiting
            self._has_unsynced = any(len(waiters) == _MAX_WAITERS for waiters in waiting.values())
        self._sync.wakeup_port = self._wakeup.port
        self._thread.order()

    def _on_synced(self, result: SyncResult | Exception) -> None:
        if isinstance(result, SyncResult):
            self._grant(result)
        else:
            self._fail_all(result)

    def _grant(self, result: SyncResult) -> None:
        self._seen |= result.seen
        for waiter, grant in result.grants:
            self._held[grant.key] += 1
            if waiter.granted.done():  # cancelled while the sync ran
                self.release(grant, None)
            else:
                waiter.granted.set_result(grant)
                self._queue.discard(waiter)
        for key, before, ended_as in result.changes:
            for change in result.seen[key].limit.changes_since(before, ended_as):
                logger.info("domain %s: %s", self._domains[key].url, change)
        self._schedule_sync(result.next_in)
        # There may be slots for more waiters than this sync was given.
        if self._has_unsynced and any(self._all_served(key) for key, known in self._sync.waiting.items() if known):
            self._start_sync()

    def _fail_all(self, error: Exception) -> None:
        # The store is the same for all domains, so no waiter would get a slot of another one.
        for key in self._domains:
            while (waiter := self._queue.peek(key)) is not None:
                waiter.granted.set_exception(error)
                self._queue.discard(waiter)
        self._stop_listening_if_idle()
        self._schedule_sync(None)

    def _schedule_sync(self, wait: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._thread.loop is None or (wait is None and not self._is_busy()):
            return  # without calls the process is not a member, and has no lease to renew
        delay = self._sync.renew_every
        if self._is_awaited():
            # Spread, so that the processes of a host do not all open the store at the same moment.
            every = _SYNC_EVERY if self._wakeup.port else _POLL_EVERY
            delay = min(delay, self._runtime.uniform(0.75 * every, 1.25 * every))
        self._timer = self._thread.loop.call_later(delay if wait is None else min(delay, wait), self._start_sync)
