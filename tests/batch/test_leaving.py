from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from support.batches import Countdown, Source, both, dispatcher, either, pictures, tasks
from support.fakes import (
    SECRET,
    Connection,
    FakeTransport,
    Held,
    Sent,
    http,
    raw_server,
    steps,
)

from clova_ocr_async.batch import Batch, BatchDispatcher, Success
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator

    from clova_ocr_async.protocol.image import Image
    from clova_ocr_async.protocol.response import HTTPResponse


@either
async def test_the_body_fails(kind: str) -> None:
    """An exception of the body is raised unchanged, and no task or call outlives the batch."""
    source, transport = Source(), FakeTransport()
    with pytest.raises(ValueError, match="of the body") as caught:  # noqa: PT012 - what a body raises
        async with dispatcher(transport).dispatch(both(source, kind), Receipt) as outcomes:
            async for _ in outcomes:
                raise ValueError("of the body")
    assert caught.value.__cause__ is None
    assert (source.closed, tasks(), transport.in_flight) == (True, 1, 0)


@either
async def test_break(kind: str) -> None:
    """Leaving by break pulls no more, cancels the calls in flight, closes the source and leaves no task."""
    source, transport = Source(), FakeTransport(None, None, then=Held())
    async with dispatcher(transport).dispatch(both(source, kind), Receipt) as outcomes:
        async for _ in outcomes:
            break
        await steps(40)
        assert transport.in_flight > 0
    pulled = source.pulled
    await steps(40)
    assert (source.pulled, source.closed, tasks(), transport.in_flight) == (pulled, True, 1, 0)


@either
async def test_leaving_at_once(kind: str) -> None:
    """A batch that is left at once has pulled nothing, and its iteration ends at once."""
    source = Source()
    batch = dispatcher().dispatch(both(source, kind), Receipt)
    async with batch:
        pass
    assert [outcome async for outcome in batch] == []
    assert (source.pulled, tasks()) == (0, 1)


async def test_cancelled_in_the_body() -> None:
    """A cancelled caller leaves nothing behind, and is cancelled."""
    transport, source = FakeTransport(then=Held()), Source()

    async def body() -> None:
        async with dispatcher(transport).dispatch(source.asynchronously(), Receipt) as outcomes:
            await anext(outcomes)

    task = asyncio.create_task(body())
    await transport.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (transport.in_flight, source.closed, tasks()) == (0, True, 1)


@pytest.mark.parametrize("times", [1, 3])
async def test_cancelled_while_leaving(times: int) -> None:
    """However often the caller is cancelled while it leaves, all is cleaned up first, and then it is cancelled."""
    cleaning, go_on = asyncio.Event(), asyncio.Event()
    cleaned = False

    async def slow() -> AsyncGenerator[Image]:
        nonlocal cleaned
        try:
            for image in pictures():
                yield image
        finally:
            cleaning.set()
            await go_on.wait()
            cleaned = True

    async def body() -> None:
        async with dispatcher(FakeTransport(then=Held())).dispatch(slow(), Receipt):
            await steps()

    task = asyncio.create_task(body())
    await cleaning.wait()
    for _ in range(times):
        task.cancel()
        await steps()
        assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (cleaned, tasks()) == (True, 1)


async def test_cancelled_while_calls_end(caplog: pytest.LogCaptureFixture) -> None:
    """Calls slow to end are waited for; a cancellation meanwhile comes out, and a failing cleanup is logged."""
    ending, go_on = asyncio.Event(), asyncio.Event()

    async def reluctant(_: Sent) -> HTTPResponse:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await go_on.wait()
        raise AssertionError

    def images() -> Generator[Image]:
        try:
            yield from pictures()
        finally:
            raise ZeroDivisionError("of the cleanup")

    async def body() -> None:
        async with dispatcher(transport).dispatch(images(), Receipt):
            await transport.arrived.wait()
            await steps()

    transport = FakeTransport(then=reluctant)
    task = asyncio.create_task(body())
    await ending.wait()
    task.cancel()
    await steps()
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (transport.in_flight, tasks()) == (0, 1)
    assert "failed while it was closed" in caplog.text


async def test_cancelling_at_every_step() -> None:
    """A caller can be cancelled at whichever step of a batch, and no task and no call stays behind."""
    for count in itertools.count():
        transport, source = FakeTransport(), Source(3)

        async def body(transport: FakeTransport = transport, source: Source = source) -> None:
            async with dispatcher(transport, 2).dispatch(source.asynchronously(), Receipt) as outcomes:
                assert len([outcome async for outcome in outcomes]) == 3

        task = asyncio.create_task(body())
        await steps(count)
        late = task.done()
        task.cancel()
        await asyncio.wait([task])
        assert late or task.cancelled()
        assert (transport.in_flight, tasks()) == (0, 1)
        assert source.closed or source.pulled == 0
        if late:
            assert count > 10
            return


async def test_a_failing_cleanup_of_the_source(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of the source's closing is raised, or logged if the body raised another one."""

    def sync() -> Generator[Image]:
        try:
            yield from pictures()
        finally:
            raise ZeroDivisionError("of the cleanup")

    async def asynchronous() -> AsyncGenerator[Image]:
        try:
            for image in pictures():
                yield image
        finally:
            raise ZeroDivisionError("of the cleanup")

    async def left(make: Any, *, failing: bool) -> None:
        async with dispatcher().dispatch(make(), Receipt) as outcomes:
            await anext(outcomes)
            if failing:
                raise ValueError("of the body")

    for make in (sync, asynchronous):
        with pytest.raises(ZeroDivisionError, match="of the cleanup"):
            await left(make, failing=False)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        caplog.clear()
        with pytest.raises(ValueError, match="of the body"):
            await left(make, failing=True)
        assert [record.exc_info is not None for record in caplog.records] == [False, True]
        caplog.clear()
    assert tasks() == 1


class SlowToClose(Countdown):
    """An asynchronous iterator whose closing takes a while."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.closed = False

    async def aclose(self) -> None:
        """Close, in several steps."""
        for _ in range(30):
            await asyncio.sleep(0)
        self.closed = True


async def test_an_iterator_that_is_slow_to_close() -> None:
    """An iterator that is slow to close is closed to its end, and the batch does not hang."""
    for taken in (3, 5):
        source = SlowToClose(5)
        async with dispatcher(None, 8).dispatch(source, Receipt) as outcomes:
            for _ in range(taken):
                await anext(outcomes)
            if taken == 5:
                with pytest.raises(StopAsyncIteration):
                    await anext(outcomes)
        assert (source.closed, tasks()) == (True, 1)


async def test_left_from_another_task() -> None:
    """A batch entered in one task is read and left in others."""
    batch = dispatcher().dispatch(Source(5).asynchronously(), Receipt)
    outcomes = await asyncio.create_task(batch.__aenter__())
    assert isinstance(await asyncio.create_task(anext(outcomes)), Success)
    await asyncio.create_task(batch.__aexit__(None, None, None))
    assert tasks() == 1


@pytest.fixture
async def opened() -> AsyncIterator[Batch[Receipt]]:
    """An open batch; pytest may leave it from another task."""
    async with dispatcher().dispatch(pictures(), Receipt) as outcomes:
        yield outcomes


async def test_in_a_fixture(opened: Batch[Receipt]) -> None:
    """A batch can be held open by a fixture."""
    assert isinstance(await anext(opened), Success)


async def test_in_a_streaming_handler() -> None:
    """A batch inside an asynchronous generator survives the generator's being closed by another task."""
    source = Source()

    async def stream() -> AsyncGenerator[str]:
        async with dispatcher().dispatch(source, Receipt) as outcomes:
            async for outcome in outcomes:
                yield repr(outcome)

    lines = stream()
    for _ in range(3):
        assert "Success" in await asyncio.create_task(anext(lines))
    await asyncio.create_task(lines.aclose())
    assert (source.closed, tasks()) == (True, 1)


async def test_the_server_sees_the_hang_up() -> None:
    """Calls in flight when a batch is left by break are hung up on."""
    reached = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        if server.connections == 1:
            await connection.send(http(b'{"images":[{"receipt":{"result":{}}}]}'))
        else:
            reached.set()
        await connection.hung_up()

    async with raw_server(script) as server:
        async with ClovaOCRClient(Domain(server.url, SECRET), concurrency=1) as client:
            async with BatchDispatcher(client, 2).dispatch(pictures(), Receipt) as outcomes:
                async for _ in outcomes:
                    break
            await server.hung_up.wait()
        assert (server.connections, tasks() <= 3) == (1, True)
