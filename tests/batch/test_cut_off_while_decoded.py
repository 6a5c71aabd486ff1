"""Batches that are cut off while a large answer is decoded: the loop goes on, and the answer is not lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import JPEG, FakeTime, FakeTransport, Held, Sent, domain, parsed, steps
from support.ledgers import answers, maybe_billed, query, states
from support.threads import no_thread_free, reached

from clova_ocr_async.batch import Batch, BatchDispatcher, Failure, Success
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import Billing, ConnectionLostError
from clova_ocr_async.protocol.response import HTTPResponse, encode_response

if TYPE_CHECKING:
    from pathlib import Path


class Large(Held):
    """Holds its request, and then answers with more than is decoded in the loop.

    Attributes:
        body: The answer.
    """

    body = b""

    async def __call__(self, sent: Sent) -> HTTPResponse:
        """Hold, and answer."""
        await super().__call__(sent)
        image: dict[str, Any] = {"receipt": {"result": {}}, "inferResult": "SUCCESS", "more": "y" * 2 * 1024 * 1024}
        self.body = encode_response(parsed(sent.request).request_id, 0, image)
        return HTTPResponse(200, self.body)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory that is not there yet."""
    return tmp_path / "run"


def batch_of(held: Large, run: Path | None) -> Batch[Receipt]:
    """Return a batch of one image."""
    client = ClovaOCRClient(domain(), transport=FakeTransport(then=held), runtime=FakeTime().runtime())
    return BatchDispatcher(client, ledger=run).dispatch([JPEG], Receipt)


def taken(batch: Batch[Receipt]) -> asyncio.Task[None]:
    """Begin to take the outcomes of a batch."""

    async def take() -> None:
        async with batch as outcomes:
            async for _ in outcomes:
                pass

    return asyncio.create_task(take())


async def cut_off(task: asyncio.Task[None]) -> None:
    """Cancel the task that takes the outcomes as often as it needs to cut off the calls in flight."""
    task.cancel()
    await steps()
    task.cancel()
    await steps()


async def test_a_ledgered_batch_decodes_no_large_answer_in_the_loop(run: Path) -> None:
    """A call that is cut off while its answer is decoded waits for a thread, and is finished from that answer."""
    held = Large()
    batch = batch_of(held, run)
    task = taken(batch)
    await held.reached.wait()
    held.go_on.set()
    await reached(lambda: held.body and answers(run))
    async with no_thread_free() as waiting:
        await reached(waiting)
        await cut_off(task)
        assert not task.done()
        await reached(waiting)
        task.cancel()  # once more, which must not end it before all is written down
        await steps()
        assert not task.done()
    await asyncio.wait([task])
    assert task.cancelled()
    (left,) = batch.left_over
    assert isinstance(left, Success)
    assert left.recognition.raw == held.body
    assert (states(run), maybe_billed(run)) == (["succeeded"], 0)
    assert query(run, "SELECT billing FROM item") == [(int(Billing.BILLED),)]


async def test_a_batch_without_a_ledger_hands_over_what_it_did_not_decode() -> None:
    """A call that is cut off while its answer is decoded has the answer in the error that is left over."""
    held = Large()
    batch = batch_of(held, None)
    task = taken(batch)
    await held.reached.wait()
    async with no_thread_free() as waiting:
        held.go_on.set()
        await reached(waiting)
        task.cancel()
        await asyncio.wait([task])
    (left,) = batch.left_over
    assert isinstance(left, Failure)
    assert isinstance(left.error, ConnectionLostError)
    assert (left.error.billing, left.error.raw) == (Billing.BILLED, held.body)
