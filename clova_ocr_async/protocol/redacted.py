"""Base of what holds secrets, images or answers, and must not show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Redacted"]


class Redacted(msgspec.Struct, frozen=True):
    """A struct that shows of itself only what ``_shown`` says, to ``repr`` and to rich alike."""

    def _shown(self) -> str:
        """Return what a log may hold of it; nothing, unless a subclass knows better."""
        return ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._shown()})"

    def __rich_repr__(self) -> Iterator[str]:  # type: ignore[override]  # rich allows single values; a struct's own prints all of them
        yield self._shown()
