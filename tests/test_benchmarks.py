"""The benchmarks run: their short form, in which nothing is measured that counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

has_peak_memory = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="memory is measured as Linux reports it"
)


QUICK = [
    *("whole_call", "decode", "photos", "photo_slots", "pictures", "masking"),
    *("dispatcher", "run_reading", "tables", "report_writing", "start", "overload", "web_handler"),
    pytest.param("server_stores", marks=pytest.mark.server),
]


@has_peak_memory
@pytest.mark.parametrize("question", QUICK)
def test_a_question_is_answered_by_figures(question: str) -> None:
    """Each question prints a table in which our figure stands in every row whose contender is installed."""
    ran = subprocess.run(
        [sys.executable, BENCHMARKS / "all.py", question, "--quick"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    rows = [line.split(" | ") for line in ran.stdout.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 1
    assert all(cells[1].strip() or "not installed" in cells[-1] for cells in rows)


def test_a_simulated_cluster_is_the_same_each_time() -> None:
    """The simulation of a cluster prints the kept table, byte for byte, with each Python and each seed of hashes."""
    options = ["--workers", "1,5", "--domains", "1,5", "--operations", "2000"]
    kept = ["--check", str(BENCHMARKS / "cluster_simulation_small.md")]
    ran = subprocess.run(
        [sys.executable, BENCHMARKS / "cluster_simulation.py", *options, *kept],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stdout + ran.stderr
