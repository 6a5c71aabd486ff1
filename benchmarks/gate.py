"""The share of time in which the slots of a domain with an unknown limit are busy, over real sockets.

Everything runs against the emulator: log-normal latencies, mean 0.2 s, sigma 0.5. *Busy* is the seconds of all calls
that ran, over the seconds of all the slots there were, from the first call to the last answer; both are the emulator's.
*Waited* is the longest wait of a single call for its slot, over the mean latency, while batches fill the domain. The
result is the median of three runs. Run it with ``nox -s bench``, or some scenarios by their names:
``python benchmarks/gate.py unknown steps``.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clova_ocr_async import (
    AttemptStarted,
    BatchDispatcher,
    ClovaOCRClient,
    Domain,
    Failure,
    Image,
    Receipt,
    SharedSlots,
)
from clova_ocr_async.emulator.thread import emulator_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from multiprocessing.connection import Connection

    from clova_ocr_async import Event
    from clova_ocr_async.emulator import Emulator

RUNS = 3
LATENCY, SIGMA = 0.2, 0.5
PICTURE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x03\xe8\x00\x00\x03\xe8\x08\x02\x00\x00\x00\x00\x00\x00\x00IEND"
DOMAINS = ("1/one", "2/two")


@dataclass(frozen=True)
class Work:
    """The work of one process.

    Attributes:
        urls: Its domains.
        images: Numbers of the images it reads.
        slots: The file of the slots it shares; None for slots of its own.
        folder: Its run directory, if it has one.
        single: Numbers of the images that it also reads one by one, as a user at a browser would send them.
    """

    urls: tuple[str, ...]
    images: range
    slots: str | None = None
    folder: str | None = None
    single: range = range(0)


@dataclass(frozen=True)
class Measured:
    """The result of a run.

    Attributes:
        busy: Share of the slots' time in which calls ran.
        rejected: Refusals per image.
        tries: Most requests of one image.
        seconds: From the first call to the last answer.
        waited: Longest wait of a single call for its slot, in mean latencies; 0 without any.
    """

    busy: float
    rejected: float
    tries: int
    seconds: float
    waited: float = 0.0


# ---------------------------------------------------------------------------------------------------------------------
# A process at work


def work(parent: Connection, plan: Work) -> None:
    """Work once the parent gives the word; send it the most tries of one image and the longest wait."""
    asyncio.run(_work(parent, plan))


async def _work(parent: Connection, plan: Work) -> None:
    slots = SharedSlots(plan.slots) if plan.slots else None
    domains = [Domain(url, "s", document=Receipt) for url in plan.urls]
    waits: dict[str, float] = {}

    def note(event: Event) -> None:
        if isinstance(event, AttemptStarted):
            waits[event.attempt.request_id] = waits.get(event.attempt.request_id, 0.0) + event.waited

    async with ClovaOCRClient(*domains, slots=slots, hooks=[note]) as client:
        parent.send("ready")
        await asyncio.to_thread(parent.recv)
        async with asyncio.TaskGroup() as group:
            batch = group.create_task(_read_batch(client, plan))
            single = group.create_task(_read_singly(client, plan.single, waits))
    tries, waited = single.result()
    parent.send((max(batch.result(), tries), waited))


def _pictures(numbers: range) -> Iterator[Image]:
    return (Image(PICTURE + number.to_bytes(8, "big"), name=str(number)) for number in numbers)


async def _read_batch(client: ClovaOCRClient, plan: Work) -> int:
    tries = 0
    async with BatchDispatcher(client, ledger=plan.folder).dispatch(_pictures(plan.images), Receipt) as outcomes:
        async for outcome in outcomes:
            if isinstance(outcome, Failure):
                raise outcome.error
            tries = max(tries, outcome.recognition.attempts)
    return tries


async def _read_singly(client: ClovaOCRClient, numbers: range, waits: dict[str, float]) -> tuple[int, float]:
    tries, waited = 0, 0.0
    for picture in _pictures(numbers):
        await asyncio.sleep(LATENCY)
        recognition = await client.recognize(picture, Receipt)
        tries = max(tries, recognition.attempts)
        waited = max(waited, waits[recognition.request_id or ""] / LATENCY)
    return tries, waited


@contextmanager
def at_work(plans: list[Work]) -> Generator[list[Connection]]:
    """Run a process for each plan; they begin together."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        connections: list[Connection] = []
        for plan in plans:
            here, there = context.Pipe()
            process = context.Process(target=work, args=(there, plan), daemon=True)
            process.start()
            stack.callback(process.join, 60)
            connections.append(here)
        for connection in connections:
            connection.recv()
        for connection in connections:
            connection.send("go")
        yield connections


# ---------------------------------------------------------------------------------------------------------------------
# Measuring


def measure(
    plan: Callable[[Emulator, Path], list[Work]],
    images: int,
    *,
    ceiling: int = 5,
    steps: tuple[int, ...] = (),
    domains: tuple[str, ...] = DOMAINS[:1],
) -> Measured:
    """Run a plan once.

    Args:
        plan: Returns the work of each process.
        images: Images that are read in all.
        ceiling: Calls at once per domain.
        steps: The ceilings that follow, when equal parts of the images are read.
        domains: The domains that are called.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        emulator_in_thread(concurrency=ceiling, latency=LATENCY, sigma=SIGMA, secret="s", seed=time.time_ns()) as clova,
        at_work(plan(clova, Path(folder))) as connections,
    ):
        meters = [clova.domain_state(domain) for domain in domains]
        began = time.perf_counter()
        while (read := sum(meter.billed.total() for meter in meters)) < images or any(m.in_flight for m in meters):
            for meter in meters:
                meter.set_ceiling((ceiling, *steps)[min(read * (len(steps) + 1) // images, len(steps))])
            time.sleep(0.002)
        seconds = time.perf_counter() - began
        busy = sum(meter.busy for meter in meters) / sum(meter.capacity for meter in meters)
        answers = [connection.recv() for connection in connections]
        if read != images:
            raise SystemExit(f"{read} calls for {images} images: something was paid twice")
        return Measured(
            busy,
            sum(m.rejected for m in meters) / images,
            max(t for t, _ in answers),
            seconds,
            max(w for _, w in answers),
        )


def batch_of(count: int, *, processes: int = 1, shared: bool = False, run: bool = False) -> Any:
    """Return a plan: processes that read the same images into one run directory, or one that reads them without."""

    def plan(clova: Emulator, folder: Path) -> list[Work]:
        one = Work((clova.url("receipt", domain=DOMAINS[0]),), range(count))
        one = replace(one, slots=str(folder / "slots") if shared else None, folder=str(folder / "run") if run else None)
        return [one] * processes

    return plan


def two_runs_and_web(clova: Emulator, folder: Path) -> list[Work]:
    """Two run directories, and a web process beside them."""
    one = Work((clova.url("receipt", domain=DOMAINS[0]),), range(280), str(folder / "slots"), str(folder / "a"))
    other = replace(one, images=range(1000, 1280), folder=str(folder / "b"))
    return [one, other, replace(one, images=range(0), folder=None, single=range(2000, 2040))]


def single_beside_batch(clova: Emulator, _: Path) -> list[Work]:
    """One process and client, with a batch and single calls."""
    return [Work((clova.url("receipt", domain=DOMAINS[0]),), range(560), single=range(2000, 2040))]


def two_domains(clova: Emulator, _: Path) -> list[Work]:
    """One process, two domains of one document."""
    return [Work(tuple(clova.url("receipt", domain=domain) for domain in DOMAINS), range(1200))]


SCENARIOS: dict[str, Callable[[], Measured]] = {
    "unknown": lambda: measure(batch_of(600), 600),
    "steps": lambda: measure(batch_of(3000), 3000, steps=(2, 8)),
    "one run": lambda: measure(batch_of(600, shared=True, run=True), 600),
    "two processes": lambda: measure(batch_of(600, processes=2, shared=True, run=True), 600),
    "four processes": lambda: measure(batch_of(600, processes=4, shared=True, run=True), 600),
    "two runs and web": lambda: measure(two_runs_and_web, 600),
    "single calls": lambda: measure(single_beside_batch, 600),
    "two domains": lambda: measure(two_domains, 1200, domains=DOMAINS),
}


def main(names: list[str]) -> None:
    """Measure and print."""
    print(
        f"{'scenario':20} {'busy':>7} {'refused':>8} {'tries':>5} {'seconds':>8}   (medians of {RUNS}, spread of busy)"
    )
    for name in names or SCENARIOS:
        runs = [SCENARIOS[name]() for _ in range(RUNS)]
        busy = [run.busy for run in runs]
        print(
            f"{name:18} {statistics.median(busy):6.1%} {statistics.median(run.rejected for run in runs):8.2%} "
            f"{max(run.tries for run in runs):5} {statistics.median(run.seconds for run in runs):8.2f} "
            f"{max(run.waited for run in runs):7.2f}   {min(busy):.1%} to {max(busy):.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
