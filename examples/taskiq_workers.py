"""Read receipts with Taskiq: a program sends paths through Redis, and workers on one or several machines read them.

Needs: pip install 'clova-ocr-async[taskiq]'

The workers, each a process with one client. Their environment names the domain, its secret and the run:

    CLOVA_OCR_INVOKE_URL=… CLOVA_OCR_SECRET=… RECEIPTS_RUN=/srv/receipts/run \
        taskiq worker taskiq_workers:broker --workers 2 --max-async-tasks 10 --wait-tasks-timeout 90 \
            --shutdown-timeout 90

The sender, which needs neither domain nor secret:

    python examples/taskiq_workers.py /srv/scans/a.jpg /srv/scans/b.jpg

All workers of one machine may share a run directory. Workers on several machines need a run in a database, such as
RECEIPTS_RUN='postgresql://user@host/db?run=receipts'. Paths must lead to the same files for all of them.
"""

from __future__ import annotations

import asyncio
import os
import sys

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from clova_ocr_async import ClovaOCRClient, SharedSlots
from clova_ocr_async.integrations.taskiq import recognize_task

REDIS = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
DEADLINE = 120.0  # seconds of a call

broker = RedisStreamBroker(
    REDIS,
    idle_timeout=180_000,  # milliseconds: longer than a call, and 30 s more
    unacknowledged_lock_timeout=30,
    xread_count=10,
    maxlen=1_000_000,  # the stream keeps messages that are done; more than can ever wait, since it drops the oldest
).with_result_backend(RedisAsyncResultBackend(REDIS, result_ex_time=24 * 3600))


def make_client() -> ClovaOCRClient:
    """Make the client of a worker; all workers of a machine share the calls that the domain allows at once."""
    return ClovaOCRClient.from_env(slots=SharedSlots(), deadline=DEADLINE)


recognize = recognize_task(broker, make_client=make_client, ledger=os.environ.get("RECEIPTS_RUN", "run"))


async def main(paths: list[str]) -> int:
    """Send images, and print the outcome of each; return how many have no result.

    The values stay in the run: ``clova-ocr export`` writes them, and ``key`` finds each.
    """
    await broker.startup()
    tasks = [await recognize.kiq(path, "receipt") for path in paths]
    unread = 0
    for task in tasks:
        row = (await task.wait_result(timeout=3600)).return_value
        unread += row["status"] != "succeeded"
        print(row["source"], row["status"], row["key"], row["error"] or "")
    await broker.shutdown()
    return unread


if __name__ == "__main__":
    # A worker may have another working directory.
    sys.exit(1 if asyncio.run(main([os.path.abspath(path) for path in sys.argv[1:]])) else 0)  # noqa: PTH100
