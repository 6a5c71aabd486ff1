"""The common parts of the questions of this folder: fair rounds, processes of their own, rows of a table.

A question is a module with ``rows(quick)``, which measures and returns rows, and which can be run alone; ``all.py``
runs them all. Only ratios between contenders that were measured in turn, in one run, count: the machine may be busy
with other work, and a round that is slow is slow for all.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import multiprocessing
import os
import platform
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from multiprocessing.connection import Connection

P = ParamSpec("P")
R = TypeVar("R")

PICTURE_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
PICTURE = (  # 1000 x 1000
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x03\xe8\x00\x00\x03\xe8\x08\x02\x00\x00\x00" + PICTURE_END
)
KIB, MIB = 1024, 1024 * 1024
PACKAGES = (
    *("aiohttp", "msgspec", "anyio", "tenacity", "httpx", "niquests", "requests", "orjson", "pydantic"),
    *("pyarrow", "xlsxwriter", "pandas"),
)
_RESET_PEAK = "5"  # Source: proc(5), clear_refs


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the table.

    Attributes:
        question: What was measured over what, in words.
        ours: The figure, the median of the rounds; None if it could not be measured, and ``note`` has the reason.
        goal: What it should be; None for a row that only informs.
        at_least: Whether the goal is a lower bound; else it is an upper one.
        spread: The quartiles.
        unit: What the figure counts; "x" for a ratio.
        note: What one must know to read it.
        gain: What a user gains by it, for the summary; part of a sentence.
    """

    question: str
    ours: float | None
    goal: float | None = None
    at_least: bool = False
    spread: tuple[float, float] | None = None
    unit: str = "x"
    note: str = ""
    gain: str = ""

    @property
    def met(self) -> bool | None:
        """True if the goal is met; None without a goal or a figure."""
        if self.goal is None or self.ours is None:
            return None
        return self.ours >= self.goal if self.at_least else self.ours <= self.goal


class Effort(NamedTuple):
    """The effort of a comparison: the number of processes, and of rounds in each."""

    processes: int
    rounds: int


def effort(rounds: int, *, quick: bool) -> Effort:
    """Return five processes of some rounds each; or, to see that everything runs, one of two."""
    return Effort(1, 2) if quick else Effort(5, rounds)


def compared(
    question: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    goal: float | None = None,
    *,
    faster: bool = False,
    note: str = "",
    gain: str = "",
) -> Row:
    """Make the row of two contenders of the same rounds: the median of the rounds' ratios.

    Args:
        question: What was measured over what.
        ours: Our cost in each round.
        theirs: That of the other, in the same rounds.
        goal: What the ratio should be.
        faster: Whether to print how many times cheaper we are, at least; else our cost over theirs, at most.
        note: What one must know to read it.
        gain: What a user gains; ``{}`` in it becomes the figure, ``{percent}`` the same in percent.
    """
    ratios = [his / mine if faster else mine / his for mine, his in zip(ours, theirs, strict=True)]
    return figure(question, ratios, goal, at_least=faster, note=note, gain=gain)


def figure(
    question: str,
    values: Sequence[float],
    goal: float | None = None,
    *,
    at_least: bool = False,
    unit: str = "x",
    note: str = "",
    gain: str = "",
) -> Row:
    """Make the row of a figure that was measured several times: its median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    return Row(
        question=question,
        ours=middle,
        goal=goal,
        at_least=at_least,
        spread=(low, high),
        unit=unit,
        note=note,
        gain=gain.format(spoken(middle), percent=f"{middle:.0%}"),
    )


def unmeasured(question: str, why: str, goal: float | None = None, *, at_least: bool = False) -> Row:
    """Make the row of something that cannot be measured here."""
    return Row(question=question, ours=None, goal=goal, at_least=at_least, note=why)


def missing(package: str) -> str | None:
    """Return why a contender cannot take part; None if it can."""
    return None if importlib.util.find_spec(package) else f"{package} is not installed"


def in_turn(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure contenders round after round, each round beginning with another of them.

    Args:
        contenders: Functions that do their work and return what it cost, by name.
        rounds: How many; before the first, each contender runs once for nothing.
    """
    costs = {name: list[float]() for name in contenders}
    for name in (*contenders, *_order(list(contenders), rounds)):
        costs[name].append(contenders[name]())
    return {name: found[1:] for name, found in costs.items()}


async def in_turn_async(
    contenders: Mapping[str, Callable[[], Awaitable[float]]], rounds: int
) -> dict[str, list[float]]:
    """Measure contenders as ``in_turn`` does, inside one event loop."""
    costs = {name: list[float]() for name in contenders}
    for name in (*contenders, *_order(list(contenders), rounds)):
        costs[name].append(await contenders[name]())
    return {name: found[1:] for name, found in costs.items()}


def _order(names: list[str], rounds: int) -> list[str]:
    return [name for number in range(rounds) for name in names[number % len(names) :] + names[: number % len(names)]]


def cpu_of(work: Callable[[], object], times: int = 1) -> float:
    """Return CPU seconds of this process, all its threads, for doing something some times."""
    began = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - began


async def cpu_of_calls(call: Callable[[], Awaitable[object]], calls: int, at_once: int) -> float:
    """Return CPU seconds of this process for a number of calls, so many at once."""
    left = iter(range(calls))

    async def work() -> None:
        for _ in left:
            await call()

    began = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
    return time.process_time() - began


def apart(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a function in a fresh process and return what it returns.

    Args:
        function: One that can be imported: of a module, not a closure.
        args: What it is given.
        kwargs: What it is given.
    """
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_tell, args=(there, function, args, kwargs))
    process.start()
    there.close()
    try:
        result: R = here.recv()
    finally:
        process.join()
    return result


def apart_in_turn(
    much: Effort, measure: Callable[..., dict[str, list[float]]], *args: object, **kwargs: object
) -> dict[str, list[float]]:
    """Run a function that measures rounds in several fresh processes, and return the rounds of all of them.

    What a process costs also depends on how its memory happened to be laid out: copies of some MiB took twice as long
    in one process as in the next, and the same in all rounds of each.

    Args:
        much: How many processes, and rounds.
        measure: One that can be imported, and returns costs by contender, or by something else.
        args: What it is given.
        kwargs: What it is given, besides ``rounds``.
    """
    found = [apart(measure, *args, rounds=much.rounds, **kwargs) for _ in range(much.processes)]
    return {name: [cost for costs in found for cost in costs[name]] for name in found[0]}


def _tell(there: Connection, function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    there.send(function(*args, **kwargs))


def peak_memory() -> float:
    """Return the most MiB this process has had; the kernel's other count begins with those of its parent."""
    return _status("VmHWM:")


def resident_memory() -> float:
    """Return the MiB this process has now."""
    return _status("VmRSS:")


def forget_peak() -> float:
    """Let the peak count anew from here; return the MiB this process has now."""
    Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
    return resident_memory()


def _status(name: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(name)[2].split()[0]) / 1024


def picture(size: int) -> bytes:
    """Return bytes that pass for a picture of some size."""
    return PICTURE + os.urandom(size - len(PICTURE) - len(PICTURE_END)) + PICTURE_END


def machine() -> str:
    """Return the machine and the versions that are measured."""
    return f"CPython {platform.python_version()}, {os.cpu_count()} cores, " + ", ".join(map(_version, PACKAGES))


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def spoken(value: float) -> str:
    """Write a figure with as many digits as it deserves."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def table(rows: Sequence[Row]) -> str:
    """Write rows as a Markdown table."""
    lines = ["| question | ours | goal | met | quartiles | note |", "|---|---:|---:|---|---|---|"]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    unit = row.unit if row.unit == "x" else f" {row.unit}"
    bound = "" if row.goal is None else f"{'≥' if row.at_least else '≤'} {spoken(row.goal)}{unit}"
    ours = "" if row.ours is None else f"{spoken(row.ours)}{unit}"
    spread = "" if row.spread is None else f"{spoken(row.spread[0])} to {spoken(row.spread[1])}"
    met = {None: "", True: "met", False: "**not met**"}[row.met]
    return row.question, ours, bound, met, spread, row.note


def alone(rows: Callable[[bool], list[Row]]) -> None:
    """Run one question from the command line and print its table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it runs, not to measure")
    quick = parser.parse_args().quick
    print(machine(), flush=True)
    print(table(rows(quick)))
