"""Images of a one-shot run, hashed while they are read, so that each line has the hash of the file that was sent."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clova_ocr_async.client.image_bytes import read_path
from clova_ocr_async.host.archives import ArchiveError, hash_member, split_member_path, stat_file
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    from clova_ocr_async.documents import Document

__all__ = ["STDIN", "InputFile", "InputPage", "LastFileHash"]

STDIN = "-"
"""The path that means standard input."""


class InputFile:
    """A file that the client reads like an open one; it is hashed while it is read, so the hash is of the bytes sent.

    Args:
        path: Its path; "-" for standard input.
        piped: Its content, if it can be read only once.
        document: The class of its document; None if all images of the command have one.
        columns: The columns of its own that a list gave it, as a JSON object; empty if there are none.

    Attributes:
        page: None, as it is a whole file.
    """

    page: int | None = None

    def __init__(
        self,
        path: str,
        piped: bytes | None = None,
        document: type[Document] | None = None,
        columns: bytes = b"",
    ) -> None:
        self.path = path
        self.document = document
        self.columns = columns
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
            # The client asks for one byte more than it allows; so a file of a gigabyte is refused without being read.
            data = read_path(self.path, ImageLimits(max_bytes=None if size < 0 else size - 1))
        self._begun = True
        self._hash.update(data)
        return data


class LastFileHash:
    """The hash of the file whose pages were read last: a file is not hashed again for each of its pages."""

    def __init__(self) -> None:
        self._last: tuple[object, str] | None = None
        self._lock = threading.Lock()

    def of(self, path: str) -> str | None:
        """Return the hash of a file in hex; None if it cannot be read."""
        try:
            found = stat_file(path)
            # A scanner may write the next scan under the same name.
            key = (path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
            with self._lock:
                if self._last is None or self._last[0] != key:
                    self._last = (key, _hash_file(path))
                return self._last[1]
        except (OSError, ValueError, ArchiveError):
            return None


def _hash_file(path: str) -> str:
    # As it is read, whatever its size.
    if (member := split_member_path(path)) is not None:
        return hash_member(*member).hex()
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path takes longer
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class InputPage(Page):
    """A page of a file, with what its line needs.

    Attributes:
        document: The class of its document; None if all images of the command have one.
        columns: The columns of its own that a list gave it, as a JSON object; empty if there are none.
        hashes: Hashes its file.
    """

    document: type[Document] | None = None
    columns: bytes = field(default=b"", repr=False)
    hashes: LastFileHash = field(default_factory=LastFileHash, compare=False, repr=False)

    @property
    def page(self) -> int:
        """The page of the file, from 1."""
        return self.number

    @property
    def shown(self) -> str:
        """The path and the page, as messages show them."""
        return f"{shown_path(os.fsdecode(self.path))}#{self.number}"

    @property
    def sha256(self) -> str | None:
        """The hash of the bytes of its file, in hex; None if that cannot be read."""
        return self.hashes.of(os.fsdecode(self.path))
