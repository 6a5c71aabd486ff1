from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
from support.batches import Source, both, dispatcher, either, pictures, tasks
from support.fakes import (
    JPEG,
    FakeTransport,
    Held,
    Sent,
    steps,
    success,
)

from clova_ocr_async.batch import Success
from clova_ocr_async.documents import Receipt

if TYPE_CHECKING:
    from clova_ocr_async.protocol.response import HTTPResponse


@either
@pytest.mark.parametrize("ordered", [False, True])
async def test_a_slow_consumer(kind: str, ordered: bool) -> None:
    """While no outcome is taken no more than 200 images are pulled; each one taken lets one more be pulled."""
    source = Source()
    async with dispatcher().dispatch(both(source, kind), Receipt, ordered=ordered) as outcomes:
        await steps(3000)
        assert source.pulled == 200
        for _ in range(10):
            await anext(outcomes)
        await steps(300)
        assert source.pulled == 210


async def test_ahead() -> None:
    """The setting ahead bounds what is pulled, but never below the concurrency."""
    for ahead, pulled in ((7, 7), (1, 4)):
        source = Source()
        async with dispatcher(ahead=ahead).dispatch(source, Receipt):
            await steps(300)
        assert source.pulled == pulled


async def test_the_number_of_workers() -> None:
    """No more images are in work than the concurrency; by default as many as there are slots, and four more."""
    for concurrency, pulled in ((3, 3), (None, 8), (100, 8)):
        source = Source()
        async with dispatcher(FakeTransport(then=Held()), concurrency).dispatch(source, Receipt):
            await steps(200)
        assert source.pulled == pulled


async def kept_by(count: int) -> int:
    """Return the most objects alive while so many images go through."""
    most = 0
    gc.collect()
    before = len(gc.get_objects())

    async def answer(sent: Sent) -> HTTPResponse:
        transport.sent.clear()
        return success(sent.request)

    transport = FakeTransport(then=answer)
    async with dispatcher(transport, 16).dispatch((JPEG for _ in range(count)), Receipt) as outcomes:
        taken = 0
        async for _ in outcomes:
            taken += 1
            if taken % (count // 4) == 0:
                gc.collect()
                most = max(most, len(gc.get_objects()) - before)
    assert taken == count
    return most


async def test_memory_is_bounded() -> None:
    """Twenty times as many images hold no more objects."""
    few = await kept_by(200)
    assert await kept_by(4000) < few + 1000


async def test_many_refused_images() -> None:
    """Ten thousand images go through with no more than 200 pulled ahead."""
    source, taken, most = Source(10_000), 0, 0
    images = (b"no picture" for _ in source)
    async with dispatcher(None, 32).dispatch(images, Receipt) as outcomes:
        async for _ in outcomes:
            taken += 1
            most = max(most, source.pulled - taken)
    assert (taken, most <= 200) == (10_000, True)


async def test_an_infinite_source() -> None:
    """An infinite source is read for as long as outcomes are taken."""
    async with dispatcher().dispatch(pictures(), Receipt) as outcomes:
        for _ in range(500):
            assert isinstance(await anext(outcomes), Success)
    assert tasks() == 1
