"""What the ledger costs: CPU and time of a batch with one over the same batch without, and a folder of a million files.

The batches are run in turn, round after round, against a server in a process of its own; what counts is the median of
the rounds. The folder is made in memory and listed by a process of its own, new and resumed. Run it with
``nox -s bench``; ``--files 0`` leaves the folder out.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from whole_call import PICTURE, machine, sink

from clova_ocr_async import BatchDispatcher, ClovaOCRClient, Domain, Emulator, Receipt, SqliteLedger, Success, images_in
from clova_ocr_async.batch.listing import Listing
from clova_ocr_async.batch.sources import entries_in
from clova_ocr_async.client.hooks import AttemptStarted, Event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clova_ocr_async import Batch

ROUNDS = 9
SIZE = 100 * 1024  # bytes of a picture
BATCHES = [(64, 1000), (5, 400)]  # calls at once, pictures
WORKERS = 32  # of a dispatcher that is not told a number
DELAY = 0.05  # seconds a call takes where its time is measured
FILES = 1_000_000


@asynccontextmanager
async def batch(client: ClovaOCRClient, folder: Path, run: Path | None, workers: int) -> AsyncGenerator[Batch[Receipt]]:
    """Open a batch of a folder, with a ledger as the command line has it, or without."""
    if run is None:
        async with BatchDispatcher(client, workers).dispatch(images_in(folder), Receipt) as outcomes:
            yield outcomes
        return
    async with SqliteLedger(run) as ledger:
        listing = Listing(ledger, "receipt", entries_in(folder))
        async with BatchDispatcher(client, workers, ledger=ledger).dispatch(listing, Receipt) as outcomes:
            yield outcomes


async def cost(url: str, folder: Path, run: Path | None, at_once: int) -> tuple[float, float]:
    """Return microseconds of CPU for an image, and the milliseconds one takes, with that many at once."""
    async with ClovaOCRClient(Domain(url, "s"), concurrency=at_once) as client:
        cpu, began, read = time.process_time(), time.perf_counter(), 0
        async with batch(client, folder, run, max(WORKERS, at_once)) as outcomes:
            async for outcome in outcomes:
                read += isinstance(outcome, Success)
        spent, took = time.process_time() - cpu, time.perf_counter() - began
    return spent / read * 1e6, took / read * at_once * 1e3


def compare(place: Path, at_once: int, pictures: int) -> str:
    """Run batches with and without a ledger in turn: at full speed for the CPU, at a call's pace for the time."""
    folder = place / "scans"
    folder.mkdir()
    for number in range(pictures):
        (folder / f"{number}.png").write_bytes(PICTURE + os.urandom(SIZE - len(PICTURE)))
    with sink() as url:
        cpu = pairs(url, folder, at_once)
    with sink(DELAY) as url:
        times = pairs(url, folder, at_once)
    shutil.rmtree(folder)
    added = statistics.quantiles(((kept[0] - plain[0]) / plain[0] for plain, kept in cpu), n=4)
    later = statistics.median(kept[1] - plain[1] for plain, kept in times)
    call = statistics.median(plain[0] for plain, _ in cpu)
    hashing = hashing_cost() / call
    return (
        f"{at_once:>3} at once: the ledger adds {added[1]:.2f} ({added[0]:.2f}-{added[2]:.2f}) of a call's CPU "
        f"({call:.0f} µs), {hashing:.2f} of it the hashing, and {later:.1f} ms"
    )


def pairs(url: str, folder: Path, at_once: int) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the costs of rounds, without a ledger and with one."""

    def one(number: int | None) -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as place:
            return asyncio.run(cost(url, folder, None if number is None else Path(place) / "run", at_once))

    one(None)
    return [(one(None), one(number)) for number in range(ROUNDS)]


def hashing_cost() -> float:
    """Return microseconds that a picture's hash takes."""
    data = os.urandom(SIZE)
    began = time.process_time()
    for _ in range(200):
        hashlib.sha256(data).digest()
    return (time.process_time() - began) / 200 * 1e6


async def listed(folder: str, run: str) -> None:
    """List a folder while its first images are read, and print what that took; in a process of its own."""
    began, first = time.perf_counter(), list[float]()

    def note(event: Event) -> None:
        if isinstance(event, AttemptStarted) and not first:
            first.append(time.perf_counter() - began)

    async with (
        Emulator(concurrency=None, latency=0.2) as clova,
        ClovaOCRClient(Domain(clova.url(), clova.secret), hooks=[note]) as client,
        SqliteLedger(run) as ledger,
    ):
        listing = Listing(ledger, "receipt", entries_in(folder))
        async with BatchDispatcher(client, ledger=ledger).dispatch(listing, Receipt) as outcomes:
            async for _ in outcomes:
                if listing.whole:
                    break
        took = time.perf_counter() - began
    print(json.dumps({"first": first[0], "rate": listing.listed / took, "peak": peak_memory()}))


def peak_memory() -> float:
    """Return the most MiB this process has had; the kernel's other count begins with those of its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def a_million(place: Path, files: int) -> list[str]:
    """List a large folder twice: as a new run, and as one that was begun."""
    folder = place / "large"
    for number in range(files):
        if number % 1000 == 0:
            (folder / f"{number // 1000}").mkdir(parents=True)
        (folder / f"{number // 1000}" / f"scan-{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0 %d \xff\xd9" % number)
    lines: list[str] = []
    for what in ("new", "resumed"):
        told = subprocess.run(
            [sys.executable, __file__, "--list", str(folder), str(place / "run-large")],
            check=True,
            stdout=subprocess.PIPE,
        )
        found = json.loads(told.stdout)
        lines.append(
            f"{files:,} files, {what}: first call after {found['first']:.2f} s, listed at {found['rate']:,.0f} files/s "
            f"behind the calls, peak memory {found['peak']:.0f} MiB"
        )
    return lines


def main() -> None:
    """Print the costs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--list", nargs=2)
    options = parser.parse_args()
    if options.list:
        asyncio.run(listed(*options.list))
        return
    print(machine())
    print(f"Pictures of {SIZE // 1024} KiB; medians of {ROUNDS} rounds (25 %-75 %)")
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of one's own is made in it
    for at_once, pictures in BATCHES:
        with tempfile.TemporaryDirectory() as place:
            print(compare(Path(place), at_once, pictures), flush=True)
    if options.files:
        with tempfile.TemporaryDirectory(dir=memory) as place:
            print("\n".join(a_million(Path(place), options.files)))


if __name__ == "__main__":
    main()
