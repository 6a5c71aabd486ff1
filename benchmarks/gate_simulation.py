"""The use of an unknown limit by this client, compared with the code that people write instead; in virtual time.

The client and its slots are the real ones, on a virtual clock; only the service is simulated: log-normal latencies, a
round trip of 5 ms, refusals at once. *Used* is the seconds of all calls that ran over the seconds of all the slots
there were, from the first call to the last answer; where the rate is limited, the calls let in over those allowed.
*Ideal* is the time over that of an oracle, which knows at every moment what will be let in. All read the same images
with the same 64 workers; medians of three seeds. Run it as ``python benchmarks/gate_simulation.py``, with
``--quick``, or with words that the names of the scenarios must have.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import random
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contenders import CONTENDERS, missing, oracle, retrying
from frame import machine
from scenarios import QUICK, SCENARIOS
from virtual import SimulatedService, run_virtually

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contenders import Contender, Read
    from scenarios import Scenario

WORKERS = 64
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Row:
    """The result of a contender in a scenario; medians over the seeds.

    Attributes:
        scenario: Its name.
        contender: Its name.
        used: Share of what was allowed that was used.
        refused: Refusals per image.
        seconds: Virtual seconds from the first call to the last answer.
        ideal: These over the seconds of an oracle.
        tries: Most requests of one image.
        note: Why there are no numbers, if there are none.
    """

    scenario: str
    contender: str
    used: float = 0.0
    refused: float = 0.0
    seconds: float = 0.0
    ideal: float = 0.0
    tries: int = 0
    note: str = ""


# ---------------------------------------------------------------------------------------------------------------------
# Measuring


async def _read_all(scenario: Scenario, contender: Contender, seed: int) -> tuple[float, float, float, float]:
    service = scenario.service(random.Random(seed))  # noqa: S311 - the same in each run
    reads = contender(service, scenario, random.Random(seed))  # noqa: S311 - the same in each run
    for seconds, limit in scenario.times:
        asyncio.get_running_loop().call_at(seconds, service.limit.set, limit)
    left, tries = iter(range(scenario.items)), 0

    async def work(read: Read) -> None:
        nonlocal tries
        for number in left:
            if scenario.thirds and number % (scenario.items // 3 + 1) == 0:
                service.limit.set((scenario.limit, *scenario.thirds)[number // (scenario.items // 3 + 1)])
            mine = await read()
            tries = max(tries, mine)

    others = [asyncio.create_task(_forever(service, random.Random(seed))) for _ in range(scenario.foreign)]  # noqa: S311
    async with asyncio.TaskGroup() as group:
        for number in range(WORKERS):
            group.create_task(work(reads[number % len(reads)]))
    for other in others:
        other.cancel()
    return service.limit.used(), service.refused / scenario.items, service.finished, tries


async def _forever(service: SimulatedService, chance: random.Random) -> None:
    read = retrying(service, chance)
    while True:
        tries = await read()
        service.refused -= tries - 1  # these are not ours


@functools.cache
def _run(scenario: Scenario, contender: Contender, seed: int) -> tuple[float, float, float, float]:
    return run_virtually(_read_all(scenario, contender, seed))


def measure(scenario: Scenario, contender: str) -> Row:
    """Run a contender through a scenario, with each seed."""
    if note := missing(contender):
        return Row(scenario.name, contender, note=note)
    runs = [_run(scenario, CONTENDERS[contender], seed) for seed in SEEDS]
    ideals = [_run(scenario, oracle, seed) for seed in SEEDS]
    used, refused, seconds, tries = (statistics.median(values) for values in zip(*runs, strict=True))
    ratio = statistics.median(run[2] / best[2] for run, best in zip(runs, ideals, strict=True))
    return Row(scenario.name, contender, used, refused, seconds, ratio, int(tries))


def results(scenarios: Iterable[Scenario] = SCENARIOS, contenders: Iterable[str] = tuple(CONTENDERS)) -> Iterator[Row]:
    """Measure each contender in each scenario."""
    names = list(contenders)
    return (measure(scenario, name) for scenario in scenarios for name in names)


def line(row: Row) -> str:
    """Write a row of the table."""
    if row.note:
        return f"  {row.contender:18} {row.note}"
    return f"  {row.contender:18} {row.used:7.1%} {row.refused:9.1%} {row.tries:6} {row.seconds:9.1f} {row.ideal:8.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*", help="only scenarios with all of these in their names")
    parser.add_argument("--quick", action="store_true", help="a few scenarios")
    parser.add_argument("--ours", action="store_true", help="only this client")
    options = parser.parse_args()
    chosen = [scenario for scenario in SCENARIOS if all(word in scenario.name for word in options.words)]
    if options.quick:
        chosen = [scenario for scenario in chosen if scenario.name in QUICK]
    print(f"{machine()}; {WORKERS} workers; medians of {len(SEEDS)} seeds")
    print(f"{'':20} {'used':>7} {'refused':>9} {'tries':>6} {'seconds':>9} {'x ideal':>8}")
    began = time.perf_counter()
    scenario = ""
    for row in results(chosen, ["this gate"] if options.ours else CONTENDERS):
        if row.scenario != scenario:
            scenario = row.scenario
            print(scenario)
        print(line(row), flush=True)
    print(f"simulated in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
