"""What a stream of Redis lacks: it wakes for the messages of dead workers, and it knows a message that ends workers.

* taskiq-redis looks for unacknowledged messages only after a fetch that has returned something. On an idle queue the
  messages of a dead worker would wait for ever. So each worker looks for them, and sends a message that does nothing.
* A picture whose decoding ends the process would end one worker after the other. So a message is marked when its image
  is begun. If a dead worker left such a mark, the picture is read once before the batch takes it, under a mark of its
  own. An image whose trials have ended two further workers is parked. A worker that was only killed leaves no mark of a
  trial, so an innocent image is not parked.

Keys of Redis, all below ``clova-ocr:`` and the name of the queue; no value holds a path or anything of a picture:

    worker:ID     exists while a worker is alive; renewed every ten seconds
    begun:TASK    the set of the workers that have begun the image of a message, and have not ended it
    woken         exists for a while after a wake-up, so that one worker alone sends it
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from taskiq.exceptions import TaskiqError

from clova_ocr_async import Failure, ImageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskiq_redis import RedisStreamBroker

__all__ = ["StreamUpkeep"]

logger = logging.getLogger("clova_ocr_async")

_MOST_TRIALS = 2  # of one picture, that may end a worker each; the first attempt, which was no trial, comes before them
_RENEWAL = 10.0  # seconds
_ALIVE = 30  # seconds that a worker may sleep before its marks count as those of a dead one: as a lease of the ledger
_KEPT = 7 * 24 * 3600  # seconds; a mark whose message is never delivered again must not stay for ever
_WOKEN = 30  # seconds until the next wake-up
_TRIAL = ":trial"


class StreamUpkeep:
    """One worker's marks in the Redis of its broker, and its looks for messages that nobody works on.

    While Redis is away nothing is marked, and no error is raised: no message is delivered then either.

    Args:
        broker: The broker.
        wake: Sends a message that does nothing.
        sleep: Waits some seconds.
    """

    def __init__(
        self,
        broker: RedisStreamBroker,
        wake: Callable[[], Awaitable[object]],
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._broker = broker
        self._wake = wake
        self._sleep = sleep
        self._prefix = f"clova-ocr:{broker.queue_name}:"
        self._worker = uuid.uuid4().hex
        self._begun: set[str] = set()

    async def run(self) -> None:
        """Stay alive in the eyes of the others, and wake the queue when messages are left; without an end."""
        while True:
            await self._quietly(self._renew)
            await self._quietly(self._wake_if_left)
            await self._sleep(_RENEWAL)

    async def begin(self, task: str, path: str, trial: Callable[[str], Awaitable[object]]) -> ImageError | None:
        """Mark that the image of a message is begun; return the error of one that has ended too many workers.

        Args:
            task: The id of the message's task.
            path: The path of the image.
            trial: Reads the picture at a path; called if a dead worker had begun it.
        """
        dead = await self._dead_marks(task)
        if sum(mark.endswith(_TRIAL) for mark in dead) >= _MOST_TRIALS:
            error = ImageError(f"{_MOST_TRIALS + 1} workers have ended while they read it, so it is not read again")
            logger.warning("an image is parked: %r", Failure(path, error))
            return error
        self._begun.add(task)
        if dead:
            await self._mark(task, self._worker + _TRIAL)
            await trial(path)
        await self._mark(task, self._worker)
        return None

    async def end(self, task: str) -> None:
        """Remove the marks of a message: its image has an outcome."""
        self._begun.discard(task)
        await self._quietly(lambda redis: redis.delete(self._key("begun", task)))

    async def leave(self) -> None:
        """Remove this worker's marks: it ends in order, so no image has ended it."""
        marked = [self._key("begun", task) for task in self._begun]

        async def leave(redis: Any) -> None:
            for key in marked:
                await redis.srem(key, self._worker, self._worker + _TRIAL)
            await redis.delete(self._key("worker", self._worker))

        await self._quietly(leave)

    async def _dead_marks(self, task: str) -> list[str]:
        """Return the marks that dead workers have left at a message."""
        dead: list[str] = []

        async def find(redis: Any) -> None:
            for mark in [mark.decode() for mark in await redis.smembers(self._key("begun", task))]:
                worker = mark.removesuffix(_TRIAL)
                if worker != self._worker and not await redis.exists(self._key("worker", worker)):
                    dead.append(mark)

        await self._quietly(find)
        return dead

    async def _mark(self, task: str, mark: str) -> None:
        """Put this worker's mark at a message in place of the one it had there."""
        key = self._key("begun", task)

        async def write(redis: Any) -> None:
            async with redis.pipeline(transaction=True) as pipe:
                # Its worker is alive from now on, also if this is its very first work.
                pipe.set(self._key("worker", self._worker), 1, ex=_ALIVE)
                pipe.srem(key, self._worker, self._worker + _TRIAL)
                pipe.sadd(key, mark)
                pipe.expire(key, _KEPT)
                await pipe.execute()

        await self._quietly(write)

    async def _renew(self, redis: Any) -> None:
        await redis.set(self._key("worker", self._worker), 1, ex=_ALIVE)

    async def _wake_if_left(self, redis: Any) -> None:
        """Wake the queue if a message was delivered long ago, and is not acknowledged."""
        group, idle = self._broker.consumer_group_name, self._broker.idle_timeout
        for stream in (self._broker.queue_name, *self._broker.additional_streams):
            left = await redis.xpending_range(stream, group, min="-", max="+", count=1, idle=idle)
            if left and await redis.set(self._prefix + "woken", 1, ex=_WOKEN, nx=True):
                await self._wake()

    async def _quietly(self, work: Callable[[Any], Awaitable[object]]) -> None:
        """Do some work on Redis; if it is away, log that."""
        try:
            async with Redis(connection_pool=self._broker.connection_pool) as redis:
                await work(redis)
        except (RedisError, OSError, TaskiqError) as error:
            # Its type alone: a message may hold the URL.
            logger.debug("Redis cannot be used for the marks of tasks: %s", type(error).__name__)

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}{kind}:{name}"
