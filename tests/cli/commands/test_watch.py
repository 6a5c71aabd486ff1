from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import PIL.Image
import pytest
from support.commands import PICTURES, clova_ocr, exported, many_pictures, start, status
from support.waiting import wait_for

from clova_ocr_async.emulator import emulator_in_thread

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def line_of(process: subprocess.Popen[bytes], words: str) -> str:
    """Return the next line of standard error with some words in it."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in (text := line.decode()):
            return text
    raise AssertionError(f"no line with {words!r}")


def ended(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> str:
    """End a command with a signal, and return the rest of what it printed."""
    process.send_signal(number)
    return process.communicate(timeout=30)[1].decode()


@pytest.mark.parametrize("how", [(), ("--poll",)])
def test_a_watch_reads_what_is_there_and_what_is_put_into_the_folder(
    inbox: Path, run: Path, how: tuple[str, ...]
) -> None:
    """Each image has a line, its results can be exported at any time, and a signal ends the command with 130."""
    (inbox / "there.png").write_bytes(PICTURES[0])
    (inbox / "notes.txt").touch()
    with emulator_in_thread(latency=0, sigma=0) as clova:
        with start(clova, "watch", "receipt", inbox, "--run", run, "--settle", "0.2", *how) as process:
            line_of(process, "1 file left out: 1 with another ending (.txt)")
            line_of(process, f"watching {inbox}: a file is read once it has not changed for 0.2 s")
            assert line_of(process, "there.png") == f"{inbox / 'there.png'}: succeeded, billed\n"
            assert [record["status"] for record in exported(run)] == ["succeeded"]
            (inbox / "upload.png.part").write_bytes(PICTURES[1])
            (inbox / "upload.png.part").rename(inbox / "upload.png")
            assert "succeeded, billed" in line_of(process, "upload.png")
            (inbox / "copy.png").write_bytes(PICTURES[1])
            line = line_of(process, "copy.png")
            assert "succeeded, not billed, because this picture was paid for before" in line
            (inbox / "broken.png").write_bytes(b"no image")
            assert "skipped: " in line_of(process, "broken.png")
            printed = ended(process)
        assert process.returncode == 130, printed
        assert "4 images: 3 succeeded, 1 skipped; 1 answered from the ledger; 2 calls billed" in printed
        assert process.stdout is not None
        assert clova.billed.total() == len(clova.billed) == 2
    assert status(run)["images"] == {"succeeded": 3, "skipped": 1}


def test_pages_and_pictures_that_need_preparation_are_read(inbox: Path, run: Path) -> None:
    """Each page of a fax is an image, as with batch, and a picture that the service does not read is converted."""
    pages = [PIL.Image.new("L", (40, 30), shade) for shade in (0, 90, 180)]
    with emulator_in_thread(latency=0, sigma=0) as clova:
        command = ("watch", "receipt", inbox, "--run", run, "--settle", "0.2", "--pages", "1,3", "--prepare")
        with start(clova, *command) as process:
            line_of(process, "watching")
            pages[0].save(inbox / "fax.tif", save_all=True, append_images=pages[1:])
            pages[1].save(inbox / "photo.bmp")
            wait_for(lambda: clova.billed.total() >= 3)
            ended(process)
    records = exported(run)
    assert sorted((record["source"].rpartition("/")[2], record["page"]) for record in records if record["page"]) == [
        ("fax.tif", 1),
        ("fax.tif", 3),
    ]
    assert {record["status"] for record in records} == {"succeeded"}
    assert clova.billed.total() == len(records) == 3


def test_a_signal_finishes_what_is_under_way_and_the_same_command_goes_on(tmp_path: Path, run: Path) -> None:
    """A watch that is ended in its work leaves nothing ambiguous; the command that it shows pays for the rest."""
    with emulator_in_thread(latency=0.2) as clova:
        inbox = many_pictures(tmp_path / "inbox", 20)
        command = ("watch", "receipt", inbox, "--run", run, "--settle", "0", "--poll")
        with start(clova, *command) as process:
            wait_for(lambda: clova.billed.total() >= 3)
            printed = ended(process, signal.SIGINT)
        assert process.returncode == 130
        assert f"to go on: python -m clova_ocr_async watch receipt {inbox} --run {run} --settle 0 --poll\n" in printed
        assert set(status(run)["images"]) == {"succeeded", "pending"}
        with start(clova, *command) as process:
            wait_for(lambda: clova.billed.total() >= 20)
            printed = ended(process)
        assert status(run)["images"] == {"succeeded": 20}
        assert clova.billed.total() == len(clova.billed) == 20


def test_two_watches_of_one_run_share_the_files(inbox: Path, run: Path) -> None:
    """Of two processes on one folder and one run each file is read by one, and billed once."""
    with emulator_in_thread(latency=0.05) as clova:
        command = ("watch", "receipt", inbox, "--run", run, "--settle", "0.1")
        with start(clova, *command) as one, start(clova, *command) as two:
            for process in (one, two):
                line_of(process, "watching")
            for number in range(30):
                (inbox / f"{number}.png").write_bytes(PICTURES[0] + b"%d" % number)
            wait_for(lambda: clova.billed.total() >= 30)
            printed = ended(one) + ended(two)
        assert (one.returncode, two.returncode) == (130, 130), printed
        assert clova.billed.total() == len(clova.billed) == 30
    assert status(run)["images"] == {"succeeded": 30}


@pytest.mark.parametrize(
    ("faults", "more", "code", "why"),
    [
        (["bad-secret"] * 9, (), 3, "stopped early: HTTP 401"),
        ([], ("--max-calls", "1"), 4, "raise the call limit and repeat: "),
    ],
)
def test_what_ends_a_batch_ends_a_watch(
    clova: Emulator, tmp_path: Path, run: Path, faults: list[str], more: tuple[str, ...], code: int, why: str
) -> None:
    """A rejected secret and a reached call limit end the command with the codes of batch, and say how to go on."""
    clova.script(*faults)
    inbox = many_pictures(tmp_path / "inbox", 3)
    result = clova_ocr("watch", "receipt", inbox, "--run", run, "--settle", "0", "--poll", *more)
    assert result.exit_code == code, result.stderr
    assert why in result.stderr
    assert clova.billed.total() == (1 if more else 0)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("{inbox}", "Missing option '--run'"),
        ("{inbox}/no --run {run}", "no: No such file or directory"),
        ("{inbox}/a.png --run {run}", "a.png: Not a directory"),
        ("{inbox} --run {inbox}/sub/run", "sub/run lies in {inbox}, which is watched; give a directory outside of it"),
        ("{inbox} --run {inbox}", "{inbox} lies in {inbox}, which is watched"),
        ("{inbox} --run {inbox}/..", "{inbox} lies in the run directory {inbox}/..; give a directory outside of it"),
        ("{inbox} --run {run} --settle -1", "'-1' is not a number of seconds; write a number from 0 to 86400"),
        ("{inbox} --run {run} --settle nan", "'nan' is not a number of seconds"),
        ("{inbox} --run {run} --settle soon", "'soon' is not a number of seconds"),
        ("{inbox} --run {run} --pages first", "first"),
        ("{inbox} --run {run} --max-cost 100", "--max-cost needs --price"),
        ("{inbox} --run {run} --max-cost 100 --price 1 --max-calls none", "give one of them"),
    ],
)
def test_mistakes_are_refused_before_a_run_is_made(
    clova: Emulator, inbox: Path, run: Path, arguments: str, why: str
) -> None:
    """A folder that is not there, a run directory within reach of the scans, and wrong numbers exit with 2."""
    (inbox / "a.png").write_bytes(PICTURES[0])
    result = clova_ocr("watch", "receipt", *arguments.format(inbox=inbox, run=run).split())
    assert result.exit_code == 2, result.stderr
    assert why.format(inbox=inbox) in " ".join(result.stderr.split())
    assert not run.exists()
    assert clova.requests == 0
