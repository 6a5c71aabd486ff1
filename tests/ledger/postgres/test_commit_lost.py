"""Commits whose acknowledgement is lost: the connection ends after the server has, or has not, done what it was asked.

A second try must neither do it twice nor believe that another process has done it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.ledgers import ANSWER, claimed, item, read, source
from support.postgres_runs import execute, read_images
from support.proxies import Proxy, proxy_to

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger import PostgresLedger
from clova_ocr_async.ledger.postgres import purge
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.states import ItemEvent, Settlement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers import PostgresServer

pytestmark = pytest.mark.server

done_or_not = pytest.mark.parametrize("done", [True, False], ids=["committed", "not committed"])


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[Proxy]:
    """A proxy to the server."""
    with proxy_to(postgres_server.port) as proxy:
        yield proxy


@pytest.fixture
def through(run: str, proxy: Proxy, postgres_server: PostgresServer) -> str:
    """The URL of the run through the proxy."""
    return run.replace(f":{postgres_server.port}/", f":{proxy.port}/")


@done_or_not
async def test_a_claim_is_its_callers(through: str, run: str, proxy: Proxy, *, done: bool) -> None:
    """A claim whose commit was not acknowledged is given to its caller, once."""
    async with PostgresLedger(through) as ledger:
        proxy.lose(b"COMMIT", after=b"INSERT INTO clova_ocr.item", answered=done)
        claim = claimed(await ledger.admit(item("a"), source("a")))
        assert proxy.lost == 1
        assert (await ledger.admit(item("a"), None)).claim is None
        await ledger.settle(claim, Settlement(ItemEvent.SKIP))
    assert execute(run, "SELECT state FROM clova_ocr.item") == [("skipped",)]


@done_or_not
async def test_a_request_is_counted_once(through: str, run: str, proxy: Proxy, *, done: bool) -> None:
    """A mark whose commit was not acknowledged is written and counted once, and the request may leave."""
    async with PostgresLedger(through, max_calls=1) as ledger:
        claim = claimed(await ledger.admit(item("a"), source("a")))
        proxy.lose(b"COMMIT", after=b"attempts = attempts + 1", answered=done)
        assert await ledger.sending(claim, "a")
        assert (proxy.lost, ledger.max_calls) == (1, 1)
        assert execute(run, "SELECT attempts, calls FROM clova_ocr.item, clova_ocr.run") == [(1, 1)]


@done_or_not
async def test_an_answer_and_an_end_count_once(through: str, run: str, proxy: Proxy, *, done: bool) -> None:
    """An answer and a settlement whose commits were not acknowledged are stored once."""
    async with PostgresLedger(through) as ledger:
        claim = claimed(await ledger.admit(item("a"), source("a")))
        await ledger.sending(claim, "a")
        proxy.lose(b"COMMIT", after=b"INSERT INTO clova_ocr.answer", answered=done)
        await ledger.answered(claim, "a", ANSWER)
        proxy.lose(b"COMMIT", after=b"finished_at", answered=done)
        await ledger.settle(claim, read("a"))
        assert proxy.lost == 2
    assert execute(run, "SELECT state, attempts, maybe_billed FROM clova_ocr.item") == [("succeeded", 1, 0)]
    assert execute(run, "SELECT count(*), max(calls) FROM clova_ocr.answer, clova_ocr.run") == [(1, 1)]


@done_or_not
async def test_a_refusal_is_uncounted_once(through: str, run: str, proxy: Proxy, *, done: bool) -> None:
    """A refusal whose commit was not acknowledged takes one call back."""
    async with PostgresLedger(through) as ledger:
        for name in "ab":
            claim = claimed(await ledger.admit(item(name), source(name)))
            await ledger.sending(claim, name)
        proxy.lose(b"COMMIT", after=b"calls - 1", answered=done)
        await ledger.refused(claim, "b", maybe_billed_before=False)
        assert proxy.lost == 1
        assert execute(run, "SELECT calls FROM clova_ocr.run") == [(1,)]
        await ledger.settle(claim, Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 1.0, b"{}"))


@done_or_not
async def test_files_are_not_forgotten(through: str, proxy: Proxy, *, done: bool) -> None:
    """Files whose handing out was not acknowledged are handed to the same caller, and no file twice."""
    async with PostgresLedger(through) as ledger:
        ledger.add_files([source(name) for name in "abc"], "receipt")
        proxy.lose(b"COMMIT", after=b"SKIP LOCKED", answered=done)
        assert [file.path for file in await ledger.claim_files(["receipt"], 2)] == [b"a", b"b"]
        assert [file.path for file in await ledger.claim_files(["receipt"], 2)] == [b"c"]
        assert proxy.lost == 1


@done_or_not
async def test_images_that_are_queued_again_are_counted_once(
    through: str, run: str, proxy: Proxy, *, done: bool
) -> None:
    """A requeue whose commit was not acknowledged has the number of images that it has queued."""
    async with PostgresLedger(through) as ledger:
        for name in "ab":
            claim = claimed(await ledger.admit(item(name), source(name)))
            await ledger.settle(claim, Settlement(ItemEvent.SKIP))
        proxy.lose(b"COMMIT", after=b"answer = NULL", answered=done)
        assert await ledger.requeue(Billing.NOT_BILLED) == 2
        assert proxy.lost == 1
    assert execute(run, "SELECT state FROM clova_ocr.item") == [("queued",)] * 2


@done_or_not
async def test_what_a_purge_has_removed_is_counted_once(through: str, run: str, proxy: Proxy, *, done: bool) -> None:
    """A purge whose commit was not acknowledged says how many answers it has removed, and not that there were none."""
    await read_images(run, "a", "b")
    proxy.lose(b"COMMIT", after=b"DELETE FROM clova_ocr.answer", answered=done)
    assert purge(through, NoSeal()).answers == 2
    assert proxy.lost == 1
    assert purge(run, NoSeal()).answers == 0


@done_or_not
async def test_a_claim_keeps_its_count_of_interrupted_processes(
    through: str, run: str, proxy: Proxy, *, done: bool
) -> None:
    """A claim whose commit was not acknowledged knows how many processes its item has interrupted."""
    async with PostgresLedger(through) as ledger:
        await ledger.settle(claimed(await ledger.admit(item("a"), source("a"))), Settlement(ItemEvent.RELEASE))
        execute(run, "UPDATE clova_ocr.item SET interrupted = 2")
        proxy.lose(b"COMMIT", after=b"INSERT INTO clova_ocr.item", answered=done)
        assert claimed(await ledger.admit(item("a"), source("a"))).interrupted == 2
        assert proxy.lost == 1


async def test_files_that_another_process_took_meanwhile(through: str, run: str, proxy: Proxy) -> None:
    """If the commit was lost and another process has the files by now, the caller is given the next ones."""
    async with PostgresLedger(through) as ledger, PostgresLedger(run) as other:
        ledger.add_files([source(name) for name in "abc"], "receipt")
        proxy.lose(b"COMMIT", after=b"SKIP LOCKED", answered=False)
        proxy.meanwhile = lambda: execute(
            run,
            "UPDATE clova_ocr.source SET owner = %s WHERE path = 'a'",
            other._this_owner.number,  # noqa: SLF001 - its number
        )
        assert [file.path for file in await ledger.claim_files(["receipt"], 1)] == [b"b"]
