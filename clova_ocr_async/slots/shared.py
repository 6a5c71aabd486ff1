"""Slots for the calls of all processes that share a store.

``sharing.state`` decides which member gets a slot. ``sharing.sync`` applies it in a transaction of the store, in a
thread, so that the event loop never waits for the store. One sync reports the finished calls and gets slots for the
waiters. Whatever happens meanwhile goes with the next sync, and so do all calls that end in one turn of the loop. A
waiter that queues behind others of its own process triggers no sync: the store has only the first waiter of each
process. A process that is offered a slot is woken by ``sharing.wakeup``, so that it need not poll. A process with
waiters syncs once a second all the same, since a wake-up may be lost and processes die. While no call waits or holds a
slot, the store is closed. ``sharing.broker`` connects all this with the event loop.

A process that is stopped keeps its slots for a lease. What it finds when it wakes is in ``sharing.sync``, and what a
process does while a store on a server is away in ``sharing.outage``.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.processes import Process
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.slots.interface import checked_limits, min_or_none
from clova_ocr_async.slots.limit import HeldSlot
from clova_ocr_async.slots.sharing.broker import SlotBroker
from clova_ocr_async.slots.sharing.outage import GRACE, settings_error
from clova_ocr_async.slots.sharing.sqlite_store import SqliteGateStore, checked_path, default_path
from clova_ocr_async.slots.sharing.state import LEASE, Limits
from clova_ocr_async.slots.sharing.store import StoreAwayError
from clova_ocr_async.slots.sharing.sync import GateSync

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.slots.interface import GateState, Lane
    from clova_ocr_async.slots.sharing.server_store import ServerGateStore
    from clova_ocr_async.slots.sharing.store import GateStore

__all__ = ["SERVER_LEASE", "ServerSlots", "SharedSlots", "StoreSlots"]

SERVER_LEASE = LEASE - GRACE
"""Seconds of a lease that a server keeps: a process that has just begun gives it some more, and it is still over within
half a minute."""

_abandoned: list[SlotBroker] = []
"""Brokers from before a fork. SQLite forbids the child to use their connections, and even to close them."""


def _one_thread() -> Executor:
    # A store serves one thread at a time. The thread itself starts with the first sync.
    return ThreadPoolExecutor(1, thread_name_prefix="clova-ocr-slots")


class StoreSlots:
    """Slots for the calls of all processes that share a store. It needs no closing.

    Args:
        open_store: Returns the store; called again for a new event loop and after a fork.
        limits: The limits that the user gave for all domains.
        runtime: Time and randomness.
        make_executor: Returns what runs the syncs with the store, one after the other.
        getpid: Returns the number of the running process, by which a fork is noticed.
        lease: Seconds without a sync after which the process loses its slots to others.
        this_process: Returns the running process, as other members see it.
    """

    def __init__(
        self,
        open_store: Callable[[], GateStore],
        limits: Limits,
        runtime: Runtime,
        *,
        make_executor: Callable[[], Executor] = _one_thread,
        getpid: Callable[[], int] = os.getpid,
        lease: float = LEASE,
        this_process: Callable[[], Process] = Process.this,
    ) -> None:
        self._open_store = open_store
        self._defaults = limits
        self._runtime = runtime
        self._make_executor = make_executor
        self._getpid = getpid
        self._lease = lease
        self._this_process = this_process
        self._domains: dict[str, Domain] = {}
        self._limits: dict[str, Limits] = {}
        self._broker, self._pid = self._new_broker(), getpid()

    def slot(self, domains: Sequence[Domain], lane: Lane, since: float) -> _SharedSlot:
        """Wait for a slot and hold it; see ``Slots.slot``."""
        for domain in domains:
            self._register(domain)
        return _SharedSlot(self, domains, interactive=lane == "interactive", since=since)

    def state(self, domain: Domain) -> GateState:
        """Return a snapshot of a domain's slots, as last seen."""
        self._notice_fork()
        return self._broker.state(domain.key, self._register(domain))

    def broker(self) -> SlotBroker:
        """Return the broker of the running event loop.

        Raises:
            ConfigurationError: Calls of another event loop hold or await slots.
        """
        self._notice_fork()
        loop = asyncio.get_running_loop()
        if not self._broker.bind_loop(loop):
            if not self._broker.loop_is_closed():
                raise ConfigurationError(
                    f"the slots are in use in another event loop; make a {type(self).__name__} in each"
                )
            # Its calls can never end, as their loop is closed. A late release goes to the old broker, which ignores it.
            self._broker.close()
            self._broker = self._new_broker()
            self._broker.bind_loop(loop)
        return self._broker

    def _notice_fork(self) -> None:
        # Compared with each use: a hook that runs at forks would keep these slots alive for ever.
        if self._pid != self._getpid():
            self._broker.abandon_after_fork()
            _abandoned.append(self._broker)
            self._broker, self._pid = self._new_broker(), self._getpid()

    def _new_broker(self) -> SlotBroker:
        sync = GateSync(self._open_store(), self._limits, self._runtime, self._lease, this_process=self._this_process)
        return SlotBroker(self._domains, sync, self._make_executor(), self._runtime)

    def _register(self, domain: Domain) -> Limits:
        if domain.key not in self._domains:
            self._limits[domain.key] = Limits(
                min_or_none(domain.max_concurrency, self._defaults.max_concurrency),
                min_or_none(domain.max_per_second, self._defaults.max_per_second),
            )
            self._domains[domain.key] = domain
        return self._limits[domain.key]


class ServerSlots(StoreSlots):
    """Slots for the calls of all processes, on any host, that use the same server.

    Args:
        open_store: Returns the store on the server.
        limits: The limits that the user gave for all domains.
        runtime: Time and randomness.
    """

    def __init__(self, open_store: Callable[[], ServerGateStore], limits: Limits, runtime: Runtime) -> None:
        super().__init__(open_store, limits, runtime, lease=SERVER_LEASE)
        self._open_server = open_store

    def check_server(self) -> None:
        """Connect to the server once, and change nothing there; it blocks for some seconds at most.

        A program may do this at its start. Else the first call does, and raises the same.

        Raises:
            ConfigurationError: The server cannot be reached, which is ``retryable``, or refuses this user.
        """
        store = self._open_server()
        try:
            store.check()
        except StoreAwayError as error:
            away = error
        else:
            return
        finally:
            store.close()
        raise settings_error(away)


class SharedSlots(StoreSlots):
    """Slots for the calls of all processes of this host that use the same file.

    One object may serve several clients of an event loop. It needs no closing.

    Examples:
        >>> client = ClovaOCRClient(domain, slots=SharedSlots())

    Args:
        path: The file; if not given, it lies in the platform's folder for the state of a user's programs. It keeps what
            was learned of each domain, under a hash of its invoke URL, and the processes that call; no secret, and
            nothing of the images.
        concurrency: Calls at once per domain, if you know the limit; more are never tried. Where a domain has its own
            ``max_concurrency``, the lower one counts.
        max_per_second: Calls a second per domain at most; None for no bound. Where a domain has its own, the lower one
            counts.
        runtime: Time and randomness. All processes must share its clock, as they do the default one.

    Raises:
        ConfigurationError: ``concurrency`` is not a whole number from 1, ``max_per_second`` not a positive number, or
            ``path`` does not name a file; or no path is given, and the user has no home folder.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        concurrency: int | None = None,
        max_per_second: float | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 - immutable
    ) -> None:
        limits = Limits(*checked_limits(concurrency, max_per_second))
        file = default_path() if path is None else checked_path(path)
        super().__init__(lambda: SqliteGateStore(file, runtime.clock), limits, runtime)


class _SharedSlot(HeldSlot):
    """One slot: waited for, held, released."""

    __slots__ = ("_broker", "_domains", "_grant", "_interactive", "_since", "_slots")

    def __init__(self, slots: StoreSlots, domains: Sequence[Domain], *, interactive: bool, since: float) -> None:
        super().__init__()
        self._slots = slots
        # The caller's own objects: another client may call the same domain with another secret.
        self._domains = {domain.key: domain for domain in domains}
        self._interactive = interactive
        self._since = since

    async def __aenter__(self) -> Self:
        self._broker = self._slots.broker()
        self._grant = await self._broker.acquire(list(self._domains), interactive=self._interactive, since=self._since)
        self.domain = self._domains[self._grant.key]
        return self

    @property
    def lost(self) -> bool:
        """True if the process was stopped for so long that other processes may have the slot."""
        return not self._broker.holds(self._grant)

    async def __aexit__(self, *exc_info: object) -> None:
        # The broker that granted the slot: after a fork or in a new loop, the slots have another one.
        self._broker.release(self._grant, self.result)
