from __future__ import annotations

import errno
import logging
import os
import threading
from pathlib import Path

import pytest

from clova_ocr_async.batch.sources.exclusions import Exclusions
from clova_ocr_async.batch.sources.watched_folder import WatchedFolder, is_temporary
from clova_ocr_async.errors import ConfigurationError

GO_ON = threading.Event()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def names(folder: WatchedFolder, below: Path) -> set[str]:
    """Return the files that a scan finds, relative to a folder."""
    return {str(Path(path).relative_to(below)) for path in folder.scan(GO_ON)}


def write(folder: Path, *files: str) -> None:
    """Write some files."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_a_scan_finds_the_pictures_of_a_folder_and_its_sub_folders(inbox: Path) -> None:
    """Pictures by their names are found, in any case of the ending; sub-folders only if they are asked for."""
    write(
        inbox,
        "a.jpg",
        "B.TIFF",
        "sub/c.pdf",
        "raw.nef",
        "old.zip",
        "Thumbs.db",
        ".hidden.jpg",
        "@eaDir/t.jpg",
        ".sync/d.jpg",
    )
    (inbox / "link.jpg").symlink_to(inbox / "a.jpg")
    (inbox / "loop").symlink_to(inbox)
    os.mkfifo(inbox / "pipe.jpg")
    assert names(WatchedFolder(str(inbox)), inbox) == {"a.jpg", "B.TIFF", "sub/c.pdf"}
    assert names(WatchedFolder(str(inbox), recursive=False), inbox) == {"a.jpg", "B.TIFF"}


@pytest.mark.parametrize(
    "name",
    ["a.jpg.part", "a.jpg.crdownload", "a.pdf.TMP", "a.png.filepart", "a.jpg.partial", "~$a.pdf", "a.pdf~", ".a.jpg"],
)
def test_temporary_names_wait_for_their_rename(inbox: Path, name: str) -> None:
    """A file that a program still writes under a name of its own is left out until it has its real name."""
    write(inbox, name)
    folder = WatchedFolder(str(inbox))
    assert is_temporary(name)
    assert names(folder, inbox) == set()
    (inbox / name).rename(inbox / "a.jpg")
    assert names(folder, inbox) == {"a.jpg"}
    assert not is_temporary("a.jpg")


@pytest.mark.parametrize("given", [".", "./", "../inbox", "{inbox}//", "{inbox}"])
def test_paths_have_the_spelling_that_a_run_records(inbox: Path, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the folder is spelled, a file has one path, relative if the folder is."""
    monkeypatch.chdir(inbox)
    write(inbox, "sub/a.jpg")
    folder = WatchedFolder(given.format(inbox=inbox))
    expected = {".": "sub/a.jpg", "./": "sub/a.jpg", "../inbox": "../inbox/sub/a.jpg"}
    assert set(folder.scan(GO_ON)) == {expected.get(given, f"{inbox}/sub/a.jpg")}


def test_any_change_of_a_file_changes_its_stamp(inbox: Path) -> None:
    """Longer, rewritten with the old time, or replaced by another file of the same size and time: each is seen."""
    path = inbox / "a.jpg"
    folder, seen = WatchedFolder(str(inbox)), []
    for change in range(4):
        if change == 1:
            path.write_bytes(b"xy")
        elif change == 2:
            path.write_bytes(b"ab")
        elif change == 3:
            (inbox / "new").write_bytes(b"cd")
            os.utime(inbox / "new", (1e9, 1e9))
            (inbox / "new").rename(path)
        else:
            path.write_bytes(b"x")
        os.utime(path, (1e9, 1e9))
        seen.append(folder.scan(GO_ON)[str(path)])
    assert len(set(seen)) == 4


def test_files_left_out_are_counted_if_asked_for(inbox: Path) -> None:
    """The exclusions of a scan name what its rules leave out, temporary names as other endings."""
    write(inbox, "a.jpg", ".b.jpg", "c.txt", "d.jpg.part", "@eaDir/e.jpg", "old.zip")
    (inbox / "scan").write_bytes(b"\xff\xd8\xff\xe0x\xff\xd9")
    (inbox / "link.jpg").symlink_to(inbox / "a.jpg")
    exclusions = Exclusions()
    WatchedFolder(str(inbox)).scan(GO_ON, exclusions)
    assert exclusions.summary() == (
        "6 files left out: 1 hidden, 1 in @eaDir, 1 symbolic link, 1 zip archive, 2 with another ending (.part, .txt)"
    )


def test_a_folder_that_is_not_there_at_the_start_is_refused(inbox: Path) -> None:
    """A missing folder, and a file, are errors of the command line."""
    write(inbox, "a.jpg")
    for path, why in ((inbox / "no", "No such file"), (inbox / "a.jpg", "Not a directory")):
        with pytest.raises(ConfigurationError, match=why):
            WatchedFolder(str(path))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged since the last time."""
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    caplog.clear()
    return lines


def test_a_folder_that_vanishes_is_reported_once_and_so_is_its_return(
    inbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While the folder is away a scan finds nothing; the log has one line, and one more when it is back."""
    write(inbox, "a.jpg")
    folder = WatchedFolder(str(inbox))
    first = folder.identity
    inbox.rename(inbox.with_name("away"))
    for _ in range(3):
        assert (folder.scan(GO_ON), folder.identity) == ({}, None)
    (line,) = said(caplog)
    assert line == f"{inbox}: No such file or directory; the watch waits for the folder to come back"
    inbox.with_name("away").rename(inbox)
    assert names(folder, inbox) == {"a.jpg"}
    assert folder.identity == first
    assert said(caplog) == [f"{inbox}: the folder is back"]


def test_the_folder_can_be_compared_with_that_of_the_last_scan(inbox: Path) -> None:
    """Another folder, or none, at its place is noticed without a scan."""
    folder = WatchedFolder(str(inbox))
    assert folder.is_as_scanned()
    inbox.rename(inbox.with_name("away"))
    assert not folder.is_as_scanned()
    folder.scan(GO_ON)
    assert folder.is_as_scanned()
    inbox.mkdir()
    assert not folder.is_as_scanned()


def test_a_file_that_is_forgotten_is_missing_in_one_scan(inbox: Path) -> None:
    """So it counts as a new file afterwards; one that is not there can be forgotten as well."""
    write(inbox, "a.jpg", "b.jpg")
    folder = WatchedFolder(str(inbox))
    folder.forget(str(inbox / "a.jpg"))
    folder.forget(str(inbox / "never.jpg"))
    assert names(folder, inbox) == {"b.jpg"}
    assert names(folder, inbox) == {"a.jpg", "b.jpg"}


def test_another_file_system_at_its_place_is_reported(inbox: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After an unmount the empty mount point would look like an inbox without files."""
    write(inbox, "a.jpg")
    devices = iter([1, 1, 2, 2, 1])

    def look_up(path: str) -> os.stat_result:
        values = list(os.stat(path))  # noqa: PTH116 - as the module does
        values[2] = next(devices)
        return os.stat_result(values)

    folder = WatchedFolder(str(inbox), look_up=look_up)
    for _ in range(4):
        assert names(folder, inbox) == {"a.jpg"}
    line = (
        f"{inbox}: another file system is there now, as after an unmount or a mount; the watch goes on with its files"
    )
    assert said(caplog) == [line, line]


def test_a_sub_folder_that_cannot_be_read_is_reported_once(inbox: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The other folders are scanned all the same; once it was readable, its next trouble is reported again."""
    write(inbox, "a.jpg", "sub/b.jpg")

    class Locked(WatchedFolder):
        """Has a sub-folder of which the permissions change; root would not meet them."""

        locked = True

        def _entries(self, folder: str) -> list[os.DirEntry[str]]:
            if self.locked and folder == f"{inbox}/sub/":
                raise PermissionError(errno.EACCES, "Permission denied")
            return super()._entries(folder)

    folder = Locked(str(inbox))
    assert names(folder, inbox) == names(folder, inbox) == {"a.jpg"}
    assert said(caplog) == [f"left out, Permission denied: {inbox / 'sub'}"]
    folder.locked = False
    assert names(folder, inbox) == {"a.jpg", "sub/b.jpg"}
    folder.locked = True
    assert names(folder, inbox) == {"a.jpg"}
    assert len(said(caplog)) == 1


def test_a_scan_that_is_not_wanted_any_more_ends(inbox: Path) -> None:
    """A stop ends a scan between two folders."""
    write(inbox, "a.jpg")
    stopped = threading.Event()
    stopped.set()
    assert WatchedFolder(str(inbox)).scan(stopped) == {}


def test_files_and_folders_that_vanish_during_a_scan_are_no_trouble(
    inbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that was moved away between its listing and the look at it is simply not there."""
    write(inbox, "a.jpg", "b.jpg", "sub/c.jpg")

    class Vanishing(WatchedFolder):
        """Removes everything as soon as the first folder is listed."""

        def _entries(self, folder: str) -> list[os.DirEntry[str]]:
            entries = super()._entries(folder)
            if folder == f"{inbox}/":
                for name in ("a.jpg", "sub/c.jpg"):
                    (inbox / name).unlink()
                (inbox / "sub").rmdir()
            return entries

    assert names(Vanishing(str(inbox)), inbox) == {"b.jpg"}
    assert said(caplog) == []
