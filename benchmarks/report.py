"""The page of results: kept figures, the table in README.md, the plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import frame
import msgspec
from frame import Row, table

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).parent
RESULTS, PAGE, PLOT = HERE / "results.json", HERE / "README.md", HERE / "results.svg"
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
BEGIN, END = "<!-- results: written by all.py -->", "<!-- end of results -->"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a question.

    Attributes:
        title: The question, as its module puts it.
        machine: What it was measured on.
        rows: What was found.
    """

    title: str
    machine: str
    rows: list[Row]


def kept() -> dict[str, Answer]:
    """Return the answers found so far, by the question's module."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=dict[str, Answer]) if RESULTS.exists() else {}


def keep(answers: dict[str, Answer]) -> None:
    """Keep the answers, and write page and plot anew from them."""
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(answers)) + b"\n")
    before, _, after = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{_results(answers)}\n{END}{after.partition(END)[2]}", encoding="utf-8")
    if why := frame.missing("matplotlib"):
        print(f"no plot: {why}")
        return
    _draw([row for answer in answers.values() for row in answer.rows if _drawable(row)])


def _results(answers: dict[str, Answer]) -> str:
    rows = [row for answer in answers.values() for row in answer.rows]
    judged = [row for row in rows if row.goal is not None]
    met = sum(row.met is True for row in judged)
    parts = [*_gains(rows), f"{met} of {len(judged)} goals met.", "![Our figures over their goals](results.svg)"]
    machines = dict.fromkeys(answer.machine for answer in answers.values())
    parts += [f"Measured with {machine}." for machine in machines]
    parts += [f"### {answer.title}\n\n{table(answer.rows)}" for answer in answers.values()]
    return "\n" + "\n\n".join(parts) + "\n"


def _gains(rows: Iterable[Row]) -> list[str]:
    gains = [row.gain for row in rows if row.gain]
    return [f"**What a user gains:** {'; '.join(gains)}."] if gains else []


def _drawable(row: Row) -> bool:
    return bool(row.goal) and bool(row.ours)


def _draw(rows: list[Row]) -> None:
    """Draw a point a row: our figure over its goal, so that everything left of 1 is met."""
    import matplotlib as mpl  # noqa: PLC0415 - everything else works without it

    # The same results give the same file, byte for byte.
    mpl.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9})
    from matplotlib.figure import Figure  # noqa: PLC0415

    drawn: Any = Figure(figsize=(10, 1.2 + 0.26 * len(rows)), layout="constrained")
    axes = drawn.subplots()
    for height, row in enumerate(reversed(rows)):
        low, middle, high = _over_goal(row)
        color = "tab:blue" if row.met else "tab:red"
        axes.plot([low, high], [height, height], color=color, alpha=0.4, linewidth=3)
        axes.plot(middle, height, "o", color=color, markersize=5)
    _label(axes, rows)
    drawn.savefig(PLOT, metadata={"Date": None})


def _over_goal(row: Row) -> tuple[float, float, float]:
    assert row.goal and row.ours  # noqa: S101, PT018 - for the type checkers: only such rows are drawn
    low, high = row.spread or (row.ours, row.ours)
    if row.at_least:
        return row.goal / high, row.goal / row.ours, row.goal / (low or row.ours)
    return (low or row.ours) / row.goal, row.ours / row.goal, high / row.goal


def _label(axes: Any, rows: list[Row]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [row.question for row in reversed(rows)])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel("our figure over its goal: left of 1 the goal is met (bars: quartiles)")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
