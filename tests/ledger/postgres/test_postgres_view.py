from __future__ import annotations

import os
import tracemalloc
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from support.ledgers import ANSWER, claimed, item, read, source
from support.postgres_runs import database_of, execute, frozen_backends, read_images
from support.servers import free_port

from clova_ocr_async.errors import Billing, LedgerError
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.postgres.connection import connect
from clova_ocr_async.ledger.postgres.errors import StoreAwayError
from clova_ocr_async.ledger.postgres.existing_run import require_current_version, run_exists
from clova_ocr_async.ledger.postgres.ledger import PostgresLedger
from clova_ocr_async.ledger.postgres.location import run_location
from clova_ocr_async.ledger.postgres.run_view import PostgresRunReader
from clova_ocr_async.ledger.postgres.schema import MIGRATIONS
from clova_ocr_async.ledger.postgres.snapshot import RunSnapshots
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.states import State

if TYPE_CHECKING:
    from support.servers import PostgresServer

    from clova_ocr_async.ledger.seal import Seal

pytestmark = pytest.mark.server

SEAL = AESGCMSeal(b"k" * 32)


async def begun(run: str, seal: Seal | None = None) -> None:
    """Leave a run with an item that was read and one that is ambiguous."""
    async with PostgresLedger(run, seal=seal) as ledger:
        claim = claimed(await ledger.admit(item("read"), source("read")))
        await ledger.sending(claim, "r")
        await ledger.answered(claim, "r", ANSWER)
        await ledger.settle(claim, read())
        claim = claimed(await ledger.admit(item("ambiguous"), source("ambiguous")))
        await ledger.sending(claim, "a")
        await ledger.maybe_billed(claim, "a")


async def test_a_long_run_is_read_in_bounded_memory(run: str) -> None:
    """Records come one after the other: of 40 MB of answers a view has only some in memory."""
    await begun(run)
    count, size = 800, 50_000
    execute(
        run,
        """INSERT INTO clova_ocr.item (run, sha256, document, page, recipe, state)
           SELECT run, sha256(n::text::bytea), document, 0, '', 'failed'
           FROM clova_ocr.item, generate_series(1, %s) AS n WHERE state = 'succeeded'""",
        count,
    )
    execute(
        run,
        """INSERT INTO clova_ocr.answer (run, item, request_id, status, body, came)
           SELECT run, id, 'r', 200, %s, 0 FROM clova_ocr.item WHERE state = 'failed'""",
        os.urandom(size),
    )
    execute(run, "UPDATE clova_ocr.item SET answer = answer.id FROM clova_ocr.answer WHERE answer.item = item.id")
    with PostgresRunReader(run) as view:
        tracemalloc.start()
        try:
            found = sum(
                len(record.entry.answer.body) for record in view.records() if record.entry and record.entry.answer
            )
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert found > count * size
    assert peak < count * size / 3


async def test_a_sealed_run_shows_counts_and_names_without_its_key(run: str) -> None:
    """Without the key nothing is opened; another key, or none where one is needed, is refused."""
    await begun(run, SEAL)
    with PostgresRunReader(run) as view:
        status = view.status()
        assert (status.sealed, status.answers, status.images) == ("aes-256-gcm", 1, {"succeeded": 1, "ambiguous": 1})
        assert list(view.ambiguous_names()) == ["ambiguous"]
        for look in (view.records, view.corrections):
            with pytest.raises(LedgerError, match=r"sealed \(aes-256-gcm\); give its key"):
                next(iter(look()))
    with PostgresRunReader(run, SEAL) as view:
        assert [record.entry is not None and record.entry.answer for record in view.records()] == [ANSWER, None]
    for seal in (AESGCMSeal(b"x" * 32), NoSeal()):
        with pytest.raises(LedgerError, match="key"):
            PostgresRunReader(run, seal).__enter__()


async def test_an_answer_without_the_key_leaves_its_item_as_it_is(run: str) -> None:
    """An item that only its sealed answer could settle is pending in a view without the key."""
    await begun(run, SEAL)
    execute(run, "UPDATE clova_ocr.item SET state = 'sent' WHERE state = 'succeeded'")
    with PostgresRunReader(run) as view:
        assert view.status().images == {"ambiguous": 1, "pending": 1}
    with PostgresRunReader(run, SEAL) as view:
        assert view.status().images == {"ambiguous": 1, "succeeded": 1}


async def test_a_run_that_is_not_there_is_named(run: str, postgres_url: str) -> None:
    """A database without tables, one without the run, and a URL without one are told apart from an empty run."""
    with pytest.raises(LedgerError, match="has no run 'march' in this database"):
        PostgresRunReader(run).__enter__()
    await begun(run)
    with pytest.raises(LedgerError, match="has no run 'april' in this database"):
        PostgresRunReader(postgres_url, run="april").__enter__()
    with PostgresRunReader(postgres_url, run="march") as view:
        assert view.answers() == 1


async def test_a_run_exists_once_it_was_begun(run: str) -> None:
    """Neither a database without tables has a run, nor one with other runs; a server that is away is an error."""
    assert not run_exists(run)
    await begun(run)
    assert run_exists(run)
    assert not run_exists(f"{run}2")
    execute(run, "DROP TABLE clova_ocr.run")
    with pytest.raises(LedgerError, match="has no tables of runs any more"):
        run_exists(run)


async def test_tables_of_another_version_are_refused(run: str) -> None:
    """A view changes no tables: older ones are brought up to date by a batch, newer ones need the newer version."""
    await begun(run)
    server = run_location(run)
    with closing(connect(server)) as db, pytest.raises(LedgerError, match=r"older version .* run the batch again"):
        require_current_version(db, server, (*MIGRATIONS, "SELECT 1"))
    execute(run, "UPDATE clova_ocr.schema_version SET version = %s", len(MIGRATIONS) + 1)
    with pytest.raises(LedgerError, match="update it"):
        PostgresRunReader(run).__enter__()


async def test_a_process_is_alive_by_the_servers_clock(run: str) -> None:
    """Another host's process is alive as long as its lease runs; this host's dead process is dead at once."""
    await begun(run)
    here = Process.this()
    for place, pid, lease in (
        ("another-boot pid:[1]", 1, 20),  # of another host: its boot is not an earlier one of this host
        ("another-boot pid:[1]", 2, -1),
        (here.place, 2_000_000_000, 20),
        (here.place, here.pid, 20),
    ):
        execute(
            run,
            """INSERT INTO clova_ocr.owner (run, place, pid, started, expires)
               SELECT id, %s, %s, %s, extract(epoch FROM now()) + %s FROM clova_ocr.run""",
            place,
            pid,
            here.started,
            lease,
        )
    with PostgresRunReader(run) as view:
        assert view.status().processes == 2


async def test_a_view_outlasts_a_restart_of_the_server(run: str, postgres_server: PostgresServer) -> None:
    """While the server is away a look fails with a way out, and afterwards the same view shows the run."""
    await begun(run)
    with PostgresRunReader(run) as view:
        records: Any = view.records()
        assert next(records).path == "read"
        postgres_server.stop()
        try:
            with pytest.raises(StoreAwayError, match="try again once it works"):
                view.status()
            records.close()
            with pytest.raises(StoreAwayError):
                view.status()
        finally:
            postgres_server.start()
        assert view.status().answers == 1


async def test_a_server_that_is_not_there_is_named() -> None:
    """Where no server answers, looking at a run fails with its place and a way out."""
    with pytest.raises(StoreAwayError, match=r"the PostgreSQL server at 127.0.0.1:\d+ does not answer"):
        PostgresRunReader(f"postgresql://127.0.0.1:{free_port()}/db?run=march").__enter__()


async def test_a_view_cannot_write(run: str) -> None:
    """What a view does runs in transactions that the server keeps from writing."""
    await begun(run)
    snapshots = RunSnapshots(run_location(run), Process.this())
    with pytest.raises(StoreAwayError, match="takes no writes"), snapshots.take() as moment:
        moment.rows("DELETE FROM clova_ocr.item RETURNING id")
    with snapshots.take() as moment:
        assert moment.row("SELECT count(*) FROM clova_ocr.item WHERE run = %(run)s") == (2,)
    snapshots.close()


async def test_a_view_may_take_its_time(run: str, postgres_server: PostgresServer) -> None:
    """A report draws pictures between two blocks of rows, also where the server lets no transaction wait so long."""
    await read_images(run, "a")
    postgres_server.psql(f'ALTER DATABASE "{database_of(run)}" SET idle_in_transaction_session_timeout = 1000')
    snapshots = RunSnapshots(run_location(run), Process.this())
    with closing(snapshots), snapshots.take() as moment:
        assert moment.db.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("10min",)


async def test_blocks_do_not_change_what_is_shown(run: str) -> None:
    """More images than a view reads at once come out one by one, in order, and so do those to read."""
    async with PostgresLedger(run) as ledger:
        ledger.add_files([source(f"{number:03}") for number in range(200)], "receipt")
        for number in range(70):
            claim = claimed(await ledger.admit(item(f"sent {number}"), source(f"sent {number:03}")))
            await ledger.sending(claim, f"r{number}")
        with PostgresRunReader(run) as view:
            assert view.status().in_flight == 70
    with PostgresRunReader(run) as view:
        files = [f"{number:03}" for number in range(200)]
        sent = [f"sent {number:03}" for number in range(70)]
        assert [record.path for record in view.records()] == files + sent
        assert [os.fsdecode(file.path) for file in view.to_read("receipt")] == files
        wanted = [os.fsdecode(file.path) for file in view.to_read("receipt", [Billing.MAYBE_BILLED])]
        assert wanted == files + sent
        assert list(view.ambiguous_names()) == sent
        found = view.find(item("sent 1"))
        assert found is not None
        assert found.state is State.AMBIGUOUS


async def test_a_view_gives_a_frozen_server_up(run: str) -> None:
    """A view whose server falls silent ends with an error, and looks again on another connection."""
    await begun(run)
    with closing(RunSnapshots(run_location(run), Process.this(), silence=0.3)) as snapshots:
        with frozen_backends(run) as freeze, snapshots.take() as moment:
            freeze()
            with pytest.raises(StoreAwayError, match="does not answer"), snapshots.take():
                moment.rows("SELECT %(run)s")
        with snapshots.take() as moment:
            assert moment.rows("SELECT 1") == [(1,)]
