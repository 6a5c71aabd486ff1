"""A folder of files beside a page: it appears with the page, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clova_ocr_async.cli.terminal.locked_files import ROWS
from clova_ocr_async.cli.terminal.output import OutputError, WholeOutputs
from clova_ocr_async.cli.terminal.output_folder import OutputFolder
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.files import temporary_beside

if TYPE_CHECKING:
    from pathlib import Path


def write(place: Path, *names: str, force: bool = False, fail: Exception | None = None) -> None:
    """Write a page and its folder; with an error after the folder has its name."""
    with OutputFolder(place / "page_files", force=force) as folder, WholeOutputs() as outputs:
        outputs.open(str(place / "page.html"), force=True)(b"new")
        folder.begin(outputs.folder())
        for name in names:
            folder.write(name, b"picture")
        folder.link("l.9.png", str(place / "original"))
        assert not (place / "page.html").exists() or force or fail
        folder.publish()
        if fail is not None:
            raise fail


def found(place: Path) -> dict[str, list[str]]:
    """Return the folders of a place, with their files."""
    return {path.name: sorted(file.name for file in path.iterdir()) for path in place.iterdir() if path.is_dir()}


def test_a_folder_appears_with_its_page(tmp_path: Path) -> None:
    """The folder and its files are private, and nothing else is left."""
    write(tmp_path, "a.1.png", "b.2.jpg")
    assert found(tmp_path) == {"page_files": ["a.1.png", "b.2.jpg", "l.9.png"]}
    assert (tmp_path / "page_files").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "page_files" / "a.1.png").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "page_files" / "l.9.png").readlink() == tmp_path / "original"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "page_files"]


@pytest.mark.parametrize("before", [[], ["old.1.png"]])
def test_a_failure_takes_the_folder_back(tmp_path: Path, before: list[str]) -> None:
    """If the page cannot be written after all, the folder is as it was before: gone, or the old one."""
    for name in before:
        (tmp_path / "page_files").mkdir()
        (tmp_path / "page_files" / name).touch()
    with pytest.raises(OSError, match="full"):
        write(tmp_path, "a.1.png", force=True, fail=OSError("the disk is full"))
    assert found(tmp_path) == ({"page_files": before} if before else {})
    assert not (tmp_path / "page.html").exists()


def test_an_error_before_leaves_the_old_folder(tmp_path: Path) -> None:
    """A failure before the folder has its name changes nothing."""
    write(tmp_path, "a.1.png")
    with pytest.raises(OutputError, match=r"page_files/sub/b\.png"):
        write(tmp_path, "sub/b.png", force=True)
    assert found(tmp_path) == {"page_files": ["a.1.png", "l.9.png"]}


def test_a_folder_is_replaced_on_demand(tmp_path: Path) -> None:
    """An existing folder stays without ``force``, and is replaced as a whole with it."""
    write(tmp_path, "a.1.png")
    with pytest.raises(ConfigurationError, match="there already"):
        write(tmp_path, "b.1.png")
    write(tmp_path, "b.1.png", force=True)
    assert found(tmp_path) == {"page_files": ["b.1.png", "l.9.png"]}


@pytest.mark.parametrize("kind", ["file", "sub", "link", "not a folder"])
def test_files_of_others_are_never_lost(tmp_path: Path, kind: str) -> None:
    """A folder with other files than pictures of a report, a link, and a file are refused, also with ``force``."""
    place = tmp_path / "page_files"
    if kind == "not a folder":
        place.write_text("mine")
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.mkdir()
        (place / "mine.txt").touch() if kind == "file" else (place / "a.1.png").mkdir()
    with pytest.raises(ConfigurationError, match="page_files"):
        write(tmp_path, "a.1.png", force=True)
    assert place.exists()


def test_an_empty_folder_does_not_appear(tmp_path: Path) -> None:
    """A page without a picture has no folder."""
    with OutputFolder(tmp_path / "page_files", force=False) as folder, WholeOutputs() as outputs:
        outputs.open(str(tmp_path / "page.html"), force=False)(b"page")
        folder.begin(outputs.folder())
        folder.publish()
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """The old folder that a killed process has put aside goes with the next report."""
    aside = temporary_beside(tmp_path / "page_files").with_suffix(ROWS)
    aside.mkdir()
    (aside / "a.1.png").touch()
    write(tmp_path, "a.1.png")
    assert list(found(tmp_path)) == ["page_files"]


def test_errors_of_the_system_name_the_folder(tmp_path: Path) -> None:
    """A folder that cannot be made, a name that is taken and a name that cannot be given are errors with its name."""
    folder = OutputFolder(tmp_path / "page_files", force=True)
    with pytest.raises(OutputError, match="page_files"):
        folder.begin(tmp_path / "missing")
    with folder:
        folder.begin(tmp_path)
        folder.link("a.1.png", "x")
        with pytest.raises(OutputError, match=r"a\.1\.png"):
            folder.link("a.1.png", "y")
        (tmp_path / "page_files").touch()
        (tmp_path / "pictures").rename(tmp_path / "moved")
        with pytest.raises(OutputError, match="page_files"):
            folder.publish()
    assert (tmp_path / "moved").exists()
