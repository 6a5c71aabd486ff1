"""Settings of a broker: those with which messages would be lost or wait for ever are refused, others are warned of.

Source: the code of taskiq-redis 1.2.4; its issues 101 (``idle_timeout``), 130 (cluster) and 131 (the lock).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from taskiq_redis import (
    ListQueueBroker,
    ListQueueClusterBroker,
    ListQueueSentinelBroker,
    PubSubBroker,
    PubSubSentinelBroker,
    RedisStreamBroker,
    RedisStreamClusterBroker,
    RedisStreamSentinelBroker,
)

from clova_ocr_async import ConfigurationError

if TYPE_CHECKING:
    from taskiq import AsyncBroker

    from clova_ocr_async import ClovaOCRClient

__all__ = ["LEASE", "check_worker", "require_recoverable"]

logger = logging.getLogger("clova_ocr_async")

LEASE = 30.0
"""Seconds after which a ledger takes over what a dead process of another host had sent."""

_NEVER_RECOVERS = (ListQueueClusterBroker, RedisStreamClusterBroker, RedisStreamSentinelBroker)
_NEVER_ACKNOWLEDGES = (ListQueueBroker, ListQueueSentinelBroker, PubSubBroker, PubSubSentinelBroker)
_FEW = 16  # messages that a worker may fetch at once, however few calls its domains allow


def require_recoverable(broker: AsyncBroker) -> None:
    """Refuse a broker that never delivers the messages of a dead worker again.

    Raises:
        ConfigurationError: It is such a broker; the message names the setting, and the way out.
    """
    kind = type(broker).__name__
    if isinstance(broker, _NEVER_RECOVERS):
        raise ConfigurationError(
            f"broker is a {kind}, which never delivers the messages of a dead worker again; "
            "use a RedisStreamBroker, on one Redis with or without replicas"
        )
    if isinstance(broker, RedisStreamBroker) and broker.unacknowledged_lock_timeout is None:
        raise ConfigurationError(
            "unacknowledged_lock_timeout of the broker is None, so a worker that dies while it holds the lock keeps "
            f"others from the messages of the dead; give unacknowledged_lock_timeout={LEASE:.0f}"
        )


def check_worker(broker: AsyncBroker, client: ClovaOCRClient) -> None:
    """Refuse an ``idle_timeout`` that is too short for the client's calls, and warn of what makes a worker slow.

    Raises:
        ConfigurationError: A message would be taken from a worker whose call is still in its time.
    """
    if isinstance(broker, RedisStreamBroker):
        _require_idle_timeout(broker, client.deadline)
        _warn_of_prefetch(broker, sum(gate.ceiling for gate in client.gates.values()))
    elif isinstance(broker, _NEVER_ACKNOWLEDGES):
        logger.warning(
            "%s acknowledges a message when it is fetched: those of a worker that dies are lost; use a "
            "RedisStreamBroker",
            type(broker).__name__,
        )


def _require_idle_timeout(broker: RedisStreamBroker, deadline: float | None) -> None:
    if deadline is None:
        raise ConfigurationError(
            "the client has no deadline, and idle_timeout of the broker must be longer than it; give "
            "ClovaOCRClient(…, deadline=120)"
        )
    least = int((deadline + LEASE) * 1000)
    if broker.idle_timeout <= least:
        raise ConfigurationError(
            f"idle_timeout of the broker is {broker.idle_timeout} ms, and a call may take {deadline:g} s and {LEASE:g} "
            f"s of a lease; give an idle_timeout of more than {least}, or the client a shorter deadline"
        )


def _warn_of_prefetch(broker: RedisStreamBroker, slots: int) -> None:
    most = max(_FEW, 2 * slots)
    if broker.count is None or broker.count > most:
        logger.warning(
            "xread_count of the broker is %s, and the domains allow %d calls at once: messages that a worker has "
            "fetched wait for it, also when others are idle; give xread_count=%d or less",
            broker.count,
            slots,
            most,
        )
