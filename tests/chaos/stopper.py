"""A batch that stops itself, as SIGSTOP does, at a point of the ledger: ``stopper.py FOLDER RUN POINT``."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading

from clova_ocr_async import BatchDispatcher, ClovaOCRClient, Receipt
from clova_ocr_async.batch.sources.folders import entries_in
from clova_ocr_async.batch.sources.worklist import WorkList
from clova_ocr_async.ledger.sqlite import SqliteLedger


async def main(folder: str, run: str, point: str) -> None:
    """Read a folder, and be stopped once on the way."""
    points = [point]

    def watch(where: str) -> None:
        if where in points:
            points.clear()
            # To this thread, which so goes no further; another thread might take its time to stop this one too.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    async with ClovaOCRClient.from_env(concurrency=5) as client, SqliteLedger(run, watch=watch) as ledger:
        listing = WorkList(ledger, "receipt", entries_in(folder))
        async with BatchDispatcher(client, 16, ledger=ledger).dispatch(listing, Receipt) as outcomes:
            async for _ in outcomes:
                pass


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
