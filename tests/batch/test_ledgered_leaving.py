from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import BUSY, FAILED, JPEG, FakeTime, FakeTransport, Held, domain, steps
from support.ledger_batches import batch, errors_of, picture
from support.ledgers import (
    FAILURE,
    answers,
    calls,
    dead_process,
    eventually,
    maybe_billed,
    opened,
    query,
    states,
    until,
)

from clova_ocr_async.batch import BatchDispatcher, Failure
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import (
    Billing,
    NotSentError,
    RecognitionError,
)
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.states import Settlement, SourceFile, State
from clova_ocr_async.protocol.image import Image

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from clova_ocr_async.ledger.states import Claim
    from clova_ocr_async.protocol.response import HTTPResponse


@asynccontextmanager
async def held_batch(run: Any, images: list[Any], **settings: Any) -> AsyncGenerator[tuple[Any, Held, FakeTransport]]:
    """Open a batch whose first request is held."""
    held = Held()
    transport = FakeTransport(held)
    client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime(), concurrency=1)
    async with BatchDispatcher(client, 3, ledger=run, **settings).dispatch(images, Receipt) as outcomes:
        await held.reached.wait()
        yield outcomes, held, transport


async def test_leaving_waits_for_the_calls_in_flight(run: Path) -> None:
    """Leaving a batch early waits for the calls in flight, which are written down; no other request is sent."""
    async with held_batch(run, [Image(picture(f"{number}")) for number in range(10)]) as (_, held, transport):
        asyncio.get_running_loop().call_later(0.02, held.go_on.set)
    assert len(transport.sent) == 1
    assert sorted(set(states(run))) == ["queued", "succeeded"]
    assert states(run).count("succeeded") == calls(run) == 1


async def test_a_second_cancellation_leaves_calls_ambiguous(run: Path) -> None:
    """A call in flight when a batch is cancelled a second time is cut off, ambiguous, and not sent by the next run."""
    images = [Image(picture(f"{number}")) for number in range(10)]
    entered = asyncio.Event()

    async def body() -> None:
        async with held_batch(run, images):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await entered.wait()
    for _ in range(2):
        task.cancel()
        await steps()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert states(run).count("ambiguous") == calls(run) == maybe_billed(run) == 1
    transport = FakeTransport()
    found, _ = await batch(run, images, transport)
    assert len(transport.sent) == 9
    (failure,) = [outcome.error for outcome in found if isinstance(outcome, Failure)]
    assert "was cancelled" in str(failure)
    assert failure.billing is Billing.MAYBE_BILLED


def all_released(run: Path) -> bool:
    """Return whether all items have been released."""
    return not query(run, "SELECT 1 FROM item WHERE owner IS NOT NULL")


async def test_cancellation_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    """A batch cancelled at any moment leaves no claim, and every request that was sent is answered or ambiguous."""
    for count in range(0, 60, 2):
        run = tmp_path / f"run{count}"
        transport = FakeTransport(FAILED, BUSY)
        async with opened(run, process=dead_process()) as ledger:
            task = asyncio.create_task(batch(ledger, [picture("a"), picture("b"), picture("a")], transport))
            for _ in range(count):
                await asyncio.sleep(0.0001)
            task.cancel()
            await asyncio.wait([task])
            await ledger.recall(SourceFile(b""), "receipt")  # what was asked for before is done, be it in vain
            await steps()
            await ledger.recall(SourceFile(b""), "receipt")  # and given back
            await eventually(partial(all_released, run))
            paid = len(answers(run))
            assert calls(run) == paid + maybe_billed(run)
            left = [state for state in states(run) if state not in {"queued", "succeeded", "ambiguous"}]
            assert left == []
            assert states(run).count("succeeded") == paid


async def test_an_answer_that_arrives_as_the_batch_is_cancelled_settles_its_image(run: Path) -> None:
    """A batch that is cancelled while an answer is written down settles the image by that answer."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    class Slow(SqliteLedger):
        async def answered(self, claim: Claim, request_id: str, response: HTTPResponse) -> None:
            reached.set()
            await go_on.wait()
            await super().answered(claim, request_id, response)

    async with Slow(run) as ledger:
        task = asyncio.create_task(batch(ledger, [picture("a")], FakeTransport()))
        await reached.wait()
        task.cancel()
        await steps()
        go_on.set()
        await asyncio.wait([task])
        await until(run, State.SUCCEEDED)
    assert (calls(run), maybe_billed(run)) == (1, 0)


async def test_an_image_with_an_outcome_is_not_withdrawn(run: Path) -> None:
    """An image whose call has finished comes out with its result, however long it takes to write that down."""
    loop = asyncio.get_running_loop()
    release = asyncio.Event()

    class Slow(SqliteLedger):
        async def settle(self, claim: Claim, verdict: Settlement) -> None:
            await release.wait()
            await super().settle(claim, verdict)

    async with Slow(run) as ledger:
        client = ClovaOCRClient(domain(), transport=FakeTransport(FAILURE), runtime=FakeTime().runtime())
        async with BatchDispatcher(client, ledger=ledger).dispatch([Image(picture("a"))], Receipt) as outcomes:
            await eventually(lambda: answers(run))
            await steps()
            outcomes.stop(NotSentError())
            loop.call_later(0.01, release.set)
            (found,) = [outcome async for outcome in outcomes]
    assert isinstance(found, Failure)
    assert isinstance(found.error, RecognitionError)


async def test_a_batch_that_waits_at_the_call_limit_can_be_stopped(run: Path) -> None:
    """A batch that waits at the call limit for another process's calls ends when it is stopped."""
    async with opened(run, max_calls=1) as one, opened(run, max_calls=1) as two:
        held = Held()
        flying = asyncio.create_task(batch(one, [Image(picture("a"))], FakeTransport(held)))
        await held.reached.wait()
        transport = FakeTransport()
        async with (
            ClovaOCRClient(domain(), transport=transport) as client,
            BatchDispatcher(client, ledger=two).dispatch([Image(picture("b"))], Receipt) as outcomes,
        ):
            asyncio.get_running_loop().call_later(0.3, outcomes.stop, NotSentError())
            found = [outcome async for outcome in outcomes]
        held.go_on.set()
        await flying
    assert [type(error) for error in errors_of(found)] == [NotSentError]
    assert transport.sent == []


async def test_a_batch_that_waits_at_the_call_limit_can_be_left(run: Path) -> None:
    """A batch that waits at the call limit for another process's calls can be left at once."""
    async with opened(run, max_calls=1) as one, opened(run, max_calls=1) as two:
        held = Held()
        flying = asyncio.create_task(batch(one, [Image(picture("a"))], FakeTransport(held)))
        await held.reached.wait()
        async with ClovaOCRClient(domain(), transport=FakeTransport()) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3), BatchDispatcher(client, ledger=two).dispatch([JPEG], Receipt) as found:
                    await anext(found)
        held.go_on.set()
        await flying
    assert calls(run) == 1
