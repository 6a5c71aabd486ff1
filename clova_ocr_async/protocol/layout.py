"""What a reader of headers returns, and how it gives up."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BeyondEndError", "Layout", "UnreadableError"]


class Layout(NamedTuple):
    """Side lengths in pixels and number of pages; None where the header does not say."""

    width: int | None = None
    height: int | None = None
    pages: int | None = None


class UnreadableError(Exception):
    """The header is broken, or written in a way that is not understood here. For the readers of headers alone."""


class BeyondEndError(UnreadableError):
    """The header names a place behind the end of the file."""
