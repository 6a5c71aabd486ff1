from __future__ import annotations

import pytest


@pytest.fixture
def run(postgres_url: str) -> str:
    """The URL of a run that is not there yet, in a database of its own."""
    return f"{postgres_url}?run=march"
