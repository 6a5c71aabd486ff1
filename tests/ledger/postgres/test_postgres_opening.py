from __future__ import annotations

import asyncio
import os
import warnings
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from support.ledgers import ANSWER, claimed, dead_process, item, read, remote_process, source
from support.postgres_runs import database_of, execute, read_images
from support.servers import free_port

from clova_ocr_async.errors import ConfigurationError, LedgerError
from clova_ocr_async.ledger import PostgresLedger
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.postgres.errors import PostgresError, StoreAwayError
from clova_ocr_async.ledger.postgres.location import run_location
from clova_ocr_async.ledger.postgres.run_view import PostgresRunReader
from clova_ocr_async.ledger.postgres.schema import MIGRATIONS, is_current_version, migrate, version_of
from clova_ocr_async.ledger.states import FileStamp, ItemEvent, Settlement, SourceFile
from clova_ocr_async.server_url import Password, ServerURL

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import PostgresServer

pytestmark = pytest.mark.server

KEY = bytes(range(32))


# ---------------------------------------------------------------------------------------------------------------------
# Where the run is


@pytest.mark.parametrize(
    ("dsn", "run", "message"),
    [
        (5, "r", "dsn is a int"),
        ("mysql://h/db", "r", "does not begin with postgresql"),
        ("postgresql://h/db", None, "the run has no name"),
        ("postgresql://h/db", 5, "run is a int"),
        ("postgresql://h/db?run=a", "b", "another name than the URL has"),
        ("postgresql://h/db", "", "the run in run is empty"),
    ],
)
def test_a_place_that_cannot_be(dsn: Any, run: Any, message: str) -> None:
    """A URL or a name that cannot be one is named, without the URL."""
    with pytest.raises(ConfigurationError, match=message):
        PostgresLedger(dsn, run)


def test_the_name_of_a_run_is_in_the_url_or_beside_it() -> None:
    """The name comes from either, or from both alike."""
    places = [
        run_location("postgresql://h/db?run=a"),
        run_location("postgresql://h/db", "a"),
        run_location("postgresql://h/db?run=a", "a"),
        run_location(ServerURL("postgresql://h/db"), "a"),
    ]
    assert {(place.url, place.run) for place in places} == {("postgresql://h/db", "a")}


@pytest.mark.parametrize("settings", [{"max_calls": -1}, {"store": "some"}, {"lease": 31}, {"seal": "key"}])
def test_settings_that_cannot_work(settings: dict[str, Any]) -> None:
    """A setting that cannot work is named before the server is asked."""
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        PostgresLedger("postgresql://127.0.0.1:1/db", "r", **settings)


async def test_an_option_of_the_url_that_is_unknown(postgres_url: str) -> None:
    """An option that PostgreSQL does not know is refused without a repetition of the URL."""
    with pytest.raises(ConfigurationError, match="has an option that PostgreSQL does not know") as raised:
        await PostgresLedger(f"{postgres_url}?canary=x", "r").__aenter__()
    assert "canary" not in str(raised.value)


async def test_one_database_has_several_runs(postgres_url: str) -> None:
    """Runs of one database know nothing of each other: each pays for the same image, and has its own limit."""
    await read_images(f"{postgres_url}?run=one", "a", max_calls=1)
    await read_images(f"{postgres_url}?run=two", "a")
    async with PostgresLedger(postgres_url, "one") as one, PostgresLedger(postgres_url, "two") as two:
        assert (one.max_calls, two.max_calls) == (1, None)
        one.add_files([source("x")], "receipt")
        assert not await two.others_at_work(["receipt"])
    for name in ("one", "two"):
        with PostgresRunReader(postgres_url, run=name) as view:
            assert (view.status().calls, view.answers()) == (1, 1)


# ---------------------------------------------------------------------------------------------------------------------
# Tables


def test_tables_are_made_once_and_kept(postgres_url: str) -> None:
    """A database without tables has version 0; migrating brings it to this version, again and again."""
    with psycopg.connect(postgres_url) as db:
        assert version_of(db) == 0
        for _ in range(2):
            migrate(db)
            assert is_current_version(db)
        migrate(db, (*MIGRATIONS, "CREATE TABLE clova_ocr.later ()"))
        assert version_of(db) == len(MIGRATIONS) + 1
        assert not db.execute("SELECT * FROM clova_ocr.later").fetchall()


async def test_tables_of_a_newer_version_are_refused(run: str) -> None:
    """A run whose tables a newer version of the package has changed is left alone."""
    await read_images(run, "a")
    execute(run, "UPDATE clova_ocr.schema_version SET version = 99")
    with pytest.raises(LedgerError, match=r"schema 99.*update it"):
        await PostgresLedger(run).__aenter__()


async def test_processes_that_begin_at_once_make_the_tables_once(run: str) -> None:
    """Several processes that open a run in an empty database at the same moment all succeed."""
    ledgers = [PostgresLedger(run) for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        for ledger in ledgers:
            group.create_task(ledger.__aenter__())
    assert execute(run, "SELECT count(*) FROM clova_ocr.owner") == [(4,)]
    for ledger in ledgers:
        await ledger.__aexit__(None, None, None)
    assert execute(run, "SELECT count(*) FROM clova_ocr.run") == [(1,)]


def test_migration_waits_for_another_one(postgres_url: str) -> None:
    """A process that waited for the tables of another one finds them made, and makes none."""

    class Slow:
        """A connection on which the tables are there when the lock is held."""

        def __init__(self, db: psycopg.Connection[Any]) -> None:
            self._db = db

        def execute(self, statement: Any, *values: Any) -> Any:
            if "pg_advisory_xact_lock" in str(statement):
                with psycopg.connect(postgres_url) as other:
                    migrate(other)
            return self._db.execute(statement, *values)

    with psycopg.connect(postgres_url, autocommit=True) as db:
        slow: Any = Slow(db)
        migrate(slow)
        assert is_current_version(db)


@pytest.mark.parametrize(
    ("change", "table"),
    [
        ("CREATE VIEW clova_ocr.item AS SELECT 1 AS id", "item"),
        ("CREATE TABLE clova_ocr.answer (id bigint) PARTITION BY RANGE (id)", "answer"),
    ],
)
async def test_a_schema_of_another_program_is_refused(postgres_url: str, change: str, table: str) -> None:
    """A schema of this name that somebody else has made is left alone, and the error names what is not ours."""
    execute(postgres_url, "CREATE SCHEMA clova_ocr")
    execute(postgres_url, change)
    with pytest.raises(LedgerError, match=rf"clova_ocr\.{table} in this database is not as this package makes it"):
        await PostgresLedger(postgres_url, "r").__aenter__()
    with pytest.raises(LedgerError, match="not as this package makes it"):
        PostgresRunReader(postgres_url, run="r").__enter__()


@pytest.mark.parametrize(
    ("change", "removal"),
    [
        (
            "CREATE TRIGGER spy BEFORE UPDATE ON clova_ocr.item EXECUTE FUNCTION clova_ocr.keep_correction()",
            "DROP TRIGGER spy ON clova_ocr.item",
        ),
        ("CREATE RULE spy AS ON UPDATE TO clova_ocr.item DO INSTEAD NOTHING", "DROP RULE spy ON clova_ocr.item"),
        (
            "ALTER TABLE clova_ocr.item ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE clova_ocr.item DISABLE ROW LEVEL SECURITY",
        ),
    ],
)
async def test_tables_that_do_more_than_store_are_refused(run: str, change: str, removal: str) -> None:
    """Rules, policies and triggers of others on the tables of runs are refused by the table's name, until removed."""
    await read_images(run, "a")
    execute(run, change)
    with pytest.raises(LedgerError, match=r"clova_ocr\.item .* rules, policies or triggers .* remove them"):
        await PostgresLedger(run).__aenter__()
    execute(run, removal)
    async with PostgresLedger(run):
        pass


# ---------------------------------------------------------------------------------------------------------------------
# Rights


async def test_a_worker_needs_no_more_than_the_documented_rights(postgres_server: PostgresServer, run: str) -> None:
    """A role with the rights that the schema's module names does all that a ledger does, and changes no table."""
    await read_images(run, "a")
    role, database = f"ledger_worker_{os.getpid()}", database_of(run)
    postgres_server.psql(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN")
    worker = f"{postgres_server.url(database, role)}?run=march"
    with pytest.raises(PostgresError, match="GRANT USAGE ON SCHEMA clova_ocr") as raised:
        await PostgresLedger(worker).__aenter__()
    assert raised.value.sqlstate == "42501"
    for grant in (
        "GRANT USAGE ON SCHEMA clova_ocr",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA clova_ocr",
    ):
        postgres_server.psql(f"{grant} TO {role}", database)
    async with PostgresLedger(worker, max_calls=5) as ledger:
        await ledger.open_for(["local"])
        ledger.add_files([source("b")], "receipt")
        assert len(await ledger.claim_files(["receipt"], 5)) == 1
        claim = claimed(await ledger.admit(item("b"), source("b")))
        await ledger.sending(claim, "b")
        await ledger.answered(claim, "b", ANSWER)
        await ledger.settle(claim, read("b"))
    await read_images(f"{worker}2", "c")  # another run
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(worker, "DROP TABLE clova_ocr.item")


async def test_a_user_that_may_not_make_tables(postgres_server: PostgresServer, run: str) -> None:
    """In an empty database, a user that may not create a schema learns who can help."""
    role = f"ledger_guest_{os.getpid()}"
    postgres_server.psql(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN")
    with pytest.raises(PostgresError, match="Open the run once as a user that may create a schema"):
        await PostgresLedger(postgres_server.url(database_of(run), role), "r").__aenter__()


@pytest.mark.parametrize(
    ("user", "database", "state", "message"),
    [
        ("nobody_here", None, "28P01", "refuses the user or the password"),
        (None, "no_such_database", "3D000", "does not have the database"),
    ],
)
async def test_a_server_that_refuses(
    postgres_server: PostgresServer, run: str, user: str | None, database: str | None, state: str, message: str
) -> None:
    """A wrong user and a wrong database are named as such, and are not waited for."""
    url = postgres_server.url(database or database_of(run), user or "clova_admin")
    with pytest.raises(PostgresError, match=message) as raised:
        await PostgresLedger(url, "r").__aenter__()
    assert raised.value.sqlstate == state
    assert not isinstance(raised.value, StoreAwayError)


# ---------------------------------------------------------------------------------------------------------------------
# Settings of the run


async def test_another_seal_is_refused(run: str) -> None:
    """A run is opened with the key that it was begun with, and with no other and no missing one."""
    await read_images(run, "a", seal=AESGCMSeal(KEY))
    assert b"canarySHOP" not in execute(run, "SELECT body FROM clova_ocr.answer")[0][0]
    await read_images(run, "b", seal=AESGCMSeal(KEY))
    for seal, message in ((AESGCMSeal(KEY[::-1]), "not the one this run was begun with"), (None, "this run is sealed")):
        with pytest.raises(LedgerError, match=message):
            await PostgresLedger(run, seal=seal).__aenter__()
    await read_images(f"{run}2", "a")
    with pytest.raises(LedgerError, match="begun without one"):
        await PostgresLedger(f"{run}2", seal=AESGCMSeal(KEY)).__aenter__()


async def test_a_run_that_was_moved_is_refused(run: str) -> None:
    """A run that was copied to another place is not worked on here any more."""
    await read_images(run, "a")
    execute(run, "UPDATE clova_ocr.run SET moved_to = 'elsewhere'")
    with pytest.raises(LedgerError, match=r"elsewhere.*--run-moved"):
        await PostgresLedger(run).__aenter__()
    await read_images(run, "b", moved=True)
    await read_images(run, "c")


async def test_the_largest_answer_is_noted(run: str) -> None:
    """A run notes the size of its largest answer, for which the next process keeps room from the first call on."""
    await read_images(run, "a")
    ((size,),) = execute(run, "SELECT largest_answer FROM clova_ocr.run")
    assert size == len(ANSWER.body)


# ---------------------------------------------------------------------------------------------------------------------
# Files


async def test_a_path_may_be_long_and_is_not_text(run: str) -> None:
    """A path of 4,000 bytes that are no text is a name like any other, and stays one."""
    long = os.urandom(4000).replace(b"\0", b"/")
    async with PostgresLedger(run) as ledger:
        for _ in range(2):
            ledger.add_files([source("a"), *(SourceFile(long, page=page) for page in (1, 1, 2))], "receipt")
        files = await ledger.claim_files(["receipt", "passport"], 9)
    assert [(file.path, file.page) for file in files] == [(b"a", None), (long, 1), (long, 2)]


async def test_numbers_of_files_may_be_as_large_as_they_get(run: str) -> None:
    """A file whose numbers fill 64 bits is recalled by them, and is not taken for another one."""
    large = [FileStamp(2**62, 2**62, 2**62, inode) for inode in (2**64 - 1, 2**63)]
    async with PostgresLedger(run) as ledger:
        claim = claimed(await ledger.admit(item(), SourceFile(b"a", large[0])))
        await ledger.settle(claim, Settlement(ItemEvent.SKIP))
        assert await ledger.recall(SourceFile(b"a", large[0]), "receipt") is not None
        assert await ledger.recall(SourceFile(b"a", large[1]), "receipt") is None


async def test_no_files_are_no_work(run: str) -> None:
    """An empty list of files changes nothing."""
    async with PostgresLedger(run) as ledger:
        ledger.add_files([], "receipt")
        assert await ledger.claim_files(["receipt"], 9) == []


# ---------------------------------------------------------------------------------------------------------------------
# Owners


async def test_a_process_of_another_boot_lives_until_its_lease_is_over(run: str) -> None:
    """What looks like an earlier boot of this machine is another host: its process is at work while its lease runs."""
    here = dead_process()
    elsewhere = type(here)(f"another-boot {here.place.split()[1]}", 1, "1")
    async with PostgresLedger(run, process=elsewhere), PostgresLedger(run):
        assert execute(run, "SELECT count(*) FROM clova_ocr.owner") == [(2,)]


async def test_a_dead_process_of_this_host_is_noticed_at_once(run: str) -> None:
    """A process of this machine that has ended is not waited for."""
    ledger = PostgresLedger(run, process=dead_process())
    await ledger.__aenter__()
    async with PostgresLedger(run):
        assert execute(run, "SELECT count(*) FROM clova_ocr.owner") == [(1,)]
    await ledger.__aexit__(None, None, None)


async def test_leases_end_by_the_clock_of_the_server(run: str) -> None:
    """A lease is renewed while its process lives, at a third of its length, by the server's clock."""
    async with PostgresLedger(run, lease=0.3, process=remote_process()):
        (before,) = execute(run, "SELECT id, expires FROM clova_ocr.owner")
        async with asyncio.timeout(20):
            while (after := execute(run, "SELECT id, expires FROM clova_ocr.owner")[0])[1] == before[1]:  # noqa: ASYNC110 - of the server
                await asyncio.sleep(0.02)
        assert after[0] == before[0]
        ((now,),) = execute(run, "SELECT extract(epoch FROM clock_timestamp())::float8")
        assert abs(after[1] - now) < 10


# ---------------------------------------------------------------------------------------------------------------------
# Secrets


async def test_a_password_is_nowhere(run: str, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A password in the URL is taken with a warning, and is in no repr, error, log, table or file."""
    canary = "canaryPASSWORD"
    given = run.replace("clova_admin@", f"clova_admin:{canary}@")
    with pytest.warns(UserWarning, match="has a password") as warned:
        ledger = PostgresLedger(given, state_folder=tmp_path)
    async with ledger:
        claim = claimed(await ledger.admit(item(), source("a")))
        await ledger.sending(claim, "r")
        assert canary not in kept(run, tmp_path)
    assert {one.filename for one in warned} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        broken = [
            PostgresLedger(f"postgresql://user:{canary}@127.0.0.1:{free_port()}/db", "r", patience=0.0),
            PostgresLedger(given.replace("/test_", "/no_such_"), patience=0.0),
            PostgresLedger(given.replace("?", "?nonsense=1&")),
        ]
    for one in broken:
        with pytest.raises((LedgerError, ConfigurationError)) as raised:
            await one.__aenter__()
        assert canary not in f"{raised.value!r} {raised.value}"
    assert canary not in "".join([caplog.text, repr(vars(ledger)), *(str(one.message) for one in warned)])


def kept(run: str, folder: Path) -> str:
    """Return all rows of all tables of runs, and the names of the files in a folder, as text."""
    tables = ("run", "owner", "item", "answer", "source", "correction")
    rows = [execute(run, f"SELECT * FROM clova_ocr.{table}") for table in tables]  # noqa: S608 - as above
    return f"{rows} {[path.name for path in folder.rglob('*')]}"


async def test_a_password_of_a_parsed_url_is_used(run: str) -> None:
    """A URL that was parsed before keeps its password apart, and it reaches the server."""
    async with PostgresLedger(ServerURL(run.partition("?")[0], Password("unused"), "march")) as ledger:
        assert ledger.max_calls is None
