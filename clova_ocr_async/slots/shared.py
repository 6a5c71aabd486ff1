"""Slots for the calls of all processes of a host: the gate of ``slots``, kept in a file.

Who comes and goes at a gate is decided by ``sharing.gate``, in a transaction of ``sharing.file``, in a thread of its
own, so that the event loop never waits for a file. One visit to the file tells what became of the calls that have
ended, and gets slots for those who wait; what comes up meanwhile goes with the next visit, and so do all calls that end
in one turn of the loop. Who comes behind others of his own process needs no visit: it is theirs that the file knows of.
Whom a visit leaves a slot for is woken by ``sharing.bell``, so that nobody has to look again and again; once a second
whoever waits looks all the same, for a ring may be lost, and processes die. While no call waits or is under way,
nothing is held open. ``sharing.desk`` is where all this meets the event loop.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Self

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.slots.interface import HeldSlot, checked_limits, min_or_none
from clova_ocr_async.slots.sharing.broker import SlotBroker
from clova_ocr_async.slots.sharing.sqlite_store import SlotsFile, checked_path, default_path
from clova_ocr_async.slots.sharing.state import Limits
from clova_ocr_async.slots.sharing.sync import GateSync

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.slots.interface import GateState, Lane

__all__ = ["SharedSlots"]

_of_parents: list[SlotBroker] = []
"""Desks from before a fork. SQLite forbids to use what is open there, and to close it, which forgetting it would do."""


class SharedSlots:
    """Slots for the calls of all processes of this host that use the same file.

    One may serve several clients of an event loop. It needs no closing.

    Args:
        path: The file; in the platform's folder for the state of a user's programs if not given. It keeps what was
            learned of each domain, under a hash of its invoke URL, and who is calling; no secret, and nothing of the
            images.
        concurrency: Calls at once per domain, if that is known: then not more are tried. Beside a domain's own
            ``max_concurrency`` the lower one counts.
        max_per_second: Calls a second per domain at most; None for no bound. Beside a domain's the lower one counts.
        runtime: Time and randomness. All processes must share its clock, as they do the default one.

    Raises:
        ConfigurationError: ``concurrency`` is no whole number from 1, ``max_per_second`` no positive number, ``path``
            no path; or no path is given, and nobody knows where the user is at home.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        concurrency: int | None = None,
        max_per_second: float | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 - immutable
    ) -> None:
        self._defaults = Limits(*checked_limits(concurrency, max_per_second))
        self._path = default_path() if path is None else checked_path(path)
        self._runtime = runtime
        self._domains: dict[str, Domain] = {}
        self._limits: dict[str, Limits] = {}
        self._desk, self._pid = self._new_desk(), os.getpid()

    def slot(self, domains: Sequence[Domain], lane: Lane, since: float) -> _SharedSlot:
        """Wait for a slot and hold it."""
        for domain in domains:
            self._meet(domain)
        return _SharedSlot(self, domains, interactive=lane == "interactive", since=since)

    def state(self, domain: Domain) -> GateState:
        """Return how a domain's gate stands, as last seen."""
        self._notice_fork()
        return self._desk.state(domain.key, self._meet(domain))

    def desk(self) -> SlotBroker:
        """Return where the calls of the running event loop wait.

        Raises:
            ConfigurationError: Those of another one wait there.
        """
        self._notice_fork()
        loop = asyncio.get_running_loop()
        if not self._desk.serve(loop):
            if not self._desk.outlived():
                raise ConfigurationError("the slots are in use in another event loop; make a SharedSlots in each")
            self._desk.close()
            self._desk = self._new_desk()
            self._desk.serve(loop)
        return self._desk

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():
            self._desk.let_go()
            _of_parents.append(self._desk)
            self._desk, self._pid = self._new_desk(), os.getpid()

    def _new_desk(self) -> SlotBroker:
        visitor = GateSync(SlotsFile(self._path, self._runtime.clock), self._limits, self._runtime)
        return SlotBroker(self._domains, visitor, self._runtime)

    def _meet(self, domain: Domain) -> Limits:
        if domain.key not in self._domains:
            self._limits[domain.key] = Limits(
                min_or_none(domain.max_concurrency, self._defaults.most),
                min_or_none(domain.max_per_second, self._defaults.most_per_second),
            )
            self._domains[domain.key] = domain
        return self._limits[domain.key]


class _SharedSlot(HeldSlot):
    """One slot: waited for, held, given back."""

    __slots__ = ("_desk", "_domains", "_grant", "_interactive", "_since", "_slots")

    def __init__(self, slots: SharedSlots, domains: Sequence[Domain], *, interactive: bool, since: float) -> None:
        super().__init__()
        self._slots = slots
        # The caller's own: another client may call the same domain with another secret.
        self._domains = {domain.key: domain for domain in domains}
        self._interactive = interactive
        self._since = since

    async def __aenter__(self) -> Self:
        self._desk = self._slots.desk()
        self._grant = await self._desk.take(list(self._domains), interactive=self._interactive, since=self._since)
        self.domain = self._domains[self._grant[0]]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._desk.give_back(self._grant, self.outcome)
