"""Images that a command reads: files, folders, lists of files, and inputs that can be read only once."""

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
from clova_ocr_async.cli.runs.pipes import check_once
from clova_ocr_async.cli.terminal.phrases import list_names
from clova_ocr_async.client.loading import read_path
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.protocol.echoed_input import non_path, shown_path
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["InputFile", "Search", "check_paths"]

STDIN = "-"


class InputFile:
    """A file that the client reads like an open one; it is hashed while it is read, so the hash is of the bytes sent.

    Args:
        path: Its path; "-" for standard input.
        piped: Its content, if it can be read only once.
    """

    def __init__(self, path: str, piped: bytes | None = None) -> None:
        self.path = path
        self._piped = None if piped is None else io.BytesIO(piped)
        self._hash = hashlib.sha256()
        self._begun = False

    @property
    def name(self) -> str:
        """The file's name, as open files have it."""
        return "stdin" if self.path == STDIN else self.path

    @property
    def shown(self) -> str:
        r"""The path as messages show it; bytes that are not UTF-8 become \xNN, so that names stay different."""
        return shown_path(self.path)

    @property
    def sha256(self) -> str | None:
        """The hash of the bytes that were read, in hex; None before."""
        return self._hash.hexdigest() if self._begun else None

    def rewind(self) -> None:
        """Read the file from its start again, because it was still being written."""
        self._hash = hashlib.sha256()
        self._begun = False

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; refuse a file that is larger than ``size``."""
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
    """Refuse paths that are mistakes, before anything is paid.

    Args:
        paths: Paths of files and folders; "-" for standard input.
        folders: Whether folders are allowed.

    Raises:
        ConfigurationError: A path does not exist, is a folder, or can be read only once and is given twice.
    """
    for path in paths:
        if path == STDIN:
            continue
        if not os.path.exists(path):  # noqa: PTH110 - Path raises if a name is too long
            raise ConfigurationError(_not_there(path, folders=folders))
        if not folders and Path(path).is_dir():
            raise ConfigurationError(f"{shown_path(path)} is a folder; for all images in it use clova-ocr batch")
    check_once(paths)


def _not_there(path: str, *, folders: bool) -> str:
    odd = non_path(path)
    if odd is None:
        return f"{shown_path(path) or 'an empty name'}: no such file or folder"
    name = "PATH" if folders else "IMAGE"  # as in the help of the command
    return f"{name} is {odd.what}; give the path of a file, or - and the image on standard input"


class Search:
    """A search for the files of some paths. It can be repeated, and counts the files that it leaves out.

    Args:
        paths: Paths of files and folders; "-" for standard input.
        recursive: Whether to search sub-folders.
        piped: The contents of paths that can be read only once.
        manifests: Files that list further files.
        manifest_names: The names of those in messages; None for their paths.
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
        """Yield the files to read, each once: files as they are given, folders by their pictures."""
        for file in self.found(once=True):
            path = os.fspath(file)
            yield InputFile(path, self._piped.get(path))

    def found(self, *, once: bool = False) -> Iterator[os.DirEntry[str] | str]:
        """Yield the files as they are found.

        Args:
            once: Leave out a file that is found a second time. A run's ledger does that by itself.
        """
        left_out, repeated = Exclusions(), 0
        # The walk of one folder finds each file once, and need not remember millions of them.
        seen = _Seen() if once and len(self._paths) + len(self._manifests) * 2 > 1 else None
        for file in itertools.chain(self._in_paths(left_out), _listed_in(self._manifests)):
            if seen is not None and seen.before(file):
                repeated += 1
            else:
                yield file
        # Set at the end: two searches run at the same time, and each has counts of its own.
        self._left_out, self._repeated = left_out, repeated

    def _in_paths(self, left_out: Exclusions) -> Iterator[os.DirEntry[str] | str]:
        for path in self._paths:
            if path != STDIN and Path(path).is_dir():
                yield from entries_in(path, self._recursive, left_out)
            else:
                yield path

    def remarks(self) -> Iterator[str]:
        """Yield messages about files that the last complete search has left out."""
        if self._repeated:
            one, many = "file was found a second time, and is read", "files were found a second time, and are read"
            yield f"{plural(self._repeated, one, many)} once"
        if left_out := self._left_out.summary():
            yield f"{left_out}; {self._left_out.way_out()}"

    def absence(self) -> str:
        """Return the message for a search without a file: where it searched, and for which names."""
        lists = ("standard input" if name == STDIN else shown_path(name) for name in self._manifest_names)
        places = [*map(shown_path, self._paths), *lists]
        endings = listed(sorted(READ_SUFFIXES), "or")
        message = f"no images found in {list_names(places, len(places))}"
        if not self._paths:
            return f"{message}: it lists no file" if len(places) == 1 else f"{message}: they list no file"
        below = "" if self._recursive else ", and sub-folders are not searched (--no-recursive)"
        return f"{message}; a folder is searched for files that end in {endings}{below}"


class _Seen:
    """Files that a search has found already."""

    def __init__(self) -> None:
        self._keys: set[int] = set()

    def before(self, file: os.DirEntry[str] | str) -> bool:
        """Return whether a file was found before, by any path, and remember it."""
        key = _key_of(file)
        if key is None or key in self._keys:
            return key is not None
        self._keys.add(key)
        return False


def _key_of(file: os.DirEntry[str] | str) -> int | None:
    """Return the same number for all paths of a file; None for standard input and a path that does not exist."""
    if file == STDIN:
        return None
    try:
        found = os.stat(file)  # noqa: PTH116 - for each file, and Path takes longer than the file system
    except (OSError, ValueError):
        return None
    if found.st_ino and found.st_nlink == 1:
        return hash((found.st_dev, found.st_ino))
    # Two hard links are two images for the user, and some file systems do not number their files.
    return hash(os.path.realpath(file))


def _listed_in(manifests: Iterable[str]) -> Iterator[str]:
    for manifest in manifests:
        for path in images_from(manifest):
            # A dash in a list is the name of a file; only as an argument does it mean standard input.
            yield os.path.join(os.curdir, STDIN) if str(path) == STDIN else str(path)  # noqa: PTH118 - Path drops the dot
