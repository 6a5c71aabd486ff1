from __future__ import annotations

import logging
from typing import Any

import pytest
from support.fakes import domain
from taskiq import InMemoryBroker
from taskiq_redis import (
    ListQueueBroker,
    ListQueueClusterBroker,
    RedisStreamBroker,
    RedisStreamClusterBroker,
    RedisStreamSentinelBroker,
)

from clova_ocr_async import ClovaOCRClient, ConfigurationError
from clova_ocr_async.integrations.taskiq import recognize_task
from clova_ocr_async.integrations.taskiq.broker_rules import check_worker, require_recoverable

REDIS = "redis://127.0.0.1:1"  # nothing connects to it


def stream(**settings: Any) -> RedisStreamBroker:
    """Return a broker with settings that nothing is wrong with, but for those that are given."""
    return RedisStreamBroker(
        REDIS, **{"idle_timeout": 200_000, "unacknowledged_lock_timeout": 30, "xread_count": 10} | settings
    )


def client(deadline: float | None = 120.0) -> ClovaOCRClient:
    """Return a client with a deadline."""
    return ClovaOCRClient(domain(), deadline=deadline, concurrency=5)


@pytest.mark.parametrize(
    "broker",
    [
        RedisStreamClusterBroker(REDIS),
        ListQueueClusterBroker(REDIS),
        RedisStreamSentinelBroker([("127.0.0.1", 1)], "main"),
    ],
    ids=lambda broker: type(broker).__name__,
)
def test_a_broker_that_forgets_the_messages_of_the_dead_is_refused(broker: Any) -> None:
    """Brokers of a cluster or of Sentinel, which never deliver a dead worker's messages again, are refused by name."""
    with pytest.raises(ConfigurationError, match=f"{type(broker).__name__}.*RedisStreamBroker"):
        recognize_task(broker, make_client=client, ledger="run")


def test_a_lock_without_an_end_is_refused() -> None:
    """unacknowledged_lock_timeout None, the default of the library, is refused with the value to give."""
    with pytest.raises(ConfigurationError, match="unacknowledged_lock_timeout=30"):
        require_recoverable(stream(unacknowledged_lock_timeout=None))


@pytest.mark.parametrize(("idle", "refused"), [(149_999, True), (150_000, True), (150_001, False)])
def test_an_idle_timeout_must_be_longer_than_a_call_and_a_lease(idle: int, refused: bool) -> None:
    """The idle_timeout must be longer than the client's deadline and the lease of 30 s."""
    broker = stream(idle_timeout=idle)
    if not refused:
        check_worker(broker, client())
        return
    with pytest.raises(ConfigurationError, match=r"idle_timeout of the broker is \d+ ms.* more than 150000"):
        check_worker(broker, client())


def test_a_client_without_a_deadline_is_refused_at_a_stream() -> None:
    """No idle_timeout is longer than no deadline, so a client without one is refused."""
    with pytest.raises(ConfigurationError, match="deadline="):
        check_worker(stream(), client(None))


@pytest.mark.parametrize(("count", "warned"), [(None, True), (100, True), (17, True), (16, False)])
def test_a_worker_that_fetches_many_messages_is_warned(
    count: int | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """An xread_count of many more messages than calls at once is warned of, with the number to give."""
    with caplog.at_level(logging.WARNING):
        check_worker(stream(xread_count=count), client())
    assert ("xread_count=16 or less" in caplog.text) is warned


def test_a_broker_without_acknowledgements_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """A list loses the messages of a worker that dies, which is worth a warning; a broker in memory is not."""
    with caplog.at_level(logging.WARNING):
        check_worker(InMemoryBroker(), client(None))
        assert caplog.text == ""
        check_worker(ListQueueBroker(REDIS), client(None))
    assert "ListQueueBroker" in caplog.text
