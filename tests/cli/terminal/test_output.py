from __future__ import annotations

import errno
import os
import pty
import select
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from clova_ocr_async.cli.terminal.output import Output, OutputError, atomic_write, opened_output, standard_output

if TYPE_CHECKING:
    from pathlib import Path


def test_an_output_knows_a_terminal() -> None:
    """Lines on a terminal are distinguished from lines in a pipe or in memory."""
    ends = (*pty.openpty(), *os.pipe())
    shown = [Output("", len, end).on_terminal for end in (*ends[1:], None)]
    for end in ends:
        os.close(end)
    assert shown == [True, False, False, False]


def test_short_writes_and_a_full_pipe_make_whole_lines() -> None:
    """A line is written to its end, however little is taken at a time."""
    taken = bytearray()
    waits: list[int] = []

    def put(part: bytes) -> int:
        if len(taken) == 3 and not waits:
            raise BlockingIOError
        taken.extend(part[:3])
        return len(part[:3])

    Output("a pipe", put, wait=lambda: waits.append(len(taken))).write(b"a whole line\n")
    assert (bytes(taken), waits) == (b"a whole line\n", [3])


def test_a_full_pipe_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that takes nothing at once, as its other end has set it, gets the whole line once it is read."""
    end, start = os.pipe()
    os.set_blocking(start, False)
    line = b"x" * 300_000 + b"\n"
    taken = bytearray()

    def read() -> None:
        while not taken.endswith(b"\n"):
            taken.extend(os.read(end, 65536))

    reader = threading.Thread(target=read)
    wait = select.select

    def wait_while_it_is_read(*descriptors: Any) -> object:
        if reader.ident is None:  # nobody reads before: the line is longer than a pipe, so it must be waited for
            reader.start()
        return wait(*descriptors)

    monkeypatch.setattr(select, "select", wait_while_it_is_read)
    with os.fdopen(start, "wb", buffering=0) as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        standard_output().write(line)
        reader.join(30)
    os.close(end)
    assert bytes(taken) == line


class Hiccup:
    """Writes to a file, but fails once after a few bytes."""

    def __init__(self, descriptor: int) -> None:
        """Fail with the first line."""
        self.descriptor = descriptor
        self.calls = 0

    def __call__(self, part: bytes) -> int:
        """Write."""
        self.calls += 1
        if self.calls == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(self.descriptor, part[:3] if self.calls == 1 else part)


def check_torn(output: Output) -> None:
    """Have a line torn, and check that the next one fails as well."""
    for line in (b"first\n", b"second\n"):
        with pytest.raises(OutputError, match="No space"):
            output.write(line)


def test_a_torn_line_is_taken_back_from_a_file(tmp_path: Path) -> None:
    """The part of a failed line is cut off, and the next line stands where it should."""
    with (tmp_path / "out").open("wb", buffering=0) as file:
        output = Output("out", Hiccup(file.fileno()), file.fileno())
        with pytest.raises(OutputError, match="cannot write to out: No space left on device"):
            output.write(b"first\n")
        output.write(b"second\n")
    assert (tmp_path / "out").read_bytes() == b"second\n"


def test_nothing_is_cut_off_that_another_process_wrote(tmp_path: Path) -> None:
    """A file that others append to is left as it is, and takes no line after a torn one."""
    with (tmp_path / "out").open("wb", buffering=0) as file:
        (tmp_path / "out").write_bytes(b"another writer's\n")
        check_torn(Output("out", Hiccup(file.fileno()), file.fileno()))
    assert (tmp_path / "out").read_bytes() == b"firther writer's\n"


def test_a_pipe_takes_no_line_after_a_torn_one() -> None:
    """A part of a line that cannot be cut off stays as it is."""
    read_end, write_end = os.pipe()
    check_torn(Output("a pipe", Hiccup(write_end), write_end))
    os.close(write_end)
    assert os.read(read_end, 100) == b"fir"
    os.close(read_end)


def test_a_stream_in_memory_takes_no_line_after_a_torn_one(tmp_path: Path) -> None:
    """Without a file to repair, a torn line is the last."""
    with (tmp_path / "out").open("wb", buffering=0) as file:
        check_torn(Output("out", Hiccup(file.fileno())))
    assert (tmp_path / "out").read_bytes() == b"fir"


def test_a_file_that_cannot_be_closed_is_reported(tmp_path: Path) -> None:
    """Lines that are lost only when the file is closed are not lost in silence."""
    next_one = os.dup(0)
    os.close(next_one)
    with pytest.raises(OutputError, match=r"cannot write to .*out: Bad file"), opened_output(str(tmp_path / "out")):
        os.close(next_one)


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    """A write that ends before the rename leaves the old file; the watcher is called before and after the rename."""
    final = tmp_path / "final"
    final.write_text("before")
    text: list[str] = []

    def watch(place: str) -> None:
        text.append(f"{place}: {final.read_text()}")

    with pytest.raises(TypeError), atomic_write(final) as write:
        write("no bytes")  # type: ignore[arg-type]  # that it fails half way is the point
    with atomic_write(final, watch) as write:
        write(b"whole\n")
    assert text == ["before rename: before", "after rename: whole\n"]
    assert list(tmp_path.iterdir()) == [final]


def test_a_file_that_cannot_be_replaced_is_reported(tmp_path: Path) -> None:
    """A folder in the way, or no folder at all, is an error that names the file."""
    (tmp_path / "final").mkdir()
    with pytest.raises(OutputError, match=r"cannot write to .*final"), atomic_write(tmp_path / "final") as write:
        write(b"line\n")
    with pytest.raises(OutputError, match="No such file"), atomic_write(tmp_path / "no" / "final"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
