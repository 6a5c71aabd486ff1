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

from clova_ocr_async.errors import DiskFullError, LedgerError
from clova_ocr_async.ledger.sqlite.overflow import (
    OverflowFile,
    _create_locked,
    delete_replayed,
    has_records,
    overflow_path,
    overflow_paths,
    read_records,
    reclaim,
    replay_files,
)
from clova_ocr_async.ledger.sqlite.overflow_records import AnswerRecord, RefusalRecord, encode_record
from clova_ocr_async.ledger.sqlite.schema import migrate
from clova_ocr_async.ledger.sqlite.statements import calls, claim_item, send
from clova_ocr_async.ledger.states import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ONE = AnswerRecord(1, "r", 200, None, b"first", 5.1)
TWO = AnswerRecord(1, "s", 200, "the connection was lost", b"second", 6.0)


@pytest.fixture
def spill(tmp_path: Path) -> Iterator[OverflowFile]:
    """A file of one process."""
    spill = OverflowFile(overflow_path(tmp_path, 7), room=4096)
    yield spill
    spill.close()


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """A ledger in memory with one item."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    claim_item(connection, item(), 7)
    connection.execute("INSERT INTO run (name, value) VALUES ('calls', 0)")
    yield connection
    connection.close()


def record_of(spilled: AnswerRecord) -> bytes:
    """Return an answer as it stands in the file."""
    packed = encode_record(spilled)
    return struct.pack("<II", len(packed), zlib.crc32(packed)) + packed


def kept(db: sqlite3.Connection) -> list[bytes]:
    """Return the answers in the ledger."""
    return [body for (body,) in db.execute("SELECT body FROM answer ORDER BY id")]


def test_what_is_kept_is_read(spill: OverflowFile) -> None:
    """Answers come back as they were kept, from a file of its owner only, that never grows."""
    assert read_records(spill.path) == []
    spill.append(ONE)
    spill.append(TWO)
    assert read_records(spill.path) == [ONE, TWO]
    assert spill.path.stat().st_size == 4096
    assert spill.path.stat().st_mode & 0o777 == 0o600


def test_a_torn_answer_costs_only_itself(spill: OverflowFile) -> None:
    """A process that is killed while it writes leaves what it had written before."""
    spill.append(ONE)
    length = len(spill.path.read_bytes().rstrip(b"\0"))
    spill.append(TWO)
    with spill.path.open("r+b") as file:
        file.seek(length + 12)
        file.write(b"torn")
    assert read_records(spill.path) == [ONE]
    with spill.path.open("r+b") as file:
        file.truncate(length)
    assert read_records(spill.path) == [ONE]


def no_such_call(_descriptor: int, _offset: int, _length: int) -> None:
    """Answer as a file system that cannot allocate."""
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def disk_of(size: int) -> Callable[[int, int, int], None]:
    """Return what sets room aside on a disk of some bytes."""

    def allocate(descriptor: int, offset: int, length: int) -> None:
        os.posix_fallocate(descriptor, offset, min(length, size - offset))  # a full disk may have given a part
        if offset + length > size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return allocate


def test_a_full_room_is_told(tmp_path: Path) -> None:
    """An answer that does not fit on a full disk is refused by an error, those before it stay, a smaller one fits."""
    spill = OverflowFile(overflow_path(tmp_path, 7), 4096, disk_of(4200))
    spill.append(ONE)
    with pytest.raises(DiskFullError, match="so is the room"):
        spill.append(AnswerRecord(1, "r", 200, None, bytes(5000), 5.0))
    assert spill.path.stat().st_size == 4096
    spill.append(TWO)
    assert read_records(spill.path) == [ONE, TWO]
    spill.close()


def test_an_answer_larger_than_the_room_is_kept_where_the_disk_has_it(spill: OverflowFile) -> None:
    """An answer larger than what was set aside is kept while the disk is not full, as when the ledger is locked."""
    large = AnswerRecord(1, "r", 200, None, bytes(5000), 5.0)
    spill.append(large)
    assert read_records(spill.path) == [large]


@pytest.mark.parametrize("allocate", [None, no_such_call], ids=["no call", "a file system without"])
def test_room_is_set_aside_without_the_systems_help(
    tmp_path: Path, allocate: Callable[[int, int, int], None] | None
) -> None:
    """Where the system or the file system cannot allocate, the room is written as zeros."""
    spill = OverflowFile(overflow_path(tmp_path, 7), 4096, allocate)
    spill.reserve(8192)
    assert spill.path.stat().st_blocks * 512 >= 8192
    spill.append(ONE)
    spill.reserve(4096)  # there already
    assert spill.path.stat().st_size == 8192
    assert read_records(spill.path) == [ONE]
    spill.close()


def test_room_that_cannot_be_had_is_refused_whole(tmp_path: Path) -> None:
    """A reservation that the disk does not have names the way out, and leaves the rest of the disk to others."""
    spill = OverflowFile(overflow_path(tmp_path, 7), 4096, disk_of(6000))
    with pytest.raises(DiskFullError, match="make room on the disk of the run"):
        spill.reserve(8192)
    assert spill.path.stat().st_size == 4096
    assert spill.available() > 4096
    spill.close()


def test_what_is_in_the_ledger_is_forgotten_unless_more_came(spill: OverflowFile) -> None:
    """Answers that were brought in make place for others, unless another one came while they were."""
    spill.append(ONE)
    seen = spill.used
    spill.append(TWO)
    spill.mark_replayed(seen)
    assert read_records(spill.path) == [ONE, TWO]
    spill.mark_replayed(spill.used)
    assert (spill.used, read_records(spill.path)) == (0, [])
    spill.append(TWO)
    assert read_records(spill.path) == [TWO]


def test_what_was_forgotten_does_not_stand_behind_what_is_kept_next(
    spill: OverflowFile, db: sqlite3.Connection
) -> None:
    """An answer that is kept after others were brought in is read without them, and the next one is not lost."""
    spill.append(ONE)
    spill.append(ONE)
    spill.mark_replayed(replay_files(db, [spill.path])[spill.path])
    spill.append(ONE)
    assert read_records(spill.path) == [ONE]
    (read,) = replay_files(db, [spill.path]).values()
    spill.append(TWO)  # while that is committed
    spill.mark_replayed(read)
    assert read_records(spill.path) == [ONE, TWO]


def test_the_last_record_ends_the_file_also_where_it_fills_the_room(tmp_path: Path) -> None:
    """Room is set aside for what ends the records, so that one never fits without it."""
    size = len(record_of(ONE))
    spill = OverflowFile(overflow_path(tmp_path, 7), size, disk_of(size + 7))
    with pytest.raises(DiskFullError, match="so is the room"):
        spill.append(ONE)
    spill.close()
    spill = OverflowFile(overflow_path(tmp_path, 8), size, disk_of(size + 8))
    spill.append(ONE)
    assert spill.path.stat().st_size == size + 8
    spill.close()


def test_the_room_of_the_dead_goes_back_to_the_disk(tmp_path: Path) -> None:
    """Of a process that has ended only what it kept stays; a file that is in use, or gone meanwhile, is left alone."""
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


def test_a_file_that_is_let_go_closes_no_other(tmp_path: Path) -> None:
    """A descriptor that is another file's by now, or nobody's, is not closed after a fork."""
    spill = OverflowFile(overflow_path(tmp_path, 1), 4096)
    spill.abandon_after_fork()
    with (tmp_path / "another").open("wb") as other:  # it may have the same number
        spill.abandon_after_fork()
        other.write(b"still open")
    assert (tmp_path / "another").read_bytes() == b"still open"


def test_a_file_that_is_taken_away_as_it_is_made_is_made_again(tmp_path: Path) -> None:
    """Who makes its file just as another process gives back what nobody uses still has a file that is found."""
    path = overflow_path(tmp_path, 7)
    moves: list[Callable[[], object]] = [path.unlink, lambda: path.replace(tmp_path / "moved"), lambda: None]
    rivals = iter(moves)

    def lock(_: int) -> bool:
        next(rivals)()
        return True

    descriptor = _create_locked(path, lock)
    assert os.path.samestat(path.stat(), os.fstat(descriptor))
    assert next(rivals, None) is None
    os.close(descriptor)


def test_a_file_that_another_process_locked_first_is_not_used(tmp_path: Path) -> None:
    """A new file that another process has locked, and is about to remove, keeps no answers: another one is made."""
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
        descriptor = _create_locked(path, pause=remove)
    assert os.path.samestat(path.stat(), os.fstat(descriptor))
    assert len(pauses) == 2
    reclaim(tmp_path)
    assert path.exists()  # since it is locked
    os.close(descriptor)


def test_a_file_that_stays_locked_is_given_up(tmp_path: Path) -> None:
    """A process whose new file another one keeps locked ends with an error that names the file."""
    path = overflow_path(tmp_path, 7)
    with pytest.raises(LedgerError, match=r"answers-7\.spill.* locked by another program"):
        _create_locked(path, lambda _: False, lambda _: None)


def test_a_file_system_without_locks_is_refused(tmp_path: Path) -> None:
    """Where files cannot be locked no run begins, as its answers could be removed by other processes."""
    seen: list[int] = []

    def lock(descriptor: int) -> bool:
        seen.append(descriptor)
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with pytest.raises(LedgerError, match=f"cannot hold a ledger .*{os.strerror(errno.ENOLCK)}.*local disk"):
        _create_locked(overflow_path(tmp_path, 7), lock)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(seen[0])  # it is closed


def test_a_file_that_took_anothers_name_is_not_removed(tmp_path: Path) -> None:
    """Who found an old file, and locks it when a new one has its name, leaves the new one alone."""
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


def test_only_an_empty_file_is_removed_at_the_end(tmp_path: Path) -> None:
    """A file that holds answers stays when its process ends, and one whose answers are in the ledger does not."""
    empty, full, written = (OverflowFile(overflow_path(tmp_path, number), 4096) for number in (1, 2, 3))
    full.append(ONE)
    written.append(ONE)
    written.mark_replayed(written.used)
    for spill in (empty, full, written):
        spill.close()
    assert overflow_paths(tmp_path) == [full.path]


def test_answers_are_brought_in_once(spill: OverflowFile, db: sqlite3.Connection, tmp_path: Path) -> None:
    """However often a file is brought in, each answer is in the ledger once; a file that has gone meanwhile is none."""
    spill.append(ONE)
    spill.append(TWO)
    missing = overflow_path(tmp_path, 9)
    assert replay_files(db, [spill.path, missing]) == {spill.path: spill.used}
    assert replay_files(db, [spill.path]) == {spill.path: spill.used}
    assert kept(db) == [ONE.body, TWO.body]


def test_refusals_are_brought_in_once(spill: OverflowFile, db: sqlite3.Connection) -> None:
    """A refusal beside the ledger takes its own request back, once, and no other call's."""
    send(db, Claim(1, 7, item()), "r", 1.0, None)
    spill.append(RefusalRecord(1, "another"))
    replay_files(db, [spill.path])
    assert calls(db) == 1
    spill.append(RefusalRecord(1, "r"))
    for _ in range(2):
        assert replay_files(db, [spill.path]) == {spill.path: spill.used}
        assert calls(db) == 0
    assert db.execute("SELECT state FROM item").fetchall() == [("claimed",)]


def test_what_another_version_wrote_is_left_alone(
    spill: OverflowFile, db: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that cannot be read is named once, keeps its answers, and keeps no other one from being read."""
    packed = msgspec.msgpack.encode(["of tomorrow", 1])
    spill.path.write_bytes(struct.pack("<II", len(packed), zlib.crc32(packed)) + packed)
    other = OverflowFile(overflow_path(spill.path.parent, 8), 4096)
    other.append(ONE)
    other.close()
    brought_in = replay_files(db, [spill.path, other.path])
    delete_replayed(brought_in)
    assert kept(db) == [ONE.body]
    assert overflow_paths(spill.path.parent) == [spill.path]
    assert [has_records(path) for path in (spill.path, other.path)] == [True, False]
    replay_files(db, [spill.path])
    assert caplog.text.count(f"{spill.path} holds paid answers") == 1


def test_nothing_kept_is_shown() -> None:
    """What is kept shows neither answers nor failures."""
    assert {repr(ONE), repr(RefusalRecord(1, "r"))} == {"AnswerRecord()", "RefusalRecord()"}


def test_a_file_somebody_may_write_into_is_not_removed(spill: OverflowFile, db: sqlite3.Connection) -> None:
    """A process that slept past its lease still keeps its answers where they are found."""
    spill.append(ONE)
    brought_in = replay_files(db, overflow_paths(spill.path.parent))
    delete_replayed(brought_in)
    spill.append(TWO)
    assert replay_files(db, overflow_paths(spill.path.parent)) == {spill.path: spill.used}
    assert kept(db) == [ONE.body, TWO.body]


def test_a_file_that_got_another_answer_is_not_removed(tmp_path: Path, db: sqlite3.Connection) -> None:
    """An answer that a process wrote between the reading of its file and its end is not removed with the file."""
    spill = OverflowFile(overflow_path(tmp_path, 7), 4096)
    spill.append(ONE)
    brought_in = replay_files(db, [spill.path])
    spill.append(TWO)
    spill.close()
    delete_replayed(brought_in)
    assert read_records(spill.path) == [ONE, TWO]
    delete_replayed(replay_files(db, [spill.path]))
    assert overflow_paths(tmp_path) == []
    delete_replayed({spill.path: 100})  # another process was quicker


def test_no_room_to_begin_with() -> None:
    """On a full disk a run does not begin, and leaves no file behind."""
    program = f"""
import pathlib, resource, sys, signal, tempfile
sys.path[:] = {sys.path!r}
from clova_ocr_async.ledger.sqlite.overflow import OverflowFile
from clova_ocr_async.errors import DiskFullError, LedgerError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = pathlib.Path(tempfile.mkdtemp())
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    OverflowFile(folder / "answers-1.spill")
except DiskFullError as error:
    print(list(folder.iterdir()), str(error).removeprefix(str(folder)))
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
spill = OverflowFile(folder / "answers-1.spill", 4096)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
from clova_ocr_async.ledger.sqlite.overflow_records import AnswerRecord
try:
    spill.append(AnswerRecord(1, "r", 200, None, b"canary", 1.0))
except DiskFullError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[] : File too large; a run needs at least 2 MiB to begin with; make room",
        "an answer could not be kept: File too large",
    ]
