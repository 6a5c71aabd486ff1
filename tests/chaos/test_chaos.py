"""The short form of the chaos: real processes, really killed. ``nox -s chaos`` is the long one."""

from __future__ import annotations

import random
import sys

import chaos
import pytest
from worker import POINTS, RENAMES

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals and limits as Linux has them"),
]


@pytest.fixture
def draw() -> random.Random:
    """Return the same chances each time."""
    return random.Random(2411)  # noqa: S311 - moments of kills


@pytest.mark.parametrize("what", ["claim", "sent", "answered", "settled", "look", "lease", "close"])
def test_a_kill_at_a_named_point_costs_nothing(what: str, draw: random.Random) -> None:
    """Killed at a commit, a batch pays nothing twice and loses nothing; only what was sent is ambiguous."""
    points = [(point, count) for point, count in POINTS if point.endswith(f"of {what}") and count == 1]
    assert chaos.kills_at_points(80, points, draw) == []


def test_a_kill_around_a_rename_costs_nothing(draw: random.Random) -> None:
    """Killed before and after its list of failures gets its name, a batch has lost nothing."""
    assert chaos.kills_at_points(80, [("after commit of sent", 1), *RENAMES], draw) == []


@pytest.mark.parametrize("processes", [1, 2])
def test_kills_at_random_cost_nothing(processes: int, draw: random.Random) -> None:
    """Killed at random, processes pay nothing twice and lose nothing; only what was in flight is ambiguous."""
    assert chaos.random_kills(2 * processes, 200, processes, draw) == []


def test_a_full_disk_costs_nothing(draw: random.Random) -> None:
    """When the disk is full the paying stops first, what was paid for is kept, and the next run goes on."""
    assert chaos.full_disk(1500, draw) == []


def test_sleep_past_the_lease_costs_nothing(draw: random.Random) -> None:
    """A process that is stopped past its lease, and goes on, pays nothing twice and brings the answers it had."""
    assert chaos.sleep(200, draw) == []


def test_a_drain_leaves_nothing_ambiguous(draw: random.Random) -> None:
    """SIGTERM lets the calls in flight finish."""
    assert chaos.drains(2, 150, draw) == []
