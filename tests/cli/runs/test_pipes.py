"""Images and lists that come through standard input and pipes."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

import pytest
from support.commands import shell

from clova_ocr_async.cli.runs.input_file import InputFile
from clova_ocr_async.cli.runs.pipes import check_once, is_piped, read_piped, spooled
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with two pictures and a list of them."""
    for seed, name in enumerate(("a.png", "b.png")):
        (tmp_path / name).write_bytes(draw_sample("receipt", seed=seed).data)
    (tmp_path / "list.txt").write_text("a.png\nb.png\n")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "sources"),
    [
        ("cat a.png | clova-ocr recognize receipt /dev/stdin", ["/dev/stdin"]),
        ("clova-ocr recognize receipt /dev/stdin < a.png", ["/dev/stdin"]),
        ("clova-ocr recognize receipt <(cat a.png) <(cat b.png)", ["/dev/fd/63", "/dev/fd/62"]),
        ("mkfifo p; cat a.png > p & clova-ocr recognize receipt p", ["p"]),
        ("cat list.txt | clova-ocr batch receipt --from - -j 1", ["a.png", "b.png"]),
        ("clova-ocr batch receipt --from /dev/stdin -j 1 < list.txt", ["a.png", "b.png"]),
        ("clova-ocr batch receipt --from <(cat list.txt) -j 1", ["a.png", "b.png"]),
        ("cat a.png | clova-ocr batch receipt - --from <(echo b.png) -j 1", ["-", "b.png"]),
    ],
)
def test_images_and_lists_come_through_pipes(clova: Emulator, here: Path, command: str, sources: list[str]) -> None:
    """Standard input under any of its names, process substitutions and FIFOs are read as files are."""
    done = shell(clova, folder=here, command=command)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["source"] for record in records] == sources
    assert all(record["status"] == "succeeded" for record in records)


def test_a_run_reads_a_list_from_a_pipe(clova: Emulator, here: Path) -> None:
    """A run and its dry run take a list from standard input; its copy does not stay."""
    done = shell(
        clova,
        folder=here,
        command="export TMPDIR=$PWD/tmp; mkdir tmp; clova-ocr batch receipt --from - --run run < list.txt",
    )
    assert done.returncode == 0, done.stderr
    assert b"2 images: 2 succeeded" in done.stderr
    assert list((here / "tmp").iterdir()) == []
    done = shell(clova, folder=here, command="cat list.txt | clova-ocr batch receipt --from - --run run --dry-run")
    assert b"answered already             2" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("cat a.png | clova-ocr recognize receipt - /dev/stdin", b"/dev/stdin: standard input is given twice"),
        ("clova-ocr batch receipt - --from - < a.png", b"-: standard input is given twice"),
        ("mkfifo p; clova-ocr batch receipt p ./q --from p", b"./q: no such file"),
        ("mkfifo p; clova-ocr batch receipt p --from p", b"p: a pipe is given twice"),
        ("mkfifo p; clova-ocr batch receipt p --run run", b"p: a pipe cannot be read again when a run is resumed"),
        ("clova-ocr batch receipt /dev/stdin --dry-run < <(cat a.png)", b"/dev/stdin: a pipe cannot be read again"),
        ("clova-ocr batch receipt --from - <&-", b"-: standard input is closed"),
        ("clova-ocr batch receipt --from - --max-calls 5", b"--max-calls is for a run"),
        ("echo '{\"x\": 1}' | clova-ocr batch receipt --from -", b"standard input, line 1: it has no source"),
    ],
)
def test_what_cannot_work_is_reported_before_anything_is_paid(
    clova: Emulator, here: Path, command: str, why: bytes
) -> None:
    """An input that is read once cannot be read twice, nor by a run that is to resume."""
    before = clova.requests
    done = shell(clova, folder=here, command=command)
    assert (done.returncode, why in done.stderr) == (2, True), done.stderr
    assert clova.requests == before


def test_only_what_is_read_once_is_a_pipe(tmp_path: Path) -> None:
    """A file, a folder, a device, a socket in the file system, and what is not there are no pipes."""
    os.mkfifo(tmp_path / "pipe")
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(socket.AF_UNIX) as server, (tmp_path / "file").open("wb") as file:
        server.bind(str(tmp_path / "sock"))
        folder = os.open(tmp_path, os.O_RDONLY)
        for path in ("sock", "file", "nothing", "a\0b", "."):
            assert not is_piped(os.path.join(tmp_path, path))  # noqa: PTH118 - of a NUL
        assert not is_piped("/dev/null")
        assert not is_piped(f"/dev/fd/{file.fileno()}")
        assert not is_piped(f"/dev/fd/{folder}")
        os.close(folder)
        assert is_piped(f"/dev/fd/{ours.fileno()}")
    assert is_piped(str(tmp_path / "pipe"))
    check_once([str(tmp_path / "file"), str(tmp_path / "file"), str(tmp_path / "pipe")])


def test_no_more_is_read_than_an_image_may_have() -> None:
    """A pipe that never ends is read up to one byte over the limit, and refused by that."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"x" * 100)
        path = f"/dev/fd/{ours.fileno()}"
        assert read_piped([path, "file"], 11) == {path: b"x" * 11}


def test_a_pipe_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    """An input that is open for writing alone is an error that names it."""
    read_end, write_end = os.pipe()
    path = f"/dev/fd/{write_end}"
    with pytest.raises(ConfigurationError, match=rf"{path}: .+"):
        read_piped([path])
    with pytest.raises(ConfigurationError, match=rf"{path}: .+"), spooled([path]):
        pytest.fail("it was read")
    os.close(read_end)
    os.close(write_end)
    with spooled([str(tmp_path)]) as same:
        assert same == (str(tmp_path),)


def test_an_input_file_of_a_pipe_is_read_in_parts() -> None:
    """Bytes that were read before are given as a file gives them."""
    file = InputFile("-", b"abc")
    assert (file.read(2), file.read(), file.read()) == (b"ab", b"c", b"")
