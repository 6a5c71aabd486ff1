"""The pytest fixture ``clova_emulator`` for tests that call CLOVA.

pytest loads this module in every run, so it imports nothing but pytest until a test uses the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from clova_ocr_async.emulator.server import Emulator

__all__ = ["clova_emulator"]


@pytest.fixture
def clova_emulator(request: pytest.FixtureRequest) -> Generator[Emulator]:
    """A local CLOVA that runs during the test, in a thread of its own; for tests with and without asyncio.

    Its settings come from the marker ``@pytest.mark.clova_emulator(concurrency=2, faults=["rate-limited"])``.
    """
    from clova_ocr_async.emulator.thread import emulator_in_thread  # noqa: PLC0415 - loaded only if used

    marker = request.node.get_closest_marker("clova_emulator")
    if marker is None:
        marker = pytest.mark.clova_emulator().mark
    # A marker accepts positional settings; the call refuses them as any other call does.
    with emulator_in_thread(*marker.args, **marker.kwargs) as emulator:
        yield emulator


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "clova_emulator(**settings): settings of the fixture clova_emulator")
