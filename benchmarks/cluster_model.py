"""A cluster of workers that share the slots of domains through a store: events in simulated time, without waiting.

What decides is the package's own pure code: ``Membership`` with the waiters of a process, ``SharedGate``, and the limit
that it learns. Around it stand what a process does (see ``Worker``), the store, the service and the failures, each as
simple as the numbers allow. All of it follows from the seed: no clock is read, and nothing depends on the order of a
hash. Floats are added one by one, since ``sum`` of floats rounds otherwise from Python 3.12 on.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import random
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from virtual import ROUND_TRIP, SIGMA

from clova_ocr_async.host.processes import Process
from clova_ocr_async.slots.limit import LimitSignal
from clova_ocr_async.slots.queue import Waiter
from clova_ocr_async.slots.shared import SERVER_LEASE
from clova_ocr_async.slots.sharing.membership import Grant, Membership, News
from clova_ocr_async.slots.sharing.outage import GRACE
from clova_ocr_async.slots.sharing.state import Limits
from clova_ocr_async.slots.sharing.validation import decode_gate

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.slots.limit import SlotResult
    from clova_ocr_async.slots.sharing.membership import Attempt
    from clova_ocr_async.slots.sharing.state import FinishedCall

__all__ = ["Cluster", "Counts", "simulate"]

WARM_UP = 20.0  # seconds that are not counted: the limits are learned, and the calls of the first moment spread
SHORTEST, ENOUGH_CALLS = 20.0, 3000  # seconds that are counted at least, and answers that are enough
MORE = 2  # images in work of a worker beyond the learned limit of each domain
RESTARTED_AFTER = 5.0  # seconds from the death of a worker to the first step of the one in its place
LONGEST_STOP = 60.0  # seconds that a worker may be stopped: twice the lease
EACH_FAILS = 3600.0  # seconds between two failures of one worker, in the mean
SOME_FAILS = 60.0  # seconds between two failures in the cluster, at most
# As in slots.sharing.broker and slots.sharing.sync:
SYNC_EVERY = 1.0  # seconds between two syncs of a worker that waits, at most
RENEW_EVERY = SERVER_LEASE / 3  # seconds between two syncs of one that does not
FIRST_BACKOFF, LONGEST_BACKOFF = 0.002, 0.05  # seconds until a sync is repeated that came too late
_NO_PID = 2**31  # of no process: the one that a worker succeeds has ended


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The cluster that is simulated.

    Attributes:
        workers: How many.
        domains: How many.
        seed: Of all chances.
        operations: Operations of the store that are enough.
        ceiling: Calls at once that each domain takes.
        call: Mean seconds of a call.
        fastest: Shortest seconds of an operation of the store.
        slowest: Longest ones.
        fails: Whether workers fail.
    """

    workers: int
    domains: int
    seed: int
    operations: int
    ceiling: int = 5
    call: float = 10.0
    fastest: float = 0.0003
    slowest: float = 0.003
    fails: bool = False


@dataclass
class Counts:
    """What happened in the counted time.

    Attributes:
        seconds: How long it was.
        used: Share of the slots' time in which calls ran whose answers were kept.
        answered: Calls whose answers were kept.
        refused: Calls refused.
        failures: Workers killed or stopped.
        kills: Those that were killed.
        ambiguous: Items whose calls were in flight when their worker was killed.
        reads: Operations that read the slots.
        swaps: Operations that change the slots.
        conflicts: Those that came too late, and were repeated.
        transferred: Bytes of slots that were read and written.
        ledger_operations: Transactions on the ledger.
    """

    seconds: float = 0.0
    used: float = 0.0
    answered: int = 0
    refused: int = 0
    failures: int = 0
    kills: int = 0
    ambiguous: int = 0
    reads: int = 0
    swaps: int = 0
    conflicts: int = 0
    transferred: int = 0
    ledger_operations: int = 0

    @property
    def slot_operations(self) -> int:
        """Operations on the slots."""
        return self.reads + self.swaps


class Events:
    """What is to happen, by time; events of one moment happen in the order in which they were planned.

    Attributes:
        now: The simulated time.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Plan an action."""
        heapq.heappush(self._planned, (self.now + seconds, next(self._numbers), action))

    def run(self, until: float) -> None:
        """Let everything happen up to a time."""
        while self._planned[0][0] <= until:
            self.now, _, action = heapq.heappop(self._planned)
            action()
        self.now = until


class Domain:
    """A domain: its value in the store, and its limit of calls at once at the service.

    Args:
        events: What is to happen.
        key: Its name.
        ceiling: Calls at once.
        latency: Draws the seconds of a call.

    Attributes:
        key: Its name.
        value: The slots, as the store has them; empty at first.
    """

    def __init__(self, events: Events, key: str, ceiling: int, latency: Callable[[], float]) -> None:
        self.key = key
        self.value = b""
        self._events = events
        self._refusal = LimitSignal(advertised=ceiling)
        self._ceiling = ceiling
        self._latency = latency
        self._running = 0
        self._useful: dict[Call, float] = {}
        self._useful_seconds = 0.0

    def receive(self, call: Call) -> None:
        """Let a call in, or refuse it; the call gets its result, unless it was forgotten."""
        if self._running >= self._ceiling:
            call.reply(self._refusal)
            return
        self._running += 1
        self._useful[call] = self._events.now
        self._events.after(self._latency(), partial(self._answer, call))

    def forget(self, call: Call) -> None:
        """Count a call for nothing, as its worker was killed. It runs on."""
        self._useful.pop(call, None)

    def useful_seconds(self) -> float:
        """Return the counted seconds of all calls whose workers live."""
        total = self._useful_seconds
        for entered in self._useful.values():
            total += self._counted_since(entered)
        return total

    def _answer(self, call: Call) -> None:
        self._running -= 1
        entered = self._useful.pop(call, None)
        if entered is not None:
            self._useful_seconds += self._counted_since(entered)
            call.reply("admitted")

    def _counted_since(self, entered: float) -> float:
        return max(0.0, self._events.now - max(entered, WARM_UP))


@dataclass(slots=True, eq=False)
class Call:
    """A call that has a slot.

    Attributes:
        worker: Whose call it is.
        domain: Where it goes.
        since: When its image began to wait; a refused call that waits again keeps its place.
        grant: The slot.
    """

    worker: Worker
    domain: Domain
    since: float
    grant: Grant

    def reply(self, result: SlotResult) -> None:
        """Bring the result to the worker."""
        self.worker.after(ROUND_TRIP / 2, partial(self.worker.receive, self, result))


class Worker:
    """A process on a host of its own, which no other one can wake.

    Its images never end. It keeps as many in work as the limits that it knows, and a few more. An image is claimed
    while others run. Once it has a slot, the ledger marks it as sent, then it is sent; the slot is free when the ledger
    has the answer. What it asks of the slots' store is what ``slots.sharing.broker`` and ``slots.sharing.sync`` ask:
    one sync at a time, after each call that has ended, when the last sync said so, and else often enough for the lease.

    Args:
        run: The simulation.
        number: Its number, and its host's.
        domains: The domains that it calls.
    """

    def __init__(self, run: Run, number: int, domains: list[Domain]) -> None:
        self._run = run
        self._number, self.domains = number, domains
        self._me = Membership(
            {domain.key: Limits() for domain in domains},
            SERVER_LEASE,
            several_hosts=True,
            uniform=run.chance.uniform,
            this_process=self._process,
        )
        self._waiting: dict[str, list[Waiter[Grant]]] = {domain.key: [] for domain in domains}
        self._finished: deque[tuple[str, FinishedCall]] = deque()
        self._sent: dict[Call, None] = {}  # in a fixed order, which a set has not
        self._is_ordered = self._is_syncing = False
        self._timer = 0  # the number of the last one; the others are over
        self._lease_until, self._epoch = 0.0, 0
        self._started_at = math.inf
        self._stopped_until = 0.0
        self._is_killed = False

    def start(self) -> None:
        """Begin."""
        self._started_at = self._run.events.now
        for domain in self.domains:
            self._claim(domain.key)
        self._order_sync()

    def kill(self) -> None:
        """End it, as kill -9 does; its calls run on at the service."""
        self._is_killed = True
        self._run.counts.ambiguous += len(self._sent)
        for call in self._sent:
            call.domain.forget(call)

    def stop(self, seconds: float) -> None:
        """Stop it for some time, as SIGSTOP and SIGCONT do."""
        self._stopped_until = max(self._stopped_until, self._run.events.now + seconds)

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Plan what it does itself: later if it is stopped then, and never if it was killed."""
        self._run.events.after(seconds, partial(self._act, action))

    def receive(self, call: Call, result: SlotResult) -> None:
        """Take the result of a call, and record it."""
        self._ledger(partial(self._record, call, result))

    def _act(self, action: Callable[[], object]) -> None:
        wait = self._stopped_until - self._run.events.now
        if wait > 0.0:
            self.after(wait, action)
        elif not self._is_killed:
            action()

    def _process(self) -> Process:
        return Process(f"host {self._number}", _NO_PID, "0")

    # -----------------------------------------------------------------------------------------------------------------
    # Slots: a read, and a swap if something changes

    def _order_sync(self) -> None:
        if not self._is_ordered:
            self._is_ordered = True
            if not self._is_syncing:
                self._begin_sync()

    def _begin_sync(self) -> None:
        self._is_ordered, self._is_syncing = False, True
        waiting = {key: waiters.copy() for key, waiters in self._waiting.items() if waiters}
        self._read(News([self._finished.popleft() for _ in range(len(self._finished))], waiting, 0))

    def _read(self, news: News, backoff: float = FIRST_BACKOFF) -> None:
        now, took = self._run.events.now, self._run.store_seconds()
        if now >= self._lease_until:
            self._epoch += 1
        self._run.counts.reads += 1

        def reply() -> None:
            values = [domain.value for domain in self.domains]
            self._run.counts.transferred += sum(map(len, values))
            self.after(took / 2, partial(self._try, news, values, (now, self._run.events.now), backoff))

        self._run.events.after(took / 2, reply)

    def _try(self, news: News, values: list[bytes], times: tuple[float, float], backoff: float) -> None:
        began, now = times
        gates = {
            domain.key: decode_gate(value, now) for domain, value in zip(self.domains, values, strict=True) if value
        }
        gates |= {domain.key: decode_gate(None, now) for domain in self.domains if domain.key not in gates}
        attempt = self._me.attempt(gates, news, now, by_lease=now - self._started_at >= GRACE)
        changes = [
            (domain, value, new)
            for domain, value in zip(self.domains, values, strict=True)
            if (new := msgspec.json.encode(gates[domain.key])) != value
        ]
        if not changes:
            self._commit(news, attempt, began)
            return
        self._run.counts.swaps += 1
        self._run.counts.transferred += sum(len(old) + len(new) for _, old, new in changes)
        took = self._run.store_seconds()

        def swap() -> None:
            if any(domain.value != old for domain, old, _ in changes):
                wait = self._run.chance.uniform(0.0, backoff)
                self.after(took / 2 + wait, partial(self._repeat, news, min(2 * backoff, LONGEST_BACKOFF)))
                return
            for domain, _, new in changes:
                domain.value = new
            self.after(took / 2, partial(self._commit, news, attempt, began))

        self._run.events.after(took / 2, swap)

    def _repeat(self, news: News, backoff: float) -> None:
        self._run.counts.conflicts += 1
        self._read(news, backoff)

    def _commit(self, news: News, attempt: Attempt, began: float) -> None:
        self._is_syncing = False
        self._epoch += attempt.evicted
        self._lease_until = began + attempt.lease
        result = self._me.commit(attempt, self._epoch)
        for waiter, grant in result.grants:
            waiter.granted.set_result(grant)
            self._waiting[grant.key].remove(waiter)
            self._ledger(partial(self._send, Call(self, self._domain(grant.key), waiter.priority[1], grant)))
        for key in self._waiting:
            # Else the new ones come after those that the store knows.
            if self._claim(key) and all(waiter.granted.done() for waiter in news.waiting.get(key, ())):
                self._order_sync()
        if self._is_ordered:
            self._begin_sync()
        self._set_timer(result.next_in)

    def _set_timer(self, next_in: float | None) -> None:
        delay = RENEW_EVERY if next_in is None else min(next_in, RENEW_EVERY)
        if any(self._waiting.values()):
            delay = min(delay, self._run.chance.uniform(0.75 * SYNC_EVERY, 1.25 * SYNC_EVERY))
        self._timer += 1
        self.after(delay, partial(self._ring, self._timer))

    def _ring(self, timer: int) -> None:
        if timer == self._timer:
            self._order_sync()

    # -----------------------------------------------------------------------------------------------------------------
    # Calls

    def _domain(self, key: str) -> Domain:
        return next(domain for domain in self.domains if domain.key == key)

    def _claim(self, key: str) -> bool:
        """Take new images into work; return whether there were any to take."""
        wanted = self._me.limit(key).value + MORE - self._me.held[key] - len(self._waiting[key])
        for _ in range(wanted):
            self._run.counts.ledger_operations += 1
            self._wait(key, self._run.events.now)
        return wanted > 0

    def _wait(self, key: str, since: float) -> None:
        self._waiting[key].append(Waiter([key], interactive=False, since=since))
        self._waiting[key].sort(key=lambda waiter: waiter.priority)

    def _ledger(self, action: Callable[[], object]) -> None:
        self._run.counts.ledger_operations += 1
        self.after(self._run.store_seconds(), action)

    def _send(self, call: Call) -> None:
        # A worker that was stopped may have lost the slot meanwhile.
        if call.grant.epoch != self._epoch or self._run.events.now >= self._lease_until:
            self._release(call, None)
            return
        self._sent[call] = None
        self._run.events.after(ROUND_TRIP / 2, partial(call.domain.receive, call))

    def _record(self, call: Call, result: SlotResult) -> None:
        del self._sent[call]
        if isinstance(result, LimitSignal):
            self._run.counts.refused += 1
        else:
            self._run.counts.answered += 1
            self._run.counts.ledger_operations += 1  # the settlement, which nothing waits for
        self._release(call, result)

    def _release(self, call: Call, result: SlotResult | None) -> None:
        """Give a slot back; an image that was not read keeps its place in the queue."""
        key = call.domain.key
        if result != "admitted":
            self._wait(key, call.since)
        self._finished.append((key, (call.grant.permit, result)))
        self._order_sync()


class Run:
    """One simulation.

    Args:
        cluster: What is simulated.

    Attributes:
        events: What is to happen.
        chance: The chances.
        counts: What happened.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.events = Events()
        seed = f"{cluster.seed} {cluster.workers} {cluster.domains}"
        self.chance = random.Random(seed)  # noqa: S311 - the same each time
        self.counts = Counts()
        self._cluster = cluster
        self._domains = [
            Domain(self.events, f"domain {number}", cluster.ceiling, self._call_seconds)
            for number in range(cluster.domains)
        ]
        self._workers = [Worker(self, number, self._domains_of(number)) for number in range(cluster.workers)]

    def store_seconds(self) -> float:
        """Draw the seconds of an operation of a store."""
        return self.chance.uniform(self._cluster.fastest, self._cluster.slowest)

    def run(self) -> Counts:
        """Let it happen."""
        for worker in self._workers:
            # Not all at the same moment.
            self.events.after(self.chance.uniform(0.0, 1.0), worker.start)
        self.events.run(WARM_UP)
        self.counts = counts = Counts()
        if self._cluster.fails:
            self._plan_failure()
        while counts.seconds < SHORTEST or not self._is_enough():
            counts.seconds += 1.0
            self.events.run(WARM_UP + counts.seconds)
        useful = 0.0
        for domain in self._domains:
            useful += domain.useful_seconds()
        counts.used = useful / (self._cluster.domains * self._cluster.ceiling * counts.seconds)
        return counts

    def _is_enough(self) -> bool:
        operations = self.counts.slot_operations + self.counts.ledger_operations
        return self.counts.answered >= ENOUGH_CALLS or operations >= self._cluster.operations

    def _call_seconds(self) -> float:
        return self.chance.lognormvariate(math.log(self._cluster.call) - SIGMA**2 / 2, SIGMA)

    def _domains_of(self, number: int) -> list[Domain]:
        """Return the domains of a worker: each domain has the same number of workers, or each worker of domains."""
        count, workers = self._cluster.domains, self._cluster.workers
        return [self._domains[number % count]] if workers >= count else self._domains[number::workers]

    def _plan_failure(self) -> None:
        self.events.after(min(SOME_FAILS, EACH_FAILS / self._cluster.workers), self._fail)

    def _fail(self) -> None:
        self.counts.failures += 1
        number = self.chance.randrange(self._cluster.workers)
        worker = self._workers[number]
        if self.counts.failures % 2 == 0:
            worker.stop(self.chance.uniform(0.0, LONGEST_STOP))
        else:
            self.counts.kills += 1
            worker.kill()
            self._workers[number] = successor = Worker(self, number, worker.domains)
            self.events.after(RESTARTED_AFTER, successor.start)
        self._plan_failure()


def simulate(cluster: Cluster) -> Counts:
    """Simulate a cluster."""

    async def in_loop() -> Counts:  # the waiters have futures, which belong to a loop
        return Run(cluster).run()

    return asyncio.run(in_loop())
