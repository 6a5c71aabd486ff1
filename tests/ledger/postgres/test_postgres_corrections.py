from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
import pytest
from support.ledgers import item
from support.postgres_runs import database_of, execute, read_images

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.corrections import Change, ChangeKind
from clova_ocr_async.ledger.postgres.corrections import PostgresCorrections
from clova_ocr_async.ledger.postgres.run_view import PostgresRunReader
from clova_ocr_async.ledger.seal import NoSeal

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.servers import PostgresServer

    from clova_ocr_async.ledger.postgres.connection import Database

pytestmark = pytest.mark.server

SHOP = Change(ChangeKind.CORRECT, "canaryMINJI", "result.storeInfo.name", "canaryOLD", "canaryNEW")
T = TypeVar("T")
SEAL = AESGCMSeal(b"k" * 32)


class Unacknowledged:
    """A database whose first word of a commit is lost, so that the transaction is tried again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.close = database.close

    def run(self, work: Callable[[Any], T]) -> T:
        """Do something in two transactions."""
        self._database.run(work)
        return self._database.run(work)


async def test_a_sealed_run_seals_what_people_change(run: str, postgres_server: PostgresServer) -> None:
    """A dump of a sealed run holds neither values nor names of people; only its key opens them."""
    await read_images(run, "a", seal=SEAL)
    with PostgresCorrections(run, SEAL) as record:
        correction = record.append(item("a"), SHOP, after=0)
    dump = postgres_server.dump(database_of(run))
    assert "canary" not in dump
    assert b"canary".hex() not in dump
    with PostgresRunReader(run, SEAL) as reader:
        assert list(reader.corrections()) == [correction]
    for seal in (AESGCMSeal(b"x" * 32), NoSeal()):
        with pytest.raises(LedgerError, match="key"):
            PostgresCorrections(run, seal).__enter__()


async def test_a_correction_is_never_changed(run: str) -> None:
    """The database itself refuses to change a correction."""
    await read_images(run, "a")
    with PostgresCorrections(run) as record:
        record.append(item("a"), SHOP, after=0)
    with pytest.raises(psycopg.errors.RaiseException, match="a correction is never changed"):
        execute(run, "UPDATE clova_ocr.correction SET made = 1")


async def test_corrections_of_runs_have_numbers_of_their_own(postgres_url: str) -> None:
    """Two runs of one database number their corrections apart, so that a copy keeps the numbers."""
    for name in ("march", "april"):
        await read_images(f"{postgres_url}?run={name}", "a")
        with PostgresCorrections(postgres_url, run=name) as record:
            assert [record.append(item("a"), SHOP, after=after).number for after in (0, 1)] == [1, 2]


async def test_a_correction_whose_commit_was_not_acknowledged_is_recorded_once(run: str) -> None:
    """If the connection is lost after the commit, the same correction is found, and none is recorded twice."""
    await read_images(run, "a")
    with PostgresCorrections(run, now=lambda: 7.0) as record:
        record._database = Unacknowledged(record._database)  # type: ignore[assignment]  # noqa: SLF001 - no seam loses what a server says
        assert record.append(item("a"), SHOP, after=0).number == 1
    with PostgresRunReader(run) as reader:
        assert [(one.number, one.at, one.change) for one in reader.corrections()] == [(1, 7.0, SHOP)]


async def test_two_people_get_numbers_of_their_own(run: str) -> None:
    """Corrections that come at the same time wait for each other: no number is given twice, and none is left out."""
    await read_images(run, "a", "b")

    def correct(name: str) -> None:
        with PostgresCorrections(run) as record:
            after = 0
            for _ in range(25):
                after = record.append(item(name), SHOP, after=after).number

    async with asyncio.TaskGroup() as people:
        for name in "ab":
            people.create_task(asyncio.to_thread(correct, name))
    with PostgresRunReader(run) as reader:
        assert [one.number for one in reader.corrections()] == list(range(1, 51))


async def test_corrections_go_on_after_the_server_was_away(run: str, postgres_server: PostgresServer) -> None:
    """While the server is away a correction fails after its patience; the same record goes on afterwards."""
    await read_images(run, "a")
    with PostgresCorrections(run, patience=0.0) as record:
        postgres_server.stop()
        try:
            with pytest.raises(LedgerError, match="try again once it works"):
                record.append(item("a"), SHOP, after=0)
        finally:
            postgres_server.start()
        assert record.append(item("a"), SHOP, after=0).number == 1


async def test_a_run_that_is_not_there_has_no_corrections(postgres_url: str, run: str) -> None:
    """Nothing is begun by a correction: neither tables nor a run."""
    with pytest.raises(LedgerError, match="has no run 'march'"):
        PostgresCorrections(run).__enter__()
    assert execute(postgres_url, "SELECT to_regclass('clova_ocr.run')") == [(None,)]
