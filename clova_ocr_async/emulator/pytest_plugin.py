"""The pytest fixtures ``clova_emulator`` and ``clova_fast_retries`` for tests that call CLOVA.

pytest loads this module in every run, so it imports nothing but pytest until a test uses the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from clova_ocr_async.client import RetryPolicy
    from clova_ocr_async.emulator.server import Emulator

__all__ = ["clova_emulator", "clova_fast_retries"]


@pytest.fixture
def clova_emulator(request: pytest.FixtureRequest) -> Generator[Emulator]:
    """A local CLOVA that runs during the test, in a thread of its own; for tests with and without asyncio.

    Its settings come from the marker ``@pytest.mark.clova_emulator(concurrency=2, faults=["rate-limited"])``. With the
    marker ``@pytest.mark.clova(billed_at_most=1)`` the test fails at its end if more calls were billed, or if a
    scripted fault was not met by a call; ``all_faults_used=False`` allows the latter.
    """
    from clova_ocr_async.emulator.thread import emulator_in_thread  # noqa: PLC0415 - loaded only if used

    marker = request.node.get_closest_marker("clova_emulator")
    if marker is None:
        marker = pytest.mark.clova_emulator().mark
    strict = request.node.get_closest_marker("clova")
    checks = None if strict is None else _Checks(*strict.args, **strict.kwargs)
    # A marker accepts positional settings; the call refuses them as any other call does.
    with emulator_in_thread(*marker.args, **marker.kwargs) as emulator:
        yield emulator
    if checks is not None and (complaint := checks.complaint(emulator)) is not None:
        pytest.fail(complaint, pytrace=False)


class _Checks:
    """What the marker ``clova`` demands of a test."""

    def __init__(self, *, billed_at_most: int | None = None, all_faults_used: bool = True) -> None:
        self._billed_at_most = billed_at_most
        self._all_faults_used = all_faults_used

    def complaint(self, emulator: Emulator) -> str | None:
        """Return what an emulator has seen too much or too little of; None if nothing."""
        billed = emulator.billed.total()
        if self._billed_at_most is not None and billed > self._billed_at_most:
            calls = "1 call was" if billed == 1 else f"{billed} calls were"
            return f"{calls} billed, and the marker clova allows {self._billed_at_most}"
        if self._all_faults_used and (unused := emulator.unused_faults):
            names = ", ".join("None" if fault is None else fault.value for fault in unused)
            return f"no call has met these scripted faults: {names}; all_faults_used=False allows that"
        return None


@pytest.fixture
def clova_fast_retries() -> RetryPolicy:
    """A retry policy that decides as the default one, and waits milliseconds instead of seconds."""
    from clova_ocr_async.client import RetryPolicy  # noqa: PLC0415 - loaded only if used

    short, longest = 0.001, 0.01
    return RetryPolicy(
        connection_base=short,
        server_base=short,
        quota_base=short,
        quota_cap=longest,
        cap=longest,
        outage_cap=longest,
        outage_patience=1.0,
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a test whose marker would check nothing."""
    used: list[str] = getattr(item, "fixturenames", [])
    for name in ("clova", "clova_emulator"):
        if item.get_closest_marker(name) is not None and "clova_emulator" not in used:
            pytest.fail(f"the marker {name} is for tests that use the fixture clova_emulator", pytrace=False)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", "clova_emulator(**settings): settings of the fixture clova_emulator")
    config.addinivalue_line(
        "markers",
        "clova(billed_at_most=None, all_faults_used=True): checks of the fixture clova_emulator at the end",
    )
