"""Decompression of an answer's body, in bounded memory, without losing the bytes.

An answer is paid before it is decompressed. So a body that cannot be decompressed is returned as it is. A body that is
JSON already is accepted, whatever its Content-Encoding.
"""

from __future__ import annotations

import zlib

__all__ = ["decode_body"]

_GZIP, _ZLIB, _DEFLATE = 31, 15, -15  # zlib's names for its formats
_FORMATS = {"gzip": (_GZIP,), "x-gzip": (_GZIP,), "deflate": (_ZLIB, _DEFLATE)}  # servers send both as "deflate"
_GZIP_MARK = b"\x1f\x8b"
_MAX_MEMBERS = 100  # of gzip; each costs a copy of the rest
_MAX_ENCODINGS = 3  # nested; each may expand the result of the one before
_BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"


def decode_body(body: bytes, encoding: str, max_bytes: int) -> tuple[bytes, str | None]:
    """Return a body without its Content-Encoding.

    Args:
        body: The body as far as it was received.
        encoding: The header; empty if there is none.
        max_bytes: Bytes to return at the most.

    Returns:
        The body, and the reason why it is incomplete or still encoded; None if it is neither.
    """
    names = [name for part in encoding.lower().split(",") if (name := part.strip()) not in {"", "identity"}]
    if not names or not body:
        return body, None
    plain: bytes | None = body
    complete = True
    for name in reversed(names):
        plain, ended = _inflated(plain, name, max_bytes) if plain is not None else (None, False)
        complete = complete and ended
    if plain is None or len(names) > _MAX_ENCODINGS or not (plain or complete):
        flaw = None if body.lstrip(_BEFORE_JSON)[:1] in {b"{", b"["} else "its Content-Encoding cannot be decoded here"
        return body, flaw
    if len(plain) > max_bytes:
        return plain[:max_bytes], f"it is larger than {max_bytes // 1024**2} MiB"
    return plain, None if complete else "its compressed data breaks off"


def _inflated(body: bytes, name: str, max_bytes: int) -> tuple[bytes | None, bool]:
    """Return a body without one encoding, and whether its end was reached; None if it is not so encoded."""
    for window in _FORMATS.get(name, ()):
        try:
            return _inflated_as(body, window, max_bytes)
        except zlib.error:
            continue
    return None, False


def _inflated_as(body: bytes, window: int, max_bytes: int) -> tuple[bytes, bool]:
    """Inflate one format, up to one byte more than allowed; gzip may consist of several members.

    Raises:
        zlib.error: The body is not of that format. Deflate has no signature, so it is accepted only if complete.
    """
    inflater = zlib.decompressobj(window)
    found = inflater.decompress(body, max_bytes + 1)
    if window == _DEFLATE and (inflater.unused_data or not (inflater.eof or len(found) > max_bytes)):
        raise zlib.error
    for _ in range(_MAX_MEMBERS):
        if window != _GZIP or not inflater.unused_data.startswith(_GZIP_MARK) or len(found) > max_bytes:
            return found, inflater.eof
        rest, inflater = inflater.unused_data, zlib.decompressobj(window)
        found += inflater.decompress(rest, max_bytes + 1 - len(found))
    return found, False
