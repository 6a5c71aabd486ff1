"""Ways to read many images with a limit of so many at once, and this dispatcher: the contenders of its benchmark.

Each is a function that reads images through a client and hands each result to a function. All but the bare pool do so
one after the other, as a program that writes a file needs them.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any, Protocol

from clova_ocr_async import BatchDispatcher, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from clova_ocr_async import ClovaOCRClient

    Take = Callable[[Any], object]

__all__ = ["STRATEGIES", "Strategy"]


class Strategy(Protocol):
    """A way to read images."""

    async def __call__(self, client: ClovaOCRClient, images: Iterable[Any], at_once: int, take: Take, /) -> None:
        """Read the images, so many at once, and take each result."""
        ...


async def pool(client: ClovaOCRClient, images: Iterable[Any], at_once: int, take: Take) -> None:
    """Let workers share an iterator; each takes its own results."""
    left = iter(images)

    async def work() -> None:
        for image in left:
            take(await client.recognize(image, Receipt))

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())


async def pool_and_queue(client: ClovaOCRClient, images: Iterable[Any], at_once: int, take: Take) -> None:
    """Let workers share an iterator; the results come through a bounded queue."""
    results: asyncio.Queue[Any] = asyncio.Queue(200)
    left = iter(images)

    async def work() -> None:
        for image in left:
            await results.put(await client.recognize(image, Receipt))

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
        await results.put(None)

    running = asyncio.create_task(run())
    while (result := await results.get()) is not None:
        take(result)
    await running


async def ours(client: ClovaOCRClient, images: Iterable[Any], at_once: int, take: Take) -> None:
    """Dispatch them."""
    async with BatchDispatcher(client, at_once).dispatch(images, Receipt) as outcomes:
        async for outcome in outcomes:
            take(outcome)


async def gather(client: ClovaOCRClient, images: Iterable[Any], at_once: int, take: Take) -> None:
    """Make a task of each image, a semaphore around each, and wait for all."""
    limit = asyncio.Semaphore(at_once)

    async def read(image: Any) -> Any:
        async with limit:
            return await client.recognize(image, Receipt)

    for result in await asyncio.gather(*map(read, images)):  # noqa: TID251 - its cost is the question
        take(result)


async def aiometer(client: ClovaOCRClient, images: Iterable[Any], at_once: int, take: Take) -> None:
    """Map them with aiometer, which wants all of them at once."""

    async def read(image: Any) -> Any:
        return await client.recognize(image, Receipt)

    async with importlib.import_module("aiometer").amap(read, list(images), max_at_once=at_once) as results:
        async for result in results:
            take(result)


async def streams(client: ClovaOCRClient, images: Iterable[Any], at_once: int, take: Take) -> None:
    """Let anyio's streams bring images to workers, and results back."""
    anyio = importlib.import_module("anyio")
    send, receive = anyio.create_memory_object_stream(at_once)
    give, results = anyio.create_memory_object_stream(at_once)

    async def feed() -> None:
        async with send:
            for image in images:
                await send.send(image)

    async def work(mine: Any, out: Any) -> None:
        async with mine, out:
            async for image in mine:
                await out.send(await client.recognize(image, Receipt))

    async with anyio.create_task_group() as group:
        group.start_soon(feed)
        for _ in range(at_once):
            group.start_soon(work, receive.clone(), give.clone())
        receive.close()
        give.close()
        async with results:
            async for result in results:
                take(result)


STRATEGIES: dict[str, Strategy] = {
    "ours": ours,
    "pool": pool,
    "pool and queue": pool_and_queue,
    "gather": gather,
    "aiometer": aiometer,
    "anyio streams": streams,
}
