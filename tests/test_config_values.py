from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.config_values import decode_text, expand_home, parse_value, unwrap
from clova_ocr_async.errors import ConfigurationError

BLANKS = st.text(" \t\r\n\ufeff\u00a0\u200b", max_size=3)
QUOTES = st.sampled_from(["{}", '"{}"', "'{}'", "`{}`", "\u201c{}\u201d", "\u2018{}\u2019"])
LABELS = st.sampled_from(["", "NAME=", "export CLOVA_OCR_SECRET=", "X-OCR-SECRET: ", "clova_ocr_invoke_url = "])
SECRETS = st.binary(min_size=1, max_size=48).map(lambda data: base64.b64encode(data).decode())


@given(SECRETS, st.lists(st.tuples(BLANKS, QUOTES, BLANKS), min_size=2, max_size=2), LABELS)
def test_any_wrapping_is_taken_off_and_nothing_else(
    secret: str, around: list[tuple[str, str, str]], label: str
) -> None:
    """A secret comes out as it was from blanks and quotes around it, and around its name and it."""
    text = secret
    for (before, quotes, behind), name in zip(around, (label, ""), strict=True):
        text = f"{name}{before}{quotes.format(text)}{behind}"
    assert parse_value(text, "NAME") == secret


@given(SECRETS)
def test_a_value_without_wrappings_is_as_it_was(secret: str) -> None:
    """Reading a bare value changes nothing, however often."""
    assert parse_value(secret, "NAME") == parse_value(secret) == unwrap(secret) == secret


@given(st.text(max_size=40), st.text("AZaz_", max_size=8))
def test_any_text_is_a_value_or_is_refused_without_its_words(text: str, name: str) -> None:
    """No text breaks the reading, and no message repeats it."""
    value, message = "", ""
    try:
        value = parse_value(f"canary{text}", name)
    except ConfigurationError as error:
        message = str(error)
    assert "canary" not in message
    assert value in f"canary{text}"


@given(st.binary(max_size=60))
def test_any_bytes_are_a_text_or_refused(content: bytes) -> None:
    """No file's bytes break the reading, and no error holds them."""
    shown: tuple[object, ...] = (None, None)
    try:
        decode_text(content)
    except ConfigurationError as error:
        shown = (error.__cause__, error.__context__)
    assert shown == (None, None)


@pytest.mark.parametrize("path", ["", "run", "./~", "a/~/b", "run~", "/~"])
def test_only_a_tilde_at_the_beginning_is_a_home_folder(path: str) -> None:
    """A ~ elsewhere is part of a name."""
    assert expand_home(path) == path


def test_a_tilde_is_what_a_shell_makes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """~ and ~/… are the user's home folder; the rest of the path, a slash at its end included, stays."""
    monkeypatch.setenv("HOME", "/home/of mine")
    assert [expand_home(path) for path in ("~", "~/", "~/run/", "~/a b")] == [
        "/home/of mine",
        "/home/of mine/",
        "/home/of mine/run/",
        "/home/of mine/a b",
    ]
    with pytest.raises(ConfigurationError, match=r"no such home folder; write the whole path, or \./~…"):
        expand_home("~unknown-user-name")
