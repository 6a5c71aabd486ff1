from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from support.ledgers import (
    ANSWER,
    Clock,
    FullDisk,
    calls,
    claimed,
    crash,
    item,
    maybe_billed,
    opened,
    query,
    remote_process,
    source,
    states,
)

from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.overflow_file import overflow_paths, read_records
from clova_ocr_async.ledger.overflow_records import AnswerRecord
from clova_ocr_async.ledger.sqlite.owners import LEASE
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_a_claim_of_a_removed_owner_is_taken_over(run: Path) -> None:
    """An item that was claimed under an owner that is removed is taken over like one of a dead owner."""
    async with opened(run) as ledger:
        db = sqlite3.connect(run / LEDGER)
        db.execute(
            "INSERT INTO item (sha256, document, state, owner) VALUES (?, 'receipt', 'claimed', 77)", (item().sha256,)
        )
        db.commit()
        db.close()
        assert not await ledger.others_at_work(["receipt"])
        assert (await ledger.admit(item(), None)).claim is not None


def restore(run: Path, backup: bytes) -> None:
    """Put an older ledger in the place of a run's."""
    for path in run.glob(f"{LEDGER}*"):
        path.unlink()
    (run / LEDGER).write_bytes(backup)


async def test_a_restored_run_keeps_what_was_paid_for_since(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A backup gives numbers of processes out again; the answers in a file of such a number stay on the disk."""
    async with opened(run):
        pass
    backup = (run / LEDGER).read_bytes()
    ended = opened(run)
    await ended.__aenter__()
    claim = claimed(await ended.admit(item("b"), None))
    await ended.sending(claim, "b")
    paid = AnswerRecord(claim.number, "b", 200, None, ANSWER.body, 1.0, image=claim.item)
    ended._this_owner.keep(paid)  # noqa: SLF001 - while the ledger can be written, nothing else does
    await crash(ended)
    restore(run, backup)
    for _ in range(2):
        async with opened(run, moved=True) as ledger:
            (kept, own) = overflow_paths(run)
            assert claimed(await ledger.admit(item("c"), None)).owner != claim.owner
        assert overflow_paths(run) == [kept] != [own]
        assert read_records(kept) == [paid]
    assert "The file is kept" in caplog.text


async def test_an_uncommitted_owner_is_not_used(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If a new owner is not committed, the process does not act under its number."""
    clock, other, full = Clock(), Clock(), FullDisk("lease")
    async with (
        opened(run, process=remote_process(), clock=clock, watch=full) as sleeper,
        opened(run, process=remote_process(), clock=other) as awake,
    ):
        other.now += LEASE + 1
        await awake.others_at_work(["receipt"])
        clock.now = other.now
        await sleeper.recall(source("a"), "receipt")
        assert full.failed == ["lease"]
        async with opened(run, process=remote_process(), clock=other):  # is given the number that was not committed
            mine = claimed(await sleeper.admit(item("b"), None)).owner
            assert (mine,) not in query(run, "SELECT id FROM owner")
        full.names.clear()
        clock.now += LEASE / 3
        await sleeper.recall(source("a"), "receipt")
        await sleeper.others_at_work(["receipt"])
        assert states(run) == ["queued"]
        await sleeper.admit(item(), None)
        (owner,) = query(run, "SELECT owner FROM item WHERE owner IS NOT NULL")[0]
        assert (owner,) in query(run, "SELECT id FROM owner")
    assert "the lease could not be renewed" in caplog.text


async def test_a_damaged_late_answer_leaves_the_item_ambiguous(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that does not open settles nothing: its call may have been billed, which is counted and logged once."""
    seal, clock, other = AESGCMSeal(bytes(32)), Clock(), Clock()
    async with (
        opened(run, process=remote_process(), clock=other, seal=seal) as awake,
        opened(run, process=remote_process(), clock=clock, seal=seal) as sleeper,
    ):
        claim = claimed(await sleeper.admit(item(), None))
        await sleeper.sending(claim, "r")
        other.now += LEASE + 1
        await awake.others_at_work(["receipt"])
        await sleeper.answered(claim, "r", ANSWER)
        with closing(sqlite3.connect(run / LEDGER)) as db, db:
            db.execute("UPDATE answer SET body = zeroblob(length(body))")
        for _ in range(2):
            await awake.others_at_work(["receipt"])
            assert (states(run), calls(run), maybe_billed(run)) == (["ambiguous"], 1, 1)
    assert caplog.text.count("does not open") == 2  # once for each of the two processes
