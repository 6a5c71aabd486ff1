"""Which images a command reads."""

from __future__ import annotations

import hashlib
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from clova_ocr_async.batch.sources import images_in
from clova_ocr_async.client.reading import read_path
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["InputFile", "input_files"]

STDIN = "-"


class InputFile:
    """A file the client reads like an open one, and whose hash is that of what was read: bytes sent = bytes hashed.

    Args:
        path: Where it is; "-" for standard input.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._hash = hashlib.sha256()
        self._begun = False

    @property
    def name(self) -> str:
        """The path, as open files have it."""
        return "stdin" if self.path == STDIN else self.path

    @property
    def sha256(self) -> str | None:
        """Of what was read, in hex; None before."""
        return self._hash.hexdigest() if self._begun else None

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; a file that has more than it is asked for is refused by its size."""
        if self.path == STDIN:
            data = sys.stdin.buffer.read(size)
        elif self._begun:
            data = b""
        else:
            data = read_path(self.path, ImageLimits(max_bytes=None if size < 0 else size - 1))
        self._begun = True
        self._hash.update(data)
        return data


def input_files(paths: Iterable[str], *, recursive: bool = True) -> Iterator[InputFile]:
    """Yield the files of some paths: files as they are, folders by their pictures.

    Raises:
        ConfigurationError: A path is not there.
    """
    checked = [_checked(path) for path in paths]
    return itertools.chain.from_iterable(_files_of(path, recursive=recursive) for path in checked)


def _checked(path: str) -> str:
    if path != STDIN and not Path(path).exists():
        raise ConfigurationError(f"{path}: no such file or folder")
    return path


def _files_of(path: str, *, recursive: bool) -> Iterator[InputFile]:
    if path != STDIN and Path(path).is_dir():
        yield from (InputFile(str(found)) for found in images_in(path, recursive))
    else:
        yield InputFile(path)
