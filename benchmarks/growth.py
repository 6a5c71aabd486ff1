"""The growth of cost with the number of images, slots and processes: time, CPU and memory, with a ledger and without.

The calls are answered in memory, by a small answer. A power law is fitted to the cost of an image, by least squares of
the logarithms. A row shows by what factor that cost changes when the number grows tenfold, which is 10 to the power of
the fitted exponent: 1 is what one hopes for, and below 1 what is larger is cheaper. Over the whole range a cost must
not grow by much more than half: so the exponent may be 0.05 over the four decades of images, and 0.1 over the one or
two of slots and processes. *Time* is that of a slot; *memory* the peak of the largest process, in all, not an image's.
Where more processes share the same slots, each has fewer calls at once, which costs the CPU that many at once save: as
much without a shared file, with slots of its own for each process. Calls that share slots differ in how long they take,
as calls to the service do: all alike would come in step, and one visit to the file would serve all of a process.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import multiprocessing
import random
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from frame import PICTURE, Row, alone, forget_peak, peak_memory, spoken

from clova_ocr_async import (
    BatchDispatcher,
    ClovaOCRClient,
    Domain,
    HTTPResponse,
    Image,
    Receipt,
    SharedSlots,
    SqliteLedger,
    Success,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from clova_ocr_async import HTTPRequest
    from clova_ocr_async.client import RequestProgress

ANSWER = b'{"images":[{"inferResult":"SUCCESS","message":"SUCCESS","receipt":{"result":{}}}]}'
LATENCY = 0.05  # seconds of a call, where slots are to be kept busy
SPREAD = 0.5  # of that, where processes share slots
WARM_UP = 200  # images read before, so that what is made once is not counted
COUNTS = (100, 1_000, 10_000, 100_000, 1_000_000)
SLOTS = (1, 2, 4, 8, 16, 32, 64)
PROCESSES = (1, 2, 4, 8)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The batch that is run.

    Attributes:
        items: Images in all; each process has its part of them.
        slots: Calls at once, of all processes together.
        processes: How many.
        kept: Whether there is a run directory, one for all.
        shared: Whether slots are shared by a file.
        latency: Seconds of a call, in the mean.
        spread: The most by which a call takes longer or shorter than that, as a share of it. Calls that all take
            exactly as long come in step, and are served together as calls to the service never are.
    """

    items: int
    slots: int = 16
    processes: int = 1
    kept: bool = False
    shared: bool = False
    latency: float = 0.0
    spread: float = 0.0


class Cost(NamedTuple):
    """Seconds that an image takes a slot, its seconds of CPU, MiB of the largest process."""

    time: float
    cpu: float
    memory: float


class Wire:
    """A transport that answers everything after some seconds.

    Attributes:
        latency: The seconds, in the mean.
        spread: The most by which they differ from it, as a share of it.
    """

    def __init__(self, seed: int) -> None:
        self.latency = self.spread = 0.0
        self._random = random.Random(seed)  # noqa: S311 - no secret

    async def send(self, request: HTTPRequest, progress: RequestProgress) -> HTTPResponse:  # noqa: ARG002 - all are alike
        """Answer."""
        progress.body_began = True
        await asyncio.sleep(self.latency * self._random.uniform(1.0 - self.spread, 1.0 + self.spread))
        progress.begin_response(200, {})
        progress.receive(ANSWER)
        return HTTPResponse(200, ANSWER)

    async def close(self) -> None:
        """Do nothing."""


# ---------------------------------------------------------------------------------------------------------------------
# A process at work


class Part(NamedTuple):
    """The result of a process: when it ended, by a clock that all share, its seconds of CPU, its MiB."""

    ended: float
    cpu: float
    memory: float


def part(setting: Setting, place: str, number: int, begin: float) -> Part:
    """Read a part of the images, from a moment on; in a process of its own."""
    return asyncio.run(_part(setting, Path(place), number, begin))


async def _part(setting: Setting, place: Path, number: int, begin: float) -> Part:
    slots = SharedSlots(place / "slots", concurrency=setting.slots) if setting.shared else None
    domain = Domain("http://127.0.0.1/custom/v1/1/k", "s", max_concurrency=setting.slots)
    async with AsyncExitStack() as stack:
        wire = Wire(number)
        client = await stack.enter_async_context(ClovaOCRClient(domain, slots=slots, transport=wire))
        ledger = await stack.enter_async_context(SqliteLedger(place / "run")) if setting.kept else None
        dispatcher = BatchDispatcher(client, max(32, setting.slots), ledger=ledger)
        await _read(dispatcher, range(-WARM_UP * (number + 1), -WARM_UP * number))
        wire.latency, wire.spread = setting.latency, setting.spread
        forget_peak()
        await asyncio.sleep(max(0.0, begin - time.monotonic()))
        cpu = time.process_time()
        await _read(dispatcher, range(number, setting.items, setting.processes))
        return Part(time.monotonic(), time.process_time() - cpu, peak_memory())


async def _read(dispatcher: BatchDispatcher, numbers: range) -> None:
    read = 0
    async with dispatcher.dispatch(_pictures(numbers), Receipt) as outcomes:
        async for outcome in outcomes:
            read += isinstance(outcome, Success) and outcome.billed
    assert read == len(numbers)  # noqa: S101 - else it is something else that is measured


def _pictures(numbers: Iterable[int]) -> Iterator[Image]:
    return (Image(PICTURE + number.to_bytes(8, "big", signed=True)) for number in numbers)


# ---------------------------------------------------------------------------------------------------------------------
# Measuring


def cost_of(setting: Setting) -> Cost:
    """Run a setting, its processes beginning together."""
    with tempfile.TemporaryDirectory() as place:
        began = time.monotonic() + 1.0 + setting.processes  # when all of them are warm
        with ProcessPoolExecutor(setting.processes, multiprocessing.get_context("spawn")) as pool:
            asked = [pool.submit(part, setting, place, number, began) for number in range(setting.processes)]
            parts = [one.result() for one in asked]
    took = max(one.ended for one in parts) - began
    return Cost(
        took * setting.slots / setting.items,
        sum(one.cpu for one in parts) / setting.items,
        max(one.memory for one in parts),
    )


@dataclass(frozen=True, kw_only=True)
class Series:
    """Settings that grow.

    Attributes:
        called: What grows.
        exponent: The most that a cost of an image may grow with it.
        settings: By the number that grows.
        times: How often each is run, by that number.
    """

    called: str
    exponent: float
    settings: dict[int, Setting]
    times: dict[int, int]

    def rows(self, *, kept: bool) -> list[Row]:
        """Measure with a ledger or without, and fit."""
        found = {
            number: [cost_of(replace(setting, kept=kept)) for _ in range(self.times[number])]
            for number, setting in self.settings.items()
        }
        return [self._row(what, kept, found) for what in Cost._fields]

    def _row(self, what: str, kept: bool, found: dict[int, list[Cost]]) -> Row:  # noqa: FBT001 - of this class alone
        values = {number: [float(getattr(cost, what)) for cost in costs] for number, costs in found.items()}
        exponent = fitted([(number, value) for number, costs in values.items() for value in costs])
        each = [statistics.median(costs) for costs in values.values()]
        note = " → ".join(_shown(what, value) for value in each) + f"; exponent {exponent:+.3f}"
        subject = "peak memory" if what == "memory" else f"{'CPU' if what == 'cpu' else what} of an image"
        span = f"{min(values):,} to {max(values):,}"
        ledger = "with a ledger" if kept else "no ledger"
        return Row(
            question=f"{subject}, ten times as many {self.called}, {ledger}, {span}",
            ours=10**exponent,
            goal=round(10**self.exponent, 2),
            note=note,
        )


def fitted(points: Sequence[tuple[float, float]]) -> float:
    """Return the exponent of the power law through points, by least squares of the logarithms."""
    sizes, costs = ([math.log(value) for value in column] for column in zip(*points, strict=True))
    return statistics.linear_regression(sizes, costs).slope


def _shown(what: str, value: float) -> str:
    return f"{spoken(value)} MiB" if what == "memory" else f"{spoken(value * 1e6)} µs"


def series(*, quick: bool) -> list[Series]:
    """Return what is measured."""
    counts = COUNTS[:3] if quick else COUNTS
    slots, processes = (SLOTS[::3], PROCESSES[:2]) if quick else (SLOTS, PROCESSES)
    waves, often = (10, 1) if quick else (60, 3)
    return [
        Series(
            called="images",
            exponent=0.05,
            settings={number: Setting(items=number) for number in counts},
            times={number: max(1, min(3 * often, 30_000 // number)) for number in counts},
        ),
        Series(
            called="slots",
            exponent=0.1,
            settings={number: Setting(items=waves * number, slots=number, latency=LATENCY) for number in slots},
            times=dict.fromkeys(slots, often),
        ),
        Series(
            called="processes, 4 slots for each",
            exponent=0.1,
            settings={
                number: Setting(
                    items=4 * waves * number,
                    slots=4 * number,
                    processes=number,
                    shared=True,
                    latency=LATENCY,
                    spread=SPREAD,
                )
                for number in processes
            },
            times=dict.fromkeys(processes, often),
        ),
        Series(
            called="processes, 16 slots for all",
            exponent=0.1,
            settings={
                number: Setting(items=16 * waves, processes=number, shared=True, latency=LATENCY, spread=SPREAD)
                for number in processes
            },
            times=dict.fromkeys(processes, often),
        ),
    ]


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    found = [one.rows(kept=kept) for one in series(quick=quick) for kept in (False, True)]
    return list(itertools.chain.from_iterable(found))


if __name__ == "__main__":
    alone(rows)
