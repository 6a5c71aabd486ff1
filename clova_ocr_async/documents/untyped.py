"""JSON as plain values, for what no struct describes."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

import msgspec

__all__ = ["UNREADABLE", "is_array", "is_object", "untyped"]

UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""What ``untyped`` raises for bytes that are not JSON (a UnicodeDecodeError is a ValueError)."""

_MOST_DIGITS = 4000  # of a whole number; above 4,300 Python refuses to read it


def untyped(raw: bytes) -> Any:
    """Decode a body to plain values; raise one of ``UNREADABLE`` if it is not JSON.

    What the standard library forgives is forgiven: a number beyond every float reads as infinity, and bytes that are
    no UTF-8 as U+FFFD. One of them costs its own field, not the answer. A byte order mark is passed over.
    """
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, ValueError):
        value = json.loads(raw.decode("utf-8-sig", "replace"), parse_int=_whole_number)
        # Half a surrogate pair is refused here too: a document that holds one could not be written any more.
        json.dumps(value, ensure_ascii=False).encode()
        return value


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a plain value came from a JSON object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether a plain value came from a JSON array."""
    return isinstance(value, list)
