"""What SQLite's only writer made impossible: another transaction commits between two statements of one."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from support.ledgers import ANSWER, ambiguous, claimed, item, source
from support.postgres_runs import execute

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger import PostgresLedger
from clova_ocr_async.ledger.overflow_records import AnswerRecord
from clova_ocr_async.ledger.postgres.outcome_statements import keep_answer
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.stored_values import sealed_answer

if TYPE_CHECKING:
    from clova_ocr_async.ledger.states import Claim

pytestmark = pytest.mark.server


def connected(run: str) -> closing[psycopg.Connection[Any]]:
    """Return a connection of another process, in a transaction once it has done something."""
    return closing(psycopg.connect(run.partition("?")[0]))


def answer_to(claim: Claim, request_id: str) -> AnswerRecord:
    """Return the answer of a call."""
    status, cut, body, unpacked = sealed_answer(NoSeal(), claim.item, ANSWER)
    return AnswerRecord(claim.number, request_id, status, cut, body, 1.0, unpacked)


async def until_one_waits(run: str) -> None:
    """Wait until a transaction waits for the locks of another one."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(30):
        while not execute(run, waiting):  # noqa: ASYNC110 - of the server
            await asyncio.sleep(0.01)


async def test_an_image_whose_answer_arrives_while_it_is_queued_again_is_not(run: str) -> None:
    """An answer that is stored between the look for such and the queueing settles its item, which is not paid again."""
    async with PostgresLedger(run) as ledger:
        claim = claimed(await ledger.admit(item("a"), source("a")))
        await ledger.sending(claim, "a")
        await ledger.settle(claim, ambiguous("a"))
        with connected(run) as late:
            keep_answer(late, answer_to(claim, "a"))
            queueing = asyncio.create_task(ledger.requeue(Billing.MAYBE_BILLED))
            await until_one_waits(run)
            late.commit()
            assert await queueing == 0
        await ledger.others_at_work(["receipt"])
        assert execute(run, "SELECT state, maybe_billed FROM clova_ocr.item") == [("succeeded", 0)]
