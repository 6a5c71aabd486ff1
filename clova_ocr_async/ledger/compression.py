"""Compression of stored answers; encryption (``seal``) comes after it."""

from __future__ import annotations

import zlib

__all__ = ["CompressionError", "compress", "decompress"]

_WORTH_IT = 1024  # bytes; below that little is saved
_LEVEL = 1  # twice as fast as the default level, and nearly as small for JSON of this kind


class CompressionError(ValueError):
    """A stored body does not decompress to its size."""


def compress(body: bytes) -> tuple[bytes, int | None]:
    """Return a body as it is stored, and its size before compression; None for the size if it stays uncompressed."""
    if len(body) <= _WORTH_IT:
        return body, None
    compressed = zlib.compress(body, _LEVEL)
    return (compressed, len(body)) if len(compressed) < len(body) else (body, None)


def decompress(stored: bytes, size: int | None) -> bytes:
    """Return a body.

    Args:
        stored: As ``compress`` returned it.
        size: As ``compress`` returned it; an upper bound, so that changed bytes cannot fill the memory.

    Raises:
        CompressionError: The bytes were changed.
    """
    if size is None:
        return stored
    decompressor = zlib.decompressobj()
    try:
        body = decompressor.decompress(stored, max(size, 0) + 1)  # one more, so that it reads the checksum
    except zlib.error:
        body = b""
    if len(body) != size or not decompressor.eof:
        raise CompressionError(f"{len(stored):,} bytes do not decompress to {size:,}")
    return body
