from __future__ import annotations

import importlib.util

import pytest

# Without the extra postgres nothing here can be imported, and nothing here is run.
collect_ignore_glob = [] if importlib.util.find_spec("psycopg") else ["test_*.py"]


@pytest.fixture
def run(postgres_url: str) -> str:
    """The URL of a run that is not there yet, in a database of its own."""
    return f"{postgres_url}?run=march"
