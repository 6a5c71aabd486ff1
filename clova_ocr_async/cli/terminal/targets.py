"""What the name of an output stands for, looked at before anything is written.

A regular file is replaced as a whole: written under a temporary name beside it, then renamed. A rename puts a regular
file in the place of whatever has the name, so it must never reach a device, a FIFO or a socket; those are written to
directly. A name that stands for an open descriptor of this process (/dev/stdout, /dev/fd/63) is that descriptor,
whatever it leads to: opening it again fails for a socket, and would truncate or replace a redirected file.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from clova_ocr_async.errors import ConfigurationError

__all__ = ["STANDARD", "Target", "check_ending", "find_target", "open_descriptor"]

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
"""What the ending of a file's name promises, for the endings that other programs go by."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the name of an output stands for.

    Attributes:
        name: The name as it was given.
        place: The file it leads to, symbolic links followed; a link stays where it is.
        occupied: Whether writing there would overwrite something, be it a link that leads nowhere.
        direct: Whether the lines are written into what is there (a device, a FIFO, an open descriptor).
        descriptor: The open descriptor that the name stands for; None for a name in the file system.
    """

    name: str
    place: Path
    occupied: bool = False
    direct: bool = False
    descriptor: int | None = None


def find_target(name: str) -> Target:
    """Look at what the name of an output stands for.

    Raises:
        ConfigurationError: Nothing can be written there: a folder, a socket, a descriptor that is closed or only read
            from, a bad path.
    """
    if "\0" in name:
        raise ConfigurationError("the name of the output holds a NUL, which no path can")
    try:
        if (descriptor := open_descriptor(name)) is not None:
            os.write(descriptor, b"")  # fails where nothing can be written, before anything is paid for
            return Target(name, Path(name), direct=True, descriptor=descriptor)
        return _in_file_system(name)
    except OSError as error:
        raise ConfigurationError(f"{name or 'an empty name'}: {error.strerror}") from None


def _in_file_system(name: str) -> Target:
    try:
        mode = os.stat(name).st_mode  # noqa: PTH116 - Path would drop a slash at the end, which says "a folder"
    except FileNotFoundError:
        if not name or name.endswith(os.sep):
            raise
        return Target(name, _place(name), occupied=os.path.lexists(name))
    if stat.S_ISDIR(mode):
        raise ConfigurationError(f"{name} is a folder; give the name of a file in it")
    if stat.S_ISSOCK(mode):
        raise ConfigurationError(
            f"{name} is a socket, which cannot be opened as a file; write to standard output (-o -) and pipe it there"
        )
    passing = stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)  # they hold nothing that could be overwritten; a disk does
    return Target(name, _place(name), occupied=not passing, direct=not stat.S_ISREG(mode))


def _place(name: str) -> Path:
    """Return the file that a name leads to; one that is not a link stays as it was given."""
    return Path(os.path.realpath(name)) if os.path.islink(name) else Path(name)  # noqa: PTH114 - as above


def open_descriptor(name: str) -> int | None:
    """Return the descriptor of this process that a name such as /dev/stdout or /dev/fd/63 stands for.

    Symbolic links are followed one at a time: at the end of them all stands what the descriptor leads to.

    Returns:
        Its number; None for any other name.
    """
    for _ in range(_MOST_LINKS):
        plain = os.path.normpath(name)
        if plain in _STANDARD_STREAMS:
            return _STANDARD_STREAMS[plain]
        if (found := _DESCRIPTOR.fullmatch(plain)) and found[1] in {None, str(os.getpid())}:
            return int(found[2])
        try:
            link = os.readlink(name)  # noqa: PTH115 - of the very text
        except OSError:  # not a link; what is wrong with the name is found when it is opened
            return None
        name = os.path.join(os.path.dirname(name), link)  # noqa: PTH118, PTH120 - of the very text
    return None


def check_ending(name: str, format_: str, others: tuple[str, ...] = ()) -> None:
    """Refuse a name whose ending promises another format than is written; an unknown ending promises nothing.

    Args:
        name: The name of the output.
        format_: What is written.
        others: Further formats that the command can write.

    Raises:
        ConfigurationError: The ending and the format do not fit; the message names the way out.
    """
    ending = Path(name).suffix.lower()
    promised = _FORMATS.get(ending, format_)
    if promised != format_:
        fitting = next(known for known, of in _FORMATS.items() if of == format_)
        instead = f", or --format {promised}" if promised in others else ""
        raise ConfigurationError(
            f"{name} ends in {ending}, and {_WRITTEN[format_]} are written; give a name that ends in {fitting}{instead}"
        )


_WRITTEN = {"jsonl": "JSON Lines (a record a line)"}
