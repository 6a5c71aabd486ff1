"""Masked secrets: three stars in the place of a secret or an invoke key, in any text that is printed, logged or raised.

``Domain.redact`` masks the texts of one domain. What must never be printed at all is ``Redacted``.

Source: API specification v1.0.6 (2023-11-23), "Requests": the path of an invoke URL.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KEYED_PATH", "MASK", "mask_invoke_keys", "masker"]

MASK = "***"
"""The text that stands in the place of a secret."""

KEYED_PATH = re.compile(r"(/(?:custom|external)/v\d+/[^/\s\"']+/)([^/\s\"'?#]+)")
"""A path with an invoke key: all before the key, and the key."""

_SHORTEST_KEY = 8  # a shorter one is a test's, and masking it would hide half of any text


def mask_invoke_keys(text: str) -> str:
    """Return a text with each invoke key masked that stands in a path of the documented form."""
    return KEYED_PATH.sub(rf"\1{MASK}", text)


def masker(secret: str, invoke_key: str) -> Callable[[str], str]:
    """Return a function that masks the secret and the invoke key of a domain in a text, and all other invoke keys.

    Args:
        secret: The secret.
        invoke_key: The key in the path of the invoke URL; "" if it has none.
    """
    hidden = (secret, invoke_key) if len(invoke_key) >= _SHORTEST_KEY else (secret,)

    def mask(text: str) -> str:
        # A server may repeat the request's headers and path in its error.
        for value in hidden:
            text = text.replace(value, MASK)
        return mask_invoke_keys(text)

    return mask
