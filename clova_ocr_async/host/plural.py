"""A count with its noun, as messages show it."""

from __future__ import annotations

__all__ = ["plural"]


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun: "1 image", "0 images", "2,000 images".

    Args:
        count: The count.
        one: The noun for a count of 1, with the words behind it that agree with it, as in "image was not sent".
        many: The same words for any other count; if None, ``one`` and an s.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
