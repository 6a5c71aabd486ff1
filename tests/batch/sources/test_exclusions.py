from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.batch import images_in
from clova_ocr_async.batch.sources.exclusions import Exclusions, is_hidden, is_system_folder
from clova_ocr_async.batch.sources.folders import entries_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEPT_BY_SYSTEMS = [
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
    "#recycle/a.jpg",
    "#snapshot/GMT-1/a.jpg",
    "@Recycle/a.jpg",
    "@Recently-Snapshot/a.jpg",
    ".@__thumb/a.jpg",
    "~snapshot/a.jpg",
    ".snapshot/a.jpg",
    ".snapshots/1/snapshot/a.jpg",
    ".zfs/a.jpg",
    "$RECYCLE.BIN/S-1-5/$R1.jpg",
    "$Recycle.Bin/a.jpg",
    "RECYCLER/a.jpg",
    "System Volume Information/a.jpg",
    "found.000/a.jpg",
    "FOUND.012/a.jpg",
    ".Trash-1000/files/a.jpg",
    ".Trashes/a.jpg",
    "Network Trash Folder/a.jpg",
    "lost+found/a.jpg",
    "LOST.DIR/a.jpg",
    "__MACOSX/a.jpg",
    ".thumbnails/a.jpg",
    ".stversions/a.jpg",
    ".dropbox.cache/a.jpg",
    ".sync/a.jpg",
    "._a.jpg",
    ".a.jpg.Xy12",
    "deep/below/@eaDir/a.jpg",
]
KEPT_BY_PEOPLE = [
    "eaDir/a.jpg",
    "recycle/a.jpg",
    "@home/a.jpg",
    "#2026/a.jpg",
    "$/a.jpg",
    "snapshots/a.jpg",
    "lost and found/a.jpg",
    "found.jpg",
    "found.0000/a.jpg",
    "@eaDir.jpg",
    "#recycle.png",
    "~a.jpg",
]


def laid_out(folder: Path, names: list[str]) -> Path:
    """Make files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names_of(found: Iterator[Path], folder: Path) -> set[str]:
    """Return the paths that were found."""
    return {str(path.relative_to(folder)) for path in found}


@pytest.mark.parametrize("name", KEPT_BY_SYSTEMS)
def test_files_of_systems_are_not_pictures_of_the_user(tmp_path: Path, name: str) -> None:
    """Thumbnails, deleted files, snapshots and files beside files are left out of a walk."""
    assert names_of(images_in(laid_out(tmp_path, [name, "mine.jpg"])), tmp_path) == {"mine.jpg"}


@pytest.mark.parametrize("name", KEPT_BY_PEOPLE)
def test_similar_names_are_read(tmp_path: Path, name: str) -> None:
    """A name that only resembles one of a system's, or is a file's, is a picture like others."""
    assert names_of(images_in(laid_out(tmp_path, [name])), tmp_path) == {name}


def test_a_folder_that_is_given_itself_is_read(tmp_path: Path) -> None:
    """A folder that a walk leaves out is walked if it is given itself."""
    laid_out(tmp_path, ["#recycle/a.jpg", "#recycle/sub/b.jpg", "#recycle/@eaDir/c.jpg", ".hidden/d.jpg"])
    assert names_of(images_in(tmp_path / "#recycle"), tmp_path) == {"#recycle/a.jpg", "#recycle/sub/b.jpg"}
    assert names_of(images_in(tmp_path / ".hidden"), tmp_path) == {".hidden/d.jpg"}


def test_what_is_left_out_is_counted_by_where_it_is(tmp_path: Path) -> None:
    """Pictures in folders of one name are counted together, hidden ones, links, and other files by their endings."""
    names = [
        "a.jpg",
        "@eaDir/x.jpg/T.jpg",
        "@eaDir/x.jpg/T.txt",
        "sub/@eaDir/T.jpg",
        ".b.jpg",
        ".DS_Store",
        "Thumbs.db",
    ]
    laid_out(tmp_path, [*names, "c.xlsx", "d.XLSX", "e.txt", "f"])
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / ".#lock").symlink_to("user@host:1")
    exclusions = Exclusions()
    assert len(list(entries_in(tmp_path, exclusions=exclusions))) == 1
    assert exclusions.summary() == (
        "8 files left out: 2 in @eaDir, 1 hidden, 1 symbolic link, 4 with another ending (.xlsx, none, .txt)"
    )


def test_a_walk_without_sub_folders_counts_none_of_them(tmp_path: Path) -> None:
    """A walk without sub-folders does not count them as left out."""
    exclusions = Exclusions()
    assert list(entries_in(laid_out(tmp_path, ["@eaDir/a.jpg"]), recursive=False, exclusions=exclusions)) == []
    assert exclusions.summary() == ""


def test_a_large_folder_is_counted_as_far_as_that_is_quick(tmp_path: Path) -> None:
    """Snapshots can hold a share many times over: the count of folders of one name ends at a bound, and is marked."""
    laid_out(tmp_path, [f"#snapshot/{number}.jpg" for number in range(1100)])
    laid_out(tmp_path, ["sub/#snapshot/a.jpg"])
    exclusions = Exclusions()
    assert list(entries_in(tmp_path, exclusions=exclusions)) == []
    assert exclusions.summary() == "at least 1,000 files left out: at least 1,000 in #snapshot"


def test_many_reasons_and_endings_are_named_in_part(tmp_path: Path) -> None:
    """The most frequent ones are named, the rest is counted."""
    laid_out(tmp_path, [f".{name}/{number}.jpg" for name in "abcdefg" for number in range(2)])
    laid_out(tmp_path, [f"x.{name}" for name in "abcdefg"])
    exclusions = Exclusions()
    assert list(entries_in(tmp_path, exclusions=exclusions)) == []
    told = exclusions.summary()
    assert told.startswith("21 files left out: 2 in .")
    assert "4 in other such folders, 7 with another ending (." in told
    assert told.endswith(", …)")


def test_a_folder_that_cannot_be_looked_into_counts_nothing(tmp_path: Path) -> None:
    """A folder that vanishes before it is counted has no pictures."""
    laid_out(tmp_path, [".gone/a.jpg", ".gone/sub/a.jpg"])
    walk = Exclusions()
    [entry] = [entry for entry in _entries(tmp_path) if entry.name == ".gone"]
    (tmp_path / ".gone").rename(tmp_path / "elsewhere")
    walk.add_folder(entry)
    assert walk.summary() == ""


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


@given(st.text(max_size=20))
def test_any_name_can_be_checked(name: str) -> None:
    """Any name can be checked, and its case makes no difference."""
    assert is_system_folder(name.upper().lower()) == is_system_folder(name.lower())
    assert is_hidden(name) == (name[:1] == ".")
