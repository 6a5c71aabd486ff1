"""Encodings of text files: whether a file is in one, found in bounded memory."""

from __future__ import annotations

import codecs
from typing import BinaryIO

__all__ = ["is_in_encoding"]

_PART = 1024 * 1024  # bytes that are decoded together


def is_in_encoding(file: BinaryIO, encoding: str) -> bool:
    """Return whether all of a file is text in an encoding; the file is at its end, or at the fault, then.

    Raises:
        OSError: The file cannot be read.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    file.seek(0)
    try:
        # All of it: the first name in Hangul may come after a million in ASCII.
        while part := file.read(_PART):
            decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
