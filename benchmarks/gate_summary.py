"""The use of a domain with an unknown limit: gate.py and gate_simulation.py in few lines.

*Busy* is the share of the slots' time in which calls ran, *refused* the refusals per image; over real sockets, against
the emulator. The simulation, on a virtual clock, compares with the code that people write instead, by the time that all
images take over the time of an oracle, which knows at every moment what will be let in; a ratio of geometric means.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, geometric_mean
from typing import TYPE_CHECKING

import gate
import gate_simulation
from contenders import CONTENDERS, missing
from frame import Row, alone, figure, unmeasured
from scenarios import QUICK, SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gate import Measured

OURS = "this gate"
TWO_DOMAINS = "two domains"


@dataclass(frozen=True)
class Goal:
    """The goal of a scenario of gate.py, and its name here."""

    called: str
    busy: float
    refused: float


GOALS = {
    "unknown": Goal("unknown limit of 5", 0.97, 0.01),
    "steps": Goal("limit of 5, then 2, then 8", 0.90, 0.02),
    "one run": Goal("a run directory and shared slots", 0.97, 0.01),
    "two processes": Goal("two processes on one run", 0.95, 0.02),
    "four processes": Goal("four processes on one run", 0.95, 0.02),
    "two runs and web": Goal("two runs and single calls, three processes", 0.95, 0.02),
    "single calls": Goal("single calls beside a batch", 0.95, 0.02),
    TWO_DOMAINS: Goal("two domains of one document", 0.95, 0.02),
}


def of_scenario(name: str, runs: Sequence[Measured]) -> list[Row]:
    """Judge the runs of a scenario."""
    goal = GOALS[name]
    waits = max(run.waited for run in runs)
    note = f"a single call waits {waits:.2f} mean latencies at most" if waits else ""
    busy, refused = [run.busy for run in runs], [run.rejected * 100 for run in runs]
    tries = f"most requests of an image: {max(run.tries for run in runs)}"
    return [
        figure(
            f"{goal.called}: slots busy",
            [share * 100 for share in busy],
            goal.busy * 100,
            at_least=True,
            unit="%",
            note=note,
        ),
        figure(f"{goal.called}: refused", refused, goal.refused * 100, unit="%", note=tries),
    ]


def of_two_domains(one: Sequence[Measured], two: Sequence[Measured]) -> Row:
    """Compare the images a second of two domains with those of one."""
    # The scenario of two reads twice as many images.
    faster = [2 * mine.seconds / both.seconds for mine, both in zip(one, two, strict=True)]
    return figure("images a second of two domains over one", faster, 1.9, at_least=True)


def of_sockets(names: Sequence[str], runs: int) -> list[Row]:
    """Run scenarios of gate.py."""
    found = {name: [gate.SCENARIOS[name]() for _ in range(runs)] for name in names}
    rows = [row for name, measured in found.items() for row in of_scenario(name, measured)]
    if TWO_DOMAINS in found:
        rows.append(of_two_domains(found["unknown"], found[TWO_DOMAINS]))
    return rows


def of_simulation(*, quick: bool) -> list[Row]:
    """Compare with the best other contender of the simulation."""
    scenarios = [one for one in SCENARIOS if not quick or one.name in QUICK]
    names = [name for name in CONTENDERS if not missing(name)]
    found = list(gate_simulation.results(scenarios, names))
    took = {name: geometric_mean([row.ideal for row in found if row.contender == name]) for name in names}
    refused = {name: fmean(row.refused for row in found if row.contender == name) for name in names}
    best = min((name for name in names if name != OURS), key=lambda name: took[name])
    each = ", ".join(f"{name} {took[name]:.3f} ({refused[name]:.0%} refused)" for name in names)
    where = f"simulated, {len(scenarios)} scenarios"
    return [
        figure(
            f"time over the best other's, {where}", [took[OURS] / took[best]], 1.0, note=f"over the oracle's: {each}"
        ),
        figure(f"refused, {where}", [refused[OURS] * 100], 2.0, unit="%", note=f"{best}: {refused[best]:.0%}"),
        *(unmeasured(f"time over that of {name}, {where}", missing(name)) for name in CONTENDERS if name not in names),
    ]


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    names = ["unknown"] if quick else list(GOALS)
    return [*of_sockets(names, 1 if quick else gate.RUNS), *of_simulation(quick=quick)]


if __name__ == "__main__":
    alone(rows)
