"""Hosts whose processes share slots on a PostgreSQL or Redis server; only tests of servers import this."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
from redis import Redis

from clova_ocr_async.server_url import Password
from clova_ocr_async.slots import PostgresSlots, RedisSlots
from clova_ocr_async.slots.sharing.postgres_store import PostgresGateStore
from clova_ocr_async.slots.sharing.redis_store import RedisGateStore
from clova_ocr_async.slots.sharing.state import SharedGate
from support.slots import slots_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clova_ocr_async.slots.shared import StoreSlots
    from clova_ocr_async.slots.sharing.store import GateStore
    from support.servers import PostgresServer, RedisServer

_numbers = itertools.count()
_CLOSED_WITHIN = 5.0  # seconds until a server has noticed that a connection was closed


def _soon(condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds; return False if it does not in time."""
    end = time.monotonic() + _CLOSED_WITHIN
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


class PostgresHost:
    """A host whose processes share a database. Their time is that of a test, where it gives one.

    Args:
        server: The server.
        url: The URL of an empty database.
    """

    def __init__(self, server: PostgresServer, url: str) -> None:
        self._server = server
        self.url = url
        self._database = url.rpartition("/")[2]
        self._stores: list[PostgresGateStore] = []

    def slots(self, concurrency: int | None = None, **settings: Any) -> StoreSlots:
        """Return the slots of one more process."""
        return slots_of(self.open_store, concurrency, **settings)

    def open_store(self, clock: Callable[[], float]) -> GateStore:
        """Return one more store of the same table."""
        url = self.url

        class Store(PostgresGateStore):
            def __init__(self) -> None:
                super().__init__(url)

            def read(self, names: Sequence[str]) -> tuple[float, dict[str, bytes]]:
                return clock(), super().read(names)[1]

        self._stores.append(Store())
        return self._stores[-1]

    def close(self) -> None:
        """Close the connections of all stores: some tests end with calls in flight."""
        for store in self._stores:
            store.close()

    def gates(self) -> list[SharedGate]:
        """Return the stored slots of all domains."""
        with psycopg.connect(self.url) as db:
            rows = db.execute("SELECT state FROM clova_slots").fetchall()
        return [msgspec.json.decode(state, type=SharedGate) for (state,) in rows]

    def is_closed(self) -> bool:
        """Return whether no process is connected."""
        with psycopg.connect(self._server.url(), autocommit=True) as db:
            count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
            return _soon(lambda: db.execute(count, [self._database]).fetchone() == (0,))


class RedisHost:
    """A host whose processes share a Redis server, which is emptied first. Their time is that of a test.

    Args:
        server: The server.
    """

    def __init__(self, server: RedisServer) -> None:
        self._stores: list[RedisGateStore] = []
        # Named, as earlier tests may have left connections to the same server.
        self._name = f"host-{next(_numbers)}"
        self.url = f"{server.url}?client_name={self._name}"
        with redis_client(server.url) as client:
            client.flushall()

    def slots(self, concurrency: int | None = None, **settings: Any) -> StoreSlots:
        """Return the slots of one more process."""
        return slots_of(self.open_store, concurrency, **settings)

    def open_store(self, clock: Callable[[], float]) -> GateStore:
        """Return one more store of the same keys."""
        url = self.url

        class Store(RedisGateStore):
            def __init__(self) -> None:
                super().__init__(url)

            def read(self, names: Sequence[str]) -> tuple[float, dict[str, bytes]]:
                return clock(), super().read(names)[1]

        self._stores.append(Store())
        return self._stores[-1]

    def close(self) -> None:
        """Close the connections of all stores: some tests end with calls in flight."""
        for store in self._stores:
            store.close()

    def gates(self) -> list[SharedGate]:
        """Return the stored slots of all domains."""
        with redis_client(self.url) as client:
            return [msgspec.json.decode(client.get(key), type=SharedGate) for key in client.keys("clova-ocr:slots:*")]

    def is_closed(self) -> bool:
        """Return whether no process is connected."""
        with redis_client(self.url) as client:
            return _soon(lambda: [one["name"] for one in client.client_list()].count(self._name) == 1)


def store_of(url: str, password: str | None = None) -> PostgresGateStore | RedisGateStore:
    """Return a store on a server."""
    kind = PostgresGateStore if url.startswith("postgres") else RedisGateStore
    return kind(url, None if password is None else Password(password))


def user_slots(url: str, **settings: Any) -> PostgresSlots | RedisSlots:
    """Return slots on a server, as a user makes them."""
    return (PostgresSlots if url.startswith("postgres") else RedisSlots)(url, **settings)


def redis_client(url: str) -> Any:
    """Return a client of a Redis server."""
    return Redis.from_url(url)
