"""What a message repeats of something the user handed in: short, printable, and never the image or a secret.

A text given as a path may be an image in base64, a data URL, a URL whose query is a password, or a body of JSON. Such a
text is named by its kind and length. A name may hold line ends and what steers a terminal; those are escaped. A value
of another type is named by its type alone: its ``repr`` could be as long as it likes, and could show anything.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

__all__ = ["Oddity", "oddity_of", "quoted", "shown", "shown_path", "shown_prose"]

_LONGEST_PATH = 200  # characters; longer ones lose their middle
_LONGEST_NAME = 80
_LONGEST_PROSE = 300
_LOOKED_AT = 4096  # characters of a text that its kind is told by
_NO_PATH = 1024  # characters; a text longer than that is hardly a path, and may be anything
_INVALID_BYTES = 0xDC00  # os.fsdecode writes a byte that is not UTF-8 as this and the byte
_LARGEST = 64  # bits of an integer that is shown


class Oddity(NamedTuple):
    """What a text is that was given as a path.

    Attributes:
        kind: Its kind.
        length: In characters.
        advice: What to hand in instead.
    """

    kind: str
    length: int
    advice: str

    @property
    def what(self) -> str:
        """Kind and length, to be shown instead of the text."""
        return f"{self.kind} of {self.length:,} characters"


_DECODE = "decode it (base64.b64decode) and pass the bytes"
_DOWNLOAD = "download it first and pass the bytes"
_BYTES = "pass the bytes themselves"
_KINDS = (
    ("a data URL", "decode what follows its comma (base64.b64decode) and pass the bytes", r"(?i:data:)[\w.+/-]*[;,]"),
    ("a file URL", "pass the path itself", r"(?i:file:/)"),
    ("a URL", _DOWNLOAD, r"(?i:(?:https?|ftps?|s3|gs):/|[a-z][a-z0-9+.-]{1,20}+://)|.*?\?[\w.~%-]{1,64}="),
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


def oddity_of(text: str) -> Oddity | None:
    """Return what a text is, if it is hardly a path or a name; None if it may be one."""
    start = text[:_LOOKED_AT]
    for kind, advice, pattern in _PATTERNS:
        if pattern.match(start):
            return Oddity(kind, len(text), advice)
    if text.count("\0") > 1:  # one is a slip
        return Oddity("a text with NULs in it", len(text), f"if it is the image, {_BYTES}")
    return Oddity("a text", len(text), f"if it is the image, {_BYTES}") if len(text) > _NO_PATH else None


def shown_path(path: str) -> str:
    r"""Return a path, or another name, as a message shows it.

    Bytes that are not UTF-8 become ``\xNN``, and what does not print ``\n``, ``\x1b``, ``\u202e``. A long one loses its
    middle; what is hardly a path is named instead, in angle brackets.
    """
    odd = oddity_of(path)
    return _escaped(_cut(path, _LONGEST_PATH)) if odd is None else f"<{odd.what}>"


def quoted(text: str) -> str:
    """Return a text in quotes, escaped and shortened; what is hardly a name is named instead, in angle brackets."""
    odd = oddity_of(text)
    return repr(_cut(text, _LONGEST_NAME)) if odd is None else f"<{odd.what}>"


def shown(value: object) -> str:
    """Return an argument as a message shows it: short texts and numbers as they are, all else by its type."""
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= _LARGEST else f"a number of {value.bit_length():,} bits"
    return f"a {type(value).__name__}"


_URL_IN_PROSE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}+://[^\s\"'<>]++|data:[\w.+/-]*+[;,][^\s\"'<>]*+")


def shown_prose(text: object) -> str:
    """Return what another library said, on one line and shortened, with the URLs in it left out."""
    said = str(text)[:_LOOKED_AT]
    return _escaped(_cut(_URL_IN_PROSE.sub("<a URL>", said), _LONGEST_PROSE))


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[: longest - end - 1]}…{text[-end:]}"


def _escaped(text: str) -> str:
    return text if text.isprintable() else "".join(map(_escaped_character, text))


def _escaped_character(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":  # blanks of all widths harm nobody
        return character
    code = ord(character)
    if 0x80 <= code - _INVALID_BYTES <= 0xFF:  # noqa: PLR2004 - the bytes that can be no UTF-8
        return f"\\x{code - _INVALID_BYTES:02x}"
    # Not \x85 for U+0085: that is how a byte is written which is not UTF-8.
    return f"\\u{code:04x}" if 0x80 <= code <= 0xFF else character.encode("unicode_escape").decode("ascii")  # noqa: PLR2004
