"""A batch that may kill itself: ``worker.py FOLDER RUN LEASE [POINT COUNT]``; its domain is in the environment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from clova_ocr_async import BatchDispatcher, ClovaOCRClient, Receipt
from clova_ocr_async.batch.sources.folders import entries_in
from clova_ocr_async.batch.sources.worklist import WorkList
from clova_ocr_async.cli.runs.failures import write_failures
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.run_view import RunReader

if TYPE_CHECKING:
    from collections.abc import Callable

SLOTS = 5
"""Calls at once."""

POINTS = [
    (f"{when} commit of {what}", times)
    for what, visits in {
        "claim": (1, 3, 20),
        "sent": (1, 4, 9),
        "refused": (1, 2),
        "maybe billed": (1, 2),
        "answered": (1, 3, 8),
        "settled": (1, 3),
        "list": (1, 2),
        "hand out": (1, 2),
        "look": (1, 2),
        "lease": (1, 2),
        "close": (1,),
    }.items()
    for when in ("before", "after")
    for times in visits
]
"""Every place where the ledger's thread can be killed, and at which of its visits."""

RENAMES = [("before rename", 1), ("after rename", 1)]
"""The path of the list of unread images, if there are any."""


def killer(point: str, count: int) -> Callable[[str], None]:
    """Return a watch that kills this process when it comes to a point for the given time."""
    left = count

    def watch(where: str) -> None:
        nonlocal left
        if where == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return watch


async def main(folder: str, run: str, lease: str, point: str = "", count: str = "0") -> None:
    """Read a folder to its end, or to the point."""
    watch = killer(point, int(count))
    ledger = SqliteLedger(run, lease=float(lease), watch=watch)
    async with ClovaOCRClient.from_env(concurrency=SLOTS) as client, ledger:
        listing = WorkList(ledger, "receipt", entries_in(folder))
        async with BatchDispatcher(client, 16, ledger=ledger).dispatch(listing, Receipt) as outcomes:
            async for _ in outcomes:
                pass
    with RunReader(run) as reader:
        write_failures(Path(run), reader, watch)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
