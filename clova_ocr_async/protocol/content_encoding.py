"""The body of an answer without its Content-Encoding: in bounded memory, and never at the cost of the bytes.

An answer is paid for before its encoding is looked at. So what cannot be decoded is returned as it came, and what is
JSON as it came is taken so, whatever the header says of it.
"""

from __future__ import annotations

import zlib

__all__ = ["decoded"]

_GZIP, _ZLIB, _DEFLATE = 31, 15, -15  # zlib's names for its formats
_FORMATS = {"gzip": (_GZIP,), "x-gzip": (_GZIP,), "deflate": (_ZLIB, _DEFLATE)}  # servers send both as "deflate"
_GZIP_MARK = b"\x1f\x8b"
_MOST_MEMBERS = 100  # of gzip; each is a copy of what is left
_MOST_ENCODINGS = 3  # one on top of the other; each may blow up what the one before left
_BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"


def decoded(body: bytes, encoding: str, most: int) -> tuple[bytes, str | None]:
    """Return a body without its Content-Encoding.

    Args:
        body: As it came, or as far as it came.
        encoding: The header; empty if there was none.
        most: Bytes to return at the most.

    Returns:
        The body, and why it is not the whole and decoded one; None if it is.
    """
    names = [name for part in encoding.lower().split(",") if (name := part.strip()) not in {"", "identity"}]
    if not names or not body:
        return body, None
    plain: bytes | None = body
    whole = True
    for name in reversed(names):
        plain, ended = _inflated(plain, name, most) if plain is not None else (None, False)
        whole = whole and ended
    if plain is None or len(names) > _MOST_ENCODINGS or not (plain or whole):
        flaw = None if body.lstrip(_BEFORE_JSON)[:1] in {b"{", b"["} else "its Content-Encoding cannot be decoded here"
        return body, flaw
    if len(plain) > most:
        return plain[:most], f"it is larger than {most // 1024**2} MiB"
    return plain, None if whole else "its compressed data breaks off"


def _inflated(body: bytes, name: str, most: int) -> tuple[bytes | None, bool]:
    """Return a body without one encoding, and whether that came to its end; None if the body does not have it."""
    for window in _FORMATS.get(name, ()):
        try:
            return _inflated_as(body, window, most)
        except zlib.error:
            continue
    return None, False


def _inflated_as(body: bytes, window: int, most: int) -> tuple[bytes, bool]:
    """Return a body without one format, up to one byte more than allowed; gzip may come in several members.

    Raises:
        zlib.error: It does not have that format. Deflate has no mark that tells, so of it only the whole will do.
    """
    inflater = zlib.decompressobj(window)
    found = inflater.decompress(body, most + 1)
    if window == _DEFLATE and (inflater.unused_data or not (inflater.eof or len(found) > most)):
        raise zlib.error
    for _ in range(_MOST_MEMBERS):
        if window != _GZIP or not inflater.unused_data.startswith(_GZIP_MARK) or len(found) > most:
            return found, inflater.eof
        rest, inflater = inflater.unused_data, zlib.decompressobj(window)
        found += inflater.decompress(rest, most + 1 - len(found))
    return found, False
