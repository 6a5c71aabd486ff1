"""This process as an owner of a run in PostgreSQL: its lease, its overflow file, and its take-overs."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.ledger.answer_room import reserve_answer
from clova_ocr_async.ledger.overflow_file import OverflowFile, delete_replayed, reclaim_files, replay_records
from clova_ocr_async.ledger.postgres import owners
from clova_ocr_async.ledger.postgres.outcome_statements import write_record
from clova_ocr_async.ledger.postgres.overflow_place import (
    files_of_run,
    is_in_use,
    overflow_name,
    owner_of,
    prepare_folder,
)
from clova_ocr_async.ledger.postgres.run_settings import note_largest_answer
from clova_ocr_async.ledger.private_file import file_error
from clova_ocr_async.ledger.room_reservation import Reservation
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from psycopg import Connection

    from clova_ocr_async.host.processes import Process
    from clova_ocr_async.ledger.overflow_records import OverflowRecord
    from clova_ocr_async.ledger.postgres.connection import Database
    from clova_ocr_async.ledger.postgres.run_settings import OpenedRun
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.server_url import ServerURL

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
        server: The server, with the name of the run.
        folder: The folder of overflow files.

    Attributes:
        run: The number of the run; 0 before it has entered.
        number: Its number; 0 before it has entered. It gets another one after it has slept past its lease.
        reservation: The room in its overflow file that the calls in flight need.
    """

    def __init__(
        self,
        process: Process,
        clock: LeaseClock,
        now: Callable[[], float],
        seal: Seal,
        server: ServerURL,
        folder: Path,
    ) -> None:
        self.run = self.number = 0
        self.reservation = Reservation()
        self._process = process
        self._clock = clock
        self._now = now
        self._seal = seal
        self._server = server
        self._folder = folder
        self._token = ""
        self._due = 0.0
        self._overflow: OverflowFile | None = None
        self._lock, self._renewing = threading.Lock(), threading.Lock()
        self._inconclusive: set[tuple[int, str, int]] = set()
        self._system_process = os.getpid()

    @property
    def lease(self) -> float:
        """Seconds that this process may sleep before others take its work over."""
        return self._clock.lease

    # -----------------------------------------------------------------------------------------------------------------
    # Entering and leaving

    def prepare(self) -> None:
        """Make the folder of overflow files, and give the unused room of processes that have ended back to the disk.

        Raises:
            LedgerError: The folder cannot be used.
        """
        prepare_folder(self._folder)
        reclaim_files(self._folder.glob("*.overflow"))

    def enter(self, db: Connection[Any], run: OpenedRun) -> dict[Path, int]:
        """Take over what dead owners left, and become an owner.

        Returns:
            As ``take_over``.
        """
        self.run, self._token = run.number, run.token
        self.reservation = Reservation(keeps_answers=run.store == "full")
        self.reservation.note_size(run.largest_answer)
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
            self._overflow = OverflowFile(self._folder / overflow_name(self._server, self._token, self.number))
        except BaseException:
            with suppress(LedgerError):  # the owner stays, and its lease runs out
                database.run(partial(owners.release_all, run=self.run, owner=self.number))
            raise

    def leave(self, db: Connection[Any]) -> int:
        """Settle what this owner has, and remove it; return the argument of ``mark_emptied`` after the commit."""
        replayed = self.replay_own(db)
        # Its lease may be another one than it knows of.
        leases = db.execute("SELECT id, expires FROM clova_ocr.owner WHERE id = %s", (self.number,)).fetchall()
        owners.take_over(db, self.run, leases or [(self.number, 0.0)], self._seal, self._now, self._inconclusive)
        # The next process reserves as much from its first request on.
        note_largest_answer(db, self.run, self.reservation.largest)
        return replayed

    def mark_emptied(self, read: int) -> None:
        """Empty the own overflow file of what the run has now.

        Args:
            read: Bytes of it that were replayed.
        """
        if self._overflow is not None:
            self._overflow.mark_replayed(read)

    def close(self) -> None:
        """Close the overflow file."""
        with self._lock:
            if self._overflow is None:
                return
            if os.getpid() == self._system_process:
                self._overflow.close()
            else:  # the child of a fork: the file is the parent's
                self._overflow.abandon_after_fork()
            self._overflow = None

    # -----------------------------------------------------------------------------------------------------------------
    # The lease

    def renew_if_due(self, database: Database) -> None:
        """Extend the lease once a third of it is over, and take over what dead owners left.

        A process that slept past its lease, and whose work was taken over, becomes a new owner. If the lease cannot be
        renewed, that is logged: an answer is worth more than a lease, and ``is_leased`` decides about sending.
        """
        if self._clock.here() < self._due:
            return
        with self._renewing:
            if (began := self._clock.here()) < self._due:  # another thread has done it meanwhile
                return
            try:
                self.number = database.run(self._renew, patience=0.0)
            except LedgerError as error:
                logger.warning("the lease could not be renewed: %s", error)
                self._due = began + self._clock.lease / _TRIES  # not for every call that waits
                return
            self._due = began + self._clock.lease / 3
            # Apart from the renewal: what others left may be such that it cannot be settled here.
            try:
                replayed = database.run(partial(self.take_over, own=True), patience=0.0)
            except LedgerError as error:
                logger.warning("what other processes left could not be settled: %s", error)
                return
            if self._overflow is not None and self._overflow.path in replayed:
                self._overflow.mark_replayed(replayed[self._overflow.path])
            delete_replayed(replayed)

    def _renew(self, db: Connection[Any]) -> int:
        owner = self.number
        if not owners.renew(db, owner, self._clock.lease, self._clock.shared()):
            logger.warning("this process slept past its lease; others have taken over its work")
            # A new number: the items of the old one belong to others by now.
            owner = self._registered(db)
        note_largest_answer(db, self.run, self.reservation.largest)
        return owner

    def _registered(self, db: Connection[Any]) -> int:
        return owners.register(db, self.run, self._process, self._clock.lease, self._clock.shared())

    def is_leased(self, db: Connection[Any], owner: int) -> bool:
        """Return whether an owner has its lease, and keep others from its work until the transaction ends."""
        return owners.is_leased(db, owner, self._clock.lease, self._clock.shared())

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
        replayed = self._replay(db, self._files_left(living, own=own))
        dead = owners.dead_owners(db, self.run, self._process, shared, apart_from=self.number)
        owners.take_over(db, self.run, dead, self._seal, self._now, self._inconclusive)
        return replayed

    def _files_left(self, living: Collection[int], *, own: bool) -> Iterator[Path]:
        mine = self._overflow
        for path in files_of_run(self._folder, self._token):
            # An owner that is at work may be writing to its file, and replays it itself.
            if (mine is None or path != mine.path) and (owner_of(path) not in living or not is_in_use(path)):
                yield path
        if mine is not None and own and mine.used:
            yield mine.path

    def _replay(self, db: Connection[Any], files: Iterable[Path]) -> dict[Path, int]:
        try:
            return replay_records(partial(write_record, db), files)
        except OSError as error:
            raise file_error(f"the files of this user in {shown_path(str(self._folder))}", error) from None

    @property
    def inconclusive(self) -> list[int]:
        """The ids of late answers that settle nothing, as this owner has found at its take-overs."""
        return [answer for _, _, answer in tuple(self._inconclusive)]

    # -----------------------------------------------------------------------------------------------------------------
    # The overflow file

    def replay_own(self, db: Connection[Any]) -> int:
        """Replay the overflow file of this process; return the argument of ``mark_emptied`` after the commit."""
        if (mine := self._overflow) is None or not mine.used:
            return 0
        return self._replay(db, [mine.path]).get(mine.path, 0)

    def reserve(self, number: int) -> bool:
        """Reserve room for the answer of a request that is about to leave.

        Args:
            number: The item's.

        Returns:
            False if there is no room until another call has ended.

        Raises:
            DiskFullError: There is no room, and no call is in flight that could free some.
        """
        with self._lock:
            assert self._overflow is not None  # noqa: S101 - it has entered
            return reserve_answer(self._overflow, self.reservation, number)

    def note_size(self, size: int) -> None:
        """Note the bytes of an answer; those of the calls in flight may be as large."""
        with self._lock:
            if self.reservation.note_size(size) and self._overflow is not None:
                with suppress(DiskFullError):  # the next request meets it, and is not sent
                    self._overflow.reserve(self.reservation.minimum())

    def keep(self, record: OverflowRecord) -> None:
        """Keep a record in the overflow file, since the server cannot take it.

        Raises:
            DiskFullError: There is no room left.
        """
        with self._lock:
            if self._overflow is None:
                raise DiskFullError(f"{record.name} could not be kept: the ledger is not open")
            self._overflow.append(record)
