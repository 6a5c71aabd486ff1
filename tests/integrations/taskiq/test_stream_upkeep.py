from __future__ import annotations

import asyncio
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
    """

    def __init__(self, url: str) -> None:
        self.broker = RedisStreamBroker(
            url, queue_name=uuid.uuid4().hex, idle_timeout=IDLE, unacknowledged_lock_timeout=30
        )
        self.redis = Redis.from_url(url)
        self.woken = 0
        self.rested = asyncio.Event()

    async def wake(self) -> None:
        """Count."""
        self.woken += 1

    async def rest(self, _: float) -> None:
        """Rest for ever."""
        self.rested.set()
        await asyncio.Event().wait()

    def worker(self) -> StreamUpkeep:
        """Return a worker."""
        return StreamUpkeep(self.broker, self.wake, sleep=self.rest)

    async def look(self, worker: StreamUpkeep) -> None:
        """Have a worker look for messages once."""
        self.rested.clear()
        looking = asyncio.create_task(worker.run())
        await self.rested.wait()
        looking.cancel()

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


async def test_a_wake_up_holds_nothing_of_an_image_and_does_not_stay(redis_url: str) -> None:
    """What a wake-up leaves in Redis is one key of the queue, which ends by itself."""
    async with queue_at(redis_url) as queue:
        await queue.deliver_long_ago()
        await queue.look(queue.worker())
        (key,) = [key async for key in queue.redis.scan_iter(f"clova-ocr:{queue.broker.queue_name}:*")]
        assert key.decode() == f"clova-ocr:{queue.broker.queue_name}:woken"
        assert 0 < await queue.redis.ttl(key) <= 30


async def test_without_redis_the_looks_go_on(redis_url: str, redis_server: RedisServer) -> None:
    """While Redis is away a look raises nothing, and the next one is as ever."""
    async with queue_at(redis_url) as queue:
        await queue.deliver_long_ago()
        redis_server.stop()
        try:
            await queue.look(queue.worker())
        finally:
            redis_server.start()
        assert queue.woken == 0
        await queue.look(queue.worker())
        assert queue.woken == 1
