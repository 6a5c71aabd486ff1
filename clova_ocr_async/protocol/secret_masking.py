"""Masked secrets: three stars in the place of an invoke key, in any text that is printed, logged or raised.

``Domain.redact`` masks the secret of a domain as well. What must never be printed at all is ``Redacted``.

Source: API specification v1.0.6 (2023-11-23), "Requests": the path of an invoke URL.
"""

from __future__ import annotations

import re

__all__ = ["KEYED_PATH", "MASK", "mask_invoke_keys"]

MASK = "***"
"""The text that stands in the place of a secret."""

KEYED_PATH = re.compile(r"(/(?:custom|external)/v\d+/[^/\s\"']+/)([^/\s\"'?#]+)")
"""A path with an invoke key: all before the key, and the key."""


def mask_invoke_keys(text: str) -> str:
    """Return a text with each invoke key masked that stands in a path of the documented form."""
    return KEYED_PATH.sub(rf"\1{MASK}", text)
