"""This process as an owner of a run in PostgreSQL: its lease, and its take-overs."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.overflow_file import delete_replayed
from clova_ocr_async.ledger.postgres import owners
from clova_ocr_async.ledger.postgres.errors import PostgresError
from clova_ocr_async.ledger.postgres.outage_log import OutageLog
from clova_ocr_async.ledger.postgres.run_settings import check_is_same, note_largest_answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from psycopg import Connection

    from clova_ocr_async.host.processes import Process
    from clova_ocr_async.ledger.postgres.connection import Database
    from clova_ocr_async.ledger.postgres.own_overflow import OwnOverflow
    from clova_ocr_async.ledger.postgres.run_settings import OpenedRun
    from clova_ocr_async.ledger.seal import Seal

__all__ = ["LeaseClock", "ThisOwner"]

_TRIES = 30  # in the time of a lease, while it cannot be renewed

logger = logging.getLogger("clova_ocr_async")


class LeaseClock:
    """The clocks of a lease: the server's decides when it ends, this process's when it is renewed.

    Args:
        lease: Seconds that this process may sleep before others take its work over.
        here: Returns seconds that only grow.
        shared: Returns seconds of the clock that leases end by; None for the server's.
    """

    def __init__(self, lease: float, here: Callable[[], float], shared: Callable[[], float] | None) -> None:
        self.lease = lease
        self.here = here
        self._shared = shared

    def shared(self) -> float | None:
        """Return seconds of the clock that leases end by; None for the server's, which a statement reads itself."""
        return None if self._shared is None else self._shared()


class ThisOwner:
    """One owner of a run. Its methods that take a connection are called in a transaction; in any thread.

    Args:
        process: This process.
        clock: The clocks of its lease.
        now: Returns Unix seconds.
        seal: Opens and seals what is taken over.
        overflow: Its overflow file.

    Attributes:
        run: The number of the run; 0 before it has entered.
        number: Its number; 0 before it has entered. It gets another one after it has slept past its lease.
        overflow: Its overflow file.
        outage: The log of the times in which the server is away.
    """

    def __init__(
        self,
        process: Process,
        clock: LeaseClock,
        now: Callable[[], float],
        seal: Seal,
        overflow: OwnOverflow,
    ) -> None:
        self.run = self.number = 0
        self.overflow = overflow
        self.outage = OutageLog()
        self._process = process
        self._clock = clock
        self._now = now
        self._seal = seal
        self._opened: OpenedRun | None = None
        self._due = 0.0
        self._renewing = threading.Lock()
        self._inconclusive: set[tuple[int, str, int]] = set()

    @property
    def lease(self) -> float:
        """Seconds that this process may sleep before others take its work over."""
        return self._clock.lease

    # -----------------------------------------------------------------------------------------------------------------
    # Entering and leaving

    def enter(self, db: Connection[Any], run: OpenedRun) -> dict[Path, int]:
        """Take over what dead owners left, and become an owner.

        Returns:
            As ``take_over``.
        """
        self.run = run.number
        self._opened = run
        self.overflow.begin(run)
        replayed = self.take_over(db)
        self.number = self._registered(db)
        return replayed

    def entered(self, database: Database, replayed: dict[Path, int]) -> None:
        """Go on after the commit: delete the files that were replayed, and create the own one with its reserve.

        Raises:
            DiskFullError: The disk has no room for it.
        """
        self._due = self._clock.here() + self._clock.lease / 3
        delete_replayed(replayed)
        try:
            self.overflow.create(self.number)
        except BaseException:
            with suppress(LedgerError):  # the owner stays, and its lease runs out
                database.run(partial(owners.release_all, run=self.run, owner=self.number))
            raise

    def leave(self, db: Connection[Any]) -> dict[Path, int]:
        """Settle what this owner has, and remove it.

        Returns:
            The own overflow file if it was replayed, for ``OwnOverflow.mark_replayed`` after the commit.

        Raises:
            LedgerError: As in ``renew_if_due``.
        """
        self._check_run(db)
        replayed = self.overflow.replay(db, own=True)
        # Its lease may be another one than it knows of.
        leases = db.execute("SELECT id, expires FROM clova_ocr.owner WHERE id = %s", (self.number,)).fetchall()
        own = leases or [(self.number, 0.0)]
        owners.take_over(db, self.run, own, self._seal, self._now, self._inconclusive, interrupted=False)
        # The next process reserves as much from its first request on.
        note_largest_answer(db, self.run, self.overflow.reservation.largest)
        return replayed

    # -----------------------------------------------------------------------------------------------------------------
    # The lease

    def renew_if_due(self, database: Database) -> None:
        """Extend the lease once a third of it is over, and take over what dead owners left.

        A process that slept past its lease, and whose work was taken over, becomes a new owner. If the lease cannot be
        renewed, that is logged: an answer is worth more than a lease, and ``is_leased`` decides about sending.

        Raises:
            LedgerError: The run is another one by now, or in another database: as when it is opened.
        """
        if self._clock.here() < self._due:
            return
        with self._renewing:
            if (began := self._clock.here()) < self._due:  # another thread has done it meanwhile
                return
            try:
                self.number = database.run(self._renew, patience=0.0)
            except PostgresError as error:
                self.outage.warn("the lease could not be renewed", error)
                self._due = began + self._clock.lease / _TRIES  # not for every call that waits
                return
            self._due = began + self._clock.lease / 3
            self.outage.end()
            # Apart from the renewal: what others left may be such that it cannot be settled here.
            try:
                replayed = database.run(partial(self.take_over, own=True), patience=0.0)
            except LedgerError as error:
                self.outage.warn("what other processes left could not be settled", error)
                return
            self.overflow.mark_replayed(replayed)
            delete_replayed(replayed)

    def _renew(self, db: Connection[Any]) -> int:
        # The server may have got a backup of the run, also with the owner, since the renewal before.
        self._check_run(db)
        owner = self.number
        if not owners.renew(db, owner, self._process, self._clock.lease, self._clock.shared()):
            logger.warning("this process slept past its lease, or its run was restored; it goes on as another owner")
            # A new number: the items of the old one belong to others by now.
            owner = self._registered(db)
        note_largest_answer(db, self.run, self.overflow.reservation.largest)
        return owner

    def _check_run(self, db: Connection[Any]) -> None:
        assert self._opened is not None  # noqa: S101 - it has entered
        check_is_same(db, self._opened)

    def _registered(self, db: Connection[Any]) -> int:
        number = owners.register(db, self.run, self._process, self._clock.lease, self._clock.shared())
        # A restored run gives numbers out again, and a file of such a number holds what was paid for since the backup.
        while self.overflow.has_file_of(number):
            owners.release_all(db, self.run, number)
            number = owners.register(db, self.run, self._process, self._clock.lease, self._clock.shared())
        return number

    def is_leased(self, db: Connection[Any], owner: int) -> bool:
        """Return whether an owner has its lease, and keep others from its work until the transaction ends."""
        is_leased = owners.is_leased(db, owner, self._process, self._clock.lease, self._clock.shared())
        if not is_leased and owner == self.number:
            # The server's clock was set, or the run restored. Until it has another number, the images that it claims
            # would be lost to it one after the other, and be handed to it again.
            self._due = self._clock.here()
        return is_leased

    def take_over(self, db: Connection[Any], *, own: bool = False) -> dict[Path, int]:
        """Settle what dead owners left, after a replay of the overflow files that they left on this host.

        Args:
            db: The connection.
            own: Whether to replay the overflow file of this process as well.

        Returns:
            The replayed files, for ``delete_replayed`` after the commit.

        Raises:
            LedgerError: A file cannot be read.
        """
        shared = self._clock.shared()
        living = owners.living_owners(db, self.run, self._process, shared)
        replayed = self.overflow.replay(db, living, own=own)
        dead = owners.dead_owners(db, self.run, self._process, shared, apart_from=self.number)
        owners.take_over(db, self.run, dead, self._seal, self._now, self._inconclusive)
        return replayed

    @property
    def inconclusive(self) -> list[int]:
        """The ids of late answers that settle nothing, as this owner has found at its take-overs."""
        return [answer for _, _, answer in tuple(self._inconclusive)]
