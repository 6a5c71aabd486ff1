"""The result of a parser of image headers, and the errors by which it gives up."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BeyondEndError", "Dimensions", "UnreadableError"]


class Dimensions(NamedTuple):
    """Side lengths in pixels and number of pages; None where the header does not state them."""

    width: int | None = None
    height: int | None = None
    pages: int | None = None


class UnreadableError(Exception):
    """The header is broken, or of a variant that the parser does not support; never leaves the parsers of headers."""


class BeyondEndError(UnreadableError):
    """The header points behind the end of the file."""
