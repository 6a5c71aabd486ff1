from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from redis.asyncio import Redis
from support.waiting import wait_for
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from clova_ocr_async import ClovaOCRClient, Emulator
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.integrations.taskiq import recognize_task

if TYPE_CHECKING:
    from collections.abc import Generator

    from support.servers import RedisServer
    from taskiq import TaskiqResult

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[2] / "examples"
IDLE = 60_000  # milliseconds, as in worker_app


class Engine:
    """A queue, its workers as processes, and what a test does to them.

    Attributes:
        broker: The broker of the senders.
        task: The task.
    """

    def __init__(self, url: str, clova: Emulator, folder: Path) -> None:
        name = uuid.uuid4().hex
        self._environ = os.environ | {
            "REDIS_URL": url,
            "QUEUE": name,
            "RUN": str(folder / "run"),
            "CLOVA_OCR_INVOKE_URL": clova.url(),
            "CLOVA_OCR_SECRET": clova.secret,
        }
        self._log = folder / "worker.log"
        self._url = url
        self.broker = RedisStreamBroker(url, queue_name=name, idle_timeout=IDLE, unacknowledged_lock_timeout=30)
        self.broker.with_result_backend(RedisAsyncResultBackend(url, prefix_str=name))
        self.task = recognize_task(self.broker, make_client=ClovaOCRClient.from_env, ledger=folder / "run")

    @contextmanager
    def worker(self, *options: str, secret: str | None = None) -> Generator[subprocess.Popen[bytes]]:
        """Start a worker, with the process that watches it; end both at the end.

        Args:
            options: Further options of Taskiq.
            secret: The secret of the domain, if it is another one.
        """
        command = [sys.executable, "-m", "taskiq", "worker", "worker_app:broker", "--workers", "1"]
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [*command, "--max-async-tasks", "5", *options],
                cwd=HERE,
                env=self._environ | ({} if secret is None else {"CLOVA_OCR_SECRET": secret}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            kill(process)

    @property
    def log(self) -> str:
        """What workers have written so far."""
        return self._log.read_text()

    async def age(self) -> None:
        """Let a minute and a half pass for what is in Redis: messages were delivered long ago, and workers are dead."""
        stream, group = self.broker.queue_name, self.broker.consumer_group_name
        async with Redis.from_url(self._url) as redis:
            for entry in await redis.xpending_range(stream, group, min="-", max="+", count=100):
                consumer, message = cast("tuple[bytes, bytes]", (entry["consumer"], entry["message_id"]))
                await redis.xclaim(stream, group, consumer, 0, [message], idle=IDLE + 1, justid=True)
            async for key in redis.scan_iter(f"clova-ocr:{stream}:wo*"):
                await redis.delete(key)

    async def row(self, message: Any) -> dict[str, Any]:
        """Wait for a result."""
        result: TaskiqResult[Any] = await message.wait_result(timeout=60, check_interval=0.05)
        assert not result.is_err
        row: dict[str, Any] = result.return_value
        return row


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a worker and the process that watches it, as kill -9 does."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def engine(redis_url: str, clova_emulator: Emulator, tmp_path: Path) -> Engine:
    """A queue of its own."""
    return Engine(redis_url, clova_emulator, tmp_path)


def scans(folder: Path, count: int, *, ending: bytes = b"") -> list[str]:
    """Write receipts, the first one with some bytes after its end, and return their paths."""
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(draw_sample("receipt", seed=number).data + (b"" if number else ending))
        os.utime(path, (1e9, 1e9))
    return [str(path) for path in paths]


@pytest.mark.clova_emulator(latency=0.01)
async def test_workers_read_what_is_sent_and_redis_has_no_value(
    engine: Engine, clova_emulator: Emulator, tmp_path: Path, redis_server: RedisServer
) -> None:
    """Each image is paid once, also when its message comes twice, and Redis has nothing of pictures and documents."""
    paths = scans(tmp_path, 6)
    await engine.broker.startup()
    with engine.worker():
        messages = [await engine.task.kiq(path, "receipt") for path in (*paths, *paths)]
        rows = [await engine.row(message) for message in messages]
    await engine.broker.shutdown()
    assert all(row["status"] == "succeeded" and row["result"] is None for row in rows)
    assert sum(row["billed"] for row in rows) == 6
    assert clova_emulator.billed.total() == 6
    dump = redis_server.dump()
    assert paths[0].encode() in dump
    for number in range(6):
        sample = draw_sample("receipt", seed=number)
        store = sample.truth.answer["result"]["storeInfo"]["name"]["text"]
        for written in (store, json.dumps(store)[1:-1]):
            assert written.encode() not in dump
        assert sample.data[40:140] not in dump
    assert clova_emulator.secret.encode() not in dump
    assert clova_emulator.secret not in engine.log


@pytest.mark.clova_emulator(latency=30)
async def test_the_call_of_a_killed_worker_is_ambiguous_and_not_sent_again(
    engine: Engine, clova_emulator: Emulator, tmp_path: Path
) -> None:
    """A worker killed in the middle of a call leaves an ambiguous image; the next one finds it on an idle queue."""
    (path,) = scans(tmp_path, 1)
    await engine.broker.startup()
    message = await engine.task.kiq(path, "receipt")
    with engine.worker() as first:
        await asyncio.to_thread(wait_for, lambda: clova_emulator.domain_state().in_flight)
        kill(first)
    await engine.age()
    with engine.worker():
        row = await engine.row(message)
    await engine.broker.shutdown()
    assert (row["status"], row["billed"], row["result"]) == ("ambiguous", None, None)
    assert clova_emulator.requests == 1


@pytest.mark.clova_emulator(latency=0.01)
async def test_a_picture_that_ends_its_workers_is_parked_and_the_others_are_read(
    engine: Engine, clova_emulator: Emulator, tmp_path: Path
) -> None:
    """A picture that ends each process that decodes it is skipped by name in the end, and costs nothing."""
    (path, good) = scans(tmp_path, 2, ending=b"deadly")
    await engine.broker.startup()
    with engine.worker():
        message = await engine.task.kiq(path, "receipt")

        async def next_attempt() -> bool:
            # A message to fetch, so that the worker looks for those of the dead as well.
            await engine.age()
            await engine.task.kiq("missing.png", "receipt")
            return await message.is_ready()

        for _ in range(40):
            if await next_attempt():
                break
            await asyncio.sleep(1)
        row = await engine.row(message)
        last = await engine.row(await engine.task.kiq(good, "receipt"))
    await engine.broker.shutdown()
    assert row["status"] == "skipped"
    assert "3 processes have ended" in row["error"]
    assert last["status"] == "succeeded"
    assert clova_emulator.billed.total() == 1
    assert Path(path).name in engine.log


@pytest.mark.clova_emulator(latency=0.01)
async def test_the_taskiq_example_reads_what_it_is_given(
    redis_url: str, clova_emulator: Emulator, tmp_path: Path
) -> None:
    """The example's workers read what its sender sends, and the sender prints an outcome for each image."""
    paths = scans(tmp_path, 2)
    environ = os.environ | {
        "REDIS_URL": redis_url,
        "RECEIPTS_RUN": str(tmp_path / "run"),
        "CLOVA_OCR_INVOKE_URL": clova_emulator.url(),
        "CLOVA_OCR_SECRET": clova_emulator.secret,
    }
    sender = await asyncio.create_subprocess_exec(
        *(sys.executable, "taskiq_workers.py", *paths, "missing.png"),
        cwd=EXAMPLES,
        env=environ,
        stdout=subprocess.PIPE,
    )
    worker = subprocess.Popen(  # noqa: ASYNC220 - it is not waited for
        [sys.executable, "-m", "taskiq", "worker", "taskiq_workers:broker", "--workers", "1"],
        cwd=EXAMPLES,
        env=environ,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        printed, _ = await asyncio.wait_for(sender.communicate(), 60)
    finally:
        kill(worker)
    one, two, missing = printed.decode().splitlines()
    assert one.startswith(f"{paths[0]} succeeded ")
    assert two.startswith(f"{paths[1]} succeeded ")
    assert " skipped None ImageError: " in missing
    assert sender.returncode == 1
    assert clova_emulator.billed.total() == 2


def ended(process: subprocess.Popen[bytes]) -> int:
    """Ask a worker to end, as a service manager does, and return its exit code."""
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


def test_a_worker_on_an_idle_queue_ends_on_sigterm(engine: Engine) -> None:
    """A worker that waits for messages ends in order when it is asked to."""
    with engine.worker() as process:
        wait_for(lambda: "Listening started" in engine.log, within=60)
        assert ended(process) == 0


@pytest.mark.clova_emulator(latency=0.01)
async def test_a_worker_whose_images_wait_ends_after_the_time_for_tasks(engine: Engine, tmp_path: Path) -> None:
    """With --wait-tasks-timeout a worker ends although its images wait, and leaves their messages to the next one."""
    await engine.broker.startup()
    (path,) = scans(tmp_path, 1)
    with engine.worker("--wait-tasks-timeout", "1", secret="wrong") as process:
        message = await engine.task.kiq(path, "receipt")
        await asyncio.to_thread(wait_for, lambda: "nothing is sent for now" in engine.log, within=60)
        assert await asyncio.to_thread(ended, process) == 0
    await engine.age()
    with engine.worker():
        row = await engine.row(message)
    await engine.broker.shutdown()
    assert (row["status"], row["billed"]) == ("succeeded", True)
