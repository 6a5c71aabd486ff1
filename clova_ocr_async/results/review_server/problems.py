"""Refusals of a review. No message holds a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import msgspec

__all__ = ["ConflictError", "HiddenError", "InvalidChangeError", "UnknownError"]


class InvalidChangeError(Exception):
    """The change cannot be made, whatever the run holds."""


class UnknownError(Exception):
    """There is no such row, correction or picture."""


class HiddenError(Exception):
    """The value is masked, so a person who does not see it must not change it."""


class ConflictError(Exception):
    """The value, or the newest change, is another one than the person saw.

    Args:
        row: The row as it is now, as JSON.
    """

    def __init__(self, row: msgspec.Raw) -> None:
        super().__init__("another person or another tab has changed this meanwhile")
        self.row = row
