"""Which images a command reads."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from clova_ocr_async.batch.manifest import images_from, shown_path
from clova_ocr_async.batch.sources import entries_in, images_in
from clova_ocr_async.client.reading import read_path
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["InputFile", "check_paths", "found_files", "input_files", "read_stdin"]

STDIN = "-"


class InputFile:
    """A file the client reads like an open one, and whose hash is that of what was read: bytes sent = bytes hashed.

    Args:
        path: Where it is; "-" for standard input.
        stdin: What standard input held.
    """

    def __init__(self, path: str, stdin: bytes = b"") -> None:
        self.path = path
        self._stdin = io.BytesIO(stdin)
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
        if self.path == STDIN:
            data = self._stdin.read(size)
        elif self._begun:
            data = b""
        else:
            data = read_path(self.path, ImageLimits(max_bytes=None if size < 0 else size - 1))
        self._begun = True
        self._hash.update(data)
        return data


def read_stdin(paths: Iterable[str]) -> bytes:
    """Return standard input if it is one of the paths, up to one byte more than any image may have.

    It blocks, so that an interrupt gets through: call it before the event loop runs, whose threads an interrupt leaves
    waiting.

    Raises:
        ConfigurationError: Standard input is closed.
    """
    if STDIN not in paths:
        return b""
    # Python leaves None where the shell's <&- has closed it, which type checkers do not know.
    if (stdin := vars(sys)["stdin"]) is None:
        raise ConfigurationError("-: standard input is closed")
    data: bytes = stdin.buffer.read((ImageLimits().max_bytes or 0) + 1)
    return data


def check_paths(paths: Iterable[str], *, folders: bool) -> None:
    """Refuse what would be a mistake, before anything is paid.

    Args:
        paths: Of files and folders; "-" for standard input.
        folders: Whether folders are welcome.

    Raises:
        ConfigurationError: A path is not there, is a folder, or is standard input a second time.
    """
    seen_stdin = False
    for path in paths:
        if path == STDIN:
            if seen_stdin:
                raise ConfigurationError("-: standard input is given twice, and can be read once")
            seen_stdin = True
        elif not Path(path).exists():
            raise ConfigurationError(f"{path}: no such file or folder")
        elif not folders and Path(path).is_dir():
            raise ConfigurationError(f"{path} is a folder; for all images in it use clova-ocr batch")


def input_files(
    paths: Iterable[str], *, recursive: bool = True, stdin: bytes = b"", manifests: Iterable[str] = ()
) -> Iterator[InputFile]:
    """Yield the files of some paths: files as they are, folders by their pictures.

    Args:
        paths: Of files and folders; "-" for standard input.
        recursive: Also the sub-folders of folders.
        stdin: What standard input held.
        manifests: Files that list further ones.
    """
    files = itertools.chain.from_iterable(_files_of(path, stdin, recursive=recursive) for path in paths)
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


def _files_of(path: str, stdin: bytes, *, recursive: bool) -> Iterator[InputFile]:
    if path != STDIN and Path(path).is_dir():
        yield from (InputFile(str(found)) for found in images_in(path, recursive))
    else:
        yield InputFile(path, stdin)
