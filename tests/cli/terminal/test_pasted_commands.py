"""Commands that are printed do the same when they are pasted into a shell."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.commands import CLOVA_OCR

from clova_ocr_async.cli.terminal.phrases import quote_path, resume_command, wrong_folder
from clova_ocr_async.emulator import draw_sample, emulator_in_thread

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [
    b"run",
    b"a b",
    b"it's",
    b"run_\xb0\xa1",
    b"100%_\xff\\n'\"$HOME `x`",
    "실행".encode(),
    b"\x1b[31m\xb0",
    b"a\tb",
    b"ends\xb0\n\n",
    b"x" * 220 + b"\xb0",
]


def said_by(shell: str, words: str) -> bytes:
    """Return the words of a command as a shell hands them over, each ended by a NUL."""
    return subprocess.run([shell, "-c", rf"printf '%s\0' {words}"], capture_output=True, check=True).stdout


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_printed_path_is_the_same_path_when_it_is_pasted(name: bytes, shell: str) -> None:
    """A path of any bytes comes out of a shell as it was, and what is printed steers no terminal."""
    word = quote_path(os.fsdecode(name))
    assert said_by(shell, word) == name + b"\0"
    assert all(character.isprintable() or character == "\n" for character in word)


@pytest.mark.parametrize("argument", [b"--run=run_\xb0\xa1", b"-j4", b"--\xb0", b"", b"%\xb0"])
def test_a_printed_command_has_the_same_arguments(argument: bytes) -> None:
    """Options whose value is not UTF-8 are repeated byte for byte."""
    command = resume_command("clova-ocr", ["batch", os.fsdecode(argument)])
    assert said_by("sh", command) == b"clova-ocr\0batch\0" + argument + b"\0"


def test_a_name_that_the_terminal_cannot_show_is_written_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a standard error without Korean, a Korean name is printed by its bytes."""
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), "ascii"))
    word = quote_path("실행")
    assert word.isascii()
    assert said_by("bash", word) == "실행".encode() + b"\0"


def test_the_folder_to_go_to_can_be_pasted() -> None:
    """The folder in which a run goes on is named so that cd finds it, however it is called."""
    command = wrong_folder("run", os.fsdecode(b"/x/\xb0\xa1")).partition("cd ")[2]
    assert said_by("bash", command) == b"/x/\xb0\xa1\0"


def test_a_run_whose_name_is_not_utf8_goes_on_by_its_printed_command(tmp_path: Path) -> None:
    """The printed command goes on with the run and pays nothing again."""
    (tmp_path / "scans").mkdir()
    for number in range(3):
        (tmp_path / "scans" / f"{number}.png").write_bytes(draw_sample("receipt").data + b"%d" % number)
    with emulator_in_thread(latency=0, sigma=0) as clova:
        environment = os.environ | {"CLOVA_OCR_INVOKE_URL": clova.url(), "CLOVA_OCR_SECRET": clova.secret}
        words = [*CLOVA_OCR, "batch", "receipt", "scans", "--run", os.fsdecode(b"run_\xb0\xa1"), "--max-calls", "1"]
        first = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, check=False)
        found = re.search(rb"raise the call limit and repeat: \S+(?: -m \S+)? (batch .*)\n", first.stderr)
        assert found is not None, first.stderr
        command = os.fsdecode(found[1]).replace("--max-calls 1", "--max-calls none")
        line = f'"{sys.executable}" -m clova_ocr_async {command}'
        second = subprocess.run(
            ["/bin/sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, check=False
        )
        assert second.returncode == 0, second.stderr
        assert clova.billed.total() == 3
    assert sorted(os.fsencode(path.name) for path in tmp_path.iterdir()) == [b"run_\xb0\xa1", b"scans"]
