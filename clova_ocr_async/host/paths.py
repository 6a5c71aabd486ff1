"""Spellings of a path: one file is one source of a run, however its path is written."""

from __future__ import annotations

import os

__all__ = ["alternate_path", "normalize_path"]


def normalize_path(path: bytes) -> bytes:
    """Return a path without doubled slashes, ``.``, and any ``..`` whose removal leads to the same file.

    A relative path stays relative, and links stay as they are, so that messages show the path as it was given.
    """
    if b"//" not in path and b"/." not in path and path[:1] != b"." and path[-1:] != b"/":
        return path  # as nearly all paths are
    parts = [part for part in path.split(b"/") if part not in {b"", b"."}]
    plain = (b"/" if path[:1] == b"/" else b"") + b"/".join(parts)
    if b".." in parts and _same_file(shorter := os.path.normpath(plain), plain):
        return shorter
    return plain or (path[:1] and b".")


def alternate_path(path: bytes, folder: bytes) -> bytes | None:
    """Return a path below a folder as a relative one if it is absolute, and as an absolute one if it is relative.

    Args:
        path: The path, as ``normalize_path`` returns it.
        folder: Where relative paths start, absolute.

    Returns:
        The path; None for one that is not below the folder.
    """
    start = folder.rstrip(b"/") + b"/"
    if path[:1] != b"/":
        return None if path[:2] == b".." else start + path
    return path[len(start) :] if path.startswith(start) else None


def _same_file(one: bytes, other: bytes) -> bool:
    """Return whether two paths lead to one file; after a link, ``..`` leads to a folder that the path does not show."""
    try:
        return os.path.samefile(one, other)  # noqa: PTH121 - a Path takes no bytes
    except (OSError, ValueError):
        return False
