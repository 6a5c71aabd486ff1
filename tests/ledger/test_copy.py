from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import exported
from support.copies import Failing, Place
from support.ledgers import ANSWER, Clock, calls, claimed, item, opened, query, read, remote_process, source, states
from support.random_runs import FATES, leave_run
from support.released_schemas import begin_older
from support.stores import SqliteRun

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.files import temporary_beside
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.copy import compare_runs, copy_run
from clova_ocr_async.ledger.corrections import Change, ChangeKind
from clova_ocr_async.ledger.overflow_file import OverflowFile
from clova_ocr_async.ledger.overflow_records import RefusalRecord
from clova_ocr_async.ledger.run_rows import ItemRow, SettingsRow
from clova_ocr_async.ledger.run_settings import LEASE
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite.purge import purge
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.sqlite.run_rows import SqliteRunRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.ledger.run_rows import Row

SEAL = AESGCMSeal(b"k" * 32)
DONE = Change(ChangeKind.DONE, "minji")
OLDER = 4  # a schema of an earlier release


def directory(folder: Path) -> Place:
    """Return a run directory."""
    run = SqliteRun(folder)
    return Place(run, run.rows())


# ---------------------------------------------------------------------------------------------------------------------
# What is copied


@settings(max_examples=10)
@given(st.lists(st.sampled_from(FATES), max_size=8), st.integers(0, 2), st.sampled_from([None, SEAL]))
def test_a_copy_of_a_copy_is_the_original(fates: list[str], corrections: int, seal: AESGCMSeal | None) -> None:
    """Copied on and on, a run has the same rows, and its records are the same, byte for byte."""
    with tempfile.TemporaryDirectory() as folder:
        one, two, three = (directory(Path(folder) / name) for name in "abc")
        asyncio.run(leave_run(one.run, fates, corrections, seal=seal))
        first, second = copy_run(one.rows, two.rows), copy_run(two.rows, three.rows)
        assert first.digest == second.digest
        assert compare_runs(one.rows, three.rows) == ()
        with one.run.view(seal=seal) as original, three.run.view(seal=seal) as copy:
            assert list(original.records()) == list(copy.records())
            assert list(original.corrections()) == list(copy.corrections())
            assert replace(original.status(), moved_to=None) == copy.status()


async def test_a_copy_knows_how_many_processes_an_image_has_interrupted(tmp_path: Path) -> None:
    """An image that has interrupted processes has not begun anew in a copy."""
    one, two = directory(tmp_path / "a"), directory(tmp_path / "b")
    await leave_run(one.run, ["interrupting"])
    copy_run(one.rows, two.rows)
    async with two.run.open() as ledger:
        assert claimed(await ledger.admit(item("0 interrupting"), None)).interrupted == 2


async def test_an_export_of_a_copy_is_that_of_the_original(tmp_path: Path) -> None:
    """The records of a run are the same after a copy, those that a killed process left included."""
    one, two = directory(tmp_path / "a"), directory(tmp_path / "b")
    await leave_run(one.run, FATES, 2)
    result = copy_run(one.rows, two.rows)
    before, after = exported(tmp_path / "a/run"), exported(tmp_path / "b/run")
    assert before == after
    assert len(before) == result.names + 2  # one has no name, and one has it no more
    assert (result.source, result.target) == (one.rows.place, two.rows.place)
    assert (result.items, result.answers, result.corrections) == (13, 8, 4)


async def test_work_goes_on_with_the_copy(tmp_path: Path) -> None:
    """A ledger opens the copy as it is, settles what a killed process left, and sends nothing again that was paid."""
    one, two = directory(tmp_path / "a"), directory(tmp_path / "b")
    await leave_run(one.run, ["read", "claimed", "in_flight", "answered", "taken"])
    copy_run(one.rows, two.rows)
    async with two.run.open() as ledger:
        assert (await ledger.admit(item("0 read"), None)).claim is None
        assert ledger.max_calls == 1_000
        assert len(await ledger.claim_files(["receipt"], 9)) == 2  # of the item that was claimed, and the taken file
    assert states(tmp_path / "b/run") == ["succeeded", "queued", "ambiguous", "succeeded"]


async def test_sealed_values_are_copied_without_the_key(tmp_path: Path) -> None:
    """Nobody gives the key for a copy, which only the same key opens."""
    one, two = directory(tmp_path / "a"), directory(tmp_path / "b")
    await leave_run(one.run, ["read", "failed"], 1, seal=SEAL)
    copy_run(one.rows, two.rows)
    with two.run.view(seal=SEAL) as view:
        assert [record.entry is not None and record.entry.answer is not None for record in view.records()] == [
            True,
            False,
        ]
        assert [one.change is not None for one in view.corrections()] == [True]
    with pytest.raises(LedgerError, match="key"):
        await two.run.open().__aenter__()


async def test_numbers_of_corrections_are_not_used_again(tmp_path: Path) -> None:
    """A copy knows the newest number that a correction had, also after a purge has removed it."""
    one, two = directory(tmp_path / "a"), directory(tmp_path / "b")
    await leave_run(one.run, ["read"], 3)
    purge(tmp_path / "a/run", NoSeal())
    async with one.run.open() as ledger:
        claim = claimed(await ledger.admit(item("new"), source("new")))
        await ledger.sending(claim, "new")
        await ledger.answered(claim, "new", ANSWER)
        await ledger.settle(claim, read("new"))
    copy_run(one.rows, two.rows)
    with two.run.correct() as record:
        assert record.append(item("new"), DONE, after=0).number == 4


async def test_a_new_run_can_be_copied(tmp_path: Path) -> None:
    """A run in which nothing has happened yet is copied as one, into an empty folder or one that is not there."""
    async with opened(tmp_path / "a"):
        pass
    (tmp_path / "b").mkdir()
    copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "b"))
    copy_run(SqliteRunRows(tmp_path / "b"), SqliteRunRows(tmp_path / "new" / "c"))
    async with opened(tmp_path / "new" / "c") as ledger:
        await ledger.open_for(["local"])


async def test_a_ledger_that_was_killed_as_it_began_is_copied(tmp_path: Path) -> None:
    """A ledger whose tables were made and that no process has entered yet has a copy, with the usual settings."""
    async with opened(tmp_path / "a"):
        pass
    execute(tmp_path / "a", "DELETE FROM run")
    copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "b"))
    with SqliteRunRows(tmp_path / "b").reading() as rows:
        assert next(rows) == SettingsRow(
            seal="none",
            seal_check=None,
            store="full",
            services=None,
            base_folder=None,
            calls=0,
            max_calls=None,
            largest_answer=0,
            last_correction=0,
        )


async def test_a_copy_is_private_and_is_known_as_one_file(tmp_path: Path) -> None:
    """Only its owner can read a copy; once it was copied by other means, that copy is refused."""
    async with opened(tmp_path / "a"):
        pass
    copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "b"))
    assert [path.name for path in (tmp_path / "b").iterdir()] == [LEDGER]
    assert [oct((tmp_path / name).stat().st_mode & 0o777) for name in ("b", f"b/{LEDGER}")] == ["0o700", "0o600"]
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    with pytest.raises(LedgerError, match=r"c/ledger.sqlite3 is a copy.* worked on as .*b/ledger.sqlite3,"):
        await opened(tmp_path / "c").__aenter__()


# ---------------------------------------------------------------------------------------------------------------------
# The original


async def test_the_original_is_not_worked_on_any_more(tmp_path: Path) -> None:
    """No ledger opens the original, and nobody corrects it; it is read and purged as before, and names the copy."""
    one, two = directory(tmp_path / "a"), directory(tmp_path / "b")
    await leave_run(one.run, ["read"])
    copy_run(one.rows, two.rows)
    for entering in (one.run.open().__aenter__, in_thread(one.run.correct().__enter__)):
        with pytest.raises(LedgerError, match=r"copied to .*/b/run on .*--run-moved"):
            await entering()
    with one.run.view() as view:
        assert (view.status().answers, view.status().moved_to) == (1, two.rows.place)
    assert one.run.purge().answers == 1
    async with two.run.open():
        pass


async def test_what_people_correct_while_a_run_is_copied_is_not_lost(tmp_path: Path) -> None:
    """A review that was open before the run was copied records nothing more in the original."""
    one, two = directory(tmp_path / "a"), directory(tmp_path / "b")
    await leave_run(one.run, ["read"])
    with one.run.correct() as record:
        record.append(item("0 read"), DONE, after=0)
        copy_run(one.rows, two.rows)
        with pytest.raises(LedgerError, match="copied to"):
            record.append(item("0 read"), DONE, after=1)
    with two.run.correct() as record:
        assert record.append(item("0 read"), DONE, after=1).number == 2


async def test_the_original_goes_on_if_the_copy_is_given_up(tmp_path: Path) -> None:
    """Told that no other copy is worked on, a ledger opens the original, which is then one like any other."""
    for name in "ab":
        async with opened(tmp_path / "a", moved=name == "b"):
            pass
        copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / name / "copy"))


async def test_a_copy_that_is_copied_back_replaces_the_original(tmp_path: Path) -> None:
    """A run that was marked as moved is replaced by its copy, with all that was added there, and is worked on again."""
    one, two = directory(tmp_path / "a"), directory(tmp_path / "b")
    await leave_run(one.run, FATES, 1)
    copy_run(one.rows, two.rows)
    await leave_run(two.run, ["page"])
    expected = exported(tmp_path / "b/run")
    copy_run(two.rows, one.rows)
    assert exported(tmp_path / "a/run") == expected
    before = calls(tmp_path / "a/run")
    async with one.run.open() as ledger:
        claim = claimed(await ledger.admit(item("new"), source("new", 3)))
        assert await ledger.sending(claim, "new")
        await ledger.answered(claim, "new", ANSWER)
    assert calls(tmp_path / "a/run") == before + 1  # the triggers of the tables are there again
    assert states(tmp_path / "a/run")[-1] == "succeeded"
    with pytest.raises(LedgerError, match="copied to"):
        await two.run.open().__aenter__()


# ---------------------------------------------------------------------------------------------------------------------
# Refusals


async def test_a_run_is_not_copied_onto_itself(tmp_path: Path) -> None:
    """The original and its copy are two places, however they are spelled."""
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(LedgerError, match="both the run and the place of its copy"):
        copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "link"))


async def test_a_run_that_is_worked_on_is_not_copied(tmp_path: Path) -> None:
    """While a process has the original open there is no copy, and afterwards there is."""
    async with opened(tmp_path / "a"):
        with pytest.raises(LedgerError, match=r"1 process is at work on this run; .* then copy again"):
            copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "b"))
    assert names_in(tmp_path) == ["a"]
    copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "b"))


async def test_no_process_begins_while_a_run_is_copied(tmp_path: Path) -> None:
    """A ledger that is opened meanwhile waits for its patience, and is refused."""
    async with opened(tmp_path / "a"):
        pass
    with SqliteRunRows(tmp_path / "a").exporting("there"), pytest.raises(LedgerError, match="keeps the ledger locked"):
        await opened(tmp_path / "a", patience=0.0).__aenter__()
    async with opened(tmp_path / "a"):
        pass


async def test_a_process_that_slept_while_its_run_was_copied_sends_nothing(tmp_path: Path) -> None:
    """A process that wakes after its lease, and finds that the run was copied, is refused before it sends."""
    clock, later = Clock(), Clock()
    later.now += LEASE + 1
    async with opened(tmp_path / "a", process=remote_process(), clock=clock) as ledger:
        claim = claimed(await ledger.admit(item("a"), source("a")))
        copy_run(SqliteRunRows(tmp_path / "a", clock=later), SqliteRunRows(tmp_path / "b"))
        with pytest.raises(LedgerError, match="copied to"):
            await ledger.sending(claim, "r")
    async with opened(tmp_path / "b") as ledger:
        claimed(await ledger.admit(item("a"), source("a")))


async def test_results_that_wait_in_an_overflow_file_come_first(tmp_path: Path) -> None:
    """A run with results that are not in its tables is not copied."""
    async with opened(tmp_path / "a"):
        pass
    waiting = OverflowFile(tmp_path / "a" / "answers-9.spill")
    waiting.append(RefusalRecord(1, "r"))
    waiting.close()
    with pytest.raises(
        LedgerError, match=r"/answers-9.spill holds results .*/a on .*; run the batch once.* or move the file away"
    ):
        copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "b"))
    assert names_in(tmp_path) == ["a"]


async def test_a_backup_is_not_copied(tmp_path: Path) -> None:
    """What no ledger opens, as it is a copy that would pay as well, is not made a run of its own by another copy."""
    async with opened(tmp_path / "a"):
        pass
    shutil.copytree(tmp_path / "a", tmp_path / "backup")
    with pytest.raises(LedgerError, match=r"/backup/ledger.sqlite3 is a copy.*--run-moved"):
        copy_run(SqliteRunRows(tmp_path / "backup"), SqliteRunRows(tmp_path / "b"))
    assert names_in(tmp_path) == ["a", "backup"]
    async with opened(tmp_path / "backup", moved=True):
        pass
    copy_run(SqliteRunRows(tmp_path / "backup"), SqliteRunRows(tmp_path / "b"))


async def test_tables_of_another_version_are_not_copied(tmp_path: Path) -> None:
    """A run of an older version is brought up to date first; one of a newer version needs that version."""
    begin_older(tmp_path / "a", OLDER)
    with pytest.raises(LedgerError, match=r"an older version wrote .*; run the batch once"):
        copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "b"))
    execute(tmp_path / "a", "PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="has schema 99"):
        copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "b"))
    assert names_in(tmp_path) == ["a"]


async def test_a_place_that_holds_something_is_refused(tmp_path: Path) -> None:
    """A run is never copied over another one, nor into a folder with other things, nor where no folder can be."""
    for name in "ab":
        async with opened(tmp_path / name):
            pass
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "photo.jpg").touch()
    (tmp_path / "d").touch()
    for name, match in (
        ("b", r"there is a run in .*/b on .*; if it is the copy .*; else choose another place"),
        ("c", "holds other things"),
        ("d", "Not a directory"),
        ("d/e", "would be in a file"),
        ("\0", "holds a NUL"),
    ):
        with pytest.raises(LedgerError, match=match):
            copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / name))
    copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "x"))
    with pytest.raises(LedgerError, match=r"there is a run in .*/a on .*, which was moved to .*/x on .*; if it is"):
        copy_run(SqliteRunRows(tmp_path / "b"), SqliteRunRows(tmp_path / "a"))
    async with opened(tmp_path / "b"):
        pass


async def test_a_run_that_was_moved_is_not_copied_to_a_third_place(tmp_path: Path) -> None:
    """What the original has is old from then on; only the same place may be tried again, if the copy is not there."""
    async with opened(tmp_path / "a"):
        pass
    copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "b"))
    with pytest.raises(LedgerError, match=r"was moved to .*/b on .*, so it is not copied"):
        copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "c"))
    with pytest.raises(LedgerError, match="there is a run in"):
        copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "b"))
    shutil.rmtree(tmp_path / "b")
    copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "b"))


# ---------------------------------------------------------------------------------------------------------------------
# Failures


async def test_a_copy_that_is_not_equal_is_removed(tmp_path: Path) -> None:
    """A copy with another row is told, by the kind of the row, and is gone; the original is worked on as before."""
    one = directory(tmp_path / "a")
    await leave_run(one.run, ["read"])

    def changed(row: Row) -> Row:
        return msgspec.structs.replace(row, attempts=9) if isinstance(row, ItemRow) else row

    with pytest.raises(LedgerError, match=r"the copy has other items than .*, so it was removed"):
        copy_run(one.rows, Failing(SqliteRunRows(tmp_path / "b"), changed))
    assert names_in(tmp_path) == ["a"]
    async with one.run.open():
        pass


async def test_a_damaged_run_is_not_copied(tmp_path: Path) -> None:
    """A value that no version wrote is named by its kind, there is no copy, and the original stays as it was."""
    one = directory(tmp_path / "a")
    await leave_run(one.run, ["read"])
    execute(tmp_path / "a/run", "UPDATE item SET page = 'canary'")
    with pytest.raises(LedgerError, match=r"damaged: Expected `int`, got `str`") as caught:
        copy_run(one.rows, SqliteRunRows(tmp_path / "b"))
    assert "canary" not in str(caught.value)
    assert names_in(tmp_path) == ["a"]
    assert query(tmp_path / "a/run", "SELECT 1 FROM run WHERE name = 'moved_to'") == []


async def test_a_copy_that_did_not_appear_is_made_again(tmp_path: Path) -> None:
    """If the machine fails at the last moment, no run is worked on, and the same command makes the copy."""
    async with opened(tmp_path / "a"):
        pass

    def fail() -> None:
        raise LedgerError("the store is away")

    with pytest.raises(LedgerError, match="the store is away"):
        copy_run(SqliteRunRows(tmp_path / "a"), Failing(SqliteRunRows(tmp_path / "b"), publish=fail))
    assert names_in(tmp_path) == ["a"]
    with pytest.raises(LedgerError, match="copied to"):
        await opened(tmp_path / "a").__aenter__()
    copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "b"))


_KILLED = """
import os, sys
from clova_ocr_async.ledger.copy import copy_run
from clova_ocr_async.ledger.sqlite.run_rows import SqliteRunRows
from support.copies import Failing
copy_run(SqliteRunRows(sys.argv[1]), Failing(SqliteRunRows(sys.argv[2]), publish=lambda: os.kill(os.getpid(), 9)))
"""


async def test_a_copy_that_was_killed_as_it_appeared_is_made_again(tmp_path: Path) -> None:
    """After kill -9 between the mark and the copy no run is worked on, and the same command makes the copy, alone."""
    async with opened(tmp_path / "a"):
        pass
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    places = [str(tmp_path / name) for name in "ab"]
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _KILLED, *places], env=environ, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    assert len(names_in(tmp_path)) == 2  # the original, and what was not renamed
    with pytest.raises(LedgerError, match="copied to"):
        await opened(tmp_path / "a").__aenter__()
    copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "b"))
    assert names_in(tmp_path) == ["a", "b"]
    async with opened(tmp_path / "b"):
        pass


async def test_what_a_killed_copy_left_is_removed(tmp_path: Path) -> None:
    """The next copy to a place removes what was left there; what a process still writes stays, and what is no run."""
    async with opened(tmp_path / "a"):
        pass
    left, living, other = (temporary_beside(tmp_path / "b") for _ in range(3))
    shutil.copytree(tmp_path / "a", left)
    other.mkdir()
    async with opened(living):
        copy_run(SqliteRunRows(tmp_path / "a"), SqliteRunRows(tmp_path / "b"))
        assert names_in(tmp_path) == sorted(["a", "b", living.name, other.name])


async def test_two_runs_are_compared_by_kind(tmp_path: Path) -> None:
    """The kinds of rows in which two runs differ are named; a run in which a process works is compared as well."""
    one, two = directory(tmp_path / "a"), directory(tmp_path / "b")
    await leave_run(one.run, ["read"])
    copy_run(one.rows, two.rows)
    assert compare_runs(one.rows, two.rows) == ()
    async with two.run.open(max_calls=7) as ledger:
        ledger.add_files([source("new")], "receipt")
        assert compare_runs(one.rows, two.rows) == ("settings", "names")


def in_thread(work: Callable[[], object]) -> Callable[[], Any]:
    """Return a function as a coroutine function."""
    return partial(asyncio.to_thread, work)


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def execute(folder: Path, statement: str) -> None:
    """Run a statement on a ledger, and commit it."""
    with closing(sqlite3.connect(folder / LEDGER)) as db, db:
        db.execute(statement)
