"""This process as an owner of a ledger: its lease, its overflow file, and its take-overs."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.ledger.answer_room import reserve_answer
from clova_ocr_async.ledger.overflow_file import (
    OverflowFile,
    delete_replayed,
    overflow_path,
    overflow_paths,
)
from clova_ocr_async.ledger.room_reservation import Reservation
from clova_ocr_async.ledger.sqlite import owners
from clova_ocr_async.ledger.sqlite.record_statements import replay_files
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clova_ocr_async.host.processes import Process
    from clova_ocr_async.ledger.overflow_records import OverflowRecord
    from clova_ocr_async.ledger.seal import Seal

__all__ = ["ThisOwner"]

logger = logging.getLogger("clova_ocr_async")


class ThisOwner:
    """One owner of a ledger. Its methods that take a connection run in the ledger's thread, in a transaction.

    Args:
        process: This process.
        lease: Seconds it may sleep before others take its work over.
        clock: Returns seconds of a clock that all processes of this machine share.
        now: Returns Unix seconds.
        seal: Opens and seals what is taken over.

    Attributes:
        number: Its number; 0 before it has entered. It gets another one after it has slept past its lease.
        reservation: The room in its overflow file that the calls in flight need.
    """

    def __init__(
        self,
        process: Process,
        lease: float,
        clock: Callable[[], float],
        now: Callable[[], float],
        seal: Seal,
    ) -> None:
        self.number = 0
        self._process = process
        self._lease = lease
        self._clock = clock
        self._now = now
        self._seal = seal
        self._folder: Path | None = None
        self._file = ""
        self._inode: int | None = None
        self._overflow: OverflowFile | None = None
        self.reservation = Reservation()
        self._inconclusive: set[tuple[int, str, int]] = set()

    def require_none_at_work(self, db: sqlite3.Connection) -> None:
        """Refuse to change the tables while processes work on the run: those of an older version could not go on.

        Raises:
            LedgerError: There are some.
        """
        owners.require_none_at_work(
            db, self._process, self._clock(), "run again, since this version changes its tables"
        )

    def enter(self, db: sqlite3.Connection, folder: Path, *, keeps_answers: bool = True) -> dict[Path, int]:
        """Take over what dead owners left, and become an owner.

        Args:
            db: The connection.
            folder: The run directory.
            keeps_answers: Whether the run stores answers.

        Returns:
            As ``take_over``.
        """
        self._folder = folder
        self._file = str(folder / LEDGER)
        self._inode = _inode_of(self._file)
        self.reservation = Reservation(keeps_answers=keeps_answers)
        self.reservation.note_size(_largest_answer(db))
        replayed = self.take_over(db)
        self.number = self._registered(db)
        return replayed

    def reserve_overflow(self, db: sqlite3.Connection) -> None:
        """Create the overflow file with its reserve, outside of any transaction.

        Raises:
            DiskFullError: The disk has no room for it.
        """
        assert self._folder is not None  # noqa: S101 - it has entered
        try:
            self._overflow = OverflowFile(overflow_path(self._folder, self.number))
        except BaseException:
            with suppress(sqlite3.Error):  # the owner stays, and its lease runs out
                owners.release_all(db, self.number)
            raise

    def renew(self, db: sqlite3.Connection) -> tuple[int, dict[Path, int]]:
        """Extend the lease, and take over what dead owners left.

        Returns:
            The owner number from now on, and as ``take_over``; both for ``renewed``.
        """
        owner = self.number
        if not owners.renew(db, owner, self._clock() + self._lease):
            logger.warning("this process slept past its lease, or its run was restored; it goes on as another owner")
            # A new number: the items of the old one belong to others by now.
            owner = self._registered(db)
        _note_largest_answer(db, self.reservation.largest)
        return owner, self.take_over(db, own=True)

    def renewed(self, result: tuple[int, dict[Path, int]], error: BaseException | None) -> None:
        """Adopt the owner number after its commit: until then, another process could be given the same one."""
        if error is not None:
            logger.warning("the lease could not be renewed: %s", error)
            return
        self.number, replayed = result
        if self._overflow is not None and self._overflow.path in replayed:
            self._overflow.mark_replayed(replayed[self._overflow.path])
        delete_replayed(replayed)

    def _registered(self, db: sqlite3.Connection) -> int:
        assert self._folder is not None  # noqa: S101 - it has entered
        number = owners.register(db, self._process, self._clock() + self._lease)
        # A restored run gives numbers out again, and a file of such a number holds what was paid for since the backup.
        while overflow_path(self._folder, number).exists():
            owners.release_all(db, number)
            number = owners.register(db, self._process, self._clock() + self._lease)
        return number

    def take_over(self, db: sqlite3.Connection, *, own: bool = False) -> dict[Path, int]:
        """Settle what dead owners left, after a replay of their overflow files.

        Args:
            db: The connection.
            own: Whether to replay the overflow file of this process as well.

        Returns:
            The replayed files, for ``delete_replayed`` after the commit.
        """
        assert self._folder is not None  # noqa: S101 - it has entered
        living = owners.living_owners(db, self._process, self._clock())
        # A living owner may be writing to its file, and replays it itself.
        theirs = {overflow_path(self._folder, owner) for owner in living}
        if self._overflow is not None:
            (theirs.discard if own and self._overflow.used else theirs.add)(self._overflow.path)
        replayed = replay_files(db, [path for path in overflow_paths(self._folder) if path not in theirs])
        dead = owners.dead_owners(db, self._process, self._clock(), apart_from=self.number)
        owners.take_over(db, dead, self._seal, self._now, self._inconclusive)
        return replayed

    def replay_own(self, db: sqlite3.Connection) -> None:
        """Replay the overflow file of this process; it is emptied at the next renewal of the lease."""
        if self._overflow is not None and self._overflow.used:
            replay_files(db, [self._overflow.path])

    def check_not_replaced(self) -> None:
        """Refuse to go on in a file that is not the run's ledger any more.

        Raises:
            LedgerError: Its file was removed or replaced since it was opened.
        """
        # A ledger that was restored from a backup does not have the images that were paid for since.
        if _inode_of(self._file) != self._inode:
            raise LedgerError(f"{LEDGER} was removed or replaced while a batch was at work; nothing more is sent")

    def leave(self, db: sqlite3.Connection) -> int:
        """Settle what this owner has, and remove it; return the argument of ``mark_emptied`` after the commit."""
        assert self._overflow is not None  # noqa: S101 - it has an overflow file
        # The next process reserves as much from its first request on.
        _note_largest_answer(db, self.reservation.largest)
        replayed = replay_files(db, [self._overflow.path])
        owners.take_over(db, [self.number], self._seal, self._now, self._inconclusive, interrupted=False)
        return replayed.get(self._overflow.path, 0)

    def mark_emptied(self, read: int) -> None:
        """Empty the own overflow file of what the ledger has now.

        Args:
            read: Bytes of it that were replayed.
        """
        assert self._overflow is not None  # noqa: S101 - it has an overflow file
        self._overflow.mark_replayed(read)

    # -----------------------------------------------------------------------------------------------------------------
    # The overflow file

    def reserve(self, number: int) -> bool:
        """Reserve room for the answer of a request that is about to leave; in the ledger's thread.

        Args:
            number: The item's.

        Returns:
            False if there is no room until another call has ended.

        Raises:
            DiskFullError: There is no room, and no call is in flight that could free some.
        """
        assert self._overflow is not None  # noqa: S101 - it has an overflow file
        return reserve_answer(self._overflow, self.reservation, number)

    def note_size(self, size: int) -> None:
        """Note the bytes of an answer; those of the calls in flight may be as large."""
        if self.reservation.note_size(size) and self._overflow is not None:
            with suppress(DiskFullError):  # the next request meets it, and is not sent
                self._overflow.reserve(self.reservation.minimum())

    def keep(self, record: OverflowRecord) -> None:
        """Keep a record in the overflow file, since the ledger cannot take it.

        Raises:
            DiskFullError: There is no room left.
        """
        if self._overflow is None:
            raise DiskFullError(f"{record.name} could not be kept: the ledger is not open")
        self._overflow.append(record)

    def close(self) -> None:
        """Close the overflow file."""
        if self._overflow is not None:
            self._overflow.close()
            self._overflow = None

    def abandon_after_fork(self) -> None:
        """Forget the overflow file and touch nothing: after a fork it is the parent's."""
        if self._overflow is not None:
            self._overflow.abandon_after_fork()
            self._overflow = None


def _largest_answer(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT value FROM run WHERE name = 'largest answer'").fetchone()
    return 0 if row is None else int(row[0])


def _note_largest_answer(db: sqlite3.Connection, size: int) -> None:
    db.execute(
        """INSERT INTO run (name, value) VALUES ('largest answer', ?)
           ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE value < excluded.value""",
        (size,),
    )


def _inode_of(path: str) -> int | None:
    try:
        return os.stat(path).st_ino  # noqa: PTH116 - for every request, and a Path takes longer than the file system
    except OSError:
        return None
