from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.slots import Host, MemoryHost, MemoryServerHost, SqliteHost

if TYPE_CHECKING:
    from pathlib import Path

SERVERS = [pytest.param(name, marks=pytest.mark.server) for name in ("postgres", "redis")]


def _host_on_a_server(kind: str, request: pytest.FixtureRequest) -> Host:
    from support.server_slots import PostgresHost, RedisHost  # noqa: PLC0415 - its libraries are those of extras

    if kind == "redis":
        return RedisHost(request.getfixturevalue("redis_server"))
    return PostgresHost(request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_url"))


@pytest.fixture(params=["memory", "sqlite", "memory server", *SERVERS])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    """Return a host whose processes share slots; each store has to keep the same promises."""
    if request.param == "sqlite":
        return SqliteHost(tmp_path / "slots.sqlite")
    if request.param in {"postgres", "redis"}:
        return _host_on_a_server(request.param, request)
    return MemoryHost() if request.param == "memory" else MemoryServerHost()


@pytest.fixture
def sqlite_host(tmp_path: Path) -> SqliteHost:
    """Return a host whose processes share slots by a file."""
    return SqliteHost(tmp_path / "slots.sqlite")
