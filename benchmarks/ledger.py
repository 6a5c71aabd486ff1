"""The cost of the ledger: CPU and time of a batch, rows a second beside aiosqlite, a folder of a million files.

The batches are run with a ledger and without in turn, round after round. The folder is made in memory, and listed by a
process of its own, new and resumed.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import tempfile
import time
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import ledger_marks
from anyio import CapacityLimiter
from frame import (
    KIB,
    Row,
    alone,
    apart,
    apart_in_turn,
    compared,
    cpu_of,
    effort,
    figure,
    in_turn,
    missing,
    peak_memory,
    picture,
    unmeasured,
)
from sink import sink

from clova_ocr_async import (
    BatchDispatcher,
    ClovaOCRClient,
    Domain,
    Emulator,
    ImageLimits,
    Receipt,
    SqliteLedger,
    Success,
    images_in,
)
from clova_ocr_async.batch.hashing import read_hashed
from clova_ocr_async.batch.ledgered import READER_THREADS
from clova_ocr_async.batch.sources.folders import entries_in
from clova_ocr_async.batch.sources.worklist import WorkList
from clova_ocr_async.client.hooks import AttemptStarted, Event
from clova_ocr_async.client.loading import ImageLoader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clova_ocr_async import Batch

SIZE = 100 * KIB
WORKERS = 32  # of a dispatcher that is given no number
FILES = 1_000_000
HASHED = 100_000  # of them
MEMORY = "/dev/shm"  # noqa: S108 - a folder of one's own is made in it


class Setting(NamedTuple):
    """A batch to run.

    Attributes:
        at_once: Calls at once.
        pictures: How many.
        goal: The CPU that a ledger may add, over that of a call.
        delay: Seconds a call takes where its time is measured: as many as leave the processor time to spare, since
            else it is the CPU once more that is measured.
    """

    at_once: int
    pictures: int
    goal: float
    delay: float


SETTINGS = (Setting(64, 1000, 0.8, 0.2), Setting(5, 400, 1.1, 0.05))


# ---------------------------------------------------------------------------------------------------------------------
# Batches


@asynccontextmanager
async def batch(client: ClovaOCRClient, folder: Path, run: Path | None, workers: int) -> AsyncGenerator[Batch[Receipt]]:
    """Open a batch of a folder, with a ledger as the command line has it, or without."""
    if run is None:
        async with BatchDispatcher(client, workers).dispatch(images_in(folder), Receipt) as outcomes:
            yield outcomes
        return
    async with SqliteLedger(run) as ledger:
        listing = WorkList(ledger, "receipt", entries_in(folder))
        async with BatchDispatcher(client, workers, ledger=ledger).dispatch(listing, Receipt) as outcomes:
            yield outcomes


class Cost(NamedTuple):
    """The cost of an image: microseconds of CPU, and the milliseconds one takes with as many at once."""

    cpu: float
    took: float


async def cost(url: str, folder: Path, run: Path | None, at_once: int) -> Cost:
    """Read a folder."""
    async with ClovaOCRClient(Domain(url, "s"), concurrency=at_once) as client:
        cpu, began, read = time.process_time(), time.perf_counter(), 0
        async with batch(client, folder, run, max(WORKERS, at_once)) as outcomes:
            async for outcome in outcomes:
                read += isinstance(outcome, Success)
        spent, took = time.process_time() - cpu, time.perf_counter() - began
    return Cost(spent / read * 1e6, took / read * at_once * 1e3)


def read_folder(url: str, folder: Path, at_once: int, *, kept: bool, cpu: bool) -> float:
    """Read a folder, with a new run directory if a ledger is to be kept, and return what counts."""
    with tempfile.TemporaryDirectory() as place:
        found = asyncio.run(cost(url, folder, Path(place) / "run" if kept else None, at_once))
    return found.cpu if cpu else found.took


def batches(url: str, folder: Path, at_once: int, rounds: int, *, cpu: bool) -> dict[str, list[float]]:
    """Return the costs of rounds, "plain" and with a ledger, "kept"; in a process of its own."""
    read = partial(read_folder, url, folder, at_once, cpu=cpu)
    return in_turn({"plain": partial(read, kept=False), "kept": partial(read, kept=True)}, rounds)


def hashing_cost(times: int = 200) -> float:
    """Return microseconds of CPU that a picture's hash takes."""
    data = os.urandom(SIZE)
    return cpu_of(lambda: hashlib.sha256(data).digest(), times) / times * 1e6


def of_batches(setting: Setting, *, quick: bool) -> tuple[list[Row], float]:
    """Judge a setting; return microseconds of CPU of a call besides."""
    with tempfile.TemporaryDirectory() as place:
        for number in range(setting.pictures // 2 if quick else setting.pictures):
            Path(place, f"{number}.png").write_bytes(picture(SIZE))
        with sink() as server:
            cpu = apart_in_turn(effort(3, quick=quick), batches, server.url, Path(place), setting.at_once, cpu=True)
        with sink(setting.delay) as server:
            took = apart(batches, server.url, Path(place), setting.at_once, 2 if quick else 9, cpu=False)
    call = median(cpu["plain"])
    return [*_added(setting, cpu, took), _of_hashing(setting, call)], call


def _added(setting: Setting, cpu: dict[str, list[float]], took: dict[str, list[float]]) -> list[Row]:
    where = f"{setting.at_once} at once, {SIZE // KIB} KiB"
    share = [(kept - plain) / plain for kept, plain in zip(cpu["kept"], cpu["plain"], strict=True)]
    later = [kept - plain for kept, plain in zip(took["kept"], took["plain"], strict=True)]
    each = f"{median(cpu['kept']):.0f} µs an image, without {median(cpu['plain']):.0f} µs"
    calls = f"calls of {setting.delay * 1e3:.0f} ms"
    return [
        figure(f"CPU that a ledger adds over a call's, {where}", share, setting.goal, note=each),
        figure(f"time that a ledger adds to a call, {where}", later, 2.0, unit="ms", note=calls),
    ]


def _of_hashing(setting: Setting, call: float) -> Row:
    return figure(
        f"hashing in it, over a call's CPU, {setting.at_once} at once", [hashing_cost() / call for _ in range(9)]
    )


# ---------------------------------------------------------------------------------------------------------------------
# Rows


def of_marks(call: float, *, quick: bool) -> list[Row]:
    """Compare with aiosqlite, row for row and item for item; ours are always on the disk."""
    found = apart(ledger_marks.measure, 200 if quick else 2000, 2 if quick else 9)
    goals = {"row FULL": 12.0, "row NORMAL": 5.0, "row FULL together": None, "item FULL": None, "item NORMAL": None}
    rows = [row for name, goal in goals.items() for row in _over_aiosqlite(name, goal, found)]
    share = [seconds * 1e6 / call for seconds in found["CPU row"]]
    return [*rows, figure("CPU of a row over a call's, 64 at once", share, 0.25, note=_each(found, "CPU row"))]


def _over_aiosqlite(name: str, goal: float | None, found: dict[str, list[float]]) -> list[Row]:
    what, _, how = name.partition(" ")
    faster = f"{what}s a second, on the disk, over aiosqlite with a commit each, {how}"
    cheaper = f"CPU of {'an item' if what == 'item' else 'a row'} over aiosqlite's, {how}"
    if why := missing("aiosqlite"):
        return [unmeasured(faster, why, goal, at_least=True), unmeasured(cheaper, why)]
    rates = f"{1 / median(found[what]):,.0f}/s over {1 / median(found[name]):,.0f}/s"
    each = f"{_each(found, f'CPU {what}')} over {_each(found, f'CPU {name}')}"
    return [
        compared(faster, found[what], found[name], goal, faster=True, note=rates),
        compared(cheaper, found[f"CPU {what}"], found[f"CPU {name}"], note=each),
    ]


def _each(found: dict[str, list[float]], name: str) -> str:
    return f"{median(found[name]) * 1e6:.0f} µs"


# ---------------------------------------------------------------------------------------------------------------------
# A large folder


class Listed(NamedTuple):
    """The cost of listing a folder.

    Attributes:
        first: Seconds until the first call began.
        rate: Files a second, while calls are made.
        peak: MiB.
    """

    first: float
    rate: float
    peak: float


async def _listed(folder: Path, run: Path) -> Listed:
    began, first = time.perf_counter(), list[float]()

    def note(event: Event) -> None:
        if isinstance(event, AttemptStarted) and not first:
            first.append(time.perf_counter() - began)

    async with (
        Emulator(concurrency=None, latency=0.2) as clova,
        ClovaOCRClient(Domain(clova.url(), clova.secret), hooks=[note]) as client,
        SqliteLedger(run) as ledger,
    ):
        listing = WorkList(ledger, "receipt", entries_in(folder))
        async with BatchDispatcher(client, ledger=ledger).dispatch(listing, Receipt) as outcomes:
            async for _ in outcomes:
                if listing.complete:
                    break
        took = time.perf_counter() - began
    return Listed(first[0], listing.listed / took, peak_memory())


def listed(folder: Path, run: Path) -> Listed:
    """List a folder while its first images are read; in a process of its own."""
    return asyncio.run(_listed(folder, run))


async def _hashed(paths: list[Path]) -> float:
    readers, loader, left = CapacityLimiter(READER_THREADS), ImageLoader(ImageLimits()), iter(paths)

    async def work() -> int:
        return sum([bool((await read_hashed(path, loader, limiter=readers)).sha256) for path in left])

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work()) for _ in range(WORKERS)]
    return sum(worker.result() for worker in workers) / (time.perf_counter() - began)


def hashed(folder: Path, most: int) -> float:
    """Return how many small files a second a batch reads and hashes; in a process of its own."""
    return asyncio.run(_hashed(list(itertools.islice(folder.rglob("*.jpg"), most))))


def large_folder(place: Path, files: int) -> Path:
    """Make a folder of folders of a thousand files."""
    folder = place / "large"
    for number in range(files):
        if number % 1000 == 0:
            (folder / f"{number // 1000}").mkdir(parents=True)
        (folder / f"{number // 1000}" / f"scan-{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0 %d \xff\xd9" % number)
    return folder


def of_large_folder(files: int) -> list[Row]:
    """List a large folder twice: as a new run, and as one that was begun."""
    with tempfile.TemporaryDirectory(dir=MEMORY if Path(MEMORY).is_dir() else None) as place:
        folder = large_folder(Path(place), files)
        found = {what: apart(listed, folder, Path(place) / "run") for what in ("new", "resumed")}
        rates = [apart(hashed, folder, HASHED) for _ in range(3)]
    rows_ = itertools.chain.from_iterable(_of_listing(what, files, one) for what, one in found.items())
    return [*rows_, figure("small files read and hashed a second", rates, unit="files/s")]


def _of_listing(what: str, files: int, found: Listed) -> list[Row]:
    run = f"a {what} run of {files:,} files"
    return [
        figure(f"first call of {run} after", [found.first], 1.0, unit="s"),
        figure(f"files listed a second behind the calls, {run}", [found.rate], unit="files/s"),
        figure(f"peak memory of {run}", [found.peak], unit="MiB"),
    ]


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    (wide, call), (narrow, _) = (of_batches(setting, quick=quick) for setting in SETTINGS)
    return [*wide, *narrow, *of_marks(call, quick=quick), *of_large_folder(FILES // 100 if quick else FILES)]


if __name__ == "__main__":
    alone(rows)
