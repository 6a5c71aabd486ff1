"""Which images a command reads."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from clova_ocr_async.batch.sources.exclusions import READ_SUFFIXES, Exclusions, listed
from clova_ocr_async.batch.sources.folders import entries_in
from clova_ocr_async.batch.sources.manifest import images_from
from clova_ocr_async.cli.runs.piped import check_once
from clova_ocr_async.cli.terminal.phrases import some_names
from clova_ocr_async.client.loading import read_path
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.echoed_input import non_path, shown_path
from clova_ocr_async.protocol.image import ImageLimits
from clova_ocr_async.protocol.plural import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["InputFile", "Search", "check_paths"]

STDIN = "-"


class InputFile:
    """A file the client reads like an open one, and whose hash is that of what was read: bytes sent = bytes hashed.

    Args:
        path: Where it is; "-" for standard input.
        piped: What it holds, if it can be read only once.
    """

    def __init__(self, path: str, piped: bytes | None = None) -> None:
        self.path = path
        self._piped = None if piped is None else io.BytesIO(piped)
        self._hash = hashlib.sha256()
        self._begun = False

    @property
    def name(self) -> str:
        """The path, as open files have it."""
        return "stdin" if self.path == STDIN else self.path

    @property
    def shown(self) -> str:
        r"""The path as it is told: bytes that are no UTF-8 become \xNN, so that different names stay different."""
        return shown_path(self.path)

    @property
    def sha256(self) -> str | None:
        """Of what was read, in hex; None before."""
        return self._hash.hexdigest() if self._begun else None

    def rewind(self) -> None:
        """Read the file anew: it was still being written. Standard input cannot be."""
        self._hash = hashlib.sha256()
        self._begun = False

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; a file that has more than it is asked for is refused by its size."""
        if self._piped is not None:
            data = self._piped.read(size)
        elif self._begun:
            data = b""
        else:
            data = read_path(self.path, ImageLimits(max_bytes=None if size < 0 else size - 1))
        self._begun = True
        self._hash.update(data)
        return data


def check_paths(paths: Sequence[str], *, folders: bool) -> None:
    """Refuse what would be a mistake, before anything is paid.

    Args:
        paths: Of files and folders; "-" for standard input.
        folders: Whether folders are welcome.

    Raises:
        ConfigurationError: A path is not there, is a folder, or can be read once and is given twice.
    """
    for path in paths:
        if path == STDIN:
            continue
        if not os.path.exists(path):  # noqa: PTH110 - a Path raises where a name is too long
            raise ConfigurationError(_not_there(path, folders=folders))
        if not folders and Path(path).is_dir():
            raise ConfigurationError(f"{shown_path(path)} is a folder; for all images in it use clova-ocr batch")
    check_once(paths)


def _not_there(path: str, *, folders: bool) -> str:
    odd = non_path(path)
    if odd is None:
        return f"{shown_path(path) or 'an empty name'}: no such file or folder"
    name = "PATH" if folders else "IMAGE"  # as the help of the verb has it
    return f"{name} is {odd.what}; give the path of a file, or - and the image on standard input"


class Search:
    """The search for the files of some paths, which may be repeated, and what it has passed over.

    Args:
        paths: Of files and folders; "-" for standard input.
        recursive: Also the sub-folders of folders.
        piped: What those hold that can be read only once.
        manifests: Files that list further ones.
        manifest_names: What messages call those; None for their paths.
    """

    def __init__(
        self,
        paths: Iterable[str],
        *,
        recursive: bool = True,
        piped: Mapping[str, bytes] = MappingProxyType({}),
        manifests: Iterable[str] = (),
        manifest_names: Iterable[str] | None = None,
    ) -> None:
        self._paths = tuple(paths)
        self._manifests = tuple(manifests)
        self._manifest_names = self._manifests if manifest_names is None else tuple(manifest_names)
        self._recursive = recursive
        self._piped = piped
        self._left_out = Exclusions()
        self._repeated = 0

    def files(self) -> Iterator[InputFile]:
        """Yield the files to read: files as they are, folders by their pictures, each file once."""
        for file in self.found(once=True):
            path = os.fspath(file)
            yield InputFile(path, self._piped.get(path))

    def found(self, *, once: bool = False) -> Iterator[os.DirEntry[str] | str]:
        """Yield the files as they are found.

        Args:
            once: A file that is found a second time is passed over. A run's ledger does that by itself.
        """
        left_out, repeated = Exclusions(), 0
        # The walk of one folder comes by each file once, and need not remember millions of them.
        seen = _Seen() if once and len(self._paths) + len(self._manifests) * 2 > 1 else None
        for file in itertools.chain(self._in_paths(left_out), _listed_in(self._manifests)):
            if seen is not None and seen.before(file):
                repeated += 1
            else:
                yield file
        # Only now: searches run at the same time, and each counts for itself.
        self._left_out, self._repeated = left_out, repeated

    def _in_paths(self, left_out: Exclusions) -> Iterator[os.DirEntry[str] | str]:
        for path in self._paths:
            if path != STDIN and Path(path).is_dir():
                yield from entries_in(path, self._recursive, left_out)
            else:
                yield path

    def remarks(self) -> Iterator[str]:
        """Yield what is to be said of files that were passed over, by the last search that came to its end."""
        if self._repeated:
            one, many = "file was found a second time, and is read", "files were found a second time, and are read"
            yield f"{plural(self._repeated, one, many)} once"
        if told := self._left_out.summary():
            yield f"{told}; {self._left_out.way_out()}"

    def absence(self) -> str:
        """Return what is to be said where no file was found: where it was looked, and for which names."""
        lists = ("standard input" if name == STDIN else shown_path(name) for name in self._manifest_names)
        places = [*map(shown_path, self._paths), *lists]
        endings = listed(sorted(READ_SUFFIXES), "or")
        told = f"no images found in {some_names(places, len(places))}"
        if not self._paths:
            return f"{told}: it lists no file" if len(places) == 1 else f"{told}: they list no file"
        below = "" if self._recursive else ", and sub-folders are not searched (--no-recursive)"
        return f"{told}; a folder is searched for files that end in {endings}{below}"


class _Seen:
    """Which files a search has come by."""

    def __init__(self) -> None:
        self._keys: set[int] = set()

    def before(self, file: os.DirEntry[str] | str) -> bool:
        """Return whether a file was found before, by whatever path, and remember it."""
        key = _key_of(file)
        if key is None or key in self._keys:
            return key is not None
        self._keys.add(key)
        return False


def _key_of(file: os.DirEntry[str] | str) -> int | None:
    """Return what tells a file from others, whatever its path; None for what is not there, or standard input."""
    if file == STDIN:
        return None
    try:
        found = os.stat(file)  # noqa: PTH116 - of each file, and a Path takes longer than the file system
    except (OSError, ValueError):
        return None
    if found.st_ino and found.st_nlink == 1:
        return hash((found.st_dev, found.st_ino))
    # Two names of one file are two images for the user; and some file systems do not number their files.
    return hash(os.path.realpath(file))


def _listed_in(manifests: Iterable[str]) -> Iterator[str]:
    for manifest in manifests:
        for path in images_from(manifest):
            # In a list it is a file's name, and only there.
            yield os.path.join(os.curdir, STDIN) if str(path) == STDIN else str(path)  # noqa: PTH118 - Path drops the dot
