"""Taskiq for ``cluster.py``: ``taskiq worker cluster_taskiq:broker`` works, and ``cluster_taskiq.py SEED`` sends.

The environment has the servers and the run. The sender sends each picture of the folder, and one in ten twice.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path
from urllib.parse import urlsplit

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from clova_ocr_async import ClovaOCRClient
from clova_ocr_async.integrations.taskiq import recognize_task
from clova_ocr_async.slots import PostgresSlots, RedisSlots

DEADLINE = 14.0  # seconds of a call
IDLE = 45_000  # milliseconds: longer than a call, and a lease

_password = os.environ["CLOVA_OCR_REDIS_PASSWORD"]
_url = urlsplit(os.environ["CLUSTER_REDIS"])._replace(
    netloc=f":{_password}@{urlsplit(os.environ['CLUSTER_REDIS']).netloc}"
)


def make_client() -> ClovaOCRClient:
    """Make the client of a worker."""
    url = os.environ["CLUSTER_SLOTS"]
    slots = RedisSlots(url) if url.startswith("redis") else PostgresSlots(url)
    return ClovaOCRClient.from_env(slots=slots, deadline=DEADLINE)


broker = RedisStreamBroker(
    _url.geturl(), queue_name="cluster", idle_timeout=IDLE, unacknowledged_lock_timeout=30, xread_count=5
).with_result_backend(RedisAsyncResultBackend(_url.geturl()))

recognize = recognize_task(broker, make_client=make_client, ledger=os.environ["CLUSTER_RUN"])


async def main(paths: list[Path], draw: random.Random) -> None:
    """Send the pictures."""
    await broker.startup()
    for path in paths:
        for _ in range(1 + (draw.random() < 0.1)):
            await recognize.kiq(str(path), "receipt")
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main(sorted(Path(os.environ["CLUSTER_FOLDER"]).iterdir()), random.Random(sys.argv[1])))  # noqa: S311
