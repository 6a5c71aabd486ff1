"""Values of the configuration, without the characters that editors, shells and other programs leave around them.

A value can be a secret, and a secret can stand in the place of a path or a URL. So no error here repeats a value.
"""

from __future__ import annotations

import codecs
import os
import re
import string
from typing import TYPE_CHECKING

from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["decode_text", "env_flag", "env_path", "env_value", "expand_home", "parse_value", "unwrap"]

# Blanks, line ends (of a file's only line, or of Windows), and characters without width, which a copy may carry along.
_AROUND = string.whitespace + "\u00a0\u3000\u200b\u200c\u200d\u2060\ufeff"
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019"}

# The header, or a variable with a name like ours. Something other than "=" must follow: base64 may end in such a name
# and one or two "=".
_LABEL = re.compile(
    r"(?:export\s+|set\s+)?(?:x-ocr-secret|clova_ocr_\w{1,64}|\w{0,64}(?:secret|invoke_url)\w{0,64})\s*[:=]\s*(?=[^\s=])",
    re.ASCII | re.IGNORECASE,
)
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


def unwrap(text: str) -> str:
    """Return a text without the blanks, line ends, byte order mark and one pair of quotes around it."""
    text = text.strip(_AROUND)
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        return text[1:-1].strip(_AROUND)
    return text


def parse_value(text: str, name: str = "") -> str:
    """Return the value in a text, which may begin with the name of its variable or header.

    Args:
        text: The text, as it was found.
        name: The name of its variable; empty if it has none.

    Raises:
        ConfigurationError: A quote stands at one end of the value only.
    """
    text = unwrap(text)
    text = text.removeprefix(f"{name}=") if name else text
    text = unwrap(_LABEL.sub("", text, count=1) if _LABEL.match(text) else text)
    if text[:1] in _QUOTES or text[-1:] in _QUOTES.values():
        raise ConfigurationError("a quote stands at one end of the value only; write it without quotes")
    return text


def env_value(environ: Mapping[str, str], name: str) -> str:
    """Return the value of an environment variable; "" if it is not set or empty.

    Raises:
        ConfigurationError: As ``parse_value``; the message names the variable.
    """
    try:
        return parse_value(environ.get(name, ""), name)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from None


def env_path(environ: Mapping[str, str], name: str) -> str:
    """Return the path in an environment variable; "" if it is not set or empty.

    Raises:
        ConfigurationError: As ``expand_home``; the message names the variable.
    """
    try:
        return expand_home(unwrap(environ.get(name, "")))
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from None


def env_flag(environ: Mapping[str, str], name: str) -> bool:
    """Return whether an environment variable is true; one that is not set is false.

    Raises:
        ConfigurationError: The variable is neither true nor false.
    """
    word = unwrap(environ.get(name, "")).lower()
    if word not in _YES | _NO:
        raise ConfigurationError(f"{name} is neither true nor false; set it to true, or leave it out")
    return word in _YES


def expand_home(path: str) -> str:
    """Return a path with a ``~`` at its beginning replaced by the home folder, as a shell does.

    A shell does so only at the beginning of a word: not after ``=``, in quotes, in a variable or in a file.

    Raises:
        ConfigurationError: There is no such home folder.
    """
    if not path.startswith("~"):
        return path
    whole = os.path.expanduser(path)  # noqa: PTH111 - pathlib raises other errors, and drops a slash at the end
    if whole.startswith("~"):
        raise ConfigurationError(
            "the path begins with ~, and there is no such home folder; write the whole path, or ./~… for a file "
            "whose own name begins with ~"
        )
    return whole


def decode_text(content: bytes) -> str:
    """Return the text of a file: UTF-8, or UTF-16 with a byte order mark, as some shells of Windows write it.

    Raises:
        ConfigurationError: The file is neither.
    """
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError:
        pass
    # Raised out here: the decoding error holds all that was read.
    raise ConfigurationError("the file is neither UTF-8 nor UTF-16; save it as UTF-8")
