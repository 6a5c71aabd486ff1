"""User input as messages repeat it: short, printable, and never the image or a secret.

A text in the place of a path may be an image in base64, a data URL, a URL with a password in its query, or a body of
JSON. A message names such a text by its kind and length. A name may contain line ends and control sequences of a
terminal; those are escaped. A value of another type is named by its type alone: its ``repr`` may be of any length and
may show anything.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

__all__ = ["NonPath", "non_path", "quoted", "shown", "shown_path", "shown_prose"]

_MAX_PATH = 200  # characters; longer ones lose their middle
_MAX_NAME = 80
_MAX_PROSE = 300
_CHECKED = 4096  # characters of a text that decide its kind
_MAX_LIKELY_PATH = 1024  # characters; a longer text is hardly a path, and may be anything
_INVALID_BYTES = 0xDC00  # os.fsdecode writes a byte that is not UTF-8 as the sum of this and the byte
_MAX_BITS = 64  # of an integer that is shown


class NonPath(NamedTuple):
    """A text in the place of a path that is hardly a path.

    Attributes:
        kind: Its kind, with an article.
        length: Its length in characters.
        advice: The input to give instead.
    """

    kind: str
    length: int
    advice: str

    @property
    def what(self) -> str:
        """Kind and length; a message shows them instead of the text."""
        return f"{self.kind} of {self.length:,} characters"


_DECODE = "decode it (base64.b64decode) and pass the bytes"
_DOWNLOAD = "download it first and pass the bytes"
_BYTES = "pass the bytes themselves"
_KINDS = (
    ("a data URL", "decode what follows its comma (base64.b64decode) and pass the bytes", r"(?i:data:)[\w.+/-]*[;,]"),
    ("a file URL", "pass the path itself", r"(?i:file:/)"),
    # Without a scheme: a host with a query, or a path with the query of a signed URL. A file may be named a?b=c.jpg.
    (
        "a URL",
        _DOWNLOAD,
        (
            r"(?i:(?:https?|ftps?|s3|gs):/|[a-z][a-z0-9+.-]{1,20}+://"
            r"|(?:[\w-]{1,63}\.){1,8}[a-z]{2,24}(?::\d{1,5})?/[^?\s]*+\?[\w.~%-]{1,64}="
            r"|[^?]*+\?(?:[^&]{0,512}&){0,16}?(?:x-(?:amz|goog)-[\w-]+|\w*(?:sig|signature|token|key|secret|password))=)"
        ),
    ),
    ("JSON text", "pass the path or the bytes of the image alone", r"[\[{]\s*(?:[\"'\[{]|-?\d+\s*,)"),
    ("a bytes object as text", _BYTES, r"(?<=b[\"'])(?:\\x|%PDF|II\*|MM\\x)"),
    ("a picture's bytes as text", _BYTES, r"\xff\xd8\xff|\udcff\udcd8\udcff|[\x89\udc89]PNG|%PDF-|II\*\0|MM\0\*"),
    (
        "a text that looks like base64",
        _DECODE,
        (
            r"(?:[/_]9j[/_-]|iVBORw0KGgo|JVBERi0|SUkqA|TU0AK|R0lGOD|UklGR|AAAA\wGZ0eX)"
            r"(?:[\w+/=%\r\n-]{4,}+[\"']?\Z|.{56})"
            r"|[\w+/%\r\n-]{38,}+={1,2}\s*[\"']?\Z|\w[\w+/=%\r\n-]{159,}+[\"']?\Z"
        ),
    ),
)
_PATTERNS = tuple(
    (what, advice, re.compile(rf"[\s-]*+(?:b?[\"'])?(?:{pattern})", re.ASCII | re.DOTALL))
    for what, advice, pattern in _KINDS
)


def non_path(text: str) -> NonPath | None:
    """Return the kind of a text that is hardly a path or a name; None if it may be one."""
    start = text[:_CHECKED]
    for kind, advice, pattern in _PATTERNS:
        if pattern.match(start):
            return NonPath(kind, len(text), advice)
    if text.count("\0") > 1:  # a single one is a slip
        return NonPath("a text with NULs in it", len(text), f"if it is the image, {_BYTES}")
    return NonPath("a text", len(text), f"if it is the image, {_BYTES}") if len(text) > _MAX_LIKELY_PATH else None


def shown_path(path: str) -> str:
    r"""Return a path, or another name, as a message shows it.

    Bytes that are not UTF-8 become ``\xNN``, and characters that do not print ``\n``, ``\x1b``, ``\u202e``. A long path
    loses its middle. A text that is hardly a path is replaced by its kind, in angle brackets.
    """
    if not path:
        return "an empty name"
    found = non_path(path)
    return _escaped(_shortened(path, _MAX_PATH)) if found is None else f"<{found.what}>"


def quoted(text: str) -> str:
    """Return a text in quotes, escaped and shortened; one that is hardly a name becomes its kind, in brackets."""
    found = non_path(text)
    return repr(_shortened(text, _MAX_NAME)) if found is None else f"<{found.what}>"


def shown(value: object) -> str:
    """Return an argument as a message shows it: a short text or number as it is, any other value by its type."""
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= _MAX_BITS else f"a number of {value.bit_length():,} bits"
    return f"a {type(value).__name__}"


_URL_IN_PROSE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}+://[^\s\"'<>]++|data:[\w.+/-]*+[;,][^\s\"'<>]*+")


def shown_prose(text: object) -> str:
    """Return the message of another library on one line, shortened, and without the URLs in it."""
    message = str(text)[:_CHECKED]
    return _escaped(_shortened(_URL_IN_PROSE.sub("<a URL>", message), _MAX_PROSE))


def _shortened(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[: longest - end - 1]}…{text[-end:]}"


def _escaped(text: str) -> str:
    return text if text.isprintable() else "".join(map(_escaped_character, text))


def _escaped_character(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":  # blanks of all widths are harmless
        return character
    code = ord(character)
    if 0x80 <= code - _INVALID_BYTES <= 0xFF:  # noqa: PLR2004 - the bytes that are never ASCII
        return f"\\x{code - _INVALID_BYTES:02x}"
    # Not \x85 for U+0085: that form stands for a byte that is not UTF-8.
    return f"\\u{code:04x}" if 0x80 <= code <= 0xFF else character.encode("unicode_escape").decode("ascii")  # noqa: PLR2004
