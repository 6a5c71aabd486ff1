"""Names of images in records, so that each is found again, whatever bytes it is made of."""

from __future__ import annotations

import base64
import binascii
import os
from typing import TYPE_CHECKING

from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["checked_path", "path_of", "record_source", "source_of"]


def record_source(path: str) -> dict[str, str]:
    """Return the keys of a record that name an image, so that ``source_of`` finds it again.

    Args:
        path: The path as it was given.

    Returns:
        ``source``, the path as text can hold it; and ``source_bytes``, base64 of the name's bytes where they are not
        UTF-8.
    """
    text = _as_text(path)
    if text == path:
        return {"source": text}
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:  # a str that cannot name a file
        return {"source": text}
    return {"source": text, "source_bytes": base64.b64encode(name).decode()}


def _as_text(path: str) -> str:
    r"""Return a path as text: bytes that are not UTF-8 become \xNN, so that different names stay different."""
    try:
        name = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a str that is not the decoded name of any file
        name = path.encode("utf-8", "backslashreplace")
    return name.decode("utf-8", "backslashreplace")


def source_of(record: Mapping[str, object]) -> str:
    """Return the path that a record names; the inverse of ``record_source``.

    Args:
        record: The record; keys other than ``source`` and ``source_bytes`` are ignored.

    Raises:
        ConfigurationError: It names no path.
    """
    return path_of("source", record.get("source"), record.get("source_bytes"))


def path_of(key: str, source: object, source_bytes: object = None) -> str:
    """Return the path that a value names.

    Args:
        key: The key of the value, for messages.
        source: The value.
        source_bytes: The bytes of the path in base64; None if they are those of ``source``.

    Raises:
        ConfigurationError: It names no path.
    """
    if source is None:
        raise ConfigurationError(f"it has no {key}")
    if not isinstance(source, str):
        raise ConfigurationError(f"{key} is a {type(source).__name__}; it must be a string")
    return checked_path(source if source_bytes is None else _decoded(source_bytes))


def _decoded(source_bytes: object) -> str:
    try:
        if isinstance(source_bytes, str):
            return os.fsdecode(base64.b64decode(source_bytes, validate=True))
    except (binascii.Error, ValueError):  # the second for characters outside ASCII
        pass
    raise ConfigurationError("source_bytes is not base64; it must hold the bytes of the path, or be left out")


def checked_path(path: str) -> str:
    """Return a path that may name a file.

    Raises:
        ConfigurationError: It is empty, or holds a NUL.
    """
    if not path:
        raise ConfigurationError("the path is empty")
    if "\0" in path:
        raise ConfigurationError("it holds a NUL, which a path cannot; if the file is UTF-16, save it as UTF-8")
    return path
