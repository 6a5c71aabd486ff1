"""Spellings of one path, so that one file is one source of a run."""

from __future__ import annotations

import os

__all__ = ["one_spelling", "other_spelling"]


def one_spelling(path: bytes) -> bytes:
    """Return a path without what makes no difference: doubled slashes, ``.``, and ``..`` where the file stays the same.

    A path that is relative stays relative, and links stay as they are: what is shown is still what was given.
    """
    if b"//" not in path and b"/." not in path and path[:1] != b"." and path[-1:] != b"/":
        return path  # nearly all are
    parts = [part for part in path.split(b"/") if part not in {b"", b"."}]
    plain = (b"/" if path[:1] == b"/" else b"") + b"/".join(parts)
    if b".." in parts and _same_file(shorter := os.path.normpath(plain), plain):
        return shorter
    return plain or (path[:1] and b".")


def other_spelling(path: bytes, folder: bytes) -> bytes | None:
    """Return a path below a folder as a relative one if it is absolute, and as an absolute one if it is relative.

    Args:
        path: In one spelling.
        folder: Where relative paths start, absolute.

    Returns:
        The path; None for one that is not below the folder.
    """
    start = folder.rstrip(b"/") + b"/"
    if path[:1] != b"/":
        return None if path[:2] == b".." else start + path
    return path[len(start) :] if path.startswith(start) else None


def _same_file(one: bytes, other: bytes) -> bool:
    """Return whether two paths lead to one file; behind a link, ``..`` is not where the path seems to say."""
    try:
        return os.path.samefile(one, other)  # noqa: PTH121 - a Path takes no bytes
    except (OSError, ValueError):
        return False
