"""The overflow file of this process, and the room in it that the calls in flight need."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import DiskFullError
from clova_ocr_async.ledger.answer_room import reserve_answer
from clova_ocr_async.ledger.overflow_file import OverflowFile, reclaim_files
from clova_ocr_async.ledger.overflow_replay import replay_records
from clova_ocr_async.ledger.postgres.outcome_statements import write_record
from clova_ocr_async.ledger.postgres.overflow_place import (
    files_of_run,
    is_in_use,
    overflow_name,
    owner_of,
    prepare_folder,
)
from clova_ocr_async.ledger.private_file import file_error
from clova_ocr_async.ledger.room_reservation import Reservation
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from psycopg import Connection

    from clova_ocr_async.ledger.overflow_records import OverflowRecord
    from clova_ocr_async.ledger.postgres.run_settings import OpenedRun
    from clova_ocr_async.server_url import ServerURL

__all__ = ["OwnOverflow"]


class OwnOverflow:
    """The overflow file of one ledger; any thread may use it.

    Args:
        server: The server, with the name of the run.
        folder: The folder of overflow files.
        open_file: Creates a file.

    Attributes:
        reservation: The calls in flight, and the largest answer of the run.
    """

    def __init__(
        self, server: ServerURL, folder: Path, open_file: Callable[[Path], OverflowFile] = OverflowFile
    ) -> None:
        self.reservation = Reservation()
        self._server = server
        self._folder = folder
        self._open_file = open_file
        self._token = ""
        self._file: OverflowFile | None = None
        self._lock = threading.Lock()
        self._process = os.getpid()

    # -----------------------------------------------------------------------------------------------------------------
    # Opening and closing

    def prepare(self) -> None:
        """Make the folder of overflow files, and give the unused room of processes that have ended back to the disk.

        Raises:
            LedgerError: The folder cannot be used.
        """
        prepare_folder(self._folder)
        reclaim_files(self._folder.glob("*.overflow"))

    def begin(self, run: OpenedRun) -> None:
        """Note the run whose files are looked for."""
        self._token = run.token
        self.reservation = Reservation(keeps_answers=run.store == "full")
        self.reservation.note_size(run.largest_answer)

    def has_file_of(self, owner: int) -> bool:
        """Return whether this host has a file of an owner of the run."""
        return any(owner_of(path) == owner for path in self._files())

    def create(self, owner: int) -> None:
        """Create the file, with its reserve.

        Raises:
            DiskFullError: The disk has no room for it.
        """
        self._file = self._open_file(self._folder / overflow_name(self._server, self._token, owner))

    def close(self) -> None:
        """Close the file, and delete it if it has no records."""
        with self._lock:
            file, self._file = self._file, None
        if file is not None and os.getpid() == self._process:
            file.close()
        elif file is not None:  # the child of a fork: the file is the parent's
            file.abandon_after_fork()

    # -----------------------------------------------------------------------------------------------------------------
    # Room, and what it is for

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
            assert self._file is not None  # noqa: S101 - the ledger is open
            return reserve_answer(self._file, self.reservation, number)

    def note_size(self, size: int) -> None:
        """Note the bytes of an answer; those of the calls in flight may be as large."""
        with self._lock:
            if self.reservation.note_size(size) and self._file is not None:
                with suppress(DiskFullError):  # the next request meets it, and is not sent
                    self._file.reserve(self.reservation.minimum())

    def keep(self, record: OverflowRecord) -> None:
        """Keep a record in the file, since the server cannot take it.

        Raises:
            DiskFullError: There is no room left.
        """
        with self._lock:
            if self._file is None:
                raise DiskFullError(f"{record.name} could not be kept: the ledger is not open")
            self._file.append(record)

    # -----------------------------------------------------------------------------------------------------------------
    # Replay

    def replay(self, db: Connection[Any], living: Collection[int] | None = None, *, own: bool) -> dict[Path, int]:
        """Write the records of files of the run on this host into it.

        Args:
            db: The connection.
            living: The owners that are at work: each replays its file itself. None to replay no file of others.
            own: Whether to replay the file of this ledger.

        Returns:
            The files that were replayed, for ``mark_replayed`` and ``delete_replayed`` after the commit.

        Raises:
            LedgerError: A file cannot be read.
        """
        mine = self._file
        try:
            paths = [] if living is None else [path for path in self._files() if not _is_kept(path, living)]
            if mine is not None:
                paths = [path for path in paths if path != mine.path] + ([mine.path] if own and mine.used else [])
            return replay_records(partial(write_record, db), paths)
        except OSError as error:
            raise file_error(f"the files of this user in {shown_path(str(self._folder))}", error) from None

    def mark_replayed(self, replayed: dict[Path, int]) -> None:
        """Empty the file of what the run has now.

        Args:
            replayed: As ``replay`` returned it.
        """
        if (mine := self._file) is not None and mine.path in replayed:
            mine.mark_replayed(replayed[mine.path])

    def _files(self) -> list[Path]:
        return files_of_run(self._folder, self._token)


def _is_kept(path: Path, living: Collection[int]) -> bool:
    """Return whether the ledger that writes to a file will replay it."""
    return owner_of(path) in living and is_in_use(path)
