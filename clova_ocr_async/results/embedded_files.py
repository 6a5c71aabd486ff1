"""Files that stand in a text as base64, as the pictures of an HTML page do in their ``data:`` addresses. Pure."""

from __future__ import annotations

import base64
import html
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["embedded_files"]

_MARK = re.compile("base64", re.IGNORECASE)
_DATA = re.compile(r";\s*base64\s*,\s*([A-Za-z0-9+/%=_-]*)(\s*$)?", re.IGNORECASE)
_USUAL = str.maketrans("-_", "+/")
_NOT_BASE64 = re.compile("[^A-Za-z0-9+/]")


def embedded_files(line: str) -> Iterator[bytes | None]:
    """Yield the files in a line of a text; None for one that may go on in the next line.

    Of one that is interrupted otherwise, the bytes in front are yielded.

    Args:
        line: The line, which may be HTML, CSS or JSON, with or without its end.
    """
    if _MARK.search(line) is None:  # as nearly all lines
        return
    # HTML may write a plus sign or a slash as an entity, and JSON a slash behind a backslash.
    for found in _DATA.finditer(html.unescape(line).replace("\\/", "/")):
        if found[2] is not None:
            yield None
        elif found[1]:
            yield _decoded(found[1])


def _decoded(text: str) -> bytes:
    text = _NOT_BASE64.sub("", unquote(text).translate(_USUAL))
    text = text[: len(text) - (len(text) % 4 == 1)]
    return base64.b64decode(text + "=" * (-len(text) % 4))
