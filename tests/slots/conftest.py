from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.slots import Host, MemoryHost, SqliteHost

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["memory", "sqlite"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    """Return a host whose processes share slots; each store has to keep the same promises."""
    return MemoryHost() if request.param == "memory" else SqliteHost(tmp_path / "slots.sqlite")


@pytest.fixture
def sqlite_host(tmp_path: Path) -> SqliteHost:
    """Return a host whose processes share slots by a file."""
    return SqliteHost(tmp_path / "slots.sqlite")
