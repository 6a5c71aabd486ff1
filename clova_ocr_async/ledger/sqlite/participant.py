"""This process at work on a ledger: its lease, its room beside a full disk, and what it takes over."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.ledger.sqlite import owners
from clova_ocr_async.ledger.sqlite.overflow import (
    OverflowFile,
    delete_replayed,
    overflow_path,
    overflow_paths,
    replay_files,
)
from clova_ocr_async.ledger.sqlite.reservation import Reservation
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clova_ocr_async.host.processes import Process
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.ledger.sqlite.overflow_records import OverflowRecord

__all__ = ["Participant"]

logger = logging.getLogger("clova_ocr_async")


class Participant:
    """One owner of a ledger. Its methods that take a connection run in the ledger's thread, in a transaction.

    Args:
        process: Who this is.
        lease: Seconds it may sleep before others take its work over.
        clock: Returns seconds of a clock that all processes of this machine share.
        now: Returns Unix seconds.
        seal: Opens and seals what is taken over.

    Attributes:
        owner: Its number; another one after it has slept past its lease. 0 before it has entered.
    """

    def __init__(
        self,
        process: Process,
        lease: float,
        clock: Callable[[], float],
        now: Callable[[], float],
        seal: Seal,
    ) -> None:
        self.owner = 0
        self._process = process
        self._lease = lease
        self._clock = clock
        self._now = now
        self._seal = seal
        self._folder: Path | None = None
        self._file = ""
        self._inode: int | None = None
        self._spill: OverflowFile | None = None
        self._reservation = Reservation()
        self._judged: set[tuple[int, str, int]] = set()

    def enter(self, db: sqlite3.Connection, folder: Path, *, keeps_answers: bool = True) -> dict[Path, int]:
        """Take over what is left of the dead, and become an owner.

        Args:
            db: The connection.
            folder: The run directory.
            keeps_answers: Whether the run does.

        Returns:
            As ``take_over``.
        """
        self._folder = folder
        self._file = str(folder / LEDGER)
        self._inode = _inode_of(self._file)
        self._reservation = Reservation(keeps_answers=keeps_answers)
        self._reservation.note_size(_largest_answer(db))
        brought_in = self.take_over(db)
        self.owner = self._registered(db)
        return brought_in

    def make_room(self, db: sqlite3.Connection) -> None:
        """Set room aside for a full disk, outside of any transaction.

        Raises:
            DiskFullError: There is none.
        """
        assert self._folder is not None  # noqa: S101 - it has entered
        try:
            self._spill = OverflowFile(overflow_path(self._folder, self.owner))
        except BaseException:
            with suppress(sqlite3.Error):  # its lease runs out then
                owners.release_all(db, self.owner)
            raise

    def renew(self, db: sqlite3.Connection) -> tuple[int, dict[Path, int]]:
        """Put the end of the lease off, and take over what is left of the dead.

        Returns:
            Who this is from now on, and as ``take_over``; both for ``renewed``.
        """
        owner = self.owner
        if not owners.renew(db, owner, self._clock() + self._lease):
            logger.warning("this process slept past its lease; others have taken over its work")
            owner = self._registered(db)
        _note_largest_answer(db, self._reservation.largest)
        return owner, self.take_over(db, own=True)

    def renewed(self, result: tuple[int, dict[Path, int]], error: BaseException | None) -> None:
        """Be who one is once that is on record: until then, another process could be given the same number."""
        if error is not None:
            logger.warning("the lease could not be renewed: %s", error)
            return
        self.owner, brought_in = result
        if self._spill is not None and self._spill.path in brought_in:
            self._spill.mark_replayed(brought_in[self._spill.path])
        delete_replayed(brought_in)

    def _registered(self, db: sqlite3.Connection) -> int:
        return owners.register(db, self._process, self._clock() + self._lease)

    def take_over(self, db: sqlite3.Connection, *, own: bool = False) -> dict[Path, int]:
        """Settle what dead processes left; what they could not write, since the disk was full, comes first.

        Args:
            db: The connection.
            own: Whether to bring in what this process has kept beside the ledger as well.

        Returns:
            The files that this is in now, for ``delete_replayed`` once it is committed.
        """
        assert self._folder is not None  # noqa: S101 - it has entered
        living = owners.living_owners(db, self._process, self._clock())
        theirs = {overflow_path(self._folder, owner) for owner in living}
        if self._spill is not None:
            (theirs.discard if own and self._spill.used else theirs.add)(self._spill.path)
        brought_in = replay_files(db, [path for path in overflow_paths(self._folder) if path not in theirs])
        dead = owners.dead_owners(db, self._process, self._clock(), apart_from=self.owner)
        owners.take_over(db, dead, self._seal, self._now, self._judged)
        return brought_in

    def bring_own(self, db: sqlite3.Connection) -> None:
        """Bring in what this process has kept beside the ledger; it stays there until the lease is renewed."""
        if self._spill is not None and self._spill.used:
            replay_files(db, [self._spill.path])

    def check_place(self) -> None:
        """Refuse to go on in a ledger that nobody will find again.

        Raises:
            LedgerError: Its file was removed or replaced since it was opened.
        """
        if _inode_of(self._file) != self._inode:
            raise LedgerError(f"{LEDGER} was removed or replaced while a batch was at work; nothing more is sent")

    def leave(self, db: sqlite3.Connection) -> int:
        """Give everything back, and be no owner any more; return what ``left`` is given once that is committed."""
        assert self._spill is not None  # noqa: S101 - it has room
        _note_largest_answer(db, self._reservation.largest)
        brought_in = replay_files(db, [self._spill.path])
        owners.take_over(db, [self.owner], self._seal, self._now, self._judged)
        return brought_in.get(self._spill.path, 0)

    def left(self, read: int) -> None:
        """Note that what the own room held is in the ledger now, as far as it was read."""
        assert self._spill is not None  # noqa: S101 - it has room
        self._spill.mark_replayed(read)

    # -----------------------------------------------------------------------------------------------------------------
    # Room for what the ledger cannot take

    def reserve(self, number: int) -> bool:
        """Set room aside for the answer of a request that is about to leave; in the ledger's thread.

        Args:
            number: The item's.

        Returns:
            False if there is none until another call has ended.

        Raises:
            DiskFullError: There is none, and no call is under way that could give some back.
        """
        assert self._spill is not None  # noqa: S101 - it has room
        others = self._reservation.others(number)
        try:
            self._set_aside(self._spill, others + 1)
        except DiskFullError:
            if others:
                return False
            raise
        self._reservation.begin(number)
        return True

    def _set_aside(self, spill: OverflowFile, calls: int) -> None:
        try:
            spill.reserve(self._reservation.preferred(calls, spill.available()))
        except DiskFullError:
            spill.reserve(self._reservation.minimum(calls))

    def landed(self, number: int) -> None:
        """Note that nothing more is to be kept of a request."""
        self._reservation.end(number)

    def see(self, size: int) -> None:
        """Note the bytes of an answer; those of the calls under way may be as large."""
        if self._reservation.note_size(size) and self._spill is not None:
            with suppress(DiskFullError):  # the next request is not sent then
                self._spill.reserve(self._reservation.minimum())

    def spill(self, spilled: OverflowRecord) -> None:
        """Keep what the ledger cannot take.

        Raises:
            DiskFullError: There is no room left.
        """
        if self._spill is None:
            raise DiskFullError(f"{spilled.name} could not be kept: the ledger is not open")
        self._spill.append(spilled)

    def close(self) -> None:
        """Let go of the room."""
        if self._spill is not None:
            self._spill.close()
            self._spill = None

    def let_go(self) -> None:
        """Be nobody here any more, and touch nothing: after a fork it is all the parent's."""
        if self._spill is not None:
            self._spill.abandon_after_fork()
            self._spill = None


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
