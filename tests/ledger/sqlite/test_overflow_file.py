from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import msgspec
import pytest
from support.ledgers import item

from clova_ocr_async.errors import Billing, DiskFullError, LedgerError
from clova_ocr_async.ledger.overflow_file import (
    OverflowFile,
    create_locked,
    delete_replayed,
    has_records,
    overflow_path,
    overflow_paths,
    read_records,
    reclaim,
)
from clova_ocr_async.ledger.overflow_records import AnswerRecord, RefusalRecord, SettlementRecord, encode_record
from clova_ocr_async.ledger.sqlite.call_limit import calls
from clova_ocr_async.ledger.sqlite.item_statements import claim_item, send
from clova_ocr_async.ledger.sqlite.record_statements import replay_files
from clova_ocr_async.ledger.sqlite.schema import migrate
from clova_ocr_async.ledger.states import Claim, ItemEvent, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ONE = AnswerRecord(1, "r", 200, None, b"first", 5.1)
TWO = AnswerRecord(1, "s", 200, "the connection was lost", b"second", 6.0)


@pytest.fixture
def overflow_file(tmp_path: Path) -> Iterator[OverflowFile]:
    """The overflow file of one process."""
    overflow_file = OverflowFile(overflow_path(tmp_path, 7), room=4096)
    yield overflow_file
    overflow_file.close()


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """A ledger in memory, with one item."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    claim_item(connection, item(), 7)
    connection.execute("INSERT INTO run (name, value) VALUES ('calls', 0)")
    yield connection
    connection.close()


def record_of(record: AnswerRecord) -> bytes:
    """Return a record's bytes in the file."""
    packed = encode_record(record)
    return struct.pack("<II", len(packed), zlib.crc32(packed)) + packed


def kept(db: sqlite3.Connection) -> list[bytes]:
    """Return the answers in the ledger."""
    return [body for (body,) in db.execute("SELECT body FROM answer ORDER BY id")]


def test_what_is_kept_is_read(overflow_file: OverflowFile) -> None:
    """Records are read as they were appended, from a file that only its owner can read and that does not grow."""
    assert read_records(overflow_file.path) == []
    overflow_file.append(ONE)
    overflow_file.append(TWO)
    assert read_records(overflow_file.path) == [ONE, TWO]
    assert overflow_file.path.stat().st_size == 4096
    assert overflow_file.path.stat().st_mode & 0o777 == 0o600


def test_a_torn_answer_costs_only_itself(overflow_file: OverflowFile) -> None:
    """A process that is killed while it writes leaves the records before that one readable."""
    overflow_file.append(ONE)
    length = len(overflow_file.path.read_bytes().rstrip(b"\0"))
    overflow_file.append(TWO)
    with overflow_file.path.open("r+b") as file:
        file.seek(length + 12)
        file.write(b"torn")
    assert read_records(overflow_file.path) == [ONE]
    with overflow_file.path.open("r+b") as file:
        file.truncate(length)
    assert read_records(overflow_file.path) == [ONE]


def no_such_call(_descriptor: int, _offset: int, _length: int) -> None:
    """Fail, as on a file system that cannot allocate."""
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def disk_of(size: int) -> Callable[[int, int, int], None]:
    """Return a function that allocates on a disk of some bytes."""

    def allocate(descriptor: int, offset: int, length: int) -> None:
        os.posix_fallocate(descriptor, offset, min(length, size - offset))  # a full disk may have given a part
        if offset + length > size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return allocate


def test_a_record_without_room_is_refused(tmp_path: Path) -> None:
    """A record that does not fit on a full disk raises an error; earlier ones stay, and a smaller one still fits."""
    overflow_file = OverflowFile(overflow_path(tmp_path, 7), 4096, disk_of(4200))
    overflow_file.append(ONE)
    with pytest.raises(DiskFullError, match="so is the room"):
        overflow_file.append(AnswerRecord(1, "r", 200, None, bytes(5000), 5.0))
    assert overflow_file.path.stat().st_size == 4096
    overflow_file.append(TWO)
    assert read_records(overflow_file.path) == [ONE, TWO]
    overflow_file.close()


def test_an_answer_larger_than_the_room_is_kept_where_the_disk_has_it(overflow_file: OverflowFile) -> None:
    """An answer larger than the room is kept while the disk is not full, as when the ledger is locked."""
    large = AnswerRecord(1, "r", 200, None, bytes(5000), 5.0)
    overflow_file.append(large)
    assert read_records(overflow_file.path) == [large]


@pytest.mark.parametrize("allocate", [None, no_such_call], ids=["no call", "a file system without"])
def test_room_is_written_where_it_cannot_be_allocated(
    tmp_path: Path, allocate: Callable[[int, int, int], None] | None
) -> None:
    """The room is written as zeros if the system or the file system cannot allocate it."""
    overflow_file = OverflowFile(overflow_path(tmp_path, 7), 4096, allocate)
    overflow_file.reserve(8192)
    assert overflow_file.path.stat().st_blocks * 512 >= 8192
    overflow_file.append(ONE)
    overflow_file.reserve(4096)  # there already
    assert overflow_file.path.stat().st_size == 8192
    assert read_records(overflow_file.path) == [ONE]
    overflow_file.close()


def test_a_reservation_takes_all_or_nothing(tmp_path: Path) -> None:
    """A reservation larger than the disk names the way out, and leaves the rest of the disk to other programs."""
    overflow_file = OverflowFile(overflow_path(tmp_path, 7), 4096, disk_of(6000))
    with pytest.raises(DiskFullError, match="make room on the disk of the run"):
        overflow_file.reserve(8192)
    assert overflow_file.path.stat().st_size == 4096
    assert overflow_file.available() > 4096
    overflow_file.close()


def test_replayed_records_are_forgotten_unless_one_was_appended(overflow_file: OverflowFile) -> None:
    """Replayed records make room for new ones, unless another one was appended meanwhile."""
    overflow_file.append(ONE)
    seen = overflow_file.used
    overflow_file.append(TWO)
    overflow_file.mark_replayed(seen)
    assert read_records(overflow_file.path) == [ONE, TWO]
    overflow_file.mark_replayed(overflow_file.used)
    assert (overflow_file.used, read_records(overflow_file.path)) == (0, [])
    overflow_file.append(TWO)
    assert read_records(overflow_file.path) == [TWO]


def test_replayed_records_do_not_follow_a_new_one(overflow_file: OverflowFile, db: sqlite3.Connection) -> None:
    """A record that is appended after a replay is read without the older ones, and the next one is not lost."""
    overflow_file.append(ONE)
    overflow_file.append(ONE)
    overflow_file.mark_replayed(replay_files(db, [overflow_file.path])[overflow_file.path])
    overflow_file.append(ONE)
    assert read_records(overflow_file.path) == [ONE]
    (read,) = replay_files(db, [overflow_file.path]).values()
    overflow_file.append(TWO)  # while that is committed
    overflow_file.mark_replayed(read)
    assert read_records(overflow_file.path) == [ONE, TWO]


def test_a_record_never_fits_without_its_end_mark(tmp_path: Path) -> None:
    """The room includes the mark behind the last record, so that no record fits without it."""
    size = len(record_of(ONE))
    overflow_file = OverflowFile(overflow_path(tmp_path, 7), size, disk_of(size + 7))
    with pytest.raises(DiskFullError, match="so is the room"):
        overflow_file.append(ONE)
    overflow_file.close()
    overflow_file = OverflowFile(overflow_path(tmp_path, 8), size, disk_of(size + 8))
    overflow_file.append(ONE)
    assert overflow_file.path.stat().st_size == size + 8
    overflow_file.close()


def test_unused_room_of_dead_processes_goes_back_to_the_disk(tmp_path: Path) -> None:
    """Of a process that has ended only its records stay; a file in use, or gone meanwhile, is left alone."""
    empty, full, alive = (OverflowFile(overflow_path(tmp_path, number), 100_000) for number in (1, 2, 3))
    full.append(ONE)
    for dead in (empty, full):
        dead.abandon_after_fork()  # the file stays as a killed process leaves it
    overflow_path(tmp_path, 4).symlink_to(tmp_path / "nowhere")
    reclaim(tmp_path)
    assert not empty.path.exists()
    assert full.path.stat().st_size < 200
    assert read_records(full.path) == [ONE]
    assert alive.path.stat().st_size == 100_000
    alive.close()


def test_a_file_abandoned_after_a_fork_closes_no_other(tmp_path: Path) -> None:
    """After a fork a descriptor that is closed, or another file's by now, is not closed."""
    overflow_file = OverflowFile(overflow_path(tmp_path, 1), 4096)
    overflow_file.abandon_after_fork()
    with (tmp_path / "another").open("wb") as other:  # it may have the same number
        overflow_file.abandon_after_fork()
        other.write(b"still open")
    assert (tmp_path / "another").read_bytes() == b"still open"


def test_a_file_that_is_deleted_as_it_is_created_is_created_again(tmp_path: Path) -> None:
    """A process whose new file is deleted or moved before it is locked creates it again, under its own name."""
    path = overflow_path(tmp_path, 7)
    moves: list[Callable[[], object]] = [path.unlink, lambda: path.replace(tmp_path / "moved"), lambda: None]
    rivals = iter(moves)

    def lock(_: int) -> bool:
        next(rivals)()
        return True

    descriptor = create_locked(path, lock)
    assert os.path.samestat(path.stat(), os.fstat(descriptor))
    assert next(rivals, None) is None
    os.close(descriptor)


def test_a_file_that_another_process_locked_first_is_not_used(tmp_path: Path) -> None:
    """A new file that another process has locked, and is about to delete, is not used: another one is created."""
    path = overflow_path(tmp_path, 7)
    pauses: list[float] = []

    def remove(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            path.unlink()
            rival.close()

    path.touch()
    with path.open("r+b") as rival:
        fcntl.flock(rival, fcntl.LOCK_EX)
        descriptor = create_locked(path, pause=remove)
    assert os.path.samestat(path.stat(), os.fstat(descriptor))
    assert len(pauses) == 2
    reclaim(tmp_path)
    assert path.exists()  # since it is locked
    os.close(descriptor)


def test_a_file_that_stays_locked_is_an_error(tmp_path: Path) -> None:
    """A new file that another process keeps locked raises an error that names it."""
    path = overflow_path(tmp_path, 7)
    with pytest.raises(LedgerError, match=r"answers-7\.spill.* locked by another program"):
        create_locked(path, lambda _: False, lambda _: None)


def test_a_file_with_records_is_not_written_over(overflow_file: OverflowFile, tmp_path: Path) -> None:
    """A file that holds answers, as it was found under the number of a new process, is refused and stays as it is."""
    left = OverflowFile(overflow_path(tmp_path, 8), 4096)
    left.append(ONE)
    left.close()
    with pytest.raises(LedgerError, match=r"answers-8\.spill holds results that another process kept; run again"):
        OverflowFile(left.path, 4096)
    assert read_records(left.path) == [ONE]
    reclaim(tmp_path)
    assert overflow_paths(tmp_path) == [overflow_file.path, left.path]


def test_a_file_system_without_locks_is_refused(tmp_path: Path) -> None:
    """Without locks of files no run begins, since other processes could delete its answers."""
    seen: list[int] = []

    def lock(descriptor: int) -> bool:
        seen.append(descriptor)
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with pytest.raises(LedgerError, match=f"cannot hold a ledger .*{os.strerror(errno.ENOLCK)}.*local disk"):
        create_locked(overflow_path(tmp_path, 7), lock)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(seen[0])  # it is closed


def test_a_new_file_under_an_old_name_is_not_deleted(tmp_path: Path) -> None:
    """A process that locks an old file whose name a new one has by then leaves the new one alone."""
    path = overflow_path(tmp_path, 7)
    path.touch()

    def lock(_: int) -> bool:
        path.rename(tmp_path / "old")
        path.touch()
        return True

    reclaim(tmp_path, lock)
    assert path.exists()
    delete_replayed({path: 0}, lock)
    assert path.exists()


def test_only_a_file_without_records_is_deleted_at_the_end(tmp_path: Path) -> None:
    """A file with records stays when its process ends; one whose records are in the ledger is deleted."""
    empty, full, written = (OverflowFile(overflow_path(tmp_path, number), 4096) for number in (1, 2, 3))
    full.append(ONE)
    written.append(ONE)
    written.mark_replayed(written.used)
    for overflow_file in (empty, full, written):
        overflow_file.close()
    assert overflow_paths(tmp_path) == [full.path]


def test_answers_are_replayed_once(overflow_file: OverflowFile, db: sqlite3.Connection, tmp_path: Path) -> None:
    """However often a file is replayed, each answer is in the ledger once; a file that has gone is passed over."""
    overflow_file.append(ONE)
    overflow_file.append(TWO)
    missing = overflow_path(tmp_path, 9)
    assert replay_files(db, [overflow_file.path, missing]) == {overflow_file.path: overflow_file.used}
    assert replay_files(db, [overflow_file.path]) == {overflow_file.path: overflow_file.used}
    assert kept(db) == [ONE.body, TWO.body]


def test_refusals_are_replayed_once(overflow_file: OverflowFile, db: sqlite3.Connection) -> None:
    """A replayed refusal takes its own request back, once, and no other call's."""
    send(db, Claim(1, 7, item()), "r", b"", 1.0, None)
    overflow_file.append(RefusalRecord(1, "another"))
    replay_files(db, [overflow_file.path])
    assert calls(db) == 1
    overflow_file.append(RefusalRecord(1, "r"))
    for _ in range(2):
        assert replay_files(db, [overflow_file.path]) == {overflow_file.path: overflow_file.used}
        assert calls(db) == 0
    assert db.execute("SELECT state FROM item").fetchall() == [("claimed",)]


def test_a_file_of_another_version_is_left_alone(
    overflow_file: OverflowFile, db: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that cannot be read is logged once, stays as it is, and does not keep others from being replayed."""
    packed = msgspec.msgpack.encode(["of tomorrow", 1])
    overflow_file.path.write_bytes(struct.pack("<II", len(packed), zlib.crc32(packed)) + packed)
    other = OverflowFile(overflow_path(overflow_file.path.parent, 8), 4096)
    other.append(ONE)
    other.close()
    brought_in = replay_files(db, [overflow_file.path, other.path])
    delete_replayed(brought_in)
    assert kept(db) == [ONE.body]
    assert overflow_paths(overflow_file.path.parent) == [overflow_file.path]
    assert [has_records(path) for path in (overflow_file.path, other.path)] == [True, False]
    replay_files(db, [overflow_file.path])
    assert caplog.text.count(f"{overflow_file.path} holds paid answers") == 1


def test_an_answer_whose_number_is_another_images_is_kept_and_named(
    overflow_file: OverflowFile, db: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """In a run that was restored from a backup an answer meets no other image: its file stays, and is logged once."""
    mine = msgspec.structs.replace(ONE, image=item())
    for stray in (msgspec.structs.replace(TWO, image=item("b")), msgspec.structs.replace(TWO, item=9, image=item())):
        overflow_file.append(stray)
    overflow_file.append(mine)
    for _ in range(2):
        assert replay_files(db, [overflow_file.path]) == {}
    assert kept(db) == [ONE.body]
    assert caplog.text.count(f"{overflow_file.path} holds paid answers of images that the run does not have") == 1


def test_a_settlement_of_another_images_number_changes_nothing(
    overflow_file: OverflowFile, db: sqlite3.Connection
) -> None:
    """In a restored run, whose numbers and owners are given out again, an old settlement ends no other image's call."""
    send(db, Claim(1, 7, item()), "r", b"", 1.0, None)
    not_billed = Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 0.0, b"", "s")
    overflow_file.append(SettlementRecord(Claim(1, 7, item("b")), not_billed, None, 1.0))
    replay_files(db, [overflow_file.path])
    assert db.execute("SELECT state FROM item").fetchall() == [("sent",)]
    assert calls(db) == 1


def test_records_show_no_content() -> None:
    """The repr of a record shows neither answers nor failures."""
    assert {repr(ONE), repr(RefusalRecord(1, "r"))} == {"AnswerRecord()", "RefusalRecord()"}


def test_a_file_of_a_running_process_is_not_deleted(overflow_file: OverflowFile, db: sqlite3.Connection) -> None:
    """A process that slept past its lease still appends its answers to a file that is found."""
    overflow_file.append(ONE)
    brought_in = replay_files(db, overflow_paths(overflow_file.path.parent))
    delete_replayed(brought_in)
    overflow_file.append(TWO)
    assert replay_files(db, overflow_paths(overflow_file.path.parent)) == {overflow_file.path: overflow_file.used}
    assert kept(db) == [ONE.body, TWO.body]


def test_a_file_that_got_another_record_is_not_deleted(tmp_path: Path, db: sqlite3.Connection) -> None:
    """A record that a process appended between the replay and its end is not deleted with the file."""
    overflow_file = OverflowFile(overflow_path(tmp_path, 7), 4096)
    overflow_file.append(ONE)
    brought_in = replay_files(db, [overflow_file.path])
    overflow_file.append(TWO)
    overflow_file.close()
    delete_replayed(brought_in)
    assert read_records(overflow_file.path) == [ONE, TWO]
    delete_replayed(replay_files(db, [overflow_file.path]))
    assert overflow_paths(tmp_path) == []
    delete_replayed({overflow_file.path: 100})  # another process was quicker


def test_no_room_to_begin_with() -> None:
    """On a full disk a run does not begin, and leaves no file."""
    program = f"""
import pathlib, resource, sys, signal, tempfile
sys.path[:] = {sys.path!r}
from clova_ocr_async.ledger.overflow_file import OverflowFile
from clova_ocr_async.errors import DiskFullError, LedgerError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = pathlib.Path(tempfile.mkdtemp())
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    OverflowFile(folder / "answers-1.spill")
except DiskFullError as error:
    print(list(folder.iterdir()), str(error).removeprefix(str(folder)))
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
overflow_file = OverflowFile(folder / "answers-1.spill", 4096)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
from clova_ocr_async.ledger.overflow_records import AnswerRecord
try:
    overflow_file.append(AnswerRecord(1, "r", 200, None, b"canary", 1.0))
except DiskFullError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[] : File too large; a run needs at least 2 MiB to begin with; make room",
        "an answer could not be kept: File too large",
    ]
