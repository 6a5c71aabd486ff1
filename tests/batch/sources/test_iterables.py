from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clova_ocr_async.batch import Failure, Success, images_in
from clova_ocr_async.batch.sources.exclusions import PICTURE_SUFFIXES, Exclusions
from clova_ocr_async.batch.sources.folders import entries_in
from clova_ocr_async.documents import Receipt, Recognition
from clova_ocr_async.errors import ConfigurationError, ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all sorts of things in it."""
    for name in ("a.jpg", "B.JPG", "c.PdF", "d.heic", "notes.txt", "noext", ".hidden.jpg"):
        (tmp_path / name).write_bytes(b"x")
    for sub in ("sub", "sub/deeper", ".hidden", "dir.jpg"):
        (tmp_path / sub).mkdir()
        (tmp_path / sub / "e.png").write_bytes(b"x")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere")
    return tmp_path


def relative(found: Iterator[Path], folder: Path) -> list[str]:
    """Return the paths that were found, sorted."""
    return sorted(str(path.relative_to(folder)) for path in found)


def test_the_pictures_of_a_folder(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Pictures with an ending in any case are found, in sub-folders too; files that are left out are logged."""
    caplog.set_level(logging.DEBUG)
    top = ["B.JPG", "a.jpg", "c.PdF", "d.heic"]
    assert relative(images_in(folder), folder) == [*top, "dir.jpg/e.png", "sub/deeper/e.png", "sub/e.png"]
    assert relative(images_in(str(folder), recursive=False), folder) == top
    told = [(record.levelname, Path(str(record.args[-1])).name) for record in caplog.records if record.args]  # type: ignore[index]
    entries = {
        ("DEBUG", ".hidden.jpg"),
        ("INFO", ".hidden"),
        ("INFO", "link.jpg"),
        ("INFO", "loop"),
        ("INFO", "dangling.jpg"),
        ("INFO", "notes.txt"),
        ("INFO", "noext"),
    }
    assert entries <= set(told)
    summaries = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    hidden = "1 hidden, 1 in .hidden, 2 with another ending (none, .txt)"
    assert summaries == [
        f"{folder}: 7 files left out: 3 symbolic links, {hidden}",
        f"{folder}: 6 files left out: 3 symbolic links, {hidden.replace('1 in .hidden, ', '')}",
    ]


def test_a_folder_of_pictures_alone_logs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A walk that leaves nothing out logs nothing; files with other endings are logged, but not as a warning."""
    caplog.set_level(logging.INFO)
    (tmp_path / "a.jpg").touch()
    assert len(list(images_in(tmp_path))) == 1
    assert not caplog.records
    (tmp_path / "notes.txt").touch()
    (tmp_path / "Thumbs.db").touch()
    assert len(list(images_in(tmp_path))) == 1
    assert caplog.records[-1].getMessage() == f"{tmp_path}: 1 file left out: 1 with another ending (.txt)"
    assert {record.levelname for record in caplog.records} == {"INFO"}


@pytest.mark.parametrize("recursive", [True, False])
def test_entries_of_a_folder(folder: Path, caplog: pytest.LogCaptureFixture, *, recursive: bool) -> None:
    """Entries are those of the same pictures, and the same files are counted as left out."""
    caplog.set_level(logging.DEBUG)
    paths = list(images_in(folder, recursive))
    *told, summary = [record.getMessage() for record in caplog.records]
    caplog.clear()
    exclusions = Exclusions()
    entries = list(entries_in(str(folder), recursive, exclusions))
    assert [Path(entry.path) for entry in entries] == paths
    assert [record.getMessage() for record in caplog.records] == told
    assert summary == f"{folder}: {exclusions.summary()}"
    assert all(entry.stat(follow_symlinks=False).st_size == 1 for entry in entries)


@pytest.mark.parametrize(
    "name", ["a.JPG", "a.b.png", "jpg", "a.jpg.", "a.jpg ", "a.txt.", "a.jpg.txt", "a.tif", "a..pdf"]
)
def test_an_ending_is_what_a_path_has(tmp_path: Path, name: str) -> None:
    """A picture's ending is that of pathlib: from the last dot, which is neither first nor last."""
    (tmp_path / name).write_bytes(b"")
    expected = [tmp_path / name] if Path(name).suffix.lower() in PICTURE_SUFFIXES else []
    assert list(images_in(tmp_path)) == expected


def test_folders_are_walked_lazily(tmp_path: Path) -> None:
    """A folder is read only when the walk reaches it, and a walk may be left at any time."""
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "sub").mkdir()
    found = images_in(tmp_path)
    assert next(found).name == "a.jpg"
    (tmp_path / "sub" / "late.jpg").write_bytes(b"")
    assert [path.name for path in found] == ["late.jpg"]
    assert next(images_in(tmp_path)).name == "a.jpg"


def test_a_folder_that_vanishes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A sub-folder that cannot be read is logged, and the walk goes on."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(b"")
    found = images_in(tmp_path)
    first = next(found)
    other = tmp_path / ("two" if first.parent.name == "one" else "one")
    (other / "a.jpg").unlink()
    other.rmdir()
    assert list(found) == []
    assert f"No such file or directory: {other}" in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A sub-folder without permission is logged, and the walk goes on."""
    (tmp_path / "closed").mkdir(mode=0)
    assert list(images_in(tmp_path)) == []
    assert "Permission denied" in caplog.text


def test_a_path_that_is_not_a_folder(tmp_path: Path) -> None:
    """A missing folder and a file are refused at once, by name."""
    (tmp_path / "a.jpg").write_bytes(b"")
    for wrong, why in (
        (tmp_path / "missing", "No such file"),
        (tmp_path / "a.jpg", "Not a directory; images_in reads"),
    ):
        for walk in (images_in, entries_in):
            with pytest.raises(ConfigurationError, match=why) as caught:
                walk(wrong)
            assert str(wrong) in str(caught.value)


def test_suffixes_are_lower_case() -> None:
    """Endings are compared in lower case."""
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in PICTURE_SUFFIXES)


def test_outcomes_are_matched_by_position() -> None:
    """Success and Failure unpack in a match statement as documented."""
    recognition = Recognition[Receipt](document=Receipt())
    error = ImageError("x")
    match Success("a.jpg", recognition):
        case Success(source, found, billed):
            assert (source, found, billed) == ("a.jpg", recognition, True)
    match Failure("a.jpg", error):
        case Failure(source, found_error):
            assert (source, found_error) == ("a.jpg", error)


def test_outcomes_show_paths_and_no_values() -> None:
    """The repr of an outcome names a path, and of anything else its kind and length."""
    recognition = Recognition[Receipt](document=Receipt(), name="canary", raw=b"canary")
    assert repr(Success(Path("a.jpg"), recognition)).startswith("Success(source='a.jpg', recognition=Recognition(")
    assert "canary" not in repr(Success(b"canary", recognition))
    assert repr(Failure(b"1234", ImageError("why"))) == (
        "Failure(source=<4 bytes>, error=ImageError('why', billing=NOT_BILLED))"
    )
