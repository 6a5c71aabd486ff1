"""Lists of images: a file of paths, and how a record names an image so that it is found again."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.files import open_to_read
from clova_ocr_async.protocol.echo import oddity_of, shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["check_list", "images_from", "paid_in", "record_source", "source_of"]

_LONGEST_LINE = 1024 * 1024  # bytes, its end included
_BOM = b"\xef\xbb\xbf"


class _Record(msgspec.Struct):
    source: Any = None
    source_bytes: Any = None
    billed: Any = False


def images_from(manifest: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the paths that a file lists, as it is read.

    The file holds one path a line, or JSON Lines: one object a line, with the path under ``source``, as the command
    line's output has it; other keys are ignored. Its first line that is not blank decides which. Blank lines are left
    out. Relative paths start at the current folder, wherever the manifest is.

    Args:
        manifest: The file.

    Raises:
        ConfigurationError: It is no regular file, or cannot be read. While it is read: a line names no image; the
            message has its number.
    """
    name = os.fsdecode(manifest)
    _opened(name).close()
    return _images(name)


def check_list(manifest: str | os.PathLike[str]) -> None:
    """Read a list to its end, and refuse a line that is hardly a path and names no file, such as an image in base64.

    Raises:
        ConfigurationError: As ``images_from``; also for such a line, of which the message repeats nothing.
    """
    for _ in _images(os.fsdecode(manifest), _named):
        pass


def paid_in(manifest: str | os.PathLike[str]) -> tuple[int, int]:
    """Return how many images a file lists as paid for, and as perhaps paid for; a list of paths says nothing of that.

    Raises:
        ConfigurationError: As ``images_from``.
    """
    paid = perhaps = 0
    for number, line in _lines(os.fsdecode(manifest)):
        if number == 1 and not line.lstrip().startswith(b"{"):
            break
        try:
            billed = msgspec.json.decode(line, type=_Record).billed
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            continue  # the reading tells it, with its line
        paid += billed is True
        perhaps += billed is None
    return paid, perhaps


def _opened(name: str) -> BinaryIO:
    shown = shown_path(name)
    try:
        descriptor = open_to_read(name)
    except OSError as error:
        raise ConfigurationError(f"{shown}: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError("the manifest's path holds a NUL or another character that no path can hold") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigurationError(f"{shown} is no regular file; a manifest is a file with a path or a record a line")
    return os.fdopen(descriptor, "rb")


def _images(name: str, judged: Callable[[str], str] = str) -> Iterator[Path]:
    path_of: Callable[[bytes], str] | None = None
    for number, line in _lines(name):
        if path_of is None:
            path_of = _path_in_record if line.lstrip().startswith(b"{") else _path_in_line
        try:
            yield Path(judged(path_of(line)))
        except ConfigurationError as error:
            raise ConfigurationError(f"{_place(name, number)}: {error}") from None


def _lines(name: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, with their numbers and without their ends."""
    with _opened(name) as file:
        number = 0
        try:
            while line := file.readline(_LONGEST_LINE + 1):
                number += 1
                if len(line) > _LONGEST_LINE:
                    raise ConfigurationError(f"{_place(name, number)}: it is longer than {_LONGEST_LINE:,} bytes")
                if number == 1:
                    line = line.removeprefix(_BOM)
                if line.strip():
                    yield number, line.removesuffix(b"\n").removesuffix(b"\r")
        except OSError as error:
            raise ConfigurationError(f"{_place(name, number + 1)}: {error.strerror}") from None


def _place(name: str, number: int) -> str:
    return f"{shown_path(name)}, line {number:,}"


def _path_in_line(line: bytes) -> str:
    return _checked(os.fsdecode(line))


def _path_in_record(line: bytes) -> str:
    try:
        record = msgspec.json.decode(line, type=_Record)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        wrong = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
    else:
        return _path(record.source, record.source_bytes)
    # Raised out here, so that what holds the line, and with it what was read, is not even its context.
    raise ConfigurationError(f"it is no record, that is a JSON object with the path under source: {wrong}")


def _written(path: str) -> str:
    r"""Return a path as a record holds it: bytes that are not UTF-8 become \xNN, so that names stay apart."""
    try:
        name = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a str that no file's name decodes to
        name = path.encode("utf-8", "backslashreplace")
    return name.decode("utf-8", "backslashreplace")


def record_source(path: str) -> dict[str, str]:
    """Return what a record says of an image's path, so that ``source_of`` finds it again.

    Args:
        path: The path as it was given.

    Returns:
        ``source``, the path as text can hold it; and ``source_bytes``, base64 of the name's bytes where they are not
        UTF-8.
    """
    written = _written(path)
    if written == path:
        return {"source": written}
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:  # a str that can name no file
        return {"source": written}
    return {"source": written, "source_bytes": base64.b64encode(name).decode()}


def source_of(record: Mapping[str, object]) -> str:
    """Return the path that a record names; the inverse of ``record_source``.

    Args:
        record: The record; keys other than ``source`` and ``source_bytes`` are ignored.

    Raises:
        ConfigurationError: It names no path.
    """
    return _path(record.get("source"), record.get("source_bytes"))


def _path(source: object, source_bytes: object) -> str:
    if source is None:
        raise ConfigurationError("it has no source")
    if not isinstance(source, str):
        raise ConfigurationError(f"source is a {type(source).__name__}; it must be a string")
    return _checked(source if source_bytes is None else _decoded(source_bytes))


def _decoded(source_bytes: object) -> str:
    try:
        if isinstance(source_bytes, str):
            return os.fsdecode(base64.b64decode(source_bytes, validate=True))
    except (binascii.Error, ValueError):  # the second for characters outside ASCII
        pass
    raise ConfigurationError("source_bytes is no base64; it must hold the bytes of the path, or not be there")


def _named(path: str) -> str:
    odd = oddity_of(path)
    if odd is not None and not os.path.exists(path):  # noqa: PTH110 - a Path raises where a name is too long
        raise ConfigurationError(f"it is {odd.what}, not a path; a list holds the path of an image a line")
    return path


def _checked(path: str) -> str:
    if not path:
        raise ConfigurationError("the path is empty")
    if "\0" in path:
        raise ConfigurationError("it holds a NUL, which no path can; if the file is UTF-16, save it as UTF-8")
    return path
