from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from support.fakes import URL, FakeTransport, Held, domain, error
from support.ledger_batches import pictures
from taskiq import (
    AckableMessage,
    AsyncResultBackend,
    Context,
    InMemoryBroker,
    TaskiqEvents,
    TaskiqMessage,
    TaskiqResult,
)
from taskiq_redis import RedisStreamBroker

from clova_ocr_async import ClovaOCRClient, ConfigurationError, ConnectionLostError, Domain, Emulator, SqliteLedger
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.integrations.taskiq import recognize_task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

KEYS = {"key", "source", "status", "billed", "result", "error"}


class Backend(AsyncResultBackend[Any]):
    """A result backend on a server, as far as a task can see."""

    def __init__(self) -> None:
        self.results: dict[str, TaskiqResult[Any]] = {}
        self.fails = False

    async def set_result(self, task_id: str, result: TaskiqResult[Any]) -> None:
        """Keep a result, or fail."""
        if self.fails:
            raise ConnectionError("made up")
        self.results[task_id] = result

    async def is_result_ready(self, task_id: str) -> bool:
        """Return whether it is there."""
        return task_id in self.results

    async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult[Any]:  # noqa: ARG002, FBT002
        """Return a result."""
        return self.results[task_id]


@asynccontextmanager
async def started(broker: InMemoryBroker) -> AsyncGenerator[InMemoryBroker]:
    """Start a broker, and end it with its tasks."""
    await broker.startup()
    try:
        yield broker
    finally:
        await broker.shutdown()


def faked(transport: FakeTransport) -> ClovaOCRClient:
    """Return a client of a transport."""
    return ClovaOCRClient(domain(f"{URL}/document/receipt"), transport=transport, concurrency=4)


async def rows_of(task: Any, *messages: tuple[Any, Any]) -> list[dict[str, Any]]:
    """Send messages at once, and return the results of their tasks."""
    sent = [await task.kiq(*message) for message in messages]
    results = [await message.wait_result(timeout=30, check_interval=0.01) for message in sent]
    assert not any(result.is_err for result in results)
    return [result.return_value for result in results]


async def test_a_message_is_a_path_and_its_result_a_row(clova_emulator: Emulator, tmp_path: Path) -> None:
    """A message of a path and a document gives the six keys, with the vendor's object as the result."""
    sample = draw_sample("receipt")
    (tmp_path / "a.png").write_bytes(sample.data)
    broker = InMemoryBroker()
    task = recognize_task(
        broker,
        make_client=lambda: ClovaOCRClient(Domain(clova_emulator.url(), clova_emulator.secret)),
        ledger=tmp_path / "run",
    )
    async with started(broker):
        first, again = await rows_of(task, (str(tmp_path / "a.png"), "receipt"), (str(tmp_path / "a.png"), "receipt"))
    assert first.keys() == again.keys() == KEYS
    assert first["status"] == again["status"] == "succeeded"
    assert first["result"]["receipt"] == again["result"]["receipt"] == sample.truth.answer
    assert sorted([first["billed"], again["billed"]]) == [False, True]
    assert first["key"] == again["key"]
    assert clova_emulator.billed.total() == 1


async def test_no_message_raises(tmp_path: Path) -> None:
    """A missing file, a broken one, a text that is no path and an unknown document give rows with an error."""
    (tmp_path / "broken.png").write_bytes(b"no picture")
    transport, broker = FakeTransport(), InMemoryBroker()
    task = recognize_task(broker, make_client=lambda: faked(transport), ledger=tmp_path / "run")
    async with started(broker):
        rows = await rows_of(
            task,
            (str(tmp_path / "missing.png"), "receipt"),
            (str(tmp_path / "broken.png"), "receipt"),
            ("https://example.com/a.png", "receipt"),
            ("a\0b", "receipt"),
            ("", "receipt"),
            ("a.png", "id-card"),
            ("a.png", "recipt"),
        )
    assert [row["status"] for row in rows] == ["skipped"] * 5 + ["pending"] * 2
    assert all(row["error"] and row["result"] is None and row["billed"] is False for row in rows)
    assert "none of receipt, credit-card" in rows[-1]["error"]
    assert transport.sent == []


async def test_a_message_of_other_values_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A message without a text as path or document gives a row, and the batch of the other images goes on."""
    transport, broker = FakeTransport(), InMemoryBroker()
    task = recognize_task(broker, make_client=lambda: faked(transport), ledger=tmp_path / "run")
    async with started(broker):
        rows = await rows_of(task, (5, "receipt"), (None, "receipt"), (["a.png"], "receipt"), ("a.png", ["receipt"]))
    assert [(row["source"], row["status"]) for row in rows] == [(None, "skipped")] * 3 + [("a.png", "pending")]
    assert rows[0]["error"] == "ImageError: the path is a int; it must be the path of a file"
    assert "ended the batch" not in caplog.text


async def test_an_ambiguous_call_is_a_row(tmp_path: Path) -> None:
    """A call that may have been billed is named as ambiguous, has no result, and is not sent again."""
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    transport, broker = FakeTransport(ConnectionLostError), InMemoryBroker()
    task = recognize_task(broker, make_client=lambda: faked(transport), ledger=tmp_path / "run")
    async with started(broker):
        rows = [row for _ in range(2) for row in await rows_of(task, (path, "receipt"))]
    assert [(row["status"], row["billed"], row["result"]) for row in rows] == [("ambiguous", None, None)] * 2
    assert len(transport.sent) == 1


@pytest.mark.parametrize("results_in_backend", [False, True])
async def test_values_go_to_a_result_backend_only_if_that_is_asked_for(
    tmp_path: Path, results_in_backend: bool
) -> None:
    """A result backend that is not this process's gets the values of documents only if that is said."""
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    broker, backend, transport = InMemoryBroker(), Backend(), FakeTransport()
    task = recognize_task(
        broker,
        make_client=lambda: faked(transport),
        ledger=tmp_path / "run",
        results_in_backend=results_in_backend,
    )
    broker.result_backend = backend  # type: ignore[assignment]  # a broker in memory has one of its own
    async with started(broker):
        (row,) = await rows_of(task, (path, "receipt"))
    (kept,) = backend.results.values()
    assert (row["status"], row["result"] is not None) == ("succeeded", results_in_backend)
    assert ("canarySHOP" in json.dumps(kept.model_dump(mode="json"))) is results_in_backend


async def deliver(broker: InMemoryBroker, task: Any, path: str) -> list[str]:
    """Deliver a message as a broker with acknowledgements does; return the log of these."""
    acknowledged: list[str] = []
    message = TaskiqMessage(
        task_id="1", task_name=task.task_name, labels=dict(task.labels), args=[path, "receipt"], kwargs={}
    )
    data = broker.formatter.dumps(message).message
    await broker.receiver.callback(AckableMessage(data=data, ack=lambda: acknowledged.append("acknowledged")))
    return acknowledged


async def test_a_message_is_acknowledged_once_its_row_is_stored(tmp_path: Path) -> None:
    """If the result backend fails, the message is kept; its next delivery costs nothing, and is acknowledged."""
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    broker, backend, transport = InMemoryBroker(), Backend(), FakeTransport()
    task = recognize_task(broker, make_client=lambda: faked(transport), ledger=tmp_path / "run")
    broker.result_backend = backend  # type: ignore[assignment]  # a broker in memory has one of its own
    async with started(broker):
        backend.fails = True
        assert await deliver(broker, task, path) == []
        backend.fails = False
        assert await deliver(broker, task, path) == ["acknowledged"]
    assert backend.results["1"].return_value["status"] == "succeeded"
    assert len(transport.sent) == 1


async def test_messages_wait_while_the_secret_is_rejected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A rejected secret ends no message: it waits, a new client is made, and the image is read then."""
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    made: list[FakeTransport] = []

    def make_client() -> ClovaOCRClient:
        made.append(FakeTransport(*([] if made else [error("0002", 401)])))
        return faked(made[-1])

    broker = InMemoryBroker()
    task = recognize_task(broker, make_client=make_client, ledger=tmp_path / "run")
    with caplog.at_level(logging.WARNING):
        async with started(broker):
            (row,) = await rows_of(task, (path, "receipt"))
    assert (row["status"], row["billed"], len(made)) == ("succeeded", True, 2)
    assert "nothing is sent for now" in caplog.text


async def test_a_reached_call_limit_leaves_images_pending(tmp_path: Path) -> None:
    """Once the call limit of the run is reached, an image is pending, and its message is done."""
    one, two = pictures(tmp_path / "scans", "a.jpg", "b.jpg")
    async with SqliteLedger(tmp_path / "run", max_calls=1):
        pass
    transport, broker = FakeTransport(), InMemoryBroker()
    task = recognize_task(broker, make_client=lambda: faked(transport), ledger=tmp_path / "run")
    async with started(broker):
        (read,) = await rows_of(task, (one, "receipt"))
        (left,) = await rows_of(task, (two, "receipt"))
    assert (read["status"], left["status"], left["billed"]) == ("succeeded", "pending", False)
    assert "SpendingCeilingError" in left["error"]


async def test_a_worker_that_ends_waits_for_its_calls(tmp_path: Path) -> None:
    """At the end of a worker a call in flight is waited for, and its answer is in the run."""
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    held = Held()
    transport, broker = FakeTransport(held), InMemoryBroker()
    task = recognize_task(broker, make_client=lambda: faked(transport), ledger=tmp_path / "run")
    await broker.startup()
    message = await task.kiq(path, "receipt")
    await held.reached.wait()
    ending = asyncio.create_task(broker.shutdown())
    held.go_on.set()
    await ending
    assert (await message.wait_result(timeout=30)).return_value["billed"] is True


async def test_a_task_can_be_called_without_a_message(tmp_path: Path) -> None:
    """A task is also a function, which begins what it needs at its first call."""
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    transport, broker = FakeTransport(), InMemoryBroker()
    task = recognize_task(broker, make_client=lambda: faked(transport), ledger=tmp_path / "run")
    row = await task(path, "receipt")
    await broker.shutdown()
    assert (row["status"], row["result"] is not None) == ("succeeded", True)


async def test_two_tasks_of_a_broker_have_two_names(tmp_path: Path) -> None:
    """A name that the broker has already is refused; another name makes another task."""
    broker = InMemoryBroker()
    recognize_task(broker, make_client=lambda: faked(FakeTransport()), ledger=tmp_path / "run")
    with pytest.raises(ConfigurationError, match="task_name"):
        recognize_task(broker, make_client=lambda: faked(FakeTransport()), ledger=tmp_path / "other")
    recognize_task(broker, make_client=lambda: faked(FakeTransport()), ledger=tmp_path / "other", task_name="other")


def test_a_ledger_is_a_location(tmp_path: Path) -> None:
    """A ledger object is refused where the task is registered: each worker opens the run itself."""
    ledger: Any = SqliteLedger(tmp_path / "run")
    with pytest.raises(ConfigurationError, match="ledger is a SqliteLedger"):
        recognize_task(InMemoryBroker(), make_client=lambda: faked(FakeTransport()), ledger=ledger)


def test_a_worker_refuses_an_idle_timeout_that_is_too_short(tmp_path: Path) -> None:
    """A worker with a broker that takes messages from calls in their time does not start."""
    broker = RedisStreamBroker("redis://127.0.0.1:1", idle_timeout=1000, unacknowledged_lock_timeout=30)
    recognize_task(broker, make_client=lambda: faked(FakeTransport()), ledger=tmp_path / "run")
    (start,) = broker.event_handlers[TaskiqEvents.WORKER_STARTUP]
    with pytest.raises(ConfigurationError, match="idle_timeout"):
        start(broker.state)


async def test_a_stream_whose_redis_is_away_still_has_its_images_read(tmp_path: Path) -> None:
    """The upkeep of a queue does without Redis: an image that was delivered is read and paid once."""
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    broker = RedisStreamBroker(
        "redis://127.0.0.1:1", unacknowledged_lock_timeout=30, xread_count=5, retry=Retry(NoBackoff(), 0)
    )
    transport = FakeTransport()
    task = recognize_task(broker, make_client=lambda: faked(transport), ledger=tmp_path / "run")
    message = TaskiqMessage(task_id="1", task_name=task.task_name, labels={}, args=[], kwargs={})
    row = await task.original_func(path, "receipt", Context(message, broker))  # type: ignore[call-arg]
    for stop in broker.event_handlers[TaskiqEvents.WORKER_SHUTDOWN]:
        await stop(broker.state)  # type: ignore[misc]  # it is async
    assert (row["status"], len(transport.sent)) == ("succeeded", 1)


def test_waking_does_nothing_and_leaves_no_result() -> None:
    """The task that wakes a queue raises what keeps Taskiq from storing a result."""
    broker = InMemoryBroker()
    recognize_task(broker, make_client=lambda: faked(FakeTransport()), ledger="run")
    waking = broker.find_task("clova_ocr:recognize:wake")
    assert waking is not None

    async def wake() -> Any:
        result = await broker.receiver.run_task(
            waking.original_func, TaskiqMessage(task_id="1", task_name="w", labels={}, args=[], kwargs={})
        )
        return type(result.error).__name__

    assert asyncio.run(wake()) == "NoResultError"


def test_without_the_extra_the_line_that_installs_it_is_named() -> None:
    """Without the libraries the import raises ModuleNotFoundError, which names the command that installs them."""
    code = "import sys; sys.modules['taskiq_redis'] = None; import clova_ocr_async.integrations.taskiq"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True, timeout=50)
    line = "clova_ocr_async.integrations.taskiq needs taskiq_redis: pip install 'clova-ocr-async[taskiq]'"
    assert (done.returncode, done.stderr.rstrip().splitlines()[-1]) == (1, f"ModuleNotFoundError: {line}")
