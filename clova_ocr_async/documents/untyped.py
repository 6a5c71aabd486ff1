"""Decoding of JSON to plain values, for answers that no struct fits."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

import msgspec

__all__ = ["UNREADABLE", "is_array", "is_object", "untyped"]

UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""The errors that ``untyped`` raises for bytes that are not JSON (a UnicodeDecodeError is a ValueError)."""

_MAX_DIGITS = 4000  # of a whole number; above 4,300 Python refuses to read it


def untyped(raw: bytes) -> Any:
    """Decode a body to plain values; raise one of ``UNREADABLE`` if it is not JSON.

    It is as tolerant as the standard library: a number beyond the range of floats becomes infinity, bytes that are not
    UTF-8 become U+FFFD, and a byte order mark is skipped. Such a value costs its own field, not the answer.
    """
    try:
        return msgspec.json.decode(raw)
    # The standard library is slower and more tolerant, so it is the second choice.
    except (msgspec.DecodeError, ValueError):
        value = json.loads(raw.decode("utf-8-sig", "replace"), parse_int=_whole_number)
        # Half a surrogate pair is refused as well: a document with one could not be encoded again.
        json.dumps(value, ensure_ascii=False).encode()
        return value


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a plain value came from a JSON object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Return whether a plain value came from a JSON array."""
    return isinstance(value, list)
