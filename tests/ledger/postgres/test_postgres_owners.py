from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from support.ledgers import ANSWER, Clock, ambiguous, claimed, dead_process, item, read, remote_process, source
from support.postgres_runs import database_of, execute
from support.stores import crash_postgres

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger import PostgresLedger
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.postgres import owners
from clova_ocr_async.ledger.postgres.connection import Database
from clova_ocr_async.ledger.postgres.overflow_place import is_in_use, overflow_folder
from clova_ocr_async.ledger.postgres.own_overflow import OwnOverflow
from clova_ocr_async.ledger.postgres.schema import migrate
from clova_ocr_async.ledger.postgres.this_owner import LeaseClock, ThisOwner
from clova_ocr_async.ledger.run_settings import LEASE
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.states import ClaimLostError
from clova_ocr_async.protocol.response import HTTPResponse
from clova_ocr_async.server_url import ServerURL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.servers import PostgresServer

pytestmark = pytest.mark.server

RUN = 7


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    """A database with the tables of runs."""
    database = Database(ServerURL(postgres_url))
    database.run(migrate)
    yield database
    database.close()


async def test_a_database_that_writes_fewer_digits(run: str, postgres_server: PostgresServer) -> None:
    """Where a database rounds the times that it writes, what a dead process left is taken over all the same."""
    postgres_server.psql(f'ALTER DATABASE "{database_of(run)}" SET extra_float_digits = 0')
    dead = PostgresLedger(run, process=dead_process())
    await dead.__aenter__()
    await dead.admit(item("a"), source("a"))
    await crash_postgres(dead)
    async with PostgresLedger(run) as ledger:
        assert claimed(await ledger.admit(item("a"), None)).interrupted == 1


async def test_a_process_whose_owner_is_gone_becomes_another_at_once(run: str) -> None:
    """A process that others took for dead, as the server's clock was set, claims nothing more under its old number."""
    async with PostgresLedger(run) as ledger:
        lost = claimed(await ledger.admit(item("a"), source("a")))
        execute(run, "DELETE FROM clova_ocr.owner")
        with pytest.raises(ClaimLostError):
            await ledger.sending(lost, "a")
        claim = claimed(await ledger.admit(item("b"), source("b")))
        assert claim.owner > lost.owner
        with pytest.raises(ClaimLostError):
            await ledger.sending(lost, "a")
        assert await ledger.sending(claim, "b")
        assert claimed(await ledger.admit(item("a"), None)).owner == claim.owner


def test_leases(database: Database) -> None:
    """An owner lives until its lease ends unless that is renewed; one whose process has ended here is dead at once."""

    def work(db: Any) -> None:
        here, remote = Process.this(), remote_process()
        first = owners.register(db, RUN, remote, LEASE, 100.0)
        second = owners.register(db, RUN, remote_process(), LEASE, 110.0)
        third = owners.register(db, RUN, dead_process(), LEASE, 110.0)
        other_boot = owners.register(db, RUN, Process("another boot", 1, "1"), LEASE, 110.0)
        assert [owner for owner, _ in owners.dead_owners(db, RUN, here, 100.0)] == [third]
        assert [owner for owner, _ in owners.dead_owners(db, RUN, here, 101.0 + LEASE)] == [first, third]
        assert owners.living_owners(db, RUN, here, 101.0 + LEASE) == [second, other_boot]
        assert owners.living_owners(db, RUN + 1, here, 101.0) == []
        assert owners.renew(db, first, remote, LEASE, 105.0)
        assert owners.living_owners(db, RUN, here, 101.0 + LEASE) == [first, second, other_boot]
        # A lease further off than any is of a clock that was set back.
        assert owners.living_owners(db, RUN, here, 1.0) == []

    database.run(work)


def test_an_owner_is_never_used_twice(database: Database) -> None:
    """The number of a removed owner is not given again, so what it still writes is refused for good."""

    def work(db: Any) -> None:
        remote = remote_process()
        first = owners.register(db, RUN, remote, LEASE, None)
        assert owners.is_leased(db, first, remote, LEASE, None)
        owners.release_all(db, RUN, first)
        assert not owners.renew(db, first, remote, LEASE, None)
        assert not owners.is_leased(db, first, remote, LEASE, None)
        assert owners.register(db, RUN, remote_process(), LEASE, None) > first

    database.run(work)


def test_a_lease_that_is_over_and_was_not_taken_is_extended(database: Database) -> None:
    """A process that looks at its lease before it sends extends it, if nobody has taken its work meanwhile."""

    def work(db: Any) -> None:
        remote = remote_process()
        owner = owners.register(db, RUN, remote, LEASE, 100.0)
        assert owners.is_leased(db, owner, remote, LEASE, 200.0)
        assert owners.living_owners(db, RUN, Process.this(), 201.0) == [owner]

    database.run(work)


def test_an_owner_that_has_renewed_its_lease_is_left(database: Database) -> None:
    """An owner that looked dead, and renews its lease before its work is taken, keeps its work."""

    def work(db: Any) -> None:
        remote = remote_process()
        owner = owners.register(db, RUN, remote, LEASE, 100.0)
        dead = owners.dead_owners(db, RUN, Process.this(), 200.0)
        owners.renew(db, owner, remote, LEASE, 200.0)
        owners.take_over(db, RUN, dead, NoSeal(), lambda: 0.0)
        assert owners.living_owners(db, RUN, Process.this(), 201.0) == [owner]

    database.run(work)


async def test_a_number_that_a_server_gave_twice_lets_one_process_send(run: str, tmp_path: Path) -> None:
    """A standby that lost the last commits gives an owner's number again: the process that had it before is fenced."""
    async with PostgresLedger(run, process=remote_process()) as first:
        claim = claimed(await first.admit(item("a"), source("a")))
        execute(run, "DELETE FROM clova_ocr.owner")
        execute(run, "UPDATE clova_ocr.item SET state = 'queued', owner = NULL")
        execute(run, "SELECT setval(pg_get_serial_sequence('clova_ocr.owner', 'id'), %s, false)", claim.owner)
        async with PostgresLedger(run, process=remote_process(), state_folder=tmp_path) as second:
            again = claimed(await second.admit(item("a"), source("a")))
            assert again == claim
            with pytest.raises(ClaimLostError):
                await first.sending(claim, "first")
            assert await second.sending(again, "second")
            await second.answered(again, "second", ANSWER)
            await second.settle(again, read("second"))


async def test_a_claim_after_the_removal_is_taken_over(run: str) -> None:
    """What a process claims after others have removed it goes back to the others."""
    async with PostgresLedger(run, process=remote_process()) as ledger, PostgresLedger(run) as other:
        execute(run, "DELETE FROM clova_ocr.owner WHERE id = %s", ledger._this_owner.number)  # noqa: SLF001 - its number
        ledger.add_files([source("f")], "receipt")
        await ledger.claim_files(["receipt"], 1)
        await ledger.admit(item("a"), source("a"))
        await other.others_at_work(["receipt"])
        assert claimed(await other.admit(item("a"), None)).number
        assert [file.path for file in await other.claim_files(["receipt"], 9)] == [b"f", b"a"]


async def test_a_caller_that_is_cancelled_without_a_claim_releases_none(run: str) -> None:
    """A caller that is cancelled while it is told of another one's item leaves that with its owner."""
    async with PostgresLedger(run) as ledger:
        claim = claimed(await ledger.admit(item("a"), None))
        asking = asyncio.create_task(ledger.admit(item("a"), None))
        await asyncio.sleep(0)  # it has asked
        asking.cancel()
        await asyncio.wait([asking])
        assert await ledger.sending(claim, "a")


async def test_a_late_answer_that_does_not_open_counts(run: str, caplog: pytest.LogCaptureFixture) -> None:
    """A late answer that was damaged settles nothing: its call may have been billed, and it is reported once."""
    async with PostgresLedger(run, seal=AESGCMSeal(bytes(32))) as ledger:
        claim = claimed(await ledger.admit(item("a"), source("a")))
        await ledger.sending(claim, "a")
        await ledger.settle(claim, ambiguous("a"))
        await ledger.answered(claim, "a", ANSWER)
        assert execute(run, "SELECT maybe_billed FROM clova_ocr.item") == [(0,)]
        execute(run, "UPDATE clova_ocr.answer SET body = 'damaged'")
        for _ in range(3):
            await ledger.others_at_work(["receipt"])
        assert execute(run, "SELECT state, maybe_billed FROM clova_ocr.item") == [("ambiguous", 1)]
    assert 1 <= caplog.text.count("does not open") <= 2


async def test_a_second_answer_after_the_end_is_stored_beside_the_first(run: str) -> None:
    """A second answer of a call that has ended is stored, and the item keeps the one that it has."""
    times = iter(range(1, 99))
    async with PostgresLedger(run, now=lambda: float(next(times))) as ledger:
        claim = claimed(await ledger.admit(item("a"), source("a")))
        await ledger.sending(claim, "a")
        await ledger.answered(claim, "a", ANSWER)
        await ledger.settle(claim, read("a"))
        await ledger.answered(claim, "a", HTTPResponse(200, b"{}"))
        assert (await ledger.admit(item("a"), None)).entry.answer == ANSWER
    assert execute(run, "SELECT count(*) FROM clova_ocr.answer") == [(2,)]


async def test_a_lease_that_cannot_be_renewed_is_logged(
    postgres_server: PostgresServer, run: str, caplog: pytest.LogCaptureFixture
) -> None:
    """While the server is away the lease cannot be renewed: the outage is logged once, and so is its end."""
    clock = Clock()
    async with PostgresLedger(run, patience=0.0, clock=clock) as ledger:
        postgres_server.stop()
        try:
            for _ in range(4):
                clock.now += LEASE / 8
                with pytest.raises(LedgerError):
                    await ledger.others_at_work(["receipt"])
        finally:
            postgres_server.start()
        clock.now += LEASE / 2
        await ledger.others_at_work(["receipt"])
        assert execute(run, "SELECT expires FROM clova_ocr.owner") == [(clock.now + LEASE,)]
    first, last = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert first.endswith("what it cannot take meanwhile is kept on this machine")
    assert last == "the PostgreSQL server of the run can be used again"


async def test_a_file_that_cannot_be_read_holds_up_no_lease_and_no_answer(
    run: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that another process left and that cannot be read is logged; leases are renewed, and answers stored."""
    clock = Clock()
    async with PostgresLedger(run, clock=clock) as ledger:
        claim = claimed(await ledger.admit(item("a"), source("a")))
        await ledger.sending(claim, "a")
        (token,) = execute(run, "SELECT token FROM clova_ocr.run")[0]
        unreadable = overflow_folder() / f"0-{token}-host-999.overflow"
        unreadable.mkdir()
        clock.now += LEASE / 2
        await ledger.answered(claim, "a", ANSWER)
        assert execute(run, "SELECT count(*) FROM clova_ocr.answer") == [(1,)]
        assert execute(run, "SELECT expires FROM clova_ocr.owner") == [(clock.now + LEASE,)]
        unreadable.rmdir()
    assert "what other processes left could not be settled: the files of this user in" in caplog.text


def test_two_threads_renew_a_lease_once(tmp_path: Path) -> None:
    """A thread that waited for another one to renew the lease does not renew it again."""
    times = iter([0.0, -1.0])
    clock, overflow = LeaseClock(LEASE, lambda: next(times), None), OwnOverflow(ServerURL(""), tmp_path)
    owner = ThisOwner(Process.this(), clock, lambda: 0.0, NoSeal(), overflow)
    owner.renew_if_due(cast("Any", None))
    assert list(times) == []


async def test_the_file_of_a_parent_stays(run: str) -> None:
    """A ledger whose process was forked is refused in the child, which closes the file and leaves it where it is."""
    ledger = PostgresLedger(run)
    await ledger.__aenter__()
    (file,) = overflow_folder().iterdir()
    assert is_in_use(file)
    assert not is_in_use(file.with_name("missing"))
    vars(ledger._this_owner.overflow)["_process"] = vars(ledger._database)["_process"] = 1  # noqa: SLF001 - a real fork is
    # tested as well, and coverage does not see its child
    with pytest.raises(LedgerError, match="before this process was forked"):
        await ledger.others_at_work(["receipt"])
    await ledger.__aexit__(None, None, None)
    assert file.exists()
    assert not is_in_use(file)


async def test_the_loop_may_end_before_the_ledger(run: str) -> None:
    """A thread that finds the server away after the event loop has ended is not stopped by that."""
    ledger = PostgresLedger(run)
    ended = asyncio.new_event_loop()
    ended.close()
    async with ledger:
        ledger._outcomes.loop = ended  # noqa: SLF001 - no seam ends the loop of a test
        ledger._outcomes._stop(LedgerError("away"))  # noqa: SLF001 - as above
        assert ledger.stop_reason is None
