"""A cluster of workers that share the slots of domains through a store: events in simulated time, without waiting.

What decides is the package's own pure code, ``SharedGate`` with its members and the limit that it learns. Around it
stand what a process does (see ``Worker``), the store, the service and the failures, each as simple as the numbers
allow. All of it follows from the seed: no clock is read, and nothing depends on the order of a hash. Floats are added
one by one, since ``sum`` of floats rounds otherwise from Python 3.12 on.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from virtual import ROUND_TRIP, SIGMA

from clova_ocr_async.host.processes import Process
from clova_ocr_async.slots.limit import LimitSignal
from clova_ocr_async.slots.sharing.state import LEASE, FinishedCall, Limits, Member, MemberUpdate, SharedGate

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.slots.limit import Permit, SlotResult
    from clova_ocr_async.slots.queue import Priority

__all__ = ["Cluster", "Counts", "simulate"]

WARM_UP = 30.0  # seconds that are not counted: the limits are learned, and the calls of the first moment spread
ENOUGH_CALLS, ENOUGH_TRANSACTIONS = 5000, 100_000
MORE = 2  # images in work of a worker and domain beyond the learned limit
RESTARTED_AFTER = 5.0  # seconds from the death of a worker to the first step of the one in its place
LONGEST_STOP = 60.0  # seconds that a worker may be stopped: twice the lease
EACH_FAILS = 3600.0  # mean seconds between two failures of one worker
SOME_FAILS = 60.0  # seconds between two failures in the cluster, at most
EVICT_EVERY = 0.5  # seconds between two looks for dead members, as in ``slots.sharing.sync``
POLL_EVERY = 0.05  # seconds between two syncs of a worker that waits, as in ``slots.sharing.broker``
RENEW_EVERY = LEASE / 3  # seconds, likewise
_NO_PID = 2**31  # of no process: the one that a worker succeeds has ended


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The cluster that is simulated.

    Attributes:
        workers: How many.
        domains: How many.
        seed: Of all chances.
        seconds: Simulated seconds that are counted at least. They go on until ``ENOUGH_CALLS`` are answered, or
            ``ENOUGH_TRANSACTIONS`` are made.
        ceiling: Calls at once that each domain takes.
        call: Mean seconds of a call.
        fastest: Shortest seconds of a transaction of the store.
        slowest: Longest ones.
        fails: Whether workers fail.
    """

    workers: int
    domains: int
    seed: int
    seconds: float = 60.0
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
        slot_operations: Transactions on the slots.
        ledger_operations: Transactions on the ledger.
    """

    seconds: float = 0.0
    used: float = 0.0
    answered: int = 0
    refused: int = 0
    failures: int = 0
    kills: int = 0
    ambiguous: int = 0
    slot_operations: int = 0
    ledger_operations: int = 0


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


@dataclass(slots=True, eq=False)
class Item:
    """An image in work.

    Attributes:
        priority: Its place in the queue for a slot.
        domain: The domain that it is sent to.
        entered: When the service let its call in; None while no call of it runs.
        is_sent: Whether the ledger has it as sent, and not as answered.
    """

    priority: Priority
    domain: Service
    entered: float | None = None
    is_sent: bool = False


class Service:
    """A domain: its limit of calls at once at the service, and its row in the store.

    Args:
        events: What is to happen.
        ceiling: Calls at once.
        latency: Draws the seconds of a call.

    Attributes:
        gate: The slots in the store.
        locked_until: When the last transaction that waits for the row will have ended.
    """

    def __init__(self, events: Events, ceiling: int, latency: Callable[[], float]) -> None:
        self.gate = SharedGate()
        self.locked_until = 0.0
        self._events = events
        self._signal = LimitSignal(advertised=ceiling)
        self._ceiling = ceiling
        self._latency = latency
        self._running = 0
        self._useful: dict[int, Item] = {}
        self._useful_seconds = 0.0

    def call(self, item: Item, reply: Callable[[SlotResult], object]) -> None:
        """Take a request, and plan the reply: an answer, or the refusal of a call too many."""
        if self._running >= self._ceiling:
            reply(self._signal)
            return
        self._running += 1
        item.entered = self._events.now
        self._useful[id(item)] = item
        self._events.after(self._latency(), partial(self._answer, item, reply))

    def forget(self, item: Item) -> None:
        """Count the call of an item for nothing, as its worker was killed. It runs on."""
        self._useful.pop(id(item), None)

    def useful_seconds(self) -> float:
        """Return the counted seconds of all calls whose workers live."""
        total = self._useful_seconds
        for item in self._useful.values():
            total += self._counted_seconds(item)
        return total

    def _answer(self, item: Item, reply: Callable[[SlotResult], object]) -> None:
        self._running -= 1
        if self._useful.pop(id(item), None) is not None:
            self._useful_seconds += self._counted_seconds(item)
            reply("admitted")

    def _counted_seconds(self, item: Item) -> float:
        assert item.entered is not None  # noqa: S101 - for the type checkers
        return max(0.0, self._events.now - max(item.entered, WARM_UP))


@dataclass(slots=True, eq=False)
class Seat:
    """What a worker has to do with one domain.

    Attributes:
        domain: The domain.
        held: Its slots.
        finished: Its calls that have ended since the last sync.
        waiting: Its items that wait for a slot, the first one first.
        ceiling: The learned limit, as last seen.
    """

    domain: Service
    held: int = 0
    finished: list[FinishedCall] = field(default_factory=list[FinishedCall])
    waiting: list[Item] = field(default_factory=list[Item])
    ceiling: int = 0


class Worker:
    """A process on a host of its own, which no other one can wake.

    Its items never end. It keeps as many in work as the limits that it knows, and a few more. One sync with the store
    runs at a time, as in ``slots.sharing.broker``: after each call that has ended, every ``POLL_EVERY`` while an item
    waits, and else before the lease ends. An item is claimed while others run. Once it has a slot, the ledger marks it
    as sent, then it is sent; the slot is free when the ledger has the answer.

    Args:
        run: The simulation.
        number: Its number, and its host's.
        life: How often it was started before.
        domains: The domains that it calls.
    """

    def __init__(self, run: _Run, number: int, life: int, domains: list[Service]) -> None:
        self._run = run
        self.number, self.life, self.domains = number, life, domains
        self._name = f"{number}.{life}"
        self._process = Process(f"simulated {number}", _NO_PID, "0")
        self._seats = [Seat(domain) for domain in domains]
        self._evicted_at = -math.inf
        self._is_ordered = self._is_syncing = False
        self._timer = 0  # the number of the last one; the others are over
        self._stopped_until = 0.0
        self._is_killed = False
        self._sent: dict[int, Item] = {}

    def start(self) -> None:
        """Begin."""
        for seat in self._seats:
            self._claim(seat)
        self._order_sync()

    def kill(self) -> None:
        """End it, as kill -9 does; its calls run on at the service."""
        self._is_killed = True
        self._run.counts.ambiguous += len(self._sent)
        for item in self._sent.values():
            item.domain.forget(item)

    def stop(self, seconds: float) -> None:
        """Stop it for some time, as SIGSTOP and SIGCONT do; never in the middle of a transaction."""
        self._stopped_until = max(self._stopped_until, self._run.events.now + seconds)

    def _after(self, seconds: float, action: Callable[[], object]) -> None:
        self._run.events.after(seconds, partial(self._act, action))

    def _act(self, action: Callable[[], object]) -> None:
        wait = self._stopped_until - self._run.events.now
        if wait > 0.0:
            self._after(wait, action)
        elif not self._is_killed:
            action()

    # -----------------------------------------------------------------------------------------------------------------
    # Slots

    def _order_sync(self) -> None:
        if self._is_ordered:
            return
        self._is_ordered = True
        if not self._is_syncing:
            self._wait_for_lock()

    def _wait_for_lock(self) -> None:
        now, took = self._run.events.now, self._run.store_seconds()
        # Whoever comes first goes first; a transaction locks the rows of all the domains of its worker.
        begins = max([now, *(domain.locked_until for domain in self.domains)])
        for domain in self.domains:
            domain.locked_until = begins + took
        self._after(begins - now, partial(self._sync, took))

    def _sync(self, took: float) -> None:
        self._is_ordered, self._is_syncing = False, True
        self._run.counts.slot_operations += 1
        now = self._run.events.now
        looks = now - self._evicted_at >= EVICT_EVERY
        self._evicted_at = now if looks else self._evicted_at
        grants: list[tuple[Seat, Item, Permit]] = []
        waits: list[float] = []
        for seat in self._seats:
            gate = seat.domain.gate
            if looks:
                gate.evict_dead(self._process, now, self._name)
            me = Member(self._process, 0, now + LEASE, Limits())
            reply = gate.update(
                self._name, me, MemberUpdate(seat.held, seat.finished, seat.waiting), now, self._run.chance.uniform
            )
            seat.finished, seat.ceiling = [], gate.limit.value
            seat.held += len(reply.granted)
            seat.waiting = seat.waiting[len(reply.granted) :]
            grants += [(seat, item, permit) for item, permit in reply.granted]
            waits += [] if reply.next_in is None else [reply.next_in]
        self._after(took, partial(self._synced, grants, min(waits, default=None), now))

    def _synced(self, grants: list[tuple[Seat, Item, Permit]], next_in: float | None, granted_at: float) -> None:
        self._is_syncing = False
        # A slot whose lease ended while the worker was stopped belongs to others by now.
        is_lost = self._run.events.now - granted_at >= LEASE
        for seat, item, permit in grants:
            if is_lost:
                self._release(seat, item, permit, None)
            else:
                self._ledger(partial(self._send, seat, item, permit))
        for seat in self._seats:
            if self._claim(seat):
                self._order_sync()
        if self._is_ordered:
            self._wait_for_lock()
        self._set_timer(next_in)

    def _set_timer(self, next_in: float | None) -> None:
        delay = RENEW_EVERY
        if any(seat.waiting for seat in self._seats):
            delay = min(next_in or POLL_EVERY, self._run.chance.uniform(0.75 * POLL_EVERY, 1.25 * POLL_EVERY))
        self._timer += 1
        self._after(delay, partial(self._ring, self._timer))

    def _ring(self, timer: int) -> None:
        if timer == self._timer:
            self._order_sync()

    # -----------------------------------------------------------------------------------------------------------------
    # Calls

    def _claim(self, seat: Seat) -> bool:
        """Take new items into work; return whether none waited before, so that the store is to be asked at once."""
        was_empty = not seat.waiting
        wanted = max(1, seat.ceiling) + MORE - seat.held - len(seat.waiting)
        for _ in range(wanted):
            self._run.counts.ledger_operations += 1
            seat.waiting.append(Item((True, self._run.events.now, next(self._run.numbers)), seat.domain))
        return was_empty and wanted > 0

    def _ledger(self, action: Callable[[], object]) -> None:
        self._run.counts.ledger_operations += 1
        self._after(self._run.store_seconds(), action)

    def _send(self, seat: Seat, item: Item, permit: Permit) -> None:
        self._sent[id(item)] = item
        reply = partial(self._run.events.after, ROUND_TRIP / 2)
        arrive = partial(seat.domain.call, item, lambda result: reply(partial(self._act, ended(result))))

        def ended(result: SlotResult) -> Callable[[], object]:
            return partial(self._ledger, partial(self._ended, seat, item, permit, result))

        self._run.events.after(ROUND_TRIP / 2, arrive)

    def _ended(self, seat: Seat, item: Item, permit: Permit, result: SlotResult) -> None:
        del self._sent[id(item)]
        if isinstance(result, LimitSignal):
            self._run.counts.refused += 1
            self._release(seat, item, permit, result)
        else:
            self._run.counts.answered += 1
            self._run.counts.ledger_operations += 1  # the settlement, which nothing waits for
            self._release(seat, None, permit, result)

    def _release(self, seat: Seat, again: Item | None, permit: Permit, result: SlotResult | None) -> None:
        """Give a slot back; an item that is to be sent again keeps its place in the queue."""
        seat.held -= 1
        seat.finished.append((permit, result))
        if again is not None:
            seat.waiting.append(again)
            seat.waiting.sort(key=lambda item: item.priority)
        self._claim(seat)
        self._order_sync()


class _Run:
    """One simulation.

    Args:
        cluster: What is simulated.

    Attributes:
        events: What is to happen.
        chance: The chances.
        counts: What happened.
        numbers: The order of items.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.events = Events()
        self.chance = random.Random(f"{cluster.seed} {cluster.workers} {cluster.domains}")  # noqa: S311 - the same each time
        self.counts = Counts()
        self.numbers = itertools.count()
        self._cluster = cluster
        self._domains = [Service(self.events, cluster.ceiling, self._call_seconds) for _ in range(cluster.domains)]
        self._workers = [Worker(self, number, 0, self._domains_of(number)) for number in range(cluster.workers)]

    def store_seconds(self) -> float:
        """Draw the seconds of a transaction."""
        return self.chance.uniform(self._cluster.fastest, self._cluster.slowest)

    def run(self) -> Counts:
        """Let it happen."""
        for worker in self._workers:
            # Not all at the same moment.
            self.events.after(self.chance.uniform(0.0, 1.0), worker.start)
        self.events.run(WARM_UP)
        self.counts = Counts()
        if self._cluster.fails:
            self._plan_failure()
        counts = self.counts
        while counts.seconds < self._cluster.seconds or not self._is_enough():
            counts.seconds += 1.0
            self.events.run(WARM_UP + counts.seconds)
        useful = 0.0
        for domain in self._domains:
            useful += domain.useful_seconds()
        counts.used = useful / (self._cluster.domains * self._cluster.ceiling * counts.seconds)
        return counts

    def _is_enough(self) -> bool:
        transactions = self.counts.slot_operations + self.counts.ledger_operations
        return self.counts.answered >= ENOUGH_CALLS or transactions >= ENOUGH_TRANSACTIONS

    def _call_seconds(self) -> float:
        return self.chance.lognormvariate(math.log(self._cluster.call) - SIGMA**2 / 2, SIGMA)

    def _domains_of(self, number: int) -> list[Service]:
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
            self._workers[number] = successor = Worker(self, number, worker.life + 1, worker.domains)
            self.events.after(RESTARTED_AFTER, successor.start)
        self._plan_failure()


def simulate(cluster: Cluster) -> Counts:
    """Simulate a cluster."""
    return _Run(cluster).run()
