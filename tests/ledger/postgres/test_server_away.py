from __future__ import annotations

import asyncio
import os
import re
import stat
from typing import TYPE_CHECKING, Any

import pytest
from support.ledgers import ANSWER, ambiguous, claimed, dead_process, item, read, remote_process, source
from support.postgres_runs import database_of, execute, read_images
from support.servers import free_port
from support.stores import crash_postgres

from clova_ocr_async.errors import Billing, DiskFullError, LedgerError
from clova_ocr_async.ledger import PostgresLedger
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.overflow_file import has_records, read_records
from clova_ocr_async.ledger.overflow_records import AnswerRecord, RefusalRecord
from clova_ocr_async.ledger.postgres import purge
from clova_ocr_async.ledger.postgres.errors import StoreAwayError
from clova_ocr_async.ledger.postgres.overflow_place import (
    files_of_run,
    overflow_files_of,
    overflow_folder,
    overflow_name,
    owner_of,
    prepare_folder,
)
from clova_ocr_async.ledger.postgres.run_view import PostgresRunReader
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.states import ClaimLostError, ItemEvent, Settlement
from clova_ocr_async.ledger.stored_values import sealed_answer
from clova_ocr_async.server_url import ServerURL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.servers import PostgresServer

    from clova_ocr_async.ledger import Claim

pytestmark = pytest.mark.server


@pytest.fixture
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """The server, which runs again after the test."""
    yield postgres_server
    if not postgres_server.is_up():
        postgres_server.start()


async def sent(ledger: PostgresLedger, name: str) -> Claim:
    """Have an item sent under a requestId that is its name."""
    claim = claimed(await ledger.admit(item(name), source(name)))
    assert await ledger.sending(claim, name)
    return claim


def states(run: str) -> list[tuple[str, int]]:
    """Return the states of the items, and their calls that may have been billed."""
    return execute(run, "SELECT state, maybe_billed FROM clova_ocr.item ORDER BY id")


# ---------------------------------------------------------------------------------------------------------------------
# A server that is away


async def test_a_server_that_does_not_answer_is_named_when_a_run_is_opened() -> None:
    """Opening a run on a server that is not there raises a resumable error within the patience, and leaves no file."""
    port = free_port()
    message = rf"server at 127\.0\.0\.1:{port} does not answer.*the run continues"
    with pytest.raises(StoreAwayError, match=message) as raised:
        await PostgresLedger(f"postgresql://user@127.0.0.1:{port}/db", "r", patience=0.2).__aenter__()
    assert raised.value.resumable
    assert list(overflow_folder().iterdir()) == []


async def test_a_restart_is_waited_for(server: PostgresServer, run: str) -> None:
    """A server that restarts in the middle of a run costs some seconds, and nothing else."""
    async with PostgresLedger(run, patience=60.0) as ledger:
        claim = await sent(ledger, "a")
        server.stop()
        answering = asyncio.create_task(ledger.answered(claim, "a", ANSWER))
        sending = asyncio.create_task(sent(ledger, "b"))
        await asyncio.sleep(0)
        server.start()
        await answering
        await ledger.settle(claim, read("a"))
        await ledger.settle(await sending, ambiguous("b"))
        assert ledger.stop_reason is None
    assert states(run) == [("succeeded", 0), ("ambiguous", 1)]
    assert overflow_files_of(run) == []


async def test_results_are_kept_here_while_the_server_is_away(
    server: PostgresServer, run: str, caplog: pytest.LogCaptureFixture
) -> None:
    """While the server is away nothing is sent; answers, refusals and ends are kept in a private file."""
    ledger = PostgresLedger(run, patience=0.1, process=dead_process())
    async with ledger:
        only_claimed = claimed(await ledger.admit(item("c"), source("c")))
        answered, refused, ended, doubted = [await sent(ledger, name) for name in "arsm"]
        server.stop()
        await ledger.answered(answered, "a", ANSWER)
        await ledger.refused(refused, "r", maybe_billed_before=False)
        await ledger.settle(answered, read("a"))
        await ledger.settle(refused, Settlement(ItemEvent.RELEASE, request_id="r"))
        await ledger.settle(ended, Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 1.0, b"{}", "s"))
        with pytest.raises(StoreAwayError):
            await ledger.maybe_billed(doubted, "m")
        await ledger.settle(doubted, ambiguous("m"))
        with pytest.raises(StoreAwayError):  # never sent, so nothing is kept
            await ledger.settle(only_claimed, Settlement(ItemEvent.RELEASE))
        for _ in range(2):
            with pytest.raises(StoreAwayError, match="nothing more is sent"):
                await ledger.sending(only_claimed, "late")
        assert isinstance(ledger.stop_reason, StoreAwayError)
    (file,) = overflow_files_of(run)
    assert isinstance(ledger.stop_reason, StoreAwayError)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert re.fullmatch(
        r"the PostgreSQL server at \S+ does not answer; what it cannot take .* on this machine", warning
    )
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    server.start()
    async with PostgresLedger(run) as ledger:
        assert overflow_files_of(run) == []
        assert (await ledger.admit(item("a"), None)).entry.answer == ANSWER
    assert states(run) == [("queued", 0), ("succeeded", 0), ("queued", 0), ("failed", 0), ("ambiguous", 1)]
    with PostgresRunReader(run) as view:
        status = view.status()
    assert (status.calls, status.maybe_billed, status.in_flight, status.processes) == (2, 1, 0, 0)


async def test_what_was_kept_here_comes_before_what_follows(server: PostgresServer, run: str) -> None:
    """An item is not settled on the server before its answer is there, and leaving empties the file."""
    ledger = PostgresLedger(run, patience=0.1)
    async with ledger:
        claim = await sent(ledger, "a")
        server.stop()
        await ledger.answered(claim, "a", ANSWER)
        server.start()
        await ledger.settle(claim, read("a"))
        assert execute(run, "SELECT count(*) FROM clova_ocr.answer") == [(1,)]
        assert len(overflow_files_of(run)) == 1  # emptied at the next renewal, or now
    assert ledger.stop_reason is None
    assert overflow_files_of(run) == []
    assert states(run) == [("succeeded", 0)]


async def test_the_own_file_is_emptied_when_the_lease_is_renewed(server: PostgresServer, run: str) -> None:
    """Once the server is back, a process that goes on stores what it kept, and still takes no new call."""
    async with PostgresLedger(run, patience=0.1, lease=3.0) as ledger:
        claim = await sent(ledger, "a")
        server.stop()
        await ledger.answered(claim, "a", ANSWER)
        server.start()
        async with asyncio.timeout(30):
            while overflow_files_of(run):  # noqa: ASYNC110 - of another thread
                await asyncio.sleep(0.02)
        assert execute(run, "SELECT count(*) FROM clova_ocr.answer") == [(1,)]
        with pytest.raises(StoreAwayError):
            await ledger.sending(claim, "a")


async def test_a_claim_that_the_server_has_lost_is_not_sent(run: str) -> None:
    """A claim that was lost with the server's power cannot be sent, and its end changes nothing."""
    async with PostgresLedger(run) as ledger:
        claim = claimed(await ledger.admit(item("a"), source("a")))
        execute(run, "DELETE FROM clova_ocr.item")
        with pytest.raises(ClaimLostError):
            await ledger.sending(claim, "a")
        await ledger.settle(claim, Settlement(ItemEvent.RELEASE, request_id="a"))
        assert (await ledger.admit(item("a"), source("a"))).claim is not None


async def test_an_answer_of_an_older_database_is_not_dropped(run: str) -> None:
    """An answer of an image that the run does not have any more is not stored elsewhere, and the error says so."""
    async with PostgresLedger(run) as ledger:
        claim = await sent(ledger, "a")
        execute(run, "DELETE FROM clova_ocr.item")
        await ledger.answered(claim, "a", ANSWER)
        assert "restored from a backup" in str(ledger.stop_reason)
    assert len(overflow_files_of(run)) == 1


async def test_an_answer_whose_number_is_another_images_is_kept_and_named(
    run: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After a backup was restored that gives numbers out again, a kept answer meets no other image, and is not lost."""
    ledger = PostgresLedger(run, process=dead_process())
    await ledger.__aenter__()
    lost, kept = await sent(ledger, "a"), await sent(ledger, "c")
    overflow = ledger._this_owner.overflow  # noqa: SLF001 - while the server is there, nothing else writes to it
    for claim in (lost, kept):
        status, cut, body, unpacked = sealed_answer(NoSeal(), claim.item, ANSWER)
        name = "ac"[claim is kept]
        overflow.keep(AnswerRecord(claim.number, name, status, cut, body, 1.0, unpacked, image=claim.item))
    await crash_postgres(ledger)
    execute(run, "UPDATE clova_ocr.item SET sha256 = %s, request_id = 'b' WHERE id = %s", item("b").sha256, lost.number)
    for _ in range(2):
        async with PostgresLedger(run) as other:
            assert (await other.admit(item("b"), None)).entry.answer is None
            assert (await other.admit(item("c"), None)).entry.answer == ANSWER
    (file,) = overflow_files_of(run)
    assert caplog.text.count(f"{file.name} holds paid answers of images that the run does not have") == 1
    assert execute(run, "SELECT count(*) FROM clova_ocr.answer") == [(1,)]
    with pytest.raises(LedgerError, match="of images that the run does not have"):
        purge(run, NoSeal())
    assert overflow_files_of(run) == [file]


async def test_a_restored_run_keeps_what_was_paid_for_since(run: str) -> None:
    """A backup gives numbers of processes out again; the answers in a file of such a number stay on the disk."""
    await read_images(run, "a")
    ended = PostgresLedger(run, process=dead_process())
    await ended.__aenter__()
    claim = await sent(ended, "b")
    status, cut, body, unpacked = sealed_answer(NoSeal(), claim.item, ANSWER)
    paid = AnswerRecord(claim.number, "b", status, cut, body, 1.0, unpacked, image=claim.item)
    ended._this_owner.overflow.keep(paid)  # noqa: SLF001 - while the server is there, nothing else writes to it
    await crash_postgres(ended)
    (file,) = overflow_files_of(run)
    # What a dump of before does to the rows and the counter.
    execute(run, "DELETE FROM clova_ocr.item WHERE id = %s", claim.number)
    execute(run, "DELETE FROM clova_ocr.owner")
    execute(run, f"ALTER TABLE clova_ocr.owner ALTER id RESTART WITH {claim.owner}")
    async with PostgresLedger(run) as ledger:
        assert claimed(await ledger.admit(item("c"), None)).owner == claim.owner + 1
    assert read_records(file) == [paid]


async def test_a_run_that_is_restored_under_a_process_stops_it(run: str) -> None:
    """An answer of an image that the restored run does not have is kept, and each later call has the reason."""
    async with PostgresLedger(run) as ledger:
        claim, waiting = await sent(ledger, "a"), claimed(await ledger.admit(item("b"), source("b")))
        execute(run, "DELETE FROM clova_ocr.item WHERE id = %s", claim.number)
        await ledger.answered(claim, "a", ANSWER)
        with pytest.raises(LedgerError, match=r"was restored from a backup.*; run again") as raised:
            await ledger.sending(waiting, "b")
        assert raised.value.resumable
    assert len(overflow_files_of(run)) == 1


async def test_a_settlement_of_another_images_number_changes_nothing(run: str) -> None:
    """A process whose claim is gone, as a backup was restored, does not release what another one has claimed."""
    async with PostgresLedger(run) as ledger:
        claim = claimed(await ledger.admit(item("a"), source("a")))
        execute(run, "UPDATE clova_ocr.item SET sha256 = %s", item("b").sha256)
        await ledger.settle(claim, Settlement(ItemEvent.RELEASE))
        assert execute(run, "SELECT state FROM clova_ocr.item") == [("claimed",)]


async def test_a_server_that_takes_no_writes(run: str, postgres_server: PostgresServer) -> None:
    """A database that was set to read only is as good as away, and the error says so."""
    await read_images(run, "a")
    postgres_server.psql(f'ALTER DATABASE "{database_of(run)}" SET default_transaction_read_only = on')
    with pytest.raises(StoreAwayError, match="takes no writes") as raised:
        await PostgresLedger(run, patience=0.0).__aenter__()
    assert raised.value.sqlstate == "25006"


# ---------------------------------------------------------------------------------------------------------------------
# The files


async def test_an_answer_that_was_kept_is_sealed(server: PostgresServer, run: str) -> None:
    """What is kept on this host is sealed where the run is."""
    seal = AESGCMSeal(bytes(range(32)))
    async with PostgresLedger(run, patience=0.1, seal=seal) as ledger:
        claim = await sent(ledger, "a")
        server.stop()
        await ledger.answered(claim, "a", ANSWER)
        await ledger.settle(claim, Settlement(ItemEvent.FAIL, Billing.BILLED, 1.0, b"canaryFAILURE", "a"))
    (file,) = overflow_files_of(run)
    assert b"canary" not in file.read_bytes()
    server.start()
    async with PostgresLedger(run, seal=seal) as ledger:
        entry = (await ledger.admit(item("a"), None)).entry
        assert (entry.answer, entry.failure) == (ANSWER, b"canaryFAILURE")


async def test_a_file_of_a_process_that_was_killed_is_stored(server: PostgresServer, run: str) -> None:
    """The file of a process that was killed while the server was away is stored once its lease is over."""
    killed = PostgresLedger(run, patience=0.1, process=remote_process(), lease=0.5)
    await killed.__aenter__()
    claim = await sent(killed, "a")
    server.stop()
    await killed.answered(claim, "a", ANSWER)
    await crash_postgres(killed)
    server.start()
    async with PostgresLedger(run) as ledger, asyncio.timeout(30):
        while await ledger.others_at_work(["receipt"]):  # noqa: ASYNC110 - its lease
            await asyncio.sleep(0.02)
        assert (await ledger.admit(item("a"), None)).entry.answer == ANSWER
    assert overflow_files_of(run) == []


async def test_a_file_of_another_database_is_left_alone(server: PostgresServer, run: str) -> None:
    """A file of a run that is gone is not stored in a new run of the same name: its numbers are other images'."""
    async with PostgresLedger(run, patience=0.1) as ledger:
        claim = await sent(ledger, "a")
        server.stop()
        await ledger.answered(claim, "a", ANSWER)
    server.start()
    execute(run, "DROP SCHEMA clova_ocr CASCADE")
    async with PostgresLedger(run) as ledger:
        await sent(ledger, "b")
    assert len(overflow_files_of(run)) == 1
    assert execute(run, "SELECT count(*) FROM clova_ocr.answer") == [(0,)]


async def test_a_slept_owner_is_told_from_its_file(run: str) -> None:
    """The file of a living process is its own to store: another one leaves it."""
    async with PostgresLedger(run) as one, PostgresLedger(run, process=remote_process()) as two:
        one._this_owner.overflow.keep(RefusalRecord(1, "r"))  # noqa: SLF001 - while the server is there, nothing else does
        await two.others_at_work(["receipt"])
        assert len(overflow_files_of(run)) == 1
    assert overflow_files_of(run) == []


async def test_an_answer_after_the_end_is_refused(run: str) -> None:
    """A ledger that is closed keeps nothing any more, and says so."""
    ledger = PostgresLedger(run)
    async with ledger:
        claim = await sent(ledger, "a")
    with pytest.raises(LedgerError, match="not open"):
        await ledger.answered(claim, "a", ANSWER)
    with pytest.raises(DiskFullError, match="not open"):
        ledger._this_owner.overflow.keep(RefusalRecord(1, "r"))  # noqa: SLF001 - a thread that comes too late
    ledger._this_owner.overflow.note_size(10**9)  # noqa: SLF001 - as above
    ledger._this_owner.overflow.mark_replayed({})  # noqa: SLF001 - as above
    ledger._this_owner.overflow.close()  # noqa: SLF001 - as above


def test_the_folder_is_closed_to_others(tmp_path: Path) -> None:
    """The folder is made for this user alone; an open one is closed, and a link or another's is refused."""
    folder = tmp_path / "state" / "overflow"
    prepare_folder(folder)
    folder.chmod(0o755)
    prepare_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(LedgerError, match="is a link"):
        prepare_folder(link)
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="where paid answers are kept while the server is away: "):
        prepare_folder(tmp_path / "file" / "overflow")


def test_a_user_without_a_home() -> None:
    """A user without a home folder learns which variable names one."""

    def homeless() -> Path:
        raise RuntimeError

    with pytest.raises(LedgerError, match="set XDG_STATE_HOME"):
        overflow_folder(None, homeless)


def test_names_of_files(tmp_path: Path) -> None:
    """A name tells the run, the host and the owner; the spelling of the user and of the port is not part of it."""
    places = [
        ServerURL("postgresql://one@host:5432/db", None, "r"),
        ServerURL("postgresql://two@HOST/db", None, "r"),
        ServerURL("postgresql://two@host/db", None, "other"),
    ]
    token = "0123456789abcdef" * 2
    names = [overflow_name(place, token, 7, "a host.example") for place in places]
    assert names[0] == names[1] != names[2]
    assert names[0].endswith(f"-{token}-a_host_example-7.overflow")
    for name in names:
        (tmp_path / name).touch()
    assert [owner_of(path) for path in files_of_run(tmp_path, token)] == [7, 7]
    assert owner_of(tmp_path / "mine.overflow") == 0
    assert overflow_files_of(places[0], state_folder=tmp_path) == []
    assert not has_records(tmp_path / names[0])
    assert os.fspath(overflow_folder(tmp_path)).endswith("clova_ocr_async/overflow")


def test_names_of_files_of_a_server_with_several_hosts() -> None:
    """The hosts of a URL, each with its port, name a run together."""
    places = ["postgresql://one@a:5432,b:5433/db", "postgresql://a,b:5433/db", "postgresql://a,b:5434/db"]
    names = [overflow_name(ServerURL(place, None, "r"), "0" * 32, 7, "host") for place in places]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("token", ["*", "../../x", "0" * 31, ""])
async def test_a_name_that_others_gave_the_run_reaches_no_files(token: str, run: str) -> None:
    """A random name that was changed in the database opens no files of other runs, and creates none elsewhere."""
    await read_images(run, "a")
    execute(run, "UPDATE clova_ocr.run SET token = %s", token)
    with pytest.raises(LedgerError, match="changed the random name"):
        await PostgresLedger(run).__aenter__()


async def test_an_opening_that_is_cancelled_leaves_no_owner(run: str) -> None:
    """A caller that is cancelled while a run is opened leaves no owner and no file behind."""
    for steps in range(6):
        ledger: Any = PostgresLedger(run)
        opening = asyncio.create_task(ledger.__aenter__())
        for _ in range(steps):
            await asyncio.sleep(0.005)
        opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled():
            await ledger.__aexit__(None, None, None)
        if execute(run, "SELECT to_regclass('clova_ocr.owner') IS NULL") == [(False,)]:
            assert execute(run, "SELECT count(*) FROM clova_ocr.owner") == [(0,)]
    assert list(overflow_folder().iterdir()) == []


async def test_a_child_of_a_fork_uses_nothing_of_its_parent(run: str) -> None:
    """The child of a fork is refused, closes nothing of its parent's, and leaves the parent's file."""
    async with PostgresLedger(run) as ledger:
        if not (child := os.fork()):
            os._exit(await _told_of_the_fork(ledger))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7  # noqa: ASYNC222 - it ends at once
        assert len(list(overflow_folder().iterdir())) == 1
        await sent(ledger, "a")


async def _told_of_the_fork(ledger: PostgresLedger) -> int:
    try:
        ledger.add_files([source("a")], "receipt")
    except LedgerError as error:
        ledger._this_owner.overflow.close()  # noqa: SLF001 - what leaving does, without the loop, which is the parent's
        ledger._database.close()  # noqa: SLF001 - as above
        return 7 if "forked" in str(error) else 1
    return 2
