"""Exclusions of a folder's walk: files and folders that by their names are not the user's pictures, and their counts.

NAS devices, desktops and synchronising programs keep thumbnails, deleted files and snapshots beside the user's files.
They end in .jpg as well, and would cost a call each.
"""

from __future__ import annotations

import os
import re
from collections import Counter, deque
from typing import TYPE_CHECKING

from clova_ocr_async.host.plural import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "PICTURE_SUFFIXES",
    "READ_SUFFIXES",
    "Exclusions",
    "is_hidden",
    "is_system_folder",
    "listed",
    "may_be_picture",
    "suffix_of",
]

READ_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".pdf", ".tif", ".tiff"})
"""Endings of the files that the service reads, in lower case."""

PICTURE_SUFFIXES = (
    READ_SUFFIXES
    # The service does not take these, but a picture that is left out must not be left out silently.
    | {".jpe", ".jfif", ".heic", ".heif", ".avif", ".webp", ".gif", ".bmp", ".jp2", ".jxl"}
)
"""Endings of the files that ``images_in`` yields, in lower case."""

_SYSTEM_FOLDERS = frozenset(
    # Synology, QNAP, NetApp
    {"@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "#recycle", "#snapshot", "~snapshot"}
    | {"@__thumb", "@__desc", "@synologydrive"}
    # Windows
    | {"$recycle.bin", "recycler", "recycled", "system volume information", "$extend", "$winreagent"}
    # macOS, in archives and on network shares; Linux; Android
    | {"__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder", "lost+found", "lost.dir"}
    | {"thefindbycontentfolder", "resource.frk"}
)
_REPAIRED_DISK = re.compile(
    r"found\.\d{3}", re.ASCII
)  # where Windows puts the files that it finds while it repairs a disk
_SYSTEM_FILES = frozenset(
    {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "desktop db", "desktop df"}
)
_OTHER_SUFFIXES = frozenset(
    # Raw files of cameras are TIFF files by their first bytes, drawings of Illustrator are PDF files.
    {".3fr", ".ai", ".arw", ".cr2", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".nef", ".nrw", ".pef", ".srw"}
    # Downloads that go on, and copies that programs keep.
    | {".bak", ".crdownload", ".download", ".filepart", ".old", ".part", ".partial", ".tmp"}
)

_MAX_EXAMINED = 1_000  # entries of all folders of one name: snapshots can hold a share many times over
_MAX_NAMED = 5
_HIDDEN, _LINKED, _ARCHIVE = "hidden", "symbolic link", "zip archive"


def is_hidden(name: str) -> bool:
    """Return whether systems hide a name; macOS keeps ``._a.jpg`` beside ``a.jpg``."""
    return name.startswith(".")


def is_system_folder(name: str) -> bool:
    """Return whether a folder's name is one that a system gives to a folder of its own."""
    lower = name.lower()
    return lower in _SYSTEM_FOLDERS or _REPAIRED_DISK.fullmatch(lower) is not None


def may_be_picture(name: str) -> bool:
    """Return whether a file without the ending of a picture may be one, so that its first bytes decide."""
    return name.lower() not in _SYSTEM_FILES and suffix_of(name) not in _OTHER_SUFFIXES


def suffix_of(name: str) -> str:
    """Return the ending of a name in lower case, its dot included; without a dot, the name's last letter or nothing."""
    return name[name.rfind(".") :].lower()


def listed(words: Sequence[str], last: str) -> str:
    """Return words as a sentence lists them, as in "a, b or c" with "or" before the last one."""
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end


class Exclusions:
    """The counts of the files that a walk leaves out.

    Attributes:
        pictures: Pictures by the reason: hidden, symbolic links, or in folders that are not walked.
        others: Other files by their endings.
        archives: The number of zip archives, which are read only if they are given themselves.
        members: Files in archives by the reason.
        by_content: The number of files that were not left out, because their first bytes are those of a picture.
    """

    def __init__(self) -> None:
        self.pictures: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        self.archives = 0
        self.members: Counter[str] = Counter()
        self.by_content = 0
        self._examined: Counter[str] = Counter()
        self._uncounted: set[str] = set()

    def add_folder(self, entry: os.DirEntry[str]) -> None:
        """Count the pictures in a folder that is not walked, up to a bound."""
        reason = f"in {entry.name}"
        for name in _names_below(entry.path):
            self._examined[reason] += 1
            if self._examined[reason] > _MAX_EXAMINED:
                self._uncounted.add(reason)
                return
            # A hidden file is not read where its folder is given; macOS keeps one beside each file.
            self.pictures[reason] += suffix_of(name) in PICTURE_SUFFIXES and not is_hidden(name)

    def add_hidden(self, name: str) -> None:
        """Count a hidden file, if it is a picture by its name."""
        self.pictures[_HIDDEN] += suffix_of(name) in PICTURE_SUFFIXES

    def add_link(self) -> None:
        """Count a symbolic link."""
        self.pictures[_LINKED] += 1

    def add_other(self, name: str) -> None:
        """Count a file with another ending than those of pictures."""
        if name.lower() not in _SYSTEM_FILES:
            self.others[os.path.splitext(name)[1].lower()] += 1  # noqa: PTH122 - a Path for each would take longer

    def summary(self) -> str:
        """Return the counts in one line; "" if nothing was left out."""
        total = self.pictures.total() + self.others.total() + self.archives + self.members.total()
        if not total:
            return ""
        named = _most(self.pictures)
        parts = [self._count(reason) for reason in named]
        if rest := self.pictures.total() - sum(self.pictures[reason] for reason in named):
            parts.append(f"{rest:,} in other such folders")
        if self.archives:
            parts.append(plural(self.archives, _ARCHIVE))
        if self.others:
            endings = [ending or "none" for ending in _most(self.others)] + ["…"] * (len(self.others) > _MAX_NAMED)
            parts.append(f"{self.others.total():,} with another ending ({', '.join(endings)})")
        if self.members:
            reasons = [f"{self.members[reason]:,} {reason}" for reason in _most(self.members)]
            parts.append(f"{self.members.total():,} in archives ({', '.join(reasons)})")
        return f"{'at least ' if self._uncounted else ''}{plural(total, 'file')} left out: {', '.join(parts)}"

    def inclusions(self) -> str:
        """Return the number of pictures that have no ending of a picture, in a sentence; "" for none."""
        if not self.by_content:
            return ""
        one, many = "file is a picture by its first bytes", "files are pictures by their first bytes"
        are = "is" if self.by_content == 1 else "are"
        return f"{plural(self.by_content, one, many)}, though not by name, and {are} read"

    def _count(self, reason: str) -> str:
        many = f"{reason}s" if reason == _LINKED else reason
        return f"{'at least ' if reason in self._uncounted else ''}{plural(self.pictures[reason], reason, many)}"

    def way_out(self) -> str:
        """Return how a command reads what was left out: which path of it to give, by its kind."""
        folders = self.pictures.total() - self.pictures[_HIDDEN] - self.pictures[_LINKED]
        kinds = {
            "hidden file": self.pictures[_HIDDEN],
            "symbolic link": self.pictures[_LINKED],
            "such folder": folders,
            _ARCHIVE: self.archives,
            "file with another ending": self.others.total(),
        }
        found = [kind for kind, count in kinds.items() if count]
        unpack = "unpack the archive" if self.members else ""
        if not found:
            return f"to read {'it' if self.members.total() == 1 else 'them'}, {unpack}"
        if sum(kinds.values()) == 1:
            noun = found[0].removeprefix("such ").removesuffix(" with another ending")
            way = f"to read it, give the {noun} itself as a PATH"
        else:
            way = f"to read them, give {listed([f'each {kind}' for kind in found], 'and')} as a PATH of its own"
        return f"{way}; for those in archives {unpack}" if unpack else way


def _most(counts: Counter[str]) -> list[str]:
    """Return the words with the highest counts, in an order that does not depend on that of a walk."""
    return [word for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count][:_MAX_NAMED]


def _names_below(folder: str) -> Iterator[str]:
    """Yield the names of the files below a folder, and "" for each folder; one that cannot be read has none."""
    pending = deque([folder])
    while pending:
        try:
            entries = os.scandir(pending.popleft())
        except OSError:
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                    yield ""
                else:
                    yield entry.name
