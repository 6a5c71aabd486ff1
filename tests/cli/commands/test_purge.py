from __future__ import annotations

import importlib
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.commands import CLOVA_OCR, clova_ocr

from clova_ocr_async.cli.terminal.locked_files import create_locked, remove_abandoned
from clova_ocr_async.cli.terminal.output import atomic_write
from clova_ocr_async.emulator import Emulator, draw_sample
from clova_ocr_async.ledger.corrections import Change, ChangeKind
from clova_ocr_async.ledger.sqlite.corrections import SqliteCorrections
from clova_ocr_async.ledger.sqlite.run_view import RunReader

if TYPE_CHECKING:
    from types import ModuleType

DAYS = ("--older-than", "30d")


@pytest.fixture
def run(clova: Emulator, tmp_path: Path) -> Path:
    """A run of two answers."""
    scans, run = tmp_path / "scans", tmp_path / "run"
    scans.mkdir()
    for seed in range(2):
        (scans / f"{seed}.png").write_bytes(draw_sample("receipt", seed=seed).data)
    assert clova_ocr("batch", "receipt", scans, "--run", run).exit_code == 0
    assert clova.billed.total() == 2
    return run


def answers(run: Path) -> int:
    """Return how many answers a run keeps."""
    with RunReader(run) as reader:
        return reader.answers()


def on_a_terminal(typed: bytes, *arguments: str | Path) -> tuple[int, str]:
    """Run a command with a terminal for input and errors; return its exit code and what it printed."""
    master, slave = pty.openpty()
    command = [*CLOVA_OCR, *map(str, arguments)]
    with subprocess.Popen(command, stdin=slave, stderr=slave, stdout=subprocess.DEVNULL, close_fds=True) as process:
        os.close(slave)
        os.write(master, typed)
        printed = b""
        try:
            while part := os.read(master, 4096):
                printed += part
        except OSError:  # Linux ends a terminal without an open end like this
            pass
        os.close(master)
        return process.wait(timeout=30), printed.decode()


@pytest.mark.parametrize("typed", [b"n\n", b"\n", b"\x04"], ids=["no", "default", "end"])
def test_purging_all_asks_on_a_terminal_first(run: Path, typed: bytes) -> None:
    """The number of answers and what they cost are named, and anything but a yes leaves them all."""
    code, printed = on_a_terminal(typed, "purge", run)
    assert (code, answers(run)) == (130, 2)
    assert "2 answers of this run would be deleted for good. They cost 2 paid calls" in printed
    assert f"clova-ocr export {run} -o FILE" in printed


def test_a_yes_removes_them(run: Path) -> None:
    """A confirmed purge removes all answers; without answers there is no question."""
    code, printed = on_a_terminal(b"y\n", "purge", run)
    assert (code, answers(run)) == (0, 0)
    assert "deleted: 2 answers" in printed
    code, printed = on_a_terminal(b"", "purge", run)
    assert (code, "Delete" in printed) == (0, False)


def test_the_corrections_of_people_are_named(run: Path) -> None:
    """The question and the result name the corrections that go with the answers."""
    with RunReader(run) as reader, SqliteCorrections(run) as record:
        entry = next(reader.records()).entry
        assert entry is not None
        record.append(entry.item, Change(ChangeKind.DONE, "minji"), after=0)
    code, printed = on_a_terminal(b"y\n", "purge", run)
    assert code == 0
    assert "2 answers of this run, and 1 correction in them, would be deleted for good" in printed
    assert "deleted: 2 answers with 1 correction and 0 error messages" in printed


@pytest.mark.parametrize("options", [["--yes"], [*DAYS], ["-q", "purge", "--yes"]])
def test_nothing_is_asked_where_the_answer_is_given(run: Path, options: list[str]) -> None:
    """--yes skips the question, and an age is a choice of its own."""
    arguments = options if "purge" in options else ["purge", *options]
    code, printed = on_a_terminal(b"", *arguments, run)
    assert (code, "Delete" in printed) == (0, False)
    assert answers(run) == (2 if options == [*DAYS] else 0)


@pytest.mark.parametrize("closed", ["", " <&-", " 2>&-"])
def test_without_a_terminal_nothing_is_asked(run: Path, closed: str) -> None:
    """A script or a timer is not kept waiting for an answer, also with closed streams."""
    command = ["sh", "-c", f'"$@"{closed}', "sh", *CLOVA_OCR, "purge", str(run)]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=50)
    assert (done.returncode, answers(run)) == (0, 0)


def test_the_question_may_be_quiet_about_the_rest(run: Path) -> None:
    """With -q the question is asked all the same: the answers are gone for good."""
    code, printed = on_a_terminal(b"n\n", "-q", "purge", run)
    assert (code, answers(run)) == (130, 2)
    assert "would be deleted for good" in printed


# ---------------------------------------------------------------------------------------------------------------------
# Files of other processes


def test_purging_leaves_what_another_process_writes(run: Path) -> None:
    """A list of failures that another process is writing stays, and is named; once it has died it is removed."""
    written = run / "failures.jsonl.1.0123456789abcdef.part"
    script = (
        "import sys\nfrom pathlib import Path\nfrom clova_ocr_async.cli.terminal.locked_files import create_locked\n"
        f"create_locked(Path({str(written)!r}))\nprint('held', flush=True)\nsys.stdin.read()"
    )
    purge = [*CLOVA_OCR, "purge", str(run)]
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        done = subprocess.run(purge, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=50)
        assert (done.returncode, written.exists()) == (0, True)
        assert f"{written} was not deleted, because another process is writing it" in done.stderr.decode()
        process.kill()
    subprocess.run(purge, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=50)
    assert not written.exists()


def test_two_processes_of_one_number_write_one_file(tmp_path: Path) -> None:
    """Two containers whose processes have the same number do not write into each other's temporary file."""
    final = tmp_path / "out.jsonl"
    with atomic_write(final) as first:
        first(b"first\n")
        with atomic_write(final) as second:
            second(b"second\n")
            assert len({path.name for path in tmp_path.glob("*.part")}) == 2
        first(b"more\n")
    assert final.read_bytes() == b"first\nmore\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_file_is_held_until_it_has_its_name(tmp_path: Path) -> None:
    """No moment lies between the last byte and the name in which the file looks abandoned."""
    final = tmp_path / "out.jsonl"
    left: list[list[Path]] = []

    def watch(place: str) -> None:
        if place == "before rename":
            left.append(remove_abandoned(tmp_path.glob("*.part")))

    with atomic_write(final, watch) as write:
        write(b"whole\n")
    assert [len(paths) for paths in left] == [1]
    assert final.read_bytes() == b"whole\n"


def test_a_file_that_was_taken_for_abandoned_is_made_again(tmp_path: Path) -> None:
    """A file that another process removes between its making and its lock is made once more."""
    path = tmp_path / "a.part"
    removals = [path]

    def load(name: str) -> ModuleType:
        if removals:
            removals.pop().unlink()
        return importlib.import_module(name)

    descriptor = create_locked(path, load)
    os.write(descriptor, b"kept")
    os.close(descriptor)
    assert path.read_bytes() == b"kept"


def test_what_no_process_holds_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """A file of a dead process is removed; a folder, a link and a held file are not; a missing one is not an error."""
    dead, gone, held, folder, link = (tmp_path / f"{name}.part" for name in ("dead", "gone", "held", "folder", "link"))
    dead.touch()
    folder.mkdir()
    link.symlink_to(tmp_path / "target")
    (tmp_path / "target").touch()
    descriptor = create_locked(held)
    assert remove_abandoned([dead, gone, held, folder, link]) == [held, folder, link]
    os.close(descriptor)
    assert remove_abandoned([held]) == []
    assert {path.name for path in tmp_path.iterdir()} == {"folder.part", "link.part", "target"}


def test_a_system_without_these_locks_removes_what_it_can(tmp_path: Path) -> None:
    """Without such locks, the file system itself keeps what is open; the rest is removed."""

    def load(name: str) -> ModuleType:
        raise ModuleNotFoundError(name)

    descriptor = create_locked(tmp_path / "a.part", load)
    os.close(descriptor)
    assert remove_abandoned([tmp_path / "a.part"], load) == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_a_folder_that_may_not_be_changed_is_left(tmp_path: Path) -> None:
    """A file that cannot be removed is named as left."""
    left = tmp_path / "held"

    class Stubborn(type(Path())):  # type: ignore[misc]
        """A file that its folder does not let go."""

        def unlink(self, missing_ok: bool = False) -> None:  # noqa: FBT002 - pathlib's signature
            raise PermissionError(str(missing_ok))

    left.touch()
    assert remove_abandoned([Stubborn(left)]) == [left]
