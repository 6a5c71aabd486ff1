"""Runs of every released version: they are read, brought up to date, and bill nothing again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from support.ledgers import ANSWER, Clock, claimed, crash, item, opened, query, read, remote_process, source
from support.released_schemas import CALLS, RELEASED, begin_older, create_tables, make_older

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.overflow_file import overflow_paths
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite.owners import LEASE
from clova_ocr_async.ledger.sqlite.purge import purge
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.ledger.sqlite.schema import MIGRATIONS, migrate
from clova_ocr_async.ledger.states import FileStamp, SourceFile
from clova_ocr_async.ledger.stored_values import seal_context

if TYPE_CHECKING:
    from pathlib import Path

STAMP = FileStamp(1, 2, 3, 4)
STATUSES = {
    "read": "succeeded",
    "doubted": "ambiguous",
    "queued": "pending",
    "answered": "succeeded",  # by the overflow file
    "lost": "ambiguous",
    "unread": "failed",
    "refused": "skipped",
    "settled": "ambiguous",  # by the overflow file
    "taken back": "pending",  # by the overflow file
    "new": "pending",
}
PAID = ("read", "doubted", "answered", "lost", "unread", "refused", "settled")

# As the last version before pages claims an image, and takes files.
OLD_CLAIM = """INSERT INTO item (sha256, document, state, owner) VALUES (?, 'receipt', 'claimed', 4)
               ON CONFLICT (sha256, document) DO UPDATE SET state = excluded.state, owner = excluded.owner
               WHERE state = 'queued' RETURNING id"""
OLD_LINK = """INSERT INTO source (document, path, open, item) VALUES ('receipt', ?, 0, ?)
              ON CONFLICT (document, path) DO UPDATE SET open = 0, owner = NULL, item = excluded.item"""
OLD_SEND = """UPDATE item SET state = 'sent', request_id = ?, sent_at = 1, attempts = attempts + 1
              WHERE id = ? AND owner = 4 AND state IN ('claimed', 'sent')"""
OLD_ANSWER = """INSERT INTO answer (item, request_id, status, cut, body, came, unpacked)
                VALUES (?, ?, 200, NULL, ?, 9, NULL) ON CONFLICT (item, request_id, came) DO NOTHING"""


@pytest.mark.parametrize("version", RELEASED)
async def test_a_run_of_an_older_version_bills_nothing_again(run: Path, version: int) -> None:
    """A call that was paid, or may have been, stays so under its number; an image that was not sent is sent as ever."""
    begin_older(run, version)
    numbers = "SELECT id, sha256 FROM item WHERE id < 12 ORDER BY id"
    before = query(run, numbers)
    async with opened(run) as ledger:
        for name in PAID:
            assert (await ledger.admit(item(name), SourceFile(name.encode(), STAMP))).claim is None, name
            assert await ledger.recall(SourceFile(name.encode(), STAMP), "receipt") is not None
        for name in ("queued", "taken back"):
            claimed(await ledger.admit(item(name), None))
    assert query(run, numbers) == before
    with RunReader(run) as reader:
        records = list(reader.records())
        status = reader.status()
    assert {record.path: record.status for record in records} == STATUSES
    assert (status.calls, status.maybe_billed, status.billed) == (CALLS - 1, 3, 3)
    assert {record.page for record in records} == {None}
    assert {record.entry.item for record in records if record.entry is not None} == {
        item(name) for name in STATUSES if name != "new"
    }
    assert overflow_paths(run) == []
    assert query(run, "PRAGMA user_version") == [(len(MIGRATIONS),)]


@pytest.mark.parametrize("version", RELEASED)
def test_a_look_at_a_run_of_an_older_version_changes_nothing_of_it(run: Path, version: int) -> None:
    """Counts and records of an older run come out without a change of its files."""
    begin_older(run, version)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.iterdir()}
    with RunReader(run, NoSeal()) as reader:
        assert {record.path: record.status for record in reader.records()} == STATUSES
        status = reader.status()
        assert (status.calls, status.maybe_billed, status.billed) == (CALLS - 1, 3, 3)
        names = list(reader.ambiguous_names())
    assert names == ["doubted", "lost", "settled"]
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.iterdir()} == before


@pytest.mark.parametrize("version", RELEASED)
def test_the_tables_become_those_of_a_new_run(version: int) -> None:
    """Tables, indexes and triggers of an older file come out as those of a new one."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as older:
        create_tables(older, version)
        migrate(older)
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as new:
            migrate(new)
            assert _schema(older) == _schema(new)
        assert older.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def _schema(db: sqlite3.Connection) -> dict[str, Any]:
    found = db.execute("SELECT name, sql FROM sqlite_schema").fetchall()
    return {name: None if sql is None else "".join(_without_remarks(sql).split()) for name, sql in found}


def _without_remarks(sql: str) -> str:
    return "\n".join(line.partition("--")[0] for line in sql.splitlines())


@pytest.mark.parametrize("work", ["batch", "purge"])
async def test_an_older_version_at_work_keeps_its_tables(run: Path, work: str) -> None:
    """While a process works on an older run, its tables stay; the error names the way out, which then works."""
    clock = Clock()
    begin_older(run, 3, remote_process())
    refusal = "1 process is at work on this run; wait for it to end, or end it, then "
    for _ in range(2):
        with pytest.raises(LedgerError, match=refusal + ("run again" if work == "batch" else "purge again")):
            await _work(run, work, clock)
    assert query(run, "PRAGMA user_version") == [(3,)]
    clock.now += LEASE + 1
    await _work(run, work, clock)
    assert query(run, "PRAGMA user_version") == [(len(MIGRATIONS),)]


async def _work(run: Path, work: str, clock: Clock) -> None:
    if work == "purge":
        purge(run, NoSeal(), clock=clock)
        return
    async with opened(run, process=remote_process(), clock=clock):
        pass


async def test_a_process_of_an_older_version_that_slept_pays_for_nothing_new(run: Path) -> None:
    """A process that slept while its run was brought up to date stores its answers, and can claim no image."""
    clock = Clock()
    begin_older(run, 3, remote_process())
    with closing(sqlite3.connect(run / LEDGER, isolation_level=None)) as sleeper:
        (late,) = sleeper.execute("SELECT id FROM item WHERE sha256 = ?", (item("lost").sha256,)).fetchone()
        clock.now += LEASE + 1
        async with opened(run, process=remote_process(), clock=clock) as ledger:
            assert (await ledger.admit(item("lost"), None)).claim is None
            for statement, values in ((OLD_CLAIM, (item("more").sha256,)), (OLD_LINK, (b"more", 99))):
                with pytest.raises(sqlite3.OperationalError, match="ON CONFLICT"):
                    sleeper.execute(statement, values)
            assert sleeper.execute(OLD_SEND, ("again", late)).rowcount == 0
            sleeper.execute(OLD_ANSWER, (late, "r7", ANSWER.body))
            await ledger.others_at_work(["receipt"])
            admission = await ledger.admit(item("lost"), None)
        assert admission.entry.answer == ANSWER
        assert sleeper.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with RunReader(run) as reader:
        assert (reader.status().calls, reader.status().maybe_billed) == (CALLS - 1, 2)


async def test_a_sealed_run_of_an_older_version_is_opened_with_its_key(run: Path) -> None:
    """Answers and errors that an older version sealed open under the key of the run."""
    seal = AESGCMSeal(b"k" * 32)
    async with opened(run, seal=seal) as ledger:
        claim = claimed(await ledger.admit(item(), source("a")))
        await ledger.sending(claim, "r")
        await ledger.answered(claim, "r", ANSWER)
        await ledger.settle(claim, read())
    make_older(run, 3)
    async with opened(run, seal=seal) as ledger:
        assert (await ledger.admit(item(), None)).entry.answer == ANSWER
    assert seal_context(item(), "answer") == b"answer|receipt|" + item().sha256  # as each of them has it


def test_a_full_disk_leaves_the_tables_as_they_were(run: Path) -> None:
    """A migration that finds no room changes nothing, and is done once there is some."""
    begin_older(run, 3)
    with closing(sqlite3.connect(run / LEDGER, isolation_level=None)) as db:
        db.executemany(
            "INSERT INTO item (sha256, document, state) VALUES (?, 'receipt', 'queued')",
            [(number.to_bytes(32, "big"),) for number in range(2000)],
        )
        before = list(db.iterdump())
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            migrate(db)
        assert list(db.iterdump()) == before
        db.execute("PRAGMA max_page_count = 100000")
        migrate(db)
        assert db.execute("SELECT count(*) FROM item").fetchone() == (2009,)


async def test_a_killed_process_leaves_pages_that_the_next_one_settles(run: Path) -> None:
    """Answers of pages in an overflow file are replayed by number, as those of whole files."""
    dead = opened(run, process=remote_process(), clock=Clock())
    await dead.__aenter__()
    claim = claimed(await dead.admit(item(page=2), source("a", 2)))
    await dead.sending(claim, "r", b'{"page":2}')
    await crash(dead)
    late = Clock()
    late.now += LEASE + 1
    async with opened(run, process=remote_process(), clock=late) as ledger:
        entry = (await ledger.admit(item(page=2), None)).entry
    assert (entry.state.value, entry.picture) == ("ambiguous", b'{"page":2}')
