"""A base struct whose ``repr`` shows no values, for structs that hold secrets, images or answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Redacted"]


class Redacted(msgspec.Struct, frozen=True):
    """A struct whose ``repr``, and whose form in rich, consists of its type and of ``_shown`` alone."""

    def _shown(self) -> str:
        """Return the description that a log may contain; empty unless a subclass overrides it."""
        return ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._shown()})"

    def __rich_repr__(self) -> Iterator[str]:  # type: ignore[override]  # rich allows single values; a struct's own prints all of them
        yield self._shown()
