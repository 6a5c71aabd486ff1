"""The short form of the chaos of a cluster: real servers, real processes, really killed; ``cluster.py`` is longer."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import cluster
import pytest

if TYPE_CHECKING:
    from cluster_stage import Kind

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(300),  # the lease of a dead process on another host ends after half a minute
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals and namespaces as Linux has them"),
]


@pytest.fixture
def draw() -> random.Random:
    """Return the same chances each time."""
    return random.Random(18)  # noqa: S311 - moments of kills


@pytest.mark.parametrize("kind", ["postgresql", "redis"])
def test_kills_stops_and_restarts_of_servers_cost_nothing(kind: Kind, draw: random.Random) -> None:
    """Whatever ends or stops, nothing is paid twice or lost, and only what was in flight is ambiguous, by name.

    With slots on Redis, the processes of one host cannot look up those of the other.
    """
    assert cluster.troubles(100, 0.5, kind, draw, isolated=kind == "redis") == []


def test_a_call_limit_holds_over_all_workers(draw: random.Random) -> None:
    """As many calls are billed as the limit of the run allows, on whichever hosts its workers are."""
    assert cluster.call_limit(60, 37, "redis", draw) == []


def test_stopped_workers_never_exceed_a_ceiling(draw: random.Random) -> None:
    """Workers that are stopped and go on have no more calls at the service than there are slots."""
    assert cluster.ceiling(60, "postgresql", draw, longest_stop=4.0) == []


def test_two_hosts_share_a_ceiling(draw: random.Random) -> None:
    """Two hosts read a folder through one domain; hardly a call is refused."""
    assert cluster.two_hosts(100, "redis", draw, most_refused=0.08) == []


def test_values_are_found_where_a_run_is_not_sealed(draw: random.Random) -> None:
    """The search for values finds those of a run without a key: it would find them in a sealed one."""
    assert cluster.unsealed(10, draw)
