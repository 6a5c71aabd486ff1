"""A broker and its task, for workers that tests start: ``taskiq worker worker_app:broker``; the environment says where.

A picture with the word "deadly" in its bytes ends the process that decodes it, as a fault of a decoder does.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from clova_ocr_async import ClovaOCRClient
from clova_ocr_async.client.loading import ImageLoader
from clova_ocr_async.integrations.taskiq import recognize_task

if TYPE_CHECKING:
    from typing import Any

    from clova_ocr_async.client.loading import PreparedImage

IDLE = 60_000  # milliseconds


class DeadlyLoader(ImageLoader):
    """A loader with a decoder that one picture ends."""

    async def make(self, opened: Any) -> PreparedImage:
        """Decode a picture, or die."""
        _die_of(opened.data)
        return await super().make(opened)


def _die_of(data: object) -> None:
    if isinstance(data, bytes) and b"deadly" in data:
        os.kill(os.getpid(), signal.SIGKILL)


def make_client() -> ClovaOCRClient:
    """Make the client of a worker."""
    client = ClovaOCRClient.from_env(concurrency=4, deadline=20)
    client.loader = DeadlyLoader(client.limits)
    return client


broker = RedisStreamBroker(
    os.environ["REDIS_URL"],
    queue_name=os.environ["QUEUE"],
    idle_timeout=IDLE,
    unacknowledged_lock_timeout=30,
    xread_count=5,
).with_result_backend(RedisAsyncResultBackend(os.environ["REDIS_URL"], prefix_str=os.environ["QUEUE"]))

task = recognize_task(broker, make_client=make_client, ledger=os.environ["RUN"])
