from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.stores import STORES

if TYPE_CHECKING:
    from pathlib import Path

    from support.stores import Store


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory that is not there yet."""
    return tmp_path / "run"


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.server if name == "postgres" else ()) for name in STORES])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty run in each of the stores."""
    if request.param == "postgres":
        request.getfixturevalue("postgres_server")  # which closes it
    return STORES[request.param](tmp_path)
