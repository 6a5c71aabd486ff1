from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, cast

import pytest
from support.slots import Host, MemoryHost, MemoryServerHost, SqliteHost

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

SERVERS = [pytest.param(name, marks=pytest.mark.server) for name in ("postgres", "redis")]


@pytest.fixture
def host_on_a_server(request: pytest.FixtureRequest) -> Generator[Callable[[str], Host]]:
    """Return a function that makes a host whose processes share slots on a server."""
    with ExitStack() as ending:

        def make(kind: str) -> Host:
            from support.server_slots import PostgresHost, RedisHost  # noqa: PLC0415 - its libraries are extras'

            server = request.getfixturevalue(f"{kind}_server")
            if kind == "redis":
                return ending.enter_context(closing(RedisHost(server)))
            return ending.enter_context(closing(PostgresHost(server, request.getfixturevalue("postgres_url"))))

        yield make


@pytest.fixture(params=["memory", "sqlite", "memory server", *SERVERS])
def host(request: pytest.FixtureRequest, host_on_a_server: Callable[[str], Host]) -> Host:
    """Return a host whose processes share slots; each store has to keep the same promises."""
    if request.param == "sqlite":
        return cast("SqliteHost", request.getfixturevalue("sqlite_host"))
    if request.param in {"postgres", "redis"}:
        return host_on_a_server(request.param)
    return MemoryHost() if request.param == "memory" else MemoryServerHost()


@pytest.fixture
def sqlite_host(tmp_path: Path) -> Generator[SqliteHost]:
    """Return a host whose processes share slots by a file."""
    with closing(SqliteHost(tmp_path / "slots.sqlite")) as made:
        yield made
