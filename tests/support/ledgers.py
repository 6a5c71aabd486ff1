"""SQLite ledgers for tests: several owners of one run in one process, and queries of the run's file."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import sqlite3
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import Billing
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.states import Item, ItemEvent, Settlement, SourceFile, State
from clova_ocr_async.protocol.response import HTTPResponse, encode_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from clova_ocr_async.ledger.states import Admission, Claim, ListedFile

# Without a requestId, so it passes for the answer of any call.
ANSWER = HTTPResponse(
    200,
    encode_response(
        "",
        0,
        {
            "uid": "u",
            "name": "n",
            "inferResult": "SUCCESS",
            "receipt": {"result": {"storeInfo": {"name": {"text": "canarySHOP"}}}},
        },
    ),
)
FAILURE = HTTPResponse(200, encode_response("", 0, {"uid": "u", "name": "n", "inferResult": "FAILURE"}))

_pids = itertools.count(2_000_000_000)


def remote_process() -> Process:
    """Return a process that cannot be looked up from here, so only its lease decides."""
    return Process("", next(_pids), "")


def dead_process() -> Process:
    """Return a process of this machine that has certainly ended."""
    return Process(Process.this().place, next(_pids), "1")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        """Return seconds."""
        return self.now


class FullDisk:
    """A watch of a ledger under which the disk is full at the commits of some names."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.failed: list[str] = []

    def __call__(self, where: str) -> None:
        """Fail as SQLite does."""
        name = where.removeprefix("before commit of ")
        if name in self.names:
            self.failed.append(name)
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error


def item(text: str = "a", document: str = "receipt", page: int | None = None, recipe: str = "") -> Item:
    """Return an item."""
    return Item(hashlib.sha256(text.encode()).digest(), document, page, recipe)


def source(name: str, page: int | None = None) -> SourceFile:
    """Return a file name without a stamp."""
    return SourceFile(name.encode(), page=page)


def shown(files: Iterable[ListedFile | SourceFile]) -> list[str]:
    """Return files as people read them: the path, and the page if there is one."""
    return [os.fsdecode(file.path) + ("" if file.page is None else f"#{file.page}") for file in files]


def opened(folder: str | Path, **settings: Any) -> SqliteLedger:
    """Return a ledger that waits a millisecond wherever it waits."""
    return SqliteLedger(folder, **({"sleep": lambda _: asyncio.sleep(0.001)} | settings))


def claimed(admission: Admission) -> Claim:
    """Return the claim of an admission, which must have one."""
    assert admission.claim is not None
    return admission.claim


def read(request_id: str = "r") -> Settlement:
    """Return the settlement of a call that read its image."""
    return Settlement(ItemEvent.SUCCEED, Billing.BILLED, 1.0, b"", request_id)


def ambiguous(request_id: str = "r") -> Settlement:
    """Return the settlement of a call without an answer."""
    return Settlement(ItemEvent.MAYBE_BILLED, Billing.MAYBE_BILLED, 1.0, b'{"type":"ConnectionLostError"}', request_id)


def query(folder: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows of a statement on the run's file."""
    db = sqlite3.connect(folder / LEDGER)
    try:
        return db.execute(statement, values).fetchall()
    finally:
        db.close()


def states(folder: Path) -> list[str]:
    """Return the states of all items, in the order they were recorded."""
    return [state for (state,) in query(folder, "SELECT state FROM item ORDER BY id")]


def calls(folder: Path) -> int:
    """Return the number of calls that are counted."""
    return int(query(folder, "SELECT value FROM run WHERE name = 'calls'")[0][0])


def maybe_billed(folder: Path) -> int:
    """Return the number of calls that may have been billed and have no answer."""
    return int(query(folder, "SELECT coalesce(sum(maybe_billed), 0) FROM item")[0][0])


def answers(folder: Path) -> list[bytes]:
    """Return the bodies of the stored answers."""
    return [body for (body,) in query(folder, "SELECT body FROM answer ORDER BY id")]


async def until(folder: Path, *expected: State) -> None:
    """Wait until lazy settlements are committed."""
    await eventually(lambda: states(folder) == list(expected))


async def eventually(happened: Callable[[], object]) -> None:
    """Wait for an effect in another thread or in the file."""
    async with asyncio.timeout(60):
        while not happened():  # noqa: ASYNC110 - neither sets an event
            await asyncio.sleep(0.001)


def contents(folder: Path) -> list[bytes]:
    """Return the contents of the files of a folder."""
    return [path.read_bytes() for path in folder.iterdir()]


async def crash(ledger: SqliteLedger) -> None:
    """End a ledger as kill -9 does: nothing is given back, and its files stay without a process that locks them."""
    writer, owner = ledger._writer, ledger._this_owner  # noqa: SLF001 - no seam ends a process halfway
    await writer.stop()
    spill = owner._overflow  # noqa: SLF001 - as above
    assert spill is not None
    os.close(spill._descriptor)  # noqa: SLF001 - as above
