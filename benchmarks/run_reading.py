"""The cost of a look at a run: a dry run of files that the run has, and an export of its answers.

Both are the commands of the command line, over a run whose rows were written straight into its ledger. A batch that is
resumed asks the ledger for each file; the dry run is measured over that. The export is measured over decoding each
answer and encoding it again, without a ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

from decode import korean_receipt
from frame import Effort, Row, alone, apart_in_turn, compared, cpu_of, effort, in_turn
from sink import ANSWER

from clova_ocr_async import Receipt, SqliteLedger
from clova_ocr_async.batch.hashing import file_at
from clova_ocr_async.cli.app import app
from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.states import Item, ItemEvent, Settlement
from clova_ocr_async.protocol.response import HTTPResponse, decode_response
from clova_ocr_async.results.records import encode_record

AT_ONCE = 16  # files that a resumed batch asks for at the same time, about
KNOWN = 2_000  # files of the dry run
ROWS = 200  # of the export
_SETTLED = Settlement(ItemEvent.SUCCEED, Billing.BILLED, 0.1, request_id="r")


async def fill(run: Path, files: list[Path], body: bytes) -> None:
    """Write a run in which each of some files was answered with a body."""
    left = iter(files)

    async def work() -> None:
        for path in left:
            claim = (await ledger.admit(Item(os.urandom(32), "receipt"), file_at(path))).claim
            assert claim is not None  # noqa: S101 - a new item can be claimed
            await ledger.sending(claim, "r")
            await ledger.answered(claim, "r", HTTPResponse(200, body))
            await ledger.settle(claim, _SETTLED)

    async with SqliteLedger(run) as ledger, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())


async def recalled(run: Path, files: list[Path]) -> float:
    """Return the seconds of CPU in which a ledger finds the items of files."""
    left = iter(files)

    async def work() -> None:
        for path in left:
            file = file_at(path)
            entry = None if file is None else await ledger.recall(file, "receipt")
            assert entry is not None  # noqa: S101 - else it is something else that is measured

    async with SqliteLedger(run) as ledger:
        began = time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
        return time.process_time() - began


def command(*arguments: str | Path) -> str:
    """Run a command of the command line in this process, and return what it prints."""
    printed = io.StringIO()
    # A command ends with its exit code; the callers look at what it has done.
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(SystemExit),
    ):
        app([str(argument) for argument in arguments])
    return printed.getvalue()


def dry_run(run: Path, folder: Path) -> None:
    """Count what a batch of a folder would send: nothing."""
    counts = command("batch", "receipt", folder, "--run", run, "--dry-run").splitlines()
    assert "billable calls 0" in [" ".join(line.split()) for line in counts]  # noqa: S101 - else files are hashed


def looks(files: int, rounds: int) -> dict[str, list[float]]:
    """Return seconds of CPU for each file, of a dry run and of the ledger; in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        folder, run = Path(place) / "in", Path(place) / "run"
        folder.mkdir()
        paths = [folder / f"{number}.png" for number in range(files)]
        for path in paths:
            path.touch()
        asyncio.run(fill(run, paths, ANSWER))
        costs = in_turn(
            {
                "dry run": lambda: cpu_of(partial(dry_run, run, folder)),
                "recall": lambda: asyncio.run(recalled(run, paths)),
            },
            rounds,
        )
    return {name: [cost / files for cost in found] for name, found in costs.items()}


def decoded(body: bytes) -> bytes:
    """Return a record of an answer that was decoded and encoded again."""
    return encode_record({"result": decode_response(HTTPResponse(200, body), Receipt).to_dict()})


def exports(rows: int, rounds: int) -> dict[str, list[float]]:
    """Return seconds of CPU for each row, of an export and of its answer decoded; in a process of its own."""
    body = korean_receipt()
    with tempfile.TemporaryDirectory() as place:
        run, out = Path(place) / "run", Path(place) / "out.jsonl"
        paths = [Path(place) / str(number) for number in range(rows)]
        for path in paths:
            path.touch()
        asyncio.run(fill(run, paths, body))
        export = partial(command, "export", run, "--format", "jsonl", "-o", out, "--force")
        costs = in_turn(
            {"export": lambda: cpu_of(export), "decoded": lambda: cpu_of(lambda: decoded(body), rows)}, rounds
        )
        assert out.stat().st_size > rows * len(body) / 2  # noqa: S101 - else it is something else that is measured
    return {name: [cost / rows for cost in found] for name, found in costs.items()}


def _each(found: dict[str, list[float]], ours: str, other: str) -> str:
    return f"{median(found[ours]) * 1e6:.0f} µs over {median(found[other]) * 1e6:.0f} µs"


def known_row(files: int, much: Effort) -> Row:
    """Compare a dry run with the ledger's own search."""
    found = apart_in_turn(much, looks, files)
    question = "dry run, CPU of a file that the run has, over its recall by a batch"
    note = f"{_each(found, 'dry run', 'recall')}; before: 140 µs, where 50 would do"
    return compared(question, found["dry run"], found["recall"], 1.5, note=note)


def export_row(rows: int, much: Effort) -> Row:
    """Compare an export with decoding."""
    found = apart_in_turn(much, exports, rows)
    size = len(korean_receipt()) / 1000
    question = f"export as jsonl, CPU of a row with an answer of {size:.0f} KB, over decoding and encoding the answer"
    note = f"{_each(found, 'export', 'decoded')}; before: 1,105 µs; with its image object copied: 265 µs"
    return compared(question, found["export"], found["decoded"], 0.4, note=note)


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    much = effort(5, quick=quick)
    return [known_row(KNOWN // 10 if quick else KNOWN, much), export_row(ROWS // 10 if quick else ROWS, much)]


if __name__ == "__main__":
    alone(rows)
