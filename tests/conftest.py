from __future__ import annotations

import itertools
import logging
import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from support.servers import RedisServer, shared_database, shared_postgres

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from support.servers import PostgresServer

_numbers = itertools.count()

# A shell that starts the tests in the background has these ignored, and every process that a test starts would
# inherit that and never be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Of what a test starts: under its limit of the size of files CPython 3.11 leaves half a compiled file for all others.
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

# Another program on the machine must not fail a property: time is no promise of any of them.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the state that tests would leave in the user's."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch, states: Path) -> None:
    """Give each test, and what it starts, a place of its own for what the command line remembers of domains."""
    for variable in ("XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(states / str(next(_numbers))))


@pytest.fixture(autouse=True)
def _own_log_level() -> Generator[None]:
    """Undo the level of the log that a command sets in this process: the next test may look at debug messages."""
    logger = logging.getLogger("clova_ocr_async")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(scope="session")
def postgres_server() -> Generator[PostgresServer]:
    """A PostgreSQL server of this process's tests; a test that stops it starts it again."""
    server = shared_postgres()
    yield server
    server.close()
    shared_postgres.cache_clear()
    shared_database.cache_clear()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of an empty PostgreSQL database."""
    return postgres_server.new_database()


@pytest.fixture(scope="session")
def redis_server() -> Generator[RedisServer]:
    """A Redis server of this process's tests; a test that stops it starts it again."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of a Redis database that holds what earlier tests have left."""
    return redis_server.url
