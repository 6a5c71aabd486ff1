"""Synchronisation of one process with the store of the shared slots.

The process may use a slot as long as it holds its lease. It cannot ask the store before each call: between the answer
and the call it may be stopped again. So it goes by its own clock, on which the lease ends no later than on the store's.
Once the lease was over, the slots that were granted before are lost for good, as others may have them by now. Each loss
begins a new *epoch*, and a slot belongs to the epoch in which it was granted.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

from clova_ocr_async.host.processes import Process
from clova_ocr_async.slots.sharing.membership import Grant, Membership, News, Seen, SyncResult
from clova_ocr_async.slots.sharing.outage import Outage
from clova_ocr_async.slots.sharing.state import LEASE
from clova_ocr_async.slots.sharing.store import GateConflictError, StoreAwayError, StoreBusyError, transaction
from clova_ocr_async.slots.sharing.wakeup import wake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from clova_ocr_async.host.runtime import Runtime
    from clova_ocr_async.slots.queue import Waiter
    from clova_ocr_async.slots.sharing.membership import Attempt
    from clova_ocr_async.slots.sharing.state import FinishedCall, Limits
    from clova_ocr_async.slots.sharing.store import GateStore

__all__ = ["GateSync"]

_PATIENCE = 5.0  # seconds for which a sync is done again because other processes came first
_LONGEST_BACKOFF = 0.05  # seconds between two of these tries

_in_transaction = threading.Lock()
# A fork in the middle of a transaction would leave SQLite's own locks held in the child, for ever. Windows has no fork.
getattr(os, "register_at_fork", dict)(
    before=_in_transaction.acquire, after_in_parent=_in_transaction.release, after_in_child=_in_transaction.release
)


class _Lease(NamedTuple):
    """The lease of the process.

    Attributes:
        epoch: How often it was lost.
        until: Its end, by the clock of the process.
    """

    epoch: int
    until: float


class GateSync:
    """The syncs of this process with the store. Its methods run in a thread, except ``holds``.

    Args:
        store: The store.
        limits: The limits that the user gave for each domain, by its key; may grow.
        runtime: Time and randomness.
        lease: Seconds of a lease.
        this_process: Returns the running process.
        sleep: Waits some seconds, in this thread.

    Attributes:
        finished: Released slots, by the key of their domain, with the results of their calls; the event loop appends.
        waiting: The waiters of each domain, the first one first; the event loop replaces it as a whole.
        wakeup_port: The port where the process can be woken.
        renew_every: Seconds after which the lease is to be renewed.
    """

    def __init__(
        self,
        store: GateStore,
        limits: Mapping[str, Limits],
        runtime: Runtime,
        lease: float = LEASE,
        *,
        this_process: Callable[[], Process] = Process.this,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.finished: deque[tuple[str, FinishedCall]] = deque()
        self.waiting: Mapping[str, Sequence[Waiter[Grant]]] = {}
        self.wakeup_port = 0
        self.renew_every = lease / 3
        self._store = store
        self._limits = limits
        self._runtime = runtime
        self._me = Membership(
            limits,
            lease,
            several_hosts=store.several_hosts,
            uniform=runtime.uniform,
            this_process=this_process,
        )
        self._outage = Outage(runtime)
        self._lease = _Lease(0, float("-inf"))
        self._sleep = sleep

    def holds(self, grant: Grant) -> bool:
        """Return whether a slot is still the process's; the event loop asks."""
        lease = self._lease  # the thread replaces it as a whole
        return grant.epoch == lease.epoch and self._runtime.clock() < lease.until

    def run(self) -> SyncResult:
        """Report the finished calls, and get slots for the waiters.

        Raises:
            OSError: And others, for an error that the store does not make up for.
            ConfigurationError: The store was never reached, or refuses this process.
        """
        return self._sync(self.waiting)

    def release_unclaimed(self, result: SyncResult) -> None:
        """Release the slots of a sync whose waiters are gone, with their event loop."""
        if result.grants:
            self.finished.extend((grant.key, (grant.permit, None)) for _, grant in result.grants)
            self._sync({})

    def release_all(self) -> None:
        """Release everything, as all calls are gone with their event loop."""
        self.finished.clear()
        self._me.held.clear()
        self._sync({})

    def _sync(self, waiting: Mapping[str, Sequence[Waiter[Grant]]]) -> SyncResult:
        # A fixed number: the event loop may append meanwhile, and those calls go with the next sync.
        finished = [self.finished.popleft() for _ in range(len(self.finished))]
        news = News(finished, waiting, self.wakeup_port)
        keys = self._me.keys(news)
        try:
            result = self._sync_with_store(keys, news) if self._outage.may_try else None
            if result is None:
                result = self._sync_alone(keys, news)
        except BaseException:
            # The next sync reports the calls again. It is unknown of which domains the process is a member now.
            self.finished.extendleft(reversed(finished))
            self._me.domains.update(keys)
            raise
        wake(result.wakeup_ports)
        return result

    def _sync_with_store(self, keys: Sequence[str], news: News) -> SyncResult | None:
        """Sync with the store; return None if it is away."""
        try:
            # A server's libraries hold no locks of the whole process, and must not hold up a fork for seconds.
            with nullcontext() if self._store.several_hosts else _in_transaction:
                result = self._repeat_until_stored(keys, news) if keys else SyncResult()
                if not self._me.domains:
                    self._store.close()
        except StoreAwayError as error:
            away = error
        else:
            return result
        self._outage.on_away(away)
        return None

    def _repeat_until_stored(self, keys: Sequence[str], news: News) -> SyncResult:
        began, backoff = self._runtime.clock(), 0.002
        while True:
            try:
                return self._sync_once(keys, news)
            except GateConflictError:
                if self._runtime.clock() - began >= _PATIENCE:
                    raise StoreBusyError from None
            self._sleep(self._runtime.uniform(0.0, backoff))
            backoff = min(2 * backoff, _LONGEST_BACKOFF)

    def _sync_once(self, keys: Sequence[str], news: News) -> SyncResult:
        began = self._begin()
        with transaction(self._store, keys) as gates:
            now = self._store.now()
            self._me.compare_clocks(self._runtime.clock(), now)
            if self._store.several_hosts and self._me.is_forgotten(gates):
                self._outage.on_lost_contents(self.renew_every)
            self._me.stored.difference_update(keys)  # until this sync is stored
            by_lease = self._outage.trusts_leases or not self._store.several_hosts
            attempt = self._me.attempt(gates, news, now, cap=self._outage.cap, by_lease=by_lease)
            self._outage.on_saving(attempt.held)
        self._me.stored.update(attempt.member_of)
        self._outage.on_synced(attempt.held)
        # Where clock and lease are those of one host, its own clock has shown that already.
        return self._commit(attempt, began, lost=attempt.evicted and self._store.several_hosts)

    def _sync_alone(self, keys: Sequence[str], news: News) -> SyncResult:
        """Serve the waiters out of the process's share, while the store is away."""
        began = self._begin()
        gates = {key: self._outage.gate(key, self._me.limit(key)) for key in keys}
        attempt = self._me.attempt(gates, news, self._me.store_time(began), cap=self._outage.cap)
        attempt.member_of.update(keys)  # in the store it still is: what ends now is to be reported later
        result = self._commit(attempt, began)
        for key, seen in result.seen.items():
            result.seen[key] = Seen(seen.limit, share=self._outage.share(key))
        result.come_back_in(self._outage.retry_in)
        return result

    def _begin(self) -> float:
        """Return the time, after a look whether the lease was lost before it is renewed."""
        now = self._runtime.clock()
        if now >= self._lease.until:
            self._lose_lease(now)
            self._outage.on_lost_lease()
        return now

    def _lose_lease(self, until: float) -> None:
        self._lease = _Lease(self._lease.epoch + 1, until)

    def _commit(self, attempt: Attempt, began: float, *, lost: bool = False) -> SyncResult:
        # One assignment, and no earlier epoch with the new end.
        self._lease = _Lease(self._lease.epoch + lost, began + attempt.lease)
        return self._me.commit(attempt, self._lease.epoch)
