"""What a crash reporter sends, as sentry-sdk comes: no event holds a secret, an invoke key, a picture or an answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.crash_reports import CANARIES, ONE_OF_EACH_ERROR, OTHERS

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def reports() -> dict[str, list[str]]:
    """The reports of each way to fail."""
    paths = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "support.crash_reports"],
        capture_output=True,
        text=True,
        check=False,
        cwd=TESTS.parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("way", [*ONE_OF_EACH_ERROR, *OTHERS])
def test_no_report_holds_a_secret_or_a_picture(way: str, reports: dict[str, list[str]]) -> None:
    """The reports of an error have the variables of our frames, and with their breadcrumbs show no canary."""
    assert any('"vars"' in report and '"recognize"' in report for report in reports[way])
    for canary in CANARIES:
        assert [report.partition(canary)[0][-300:] for report in reports[way] if canary in report] == []
