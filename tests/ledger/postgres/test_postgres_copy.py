from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import exported
from support.copies import Failing, Place
from support.ledgers import ANSWER, Clock, claimed, contents, item, read, remote_process, source
from support.postgres_runs import database_of, execute, frozen_backends, read_images
from support.random_runs import FATES, leave_run
from support.servers import free_port
from support.stores import PostgresRun, SqliteRun

from clova_ocr_async.errors import Billing, ConfigurationError, LedgerError
from clova_ocr_async.host.state_folder import user_state_folder
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.copy import compare_runs, copy_run
from clova_ocr_async.ledger.corrections import Change, ChangeKind
from clova_ocr_async.ledger.overflow_file import OverflowFile
from clova_ocr_async.ledger.overflow_records import RefusalRecord
from clova_ocr_async.ledger.postgres.connection import Database, find_holder
from clova_ocr_async.ledger.postgres.corrections import PostgresCorrections
from clova_ocr_async.ledger.postgres.errors import StoreAwayError
from clova_ocr_async.ledger.postgres.existing_run import lock_run
from clova_ocr_async.ledger.postgres.ledger import PostgresLedger
from clova_ocr_async.ledger.postgres.location import run_location
from clova_ocr_async.ledger.postgres.purge import purge
from clova_ocr_async.ledger.postgres.run_rows import PostgresRunRows
from clova_ocr_async.ledger.postgres.run_view import PostgresRunReader
from clova_ocr_async.ledger.postgres.schema import MIGRATIONS
from clova_ocr_async.ledger.run_rows import ItemRow
from clova_ocr_async.ledger.run_settings import LEASE
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite.run_rows import SqliteRunRows

if TYPE_CHECKING:
    from support.servers import PostgresServer

    from clova_ocr_async.ledger import RunView
    from clova_ocr_async.ledger.run_rows import Row

pytestmark = pytest.mark.server

SEAL = AESGCMSeal(b"k" * 32)
DONE = Change(ChangeKind.DONE, "minji")


def directory(folder: Path) -> Place:
    """Return a run directory."""
    run = SqliteRun(folder)
    return Place(run, run.rows())


def in_database() -> Place:
    """Return a run in a database that has others."""
    run = PostgresRun(Path())
    return Place(run, run.rows())


# ---------------------------------------------------------------------------------------------------------------------
# What is copied


@pytest.mark.usefixtures("postgres_server")
@settings(max_examples=10)
@given(st.lists(st.sampled_from(FATES), max_size=8), st.integers(0, 2), st.sampled_from([None, SEAL]))
def test_a_run_comes_back_as_it_was(fates: list[str], corrections: int, seal: AESGCMSeal | None) -> None:
    """Copied to a server, to another run there, and back, a run has the same rows and records, byte for byte."""
    with tempfile.TemporaryDirectory() as folder:
        one, back = directory(Path(folder) / "a"), directory(Path(folder) / "b")
        there, on = in_database(), in_database()
        asyncio.run(leave_run(one.run, fates, corrections, seal=seal))
        results = [copy_run(one.rows, there.rows), copy_run(there.rows, on.rows), copy_run(on.rows, back.rows)]
        assert len({result.digest for result in results}) == 1
        assert compare_runs(one.rows, back.rows) == compare_runs(there.rows, back.rows) == ()
        with one.run.view(seal=seal) as original, back.run.view(seal=seal) as copy, on.run.view(seal=seal) as server:
            assert list(original.records()) == list(copy.records())
            assert all_of(original) == all_of(copy) == all_of(server)


def all_of(view: RunView) -> list[object]:
    """Return all that a view shows, without the numbers of items, which each store gives in its own way."""
    records = [
        replace(record, entry=record.entry and replace(record.entry, number=0))
        for unread in (False, True)
        for record in view.records(unread=unread)
    ]
    to_read = [list(view.to_read("receipt", billings)) for billings in ([], [Billing.NOT_BILLED], list(Billing))]
    names = [view.documents(), view.own_columns("receipt"), view.own_columns("id-card"), list(view.ambiguous_names())]
    counts = [replace(view.status(), moved_to=None), view.answers(), view.pending(), view.other_base_folder("/usr")]
    return [*records, *to_read, *names, *counts, list(view.corrections())]


@pytest.mark.usefixtures("postgres_server")
async def test_an_export_of_a_copy_is_that_of_the_original(tmp_path: Path) -> None:
    """A run that was begun on a server has the same records in a folder."""
    one, two, three = in_database(), directory(tmp_path / "b"), directory(tmp_path / "c")
    await leave_run(one.run, FATES, 2)
    with one.run.view() as view:
        before = [(record.path, record.page, record.status, record.copy_of) for record in view.records()]
    result = copy_run(one.rows, two.rows)
    with two.run.view() as view:
        assert [(record.path, record.page, record.status, record.copy_of) for record in view.records()] == before
    records = exported(tmp_path / "b/run")
    copy_run(two.rows, one.rows)
    copy_run(one.rows, three.rows)
    assert exported(tmp_path / "c/run") == records
    async with three.run.open() as ledger:
        interrupting = FATES.index("interrupting")
        assert claimed(await ledger.admit(item(f"{interrupting} interrupting"), None)).interrupted == 2
    assert (result.items, result.answers, result.names, result.corrections) == (13, 8, 18, 4)


@pytest.mark.usefixtures("postgres_server")
async def test_work_goes_on_with_the_copy(tmp_path: Path) -> None:
    """A ledger opens the copy, settles what a killed process left, and sends nothing again that was paid."""
    one, two = directory(tmp_path), in_database()
    await leave_run(one.run, ["read", "claimed", "in_flight", "answered", "taken"], 3)
    copy_run(one.rows, two.rows)
    async with two.run.open() as ledger:
        assert (await ledger.admit(item("0 read"), None)).claim is None
        assert ledger.max_calls == 1_000
        assert len(await ledger.claim_files(["receipt"], 9)) == 2  # of the item that was claimed, and the taken file
        with two.run.correct() as record:
            assert record.append(item("0 read"), DONE, after=3).number == 4
    with two.run.view() as view:
        status = view.status()
    assert status.items == {"queued": 1, "succeeded": 2, "ambiguous": 1}
    assert (status.calls, status.billed, status.maybe_billed) == (3, 2, 1)


async def test_a_run_is_not_copied_to_itself(run: str) -> None:
    """Two URLs of one run are told at once from two runs: the copy does not wait for its own lock."""
    await read_images(run, "a")
    other_url = f"{run}&connect_timeout=9"
    with pytest.raises(LedgerError, match=r"there is a run in .*choose another place"):
        copy_run(PostgresRunRows(run), PostgresRunRows(other_url))
    await read_images(other_url, "b")


async def test_numbers_of_removed_corrections_are_not_used_again(run: str, tmp_path: Path) -> None:
    """A copy knows the newest number that a correction had, also after a purge has removed it."""
    await read_images(run, "a")
    with PostgresCorrections(run) as record:
        record.append(item("a"), DONE, after=0)
    purge(run, NoSeal())
    await read_images(run, "b")
    there = directory(tmp_path)
    copy_run(PostgresRunRows(run), there.rows)
    with there.run.correct() as corrections:
        assert corrections.append(item("b"), DONE, after=0).number == 2


# ---------------------------------------------------------------------------------------------------------------------
# The original


async def test_the_original_is_not_worked_on_any_more(run: str, tmp_path: Path) -> None:
    """No ledger opens the original, and nobody corrects it; it is read and purged as before, and names the copy."""
    there = directory(tmp_path)
    await read_images(run, "a")
    with PostgresCorrections(run) as record:
        copy_run(PostgresRunRows(run), there.rows)
        with pytest.raises(LedgerError, match="copied to"):
            record.append(item("a"), DONE, after=0)
    with pytest.raises(LedgerError, match=r"copied to .*/run on .*copy it back"):
        await PostgresLedger(run).__aenter__()
    with pytest.raises(LedgerError, match="copied to"):
        PostgresCorrections(run).__enter__()
    with PostgresRunReader(run) as view:
        assert (view.status().answers, view.status().moved_to) == (1, there.rows.place)
    assert purge(run, NoSeal()).answers == 1


async def test_a_process_that_slept_while_its_run_was_copied_sends_nothing(run: str, tmp_path: Path) -> None:
    """A process that wakes after its lease, and finds that the run was copied, is refused before it sends."""
    clock, later = Clock(), Clock()
    later.now += LEASE + 1
    there = directory(tmp_path)
    async with PostgresLedger(run, process=remote_process(), clock=clock) as ledger:
        claim = claimed(await ledger.admit(item("a"), source("a")))
        copy_run(PostgresRunRows(run, clock=later), there.rows)
        for now in (clock.now, later.now):  # before its lease is to be renewed, and with the renewal
            clock.now = now
            with pytest.raises(LedgerError, match="copied to"):
                await ledger.sending(claim, "r")
    with there.run.view() as view:
        assert view.status().calls == 0


async def test_a_copy_that_is_copied_back_replaces_the_original(run: str, tmp_path: Path) -> None:
    """A run that was marked as moved is replaced by its copy, with all that was added there, and is worked on again."""
    there, other = directory(tmp_path), f"{run}2"
    await read_images(run, "a")
    await read_images(other, "other")
    copy_run(PostgresRunRows(run), there.rows)
    async with there.run.open() as ledger:
        claim = claimed(await ledger.admit(item("b"), source("b")))
        await ledger.sending(claim, "b")
        await ledger.answered(claim, "b", ANSWER)
        await ledger.settle(claim, read("b"))
    copy_run(there.rows, PostgresRunRows(run))
    await read_images(run, "c")
    for url, names in ((run, ["a", "b", "c"]), (other, ["other"])):
        with PostgresRunReader(url) as view:
            assert [record.path for record in view.records()] == names
    with pytest.raises(LedgerError, match="copied to postgresql://"):
        await there.run.open().__aenter__()


# ---------------------------------------------------------------------------------------------------------------------
# Refusals


async def test_a_run_that_is_worked_on_is_not_copied(run: str, tmp_path: Path) -> None:
    """While a process has the original open there is no copy, and while a run is copied no process changes its row."""
    there = directory(tmp_path)
    async with PostgresLedger(run):
        with pytest.raises(LedgerError, match=r"1 process is at work on this run; .* then copy again"):
            copy_run(PostgresRunRows(run), there.rows)
    with PostgresRunRows(run).exporting("there"), pytest.raises(psycopg.errors.LockNotAvailable):
        execute(run, "SELECT FROM clova_ocr.run FOR UPDATE NOWAIT")
    async with PostgresLedger(run):
        pass


async def test_results_that_wait_in_an_overflow_file_come_first(run: str, tmp_path: Path) -> None:
    """A run of which this host has results that the server could not take is not copied."""
    await read_images(run, "a")
    ((token,),) = execute(run, "SELECT token FROM clova_ocr.run")
    folder = user_state_folder() / "clova_ocr_async" / "overflow"
    folder.mkdir(parents=True, exist_ok=True)
    waiting = OverflowFile(folder / f"0-{token}-host-99.overflow")
    waiting.append(RefusalRecord(1, "r"))
    waiting.close()
    with pytest.raises(
        LedgerError, match=r"99.overflow holds results that are not in postgresql://.* or move the file away"
    ):
        copy_run(PostgresRunRows(run), directory(tmp_path).rows)


async def test_tables_of_another_version_are_not_copied(run: str, tmp_path: Path) -> None:
    """A run in newer tables needs the newer version, on either side of a copy."""
    await read_images(run, "a")
    execute(run, "UPDATE clova_ocr.schema_version SET version = %s", len(MIGRATIONS) + 1)
    there = directory(tmp_path)
    with pytest.raises(LedgerError, match="update it"):
        copy_run(PostgresRunRows(run), there.rows)
    assert not (tmp_path / "run").exists()
    await leave_run(there.run, ["read"])
    with pytest.raises(LedgerError, match="update it"):
        copy_run(there.rows, PostgresRunRows(f"{run}2"))


async def test_a_run_is_not_copied_over_another_one(run: str, tmp_path: Path) -> None:
    """Neither a run that is worked on here is replaced, nor one that was moved to another place, nor itself."""
    there, third = directory(tmp_path / "a"), directory(tmp_path / "b")
    await leave_run(there.run, ["read"])
    await leave_run(third.run, ["read"])
    await read_images(run, "a")
    with pytest.raises(
        LedgerError, match=r"there is a run in postgresql://.*run=march; if it .* else choose another place"
    ):
        copy_run(there.rows, PostgresRunRows(run))
    with pytest.raises(LedgerError, match="both the run and the place of its copy"):
        copy_run(PostgresRunRows(run), PostgresRunRows(run))
    copy_run(PostgresRunRows(run), directory(tmp_path / "c").rows)
    with pytest.raises(LedgerError, match=r"there is a run in .*, which was moved to .*/c/run on"):
        copy_run(there.rows, PostgresRunRows(run))
    with pytest.raises(LedgerError, match=r"was moved to .*/c/run on .*, so it is not copied"):
        copy_run(PostgresRunRows(run), directory(tmp_path / "d").rows)


async def test_a_run_that_is_not_there_is_not_copied(run: str, tmp_path: Path) -> None:
    """Without tables, or without the run, nothing is copied and nothing is made."""
    with pytest.raises(LedgerError, match="has no run 'march'"):
        copy_run(PostgresRunRows(run), directory(tmp_path).rows)
    with pytest.raises(LedgerError, match="has no run 'march'"), PostgresRunRows(run).reading():
        pass
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------------------------------------------------------------
# Failures


async def test_a_copy_that_is_not_equal_is_removed(run: str, tmp_path: Path) -> None:
    """A copy with another row is told, by the kind of the row, and is gone; the original is worked on as before."""
    there = directory(tmp_path)
    await leave_run(there.run, ["read"])

    def changed(row: Row) -> Row:
        return msgspec.structs.replace(row, attempts=9) if isinstance(row, ItemRow) else row

    with pytest.raises(LedgerError, match=r"the copy has other items than .*, so it was removed"):
        copy_run(there.rows, Failing(PostgresRunRows(run), changed))
    with pytest.raises(LedgerError, match="has no run 'march'"):
        PostgresRunReader(run).__enter__()
    async with there.run.open():
        pass


async def test_a_copy_that_was_stopped_is_named_by_those_that_wait(run: str, tmp_path: Path) -> None:
    """A command that waits too long for a run that is copied names the copy's process and its host."""
    await read_images(run, "a")
    server = run_location(run)
    database = Database(server, 0.0, lock_wait=0.1)
    named = rf"waiting for others: clova-ocr ledger copy, process {os.getpid()} on .* has locked a run; .*kill -CONT"
    with PostgresRunRows(run).exporting(str(tmp_path)), pytest.raises(StoreAwayError, match=named):
        database.run(lambda db: lock_run(db, server))
    assert database.run(lambda db: lock_run(db, server)).calls == 1
    with psycopg.connect(run.partition("?")[0]) as other:
        other.execute("SELECT FROM clova_ocr.run FOR UPDATE")
        with pytest.raises(StoreAwayError, match="waiting for others; ") as raised:
            database.run(lambda db: lock_run(db, server))
    database.close()
    assert "kill" not in str(raised.value)


def test_without_the_server_no_copy_is_named(run: str, postgres_server: PostgresServer) -> None:
    """If the server goes away just then, the error of the wait is told without a name."""
    error = psycopg.errors.LockNotAvailable()
    nowhere = run_location(run.replace(f":{postgres_server.port}", f":{free_port()}"))
    assert find_holder(error, nowhere) == ""


async def test_a_server_that_goes_away_leaves_no_copy(
    run: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """If the server is lost before the copy appears, the same command makes it again once the server is back."""
    there = directory(tmp_path)
    await leave_run(there.run, ["read"])
    try:
        with pytest.raises(StoreAwayError, match="does not answer"):
            copy_run(there.rows, Failing(PostgresRunRows(run), publish=postgres_server.stop))
    finally:
        postgres_server.start()
    with pytest.raises(LedgerError, match="has no run"):
        PostgresRunReader(run).__enter__()
    with pytest.raises(LedgerError, match="copied to"):
        await there.run.open().__aenter__()
    assert copy_run(there.rows, PostgresRunRows(run)).answers == 1


async def test_a_password_stays_out_of_both_runs(run: str, tmp_path: Path, postgres_server: PostgresServer) -> None:
    """The place that a copy names has no password, and neither store keeps one."""
    there = directory(tmp_path)
    await leave_run(there.run, ["read"])
    with pytest.warns(UserWarning, match="has a password"):
        rows = PostgresRunRows(run.replace("clova_admin@", "clova_admin:canaryPASSWORD@"))
    result = copy_run(there.rows, rows)
    assert result.target == rows.place == run
    copy_run(rows, SqliteRunRows(tmp_path / "back"))
    assert "canaryPASSWORD" not in postgres_server.dump(database_of(run))
    assert not any(b"canaryPASSWORD" in content for name in ("run", "back") for content in contents(tmp_path / name))


async def test_a_role_without_rights_on_tables_of_its_own_works(
    run: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """A user with the rights that are documented looks, corrects, purges and copies both ways."""
    await read_images(run, "a")
    role = f"copier_{os.getpid()}"
    postgres_server.psql(f"CREATE ROLE {role} LOGIN")
    for right in (
        f"GRANT USAGE ON SCHEMA clova_ocr TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA clova_ocr TO {role}",
    ):
        postgres_server.psql(right, database_of(run))
    mine = run.replace("clova_admin@", f"{role}@")
    with PostgresCorrections(mine) as record:
        record.append(item("a"), DONE, after=0)
    with PostgresRunReader(mine) as view:
        assert view.status().corrections == 1
    there = SqliteRunRows(tmp_path / "a")
    copy_run(PostgresRunRows(mine), there)
    copy_run(there, PostgresRunRows(f"{mine}2"))
    assert purge(f"{mine}2", NoSeal()).answers == 1


def test_a_place_is_a_url_with_a_run() -> None:
    """Without the name of a run there is no place."""
    with pytest.raises(ConfigurationError, match="run="):
        PostgresRunRows("postgresql://localhost/db")


async def test_a_copy_gives_a_frozen_server_up(run: str, tmp_path: Path) -> None:
    """A copy whose server falls silent, as it reads there or writes there, ends with an error, and nothing is moved."""
    await read_images(run, "a", "b")
    there = PostgresRunRows(run, silence=0.3)
    with frozen_backends(run) as freeze:

        def frozen_at_items(row: Row) -> Row:
            if isinstance(row, ItemRow):
                freeze()
            return row

        into = Failing(SqliteRunRows(tmp_path / "run"), frozen_at_items)
        with pytest.raises(StoreAwayError, match="does not answer"):
            copy_run(there, into)
    assert not (tmp_path / "run").exists()
    copy_run(PostgresRunRows(run), SqliteRunRows(tmp_path / "run"))
    with frozen_backends(run) as freeze, pytest.raises(StoreAwayError, match="does not answer"):
        copy_run(SqliteRunRows(tmp_path / "run"), Failing(there, frozen_at_items))
    copy_run(SqliteRunRows(tmp_path / "run"), PostgresRunRows(run))
