from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from support.ledgers import (
    ANSWER,
    Clock,
    FullDisk,
    ambiguous,
    answers,
    calls,
    claimed,
    crash,
    dead_process,
    item,
    maybe_billed,
    opened,
    read,
    remote_process,
    source,
    states,
)

from clova_ocr_async.errors import (
    Billing,
    DiskFullError,
    LedgerError,
)
from clova_ocr_async.ledger.overflow_file import overflow_paths
from clova_ocr_async.ledger.overflow_records import AnswerRecord
from clova_ocr_async.ledger.sqlite.owners import LEASE
from clova_ocr_async.ledger.states import ItemEvent, Settlement

if TYPE_CHECKING:
    from pathlib import Path

RELEASE = Settlement(ItemEvent.RELEASE)


async def test_on_a_full_disk_answers_overflow_and_nothing_more_is_sent(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that the ledger cannot take is kept in the overflow file until closing, and nothing more is sent."""
    full = FullDisk("answered")
    async with opened(run, watch=full) as ledger:
        one, two = claimed(await ledger.admit(item("a"), None)), claimed(await ledger.admit(item("b"), None))
        await ledger.sending(one, "r1")
        await ledger.answered(one, "r1", ANSWER)
        errors: list[DiskFullError] = []
        for _ in range(2):
            with pytest.raises(DiskFullError, match="disk is full") as caught:
                await ledger.sending(two, "r2")
            errors.append(caught.value)
        assert errors[0] is not errors[1]
        assert answers(run) == []
        await ledger.settle(one, read("r1"))
        await ledger.settle(two, RELEASE)
        await ledger.recall(source("x"), "receipt")
    assert answers(run) == [ANSWER.body]
    assert states(run) == ["succeeded", "queued"]
    assert overflow_paths(run) == []
    assert "is kept in the overflow file" in caplog.text
    async with opened(run) as ledger:
        assert (await ledger.admit(item("a"), None)).entry.answer == ANSWER


async def test_the_next_process_replays_what_is_left(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If the disk is full to the end, the overflow file stays, and the next process that opens the run replays it."""
    full = FullDisk("answered", "close", "settled", "claim")
    async with opened(run, watch=full, process=dead_process()) as ledger:
        full.names.discard("claim")
        claim = claimed(await ledger.admit(item("a"), None))
        full.names.add("claim")
        await ledger.sending(claim, "r1")
        await ledger.answered(claim, "r1", ANSWER)
        with pytest.raises(DiskFullError):
            await ledger.admit(item("b"), None)
        await ledger.settle(claim, read("r1"))
    assert "was not closed in order" in caplog.text
    assert "not recorded yet" in caplog.text
    assert len(overflow_paths(run)) == 1
    async with opened(run) as ledger:
        assert (await ledger.admit(item("a"), None)).entry.answer == ANSWER
        assert len(overflow_paths(run)) == 1  # its own
    assert states(run) == ["succeeded"]
    assert overflow_paths(run) == []


@pytest.mark.parametrize(
    ("refused", "expected"),
    [({"maybe_billed_before": False}, ("queued", 0, 0)), ({"maybe_billed_before": True}, ("ambiguous", 1, 1))],
)
async def test_a_refusal_overflows(
    run: Path, refused: dict[str, bool], expected: tuple[str, int, int], caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal on a full disk is kept in the overflow file; an earlier maybe billed request still counts."""
    full = FullDisk()
    async with opened(run, watch=full, process=dead_process()) as ledger:
        claim = claimed(await ledger.admit(item(), None))
        await ledger.sending(claim, "r")
        if refused["maybe_billed_before"]:
            await ledger.maybe_billed(claim, "r")
            await ledger.sending(claim, "r")
        full.names = {"refused", "close"}
        await ledger.refused(claim, "r", **refused)
        with pytest.raises(DiskFullError):
            await ledger.sending(claim, "r")
    assert "the refusal of a request is kept in the overflow file" in caplog.text
    assert states(run) == ["sent"]
    async with opened(run):
        assert (*states(run), calls(run), maybe_billed(run)) == expected
    assert overflow_paths(run) == []


@pytest.mark.parametrize(
    ("settlement", "expected"),
    [
        (Settlement(ItemEvent.RELEASE, request_id="r"), ("queued", 0, 0)),
        (Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 1.0, b'{"type": "RateLimitError"}', "r"), ("failed", 0, 0)),
        (Settlement(ItemEvent.FAIL, Billing.BILLED, 1.0, b'{"type": "RecognitionError"}', "r"), ("failed", 1, 0)),
        (Settlement(ItemEvent.SUCCEED, Billing.BILLED, 1.0, request_id="r"), ("succeeded", 1, 0)),
        (ambiguous(), ("ambiguous", 1, 1)),
    ],
)
async def test_a_settlement_overflows(run: Path, settlement: Settlement, expected: tuple[str, int, int]) -> None:
    """A settlement is kept beside a full ledger, once, also where no answers are stored, and nothing more is sent."""
    full = FullDisk()
    async with opened(run, watch=full, process=dead_process(), store="none") as ledger:
        claim, other = claimed(await ledger.admit(item("a"), None)), claimed(await ledger.admit(item("b"), None))
        await ledger.sending(claim, "r")
        full.names = {"settled", "close"}
        await ledger.settle(claim, settlement)
        with pytest.raises(DiskFullError):
            await ledger.sending(other, "s")
        with pytest.raises(DiskFullError):
            await ledger.settle(other, RELEASE)
    assert states(run) == ["sent", "claimed"]
    for _ in range(2):
        async with opened(run) as ledger:
            assert (states(run)[0], calls(run), maybe_billed(run)) == expected
            found = (await ledger.admit(item("a"), None)).entry
            assert found.failure == settlement.failure
            assert states(run)[1] == "queued"


async def test_nothing_is_sent_after_a_missing_mark(run: Path) -> None:
    """If a request cannot be marked as maybe billed, the same call is not sent again: that would hide it."""

    def locked(where: str) -> None:
        if where == "before commit of maybe billed":
            raise LedgerError("made up: locked")

    async with opened(run, watch=locked) as ledger:
        claim = claimed(await ledger.admit(item(), None))
        await ledger.sending(claim, "r")
        for mark in (ledger.maybe_billed(claim, "r"), ledger.sending(claim, "r")):
            with pytest.raises(LedgerError, match="made up"):
                await mark
    assert (states(run), calls(run), maybe_billed(run)) == (["ambiguous"], 1, 1)


@pytest.mark.parametrize("settled", ["settled", "released"])
async def test_a_settlement_that_fails_wakes_waiting_callers(run: Path, settled: str) -> None:
    """A caller that waits for an item wakes, and meets the error, when its settlement cannot be recorded."""
    full = FullDisk()
    async with opened(run, watch=full) as ledger:
        claim = claimed(await ledger.admit(item(), None))
        entry = (await ledger.admit(item(), None)).entry
        waiting = asyncio.create_task(ledger.changed(entry))
        await ledger.sending(claim, "r")
        full.names = {settled}
        if settled == "settled":
            await ledger.settle(claim, ambiguous())
        else:
            admitting = asyncio.create_task(ledger.admit(item("b"), None))
            await asyncio.sleep(0)
            admitting.cancel()
            await asyncio.wait([admitting])
        await waiting
        with pytest.raises(DiskFullError):
            await ledger.changed(entry)


async def test_an_overflow_file_stays_until_it_is_replayed(run: Path) -> None:
    """While the replay of a dead process's overflow file fails, the file stays."""
    clock, full = Clock(), FullDisk()
    dead = opened(run, process=remote_process(), watch=FullDisk("answered"), clock=Clock())
    await dead.__aenter__()
    claim = claimed(await dead.admit(item("a"), None))
    await dead.sending(claim, "r1")
    await dead.answered(claim, "r1", ANSWER)
    await crash(dead)
    async with opened(run, watch=full, process=remote_process(), clock=clock) as ledger:
        full.names = {"look", "lease"}
        clock.now += LEASE + 1
        with pytest.raises(DiskFullError):
            await ledger.others_at_work(["receipt"])
        assert full.failed == ["lease", "look"]
        assert answers(run) == []
        full.names.clear()
        await ledger.others_at_work(["receipt"])
        assert answers(run) == [ANSWER.body]
        assert states(run) == ["succeeded"]
        clock.now += LEASE / 3
        await ledger.recall(source("x"), "receipt")
        assert len(overflow_paths(run)) == 1  # its own


async def test_an_answer_without_an_open_ledger_is_an_error(run: Path) -> None:
    """An answer that arrives after closing raises an error, and is not lost in silence."""
    ledger = opened(run)
    async with ledger:
        claim = claimed(await ledger.admit(item(), None))
        await ledger.sending(claim, "r")
    with pytest.raises(DiskFullError, match="not open"):
        await ledger.answered(claim, "r", ANSWER)
    assert AnswerRecord(1, "r", 200, None, b"canary", 1.0).item == 1
