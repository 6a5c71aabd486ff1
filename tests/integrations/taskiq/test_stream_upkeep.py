from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis
from taskiq_redis import RedisStreamBroker

from clova_ocr_async.integrations.taskiq.stream_upkeep import StreamUpkeep

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from support.servers import RedisServer

pytestmark = pytest.mark.server

IDLE = 60_000  # milliseconds


class Queue:
    """A queue in Redis, and the workers of a test.

    Attributes:
        broker: Its broker.
        redis: Redis.
        woken: How often it was woken.
        tried: The pictures that were read by way of trial.
    """

    def __init__(self, url: str) -> None:
        self.broker = RedisStreamBroker(
            url, queue_name=uuid.uuid4().hex, idle_timeout=IDLE, unacknowledged_lock_timeout=30
        )
        self.redis = Redis.from_url(url)
        self.woken = 0
        self.tried: list[str] = []
        self.rested = asyncio.Event()

    async def wake(self) -> None:
        """Count."""
        self.woken += 1

    async def rest(self, _: float) -> None:
        """Rest for ever."""
        self.rested.set()
        await asyncio.Event().wait()

    async def try_reading(self, path: str) -> None:
        """Note a trial."""
        self.tried.append(path)

    def worker(self) -> StreamUpkeep:
        """Return a worker."""
        return StreamUpkeep(self.broker, self.wake, sleep=self.rest)

    async def look(self, worker: StreamUpkeep) -> None:
        """Have a worker look for messages once."""
        self.rested.clear()
        looking = asyncio.create_task(worker.run())
        await self.rested.wait()
        looking.cancel()

    async def bury(self) -> None:
        """Have all workers be dead."""
        async for key in self.redis.scan_iter(f"clova-ocr:{self.broker.queue_name}:worker:*"):
            await self.redis.delete(key)

    async def deliver_long_ago(self) -> Any:
        """Deliver a message to a worker that does not acknowledge it, long ago; return its id."""
        stream, group = self.broker.queue_name, self.broker.consumer_group_name
        await self.broker.startup()
        message = await self.redis.xadd(stream, {b"data": b"x"})
        await self.redis.xreadgroup(group, "dead", {stream: ">"})
        await self.redis.xclaim(stream, group, "dead", 0, [message], idle=IDLE + 1, justid=True)
        return message


@asynccontextmanager
async def queue_at(url: str) -> AsyncGenerator[Queue]:
    """Open a queue of its own."""
    queue = Queue(url)
    try:
        yield queue
    finally:
        await queue.redis.aclose()
        await queue.broker.shutdown()


async def test_messages_of_a_dead_worker_wake_the_queue(redis_url: str) -> None:
    """A message that was delivered long ago wakes an idle queue, once for all workers; none does not."""
    async with queue_at(redis_url) as queue:
        await queue.look(queue.worker())  # there is no stream yet
        message = await queue.deliver_long_ago()
        for _ in range(3):
            await queue.look(queue.worker())
        assert queue.woken == 1
        await queue.redis.delete(f"clova-ocr:{queue.broker.queue_name}:woken")  # half a minute later
        await queue.redis.xack(queue.broker.queue_name, queue.broker.consumer_group_name, message)
        await queue.look(queue.worker())
        assert queue.woken == 1


async def test_a_picture_that_ends_its_workers_is_parked(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """After a first attempt and two trials that have ended three workers, the image is refused by name."""
    dies = RuntimeError("the process ends here")

    async def die(_: str) -> None:
        raise dies

    async with queue_at(redis_url) as queue:
        assert await queue.worker().begin("1", "scan.png", queue.try_reading) is None
        for _ in range(2):
            await queue.bury()
            with pytest.raises(RuntimeError):
                await queue.worker().begin("1", "scan.png", die)
        await queue.bury()
        with caplog.at_level(logging.WARNING):
            error = await queue.worker().begin("1", "scan.png", queue.try_reading)
        assert "3 workers have ended" in str(error)
        assert "scan.png" in caplog.text
        assert queue.tried == []


async def test_an_image_whose_workers_were_killed_is_not_parked(redis_url: str) -> None:
    """However often workers are killed while an image waits, its trial shows that it is not to blame."""
    async with queue_at(redis_url) as queue:
        for _ in range(9):
            assert await queue.worker().begin("1", "scan.png", queue.try_reading) is None
            await queue.bury()
        assert queue.tried == ["scan.png"] * 8


async def test_a_second_delivery_beside_a_living_worker_is_no_interruption(redis_url: str) -> None:
    """A message that is delivered to two living workers is begun by both without a trial, also by one twice."""
    async with queue_at(redis_url) as queue:
        one, other = queue.worker(), queue.worker()
        for worker in (one, other, one):
            assert await worker.begin("1", "scan.png", queue.try_reading) is None
        assert queue.tried == []


async def test_a_worker_that_ends_in_order_during_a_trial_leaves_no_mark(redis_url: str) -> None:
    """A trial that is cancelled because its worker ends in order does not count as one that has ended it."""
    async with queue_at(redis_url) as queue:
        await queue.worker().begin("1", "scan.png", queue.try_reading)
        for _ in range(3):
            await queue.bury()
            worker, reached = queue.worker(), asyncio.Event()

            async def hang(_: str, reached: asyncio.Event = reached) -> None:
                reached.set()
                await asyncio.Event().wait()

            trial = asyncio.create_task(worker.begin("1", "scan.png", hang))
            await reached.wait()
            trial.cancel()
            await worker.leave()
        assert await queue.worker().begin("1", "scan.png", queue.try_reading) is None


@pytest.mark.parametrize("end", ["outcome", "worker"])
async def test_an_orderly_end_leaves_no_mark(redis_url: str, end: str) -> None:
    """An image with an outcome, and a worker that ends in order, leave nothing that counts as an interruption."""
    async with queue_at(redis_url) as queue:
        worker = queue.worker()
        await worker.begin("1", "scan.png", queue.try_reading)
        await (worker.end("1") if end == "outcome" else worker.leave())
        await queue.bury()
        await queue.worker().begin("1", "scan.png", queue.try_reading)
        assert queue.tried == []


async def test_marks_hold_no_path_and_do_not_stay_for_ever(redis_url: str, redis_server: RedisServer) -> None:
    """Redis has no path of an image from the marks, and each mark has an end."""
    async with queue_at(redis_url) as queue:
        worker = queue.worker()
        await queue.look(worker)
        await worker.begin("1", "canary-name-of-a-person.png", queue.try_reading)
        keys = [key async for key in queue.redis.scan_iter(f"clova-ocr:{queue.broker.queue_name}:*")]
        assert len(keys) == 2
        assert all([await queue.redis.ttl(key) > 0 for key in keys])
        assert b"canary-name-of-a-person" not in redis_server.dump()


async def test_without_redis_work_goes_on(redis_url: str, redis_server: RedisServer) -> None:
    """While Redis is away an image is begun and ended without marks, and no error is raised."""
    async with queue_at(redis_url) as queue:
        redis_server.stop()
        try:
            worker = queue.worker()
            assert await worker.begin("1", "scan.png", queue.try_reading) is None
            await worker.end("1")
        finally:
            redis_server.start()
