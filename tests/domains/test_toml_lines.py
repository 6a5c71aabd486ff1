from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.domains.toml_lines import Flaw, lines_of, read_toml

TEXT = '''\
# [[domain]]
[[domain]]            # "
a = 1
"b" = "x # [[domain]] \\" "
c.d = 2
'e f' = """
[[domain]]
a = 3 \\""" """" # " [
g = 4

  [[ "domain" ]]
h = [ # ]
  "]", ']',
  {i = 5},
]
j = \'\'\'
# k = 6 \'\'\'\' # ' {
l = ""
[domain.m]
n = 7
[[domain.o]]
[[domain.o]]
[other.p.q.r]
s = {t = 8}
'''
LINES = {
    ("domain",): 2,
    ("domain", 1): 2,
    ("domain", 1, "a"): 3,
    ("domain", 1, "b"): 4,
    ("domain", 1, "c"): 5,
    ("domain", 1, "e f"): 6,
    ("domain", 1, "g"): 9,
    ("domain", 2): 11,
    ("domain", 2, "h"): 12,
    ("domain", 2, "j"): 16,
    ("domain", 2, "l"): 18,
    ("domain", 2, "m"): 19,
    ("domain", 2, "m", "n"): 20,
    ("domain", 2, "o"): 21,
    ("domain", 2, "o", 1): 21,
    ("domain", 2, "o", 2): 22,
    ("other",): 23,
    ("other", "p"): 23,
    ("other", "p", "q"): 23,
    ("other", "p", "q", "s"): 24,
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_table_and_key_is_found_on_its_line(end: str) -> None:
    """Comments, quoted keys and values over several lines do not lead the search astray, whatever ends a line."""
    text = TEXT.replace("\n", end)
    assert tomllib.loads(text)
    assert lines_of(text) == LINES


def test_what_is_inside_a_value_is_not_found() -> None:
    """Tables of an inline array have no lines; the key that holds them has."""
    assert lines_of("\ndomain = [\n{a = 1},\n{a = 2}]\nb = 1") == {("domain",): 2, ("b",): 5}


def test_what_is_no_toml_is_passed_over() -> None:
    """A line that cannot be read has no place, and the lines after it have theirs."""
    assert lines_of("a = 1\n= 2\nb = 3") == {("a",): 1, ("b",): 3}


VALUES = st.sampled_from(
    [
        "1",
        '"x"',
        "'#'",
        '"\\""',
        '"""\n[[domain]]\na = 1\n"""',
        "'''\n\n'''",
        "[\n1, # ]\n2]",
        '{a = "}"}',
        '["]"]',
        '""',
    ]
)
STATEMENTS = st.one_of(
    st.just(("", None)),
    st.just(("# [[domain]] \"'", None)),
    st.just(("[[domain]] # x", "table")),
    VALUES.map(lambda value: (value, "key")),
)


@given(st.lists(STATEMENTS, max_size=12))
def test_lines_are_those_of_an_editor(statements: list[tuple[str, str | None]]) -> None:
    """Each table and key is found at its line, in any order of tables, keys, comments and values."""
    text, expected, tables, keys = "[[domain]]\n", {("domain",): 1, ("domain", 1): 1}, 1, 0
    for written, kind in statements:
        line = text.count("\n") + 1
        if kind == "table":
            tables += 1
            expected["domain", tables] = line
        elif kind == "key":
            keys += 1
            expected["domain", tables, f"k{keys}"] = line
        text += f"k{keys} = {written}\n" if kind == "key" else f"{written}\n"
    assert lines_of(text) == expected


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a = 1\nb = canary", 2, "without quotes"),
        ("a = 1\nb =", 2, "a value is missing"),
        ("canary", 1, "no = behind it"),
        ("\na = 1 canary", 2, "the line should end"),
        ('a = "canary\n', 1, "not closed by its quote"),
        ('a = """canary\n', 2, "not closed by its quotes"),
        ('a = "C:\\canary"', 1, "single quotes"),
        ("[canary]\n[canary]", 2, "double brackets"),
        ("canary = 1\ncanary = 2", 2, "there already"),
        ("a = [1\n", 2, "not closed by ]"),
        ("\n\n!canary", 3, "this is not TOML"),
        ("a = {canary = 1, canary = 2}", 1, "this is not TOML"),
        pytest.param(f"a = {'9' * 5000}", None, "thousands of digits", id="digits"),
        pytest.param(f"a = {'[' * 100_000}", None, "nested too deep", id="arrays"),
    ],
)
def test_a_flaw_has_its_line_and_quotes_nothing(text: str, line: int | None, what: str) -> None:
    """A text that is not TOML is reported by line and kind, in words of ours."""
    flaw = read_toml(text)
    assert isinstance(flaw, Flaw)
    assert flaw.line == line
    assert what in flaw.message
    assert "canary" not in flaw.message


def test_what_a_text_says() -> None:
    """TOML is read as the standard library reads it."""
    values: Any = read_toml("a = 1\n[[b]]")
    assert values == {"a": 1, "b": [{}]}


@given(st.text())
def test_any_text_is_read_or_has_a_flaw(text: str) -> None:
    """No text makes the reading, or the search for lines, fail in another way."""
    assert isinstance(read_toml(text), dict | Flaw)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines_of(text).values())


@pytest.mark.parametrize("path", [r"C:\Users\me", r"C:\me", r"\\server\share", r"C:\x", r"\uD800"])
def test_a_windows_path_in_double_quotes_is_told_by_its_backslash(path: str) -> None:
    """A backslash that begins no escape is named as that, with what to write instead."""
    flaw = read_toml(f'a = "{path}"')
    assert isinstance(flaw, Flaw)
    assert (flaw.line, "backslash" in flaw.message, "single quotes" in flaw.message) == (1, True, True)
