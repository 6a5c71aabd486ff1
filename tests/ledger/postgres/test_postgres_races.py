"""What SQLite's only writer made impossible: another transaction commits between two statements of one."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from support.ledgers import ANSWER, Clock, ambiguous, claimed, item, remote_process, source
from support.postgres_runs import execute

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger import PostgresLedger
from clova_ocr_async.ledger.overflow_records import AnswerRecord
from clova_ocr_async.ledger.postgres.item_statements import count_call, refuse
from clova_ocr_async.ledger.postgres.outcome_statements import keep_answer
from clova_ocr_async.ledger.postgres.sending import SendingMark
from clova_ocr_async.ledger.run_settings import LEASE
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.states import ClaimLostError
from clova_ocr_async.ledger.stored_values import sealed_answer

if TYPE_CHECKING:
    from collections.abc import Callable

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


async def test_an_answer_that_arrives_at_a_take_over_is_no_doubt(run: str) -> None:
    """A call whose answer is stored while its owner is taken over is not counted as maybe billed."""
    clock = Clock()
    async with (
        PostgresLedger(run, process=remote_process(), clock=clock) as slept,
        PostgresLedger(run, clock=clock) as other,
    ):
        claim = claimed(await slept.admit(item("a"), source("a")))
        await slept.sending(claim, "a")
        clock.now += 2 * LEASE
        with connected(run) as late:
            keep_answer(late, answer_to(claim, "a"))
            taking_over = asyncio.create_task(other.others_at_work(["receipt"]))
            await until_one_waits(run)
            late.commit()
            await taking_over
        assert execute(run, "SELECT state, maybe_billed FROM clova_ocr.item") == [("succeeded", 0)]


async def test_a_claim_whose_number_is_another_images_is_not_sent(run: str) -> None:
    """A claim that a crash of the server took away sends nothing, also if its process claims another image then."""
    async with PostgresLedger(run) as ledger:
        lost = claimed(await ledger.admit(item("a"), source("a")))
        # As a crash leaves it that takes back the claim, which is not waited for, and the value of the sequence.
        for statement in (
            "DELETE FROM clova_ocr.source",
            "DELETE FROM clova_ocr.item",
            f"ALTER TABLE clova_ocr.item ALTER COLUMN id RESTART WITH {lost.number}",
        ):
            execute(run, statement)
        claim = claimed(await ledger.admit(item("b"), source("b")))
        assert claim.number == lost.number
        with pytest.raises(ClaimLostError):
            await ledger.sending(lost, "a")
        assert await ledger.sending(claim, "b")


async def test_a_mark_that_the_server_is_still_to_commit_is_counted_once(run: str) -> None:
    """A mark whose connection was lost before the server had committed it is waited for, and not counted again."""
    async with PostgresLedger(run) as ledger:
        claim = claimed(await ledger.admit(item("a"), source("a")))
        mark = SendingMark(ledger._this_owner, claim, "a", b"", at=1.0)  # noqa: SLF001 - no seam loses a connection here
        with connected(run) as first, connected(run) as second:
            mark.write(first)
            again = asyncio.create_task(asyncio.to_thread(mark.write, second))
            await until_one_waits(run)
            first.commit()
            await again
            second.commit()
        assert execute(run, "SELECT calls FROM clova_ocr.run") == [(1,)]
        assert execute(run, "SELECT attempts FROM clova_ocr.item") == [(1,)]


class Interrupted:
    """A connection on which another process does something after the first statement.

    Args:
        db: The connection.
        meanwhile: Does it.
    """

    def __init__(self, db: psycopg.Connection[Any], meanwhile: Callable[[], object]) -> None:
        self._db = db
        self._meanwhile: list[Callable[[], object]] = [meanwhile]

    def execute(self, statement: Any, values: Any) -> Any:
        """Run a statement."""
        done = self._db.execute(statement, values)
        while self._meanwhile:
            self._meanwhile.pop()()
        return done


async def test_a_limit_that_a_refused_call_is_about_to_leave_is_waited_for(run: str) -> None:
    """The call limit is not reached for good if the call in flight is refused between the look at both."""
    async with PostgresLedger(run, max_calls=1) as ledger:
        first = claimed(await ledger.admit(item("a"), source("a")))
        second = claimed(await ledger.admit(item("b"), source("b")))
        await ledger.sending(first, "a")
        with connected(run) as refusing, connected(run) as db:
            refuse(refusing, first.number, "a", maybe_billed_before=False)
            asking: Any = Interrupted(db, refusing.commit)
            assert count_call(asking, second.number) == (None, 1)
        assert await ledger.sending(second, "b")
