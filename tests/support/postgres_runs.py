"""Runs in PostgreSQL for tests, and statements in their databases."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg

from clova_ocr_async.ledger.postgres.ledger import PostgresLedger
from support.ledgers import ANSWER, claimed, item, read, source

if TYPE_CHECKING:
    from clova_ocr_async.ledger import Seal

__all__ = ["database_of", "execute", "read_images"]


def execute(url: str, statement: Any, *values: object) -> list[tuple[Any, ...]]:
    """Run a statement in the database of a URL, and return its rows."""
    with closing(psycopg.connect(url.partition("?")[0], autocommit=True)) as db:
        done = db.execute(statement, values)
        return done.fetchall() if done.description else []


def database_of(url: str) -> str:
    """Return the name of the database of a URL."""
    return url.partition("?")[0].rpartition("/")[2]


async def read_images(url: str, *names: str, seal: Seal | None = None, **settings: Any) -> None:
    """Leave a run with images that were read."""
    async with PostgresLedger(url, seal=seal, **settings) as ledger:
        for name in names:
            claim = claimed(await ledger.admit(item(name), source(name)))
            await ledger.sending(claim, name)
            await ledger.answered(claim, name, ANSWER)
            await ledger.settle(claim, read(name))
