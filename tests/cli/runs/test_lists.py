"""Lists of images are checked before anything is sent, and no message repeats a line that is an image."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.commands import PICTURES, clova_ocr

from clova_ocr_async.emulator import draw_sample

if TYPE_CHECKING:
    from clova_ocr_async.emulator import Emulator


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make a folder with a picture the current one."""
    (tmp_path / "a.png").write_bytes(PICTURES[0])
    monkeypatch.chdir(tmp_path)


BASE64 = base64.b64encode(b"\xff\xd8\xff" + b"canary " * 9_000)


@pytest.mark.parametrize("run", [[], ["--run", "run"], ["--dry-run"]])
@pytest.mark.parametrize(
    ("line", "what"),
    [
        (BASE64, "a text that looks like base64 of 84,004 characters"),
        (BASE64[:76], "a text that looks like base64 of 76 characters"),
        (b"https://host.example/a.jpg?sig=canary", "a URL of 37 characters"),
        (json.dumps({"source": BASE64.decode()}).encode(), "a text that looks like base64 of 84,004 characters"),
    ],
    ids=["base64", "wrapped", "url", "record"],
)
def test_a_line_that_is_the_image_is_refused_by_its_number(
    clova: Emulator, line: bytes, what: str, run: list[str]
) -> None:
    """A list with a line that is not a path is refused before anything is sent, and nothing of the line is repeated."""
    first = b'{"source": "a.png"}' if line.startswith(b"{") else b"a.png"
    result = clova_ocr("batch", "receipt", "--from", "-", *run, stdin=first + b"\n\n" + line + b"\n")
    assert result.exit_code == 2, result.output
    assert f"standard input, line 3: it is {what}, not a path" in result.stderr
    assert BASE64[:20].decode() not in result.output
    assert "canary" not in result.output
    assert len(result.output) < 400
    assert clova.requests == 0


@pytest.mark.parametrize("listed", ["스캔/영수증.png\n", '{"source": "스캔/영수증.png"}\n'], ids=["line", "record"])
def test_a_list_in_cp949_is_refused_with_the_way_out(clova: Emulator, listed: str) -> None:
    """A list in the encoding of Korean Windows is refused before anything is sent, with the way out."""
    result = clova_ocr("batch", "receipt", "--from", "-", "--run", "run", stdin=listed.encode("cp949"))
    assert (result.exit_code, clova.requests) == (2, 0)
    assert "standard input, line 1: " in result.stderr
    assert "it is not UTF-8 but may be CP949, as Excel on Korean Windows writes it" in result.stderr
    assert "iconv -f CP949 -t UTF-8 LIST > NEW_LIST" in result.stderr
    assert not Path("run").exists()


@pytest.mark.usefixtures("clova")
def test_a_list_in_no_encoding_that_is_known_is_refused() -> None:
    """A line that is neither UTF-8 nor CP949, and names no file, is refused as what it is."""
    result = clova_ocr("batch", "receipt", "--from", "-", stdin=b"a\xff\xff.png\n")
    assert result.exit_code == 2
    assert "standard input, line 1: no file has this name, and it is not UTF-8; save the list as UTF-8" in result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are not UTF-8")
def test_a_name_in_cp949_that_is_a_files_is_read(clova: Emulator) -> None:
    """A file whose name is in CP949, as an old archive leaves it, is read by a list of such names, and may be gone."""
    name = "영수증.png".encode("cp949")
    Path(os.fsdecode(name)).write_bytes(draw_sample("receipt").data)
    result = clova_ocr("batch", "receipt", "--from", "-", stdin=name + b"\n")
    assert (result.exit_code, clova.billed.total()) == (0, 1)
    Path("list.jsonl").write_bytes(result.stdout_bytes.replace(b'"billed":true', b'"billed":false'))
    Path(os.fsdecode(name)).unlink()
    gone = clova_ocr("batch", "receipt", "--from", "list.jsonl")
    assert (gone.exit_code, json.loads(gone.stdout)["status"]) == (1, "skipped")


def test_an_odd_name_that_is_a_files_is_read(clova: Emulator, tmp_path: Path) -> None:
    """A file whose name looks like a query of a URL is read, as it is there."""
    (tmp_path / "scan?page=1.png").write_bytes(draw_sample("receipt").data)
    result = clova_ocr("batch", "receipt", "--from", "-", stdin=b"scan?page=1.png\n")
    assert result.exit_code == 0, result.output
    assert clova.billed.total() == 1


@pytest.mark.parametrize(
    ("listed", "printed"),
    [
        (b"a.png\n\xff\xfea\0\n", "standard input, line 2: it holds a NUL"),
        (b'{"source": 1}\n', "standard input, line 1: source is a int"),
    ],
    ids=["nul", "record"],
)
@pytest.mark.usefixtures("clova")
def test_an_error_of_a_list_from_standard_input_names_standard_input(listed: bytes, printed: str) -> None:
    """No path of a private copy is shown for what was handed in on standard input."""
    result = clova_ocr("batch", "receipt", "--from", "-", stdin=listed)
    assert result.exit_code == 2
    assert printed in result.stderr
    assert "/clova-ocr-" not in result.stderr


def test_what_a_list_names_as_paid_is_not_paid_again_without_being_asked(clova: Emulator, tmp_path: Path) -> None:
    """Without a run directory, too, images that a list has as paid are sent again only on request."""
    for billed, how, option in ((True, "is paid", "--retry-billed"), (None, "may be paid", "--retry-ambiguous")):
        (tmp_path / "list.jsonl").write_text(json.dumps({"source": "a.png", "billed": billed}) + "\n")
        for dry in ([], ["--dry-run"]):
            result = clova_ocr("batch", "receipt", "--from", "list.jsonl", *dry)
            assert result.exit_code == 2, result.output
            assert f"list.jsonl lists 1 image that {how} for" in result.stderr
            assert f"--run RUN, or give {option}" in result.stderr
            assert clova_ocr("batch", "receipt", "--from", "list.jsonl", option, *dry).exit_code == 0
    assert clova.billed.total() == 2


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry"])
def test_a_run_that_is_a_loop_of_links_is_an_error_with_a_list_too(
    clova: Emulator, tmp_path: Path, dry: list[str]
) -> None:
    """Whether a list lies in the run is asked of a path that leads nowhere as well."""
    (tmp_path / "loop").symlink_to("loop")
    result = clova_ocr("batch", "receipt", "--from", "-", "--run", "loop", *dry, stdin=b"a.png\n")
    assert "error: loop: " in result.stderr
    assert "symbolic links" in result.stderr
    assert clova.requests == 0


@pytest.mark.usefixtures("clova")
def test_a_retry_without_a_list_needs_a_run() -> None:
    """Without a list that shows a payment, an option that pays again has nothing to print."""
    for option in ("--retry-billed", "--retry-ambiguous"):
        result = clova_ocr("batch", "receipt", "a.png", option)
        assert result.exit_code == 2
        assert f"{option} is for a run or a list; give one with --run RUN or --from FILE" in result.stderr
    result = clova_ocr("batch", "receipt", "a.png", "--retry-failed")
    assert "--retry-failed is for a run; give one with --run RUN" in result.stderr


@pytest.mark.parametrize("known", [False, True])
def test_a_dry_run_counts_a_file_once_however_many_paths_lead_to_it(
    clova: Emulator, tmp_path: Path, *, known: bool
) -> None:
    """A dry run with overlapping paths counts the images that the run then has."""
    (tmp_path / "scans").mkdir()
    for number in range(3):
        (tmp_path / "scans" / f"{number}.png").write_bytes(draw_sample("receipt").data + b"%d" % number)
    if known:
        assert clova_ocr("batch", "receipt", "a.png", "--run", "run").exit_code == 0
    paths = ("scans", "./scans//", tmp_path / "scans", "scans/1.png", "a.png")
    rehearsed = clova_ocr("batch", "receipt", *paths, "--run", "run", "--dry-run")
    assert "images found                 4" in rehearsed.stdout, rehearsed.output
    assert "duplicates" not in rehearsed.stdout
    result = clova_ocr("batch", "receipt", *paths, "--run", "run")
    assert "4 images: 4 succeeded" in result.stderr, result.output
    assert clova.billed.total() == 4


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (("recognize", "receipt", ""), "an empty name: no such file"),
        (("batch", "receipt", ""), "an empty name: no such file or folder"),
        (("recognize", "receipt", "https://host.example/a.jpg"), "IMAGE is a URL of 26 characters"),
        (("recognize", "passport", "a.png"), "CLOVA_OCR_PASSPORT_INVOKE_URL"),
    ],
    ids=["empty", "empty-batch", "image", "domain"],
)
def test_an_error_is_in_the_words_of_the_command(
    clova: Emulator, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], printed: str
) -> None:
    """An argument goes by its name in the help, and a missing domain by its variables."""
    monkeypatch.delenv("CLOVA_OCR_INVOKE_URL")
    monkeypatch.delenv("CLOVA_OCR_SECRET")
    monkeypatch.setenv("CLOVA_OCR_RECEIPT_INVOKE_URL", clova.url())
    monkeypatch.setenv("CLOVA_OCR_RECEIPT_SECRET", clova.secret)
    result = clova_ocr(*words)
    assert result.exit_code == 2, result.output
    assert printed in result.stderr
    assert "Domain(" not in result.stderr
