"""A folder that is scanned again and again for the pictures in it, and that may be away at times."""

from __future__ import annotations

import logging
import os
import stat
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from clova_ocr_async.batch.sources.exclusions import (
    PICTURE_SUFFIXES,
    is_hidden,
    is_system_folder,
    may_be_picture,
    suffix_of,
)
from clova_ocr_async.batch.sources.folders import begins_like_picture
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.archives import is_archive_name
from clova_ocr_async.host.paths import normalize_path
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from clova_ocr_async.batch.sources.exclusions import Exclusions

__all__ = ["FileTimes", "WatchedFolder", "is_picture_file", "is_temporary"]

logger = logging.getLogger("clova_ocr_async")

_TEMPORARY = (
    *(".part", ".partial", ".filepart", ".crdownload", ".download", ".opdownload", ".aria2", ".!ut", ".!qb"),
    *(".tmp", ".temp", ".swp", "~"),
)


class FileTimes(NamedTuple):
    """The properties of a file that show a change of its content.

    The inode's number is not among them: some network file systems give a file another one at each look, and a file
    that takes the place of another one has another time of its last change in any way.

    Attributes:
        size: Bytes.
        modified_ns: Time of the last change of its content, nanoseconds since 1970.
        changed_ns: Time of the last change of the file in any way, a new name included; no program can set it back.
    """

    size: int
    modified_ns: int
    changed_ns: int


def is_temporary(name: str) -> bool:
    """Return whether a name is temporary: that of a file that is being written, or of a program's own file."""
    return is_hidden(name) or name.startswith("~$") or name.lower().endswith(_TEMPORARY)


class WatchedFolder:
    """A folder to scan. It leaves out the files that a walk of a batch leaves out, and temporary names.

    A scan is for one thread at a time. It logs each trouble once, and not again with each scan.

    Args:
        path: The folder.
        recursive: Also its sub-folders.
        look_up: Returns the ``os.stat`` of the folder.

    Attributes:
        path: The folder in the spelling in which a run records it.
        identity: The folder's place on its file system, as the last scan saw it; None while the folder is away.

    Raises:
        ConfigurationError: It is not a folder, or cannot be read.
    """

    def __init__(
        self, path: str, *, recursive: bool = True, look_up: Callable[[str], os.stat_result] = os.stat
    ) -> None:
        self.path = os.fsdecode(normalize_path(os.fsencode(path)))
        self.recursive = recursive
        self._look_up = look_up
        self._unreadable: set[str] = set()
        self._forgotten: deque[str] = deque()  # which the event loop may add to while a thread scans
        try:
            os.scandir(self.path).close()
            found = look_up(self.path)
        except OSError as error:
            raise ConfigurationError(f"{shown_path(path)}: {error.strerror}") from None
        self.identity: tuple[int, int] | None = (found.st_dev, found.st_ino)
        self._device = found.st_dev

    def scan(self, stopped: threading.Event, exclusions: Exclusions | None = None) -> dict[str, FileTimes]:
        """Return the files in the folder that may be pictures by their names; none while the folder is away.

        Args:
            stopped: Ends the scan early once it is set.
            exclusions: Counts the files that are left out.
        """
        files: dict[str, FileTimes] = {}
        unreadable: set[str] = set()
        # Paths are put together by hand: a scan may see millions of names, and most lead to nothing new.
        pending = [_prefix(self.path)] if self._is_there() else []
        while pending and not stopped.is_set():
            folder = pending.pop()
            try:
                entries = self._entries(folder)
            except FileNotFoundError:  # moved or removed during the scan, which is not an error
                continue
            except OSError as error:
                unreadable.add(folder)
                if folder not in self._unreadable:
                    logger.warning("left out, %s: %s", error.strerror, shown_path(folder.rstrip("/")))
                continue
            self._sort(folder, entries, files, pending, exclusions)
        self._unreadable = unreadable
        while self._forgotten:
            files.pop(self._forgotten.popleft(), None)
        return files

    @property
    def misses_files(self) -> bool:
        """Whether a file was forgotten since the last scan."""
        return bool(self._forgotten)

    def forget(self, path: str) -> None:
        """Leave a file out of the next scan; a later scan finds it as a new one. May be called in any thread."""
        self._forgotten.append(path)

    def is_as_scanned(self) -> bool:
        """Return whether the folder is the one of the last scan: no event reports that a drive was unmounted."""
        try:
            found = self._look_up(self.path)
        except OSError:
            return self.identity is None
        return self.identity == (found.st_dev, found.st_ino)

    def _is_there(self) -> bool:
        """Return whether the folder is there, and log it if that has changed."""
        shown = shown_path(self.path)
        try:
            found = self._look_up(self.path)
            os.scandir(self.path).close()  # also a folder that may not be read any more is away
        except OSError as error:
            if self.identity is not None:
                logger.warning("%s: %s; the watch waits for the folder to come back", shown, error.strerror)
            self.identity = None
            return False
        if self.identity is None:
            logger.warning("%s: the folder is back", shown)
        # An unmounted drive leaves an empty folder behind, and looks as if all files had been removed.
        if found.st_dev != self._device:
            what = "another file system is there now, as after an unmount or a mount"
            logger.warning("%s: %s; the watch goes on with its files", shown, what)
        self._device = found.st_dev
        self.identity = (found.st_dev, found.st_ino)
        return True

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        with os.scandir(folder or os.curdir) as entries:
            return list(entries)

    def _sort(
        self,
        folder: str,
        entries: list[os.DirEntry[str]],
        files: dict[str, FileTimes],
        folders: list[str],
        exclusions: Exclusions | None,
    ) -> None:
        """Add the files among some entries that may be pictures to the files, and the sub-folders to the folders."""
        for entry in entries:
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                if not (is_hidden(name) or is_system_folder(name)):
                    folders.extend([f"{folder}{name}/"] * self.recursive)
                elif exclusions is not None:
                    exclusions.add_folder(entry)
            elif _is_candidate(name) and not entry.is_symlink():
                # A ``stat`` for each file and scan: no other look shows that a file is still growing.
                if (times := _times_of(entry)) is not None:
                    files[folder + name] = times
                    if exclusions is not None and not is_picture_file(entry.path):
                        exclusions.add_other(name)
            elif exclusions is not None:
                _count(entry, exclusions)


def _prefix(path: str) -> str:
    """Return what stands before the names of a folder's entries in their paths."""
    if path == os.curdir:
        return ""
    return path if path.endswith("/") else f"{path}/"


def _times_of(entry: os.DirEntry[str]) -> FileTimes | None:
    """Return the times of a file; None for a pipe or a device, and for a file that is gone by now."""
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return FileTimes(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _is_candidate(name: str) -> bool:
    """Return whether a file may be a picture by its name; without the ending of one, its first bytes decide later."""
    if is_temporary(name):
        return False
    return suffix_of(name) in PICTURE_SUFFIXES or (may_be_picture(name) and not is_archive_name(name))


def is_picture_file(path: str) -> bool:
    """Return whether a file of a scan is a picture: by its ending, or else by its first bytes."""
    return suffix_of(path) in PICTURE_SUFFIXES or begins_like_picture(path)


def _count(entry: os.DirEntry[str], exclusions: Exclusions) -> None:
    """Count an entry that is left out, for the reason that a walk of a batch would have."""
    if is_hidden(entry.name):
        exclusions.add_hidden(entry.name)
    elif entry.is_symlink():
        exclusions.add_link()
    elif is_archive_name(entry.name):
        exclusions.archives += 1
    else:
        exclusions.add_other(entry.name)
