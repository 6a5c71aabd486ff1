"""A process that forks while its ledger is at work: ``forker.py RUN FORKS``.

Prints the seconds that the slowest child took; on standard error what went wrong, and nothing else.

The event loop and the ledger's thread work in threads of their own; the main thread forks, and each child uses SQLite,
asks the parent's ledger for something, and ends like any program.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import itertools
import os
import signal
import sqlite3
import sys
import threading
import time
from contextlib import closing, suppress

from clova_ocr_async.errors import Billing, LedgerError
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.states import Item, ItemEvent, Settlement
from clova_ocr_async.protocol.response import HTTPResponse

LONGEST = 20.0  # seconds that a child may take


class Work:
    """A ledger at work in a thread."""

    def __init__(self, run: str) -> None:
        self.ledger = SqliteLedger(run)
        self.over = threading.Event()
        self.begun = threading.Event()
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._thread.start()
        self.begun.wait(LONGEST)

    def end(self) -> None:
        """End the work in order."""
        self.over.set()
        self._thread.join()

    async def _main(self) -> None:
        async with self.ledger, asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(self._read())

    async def _read(self) -> None:
        while not self.over.is_set():
            item = Item(hashlib.sha256(b"%d" % next(self._numbers)).digest(), "receipt")
            admission = await self.ledger.admit(item, None)
            assert admission.claim is not None
            await self.ledger.sending(admission.claim, "r")
            await self.ledger.answered(admission.claim, "r", HTTPResponse(200, b"{}" * 1000))
            await self.ledger.settle(admission.claim, Settlement(ItemEvent.SUCCEED, Billing.BILLED, 1.0, b"", "r"))
            self.begun.set()


def child(ledger: SqliteLedger) -> int:
    """Do what a child may do; return its exit code."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (x)")
    gc.collect()
    try:
        ledger.add_files([], "receipt")
    except LedgerError as error:
        return 0 if "before this process was forked" in str(error) else 3
    return 4


def forked(ledger: SqliteLedger) -> str:
    """Fork, and return what was wrong with the child."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(int(LONGEST))
        sys.exit(child(ledger))
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return "" if status == 0 else f"a child ended with {status}"
        time.sleep(0.001)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "a child hung"


def main(run: str, forks: str) -> int:
    """Fork, again and again."""
    work = Work(run)
    wrong, longest = list[str](), 0.0
    for _ in range(int(forks)):
        began = time.monotonic()
        wrong += filter(None, [forked(work.ledger)])
        longest = max(longest, time.monotonic() - began)
    work.end()
    print(longest)  # noqa: T201 - its result
    print("\n".join(wrong), end="", file=sys.stderr)  # noqa: T201 - as above
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
