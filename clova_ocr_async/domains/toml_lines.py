"""A TOML text: what it says, on which line it says it, and what is wrong with it, in words that never quote it."""

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
"""Where something stands: ("domain", 2, "secret_env") is that key in the second [[domain]]."""

_DEEPEST = 3  # steps of a place; what lies deeper is found by the table it is in
_LINE = re.compile(r"\(at line (\d+), column \d+\)$")

BACKSLASH = "put it in single quotes, or write / for each backslash, as in 'C:\\Users\\me' or \"C:/Users/me\""
"""What to do about a backslash, which begins an escape in double quotes."""

# tomllib's own words quote keys and characters, and a key can be a secret that slipped.
_FLAWS = {
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

# What may hold brackets and line ends that mean nothing goes before those that do.
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
    """Why a text is no TOML.

    Attributes:
        line: Where; None if that is not known.
        what: Free of the text itself.
    """

    line: int | None
    what: str


def read_toml(text: str) -> dict[str, Any] | Flaw:
    """Return what a text says, or why it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
    except (ValueError, RecursionError):
        return Flaw(None, "it has a number of thousands of digits in it, or arrays that are nested too deep")
    known = (what for begin, what in _FLAWS.items() if said.startswith(begin))
    found = _LINE.search(said)
    line = int(found[1]) if found else text.count("\n") + 1
    return Flaw(line, next(known, "this is not TOML"))


def lines_of(text: str) -> dict[Place, int]:
    """Return on which line each table and each key stands, in a text that is TOML; tables that repeat count from 1.

    What is inside a value, such as the tables of an inline array, is not found; nor is what is no TOML.
    """
    lines: dict[Place, int] = {}
    tables: Counter[Place] = Counter()
    table: Place = ()
    for line, statement in _statements(text.replace("\r\n", "\n")):
        said = read_toml(statement)
        if isinstance(said, Flaw):
            continue
        if statement.lstrip(" \t").startswith("["):
            table = _entered(said, tables)
            places = [table[:depth] for depth in range(1, len(table) + 1)]
        else:
            places = [(*table, key) for key in said]
        for place in places:
            lines.setdefault(place, line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield what the text is made of, each with the line it begins on; blank lines and comments count as well."""
    begin, line, depth = 0, 1, 0
    for token in _TOKEN.finditer(text + "\n"):
        depth += _DEEPER.get(token[0], 0)
        if token[0] == "\n" and depth == 0:
            statement = text[begin : token.start()]
            yield line, statement
            begin, line = token.end(), line + statement.count("\n") + 1


def _entered(header: dict[str, Any], tables: Counter[Place]) -> Place:
    """Return which table a header opens.

    Args:
        header: What it says: ``[[a.b]]`` alone is {"a": {"b": [{}]}}.
        tables: How many tables each repeated one has so far.
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
