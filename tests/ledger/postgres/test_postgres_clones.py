"""Copies of a whole database, as dumps make them: a run in a copy would pay for what its original pays for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.ledgers import ANSWER, Clock, claimed, dead_process, item, read, source
from support.postgres_runs import database_of, execute, read_images
from support.stores import crash_postgres

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger import PostgresLedger
from clova_ocr_async.ledger.copy import copy_run
from clova_ocr_async.ledger.overflow_records import AnswerRecord
from clova_ocr_async.ledger.postgres import purge
from clova_ocr_async.ledger.postgres.database_identity import DatabaseIdentity
from clova_ocr_async.ledger.postgres.overflow_place import overflow_files_of
from clova_ocr_async.ledger.postgres.run_rows import PostgresRunRows
from clova_ocr_async.ledger.postgres.run_view import PostgresRunReader
from clova_ocr_async.ledger.run_settings import LEASE
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite.run_rows import SqliteRunRows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.servers import PostgresServer

pytestmark = pytest.mark.server


@pytest.fixture
def cloned(run: str, postgres_server: PostgresServer) -> Callable[[], str]:
    """Makes a copy of the run's database beside it, and returns the URL of the run there."""

    def clone() -> str:
        name = database_of(run)
        postgres_server.psql(f'CREATE DATABASE "{name}_copy" TEMPLATE "{name}"')
        return run.replace(name, f"{name}_copy")

    return clone


async def test_a_run_in_a_copy_of_its_database_is_refused(run: str, cloned: Callable[[], str]) -> None:
    """Two copies would pay for the same images: the second is worked on only if a user says that it is the only one."""
    await read_images(run, "a")
    copy = cloned()
    with pytest.raises(LedgerError, match=r"this database is a copy.*--run-moved"):
        await PostgresLedger(copy).__aenter__()
    await read_images(copy, "b", moved=True)
    await read_images(copy, "c")
    await read_images(run, "d")
    with PostgresRunReader(copy) as view:
        assert view.status().calls == 3


@pytest.fixture
def restore(run: str, postgres_server: PostgresServer) -> Callable[[], None]:
    """Drops the run's database, and makes it anew with all it had, as a restore of a dump does."""

    def restore() -> None:
        name = database_of(run)
        execute(
            run,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()",
        )
        for statement in (
            f'CREATE DATABASE "{name}_dump" TEMPLATE "{name}"',
            f'DROP DATABASE "{name}"',
            f'ALTER DATABASE "{name}_dump" RENAME TO "{name}"',
        ):
            postgres_server.psql(statement)

    return restore


async def test_a_process_at_work_stops_where_its_database_is_made_anew(run: str, restore: Callable[[], None]) -> None:
    """A process that outlives a restore sends nothing into the copy, and keeps its answers for who goes on with it."""
    clock = Clock()
    async with PostgresLedger(run, clock=clock) as ledger:
        one, two = [claimed(await ledger.admit(item(name), source(name))) for name in "ab"]
        await ledger.sending(one, "a")
        restore()
        clock.now += LEASE / 2
        with pytest.raises(LedgerError, match=r"this database is a copy.*--run-moved"):
            await ledger.sending(two, "b")
        await ledger.answered(one, "a", ANSWER)
        assert "this database is a copy" in str(ledger.stop_reason)
        await ledger.settle(one, read("a"))
    assert execute(run, "SELECT count(*) FROM clova_ocr.answer") == [(0,)]
    assert execute(run, "SELECT state FROM clova_ocr.item ORDER BY id") == [("sent",), ("claimed",)]
    async with PostgresLedger(run, moved=True, clock=clock) as ledger:
        assert (await ledger.admit(item("a"), None)).entry.answer == ANSWER


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("SET token = 'another'", "another run has the place of this one"),
        ("SET moved_to = '/srv/run'", "this run was copied to /srv/run"),
        ("SET name = 'april'", "has no run 'march'"),
    ],
)
async def test_a_process_at_work_stops_where_another_run_has_its_place(run: str, change: str, message: str) -> None:
    """A process whose run was begun anew, moved or removed while it slept changes nothing of what is there now."""
    clock = Clock()
    ledger = PostgresLedger(run, clock=clock)
    async with ledger:
        claim = claimed(await ledger.admit(item("a"), source("a")))
        execute(run, f"UPDATE clova_ocr.run {change}")
        clock.now += LEASE / 2
        with pytest.raises(LedgerError, match=message):
            await ledger.sending(claim, "a")
    assert message in str(ledger.stop_reason)
    assert execute(run, "SELECT state FROM clova_ocr.item") == [("claimed",)]


async def test_a_copy_takes_no_answers_from_its_original(run: str, cloned: Callable[[], str]) -> None:
    """Results that this host keeps for the original are neither named, stored nor deleted by a copy of the database."""
    dead = PostgresLedger(run, process=dead_process())
    await dead.__aenter__()
    claim = claimed(await dead.admit(item("a"), source("a")))
    await dead.sending(claim, "a")
    dead._this_owner.overflow.keep(AnswerRecord(claim.number, "a", 200, None, ANSWER.body, 1.0))  # noqa: SLF001 - while the server is there, nothing else does
    await crash_postgres(dead)
    copy = cloned()
    (file,) = overflow_files_of(run)
    with PostgresRunReader(run) as there, PostgresRunReader(copy) as here:
        assert (len(there.status().overflow_files), here.status().overflow_files) == (1, ())
    assert purge(copy, NoSeal()).answers == 0
    with pytest.raises(LedgerError, match="this database is a copy"):
        await PostgresLedger(copy).__aenter__()
    assert file.exists()
    async with PostgresLedger(run) as ledger:
        assert (await ledger.admit(item("a"), None)).entry.answer == ANSWER
    assert not file.exists()


async def test_a_run_in_a_copy_of_its_database_is_not_copied(
    run: str, cloned: Callable[[], str], tmp_path: Path
) -> None:
    """What no ledger opens, as it is a copy that would pay as well, is not made a run of its own by another copy."""
    await read_images(run, "a")
    copy = cloned()
    with pytest.raises(LedgerError, match=r"this database is a copy.*--run-moved"):
        copy_run(PostgresRunRows(copy), SqliteRunRows(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    copy_run(PostgresRunRows(run), SqliteRunRows(tmp_path / "run"))


async def test_a_server_that_hides_its_identifier(run: str, postgres_server: PostgresServer) -> None:
    """Where a user may not read the server's identifier, the number of the database alone tells copies apart.

    The next opening by a user who may read it notes it.
    """
    await read_images(run, "a")
    role, database = f"hidden_{os.getpid()}", database_of(run)
    for statement in (
        f"CREATE ROLE {role} LOGIN",
        "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC",
        f"GRANT USAGE ON SCHEMA clova_ocr TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA clova_ocr TO {role}",
    ):
        postgres_server.psql(statement, database)
    worker = f"{postgres_server.url(database, role)}?run=march"
    await read_images(worker, "b")
    await read_images(f"{worker}2", "c")
    known = "SELECT system <> '' FROM clova_ocr.run ORDER BY id"
    assert execute(run, known) == [(True,), (False,)]
    await read_images(f"{run}2", "d")
    assert execute(run, known) == [(True,), (True,)]
    await read_images(f"{worker}2", "e")
    execute(run, "UPDATE clova_ocr.run SET system = '1'")  # as on another server, whose database has the same number
    with pytest.raises(LedgerError, match="this database is a copy"):
        await read_images(f"{run}2", "f")


def test_databases_are_compared_by_what_is_known() -> None:
    """Another server, or another database of one, is another place; what is not known tells nothing apart."""
    here = DatabaseIdentity("1", 5)
    assert here.is_same(DatabaseIdentity("", 5))
    assert DatabaseIdentity("", 5).is_same(here)
    assert not here.is_same(DatabaseIdentity("2", 5))
    assert not here.is_same(DatabaseIdentity("1", 6))
