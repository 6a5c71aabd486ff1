"""How an answer is stored: compressed where that saves room, then sealed."""

from __future__ import annotations

import zlib

__all__ = ["PackingError", "pack", "unpack"]

_WORTH_IT = 1024  # bytes; below that little is saved
_LEVEL = 1  # twice as quick as the usual level, and nearly as small for what answers are made of


class PackingError(ValueError):
    """Packed bytes are not what was packed."""


def pack(body: bytes) -> tuple[bytes, int | None]:
    """Return an answer's body as it is stored, and its size before that; None for the size if it is stored as it is."""
    if len(body) <= _WORTH_IT:
        return body, None
    packed = zlib.compress(body, _LEVEL)
    return (packed, len(body)) if len(packed) < len(body) else (body, None)


def unpack(stored: bytes, size: int | None) -> bytes:
    """Return an answer's body.

    Args:
        stored: As ``pack`` returned it.
        size: As ``pack`` returned it; no more than that is unpacked, whatever the bytes are.

    Raises:
        PackingError: The bytes were changed.
    """
    if size is None:
        return stored
    unpacking = zlib.decompressobj()
    try:
        body = unpacking.decompress(stored, max(size, 0) + 1)  # one more, or it does not come to the checksum
    except zlib.error:
        body = b""
    if len(body) != size or not unpacking.eof:
        raise PackingError(f"{len(stored):,} bytes do not unpack to {size:,}")
    return body
