"""New requestIds, from the system's randomness."""

from __future__ import annotations

import os

__all__ = ["new_request_id"]


def new_request_id() -> str:
    """Return a new requestId: a UUID of version 4, as uuid4() makes it, without its object.

    It comes from the system's randomness: the ledger identifies calls by their ids, and a program that seeds its own
    generator would give the calls of all its processes the same ids.
    """
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
