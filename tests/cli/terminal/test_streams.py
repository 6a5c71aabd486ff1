"""Standard output and standard error that do not take what is written to them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.commands import shell

import clova_ocr_async
from clova_ocr_async.cli.terminal import streams
from clova_ocr_async.cli.terminal.progress import shown_bar
from clova_ocr_async.emulator import draw_sample

if TYPE_CHECKING:
    from clova_ocr_async.emulator import Emulator


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture of a name in Hangul."""
    folder = tmp_path_factory.mktemp("streams")
    (folder / "영수증.png").write_bytes(draw_sample("receipt").data)
    return folder


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("batch receipt . -o ok1.jsonl 2>/dev/full", 0),
        ("nonsense 2>/dev/full", 2),
        ("status . 2>/dev/full", 2),
        ("doctor >/dev/full", 1),
        ("--help >/dev/full", 1),
        ("--version >/dev/full 2>/dev/full", 1),
        ("batch receipt . --dry-run >/dev/full", 1),
        ("batch receipt . -o ok2.jsonl >&- 2>&-", 0),
        ("--version >&-", 0),
    ],
)
def test_a_stream_that_takes_nothing_changes_no_exit_code_into_pythons(
    clova: Emulator, here: Path, command: str, code: int
) -> None:
    """A full or closed standard error changes nothing; what standard output does not take is reported, with 1."""
    done = shell(clova, folder=here, command=f"clova-ocr {command}")
    assert done.returncode == code, done.stderr
    assert b"Exception ignored" not in done.stderr
    assert b"Traceback" not in done.stderr
    if code == 1 and "2>" not in command:
        assert b"No space left on device" in done.stderr


def test_a_reader_that_has_enough_is_no_news(clova: Emulator, here: Path) -> None:
    """A command whose reader has gone ends without a message."""
    done = shell(clova, folder=here, command="clova-ocr --help | true; clova-ocr doctor | true")
    assert done.stderr == b""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp949", "utf-8"])
def test_a_stream_that_cannot_print_hangul_shows_it_in_escapes(clova: Emulator, here: Path, encoding: str) -> None:
    """Help, a dry run, a demo and errors are reported in any encoding; records are UTF-8 in all of them."""
    line = "clova-ocr --help && clova-ocr batch receipt 영수증.png --dry-run && clova-ocr recognize receipt 영수증.png"
    done = shell(clova, folder=here, command=line, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1].decode("utf-8"))
    assert record["source"] == "영수증.png"
    done = shell(clova, folder=here, command="clova-ocr recognize receipt 없음.png", PYTHONIOENCODING=encoding)
    assert (done.returncode, b"Traceback" in done.stderr) == (2, False)


def test_a_demo_is_shown_in_any_encoding(clova: Emulator, here: Path) -> None:
    """The table of the demo holds Hangul, which ASCII does not."""
    done = shell(clova, folder=here, command="clova-ocr demo --count 2", PYTHONIOENCODING="ascii", LANG="C")
    assert done.returncode == 0, done.stderr


def test_the_version_needs_no_metadata(tmp_path: Path) -> None:
    """In a zip, or frozen, where no metadata of an installation is, --version is reported all the same."""
    package = Path(clova_ocr_async.__file__).parent
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
        for path in package.rglob("*.py"):
            archive.write(path, path.relative_to(package.parent))
    program = (
        "import sys, importlib.metadata as metadata\n"
        f"sys.path.insert(0, {str(tmp_path / 'package.zip')!r})\n"
        "def absent(name):\n"
        "    raise metadata.PackageNotFoundError(name)\n"
        "metadata.version = metadata.distribution = absent\n"
        "import clova_ocr_async\n"
        "assert 'package.zip' in clova_ocr_async.__file__\n"
        "from clova_ocr_async.cli import main\n"
        "main()"
    )
    command = [sys.executable, "-c", program, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.stdout == f"clova-ocr, version {clova_ocr_async.__version__}\n", done.stderr


def ending(monkeypatch: pytest.MonkeyPatch, stream: Any, code: int) -> int:
    """Run a command that prints on a stream and ends with a code; return what becomes of that."""

    def command() -> None:
        monkeypatch.setattr(sys, "stdout", stream)
        stream.write("dropped")
        sys.exit(code)

    return streams.run_and_flush(command)


def test_what_is_left_in_standard_output_is_not_lost_in_silence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A command whose last output could not be written has failed; one that failed before reports its error once."""
    with open("/dev/full", "w", encoding="utf-8") as stream:  # noqa: PTH123 - a device
        assert ending(monkeypatch, stream, 0) == 1
        assert capfd.readouterr().err == "error: cannot write to standard output: No space left on device\n"
        assert ending(monkeypatch, stream, 0) == 0  # goes nowhere by now
    with open("/dev/full", "w", encoding="utf-8") as stream:  # noqa: PTH123 - a device
        assert ending(monkeypatch, stream, 3) == 3
    assert capfd.readouterr().err == ""


def test_a_pipe_that_no_process_reads_is_no_news(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A reader that has gone ends a command with 1, and nothing is reported."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as stream:
        assert ending(monkeypatch, stream, 0) == 1
    assert capfd.readouterr().err == ""


def test_closed_streams_stay_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that the shell has closed needs no care, nor does an object that is not a file."""
    for stand_in in (None, io.StringIO()):
        monkeypatch.setattr(sys, "stdout", stand_in)
        monkeypatch.setattr(sys, "stderr", stand_in)
        streams.prepare_streams()
        assert vars(sys)["stderr"] is stand_in
        assert streams.run_and_flush(lambda: None) == 0


def prepared(monkeypatch: pytest.MonkeyPatch, stream: Any) -> Any:
    """Prepare a stream in the place of standard error."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", None)
    streams.prepare_streams()
    return sys.stderr


def test_standard_error_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a full device nor a full pipe that does not block ends what writes to it."""
    with open("/dev/full", "w", encoding="ascii") as stream:  # noqa: PTH123 - a device
        stderr = prepared(monkeypatch, stream)
        stderr.write("한글\n" * 10)
        stderr.close()
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with os.fdopen(write_end, "w", encoding="ascii") as stream:
        stderr = prepared(monkeypatch, stream)
        stderr.write("한\n")
        assert os.read(read_end, 100) == b"\\ud55c\n"
        for _ in range(20):
            stderr.write("x" * 10_000 + "\n")
        stderr.close()
    os.close(read_end)


def test_a_bar_spins_in_ascii_where_nothing_else_can_be_shown() -> None:
    """The bar of a terminal that is not UTF-8 is not full of escapes."""
    from rich.console import Console  # noqa: PLC0415 - this test's own

    from clova_ocr_async.cli.terminal.counts import Counts  # noqa: PLC0415 - this test's own

    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, "ascii", "backslashreplace"), force_terminal=True, width=80)
    with shown_bar(console) as bar:
        bar.update(Counts(total=1))
    console.file.flush()
    assert b"\\u" not in raw.getvalue()
