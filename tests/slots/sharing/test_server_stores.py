"""The stores on PostgreSQL and Redis: what only a real server shows."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import KEY, SECRET, domain
from support.ledgers import eventually
from support.servers import PostgresServer, RedisServer, free_port
from support.slots import Holder, held

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.processes import Process
from clova_ocr_async.server_url import Password
from clova_ocr_async.slots.limit import ConcurrencyLimit
from clova_ocr_async.slots.sharing.state import SharedGate
from clova_ocr_async.slots.sharing.store import GateConflictError, StoreAwayError, name_of, transaction

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from clova_ocr_async.slots import GateState

pytestmark = pytest.mark.server
psycopg = pytest.importorskip("psycopg")
pytest.importorskip("redis")
server_slots = pytest.importorskip("support.server_slots")

CANARY = "canaryPASSWORDcanary"
NAME = name_of("a domain")


@pytest.fixture(params=["postgres", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a server, empty as far as slots are concerned."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    server_slots.RedisHost(request.getfixturevalue("redis_server"))  # empties it
    return str(request.getfixturevalue("redis_url"))


def frames_of(error: BaseException | None) -> Iterator[str]:
    """Yield what a crash reporter prints of an error: its texts, and the variables of all frames but those here."""
    while error is not None:
        yield repr(error)
        traceback = error.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename != __file__:
                yield repr(traceback.tb_frame.f_locals)
            traceback = traceback.tb_next
        error = error.__cause__ or error.__context__


async def call(slots: Any) -> GateState:
    """Take a slot, release it, and return the state while it was held."""
    async with asyncio.timeout(10), slots.slot([domain()], "batch", 0.0) as slot:
        slot.admitted()
        state: GateState = slots.state(domain())
        return state


# ---------------------------------------------------------------------------------------------------------------------
# Both servers


def test_the_second_of_two_changes_is_a_conflict(url: str) -> None:
    """Of two processes that change the same domain at once, the second one is told, and nothing is lost."""
    with closing(server_slots.store_of(url)) as one, closing(server_slots.store_of(url)) as two:
        for value in (5, 7):
            first, second = one.load([NAME]), two.load([NAME])
            first[NAME].limit.value, second[NAME].limit.value = value, value + 1
            one.save(first)
            with pytest.raises(GateConflictError):
                two.save(second)
            assert two.load([NAME])[NAME].limit.value == value


def test_a_process_that_stops_in_a_sync_keeps_no_other_waiting(url: str) -> None:
    """What one process has loaded and not saved, others change at once."""
    with closing(server_slots.store_of(url)) as stopped, closing(server_slots.store_of(url)) as other:
        stopped.load([NAME])
        began = time.monotonic()
        with transaction(other, ["a domain"]) as gates:
            gates["a domain"].limit.value = 9
        assert time.monotonic() - began < 1.0


def test_many_processes_begin_together(url: str) -> None:
    """Processes that all begin with an empty server lose no change."""

    def count() -> None:
        with closing(server_slots.store_of(url)) as store:
            done = 0
            while done < 10:
                try:
                    with transaction(store, ["a domain"]) as gates:
                        gates["a domain"].limit.rejections += 1
                except GateConflictError:
                    continue
                done += 1

    with ThreadPoolExecutor(8) as threads:
        for future in [threads.submit(count) for _ in range(8)]:
            future.result()
    with closing(server_slots.store_of(url)) as store:
        assert store.load([NAME])[NAME].limit.rejections == 80


def test_the_time_is_that_of_the_server(url: str) -> None:
    """The time of a store is the server's, and only grows."""
    with closing(server_slots.store_of(url)) as store:
        times = list[float]()
        for _ in range(3):
            store.load([NAME])
            times.append(store.now())
    assert times == sorted(times)
    assert abs(times[0] - time.time()) < 60.0


def test_a_value_that_is_not_ours_is_replaced(
    url: str, postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    """Contents that are damaged are learned again."""
    with closing(server_slots.store_of(url)) as store:
        store.save(store.load([NAME]) | {NAME: SharedGate()})
        if url.startswith("redis"):
            with server_slots.redis_client(redis_server.url) as client:
                client.set(f"clova-ocr:slots:{{{NAME}}}", b"\xff\x00 damaged")
        else:
            postgres_server.psql("UPDATE clova_slots SET state = 'damaged'", url.rpartition("/")[2])
        with transaction(store, ["a domain"]) as gates:
            gates["a domain"].limit.value = 3
        assert store.load([NAME])[NAME].limit.value == 3


async def test_calls_on_a_real_server(url: str) -> None:
    """Slots that a user makes work with the server's own clock, are closed when idle, and share what is learned."""
    first, second = server_slots.user_slots(url, concurrency=2), server_slots.user_slots(url)
    assert (await call(first)).ceiling == 2
    async with held(holder := Holder(first)):
        await holder.until_granted()
        assert (await call(second)).elsewhere == 1
    async with asyncio.TaskGroup() as group:
        for slots in (first, second) * 20:
            group.create_task(call(slots))


async def test_nothing_secret_is_stored(url: str, postgres_server: PostgresServer, redis_server: RedisServer) -> None:
    """The server holds a hash of the domain, and ids of processes: no secret, no URL, no path and no name."""
    async with held(holder := Holder(server_slots.user_slots(url))):
        await holder.until_granted()
        dump = postgres_server.dump(url.rpartition("/")[2]) if url.startswith("postgres") else redis_server.dump()
        text = dump if isinstance(dump, str) else dump.decode(errors="replace")
    assert name_of(domain().key) in text
    assert Process.this().place in text
    for secret in (KEY, SECRET, "ntruss", os.getcwd(), os.environ.get("USER") or CANARY):  # noqa: PTH109
        assert secret not in text


@pytest.mark.parametrize("end", ["?nosuch=1", "?connect_timeout=soon&socket_timeout=soon"])
async def test_an_option_that_does_not_exist(url: str, end: str) -> None:
    """An option that the library does not know is an error of the configuration, at the first call at the latest."""
    with pytest.raises(ConfigurationError, match=r"cannot be used"):
        await call(server_slots.user_slots(url + end))


def test_a_server_that_is_not_there(url: str) -> None:
    """A server that refuses connections is away, and the error names it without its options."""
    scheme = url.partition(":")[0]
    place = f"{scheme}://127.0.0.1:{free_port()}/0"
    with pytest.raises(StoreAwayError, match=re.escape(place)) as caught:
        server_slots.store_of(
            f"{place}?{'application_name' if scheme == 'postgresql' else 'client_name'}=x", CANARY
        ).load([NAME])
    assert not caught.value.permanent
    assert "application_name" not in str(caught.value)
    assert not any(CANARY in text for text in frames_of(caught.value))


async def test_a_server_that_was_never_reached(url: str) -> None:
    """The first call fails at once if its server is not there, and so does a look for it; no call waits."""
    scheme, _, rest = url.partition("://")
    for host in ("no-such-host.invalid", f"127.0.0.1:{free_port()}"):
        slots = server_slots.user_slots(f"{scheme}://{host}/{rest.rpartition('/')[2]}")
        for ask in (call(slots), asyncio.to_thread(slots.check_server)):
            with pytest.raises(ConfigurationError, match="nothing was sent: check the URL of the slots") as caught:
                await ask
            assert caught.value.retryable
    server_slots.user_slots(url).check_server()


@pytest.mark.parametrize("kind", ["postgres", "redis"])
async def test_a_server_that_starts_again(
    kind: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """While the server is away, a process goes on with its share and one without a share waits; then all goes on."""
    caplog.set_level(logging.INFO)
    server = request.getfixturevalue(f"{kind}_server")
    url = request.getfixturevalue(f"{kind}_url")
    slots, other = server_slots.user_slots(url, concurrency=2), server_slots.user_slots(url, concurrency=2)
    await call(other)  # a server that was never reached is no outage
    keeps = Holder(slots)
    await keeps.until_granted()
    server.stop()
    try:
        first, second = Holder(slots, since=1.0), Holder(other, since=2.0)
        await eventually(lambda: "cannot be used" in caplog.text)
        assert not first.holds
        await keeps.end()
        await first.until_granted()
        assert not second.holds
    finally:
        server.start()
    async with asyncio.timeout(20):
        await second.granted.wait()
    await first.end()
    await second.end()
    assert "can be used again" in caplog.text


# ---------------------------------------------------------------------------------------------------------------------
# PostgreSQL


@pytest.fixture
def poor_url(postgres_server: PostgresServer, postgres_url: str) -> str:
    """The URL of a user who may create nothing."""
    database = postgres_url.rpartition("/")[2]
    user = f"poor_{database}"
    postgres_server.psql(f'CREATE ROLE "{user}" LOGIN', database)
    postgres_server.psql("REVOKE CREATE ON SCHEMA public FROM PUBLIC", database)
    return postgres_server.url(database, user)


async def test_a_user_without_the_right_to_create(postgres_server: PostgresServer, poor_url: str) -> None:
    """A user who may not create the table is told what its owner must run; after that, three rights are enough."""
    with pytest.raises(
        ConfigurationError,
        match=r"does not allow this user .* CREATE TABLE IF NOT EXISTS public.clova_slots .* GRANT SELECT, INSERT",
    ):
        await call(server_slots.user_slots(poor_url))
    user, database = re.findall(r"//(.*)@.*/(.*)", poor_url)[0]
    postgres_server.psql("CREATE TABLE clova_slots (domain text PRIMARY KEY, state text NOT NULL)", database)
    postgres_server.psql(f'GRANT SELECT, INSERT, UPDATE ON clova_slots TO "{user}"', database)
    server_slots.user_slots(poor_url).check_server()
    assert (await call(server_slots.user_slots(poor_url))).in_flight == 1


def test_a_look_at_a_server_leaves_nothing_there(postgres_url: str, poor_url: str) -> None:
    """A look at an empty database creates no table in it, and names rights that are missing as a call does."""
    tables = "SELECT FROM pg_tables WHERE tablename = 'clova_slots'"
    server_slots.user_slots(postgres_url).check_server()
    with psycopg.connect(postgres_url) as db:
        assert db.execute(tables).fetchone() is None
    with pytest.raises(ConfigurationError, match=r"does not allow this user .* GRANT SELECT, INSERT") as caught:
        server_slots.user_slots(poor_url).check_server()
    assert not caught.value.retryable
    with closing(server_slots.store_of(postgres_url)) as store:
        store.load([NAME])
    server_slots.user_slots(postgres_url).check_server()


def test_users_with_schemas_of_their_own_share_their_slots(postgres_server: PostgresServer, postgres_url: str) -> None:
    """A user who has a schema of its own uses the slots of the others."""
    database = postgres_url.rpartition("/")[2]
    with closing(server_slots.store_of(postgres_url)) as store:
        store.save(store.load([NAME]) | {NAME: SharedGate(ConcurrencyLimit(value=7))})
    user = f"own_{database}"
    postgres_server.psql(f'CREATE ROLE "{user}" LOGIN SUPERUSER', database)
    postgres_server.psql(f'CREATE SCHEMA AUTHORIZATION "{user}"', database)
    postgres_server.psql(f'CREATE TABLE "{user}".clova_slots (domain text PRIMARY KEY, state text NOT NULL)', database)
    with closing(server_slots.store_of(postgres_server.url(database, user))) as store:
        assert store.load([NAME])[NAME].limit.value == 7


def test_of_several_hosts_the_one_that_takes_writes_is_used(postgres_server: PostgresServer) -> None:
    """Of a standby and its primary the primary keeps the slots, in whatever order the URL has them."""
    standby = PostgresServer()
    try:
        standby.psql("ALTER SYSTEM SET default_transaction_read_only = on")
        standby.psql("SELECT pg_reload_conf()")
        port = f"127.0.0.1:{postgres_server.port}"
        url = postgres_server.url().replace(port, f"127.0.0.1:{standby.port},{port}")
        with closing(server_slots.store_of(url)) as store:
            store.save(store.load([NAME]) | {NAME: SharedGate()})
    finally:
        standby.close()


async def test_a_user_who_does_not_exist(postgres_server: PostgresServer) -> None:
    """A user or a database that does not exist is an error of the configuration, first in words with a way out."""
    for url, words in (
        (postgres_server.url(user="nobody"), r'the server refuses the user .*service file \(role "nobody" does'),
        (postgres_server.url("nothing"), r'the server does not have the database .* \(database "nothing" does'),
    ):
        with pytest.raises(ConfigurationError, match=f"cannot be used: {words} not exist"):
            await call(server_slots.user_slots(url))


@pytest.mark.parametrize(
    ("option", "way_out"),
    [("sslmode=require", "check sslmode and the certificates"), ("service=none", "check ~/.pg_service.conf")],
)
async def test_wrong_options_of_a_url(postgres_url: str, option: str, way_out: str) -> None:
    """Options that the server cannot follow are an error that waiting does not mend, with the way out."""
    with pytest.raises(ConfigurationError, match=re.escape(way_out)) as caught:
        await call(server_slots.user_slots(f"{postgres_url}?{option}"))
    assert not caught.value.retryable


def test_between_two_requests_the_session_is_as_new(postgres_server: PostgresServer, postgres_url: str) -> None:
    """A loaded store has no transaction open and no setting changed, so a pool may give the session to others."""
    with closing(server_slots.store_of(f"{postgres_url}?application_name=looked_at")) as store:
        store.save(store.load([NAME]) | {NAME: SharedGate()})
        store.load([NAME])
        query = "SELECT state, query FROM pg_stat_activity WHERE application_name = 'looked_at'"
        assert postgres_server.psql(query).startswith("idle|")
        row = store._db.execute("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")  # noqa: SLF001
        assert row.fetchone() == ("0", "0")


def test_a_lock_that_another_program_holds_is_waited_for_a_while(postgres_url: str) -> None:
    """A lock on the row is waited for two seconds, and then the store is away."""
    with closing(server_slots.store_of(postgres_url)) as store, psycopg.connect(postgres_url) as other:
        store.save(store.load([NAME]) | {NAME: SharedGate()})
        other.execute("SELECT * FROM clova_slots FOR UPDATE")
        gates = store.load([NAME])
        gates[NAME].limit.value = 7
        with pytest.raises(StoreAwayError, match="lock timeout"):
            store.save(gates)


def test_a_database_that_has_frozen_is_away(postgres_url: str) -> None:
    """A server that keeps its connections and says nothing any more is away, and is used again once it speaks."""
    with closing(server_slots.PostgresGateStore(postgres_url, silence=0.3)) as store:
        store.save(store.load([NAME]) | {NAME: SharedGate()})
        with psycopg.connect(postgres_url) as other:
            other.execute("LOCK TABLE public.clova_slots")
            with pytest.raises(StoreAwayError, match="silent"):
                store.load([NAME])
        store.close()
        assert store.load([NAME])


def test_a_connection_that_is_printed_shows_no_password() -> None:
    """Some versions of redis-py print the settings of a connection, and the password is none of them."""
    store: Any = server_slots.RedisGateStore("redis://user@127.0.0.1:9/0", Password(CANARY))
    assert CANARY not in f"{store._client!r} {store._client.connection_pool.connection_kwargs}"  # noqa: SLF001 - as above
    assert store._client.connection_pool.make_connection().credential_provider.get_credentials() == ("user", CANARY)  # noqa: SLF001 - as above


@pytest.fixture
def guarded_url(postgres_server: PostgresServer, postgres_url: str) -> str:
    """The URL of a user who needs a password."""
    database = postgres_url.rpartition("/")[2]
    user = f"guarded_{database}"
    postgres_server.psql(f"CREATE ROLE \"{user}\" LOGIN PASSWORD '{CANARY}'", database)
    postgres_server.psql(f'GRANT CREATE ON SCHEMA public TO "{user}"', database)
    file = postgres_server.psql("SHOW hba_file")
    rules = f"SELECT 'host all {user} 127.0.0.1/32 scram-sha-256' UNION ALL SELECT 'host all all 127.0.0.1/32 trust'"
    postgres_server.psql(f"COPY ({rules}) TO '{file}'")
    postgres_server.psql("SELECT pg_reload_conf()")
    return postgres_server.url(database, user)


async def test_the_password_of_postgresql(
    guarded_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A password comes from the environment, or with a warning from the URL, and is shown nowhere."""
    caplog.set_level(logging.DEBUG)
    for password in (None, "wrong" + CANARY):
        if password is not None:
            monkeypatch.setenv("PGPASSWORD", password)
        with pytest.raises(ConfigurationError, match=r"no password supplied|authentication failed") as caught:
            await call(server_slots.user_slots(guarded_url))
        assert not any(CANARY in text for text in frames_of(caught.value))
    with pytest.warns(UserWarning, match="PGPASSWORD"):
        slots = server_slots.user_slots(guarded_url.replace("@", f":{CANARY}@"))
    assert (await call(slots)).in_flight == 1
    with pytest.warns(UserWarning, match="PGPASSWORD"):
        refused = server_slots.user_slots(guarded_url.replace("@", f":wrong{CANARY}@"))
    with pytest.raises(ConfigurationError, match="authentication failed") as caught:
        await call(refused)
    assert not any(CANARY in text for text in frames_of(caught.value))
    monkeypatch.setenv("PGPASSWORD", CANARY)
    assert (await call(server_slots.user_slots(guarded_url))).in_flight == 1
    assert CANARY not in caplog.text + repr(slots) + repr(vars(slots))


# ---------------------------------------------------------------------------------------------------------------------
# Redis


@pytest.fixture
def guarded_redis() -> Generator[RedisServer]:
    """A Redis server that asks for a password."""
    server = RedisServer("--requirepass", CANARY)
    yield server
    server.close()


async def test_the_password_of_redis(
    guarded_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A password comes from the environment, from a file, or with a warning from the URL, and is shown nowhere."""
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "password"
    file.write_text(f"{CANARY}\n")
    with pytest.raises(ConfigurationError, match=r"Authentication required; check .*CLOVA_OCR_REDIS_PASSWORD"):
        await call(server_slots.user_slots(guarded_redis.url))
    with pytest.warns(UserWarning, match="CLOVA_OCR_REDIS_PASSWORD"):
        slots = server_slots.user_slots(guarded_redis.url.replace("://", f"://:wrong{CANARY}@"))
    with pytest.raises(ConfigurationError, match="cannot be used: ") as caught:
        await call(slots)
    assert not any(CANARY in text for text in frames_of(caught.value))
    monkeypatch.setenv("CLOVA_OCR_REDIS_PASSWORD_FILE", str(file))
    assert (await call(server_slots.user_slots(guarded_redis.url))).in_flight == 1
    file.write_text("two\nlines")
    with pytest.raises(ConfigurationError, match="CLOVA_OCR_REDIS_PASSWORD_FILE: the file has 2 lines"):
        server_slots.user_slots(guarded_redis.url)
    monkeypatch.setenv("CLOVA_OCR_REDIS_PASSWORD", CANARY)
    slots = server_slots.user_slots(guarded_redis.url)
    assert (await call(slots)).in_flight == 1
    assert CANARY not in caplog.text + repr(slots) + repr(vars(slots))


async def test_a_cluster_of_redis_is_refused() -> None:
    """A server of a cluster is told as that, and no call waits for it."""
    cluster = RedisServer("--cluster-enabled", "yes", "--cluster-port", f"{free_port()}")  # else one 10,000 higher
    try:
        with pytest.raises(ConfigurationError, match="it is a cluster; use one Redis") as caught:
            server_slots.user_slots(cluster.url).check_server()
        assert not caught.value.retryable
    finally:
        cluster.close()


async def test_a_database_that_redis_does_not_have_is_refused(redis_server: RedisServer) -> None:
    """A wrong number of a database is named at once; a call does not wait for it."""
    with pytest.raises(ConfigurationError, match="DB index is out of range"):
        await call(server_slots.user_slots(f"{redis_server.url.rpartition('/')[0]}/99"))


def test_a_key_of_redis_is_gone_after_an_hour(redis_server: RedisServer) -> None:
    """What nothing changes for an hour is removed by the server."""
    with closing(server_slots.store_of(redis_server.url)) as store:
        store.save(store.load([NAME]) | {NAME: SharedGate()})
    with server_slots.redis_client(redis_server.url) as client:
        assert 3590 < client.ttl(f"clova-ocr:slots:{{{NAME}}}") <= 3600


def test_a_key_of_another_kind_is_an_outage(redis_server: RedisServer) -> None:
    """An error that the server answers with is told without the request."""
    with server_slots.redis_client(redis_server.url) as client:
        client.flushall()
        client.lpush(f"clova-ocr:slots:{{{NAME}}}", "x")
        with pytest.raises(StoreAwayError, match=r"wrong kind of value$"):
            server_slots.store_of(redis_server.url).load([NAME])
        client.flushall()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of this host, with its key in the same file."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = "-addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    file = tmp_path / "cert.pem"
    subprocess.run([*shlex.split(f"{command} {names}"), "-keyout", file, "-out", tmp_path / "only"], check=True)
    file.write_text(file.read_text() + (tmp_path / "only").read_text())
    return file


async def test_redis_with_tls(certificate: Path) -> None:
    """``rediss://`` is TLS; a certificate that is not trusted is an outage that names the reason."""
    port = free_port()
    files = f"--tls-cert-file {certificate} --tls-key-file {certificate}"
    with closing(RedisServer("--tls-port", str(port), "--tls-auth-clients", "no", *files.split())):
        url = f"rediss://127.0.0.1:{port}/0"
        with pytest.raises(StoreAwayError, match="certificate"):
            server_slots.store_of(url).load([NAME])
        assert (await call(server_slots.user_slots(f"{url}?ssl_ca_certs={certificate}"))).in_flight == 1
