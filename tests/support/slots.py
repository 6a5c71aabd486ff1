"""Stand-ins for the processes that share slots: their store, their threads, and the calls that hold slots."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.slots.limit import LimitSignal
from clova_ocr_async.slots.shared import StoreSlots
from clova_ocr_async.slots.sharing.server_store import ServerGateStore
from clova_ocr_async.slots.sharing.sqlite_store import SqliteGateStore
from clova_ocr_async.slots.sharing.state import Limits, SharedGate
from clova_ocr_async.slots.sharing.store import StoreAwayError
from clova_ocr_async.slots.sharing.validation import decode_gate
from support.fakes import domain, steps

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from clova_ocr_async.domains import Domain
    from clova_ocr_async.slots import Lane, Slot, Slots
    from clova_ocr_async.slots.limit import SlotResult
    from clova_ocr_async.slots.sharing.server_store import Change
    from clova_ocr_async.slots.sharing.store import GateStore


# ---------------------------------------------------------------------------------------------------------------------
# Stores


class MemoryGateStore:
    """A store in a dictionary, which all processes of a test share.

    Args:
        rows: The stored rows, by name; shared with other stores.
        clock: Returns seconds that only grow.

    Attributes:
        loaded: The names of each load.
        fails: Whether saving fails.
    """

    several_hosts = False

    def __init__(self, rows: dict[str, bytes], clock: Callable[[], float]) -> None:
        self.loaded: list[set[str]] = []
        self.fails = False
        self.is_open = False
        self._rows = rows
        self._clock = clock

    def load(self, names: Collection[str]) -> dict[str, SharedGate]:
        """Return copies of the rows."""
        self.is_open = True
        self.loaded.append(set(names))
        return {name: decode_gate(self._rows.get(name), self._clock()) for name in names}

    def save(self, gates: Mapping[str, SharedGate]) -> None:
        """Replace the rows, all or none."""
        if self.fails:
            raise UnexpectedError
        self._rows.update({name: msgspec.json.encode(gate) for name, gate in gates.items()})

    def now(self) -> float:
        """Return the time."""
        return self._clock()

    def close(self) -> None:
        """Note that the store is closed."""
        self.is_open = False


class MemoryServerStore(ServerGateStore):
    """A server in a dictionary, which the hosts of a test share.

    Args:
        rows: The stored values, by name; shared with other stores.
        clock: Returns seconds that only grow.

    Attributes:
        away: The error of each request; None while the server answers.
        loses_replies: Whether the server is lost after it has stored a change.
        before_swap: Called before a change is stored, as if another process came first.
        swaps: Requests that wrote.
        closed: How often it was closed.
    """

    def __init__(self, rows: dict[str, bytes], clock: Callable[[], float]) -> None:
        super().__init__()
        self.away: StoreAwayError | None = None
        self.loses_replies = False
        self.before_swap: Callable[[], object] = int
        self.swaps = self.closed = 0
        self.is_open = False
        self._rows = rows
        self._clock = clock

    def read(self, names: Sequence[str]) -> tuple[float, dict[str, bytes]]:
        """Return the time and the rows."""
        self._answer()
        return self._clock(), {name: self._rows[name] for name in names if name in self._rows}

    def swap(self, changes: Sequence[Change]) -> bool:
        """Replace the rows that are as they were read."""
        self._answer()
        self.swaps += 1
        self.before_swap()
        for name, old, new in changes:
            if self._rows.get(name, b"") != old:
                return False
            self._rows[name] = new
        if self.loses_replies:
            self.away = AWAY
            self._answer()
        return True

    def close(self) -> None:
        """Note that the store is closed."""
        self.is_open = False
        self.closed += 1

    def _answer(self) -> None:
        if self.away is not None:
            raise self.away
        self.is_open = True


AWAY = StoreAwayError("memory://server", "it is away")


class UnexpectedError(Exception):
    """An error that the package does not know."""


class FailingClock:
    """A clock that fails on demand."""

    fails = False

    def __init__(self, clock: Callable[[], float] = lambda: 1000.0) -> None:
        self._clock = clock

    def __call__(self) -> float:
        """Return seconds, or fail."""
        if self.fails:
            raise UnexpectedError
        return self._clock()


class MemoryHost:
    """A host whose processes share a store in memory. Each of its slots stands for a process."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.stores: list[MemoryGateStore] = []

    def slots(self, concurrency: int | None = None, **settings: Any) -> StoreSlots:
        """Return the slots of one more process."""
        return slots_of(self.open_store, concurrency, **settings)

    def open_store(self, clock: Callable[[], float]) -> GateStore:
        """Return one more store of the same rows."""
        self.stores.append(MemoryGateStore(self.rows, clock))
        return self.stores[-1]

    def gates(self) -> list[SharedGate]:
        """Return the stored slots of all domains."""
        return [msgspec.json.decode(row, type=SharedGate) for row in self.rows.values()]

    def is_closed(self) -> bool:
        """Return whether no process has the store open."""
        return not any(store.is_open for store in self.stores)


class MemoryServerHost:
    """Hosts that share a server in memory. Each of the slots stands for a process; they may be of several hosts."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.stores: list[MemoryServerStore] = []

    def slots(self, concurrency: int | None = None, **settings: Any) -> StoreSlots:
        """Return the slots of one more process."""
        return slots_of(self.open_store, concurrency, **settings)

    def open_store(self, clock: Callable[[], float]) -> GateStore:
        """Return one more store of the same rows."""
        self.stores.append(MemoryServerStore(self.rows, clock))
        return self.stores[-1]

    def gates(self) -> list[SharedGate]:
        """Return the stored slots of all domains."""
        return [msgspec.json.decode(row, type=SharedGate) for row in self.rows.values()]

    def is_closed(self) -> bool:
        """Return whether no process has a connection."""
        return not any(store.is_open for store in self.stores)


class SqliteHost:
    """A host whose processes share a SQLite file. Each of its slots stands for a process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stores: list[SqliteGateStore] = []

    def slots(self, concurrency: int | None = None, **settings: Any) -> StoreSlots:
        """Return the slots of one more process."""
        return slots_of(self.open_store, concurrency, **settings)

    def open_store(self, clock: Callable[[], float]) -> GateStore:
        """Return one more store of the same file."""
        self._stores.append(SqliteGateStore(self.path, clock))
        return self._stores[-1]

    def close(self) -> None:
        """Close all stores: Python 3.13 warns of connections that are left open."""
        for store in self._stores:
            store.close()

    def gates(self) -> list[SharedGate]:
        """Return the stored slots of all domains."""
        with closing(sqlite3.connect(self.path)) as db:
            rows = db.execute("SELECT state FROM gate").fetchall()
        return [msgspec.json.decode(state, type=SharedGate) for (state,) in rows]

    def is_closed(self) -> bool:
        """Return whether no process has the file open: SQLite removes its log when the last one closes it."""
        return not self.path.with_name(self.path.name + "-wal").exists()


class Host(Protocol):
    """A host whose processes share slots, by one kind of store. Each of its slots stands for a process."""

    def slots(self, concurrency: int | None = None, **settings: Any) -> StoreSlots:
        """Return the slots of one more process."""
        ...

    def open_store(self, clock: Callable[[], float]) -> GateStore:
        """Return one more store of the same contents."""
        ...

    def gates(self) -> list[SharedGate]:
        """Return the stored slots of all domains."""
        ...

    def is_closed(self) -> bool:
        """Return whether no process has the store open."""
        ...


def slots_of(
    open_store: Callable[[Callable[[], float]], GateStore],
    concurrency: int | None = None,
    *,
    max_per_second: float | None = None,
    runtime: Runtime | None = None,
    executor: Executor | None = None,
    **seams: Any,
) -> StoreSlots:
    """Return slots that sync at once in the event loop, unless another executor is given."""
    runtime, executor = runtime or Runtime(), executor or ManualExecutor()
    seams.setdefault("make_executor", lambda: executor)
    return StoreSlots(lambda: open_store(runtime.clock), Limits(concurrency, max_per_second), runtime, **seams)


def check_idle(host: Host, *all_slots: StoreSlots) -> None:
    """Check that no call holds or awaits a slot, no process is a member, and the store is closed."""
    for slots in all_slots:
        state = slots.state(domain())
        assert (state.in_flight, state.waiting) == (0, 0)
    assert host.is_closed()
    assert not any(gate.members for gate in host.gates())


# ---------------------------------------------------------------------------------------------------------------------
# Threads and time


class ManualExecutor(Executor):
    """An executor without a thread: it runs a job at once, or when a test asks for it.

    Attributes:
        at_once: Whether jobs run at once.
        count: Jobs that ran.
    """

    def __init__(self, *, at_once: bool = True) -> None:
        self.at_once = at_once
        self.count = 0
        self._jobs: list[Callable[[], object]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a job, or keep it."""
        assert not args
        assert not kwargs
        self._jobs.append(fn)
        if self.at_once:
            self.run()
        return Future()

    def run(self) -> None:
        """Run the jobs that were kept."""
        for job in self._jobs[:]:
            self._jobs.remove(job)
            self.count += 1
            job()


def loop_runtime() -> Runtime:
    """Return a runtime on the running loop's clock, without randomness."""
    return Runtime(clock=asyncio.get_running_loop().time, uniform=lambda low, high: (low + high) / 2)


# ---------------------------------------------------------------------------------------------------------------------
# Calls


class Holder:
    """A task that takes a slot and holds it until it may end."""

    def __init__(self, slots: Slots, *domains: Domain, lane: Lane = "batch", since: float = 0.0) -> None:
        self.slot: Slot | None = None
        self.granted = asyncio.Event()
        self.may_end = asyncio.Event()
        self.task = asyncio.create_task(self._hold(slots, domains or (domain(),), lane, since))

    async def _hold(self, slots: Slots, domains: tuple[Domain, ...], lane: Lane, since: float) -> None:
        async with slots.slot(domains, lane, since) as self.slot:
            self.granted.set()
            await self.may_end.wait()
        self.slot = None

    @property
    def holds(self) -> bool:
        """Return whether it has its slot."""
        return self.slot is not None

    async def end(self, result: SlotResult | None = None) -> None:
        """Report a result, if there is one, release the slot, and wait until the next waiter has it."""
        if result is not None:
            assert self.slot is not None
            if isinstance(result, LimitSignal):
                self.slot.refused(result)
            else:
                self.slot.admitted()
        self.may_end.set()
        await self.task
        await steps()

    async def until_granted(self) -> None:
        """Wait until the slot is granted, which may take a wake-up over a socket."""
        async with asyncio.timeout(5):
            await self.granted.wait()


def holding(holders: list[Holder]) -> list[bool]:
    """Return for each task whether it holds a slot."""
    return [holder.holds for holder in holders]


@asynccontextmanager
async def held(*holders: Holder) -> AsyncGenerator[None]:
    """End tasks at the end."""
    await steps()
    try:
        yield
    finally:
        for holder in holders:
            await holder.end()


async def hold_one(slots: Slots) -> None:
    """Take a slot, and release it."""
    async with asyncio.timeout(5), slots.slot([domain()], "batch", 0.0):
        pass
