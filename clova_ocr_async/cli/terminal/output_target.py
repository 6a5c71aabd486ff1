"""Target of an output: the file, device, FIFO or open descriptor that its name leads to, checked before any write.

A regular file is replaced as a whole: it is written under a temporary name beside it, then renamed. A rename puts a
regular file in the place of anything that has the name, so it must never reach a device, a FIFO or a socket; those are
written to directly. A name such as /dev/stdout or /dev/fd/63 is an open descriptor of this process, and is written to
as that descriptor: opening the name again fails for a socket, and would truncate or replace a redirected file.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from clova_ocr_async.errors import ConfigurationError

__all__ = ["STANDARD", "OutputTarget", "check_ending", "inspect_target", "named_descriptor"]

STANDARD = "-"
"""The name of standard output among outputs, and of standard input among inputs."""

_STANDARD_STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/(?:self|thread-self|(\d+)))/fd/(\d+)", re.ASCII)
_MOST_LINKS = 40  # as Linux follows them

_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".xlsx": "xlsx",
    ".xls": "xls",
    ".ods": "ods",
    ".parquet": "parquet",
    ".feather": "feather",
    ".html": "html",
    ".xml": "xml",
    ".pdf": "pdf",
    ".gz": "gzip",
    ".zip": "zip",
    ".zst": "zstd",
    ".bz2": "bzip2",
    ".xz": "xz",
}
"""Formats by the ending of a file's name, for the endings that other programs recognize."""


@dataclass(frozen=True, slots=True)
class OutputTarget:
    """The file, device, FIFO or descriptor that the name of an output leads to.

    Attributes:
        name: The name as it was given.
        path: The file it leads to; symbolic links are followed, and not replaced.
        occupied: Whether a write would overwrite something, which may be a broken link.
        direct: Whether lines are written without a new file: to a device, a FIFO or an open descriptor.
        descriptor: The open descriptor that the name means; None for a name in the file system.
    """

    name: str
    path: Path
    occupied: bool = False
    direct: bool = False
    descriptor: int | None = None


def inspect_target(name: str) -> OutputTarget:
    """Return the target of an output's name.

    Raises:
        ConfigurationError: The target cannot be written to: a folder, a socket, a descriptor that is closed or open for
            reading only, a bad path.
    """
    if "\0" in name:
        raise ConfigurationError("the name of the output holds a NUL, which no path can")
    try:
        if (descriptor := named_descriptor(name)) is not None:
            os.write(descriptor, b"")  # fails for a descriptor without write access, before anything is paid for
            return OutputTarget(name, Path(name), direct=True, descriptor=descriptor)
        return _in_file_system(name)
    except OSError as error:
        raise ConfigurationError(f"{name or 'an empty name'}: {error.strerror}") from None


def _in_file_system(name: str) -> OutputTarget:
    try:
        mode = os.stat(name).st_mode  # noqa: PTH116 - Path would drop a slash at the end, which means a folder
    except FileNotFoundError:
        if not name or name.endswith(os.sep):
            raise
        return OutputTarget(name, _final_path(name), occupied=os.path.lexists(name))
    if stat.S_ISDIR(mode):
        raise ConfigurationError(f"{name} is a folder; give the name of a file in it")
    if stat.S_ISSOCK(mode):
        raise ConfigurationError(
            f"{name} is a socket, which cannot be opened as a file; write to standard output (-o -) and pipe it there"
        )
    holds_nothing = stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)  # a block device has content that would be overwritten
    return OutputTarget(name, _final_path(name), occupied=not holds_nothing, direct=not stat.S_ISREG(mode))


def _final_path(name: str) -> Path:
    """Return the file that a name leads to; a name that is not a link stays as it was given."""
    return Path(os.path.realpath(name)) if os.path.islink(name) else Path(name)  # noqa: PTH114 - as above


def named_descriptor(name: str) -> int | None:
    """Return the open descriptor of this process that a name such as /dev/stdout or /dev/fd/63 means.

    Symbolic links are followed one at a time: following all of them would lead to the descriptor's file.

    Returns:
        The descriptor's number; None for any other name.
    """
    for _ in range(_MOST_LINKS):
        plain = os.path.normpath(name)
        if plain in _STANDARD_STREAMS:
            return _STANDARD_STREAMS[plain]
        # The descriptors of another process lead to files, which are opened by their names.
        if (found := _DESCRIPTOR.fullmatch(plain)) and found[1] in {None, str(os.getpid())}:
            return int(found[2])
        try:
            link = os.readlink(name)  # noqa: PTH115 - Path would normalize the text
        except OSError:  # not a link; an error in the name is found when it is opened
            return None
        name = os.path.join(os.path.dirname(name), link)  # noqa: PTH118, PTH120 - as above
    return None


def check_ending(name: str, format_: str, others: tuple[str, ...] = ()) -> None:
    """Refuse a name whose ending belongs to another format than the one that is written; an unknown ending fits any.

    Args:
        name: The name of the output.
        format_: The format that is written.
        others: Further formats that the command can write.

    Raises:
        ConfigurationError: The ending and the format do not fit; the message names the way out.
    """
    ending = Path(name).suffix.lower()
    expected = _FORMATS.get(ending, format_)
    if expected != format_:
        fitting = next(known for known, of in _FORMATS.items() if of == format_)
        way_out = f"give a name that ends in {fitting}" + (f", or --format {expected}" if expected in others else "")
        raise ConfigurationError(f"{name} ends in {ending}, and {_FORMAT_NAMES[format_]} are written; {way_out}")


_FORMAT_NAMES = {
    "jsonl": "JSON Lines (a record a line)",
    "csv": "tables as CSV",
    "xlsx": "tables as XLSX",
    "parquet": "tables as Parquet",
    "html": "pages of HTML",
}
