from __future__ import annotations

import os
import signal
import traceback
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg import errors
from support.proxies import proxy_to
from support.servers import PostgresServer, free_port

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.postgres.connection import Database, open_connection
from clova_ocr_async.ledger.postgres.errors import PostgresError, StoreAwayError, ledger_error, server_name
from clova_ocr_async.server_url import Password, ServerURL, parse_server_url

pytestmark = pytest.mark.server

SERVER = ServerURL("postgresql://user@db.example:5433/ocr", None, "r")
CANARY = "canaryVALUE"


@pytest.mark.parametrize(
    "code",
    [
        "08006",
        "25006",
        "25P03",
        "40001",
        "40P01",
        "53100",
        "53200",
        "53300",
        "55P03",
        "57014",
        "57P01",
        "57P03",
        "58030",
    ],
)
def test_what_passes_is_resumable(code: str) -> None:
    """An error of a server that is away, full or held up can be resumed, and says nothing of the server's words."""
    error = ledger_error(errors.lookup(code)(CANARY), SERVER)
    assert isinstance(error, StoreAwayError)
    assert (error.sqlstate, error.resumable) == (code, True)
    assert str(error).startswith("the PostgreSQL server at db.example:5433 ")
    assert CANARY not in str(error)


@pytest.mark.parametrize(
    ("code", "sends", "way_out"),
    [
        ("08006", True, "does not answer; nothing more is sent; run again once it works, and the run continues"),
        ("08006", False, "does not answer; check the host and the port in the URL, or try again once it works"),
        ("08001", False, "is not found by its name; check the host in the URL; try again once it works"),
        ("57P03", False, "is shutting down, starts, or has ended the transaction; try again once it works"),
    ],
)
def test_the_way_out_is_that_of_the_command(code: str, sends: bool, way_out: str) -> None:
    """Only where images are sent does a message say that nothing more is."""
    error = ledger_error(errors.lookup(code)(CANARY), SERVER, sends=sends)
    assert str(error) == f"the PostgreSQL server at db.example:5433 {way_out}"


@pytest.mark.parametrize("code", ["28000", "28P01", "3D000", "3F000", "42501", "42P01", "42703", "22P05"])
def test_what_stays_is_not(code: str) -> None:
    """An error that waiting does not mend ends the run; its code is in it, and the server's words are not."""
    error = ledger_error(errors.lookup(code)(CANARY), SERVER)
    assert type(error) is PostgresError
    assert (error.sqlstate, error.resumable) == (code, False)
    assert CANARY not in str(error)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("FATAL:  sorry, too many clients already", "53300"),
        ("failed to resolve host 'db.example': [Errno -2] Name or service not known", "08001"),
        ("server does not support SSL, but SSL was required", "28000"),
        ("SSL error: certificate verify failed", "28000"),
        ("SSL connection has been closed unexpectedly", "08006"),
        ('definition of service "ocr" not found', "F0000"),
        ("FATAL:  the database system is starting up", "57P03"),
        ('FATAL:  password authentication failed for user "x"', "28P01"),
        ("fe_sendauth: no password supplied", "28P01"),
        ('FATAL:  role "x" does not exist', "28P01"),
        ('FATAL:  database "x" does not exist', "3D000"),
        ("Connection refused", "08006"),
        ("치명적오류", "08006"),
    ],
)
def test_a_refused_connection_is_told_by_its_words(words: str, code: str) -> None:
    """Libpq has no code for a connection that the server refused, so its words decide."""
    assert ledger_error(psycopg.OperationalError(words), SERVER).sqlstate == code


def test_the_name_of_a_host_is_no_reason() -> None:
    """A server that does not answer is away, whatever words its host, its user and its database have for names."""
    words = 'connection to server at "password-store.example" (10.0.0.1), port 5432 failed: Connection refused'
    error = ledger_error(psycopg.OperationalError(words), ServerURL("postgresql://password-store.example/db"))
    assert (type(error), error.sqlstate) == (StoreAwayError, "08006")


def test_an_error_of_the_library_is_named_by_its_class() -> None:
    """An error that is not the server's is named by its class alone."""
    error = ledger_error(psycopg.DataError(CANARY), SERVER)
    assert str(error).endswith("cannot be used as a ledger (DataError, SQLSTATE none)")
    assert error.sqlstate is None


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://u@h:1/db", "the PostgreSQL server at h:1"),
        ("postgresql://[::1]/db", "the PostgreSQL server at [::1]"),
        ("postgresql:///db", "the PostgreSQL server"),
    ],
)
def test_a_server_is_named_by_its_place(url: str, name: str) -> None:
    """Messages have the host and the port, and not the user."""
    assert server_name(parse_server_url(f"{url}?run=r", ("postgresql",))) == name


def test_connecting_raises_the_ledgers_error() -> None:
    """A connection that cannot be opened is an error of the ledger."""
    with pytest.raises(StoreAwayError):
        open_connection(ServerURL(f"postgresql://u@127.0.0.1:{free_port()}/db"))


def test_a_pooler_without_its_server_is_as_good_as_away(postgres_server: PostgresServer, postgres_url: str) -> None:
    """A connection that is taken, and whose first statement has no answer, is an error as one that is not taken."""
    with proxy_to(postgres_server.port) as proxy:
        proxy.lose(b"SELECT", answered=False)
        with pytest.raises(StoreAwayError, match="does not answer"):
            open_connection(ServerURL(postgres_url.replace(f":{postgres_server.port}/", f":{proxy.port}/")))
        assert proxy.lost == 1


def test_a_password_is_in_no_frame_of_an_error() -> None:
    """What a crash reporter prints of an error, its causes included, has no password."""
    server = ServerURL(f"postgresql://u@127.0.0.1:{free_port()}/db", Password("canaryPASSWORD"))
    for connecting in (lambda: open_connection(server), lambda: Database(server, 0.0).run(print)):
        with pytest.raises(StoreAwayError) as raised:
            connecting()
        error: BaseException | None = raised.value
        while error is not None:
            frames = [frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__)]
            assert "canaryPASSWORD" not in f"{error!r} {frames[1:]}"  # the first one is this test's
            error = error.__cause__ or error.__context__


def test_of_several_hosts_the_one_that_takes_writes_is_used(postgres_server: PostgresServer) -> None:
    """Of a standby and its primary the primary keeps the run, in whatever order the URL has them."""
    standby = PostgresServer()
    try:
        standby.psql("ALTER SYSTEM SET default_transaction_read_only = on")
        standby.psql("SELECT pg_reload_conf()")
        first, second = (f"127.0.0.1:{server.port}" for server in (standby, postgres_server))
        url = postgres_server.url()
        with closing(open_connection(ServerURL(url.replace(second, f"{first},{second}")))) as db:
            assert db.info.port == postgres_server.port
        with pytest.raises(StoreAwayError, match="takes no writes"):
            open_connection(ServerURL(url.replace(second, f"{first},{first}")))
    finally:
        standby.close()


def test_a_transaction_is_tried_until_the_patience_is_over(postgres_url: str) -> None:
    """A failure that passes is tried again with growing pauses, once at least; another one is raised at once."""
    now, pauses = [0.0], list[float]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    def fail(db: psycopg.Connection[Any]) -> None:
        db.execute("SELECT 1")
        raise errors.AdminShutdown

    database = Database(ServerURL(postgres_url), 2.0, lambda: now[0], pause)
    with pytest.raises(StoreAwayError):
        database.run(fail)
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5, 0.5]
    pauses.clear()
    with pytest.raises(StoreAwayError):
        database.run(fail, patience=0.0)
    assert pauses == []
    database.run(lambda _: None)
    with pytest.raises(StoreAwayError):  # once with the old connection, and once with a new one
        database.run(fail, patience=0.0)
    assert pauses == [0.05]
    pauses.clear()
    with pytest.raises(PostgresError, match="UndefinedColumn"):
        database.run(lambda db: db.execute("SELECT nothing"))
    assert pauses == []
    database.close()


def raise_lost(db: psycopg.Connection[Any]) -> None:
    """Lose a connection in the middle of a transaction."""
    db.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_a_server_that_has_frozen_is_as_good_as_away(postgres_url: str) -> None:
    """A server that keeps its connections and says nothing any more is away, and the next statement has another one."""
    database = Database(ServerURL(postgres_url), 0.0, silence=0.5)
    with pytest.raises(StoreAwayError, match="does not answer"):
        database.run(lambda db: db.execute("SELECT pg_sleep(60)"))
    assert database.run(lambda db: db.execute("SELECT count(*) FROM generate_series(1, 9)").fetchone()) == (9,)
    database.close()


def test_a_pooler_that_holds_a_transaction_back_is_not_waited_for(postgres_url: str) -> None:
    """A transaction that is not begun within seconds, as PgBouncer has no server, is tried on a new connection."""
    database = Database(ServerURL(postgres_url), 0.0, begin_silence=0.3)
    row = database.run(lambda db: db.execute("SELECT pg_backend_pid()").fetchone())
    assert row is not None
    os.kill(row[0], signal.SIGSTOP)
    try:
        assert database.run(lambda db: db.execute("SELECT pg_backend_pid()").fetchone()) != row
    finally:
        os.kill(row[0], signal.SIGCONT)
    assert database.run(lambda db: db.execute("SELECT 1 FROM pg_sleep(0.5)").fetchone()) == (1,)
    database.close()


def test_a_server_that_is_heard_is_waited_for(postgres_url: str) -> None:
    """A reply that takes longer in whole is read to its end, as long as the server goes on with it."""
    database = Database(ServerURL(postgres_url), 0.0, silence=0.5)
    slow = "SELECT repeat('x', 100000) FROM generate_series(1, 12) WHERE pg_sleep(0.1) IS NOT NULL"
    assert len(database.run(lambda db: db.execute(slow).fetchall())) == 12
    database.close()


def test_a_connection_that_is_lost_is_replaced(postgres_url: str) -> None:
    """A connection that the server has ended is not used again."""
    database = Database(ServerURL(postgres_url), 0.0)
    with pytest.raises(StoreAwayError):
        database.run(raise_lost)
    assert database.run(lambda db: db.execute("SELECT 1").fetchone()) == (1,)
    database.close()


def test_a_transaction_that_sleeps_is_ended(postgres_url: str) -> None:
    """A process that is stopped in a transaction does not keep the others waiting: the server ends its transaction."""
    database = Database(ServerURL(postgres_url))
    found = database.run(lambda db: db.execute("SHOW idle_in_transaction_session_timeout").fetchone())
    waits = database.run(lambda db: db.execute("SHOW lock_timeout").fetchone())
    assert (found, waits) == (("5s",), ("10s",))
    database.close()


@pytest.mark.parametrize(("durable", "shown"), [(True, "on"), (False, "off")])
def test_a_commit_is_awaited_where_it_must_be(postgres_url: str, durable: bool, shown: str) -> None:
    """A durable transaction awaits the server's disk whatever its default is; another one does not."""
    database = Database(ServerURL(postgres_url))
    assert database.run(lambda db: db.execute("SHOW synchronous_commit").fetchone(), durable=durable) == (shown,)
    database.close()


def test_nothing_is_left_in_a_session(postgres_url: str) -> None:
    """After a transaction the session is as it was, with nothing prepared: another client may be given it."""
    database, seen = Database(ServerURL(postgres_url)), list[psycopg.Connection[Any]]()

    def work(db: psycopg.Connection[Any]) -> None:
        seen.append(db)
        for _ in range(20):
            db.execute("SELECT %s", (1,))

    database.run(work)
    shown = "SELECT current_setting('lock_timeout'), current_setting('synchronous_commit')"
    settings = seen[0].execute(shown).fetchone()
    assert settings == ("0", "on")
    assert seen[0].execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
    assert seen[0].execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)
    database.close()


def test_another_error_than_the_servers_is_passed_on(postgres_url: str) -> None:
    """An error of the caller's own undoes the transaction, and is raised as it is."""
    database = Database(ServerURL(postgres_url))

    def work(db: psycopg.Connection[Any]) -> None:
        db.execute("CREATE TABLE left_over ()")
        raise LedgerError("mine")

    with pytest.raises(LedgerError, match="mine"):
        database.run(work)
    assert database.run(lambda db: db.execute("SELECT to_regclass('left_over')").fetchone()) == (None,)
    database.close()
