"""Lines of a list, in UTF-8 whatever the encoding of its file, with their numbers."""

from __future__ import annotations

import codecs
import io
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.encodings import is_in_encoding
from clova_ocr_async.host.files import open_to_read
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CP949", "UTF8", "encoding_of", "is_utf8", "lines_of", "open_manifest", "other_encoding", "place"]

UTF8, CP949, _UTF16 = "utf-8", "cp949", "utf-16"

_BINARY = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # XLSX, ODS and other zip archives; XLS
_LONGEST_LINE = 1024 * 1024  # bytes, its end included; characters in UTF-16. An image in base64 may be in the list


def open_manifest(name: str) -> BinaryIO:
    """Open a list.

    Raises:
        ConfigurationError: It is not a regular file, or cannot be read.
    """
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


def encoding_of(name: str) -> str:
    """Return the encoding of a list: UTF-8; UTF-16 with its mark; CP949 if all of it may be that and it is not UTF-8.

    A list in no encoding is UTF-8 with names that are not text.

    Raises:
        ConfigurationError: As ``open_manifest``; or it is a workbook or an archive.
    """
    with open_manifest(name) as file:
        try:
            start = file.read(4)
            if start in _BINARY:
                raise ConfigurationError(
                    f"{shown_path(name)} is a workbook or an archive, and a manifest is text; save the list as CSV"
                )
            if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                return _UTF16
            return next((encoding for encoding in (UTF8, CP949) if is_in_encoding(file, encoding)), UTF8)
        except OSError as error:
            raise ConfigurationError(f"{shown_path(name)}: {error.strerror}") from None


def lines_of(name: str, encoding: str) -> Iterator[tuple[int, bytes]]:
    """Yield all lines with their numbers and ends, in UTF-8 or, if ``encoding`` is that, as they are.

    Raises:
        ConfigurationError: The file cannot be read, or a line is too long; the message has its number.
    """
    with open_manifest(name) as file:
        number = 0
        try:
            for line in _decoded(file) if encoding == _UTF16 else iter(lambda: file.readline(_LONGEST_LINE + 1), b""):
                number += 1
                if len(line) > _LONGEST_LINE:
                    raise ConfigurationError(f"{place(name, number)}: it is longer than {_LONGEST_LINE:,} bytes")
                if number == 1:  # Notepad and Excel put a mark there, which is not part of the first name
                    line = line.removeprefix(codecs.BOM_UTF8)  # noqa: PLW2901 - the same line
                yield number, line.decode(CP949).encode() if encoding == CP949 else line
        except OSError as error:
            raise ConfigurationError(f"{place(name, number + 1)}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(
                f"{shown_path(name)}: it begins like a file in UTF-16 and is not one; save the list as UTF-8"
            ) from None


def _decoded(file: BinaryIO) -> Iterator[bytes]:
    # "\n" alone ends a line, as in the other encodings, so that the numbers in messages are those of an editor.
    with io.TextIOWrapper(file, encoding=_UTF16, newline="\n") as text:
        while line := text.readline(_LONGEST_LINE + 1):
            yield line.encode("utf-8", "surrogatepass")  # names on disks of Windows may hold half a surrogate pair


def place(name: str, number: int) -> str:
    """Return where a line is, for messages."""
    return f"{shown_path(name)}, line {number:,}"


def is_utf8(line: bytes) -> bool:
    """Return whether bytes are text in UTF-8."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def other_encoding(line: bytes) -> str:
    """Return what is wrong with a line that is not UTF-8, and the way out."""
    try:
        line.decode(CP949)
    except UnicodeDecodeError:
        return "it is not UTF-8; save the list as UTF-8"
    return (
        "it is not UTF-8 but may be CP949, as Excel on Korean Windows writes it; save the list as UTF-8, "
        "or convert it: iconv -f CP949 -t UTF-8 LIST > NEW_LIST"
    )
