from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING, Any

import pytest
from support.ledgers import claimed, item, source
from support.postgres_runs import database_of, execute, read_images

from clova_ocr_async.errors import InvalidRequestError, LedgerError
from clova_ocr_async.host.state_folder import user_state_folder
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.overflow_file import OverflowFile
from clova_ocr_async.ledger.overflow_records import AnswerRecord
from clova_ocr_async.ledger.postgres.database_identity import DatabaseIdentity
from clova_ocr_async.ledger.postgres.existing_run import ExistingRun
from clova_ocr_async.ledger.postgres.ledger import PostgresLedger
from clova_ocr_async.ledger.postgres.purge import purge
from clova_ocr_async.ledger.postgres.run_view import PostgresRunReader
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.settlement import failed_settlement
from clova_ocr_async.ledger.storage import Purged

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import PostgresServer

pytestmark = pytest.mark.server

SEAL = AESGCMSeal(b"k" * 32)


async def finished(run: str, seal: Any) -> None:
    """Leave a run with an image that was read and one whose error repeats what it says."""
    await read_images(run, "read", seal=seal)
    async with PostgresLedger(run, seal=seal) as ledger:
        claim = claimed(await ledger.admit(item("failed"), source("failed")))
        await ledger.sending(claim, "f")
        await ledger.refused(claim, "f", maybe_billed_before=False)
        await ledger.settle(claim, failed_settlement(InvalidRequestError(400, "0011", "canarySHOP said"), "f"))


@pytest.mark.parametrize("seal", [NoSeal(), SEAL], ids=["open", "sealed"])
async def test_nothing_of_an_answer_is_left(run: str, seal: Any, postgres_server: PostgresServer) -> None:
    """A dump has nothing of what was removed; each image keeps its state, and another run its answers."""
    await finished(run, seal)
    await read_images(f"{run}2", "other", seal=SEAL)
    assert purge(run, seal) == Purged(answers=1, failures=1)
    dump = postgres_server.dump(database_of(run))
    assert "canary" not in dump
    assert b"canary".hex() not in dump
    assert purge(run, seal) == Purged(0, 0)
    with PostgresRunReader(run, seal) as view:
        assert [(record.path, record.status) for record in view.records()] == [
            ("read", "succeeded"),
            ("failed", "failed"),
        ]
        assert (view.status().calls, view.status().removed) == (1, 1)
    with PostgresRunReader(f"{run}2", SEAL) as view:
        assert view.answers() == 1


async def test_a_purge_needs_the_key_of_a_sealed_run(run: str) -> None:
    """Without its key nothing of a sealed run is removed: messages are opened before they are shortened."""
    await finished(run, SEAL)
    with pytest.raises(LedgerError, match=r"sealed \(aes-256-gcm\)"):
        purge(run, NoSeal())
    with PostgresRunReader(run) as view:
        assert view.answers() == 1


def waiting_answer(run: str, body: bytes = b"canarySHOP") -> Path:
    """Leave an answer of a run's first image in an overflow file of this host."""
    ((token, number),) = execute(
        run, "SELECT token, item.id FROM clova_ocr.run JOIN clova_ocr.item ON item.run = run.id"
    )
    folder = user_state_folder() / "clova_ocr_async" / "overflow"
    folder.mkdir(parents=True, exist_ok=True)
    file = OverflowFile(folder / f"0-{token}-host-99.overflow")
    file.append(AnswerRecord(number, "late", 200, None, body, 1.0))
    file.close()
    return file.path


async def test_answers_that_wait_on_this_host_are_removed_as_well(run: str) -> None:
    """A purge brings in what an overflow file of this host holds, and removes it with the rest."""
    await read_images(run, "read")
    path = waiting_answer(run)
    with PostgresRunReader(run) as view:
        assert [name.rpartition("/")[2] for name in view.status().overflow_files] == [path.name]
    assert purge(run, NoSeal()).answers == 2
    assert not path.exists()
    with PostgresRunReader(run) as view:
        assert view.status().overflow_files == ()


async def test_a_file_that_is_kept_is_named(run: str) -> None:
    """If a process keeps an overflow file, the purge names the file after it has removed the rest."""
    await read_images(run, "read")
    path = waiting_answer(run)
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LedgerError, match=f"{path.name} still holds answers"):
            purge(run, NoSeal())
    with PostgresRunReader(run) as view:
        assert view.answers() == 0


def test_a_user_without_a_home_has_no_files() -> None:
    """Where no folder can hold overflow files, a run has none, and is looked at all the same."""

    def no_home() -> Path:
        raise LedgerError("this user has no home folder")

    run = ExistingRun(1, "token", "none", None, "full", (), 0, None, 0, None, DatabaseIdentity("", 0))
    assert run.waiting_files(no_home) == []
