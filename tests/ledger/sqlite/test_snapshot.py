from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ledgers import ANSWER, claimed, item, opened, query, read, source
from support.released_schemas import make_older

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.overflow_file import OverflowFile, overflow_path
from clova_ocr_async.ledger.overflow_records import AnswerRecord
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite.connection import (
    Holder,
    connect,
    connect_in_place,
    copy_closed,
    find_holder,
    lock_query,
    lock_type,
)
from clova_ocr_async.ledger.sqlite.private_copy import default_places, private_copy
from clova_ocr_async.ledger.sqlite.purge import purge
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.ledger.sqlite.schema import MIGRATIONS
from clova_ocr_async.ledger.sqlite.snapshot import ReadMode, View, choose_read_mode, log_is_needed, open_view

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from clova_ocr_async.ledger.storage import SourceRecord

LOG = f"{LEDGER}-wal"
LEFT = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA wal_autocheckpoint = 0")
db.execute("SELECT * FROM run").fetchall()
for statement in sys.argv[2:]:
    db.execute(statement)
print("ready", flush=True)
sys.stdin.read()
os._exit(9)
"""
"""A process that changes a ledger and ends as a killed one does, so that its log is left; it lives until stdin ends."""


@pytest.fixture
async def run(tmp_path: Path) -> Path:
    """A finished run with one image."""
    folder = tmp_path / "run"
    async with opened(folder) as ledger:
        await ledger.open_for(["local"])
        claim = claimed(await ledger.admit(item(), source("a")))
        await ledger.sending(claim, "r")
        await ledger.answered(claim, "r", ANSWER)
        await ledger.settle(claim, read())
    return folder


def begun(run: Path, *statements: str) -> subprocess.Popen[bytes]:
    """Change a ledger in another process, which goes on."""
    process = subprocess.Popen(
        [sys.executable, "-c", LEFT, run / LEDGER, *statements], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def ended(process: subprocess.Popen[bytes]) -> None:
    """End a process, as if it were killed."""
    process.communicate()


def left(run: Path, *statements: str) -> None:
    """Change a ledger in a process that is then killed, so that its log is left."""
    ended(begun(run, *statements))
    assert (run / LOG).stat().st_size


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return the content and the time of change of a folder's files."""
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


def calls_in(view: View) -> int:
    """Return how many calls a view shows."""
    (calls,) = view.db.execute("SELECT value FROM run WHERE name = 'calls'").fetchone()
    return int(calls)


ASKED = """
import pathlib, sys
from clova_ocr_async.ledger.sqlite.connection import *
print(find_holder(pathlib.Path(sys.argv[1])))
"""
FIVE = "UPDATE run SET value = 5 WHERE name = 'calls'"
SIX = "UPDATE run SET value = 6 WHERE name = 'calls'"


# ---------------------------------------------------------------------------------------------------------------------
# How a ledger is opened


@given(st.sampled_from(Holder), st.integers(1, 3), st.booleans(), st.booleans())
def test_only_a_ledger_with_one_name_is_joined(holder: Holder, links: int, log: bool, overflow: bool) -> None:
    """A ledger that is open elsewhere is joined under its only name; it is read in place only if it is all there is."""
    mode = choose_read_mode(holder, links=links, log=log, overflow=overflow)
    assert (mode is ReadMode.JOIN) == (holder is not Holder.NONE and links == 1)
    assert (mode is ReadMode.IN_PLACE) == (holder is Holder.NONE and not log and not overflow)


def a_file(*, links: int = 1, size: int = 1, written: int = 1) -> os.stat_result:
    """Return the status of a file."""
    return os.stat_result((0, 1, 2, links, 0, 0, size, 0, 0, 0), {"st_mtime_ns": written})


@pytest.mark.parametrize(
    ("ledger", "log", "counts"),
    [
        (a_file(), None, False),
        (a_file(), a_file(size=0), False),
        (a_file(written=9), a_file(written=1), True),
        (a_file(links=2, written=9), a_file(links=2, written=1), True),
        (a_file(links=2, written=1), a_file(written=9), True),
        (a_file(links=2, written=9), a_file(written=9), False),
    ],
    ids=["none", "empty", "its own", "linked with it", "of a ledger linked alone", "of before it was finished"],
)
def test_a_log_counts_if_it_belongs_to_the_ledger(
    ledger: os.stat_result, log: os.stat_result | None, *, counts: bool
) -> None:
    """A log beside a ledger with more names is obsolete if the ledger was written after it."""
    assert log_is_needed(ledger, log) is counts


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_the_order_of_the_fields_of_a_lock_is_the_platforms(platform: str) -> None:
    """The type of a lock is read from the place where the query has it."""
    assert [lock_type(platform, lock_query(platform, kind)) for kind in (0, 1, 2)] == [0, 1, 2]


async def test_a_finished_run_is_read_in_place(run: Path) -> None:
    """A ledger that no process has open and whose log is empty is read without a file being created or changed."""
    before = files(run)
    assert find_holder(run / LEDGER) is Holder.NONE
    with closing(open_view(run, places=[])) as view:
        assert calls_in(view) == 1
        assert files(run) == before
    assert files(run) == before


async def test_what_a_killed_process_left_is_read_from_a_copy(run: Path, tmp_path: Path) -> None:
    """The log is applied, the run's files stay as they are, and the copy has no name while it is read."""
    left(run, FIVE)
    before = files(run)
    place = tmp_path / "place"
    place.mkdir()
    with closing(open_view(run, places=[str(tmp_path / "nowhere"), str(place)])) as view:
        assert calls_in(view) == 5
        assert list(place.iterdir()) == []
    assert files(run) == before


async def test_a_run_at_work_is_joined(run: Path) -> None:
    """A view of a ledger at work shows later writes of its process, without a copy."""
    process = begun(run, FIVE)
    assert find_holder(run / LEDGER) is Holder.OTHERS
    with closing(open_view(run, places=[])) as view:
        assert calls_in(view) == 5
        assert not view.is_outdated()
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            view.db.execute(SIX)
    ended(process)


async def test_a_run_at_work_under_another_name_is_read_from_a_copy(run: Path, tmp_path: Path) -> None:
    """A ledger with a second name is not joined: the log beside that name may be another one."""
    process = begun(run, FIVE)
    backup = tmp_path / "backup"
    backup.mkdir()
    for name in (LEDGER, LOG):
        (backup / name).hardlink_to(run / name)
    with closing(open_view(backup)) as view:
        assert calls_in(view) == 5
    assert sorted(file.name for file in backup.iterdir()) == [LEDGER, LOG]
    ended(process)


async def test_this_process_is_told_from_others(run: Path, tmp_path: Path) -> None:
    """A ledger that this process works on is joined, is not opened by other means, and keeps its locks."""
    backup = tmp_path / "backup"
    backup.mkdir()
    async with opened(run):
        assert find_holder(run / LEDGER) is Holder.THIS_PROCESS
        with (tmp_path / "copy").open("wb") as target:
            assert not copy_closed(run / LEDGER, target)
        with closing(open_view(run, places=[])) as view:
            assert calls_in(view) == 1
        assert "OTHERS" in _printed(ASKED, run / LEDGER)
        (backup / LEDGER).hardlink_to(run / LEDGER)
        with pytest.raises(LedgerError, match=r"works on .*backup under another name"):
            open_view(backup)
        (backup / LEDGER).unlink()
    assert find_holder(run / LEDGER) is Holder.NONE


FORKED = """
import os, pathlib, sys
from clova_ocr_async.ledger.sqlite.connection import *
folder = pathlib.Path(sys.argv[1])
db = connect(folder)
db.execute("SELECT * FROM run").fetchall()
child = os.fork()
if child == 0:
    os._exit(find_holder(folder / "ledger.sqlite3") is not Holder.OTHERS)
print(os.waitpid(child, 0)[1])
db.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_a_child_of_a_fork_holds_nothing(run: Path) -> None:
    """The child of a fork has none of its parent's locks, so it sees the parent as another process."""
    assert _printed(FORKED, run) == "0\n"


def _printed(code: str, *arguments: Path) -> str:
    return subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True).stdout


# ---------------------------------------------------------------------------------------------------------------------
# What changes meanwhile


async def test_a_view_follows_a_batch_that_begins(run: Path) -> None:
    """A reader that stays open while a batch begins and ends sees the state at the moment of each query."""
    with RunReader(run) as reader:
        assert reader.status().calls == 1
        process = begun(run, FIVE)
        assert reader.status().calls == 5
        ended(process)
        assert reader.status().calls == 5
        with closing(sqlite3.connect(run / LEDGER, isolation_level=None)) as db:
            db.execute(SIX)
        assert reader.status().calls == 6


async def test_a_batch_that_begins_does_not_disturb_a_look(run: Path) -> None:
    """A read in place is valid as long as only the log is written."""
    with RunReader(run) as reader:
        records = reader.records()
        assert next(records).path == "a"
        process = begun(run, FIVE)
        assert list(records) == []
        assert reader.status().calls == 5
    ended(process)


async def test_a_ledger_that_changes_while_it_is_read_in_place_is_refused(run: Path) -> None:
    """A read in place during which a batch began fails with the way out, also where SQLite raised an error."""
    with RunReader(run) as reader:
        for error in (None, sqlite3.DatabaseError()):
            records = looking(reader)
            _touch(run)
            with pytest.raises(LedgerError, match=r"a batch began to work .* repeat"):
                records.send(None) if error is None else records.throw(error)
        assert reader.status().calls == 1
        with pytest.raises(LedgerError, match="cannot be used"):
            looking(reader).throw(sqlite3.DatabaseError())


def looking(reader: RunReader) -> Generator[SourceRecord]:
    """Return the records of a run, of which the first one was taken."""
    records = cast("Generator[SourceRecord]", reader.records())
    next(records)
    return records


def _touch(run: Path) -> None:
    """Write to the ledger."""
    with (run / LEDGER).open("r+b") as file:
        file.write(b"SQLite")
    os.utime(run / LEDGER, (1, os.stat(run / LEDGER).st_mtime + 1))  # noqa: PTH116 - beside utime


async def test_a_ledger_that_is_copied_while_it_changes_is_copied_again(run: Path) -> None:
    """A copy that mixes two states is made again; a run that changes all the time is refused after some tries."""
    left(run, FIVE)
    moments = iter(range(100))

    class Changing(list[str]):
        """Places that change the log whenever they are iterated, up to a number of times."""

        def __init__(self, places: list[str], times: int) -> None:
            super().__init__(places)
            self.left = times

        def __iter__(self) -> Iterator[str]:
            if self.left:
                self.left -= 1
                os.utime(run / LOG, (1, next(moments)))
            return super().__iter__()

    place = str(run.parent)
    with closing(open_view(run, places=Changing([place], 2))) as view:
        assert calls_in(view) == 5
    with pytest.raises(LedgerError, match="changes all the time"):
        open_view(run, places=Changing([place], 99))


async def test_a_log_that_vanishes_meanwhile_is_no_error(run: Path) -> None:
    """A log that the last process removes while it is looked for is not an error."""
    left(run, FIVE)

    class Cleaned(list[str]):
        """Places that apply the log when they are iterated."""

        def __iter__(self) -> Iterator[str]:
            with closing(sqlite3.connect(run / LEDGER)) as db:
                db.execute("SELECT * FROM run").fetchall()
            return super().__iter__()

    with closing(open_view(run, places=Cleaned([str(run.parent)]))) as view:
        assert calls_in(view) == 5
    assert not (run / LOG).exists()


async def test_records_that_are_not_all_taken_leave_nothing_behind(run: Path) -> None:
    """A reader may be closed in the middle of its records, and queries in between see the same state."""
    async with opened(run) as ledger:
        ledger.add_files([source("b")], "receipt")
        with RunReader(run) as reader:
            records = reader.records()
            assert next(records).path == "a"
            ledger.add_files([source("c")], "receipt")
            assert reader.status().total == 2
        del records
        with RunReader(run) as reader:
            assert reader.status().total == 3


# ---------------------------------------------------------------------------------------------------------------------
# Overflow files, and older versions


def with_overflow(run: Path, owner: int = 77) -> OverflowFile:
    """Add an image that was sent, with its answer in an overflow file."""
    with closing(sqlite3.connect(run / LEDGER)) as db, db:
        db.execute(
            "INSERT INTO item (id, sha256, document, state, owner, attempts, request_id, sent_at) "
            "VALUES (9, ?, 'receipt', 'sent', ?, 1, 'beside', 1)",
            (item("beside").sha256, owner),
        )
        db.execute("INSERT INTO source (document, path, open, item) VALUES ('receipt', ?, 0, 9)", (b"beside",))
    overflow_file = OverflowFile(overflow_path(run, owner))
    overflow_file.append(AnswerRecord(9, "beside", 200, None, ANSWER.body, 5.0))
    return overflow_file


@pytest.mark.parametrize("at_work", [False, True])
async def test_answers_in_overflow_files_are_seen(run: Path, at_work: bool) -> None:
    """Answers in overflow files appear in status and records, and stay where they are."""
    overflow_file = with_overflow(run)
    process = begun(run) if at_work else None
    before = files(run)
    with RunReader(run) as reader:
        status, records = reader.status(), {one.path: one for one in reader.records()}
    assert (status.images, status.answers, status.removed) == ({"succeeded": 2}, 2, 0)
    entry = records["beside"].entry
    assert entry is not None
    assert entry.answer is not None
    assert entry.answer.body == ANSWER.body
    assert {name: file for name, file in files(run).items() if "spill" in name or name == LEDGER} == {
        name: file for name, file in before.items() if "spill" in name or name == LEDGER
    }
    if process is not None:
        ended(process)
    overflow_file.close()


@pytest.mark.parametrize("at_work", [False, True])
async def test_a_run_of_an_older_version_is_read_as_it_is(run: Path, at_work: bool) -> None:
    """The tables of an older version are brought up to date in a copy; the run's own stay as they are."""
    make_older(run, 1)
    process = begun(run) if at_work else None
    with RunReader(run) as reader:
        (record,) = reader.records()
        assert reader.status().answers == 1
    assert record.entry is not None
    assert record.entry.answer is not None
    assert record.entry.answer.body == ANSWER.body
    assert query(run, "PRAGMA user_version") == [(1,)]
    if process is not None:
        ended(process)


async def test_a_run_of_an_older_version_is_purged(run: Path) -> None:
    """Answers of an older version are removed like any others."""
    make_older(run, 1)
    assert purge(run, NoSeal()).answers == 1
    assert query(run, "SELECT count(*), max(unpacked) FROM answer") == [(0, None)]


async def test_a_batch_brings_an_older_version_up_to_date_and_pays_nothing(run: Path) -> None:
    """An answer that an older version stored is read by a batch, and is not paid for again."""
    make_older(run, 1)
    async with opened(run) as ledger:
        admission = await ledger.admit(item(), None)
    assert admission.claim is None
    assert admission.entry.answer is not None
    assert admission.entry.answer.body == ANSWER.body
    assert query(run, "PRAGMA user_version") == [(len(MIGRATIONS),)]


@pytest.mark.parametrize("at_work", [False, True])
async def test_a_view_that_cannot_be_opened_leaves_nothing_open(run: Path, at_work: bool) -> None:
    """A ledger of a newer version is refused, at work or not, and no process has it open afterwards."""
    with closing(sqlite3.connect(run / LEDGER)) as db:
        db.execute("PRAGMA user_version = 99")
    process = begun(run, FIVE) if at_work else None
    for _ in range(2):
        with pytest.raises(LedgerError, match="update it"):
            open_view(run)
        if process is not None:
            ended(process)  # and then from a copy
            process = None
    with pytest.raises(LedgerError, match="update it"):
        purge(run, NoSeal())
    assert find_holder(run / LEDGER) is Holder.NONE


# ---------------------------------------------------------------------------------------------------------------------
# Private copies


async def test_an_error_without_room_for_a_copy_names_the_way_out(run: Path, tmp_path: Path) -> None:
    """Without room for a copy in any folder, the error names those that were tried, and how to name another."""
    left(run, FIVE)
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(LedgerError, match=rf"MiB .* in {nowhere}; .* TMPDIR"):
        open_view(run, places=[nowhere])
    with pytest.raises(LedgerError, match="MiB"):
        private_copy(print, 2**62, [str(tmp_path)])


def test_a_copy_that_fails_leaves_no_file(tmp_path: Path) -> None:
    """A copy that could not be completed is removed."""

    def fails(*_: Any) -> None:
        raise OSError

    with pytest.raises(OSError, match=r"^$"):
        private_copy(fails, 1, [str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_be_read_is_an_error_of_the_ledger(tmp_path: Path) -> None:
    """An error of the system about a run's files is raised as an error of the ledger."""
    run = tmp_path / "run"
    run.mkdir()
    (run / LEDGER).write_bytes(b"x")
    (run / LOG).mkdir()
    (run / LOG / "not empty").touch()
    with pytest.raises(LedgerError, match="run cannot be read: "):
        RunReader(run).__enter__()


def test_a_copy_may_be_in_memory() -> None:
    """A copy may be in the folder for temporary files, if there is one, and in memory."""

    def nowhere() -> str:
        raise FileNotFoundError

    (memory,) = default_places(nowhere)
    assert default_places(lambda: "/here") == ["/here", memory]


def test_a_copy_is_the_owners_alone(tmp_path: Path) -> None:
    """While a file of the copy has a name, other users can read neither it nor its folder."""
    modes: list[int] = []

    def fill(db: sqlite3.Connection, _: Any, log: Path) -> None:
        modes.extend(path.stat().st_mode & 0o777 for path in (log.parent, *log.parent.iterdir()))
        assert all(path.stat().st_size == 0 for path in log.parent.iterdir())
        db.execute("CREATE TABLE x (y)")

    with closing(private_copy(fill, 1, [str(tmp_path)])) as db:
        assert db.execute("SELECT * FROM x").fetchall() == []
    assert modes == [0o700, 0o600]


# ---------------------------------------------------------------------------------------------------------------------
# Second names


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
async def test_a_file_with_a_second_name_is_not_written_to(run: Path, tmp_path: Path, suffix: str) -> None:
    """A writer refuses a ledger, a log or an index with a second name before SQLite opens anything."""
    left(run, FIVE)
    (tmp_path / "other").hardlink_to(run / f"{LEDGER}{suffix}")
    before = files(run)
    with pytest.raises(LedgerError, match=rf"{LEDGER}{suffix} in {run} has 2 names .*cp -r {run} COPY"):
        await opened(run).__aenter__()
    with pytest.raises(LedgerError, match="has 2 names"):
        purge(run, NoSeal())
    assert files(run) == before
    with RunReader(run) as reader:
        assert reader.status().calls == 5
    (tmp_path / "other").unlink()
    async with opened(run):
        pass


async def test_a_log_that_is_not_a_file_is_refused(run: Path, tmp_path: Path) -> None:
    """A symbolic link in the place of the log is refused, and not followed."""
    (run / LOG).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LedgerError, match="is a symbolic link"):
        await opened(run).__aenter__()
    assert not (tmp_path / "elsewhere").exists()


# ---------------------------------------------------------------------------------------------------------------------
# Connections


def test_a_connection_is_counted_while_it_is_open(tmp_path: Path) -> None:
    """This process holds a ledger until each of its connections is closed; one that is closed twice counts once."""
    (tmp_path / LEDGER).touch()
    one, two = connect(tmp_path), connect(tmp_path)
    one.close()
    one.close()
    assert find_holder(tmp_path / LEDGER) is Holder.THIS_PROCESS
    two.close()
    assert find_holder(tmp_path / LEDGER) is Holder.NONE
    in_place = connect_in_place(tmp_path / LEDGER)
    assert find_holder(tmp_path / LEDGER) is Holder.NONE
    in_place.close()


def test_any_characters_may_be_in_a_path(tmp_path: Path) -> None:
    """Characters with a meaning in a URI have none in a folder's name."""
    folder = tmp_path / os.fsdecode(b"a?mode=memory#%41 \xff")
    folder.mkdir()
    (folder / LEDGER).touch()
    connect(folder).close()
    assert (folder / LEDGER).stat().st_size


def test_no_thread_opens_a_ledger_while_it_is_copied(tmp_path: Path) -> None:
    """A thread that opens the ledger while it is copied waits, so that the end of the copy drops no lock."""
    (tmp_path / LEDGER).touch()
    connect(tmp_path).close()
    opening = threading.Thread(target=lambda: connect(tmp_path).close())

    class Slow(io.BytesIO):
        """A target that starts a thread which opens the ledger."""

        def write(self, data: Any) -> int:
            opening.start()
            opening.join(0.05)
            assert opening.is_alive()
            return super().write(data)

    assert copy_closed(tmp_path / LEDGER, Slow())
    opening.join()


def names(run: Path) -> list[str]:
    """Return the names in a run directory."""
    return sorted(path.name for path in run.iterdir())


async def test_files_of_a_reader_that_joined_too_late_are_harmless(run: Path) -> None:
    """The empty log of a reader that joined just after a batch ended changes no reading; the next batch removes it."""
    before = (run / LEDGER).read_bytes()
    db = connect(run, reading=True)
    db.execute("SELECT * FROM run").fetchall()
    db.close()
    assert (run / LOG).stat().st_size == 0
    left = names(run)
    with closing(open_view(run)) as view:
        assert view.db.execute("SELECT count(*) FROM answer").fetchall() == [(1,)]
        assert names(run) == left
    assert (run / LEDGER).read_bytes() == before
    async with opened(run):
        pass
    assert names(run) == [LEDGER]
