from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from clova_ocr_async.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary"
BASE64 = base64.b64encode(b"\xff\xd8\xff" + b"canary " * 9_000).decode()
GIVEN = [BASE64, "data:image/png;base64," + BASE64, f"https://host.example/a.jpg?sig={CANARY}", '{"data":"canary"}']


def printed(*arguments: str | Path) -> str:
    """Return what a command that is refused writes."""
    result = CliRunner().invoke(app, [str(part) for part in arguments])
    assert result.exit_code == 2
    return result.output


@pytest.mark.parametrize("given", GIVEN)
def test_an_argument_that_is_the_image_is_not_repeated(given: str, tmp_path: Path) -> None:
    """Whichever argument an image or a URL is given as by mistake, the error is short and repeats nothing of it."""
    manifest = tmp_path / "list.txt"
    manifest.write_text(given)
    for arguments in (
        ("recognize", "receipt", given),
        ("recognize", given, "a.jpg"),
        ("batch", "receipt", given),
        ("batch", "receipt", "--from", given),
        ("batch", "receipt", "a.jpg", "--concurrency", given),
        ("batch", "receipt", "a.jpg", "--price", given),
        ("export", "run", given),
        ("export", given),
        ("status", given),
        ("purge", "run", "--older-than", given),
        ("emulator", "--document", given),
        ("emulator", "--fault", given),
        (given,),
        (f"--{given}",),
    ):
        output = printed(*arguments)
        assert CANARY not in output
        assert BASE64[-20:] not in output
        assert len(output) < 2000


def test_an_image_in_the_place_of_a_path_gets_the_shells_way_out() -> None:
    """A command is reported in a shell's words what to give instead of the image itself."""
    assert "IMAGE is a URL of 37 characters; URLs are not fetched: download the file, and give its" in printed(
        "recognize", "receipt", GIVEN[2]
    )


@pytest.mark.parametrize("url", [f"postgresql://me:{CANARY}@db/ocr?run=march", "postgresql:db"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("redact", "run", "-o"),
        ("annotate", "run", "-o"),
        ("export", "run", "-o"),
        ("batch", "receipt", "a.jpg", "-o"),
        ("batch", "receipt", "--from"),
        ("watch", "receipt", "--run", "run"),
    ],
)
def test_a_url_in_the_place_of_a_path_is_refused(
    arguments: tuple[str, ...], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL where a file or a folder is expected is refused before a folder of that name is made, and not repeated."""
    monkeypatch.chdir(tmp_path)
    output = printed(*arguments, url)
    assert "a URL is not a path" in output
    assert CANARY not in output
    assert list(tmp_path.iterdir()) == []


def test_a_name_too_long_for_a_file_is_not_there(tmp_path: Path) -> None:
    """A path that no file system can hold is named, shortened, as one that is not there."""
    output = printed("recognize", "receipt", tmp_path / ("x" * 300 + ".jpg"))
    assert "x…x" in output
    assert output.rstrip().endswith(".jpg: no such file or folder")


def test_a_name_in_an_error_steers_no_terminal(tmp_path: Path) -> None:
    """Line ends, escape sequences and changes of direction in a name are written out."""
    for arguments in (
        ("recognize", "receipt", "a\n\x9b31m\u202eb.jpg"),
        ("export", "a\n\x9b31m\u202eb"),
        ("batch", "receipt", tmp_path, "--from", "a\n\x9b31m\u202eb"),
    ):
        assert r"a\n\u009b31m\u202eb" in printed(*arguments)
