"""Inputs that can be read only once: standard input, pipes, and the process substitution <(…) of shells."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from clova_ocr_async.cli.terminal.output_target import STANDARD, named_descriptor
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

__all__ = ["check_once", "is_piped", "read_piped", "spooled"]


def is_piped(path: str) -> bool:
    """Return whether a path leads to something that can be read only once."""
    if path == STANDARD:
        return True
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):  # the reading names the error
        return False
    if stat.S_ISFIFO(mode):
        return True
    # A device or a socket in the file system is refused as an image. An open descriptor of one, as standard input may
    # be, is read.
    return named_descriptor(path) is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def check_once(paths: Iterable[str]) -> None:
    """Refuse an input that can be read only once and is given twice, also under two names.

    Raises:
        ConfigurationError: A pipe or standard input is given twice.
    """
    seen: set[object] = set()
    for path in filter(is_piped, paths):
        # "-", /dev/stdin and /dev/fd/0 are one input under three names.
        known = 0 if path == STANDARD else named_descriptor(path)
        if (which := path if known is None else known) in seen:
            name = "standard input" if which == 0 else "a pipe"
            raise ConfigurationError(f"{path}: {name} is given twice, and can be read once")
        seen.add(which)


def read_piped(paths: Iterable[str], most: int = (ImageLimits().max_bytes or 0) + 1) -> dict[str, bytes]:
    """Return the contents of those paths that can be read only once.

    The call blocks, and a signal interrupts it. Call it before the event loop runs: a signal does not interrupt the
    threads of a loop.

    Args:
        paths: Paths of images.
        most: Bytes that are read of each; one more than any image may have.

    Raises:
        ConfigurationError: An input cannot be read.
    """
    read: dict[str, bytes] = {}
    for path in filter(is_piped, paths):
        with _opened(path) as stream:
            read[path] = stream.read(most)
    return read


@contextmanager
def spooled(manifests: Sequence[str]) -> Generator[tuple[str, ...]]:
    """Replace lists that can be read only once by temporary copies, for as long as the context is open.

    A list is read several times: it is checked, counted and read.

    Args:
        manifests: Paths of the lists.

    Raises:
        ConfigurationError: A list cannot be read.
    """
    if not any(map(is_piped, manifests)):  # not every machine has a folder for temporary files
        yield tuple(manifests)
        return
    with tempfile.TemporaryDirectory(prefix="clova-ocr-") as folder:
        copies = {path: _copy(path, Path(folder)) for path in manifests if is_piped(path)}
        try:
            yield tuple(copies.get(path, path) for path in manifests)
        except ConfigurationError as error:  # it may name the copy, which the user has never seen
            message = str(error)
            for path, copy in copies.items():
                message = message.replace(shown_path(copy), "standard input" if path == STANDARD else shown_path(path))
            error.args = (message,)
            raise


def _copy(path: str, folder: Path) -> str:
    copy = folder / path.strip(os.sep).replace(os.sep, "-")
    with _opened(path) as stream, copy.open("wb") as file:
        shutil.copyfileobj(stream, file)
    return str(copy)


@contextmanager
def _opened(path: str) -> Generator[BinaryIO]:
    if path == STANDARD:
        # Python leaves None where the shell's <&- has closed it, which type checkers do not know.
        if (stdin := vars(sys)["stdin"]) is None:
            raise ConfigurationError("-: standard input is closed")
        yield cast("BinaryIO", stdin.buffer)
        return
    descriptor = named_descriptor(path)
    try:
        # A copy: closing it leaves the shell's own descriptor open.
        with open(path if descriptor is None else os.dup(descriptor), "rb") as stream:  # noqa: PTH123 - Path does not open a descriptor
            yield stream
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
