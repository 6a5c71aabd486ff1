"""Upkeep of a stream of Redis: it wakes for the messages of dead workers.

taskiq-redis looks for unacknowledged messages only after a fetch that has returned something. On an idle queue the
messages of a dead worker would wait for ever. So each worker looks for them, and sends a message that does nothing.

The key ``clova-ocr:QUEUE:woken`` of Redis exists for a while after a wake-up, so that one worker alone sends it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.exceptions import RedisError
from taskiq.exceptions import TaskiqError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskiq_redis import RedisStreamBroker

__all__ = ["StreamUpkeep"]

logger = logging.getLogger("clova_ocr_async")

_LOOK = 10.0  # seconds between two looks
_WOKEN = 30  # seconds until the next wake-up


class StreamUpkeep:
    """One worker's looks for messages that nobody works on, in the Redis of its broker.

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

    async def run(self) -> None:
        """Wake the queue when messages are left; without an end."""
        while True:
            try:
                await self._wake_if_left()
            except (RedisError, OSError, TaskiqError) as error:
                # Its type alone: a message may hold the URL.
                logger.debug("Redis cannot be asked for messages that are left: %s", type(error).__name__)
            await self._sleep(_LOOK)

    async def _wake_if_left(self) -> None:
        """Wake the queue if a message was delivered long ago, and is not acknowledged."""
        queue, group, idle = self._broker.queue_name, self._broker.consumer_group_name, self._broker.idle_timeout
        async with Redis(connection_pool=self._broker.connection_pool) as redis:
            for stream in (queue, *self._broker.additional_streams):
                left = await redis.xpending_range(stream, group, min="-", max="+", count=1, idle=idle)
                if left and await redis.set(f"clova-ocr:{queue}:woken", 1, ex=_WOKEN, nx=True):
                    await self._wake()
