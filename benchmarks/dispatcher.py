"""The cost of keeping many images in work: CPU of an item, throughput, memory and the wait for the first result.

CPU, memory and the wait are those of the dispatcher alone: the client is a stub, whose calls only give way to the
event loop once, with the notes a call makes in its journal. Throughput is measured with the real client, over HTTP, at
50 ms a call; the ideal would be all slots busy all the time. Two scenes have no option at all, so that the images in
work follow the slots: a pool of four domains with 64 slots together, and five slots with images of 10 MiB, files or in
memory, with a ledger and without.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import tempfile
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar, cast

from frame import (
    KIB,
    MIB,
    PICTURE,
    Effort,
    Row,
    alone,
    apart,
    apart_in_turn,
    compared,
    effort,
    figure,
    forget_peak,
    in_turn_async,
    missing,
    peak_memory,
    picture,
    unmeasured,
)
from sink import sink
from strategies import STRATEGIES

from clova_ocr_async import (
    BatchDispatcher,
    Billing,
    ClovaOCRClient,
    Domain,
    GateState,
    Image,
    ImageLimits,
    Receipt,
    Recognition,
    Success,
    images_in,
)
from clova_ocr_async.client import Attempt, Journal
from clova_ocr_async.client.journal import NULL_JOURNAL
from clova_ocr_async.client.loading import ImageLoader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

AT_ONCE = 64
ITEMS = 5_000
MANY = 100_000
LATENCY = 0.05  # seconds
THROUGHPUT = {16: 0.88, 64: 0.80}
"""Our share of the ideal that is wanted, by the calls at once."""
WAVES = 40  # calls of each slot
POOL = (16, 16, 16, 16)  # slots of each domain of a pool
SLOW = 0.2  # seconds of a call of the scenes without an option
LARGE = 10 * MIB
FEW = 5  # slots, where the images are large
MOST_GROWTH = 60.0 + 9 * LARGE / MIB
"""MiB that a process may grow by with five slots: as much as without images, and those of five slots and four more."""
OVER_POOL, MOST_CPU = 6.5, 12.0
"""The CPU of an item over a bare pool's, and in µs: what the parts of a batch take that README.md lists."""
OTHERS = {"gather": "gather with a semaphore", "aiometer": "aiometer", "anyio streams": "anyio streams, in and out"}
"""Strategies that only inform, and what they are called here."""

_ATTEMPT = Attempt("", 1, "receipt", "")
_READ = Recognition(document=Receipt())


class InstantClient:
    """A client whose calls end when all other tasks have had a turn."""

    gates: ClassVar = {"a domain": GateState(64)}
    on_hold: ClassVar = dict[str, str]()
    loader: ClassVar = ImageLoader(ImageLimits())

    def serving(self, document: Any) -> tuple[str, ...]:  # noqa: ARG002 - the client's signature
        """Return the only domain."""
        return tuple(self.gates)

    async def recognize(self, image: Any, document: Any, **given: Any) -> Recognition[Receipt]:  # noqa: ARG002 - the client's signature
        """Note in the journal what a call notes, and give way once."""
        journal: Journal = given.get("journal", NULL_JOURNAL)
        journal.sending(_ATTEMPT)
        await asyncio.sleep(0)
        journal.finished(Billing.BILLED, 0, b"")
        return _READ


def present() -> list[str]:
    """Return the strategies whose packages are installed."""
    return [name for name in STRATEGIES if name != "aiometer" or not missing("aiometer")]


# ---------------------------------------------------------------------------------------------------------------------
# CPU


async def _cpu(name: str, items: int) -> float:
    read = itertools.count()
    # An image in memory: for anything else the dispatcher would ask the file system.
    images = itertools.repeat(Image(PICTURE), items)
    gc.collect()  # else the next measurement pays for what the earlier ones have left
    began = time.process_time()
    await STRATEGIES[name](cast("ClovaOCRClient", InstantClient()), images, AT_ONCE, lambda _: next(read))
    spent = time.process_time() - began
    assert next(read) == items  # noqa: S101 - else it is something else that is measured
    return spent / items * 1e6


def cpu(names: Sequence[str], items: int, rounds: int) -> dict[str, list[float]]:
    """Return microseconds of CPU for an item, by strategy; in a process of its own."""
    return asyncio.run(in_turn_async({name: partial(_cpu, name, items) for name in names}, rounds))


def cpu_rows(items: int, much: Effort) -> list[Row]:
    """Compare the CPU."""
    found = apart_in_turn(much, cpu, present(), items)
    over_pool = "dispatcher, CPU of an item over workers that share an iterator"
    each = ", ".join(f"{name} {median(costs):.1f} µs" for name, costs in found.items())
    rows = [
        compared(over_pool, found["ours"], found["pool"], OVER_POOL, note=each),
        figure("dispatcher, CPU of an item", found["ours"], MOST_CPU, unit="µs"),
        compared("dispatcher, CPU of an item over such workers and a queue", found["ours"], found["pool and queue"]),
    ]
    return rows + [_over(name, called, found) for name, called in OTHERS.items()]


def _over(name: str, called: str, found: dict[str, list[float]]) -> Row:
    question = f"dispatcher, CPU of an item over {called}"
    if name not in found:
        return unmeasured(question, missing(name) or "", 1.0)
    gain = "a batch costs {} times the CPU of gather with a semaphore" if name == "gather" else ""
    return compared(question, found["ours"], found[name], 1.0, gain=gain)


# ---------------------------------------------------------------------------------------------------------------------
# Throughput


async def _shares(url: str, at_once: int, waves: int, rounds: int) -> dict[str, list[float]]:
    """Return shares of the ideal, by strategy."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ClovaOCRClient(Domain(url, "s"), concurrency=at_once))
        items = at_once * waves

        async def share(name: str) -> float:
            images = itertools.repeat(Image(PICTURE + bytes(20 * KIB)), items)
            began = time.perf_counter()
            await STRATEGIES[name](client, images, at_once, lambda _: None)
            return waves * LATENCY / (time.perf_counter() - began)

        return await in_turn_async({name: partial(share, name) for name in present()}, rounds)


def shares(url: str, at_once: int, waves: int, rounds: int) -> dict[str, list[float]]:
    """Run ``_shares``, in a process of its own."""
    return asyncio.run(_shares(url, at_once, waves, rounds))


def throughput_rows(waves: int, rounds: int) -> list[Row]:
    """Compare the throughput with the ideal, and with the best strategy's."""
    rows = list[Row]()
    with sink(LATENCY) as server:
        for at_once, goal in THROUGHPUT.items():
            found = apart(shares, server.url, at_once, waves, rounds)
            each = ", ".join(f"{name} {median(values):.2f}" for name, values in found.items())
            best = max(found, key=lambda name: median(found[name]))
            where = f"at 50 ms, {at_once} at once"
            over = [mine / his for mine, his in zip(found["ours"], found[best], strict=True)]
            rows += [
                figure(f"throughput over the ideal, {where}", found["ours"], goal, at_least=True, note=each),
                figure(
                    f"throughput over the best strategy's, {where}", over, 0.95, at_least=True, note=f"best: {best}"
                ),
            ]
    return rows


# ---------------------------------------------------------------------------------------------------------------------
# Memory and the first result


async def _many(name: str, items: int) -> tuple[float, float]:
    firsts = list[float]()

    def take(_: object) -> None:
        if not firsts:
            firsts.append(time.perf_counter() - began)

    images: Iterator[Any] = (Image(PICTURE, str(number)) for number in range(items))
    client = cast("ClovaOCRClient", InstantClient())
    await STRATEGIES[name](client, [None] * AT_ONCE, AT_ONCE, lambda _: None)  # imports what it needs
    before, began = forget_peak(), time.perf_counter()
    await STRATEGIES[name](client, images, AT_ONCE, take)
    return peak_memory() - before, firsts[0]


def many(name: str, items: int) -> tuple[float, float]:
    """Return the MiB a process grows by, and the seconds to its first result; in a process of its own."""
    return asyncio.run(_many(name, items))


def memory_rows(items: int, times: int) -> list[Row]:
    """Compare memory and the wait for the first result."""
    found = {name: [apart(many, name, items) for _ in range(times)] for name in present()}
    grown = {name: [memory for memory, _ in costs] for name, costs in found.items()}
    first = {name: [seconds for _, seconds in costs] for name, costs in found.items()}
    memory = ", ".join(f"{name} {median(costs):.1f} MiB" for name, costs in grown.items())
    waits = ", ".join(f"{name} {median(costs) * 1e3:.1f} ms" for name, costs in first.items())
    return [
        figure(f"memory that a batch of {items:,} grows by", grown["ours"], 5.0, unit="MiB", note=memory),
        compared(
            f"wait for the first of {items:,} results over gather with a semaphore",
            first["ours"],
            first["gather"],
            0.01,
            note=waits,
        ),
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Without an option


def pool_of(url: str, limits: Sequence[int]) -> ClovaOCRClient:
    """Return a client of several domains, as many calls at once for each."""
    urls = [url.replace("/custom/v1/1/", f"/custom/v1/{number}/") for number, _ in enumerate(limits, 1)]
    return ClovaOCRClient(*(Domain(one, "s", max_concurrency=limit) for one, limit in zip(urls, limits, strict=True)))


async def _read(client: ClovaOCRClient, images: Any, ledger: Path | None) -> int:
    async with BatchDispatcher(client, ledger=ledger).dispatch(images, Receipt) as outcomes:
        return sum([isinstance(outcome, Success) async for outcome in outcomes])


async def _pool_share(url: str, waves: int) -> float:
    images = (Image(PICTURE + number.to_bytes(20 * KIB)) for number in range(sum(POOL) * waves))
    async with pool_of(url, POOL) as client:
        await _read(client, [Image(PICTURE + bytes(20 * KIB))] * sum(POOL), None)  # connections are made once
        began = time.perf_counter()
        await _read(client, images, None)
        return waves * SLOW / (time.perf_counter() - began)


def pool_share(url: str, waves: int) -> float:
    """Return the share of the ideal that a pool gets, in a process of its own."""
    return asyncio.run(_pool_share(url, waves))


async def _growth(url: str, place: str, kind: str, count: int) -> float:
    folder, ledger = Path(place) / "in", Path(place) / "run" if "ledger" in kind else None
    images: Any = images_in(folder) if "files" in kind else (picture(LARGE) for _ in range(count))
    async with pool_of(url, [FEW]) as client:
        await _read(client, [picture(KIB)] * FEW, None)  # imports what it needs
        before = forget_peak()
        assert await _read(client, images, ledger) == count  # noqa: S101 - else it is something else that is measured
        return peak_memory() - before


def growth(url: str, place: str, kind: str, count: int) -> float:
    """Return the MiB that a process grows by while it reads large images; in a process of its own."""
    return asyncio.run(_growth(url, place, kind, count))


def free_rows(waves: int, times: int) -> list[Row]:
    """Measure what the images in work do when nothing bounds them."""
    with sink(SLOW) as server:
        pool = [apart(pool_share, server.url, waves) for _ in range(times)]
        rows = [figure("throughput over the ideal, no option, a pool of 64 slots, 200 ms", pool, 0.9, at_least=True)]
        for kind in ("files", "files, with a ledger", "in memory"):
            grown = list[float]()
            for _ in range(times):
                with tempfile.TemporaryDirectory() as place:
                    (Path(place) / "in").mkdir()
                    for number in range(8 * FEW):
                        (Path(place) / "in" / f"{number}.png").write_bytes(picture(LARGE))
                    grown.append(apart(growth, server.url, place, kind, 8 * FEW))
            rows.append(figure(f"memory, five slots, 10 MiB images, {kind}", grown, MOST_GROWTH, unit="MiB"))
    return rows


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    found = cpu_rows(ITEMS // 5 if quick else ITEMS, effort(4, quick=quick))
    found += throughput_rows(5 if quick else WAVES, 1 if quick else 7)
    found += memory_rows(MANY // 10 if quick else MANY, 1 if quick else 5)
    found += free_rows(5 if quick else WAVES, 1 if quick else 5)
    return found


if __name__ == "__main__":
    alone(rows)
