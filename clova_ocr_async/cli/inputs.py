"""Which images a command reads."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from clova_ocr_async.batch.manifest import images_from, shown_path
from clova_ocr_async.batch.sources import entries_in, images_in
from clova_ocr_async.cli.piped import check_once
from clova_ocr_async.client.reading import read_path
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["InputFile", "check_paths", "found_files", "input_files"]

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
        if not Path(path).exists():
            raise ConfigurationError(f"{path}: no such file or folder")
        if not folders and Path(path).is_dir():
            raise ConfigurationError(f"{path} is a folder; for all images in it use clova-ocr batch")
    check_once(paths)


def input_files(
    paths: Iterable[str],
    *,
    recursive: bool = True,
    piped: Mapping[str, bytes] = MappingProxyType({}),
    manifests: Iterable[str] = (),
) -> Iterator[InputFile]:
    """Yield the files of some paths: files as they are, folders by their pictures.

    Args:
        paths: Of files and folders; "-" for standard input.
        recursive: Also the sub-folders of folders.
        piped: What those hold that can be read only once.
        manifests: Files that list further ones.
    """
    files = itertools.chain.from_iterable(_files_of(path, piped, recursive=recursive) for path in paths)
    return itertools.chain(files, map(InputFile, _listed_in(manifests)))


def found_files(
    paths: Iterable[str], *, recursive: bool = True, manifests: Iterable[str] = ()
) -> Iterator[os.DirEntry[str] | str]:
    """Yield the files of some paths as a run lists them.

    Args:
        paths: Of files and folders.
        recursive: Also the sub-folders of folders.
        manifests: Files that list further ones.
    """
    for path in paths:
        if Path(path).is_dir():
            yield from entries_in(path, recursive)
        else:
            yield path
    yield from _listed_in(manifests)


def _listed_in(manifests: Iterable[str]) -> Iterator[str]:
    for manifest in manifests:
        for path in images_from(manifest):
            # In a list it is a file's name, and only there.
            yield os.path.join(os.curdir, STDIN) if str(path) == STDIN else str(path)  # noqa: PTH118 - Path drops the dot


def _files_of(path: str, piped: Mapping[str, bytes], *, recursive: bool) -> Iterator[InputFile]:
    if path != STDIN and Path(path).is_dir():
        yield from (InputFile(str(found)) for found in images_in(path, recursive))
    else:
        yield InputFile(path, piped.get(path))
