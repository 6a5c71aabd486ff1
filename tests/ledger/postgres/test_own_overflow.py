"""A process on a disk that has hardly any room for the answers it may have to keep."""

from __future__ import annotations

import errno
import os
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from support.ledgers import claimed, item, source
from support.postgres_runs import execute

from clova_ocr_async.errors import DiskFullError
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger import PostgresLedger
from clova_ocr_async.ledger.overflow_file import OverflowFile
from clova_ocr_async.ledger.payment_stop import PaymentStop
from clova_ocr_async.ledger.postgres.connection import Database
from clova_ocr_async.ledger.postgres.existing_run import find_run
from clova_ocr_async.ledger.postgres.location import run_location
from clova_ocr_async.ledger.postgres.outcomes import OutcomeWriter
from clova_ocr_async.ledger.postgres.own_overflow import OwnOverflow
from clova_ocr_async.ledger.postgres.run_settings import OpenedRun
from clova_ocr_async.ledger.postgres.sending import SendingMark
from clova_ocr_async.ledger.postgres.this_owner import LeaseClock, ThisOwner
from clova_ocr_async.ledger.run_settings import LEASE
from clova_ocr_async.ledger.seal import NoSeal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from clova_ocr_async.ledger.run_settings import AnswerStorage

pytestmark = pytest.mark.server

DISK = 2 * 2**20  # bytes; what a new file takes


@pytest.fixture
def database(run: str) -> Iterator[Database]:
    """The database of the run."""
    database = Database(run_location(run))
    yield database
    database.close()


def small_disk(path: Path) -> OverflowFile:
    """Create a file on a disk that has room for what a file begins with, and for no more."""

    def allocate(descriptor: int, offset: int, size: int) -> None:
        if offset + size > DISK:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.posix_fallocate(descriptor, offset, size)

    return OverflowFile(path, allocate=allocate)


def full_disk(path: Path) -> OverflowFile:
    """Refuse a file, as there is no room for it."""
    raise DiskFullError(f"{path.parent.name}: a run needs at least 2 MiB to begin with")


def entering(run: str, folder: Path, open_file: Callable[[Path], OverflowFile]) -> ThisOwner:
    """Return an owner whose overflow file is created by a function."""
    clock, overflow = LeaseClock(LEASE, time.monotonic, None), OwnOverflow(run_location(run), folder, open_file)
    return ThisOwner(Process.this(), clock, time.time, NoSeal(), overflow)


def opened(database: Database, run: str, store: AnswerStorage) -> OpenedRun:
    """Return a run as a process has opened it."""
    server = run_location(run)
    return OpenedRun(database.run(lambda db: find_run(db, server).number), "0" * 32, store, 0, server)


async def test_without_room_for_an_answer_nothing_is_sent(run: str, database: Database, tmp_path: Path) -> None:
    """A request whose answer could not be kept waits for other calls; if there are none, the error names the disk."""
    owner = entering(run, tmp_path, small_disk)
    writer = OutcomeWriter(database, owner, PaymentStop(lambda: None))
    async with PostgresLedger(run) as ledger:
        owner.entered(database, database.run(partial(owner.enter, run=opened(database, run, "full"))))
        claims = [claimed(await ledger.admit(item(name), source(name))) for name in "abcde"]
        marks = [SendingMark(owner, claim, str(claim.number), b"", at=1.0) for claim in claims]
        assert [writer.send(mark) for mark in marks] == [True, True, True, True, None]
        for claim in claims:
            owner.overflow.reservation.end(claim.number)
        owner.overflow.note_size(DISK)
        with pytest.raises(DiskFullError, match="no room for the answers of the calls in flight"):
            writer.send(marks[4])
        owner.overflow.close()
    assert execute(run, "SELECT calls FROM clova_ocr.run") == [(4,)]


async def test_a_disk_without_room_for_the_file(run: str, database: Database, tmp_path: Path) -> None:
    """If the file of a process cannot be made the run is not opened, and the owner is removed."""
    async with PostgresLedger(run):
        pass
    owner = entering(run, tmp_path, full_disk)
    replayed = database.run(partial(owner.enter, run=opened(database, run, "none")))
    assert execute(run, "SELECT count(*) FROM clova_ocr.owner") == [(1,)]
    with pytest.raises(DiskFullError):
        owner.entered(database, replayed)
    assert execute(run, "SELECT count(*) FROM clova_ocr.owner") == [(0,)]
