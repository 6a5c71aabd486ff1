from __future__ import annotations

import json
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
import threading
import tty
from typing import TYPE_CHECKING, Any

import pytest
from support.commands import CLOVA_OCR, clova_ocr, environment_of, shell
from support.waiting import wait_for

from clova_ocr_async.cli.terminal.output import OutputError, atomic_write, opened_directly, opened_output, whole_output
from clova_ocr_async.cli.terminal.output_target import check_ending, inspect_target, named_descriptor
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator


@pytest.fixture
def here(clova: Emulator, tmp_path: Path) -> Path:  # noqa: ARG001 - the emulator is named by the environment
    """A folder that holds a picture and the run it was read in."""
    (tmp_path / "a.png").write_bytes(draw_sample("receipt").data)
    done = clova_ocr("batch", "receipt", tmp_path / "a.png", "--run", tmp_path / "run")
    assert done.exit_code == 0, done.stderr
    return tmp_path


def run_in(
    clova: Emulator, folder: Path, *arguments: str, stdout: Any = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a folder, in a process of its own."""
    command = [*CLOVA_OCR, *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment_of(clova),
        input=b"",
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        timeout=50,
    )


def is_record(line: bytes) -> bool:
    """Return whether a line is the record of a picture that was read."""
    return bool(json.loads(line)["status"] == "succeeded")


VERBS = {
    "export": ("export", "run", "--force", "-o"),
    "batch": ("batch", "receipt", "a.png", "-o"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_fifo_is_written_to_and_stays_a_fifo(clova: Emulator, here: Path, verb: str) -> None:
    """The reader of a FIFO gets the lines, and the FIFO stays what it is."""
    os.mkfifo(here / "pipe")
    done = shell(
        clova,
        folder=here,
        command=f"cat pipe > taken & clova-ocr {' '.join(VERBS[verb])} pipe; code=$?; wait; exit $code",
    )
    assert done.returncode == 0, done.stderr
    assert stat.S_ISFIFO((here / "pipe").lstat().st_mode)
    assert is_record((here / "taken").read_bytes())


@pytest.mark.parametrize("verb", VERBS)
def test_a_device_is_written_to_and_stays_a_device(clova: Emulator, here: Path, verb: str) -> None:
    """A device takes the lines, also through a symbolic link, which stays a link."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    (here / "link").symlink_to(os.ttyname(theirs))
    taken = bytearray()

    def read() -> None:
        while not taken.endswith(b"\n"):
            taken.extend(os.read(ours, 65536))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    done = run_in(clova, here, *VERBS[verb], "link")
    reader.join(30)
    assert done.returncode == 0, done.stderr
    assert is_record(bytes(taken))
    assert (here / "link").is_symlink()
    assert stat.S_ISCHR((here / "link").stat().st_mode)
    os.close(ours)
    os.close(theirs)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_of_roots_stays_a_device(clova: Emulator, here: Path) -> None:
    """Root could put a file in the place of a device, and does not."""
    os.mknod(here / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    done = run_in(clova, here, *VERBS["export"], "null")
    assert done.returncode == 0, done.stderr
    assert stat.S_ISCHR((here / "null").lstat().st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_disk_is_overwritten_only_when_forced(clova: Emulator, here: Path) -> None:
    """A disk holds something: without --force it is refused, with it it is written to, and stays a device."""
    os.mknod(here / "disk", stat.S_IFBLK | 0o666, os.makedev(240, 0))  # of no driver
    refused = run_in(clova, here, "export", "run", "-o", "disk")
    assert (refused.returncode, b"--force" in refused.stderr) == (2, True)
    assert run_in(clova, here, "batch", "receipt", "a.png", "-o", "disk").returncode == 2
    assert run_in(clova, here, *VERBS["export"], "disk").returncode == 2
    assert stat.S_ISBLK((here / "disk").lstat().st_mode)


@pytest.mark.parametrize(
    ("verb", "names"), [("export", ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link")), ("batch", ("link",))]
)
def test_standard_output_has_several_names(clova: Emulator, here: Path, verb: str, names: tuple[str, ...]) -> None:
    """Whatever it is called, and wherever it leads, the lines go there and no file of that name is made."""
    (here / "link").symlink_to("/dev/stdout")
    for name in names:
        done = run_in(clova, here, *VERBS[verb], name)
        assert (done.returncode, is_record(done.stdout)) == (0, True), (name, done.stderr)
    for name in {"-", "/dev/stdout", "link"}.intersection(names):
        with (here / "redirected").open("wb") as file:
            done = run_in(clova, here, *VERBS[verb], name, stdout=file)
        assert (done.returncode, is_record((here / "redirected").read_bytes())) == (0, True), (name, done.stderr)
    assert not os.path.lexists(here / "-")
    assert {path.name for path in here.iterdir()} == {"a.png", "run", "link", "redirected"}


@pytest.mark.parametrize("verb", VERBS)
def test_a_process_substitution_takes_the_lines(clova: Emulator, here: Path, verb: str) -> None:
    """``-o >(gzip > file)`` works as with any other tool."""
    done = shell(clova, folder=here, command=f"clova-ocr {' '.join(VERBS[verb])} >(cat > taken; touch done)")
    assert done.returncode == 0, done.stderr
    wait_for((here / "done").exists)
    assert is_record((here / "taken").read_bytes())


def test_standard_output_that_is_a_socket_takes_the_lines(clova: Emulator, here: Path) -> None:
    """/dev/stdout of a service is a socket, which cannot be opened a second time."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = run_in(clova, here, *VERBS["export"], "/dev/stdout", stdout=theirs.fileno())
        assert done.returncode == 0, done.stderr
        assert ours.recv(20).startswith(b'{"source":"')


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_is_paid_where_nothing_can_be_written(clova: Emulator, here: Path, verb: str) -> None:
    """A folder, a socket, a closed descriptor, one that is only read from, and a bad path are refused before."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(here / "sock"))
    before = clova.requests
    for name, why in {
        "run": b"run is a folder; give the name of a file in it",
        "new/": b"new/: No such file",
        "": b"an empty name: No such file",
        "sock": b"sock is a socket",
        "/dev/fd/77": b"/dev/fd/77: Bad file descriptor",
        "/dev/stdin": b"/dev/stdin: Bad file descriptor",
        "a.png/x": b"a.png/x: Not a directory",
        "가" * 90: b": File name too long",
    }.items():
        done = run_in(clova, here, *VERBS[verb], name)
        assert (done.returncode, why in done.stderr) == (2, True), (name, done.stderr)
    assert clova.requests == before
    assert {path.name for path in here.iterdir()} == {"a.png", "run", "sock"}


def test_a_link_to_a_file_stays_a_link(clova: Emulator, here: Path) -> None:
    """The file that a symbolic link leads to is replaced, as a whole; the link leads there still."""
    (here / "elsewhere").mkdir()
    (here / "elsewhere" / "out.jsonl").write_text("before")
    (here / "link.jsonl").symlink_to("elsewhere/out.jsonl")
    assert run_in(clova, here, "export", "run", "-o", "link.jsonl").returncode == 2
    assert (here / "elsewhere" / "out.jsonl").read_text() == "before"
    assert run_in(clova, here, *VERBS["export"], "link.jsonl").returncode == 0
    assert (here / "link.jsonl").is_symlink()
    assert is_record((here / "elsewhere" / "out.jsonl").read_bytes())
    assert [path.name for path in (here / "elsewhere").iterdir()] == ["out.jsonl"]


def test_a_link_that_leads_nowhere_is_followed_only_when_forced(clova: Emulator, here: Path) -> None:
    """A file is made where the link leads, if --force shows so; batch, which has none, makes no such file."""
    (here / "link.jsonl").symlink_to("target.jsonl")
    for verb in (("export", "run", "-o"), VERBS["batch"]):
        assert run_in(clova, here, *verb, "link.jsonl").returncode == 2
    assert not (here / "target.jsonl").exists()
    assert run_in(clova, here, *VERBS["export"], "link.jsonl").returncode == 0
    assert (here / "link.jsonl").is_symlink()
    assert is_record((here / "target.jsonl").read_bytes())


def test_a_name_may_be_as_long_as_the_system_takes(clova: Emulator, here: Path) -> None:
    """A file of a long name is written like any other."""
    for name in ("가" * 82 + ".jsonl", "o" * 255, "😀" * 60):
        done = run_in(clova, here, "export", "run", "-o", name)
        assert done.returncode == 0, done.stderr
        assert is_record((here / name).read_bytes())


@pytest.mark.parametrize("verb", VERBS)
def test_an_ending_that_does_not_fit_the_format_is_refused(clova: Emulator, here: Path, verb: str) -> None:
    """JSON Lines under the name of another format are refused before anything is paid, with the way out."""
    before = clova.requests
    for name in ("x.xlsx", "x.CSV", "x.jsonl.gz"):
        done = run_in(clova, here, *VERBS[verb], name)
        assert done.returncode == 2, name
        assert b"and JSON Lines (a record a line) are written; give a name that ends in .jsonl" in done.stderr
        assert not (here / name).exists()
    assert clova.requests == before


def test_an_ending_names_the_format_that_can_be_asked_for() -> None:
    """If the command can write the ending's format, the error names that too; an unknown ending fits any format."""
    with pytest.raises(ConfigurationError, match=r"give a name that ends in .jsonl, or --format csv$"):
        check_ending("out.csv", "jsonl", ("jsonl", "csv"))
    for name in ("out.jsonl", "out.NDJSON", "out", "out.2026-11-29", ".csv", "out.json"):
        check_ending(name, "jsonl", ("jsonl", "csv"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_export_that_a_signal_ends_leaves_nothing_behind(
    clova: Emulator, here: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """No part of the answers stays on the disk, and the exit code is 130."""
    program = (
        "import sys, os, signal\n"
        "from clova_ocr_async.ledger.sqlite.run_view import RunReader\n"
        "whole = RunReader.records\n"
        "def endless(reader, **options):\n"
        "    for record in whole(reader, **options):\n"
        "        yield record\n"
        "        print('in flight', flush=True)\n"
        "        signal.pause()\n"
        "RunReader.records = endless\n"
        "from clova_ocr_async.cli import main\n"
        "main()"
    )
    command = [sys.executable, "-c", program, "export", "run", "-o", "out.jsonl"]
    with subprocess.Popen(
        command, cwd=here, env=environment_of(clova), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in flight\n"
        assert [path.name for path in here.glob("out*")] != []
        process.send_signal(number)
        _, printed = process.communicate(timeout=30)
    assert (process.returncode, printed) == (130, b"interrupted\n")
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "run"}


@pytest.mark.parametrize("verb", VERBS)
def test_ctrl_c_ends_the_wait_for_a_reader(clova: Emulator, here: Path, verb: str) -> None:
    """A FIFO without a reader blocks a command; one Ctrl-C ends it, and nothing is paid."""
    os.mkfifo(here / "pipe")
    before = clova.requests
    with subprocess.Popen(
        [*CLOVA_OCR, *VERBS[verb], "pipe"], cwd=here, env=environment_of(clova), stderr=subprocess.PIPE
    ) as process:
        wait_for(lambda: "fifo" in wait_channel(process.pid))
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=30)
    assert (process.returncode, printed) == (130, b"interrupted\n")
    assert clova.requests == before


def wait_channel(pid: int) -> str:
    """Return what in the kernel a process waits in; "fifo" where that is not reported."""
    try:
        with open(f"/proc/{pid}/wchan") as file:  # noqa: PTH123 - no file to speak of
            return file.read().replace("wait_for_partner", "fifo")
    except OSError:
        return "fifo"


def test_an_output_of_another_kind_is_never_renamed_over(tmp_path: Path) -> None:
    """An output that is whole only at its end takes the place of a file or a link, and of nothing else."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="it is not a file"), atomic_write(tmp_path / "pipe"):
        pytest.fail("it was opened")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_two_writers_of_a_file_do_not_meet(tmp_path: Path) -> None:
    """Two processes of the same number, in two containers, write the same file under names of their own."""
    with atomic_write(tmp_path / "out") as first:
        with atomic_write(tmp_path / "out") as second:
            first(b"first\n")
            second(b"second\n")
        assert (tmp_path / "out").read_bytes() == b"second\n"
    assert (tmp_path / "out").read_bytes() == b"first\n"


def test_a_name_of_an_open_file_is_that_descriptor(tmp_path: Path) -> None:
    """Links are followed to the descriptor and not through it; another process's descriptors are files like others."""
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("/dev//fd/../fd/7")
    (tmp_path / "loop").symlink_to("loop")
    assert named_descriptor(str(tmp_path / "one")) == 7
    assert named_descriptor(f"/proc/{os.getpid()}/fd/8") == 8
    assert named_descriptor("/proc/1/fd/8") is None
    assert named_descriptor(str(tmp_path / "loop")) is None
    with pytest.raises(ConfigurationError, match="holds a NUL"):
        inspect_target("a\0b")


def test_a_fifo_that_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    """A target that goes away between the look and the opening is an error that names it."""
    os.mkfifo(tmp_path / "pipe")
    target = inspect_target(str(tmp_path / "pipe"))
    (tmp_path / "pipe").unlink()
    with pytest.raises(ConfigurationError, match=r"pipe: No such file"), opened_directly(target):
        pytest.fail("it was opened")


def test_a_pipe_that_is_full_is_waited_for(tmp_path: Path) -> None:
    """A descriptor that another process made non-blocking takes all lines, however slowly they are read."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    taken = bytearray()

    def read() -> None:
        while part := os.read(read_end, 65536):
            taken.extend(part)

    reader = threading.Thread(target=read)
    line = b"x" * 200_000 + b"\n"
    with opened_output(f"/dev/fd/{write_end}") as lines:
        reader.start()
        lines.write(line)
    os.close(write_end)
    reader.join(30)
    assert bytes(taken) == line
    os.close(read_end)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_ends_an_export_quietly(clova: Emulator, here: Path) -> None:
    """With a reader that has enough, the exit code is 1 and nothing is reported."""
    os.mkfifo(here / "pipe")
    done = shell(clova, folder=here, command=f"(exec 3< pipe; exec 3<&-) & clova-ocr {' '.join(VERBS['export'])} pipe")
    assert done.returncode in {0, 1}
    assert b"Traceback" not in done.stderr


def test_the_whole_output_of_nothing_is_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Without a name, and with a dash, the lines go to standard output."""
    for name in (None, "-"):
        with whole_output(name, force=False) as write:
            write(b"line\n")
    assert capfdbinary.readouterr().out == b"line\nline\n"


def test_a_result_that_cannot_get_its_name_leaves_nothing(tmp_path: Path) -> None:
    """If the rename fails the error shows so, and no part of the file stays."""

    def fail(_: str) -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(OutputError, match="Input/output error"), atomic_write(tmp_path / "out", fail) as write:
        write(b"x")
    assert list(tmp_path.iterdir()) == []
