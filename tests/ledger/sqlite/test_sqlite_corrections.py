from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest
from support.ledgers import ANSWER, Clock, claimed, contents, item, opened, query, read, remote_process, source
from support.released_schemas import begin_older

from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.corrections import Change, ChangeKind, decode_change
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite.corrections import SqliteCorrections
from clova_ocr_async.ledger.sqlite.owners import LEASE
from clova_ocr_async.ledger.sqlite.purge import purge
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.ledger.sqlite.schema import MIGRATIONS

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.ledger.seal import Seal

SHOP = Change(ChangeKind.CORRECT, "canaryMINJI", "result.storeInfo.name", "canaryOLD", "canaryNEW")
SEAL = AESGCMSeal(b"k" * 32)
DEEP = b'{"kind":"done","by":"a","unknown":' + b"[" * 100_000


async def begun(run: Path, seal: Seal | None = None) -> None:
    """Leave a run with two items that were read."""
    async with opened(run, seal=seal) as ledger:
        for name in "ab":
            claim = claimed(await ledger.admit(item(name), source(name)))
            await ledger.sending(claim, name)
            await ledger.answered(claim, name, ANSWER)
            await ledger.settle(claim, read(name))


async def test_a_sealed_run_seals_what_people_change(run: Path) -> None:
    """The files of a sealed run hold neither values nor names of people; only its key opens them."""
    await begun(run, SEAL)
    with SqliteCorrections(run, SEAL) as record:
        correction = record.append(item("a"), SHOP, after=0)
        assert all(b"canary" not in content for content in contents(run))
    with RunReader(run, SEAL) as reader:
        assert list(reader.corrections()) == [correction]
    with RunReader(run) as reader:
        assert reader.status().corrections == 1
        with pytest.raises(LedgerError, match=r"sealed \(aes-256-gcm\); give its key"):
            list(reader.corrections())
    for seal in (AESGCMSeal(b"x" * 32), NoSeal()):
        with pytest.raises(LedgerError, match="key"):
            SqliteCorrections(run, seal).__enter__()


async def test_a_correction_opens_in_its_own_place_alone(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One that was moved to another item or number comes without its change, and the others come whole."""
    await begun(run, SEAL)
    with SqliteCorrections(run, SEAL) as record:
        for after in range(3):
            record.append(item("a"), SHOP, after=after)
    query_and_commit(run, "DROP TRIGGER correction_stays")
    query_and_commit(run, "UPDATE correction SET item = 2 WHERE number = 1")
    query_and_commit(
        run, "UPDATE correction SET change = (SELECT change FROM correction WHERE number = 3) WHERE number = 2"
    )
    with RunReader(run, SEAL) as reader:
        found = {one.number: (one.item, one.change) for one in reader.corrections()}
    assert found == {1: (item("b"), None), 2: (item("a"), None), 3: (item("a"), SHOP)}
    assert "the stored correction 1 of image" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize("stored", [b"\xff", b'{"kind":"guess"}', DEEP])
async def test_a_damaged_correction_is_lost_alone(run: Path, stored: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """What another program has changed comes without its change, and the run can be corrected further."""
    await begun(run)
    with SqliteCorrections(run) as record:
        record.append(item("a"), SHOP, after=0)
        query_and_commit(run, "DROP TRIGGER correction_stays")
        query_and_commit(run, "UPDATE correction SET change = ?", stored)
        record.append(item("a"), SHOP, after=1)
    with RunReader(run) as reader:
        assert [one.change for one in reader.corrections()] == [None, SHOP]
    assert "the stored correction 1 of image" in caplog.text
    with pytest.raises(ValueError, match="not the JSON of a change"):
        decode_change(stored)


def query_and_commit(run: Path, statement: str, *values: object) -> None:
    """Change the file as another program would."""
    with closing(sqlite3.connect(run / LEDGER)) as db, db:
        db.execute(statement, values)


async def test_the_file_itself_keeps_corrections_as_they_are(run: Path) -> None:
    """The tables refuse a change of a correction, whichever program asks for it."""
    await begun(run)
    with SqliteCorrections(run) as record:
        record.append(item("a"), SHOP, after=0)
    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        query_and_commit(run, "UPDATE correction SET made = 0")


async def test_answers_stay_byte_for_byte(run: Path) -> None:
    """A correction changes no row of items, answers and files, and no setting."""
    await begun(run)
    tables = ("item", "answer", "source", "run")
    before = [query(run, f"SELECT * FROM {table}") for table in tables]  # noqa: S608 - names of our own
    with SqliteCorrections(run) as record:
        record.append(item("a"), SHOP, after=0)
    assert [query(run, f"SELECT * FROM {table}") for table in tables] == before  # noqa: S608 - as above


async def test_more_corrections_than_a_block(run: Path) -> None:
    """Any number comes out, each once."""
    await begun(run)
    with SqliteCorrections(run) as record:
        for after in range(70):
            record.append(item("a"), SHOP, after=after)
    with RunReader(run) as reader:
        assert [one.number for one in reader.corrections()] == list(range(1, 71))
        assert [one.number for one in reader.corrections(item("a"))] == list(range(1, 71))


def test_an_older_run_is_brought_up_to_date(run: Path) -> None:
    """A look at an older run finds no corrections and changes nothing; recording one brings its tables up to date."""
    begin_older(run, 4)
    with RunReader(run) as reader:
        assert (list(reader.corrections()), reader.status().corrections) == ([], 0)
    assert query(run, "PRAGMA user_version") == [(4,)]
    with SqliteCorrections(run) as record:
        record.append(item("read"), SHOP, after=0)
    assert query(run, "PRAGMA user_version") == [(len(MIGRATIONS),)]


def test_a_view_sees_corrections_beside_an_overflow_file(run: Path) -> None:
    """While answers of a killed process wait beside the ledger, a view shows each correction that is recorded."""
    begin_older(run, 4)
    with SqliteCorrections(run) as record, RunReader(run) as reader:
        for after in range(3):
            record.append(item("read"), SHOP, after=after)
            assert [one.number for one in reader.corrections()] == list(range(1, after + 2))


def test_an_older_version_at_work_keeps_its_tables(run: Path) -> None:
    """While a process of an older version works on the run nothing is changed, and the error names the way out."""
    clock = Clock()
    begin_older(run, 4, remote_process())
    with pytest.raises(LedgerError, match="1 process is at work on this run; wait for it to end"):
        SqliteCorrections(run, clock=clock).__enter__()
    assert query(run, "PRAGMA user_version") == [(4,)]
    clock.now += LEASE + 1
    with SqliteCorrections(run, clock=clock) as record:
        record.append(item("read"), SHOP, after=0)


async def test_a_ledger_that_was_replaced_takes_no_correction(run: Path) -> None:
    """A correction is not acknowledged once the run's file is another one, or is gone."""
    await begun(run)
    with SqliteCorrections(run) as record:
        (run / LEDGER).rename(run / "elsewhere")
        with pytest.raises(LedgerError, match="removed or replaced"):
            record.append(item("a"), SHOP, after=0)


async def test_a_full_disk_records_nothing(run: Path) -> None:
    """A correction that finds no room is an error that says so, and the next one is recorded once there is some."""
    await begun(run)
    with SqliteCorrections(run) as record:
        record._db.execute("PRAGMA max_page_count = 1")  # noqa: SLF001 - no seam fills a disk
        with pytest.raises(DiskFullError, match="make room"):
            list(map(partial(_append, record), range(1000)))
        record._db.execute("PRAGMA max_page_count = 100000")  # noqa: SLF001 - as above
        with RunReader(run) as reader:
            recorded = reader.status().corrections
        record.append(item("a"), SHOP, after=recorded)


def _append(record: SqliteCorrections, after: int) -> None:
    record.append(item("a"), SHOP, after=after)


def test_a_folder_without_a_ledger_is_refused(run: Path) -> None:
    """There is nothing to correct where there is no run."""
    with pytest.raises(LedgerError, match="is not there; give a run directory"):
        SqliteCorrections(run).__enter__()


async def test_a_purge_leaves_no_byte_of_a_correction(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a purge the files hold neither old nor new values, nor the names of people, while a review is open."""
    caplog.set_level(logging.WARNING)
    await begun(run)
    with SqliteCorrections(run) as record:
        record.append(item("a"), SHOP, after=0)
        purge(run, NoSeal())
        assert all(b"canary" not in content for content in contents(run))
