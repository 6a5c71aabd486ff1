"""Names of files in the two normal forms of Unicode: macOS takes Hangul apart, most lists have it in one piece."""

from __future__ import annotations

import os
import unicodedata
from functools import lru_cache

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.archives import stat_file
from clova_ocr_async.protocol.echoed_input import shown_path

__all__ = ["as_on_disk"]


def as_on_disk(path: str) -> str:
    """Return the path of a file whose name is the same after normalisation; the path itself if there is none.

    The folders are looked through only for a path that does not exist as it is written.

    Raises:
        ConfigurationError: Two files have the name.
    """
    if path.isascii() or _exists(path):
        return path
    head, found = ("/", "/") if path.startswith("/") else ("", "")
    for part in path[len(head) :].split("/"):
        found = _with_part(found, part)
    return found if _exists(found) else path


def _exists(path: str) -> bool:
    try:
        stat_file(path)
    except (OSError, ValueError):
        return False
    return True


def _with_part(folder: str, part: str) -> str:
    """Return the path of an entry of a folder: under its name as it is, or else under the same name in another form."""
    path = os.path.join(folder, part)  # noqa: PTH118 - a Path drops dots that the user has given
    if part.isascii() or os.path.lexists(path):
        return path
    same = _names_in(folder or os.curdir).get(unicodedata.normalize("NFC", part), [])
    if len(same) > 1:
        raise ConfigurationError(
            f"{len(same)} files of {shown_path(folder or os.curdir)} have the name {shown_path(part)}, in different "
            "spellings of the same letters (NFC, NFD); rename all but one of them"
        )
    return os.path.join(folder, *same) if same else path  # noqa: PTH118 - as above


@lru_cache(maxsize=8)  # a list has its files in few folders, one after the other
def _listed(folder: str, _: int) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name in os.listdir(folder):  # noqa: PTH208 - a Path for each takes longer
        if not name.isascii():
            names.setdefault(unicodedata.normalize("NFC", name), []).append(name)
    return names


def _names_in(folder: str) -> dict[str, list[str]]:
    """Return the names in a folder by their normal form; none for a folder that cannot be read."""
    try:
        return _listed(folder, os.stat(folder).st_mtime_ns)  # noqa: PTH116 - once for each path of a list
    except OSError:
        return {}
