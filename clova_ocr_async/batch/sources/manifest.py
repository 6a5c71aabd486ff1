"""Manifests: files that list paths of images, and records that name an image so that it is found again."""

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
from clova_ocr_async.protocol.echoed_input import non_path, shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["billed_in", "check_list", "images_from", "record_source", "source_of"]

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
        ConfigurationError: It is not a regular file, or cannot be read. While it is read: a line names no image; the
            message has its number.
    """
    name = os.fsdecode(manifest)
    _open(name).close()
    return _images(name)


def check_list(manifest: str | os.PathLike[str]) -> None:
    """Read a manifest to its end, and refuse a line that does not look like a path and names no file, such as base64.

    Raises:
        ConfigurationError: As ``images_from``; also for such a line, which the message does not repeat.
    """
    for _ in _images(os.fsdecode(manifest), _checked_path):
        pass


def billed_in(manifest: str | os.PathLike[str]) -> tuple[int, int]:
    """Return how many images a manifest lists as billed, and as maybe billed; none if it is a list of paths.

    Raises:
        ConfigurationError: As ``images_from``.
    """
    billed = maybe_billed = 0
    for number, line in _lines(os.fsdecode(manifest)):
        if number == 1 and not line.lstrip().startswith(b"{"):
            break
        try:
            record = msgspec.json.decode(line, type=_Record)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            continue  # reported with its line when the images are read
        billed += record.billed is True
        maybe_billed += record.billed is None
    return billed, maybe_billed


def _open(name: str) -> BinaryIO:
    shown = shown_path(name)
    try:
        descriptor = open_to_read(name)
    except OSError as error:
        raise ConfigurationError(f"{shown}: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError("the manifest's path holds a NUL or another character that no path can hold") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigurationError(f"{shown} is not a regular file; a manifest is a file with a path or a record a line")
    return os.fdopen(descriptor, "rb")


def _images(name: str, check: Callable[[str, bool], str] = lambda path, _: path) -> Iterator[Path]:
    path_of: Callable[[bytes], str] | None = None
    for number, line in _lines(name):
        if path_of is None:
            path_of = _path_in_record if line.lstrip().startswith(b"{") else _path_in_line
        try:
            yield Path(check(path_of(line), path_of is _path_in_line))
        except ConfigurationError as error:
            raise ConfigurationError(f"{_place(name, number)}: {error}") from None


def _lines(name: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, with their numbers and without their ends."""
    with _open(name) as file:
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
        if not _is_utf8(line):
            wrong = _other_encoding(line)
    else:
        return _path(record.source, record.source_bytes)
    # Raised out here, because the decoder's error holds the line, and would be the context of this one.
    raise ConfigurationError(f"it is not a record, that is a JSON object with the path under source: {wrong}")


def _as_text(path: str) -> str:
    r"""Return a path as text: bytes that are not UTF-8 become \xNN, so that different names stay different."""
    try:
        name = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a str that is not the decoded name of any file
        name = path.encode("utf-8", "backslashreplace")
    return name.decode("utf-8", "backslashreplace")


def record_source(path: str) -> dict[str, str]:
    """Return the keys of a record that name an image, so that ``source_of`` finds it again.

    Args:
        path: The path as it was given.

    Returns:
        ``source``, the path as text can hold it; and ``source_bytes``, base64 of the name's bytes where they are not
        UTF-8.
    """
    text = _as_text(path)
    if text == path:
        return {"source": text}
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:  # a str that cannot name a file
        return {"source": text}
    return {"source": text, "source_bytes": base64.b64encode(name).decode()}


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
    raise ConfigurationError("source_bytes is not base64; it must hold the bytes of the path, or be left out")


def _checked_path(path: str, in_line: bool) -> str:  # noqa: FBT001 - for one caller
    if os.path.exists(path):  # noqa: PTH110 - a Path raises where a name is too long
        return path
    if (odd := non_path(path)) is not None:
        raise ConfigurationError(f"it is {odd.what}, not a path; a manifest holds one path a line")
    # A record names the bytes of a name that is not UTF-8, so there it is no slip.
    if in_line and not _is_utf8(name := os.fsencode(path)):
        raise ConfigurationError(f"no file has this name, and {_other_encoding(name)}")
    return path


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _other_encoding(line: bytes) -> str:
    """Return what is wrong with a line that is not UTF-8, and the way out."""
    try:
        line.decode("cp949")
    except UnicodeDecodeError:
        return "it is not UTF-8; save the list as UTF-8"
    return (
        "it is not UTF-8 but perhaps CP949, as Excel on Korean Windows writes it; save the list as UTF-8, "
        "or convert it: iconv -f CP949 -t UTF-8 LIST > NEW_LIST"
    )


def _checked(path: str) -> str:
    if not path:
        raise ConfigurationError("the path is empty")
    if "\0" in path:
        raise ConfigurationError("it holds a NUL, which a path cannot; if the file is UTF-16, save it as UTF-8")
    return path
