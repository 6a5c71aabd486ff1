"""Runs in PostgreSQL for tests, and statements in their databases."""

from __future__ import annotations

import os
import signal
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from clova_ocr_async.ledger.postgres.ledger import PostgresLedger
from support.ledgers import ANSWER, claimed, item, read, source

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from clova_ocr_async.ledger import Seal

__all__ = ["database_of", "execute", "frozen_backends", "read_images"]


def execute(url: str, statement: Any, *values: object) -> list[tuple[Any, ...]]:
    """Run a statement in the database of a URL, and return its rows."""
    with closing(psycopg.connect(url.partition("?")[0], autocommit=True)) as db:
        done = db.execute(statement, values)
        return done.fetchall() if done.description else []


def database_of(url: str) -> str:
    """Return the name of the database of a URL."""
    return url.partition("?")[0].rpartition("/")[2]


@contextmanager
def frozen_backends(url: str) -> Generator[Callable[[], None]]:
    """Give a function that freezes the server's processes for the connections to a database; they go on at the end."""
    frozen: list[int] = []

    def freeze() -> None:
        others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        for (pid,) in execute(url, others):
            os.kill(pid, signal.SIGSTOP)
            frozen.append(pid)

    try:
        yield freeze
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)


async def read_images(url: str, *names: str, seal: Seal | None = None, **settings: Any) -> None:
    """Leave a run with images that were read."""
    async with PostgresLedger(url, seal=seal, **settings) as ledger:
        for name in names:
            claim = claimed(await ledger.admit(item(name), source(name)))
            await ledger.sending(claim, name)
            await ledger.answered(claim, name, ANSWER)
            await ledger.settle(claim, read(name))
