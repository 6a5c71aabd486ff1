"""Writing results one by one, each on the disk before its worker goes on: our ledger, and aiosqlite as usually written.

A *row* is one answer kept. An *item* is all that a ledger writes of an image that is read: claimed, sent, answered,
settled. Sixty-four workers write at once. With aiosqlite each write is a transaction of its own, so that one that fails
takes no other with it; *together* is without that care, when a commit takes along what others have just written.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import tempfile
import time
from contextlib import AsyncExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frame import in_turn_async, missing
from sink import ANSWER

from clova_ocr_async import SqliteLedger
from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.states import Claim, Item, ItemEvent, Settlement
from clova_ocr_async.protocol.response import HTTPResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Write = Callable[[int], Awaitable[object]]

WORKERS = 64
_RESPONSE = HTTPResponse(200, ANSWER)
_SETTLED = Settlement(ItemEvent.SUCCEED, Billing.BILLED, 0.1, request_id="r")
_SCHEMA = """
    CREATE TABLE item (id INTEGER PRIMARY KEY, sha256 BLOB UNIQUE, state TEXT, request_id TEXT);
    CREATE TABLE answer (id INTEGER PRIMARY KEY, item INTEGER, request_id TEXT, status INTEGER, body BLOB);
"""
_ANSWER = "INSERT INTO answer (item, request_id, status, body) VALUES (?, 'r', 200, ?)"


async def _claimed(ledger: SqliteLedger) -> Claim:
    claim = (await ledger.admit(Item(os.urandom(32), "receipt"), None)).claim
    assert claim is not None  # noqa: S101 - a new item can be claimed
    return claim


async def our_row(stack: AsyncExitStack, place: Path) -> Write:
    """Keep an answer in our ledger."""
    ledger = await stack.enter_async_context(SqliteLedger(place / "run"))
    claim = await _claimed(ledger)
    await ledger.sending(claim, "r")
    return lambda _: ledger.answered(claim, "r", _RESPONSE)


async def our_item(stack: AsyncExitStack, place: Path) -> Write:
    """Take an item through our ledger."""
    ledger = await stack.enter_async_context(SqliteLedger(place / "run"))

    async def write(_: int) -> None:
        claim = await _claimed(ledger)
        await ledger.sending(claim, "r")
        await ledger.answered(claim, "r", _RESPONSE)
        await ledger.settle(claim, _SETTLED)

    return write


class _Database:
    """A database of aiosqlite's, with a table of items and one of answers.

    Args:
        db: The connection.
        together: Whether writes may share a commit by chance.
    """

    def __init__(self, db: Any, *, together: bool) -> None:
        self._db = db
        self._turn = nullcontext() if together else asyncio.Lock()

    async def write(self, statement: str, values: tuple[Any, ...]) -> int:
        """Write and commit; return the number of the row."""
        async with self._turn:
            cursor = await self._db.execute(statement, values)
            await self._db.commit()
        return int(cursor.lastrowid)


async def _opened(stack: AsyncExitStack, place: Path, synchronous: str, *, together: bool = False) -> _Database:
    db = await stack.enter_async_context(importlib.import_module("aiosqlite").connect(place / "results.sqlite"))
    await db.execute("PRAGMA journal_mode = WAL")
    await db.execute(f"PRAGMA synchronous = {synchronous}")
    await db.executescript(_SCHEMA)
    return _Database(db, together=together)


async def their_row(stack: AsyncExitStack, place: Path, synchronous: str, *, together: bool = False) -> Write:
    """Insert an answer with aiosqlite, and commit."""
    db = await _opened(stack, place, synchronous, together=together)
    return lambda number: db.write(_ANSWER, (number, ANSWER))


async def their_item(stack: AsyncExitStack, place: Path, synchronous: str) -> Write:
    """Take an item through its four states with aiosqlite, and commit each."""
    db = await _opened(stack, place, synchronous)

    async def write(_: int) -> None:
        number = await db.write("INSERT INTO item (sha256, state) VALUES (?, 'claimed')", (os.urandom(32),))
        await db.write("UPDATE item SET state = 'sent', request_id = 'r' WHERE id = ?", (number,))
        await db.write(_ANSWER, (number, ANSWER))
        await db.write("UPDATE item SET state = 'succeeded' WHERE id = ?", (number,))

    return write


CONTENDERS: dict[str, Callable[[AsyncExitStack, Path], Awaitable[Write]]] = {
    "row": our_row,
    "row FULL": partial(their_row, synchronous="FULL"),
    "row NORMAL": partial(their_row, synchronous="NORMAL"),
    "row FULL together": partial(their_row, synchronous="FULL", together=True),
    "item": our_item,
    "item FULL": partial(their_item, synchronous="FULL"),
    "item NORMAL": partial(their_item, synchronous="NORMAL"),
}
"""Ours, always on the disk, and aiosqlite's with its ``synchronous``."""


def present() -> list[str]:
    """Return the contenders that can take part."""
    return [name for name in CONTENDERS if name in {"row", "item"} or not missing("aiosqlite")]


async def written(name: str, count: int, cpu: list[float]) -> float:
    """Have workers write, and return seconds for one; note those of CPU."""
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write, left = await CONTENDERS[name](stack, place), iter(range(count))

        async def work() -> None:
            for number in left:
                await write(number)

        spent, began = time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(work())
        cpu.append((time.process_time() - spent) / count)
        return (time.perf_counter() - began) / count


async def _measured(count: int, rounds: int) -> dict[str, list[float]]:
    cpu = {name: list[float]() for name in present()}
    took = await in_turn_async({name: partial(written, name, count, cpu[name]) for name in present()}, rounds)
    return {**took, **{f"CPU {name}": found[1:] for name, found in cpu.items()}}


def measure(count: int, rounds: int) -> dict[str, list[float]]:
    """Return seconds for one write, by contender, and those of CPU, with "CPU" before; in a process of its own."""
    return asyncio.run(_measured(count, rounds))
