from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.ledgers import (
    ANSWER,
    Clock,
    FullDisk,
    calls,
    claimed,
    contents,
    crash,
    eventually,
    item,
    opened,
    query,
    read,
    remote_process,
    source,
    states,
    until,
)

from clova_ocr_async.errors import (
    Billing,
    DiskFullError,
    LedgerError,
    NotSentError,
)
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.sqlite.owners import LEASE
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.states import ItemEvent, Settlement, State
from clova_ocr_async.ledger.waiting import Waiters

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEY = bytes(range(32))
RELEASE = Settlement(ItemEvent.RELEASE)


async def test_a_closed_ledger_wakes_its_callers(run: Path) -> None:
    """A caller that waits for an item wakes when the ledger is closed, without a look at the file."""
    ledger = opened(run, sleep=lambda _: asyncio.Event().wait())
    async with ledger:
        claimed(await ledger.admit(item(), None))
        waiting = asyncio.create_task(ledger.changed((await ledger.admit(item(), None)).entry))
        await asyncio.sleep(0)
    await waiting
    with pytest.raises(LedgerError, match="not open"):
        await ledger.admit(item(), None)
    with pytest.raises(LedgerError, match="not open"):
        await ledger.open_for(["local"])


@pytest.mark.parametrize("instead", [None, b"another file"])
async def test_nothing_is_sent_after_the_file_was_replaced(run: Path, instead: bytes | None) -> None:
    """When the file is removed or replaced under a batch, the next request is refused: its answer would be lost."""
    async with opened(run) as ledger:
        claim = claimed(await ledger.admit(item(), None))
        (run / LEDGER).rename(run / "moved")
        if instead is not None:
            (run / LEDGER).write_bytes(instead)
        with pytest.raises(LedgerError, match="removed or replaced"):
            await ledger.sending(claim, "r1")
        (run / "moved").replace(run / LEDGER)
    assert calls(run) == 0


async def test_a_damaged_answer_is_the_only_loss(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A stored answer that does not open is logged, and everything else of the run is as it was."""
    seal = AESGCMSeal(bytes(32))
    async with opened(run, seal=seal) as ledger:
        for name in "ab":
            claim = claimed(await ledger.admit(item(name), None))
            await ledger.sending(claim, name)
            await ledger.answered(claim, name, ANSWER)
            await ledger.settle(claim, read(name))
    with closing(sqlite3.connect(run / LEDGER)) as db, db:
        db.execute("UPDATE answer SET body = zeroblob(length(body)) WHERE request_id = 'a'")
    async with opened(run, seal=seal) as ledger:
        damaged, whole = (await ledger.admit(item("a"), None)).entry, (await ledger.admit(item("b"), None)).entry
    assert (damaged.state, damaged.answer, whole.answer) == (State.SUCCEEDED, None, ANSWER)
    assert "does not open" in caplog.text


async def test_lazy_settlements_share_a_commit(run: Path) -> None:
    """Answered calls are settled lazily, several at once, and the callers that wait for them wake."""
    async with opened(run) as ledger:
        found = [claimed(await ledger.admit(item(name), None)) for name in "abc"]
        for claim in found:
            await ledger.sending(claim, f"r{claim.number}")
            await ledger.answered(claim, f"r{claim.number}", ANSWER)
        waiting = asyncio.create_task(ledger.changed((await ledger.admit(item("a"), None)).entry))
        await asyncio.sleep(0)
        for claim in found:
            await ledger.settle(claim, read(f"r{claim.number}"))
        await waiting
        await until(run, *[State.SUCCEEDED] * 3)


async def test_a_claim_committed_without_a_caller_is_released(run: Path) -> None:
    """A caller that is cancelled while its claim is committed leaves the image free."""
    reached, go_on = threading.Event(), threading.Event()

    def watch(where: str) -> None:
        if where == "before commit of claim":
            reached.set()
            assert go_on.wait(10)

    async with opened(run, watch=watch) as ledger:
        admitting = asyncio.create_task(ledger.admit(item(), None))
        await asyncio.to_thread(reached.wait, 10)
        admitting.cancel()
        await asyncio.wait([admitting])
        assert admitting.cancelled()
        go_on.set()
        await until(run, State.QUEUED)


async def test_a_claim_without_a_caller_leaves_the_name(run: Path) -> None:
    """A caller that is cancelled before the commit leaves the image free, and its name in the ledger, to be read."""
    async with opened(run) as ledger:
        admitting = asyncio.create_task(ledger.admit(item(), source("a.jpg")))
        await asyncio.sleep(0)
        admitting.cancel()
        await asyncio.wait([admitting])
        await eventually(lambda: query(run, "SELECT 1 FROM item JOIN source ON item = item.id WHERE open = 1"))
    assert query(run, "SELECT path, state, open FROM item JOIN source ON item = item.id") == [(b"a.jpg", "queued", 1)]


async def test_a_claim_without_a_caller_may_fail(run: Path) -> None:
    """The failure of a claim whose caller was cancelled is dropped, and nothing is released."""
    full = FullDisk("claim")
    async with opened(run, watch=full) as ledger:
        admitting = asyncio.create_task(ledger.admit(item(), None))
        await asyncio.sleep(0)
        admitting.cancel()
        await asyncio.wait([admitting])
        await eventually(lambda: full.failed)
        assert admitting.cancelled()
    assert states(run) == []


async def test_a_claim_that_cannot_be_released_is_logged(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk as a claim is released is logged, and nothing more is sent."""
    full = FullDisk("released")
    async with opened(run, watch=full) as ledger:
        other = claimed(await ledger.admit(item("other"), None))
        admitting = asyncio.create_task(ledger.admit(item(), None))
        await asyncio.sleep(0)
        admitting.cancel()
        await asyncio.wait([admitting])
        await eventually(lambda: "not recorded yet" in caplog.text)
        with pytest.raises(DiskFullError):
            await ledger.sending(other, "r")
    assert full.failed == ["released"]


async def test_a_name_and_its_claim_are_one_transaction(run: Path) -> None:
    """A file whose name cannot be recorded is not claimed, so that no ambiguous item lacks its name."""
    async with opened(run, watch=FullDisk("claim")) as ledger:
        with pytest.raises(DiskFullError):
            await ledger.admit(item(), source("a.jpg"))
    assert states(run) == []
    assert not query(run, "SELECT path FROM source")


async def test_a_caller_that_is_cancelled_as_it_is_woken_is_cancelled() -> None:
    """Of two callers that are woken in one turn of the loop, one that was cancelled in it is cancelled."""

    async def free_of(_: Sequence[int]) -> Sequence[int]:
        raise AssertionError("polled")

    waiters = Waiters(free_of, lambda _: asyncio.Event().wait())
    both = [asyncio.create_task(waiters.wait(1)) for _ in range(2)]
    await asyncio.sleep(0)
    both[0].cancel()
    waiters.wake(1)
    await asyncio.wait(both)
    assert [task.cancelled() for task in both] == [True, False]
    waiters.stop_polling()


async def test_a_waiting_caller_wakes_with_the_end_of_the_item(run: Path) -> None:
    """A caller wakes when the item ends in this process or another, and does not wait for a dead process."""
    clock = Clock()
    two = opened(run, process=remote_process(), clock=clock)
    await two.__aenter__()
    async with opened(run, process=remote_process(), clock=clock) as one:
        claim = claimed(await two.admit(item(), None))
        entry = (await one.admit(item(), None)).entry
        waiting = [asyncio.create_task(one.changed(entry)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0.01)
        assert not waiting[1].done()
        await two.settle(claim, RELEASE)
        await waiting[1]
        claimed(await two.admit(item(), None))
        last = asyncio.create_task(one.changed(entry))
        await asyncio.sleep(0)
        await crash(two)
        clock.now += LEASE + 1
        await last
        assert (await one.admit(item(), None)).claim is not None


async def test_polling_ends_with_the_last_waiting_caller(run: Path) -> None:
    """Without waiting callers nothing is polled, and an error of the poll wakes them to meet it themselves."""
    looks: list[float] = []

    async def sleep(seconds: float) -> None:
        looks.append(seconds)
        await asyncio.sleep(0)

    async with opened(run, sleep=sleep) as ledger:
        claim = claimed(await ledger.admit(item(), None))
        entry = (await ledger.admit(item(), None)).entry
        waiting = asyncio.create_task(ledger.changed(entry))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.sleep(0.01)
        count = len(looks)
        await asyncio.sleep(0.01)
        assert len(looks) == count > 0
        await ledger.settle(claim, RELEASE)
        db = sqlite3.connect(run / LEDGER)
        db.execute("DELETE FROM item")
        db.commit()
        db.close()
        await ledger.changed(entry)


async def test_nothing_personal_is_logged_or_stored_unsealed(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a seal, no text of an answer or an error is in a file of the run or in a line of the log."""
    caplog.set_level(logging.DEBUG)
    async with opened(run, seal=AESGCMSeal(KEY)) as ledger:
        one, two = claimed(await ledger.admit(item("a"), None)), claimed(await ledger.admit(item("b"), None))
        await ledger.sending(one, "r1")
        await ledger.answered(one, "r1", ANSWER)
        await ledger.settle(two, Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 1.0, b"canaryERROR", None))
        files = contents(run)
        entry = (await ledger.admit(item("b"), None)).entry
        assert entry.failure == b"canaryERROR"
    files += contents(run)
    assert not any(b"canary" in file for file in files)
    assert "canary" not in caplog.text
    assert NotSentError().billing is Billing.NOT_BILLED
