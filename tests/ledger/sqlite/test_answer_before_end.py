"""Paid answers while the ledger is busy: they wait a moment for it, and no settlement comes before its answer."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from support.ledgers import (
    ANSWER,
    FAILURE,
    Clock,
    answers,
    claimed,
    eventually,
    item,
    maybe_billed,
    opened,
    query,
    read,
    source,
    states,
)

from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import Billing, DiskFullError
from clova_ocr_async.ledger.overflow_file import overflow_paths, read_records
from clova_ocr_async.ledger.settlement import settle_from_answer
from clova_ocr_async.ledger.sqlite.errors import LockTimeoutError
from clova_ocr_async.ledger.sqlite.lock_wait import LockWait
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.sqlite.writer import Tick, Writer
from clova_ocr_async.ledger.states import ItemEvent, Settlement
from clova_ocr_async.protocol.response import HTTPResponse, encode_response

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.ledger.sqlite import SqliteLedger
    from clova_ocr_async.ledger.states import Claim

FOREIGN = HTTPResponse(200, encode_response("another", 0, {"inferResult": "SUCCESS", "receipt": {"result": {}}}))


async def sent(ledger: SqliteLedger, name: str = "a", request_id: str = "r") -> Claim:
    """Mark a request for an image as sent."""
    claim = claimed(await ledger.admit(item(name), None))
    assert await ledger.sending(claim, request_id)
    return claim


class Locked:
    """Another program that has a file locked, and a clock that advances while a job waits for it.

    Args:
        path: The file.
        seconds: How long it is locked.

    Attributes:
        go_on: Set when more than the first second may pass.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.now = 0.0
        self.go_on = threading.Event()
        self._seconds = seconds
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("BEGIN IMMEDIATE")

    def clock(self) -> float:
        """Return the time."""
        return self.now

    def pause(self, seconds: float) -> None:
        """Advance, and release the lock when it is time."""
        self.now += seconds
        assert self.now < 1.0 or self.go_on.wait(30)
        if self.now >= self._seconds and self._db.in_transaction:
            self._db.execute("ROLLBACK")
            self._db.close()


def insert(db: sqlite3.Connection) -> int:
    """Insert a row."""
    return db.execute("INSERT INTO kept VALUES (1)").rowcount


@pytest.mark.parametrize(("seconds", "stalls"), [(0.2, False), (5.0, True)], ids=["a moment", "longer"])
async def test_an_urgent_job_waits_a_moment_for_another_program(tmp_path: Path, seconds: float, stalls: bool) -> None:
    """An answer waits for an ordinary commit of another process, and fails if a program keeps the file locked."""
    path = tmp_path / "db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE kept (value)")
    other = Locked(path, seconds)
    writer = Writer(
        lambda: sqlite3.connect(path, isolation_level=None, timeout=0),
        tick=Tick(1000.0, lambda _: None, lambda _result, _error: None),
        clock=lambda: 0.0,
        lock_wait=LockWait(30.0, other.clock, other.pause),
    )
    await writer.start(lambda _: None)
    urgent = writer.submit(insert, "answered", urgent=True)
    try:
        if stalls:
            with pytest.raises(LockTimeoutError):
                await asyncio.wait_for(urgent, 10)
            assert other.now >= 0.25
        else:
            assert await urgent == 1
    finally:
        other.go_on.set()
        await writer.stop()


class Full:
    """A watch that fails the commits of answers, as a disk with room for small rows only does.

    Args:
        run: The run directory.

    Attributes:
        bare: Items that were finished without the answer they have, after any commit.
    """

    def __init__(self, run: Path) -> None:
        self.bare: list[Any] = []
        self._run = run

    def __call__(self, where: str) -> None:
        """Fail, or look."""
        if where == "before commit of answered":
            raise DiskFullError("made up: the disk is full")
        if where.startswith("after"):
            self.bare += query(self._run, "SELECT id, state FROM item WHERE finished_at IS NOT NULL AND answer IS NULL")


@pytest.mark.parametrize("count", [1, 5])
async def test_no_image_is_finished_before_its_answer_is_in_the_ledger(run: Path, count: int) -> None:
    """An image whose answer is in the overflow file is not found succeeded: the settlement comes after the answer."""
    watch = Full(run)
    async with opened(run, watch=watch) as ledger:
        claims = [await sent(ledger, str(number), "r") for number in range(count)]
        for claim in claims:
            await ledger.answered(claim, "r", ANSWER)
            await ledger.settle(claim, read("r"))
        await eventually(lambda: states(run) == ["succeeded"] * count)
        assert answers(run) == [ANSWER.body] * count
    assert watch.bare == []


async def test_no_image_fails_before_its_answer_is_in_the_ledger(run: Path) -> None:
    """The answer of a failed image is in the ledger when the image is found failed."""
    watch = Full(run)
    async with opened(run, watch=watch) as ledger:
        claim = await sent(ledger)
        await ledger.answered(claim, "r", FAILURE)
        await ledger.settle(claim, Settlement(ItemEvent.FAIL, Billing.BILLED, 0.1, b"{}", "r"))
        assert (states(run), answers(run)) == (["failed"], [FAILURE.body])
    assert watch.bare == []


async def test_another_calls_answer_in_the_overflow_file_is_ambiguous(run: Path) -> None:
    """An answer of another call makes the item ambiguous and counts as maybe billed, also through the overflow file."""
    async with opened(run, watch=Full(run)) as ledger:
        claim = await sent(ledger)
        await ledger.answered(claim, "r", FOREIGN)
        await ledger.settle(claim, settle_from_answer(FOREIGN, Receipt, "r"))
    assert (states(run), maybe_billed(run)) == (["ambiguous"], 1)


async def test_an_answer_in_the_overflow_file_is_replayed_with_the_next_job(run: Path) -> None:
    """An answer that a lock kept out is in the ledger with the first job after it, and not only at the next renewal."""
    async with opened(run, patience=30.0, clock=Clock()) as ledger:
        claim = await sent(ledger)
        with closing(sqlite3.connect(run / LEDGER, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await ledger.answered(claim, "r", ANSWER)
            other.execute("ROLLBACK")
        (overflow,) = overflow_paths(run)
        assert len(read_records(overflow)) == 1
        await ledger.recall(source("x"), "receipt")
        assert (answers(run), read_records(overflow)) == ([ANSWER.body], [])
