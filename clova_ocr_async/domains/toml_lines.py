"""A TOML text: its values, the line of each key, and its flaws, in words that never quote it.

tomllib gives no lines to values. ``ClovaOCRClient.from_config`` promises a message that names line and key, so the
lines are found here, once a value cannot be used.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from clova_ocr_async.documents.untyped import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BACKSLASH", "Flaw", "Place", "lines_of", "read_toml"]

Place: TypeAlias = tuple[str | int, ...]
"""The place of a key or table: ("domain", 2, "secret_env") is that key in the second [[domain]]."""

_DEEPEST = 3  # steps of a place; a deeper key is found by the table that holds it
_LINE = re.compile(r"\(at line (\d+), column \d+\)$")

BACKSLASH = "put it in single quotes, or write / for each backslash, as in 'C:\\Users\\me' or \"C:/Users/me\""
"""The way out for a backslash, which begins an escape in double quotes."""

# tomllib's own messages quote keys and characters, and a secret may stand in the place of a key.
_MESSAGES = {
    "Invalid value": "a value is missing, or is text without quotes",
    "Expected '='": "a key has no = behind it",
    "Expected newline": "something follows where the line should end",
    "Illegal character": "a text is not closed by its quote, or has a control character in it",
    "Unterminated string": "a text is not closed by its quotes",
    "Unescaped": f"a text has a backslash in it; {BACKSLASH}",
    "Invalid hex value": f"a text has a backslash in it that begins no escape; {BACKSLASH}",
    "Escaped character": f"a text has a backslash in it that begins no escape; {BACKSLASH}",
    "Cannot declare": "a table is there already; tables that repeat have double brackets, [[…]]",
    "Cannot overwrite": "a key or table is there already",
    "Unclosed array": "an array is not closed by ]",
}

# Strings and comments come first: brackets and line ends inside them have no meaning.
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[\[\]{}\n]",
    re.DOTALL,
)
_DEEPER = {"[": 1, "{": 1, "]": -1, "}": -1}


@dataclass(frozen=True, slots=True)
class Flaw:
    """The reason why a text is not TOML.

    Attributes:
        line: Its line; None if that is unknown.
        message: The reason, without anything of the text.
    """

    line: int | None
    message: str


def read_toml(text: str) -> dict[str, Any] | Flaw:
    """Return the values in a text, or the flaw if it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
    except (ValueError, RecursionError):  # Python's own limits, such as 4,300 digits of a whole number
        return Flaw(None, "it has a number of thousands of digits in it, or arrays that are nested too deep")
    known = (message for begin, message in _MESSAGES.items() if reason.startswith(begin))
    found = _LINE.search(reason)
    # A text that ends too early has no line in the message, but "at end of document".
    line = int(found[1]) if found else text.count("\n") + 1
    return Flaw(line, next(known, "this is not TOML"))


def lines_of(text: str) -> dict[Place, int]:
    """Return the line of each table and each key in a TOML text; repeated tables are numbered from 1.

    Keys inside a value, such as the tables of an inline array, are not found, nor is text that is not TOML.
    """
    lines: dict[Place, int] = {}
    tables: Counter[Place] = Counter()
    table: Place = ()
    for line, statement in _statements(text.replace("\r\n", "\n")):
        values = read_toml(statement)
        if isinstance(values, Flaw):
            continue  # a part of a longer statement; its key keeps the line of its table
        if statement.lstrip(" \t").startswith("["):
            table = _table_of(values, tables)
            places = [table[:depth] for depth in range(1, len(table) + 1)]
        else:
            places = [(*table, key) for key in values]
        for place in places:
            lines.setdefault(place, line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield the statements of a text, each with its first line; blank lines and comments are statements too."""
    begin, line, depth = 0, 1, 0
    for token in _TOKEN.finditer(text + "\n"):
        depth += _DEEPER.get(token[0], 0)
        if token[0] == "\n" and depth == 0:
            statement = text[begin : token.start()]
            yield line, statement
            begin, line = token.end(), line + statement.count("\n") + 1


def _table_of(header: dict[str, Any], tables: Counter[Place]) -> Place:
    """Return the place of the table that a header opens.

    Args:
        header: Its values: ``[[a.b]]`` alone is {"a": {"b": [{}]}}.
        tables: The number of tables so far, of each that repeats.
    """
    steps: list[str | int] = []
    while header and len(steps) < _DEEPEST:
        [(key, inner)] = header.items()
        steps.append(key)
        if is_array(inner):
            tables[tuple(steps)] += 1
        if (count := tables[tuple(steps)]) > 0:
            steps.append(count)
        header = inner if is_object(inner) else {}
    return tuple(steps)
