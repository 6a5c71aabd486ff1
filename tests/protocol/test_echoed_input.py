from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.protocol.echoed_input import non_path, quoted, shown, shown_path, shown_prose

CANARY = "canary"
PICTURE = b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(range(256)) * 40
ODD = {
    "base64 of a JPEG": (base64.b64encode(PICTURE).decode(), "base64"),
    "base64 in lines": (base64.encodebytes(PICTURE).decode(), "base64"),
    "base64 for URLs": (base64.urlsafe_b64encode(PICTURE).decode(), "base64"),
    "base64 cut short": (base64.b64encode(PICTURE).decode()[:40], "base64"),
    "base64 shortened by dots": (base64.b64encode(PICTURE).decode()[:100] + "...", "base64"),
    "base64 of a PNG": (base64.b64encode(b"\x89PNG\r\n\x1a\n" + PICTURE).decode(), "base64"),
    "base64 of a PDF": (base64.b64encode(b"%PDF-1.7" + PICTURE).decode(), "base64"),
    "base64 of a TIFF": (base64.b64encode(b"II*\0" + PICTURE).decode(), "base64"),
    "base64 of a HEIC": (base64.b64encode(b"\0\0\0\x20ftypheic" + PICTURE).decode(), "base64"),
    "base64 of anything": (base64.b64encode(b"\x07" * 300).decode(), "base64"),
    "base64 of a key": (base64.b64encode(b"\x07" * 32).decode(), "base64"),
    "str of base64 bytes": (str(base64.b64encode(PICTURE)), "base64"),
    "hex digits": (PICTURE.hex(), "base64"),
    "data URL": ("data:image/jpeg;base64," + CANARY, "data URL"),
    "data URL without a type": (" DATA:;base64," + CANARY, "data URL"),
    "presigned URL": (f"https://bucket.example/a.jpg?X-Amz-Signature={CANARY}", "URL"),
    "URL with a password": (f"https://user:{CANARY}@host.example/a.jpg", "URL"),
    "URL made a Path": (f"https:/bucket.example/a.jpg?sig={CANARY}", "URL"),
    "URL without a scheme": (f"bucket.example/a.jpg?sig={CANARY}", "URL"),
    "URL of a host with a port": (f"files.example:8080/a.jpg?v=1&name={CANARY}", "URL"),
    "path of a signed URL": (f"/bucket/a.jpg?X-Amz-Date=1&X-Amz-Signature={CANARY}", "URL"),
    "path with a token": (f"a.jpg?v=1&access_token={CANARY}", "URL"),
    "URL of a bucket": (f"s3://{CANARY}/a.jpg", "URL"),
    "URL of a file": (f"file:///{CANARY}.jpg", "file URL"),
    "JSON object": (json.dumps({"data": CANARY}), "JSON"),
    "JSON array": (json.dumps([{"data": CANARY}], indent=2), "JSON"),
    "JSON of signed bytes": ("[-119,80,78,71]", "JSON"),
    "dict as text": (str({"data": CANARY}), "JSON"),
    "str of bytes": (str(PICTURE), "bytes"),
    "bytes as Latin-1": (PICTURE.decode("latin-1"), "bytes"),
    "bytes with surrogates": (PICTURE.decode("utf-8", "surrogateescape"), "bytes"),
    "bytes with replacements": (PICTURE.decode("utf-8", "replace"), "NULs"),
    "a long text": ("가 나 " * 500, "text"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_path_is_named_and_not_repeated(name: str) -> None:
    """A text that is hardly a path is named by kind and length, with a way out, and never repeated."""
    text, kind = ODD[name]
    odd = non_path(text)
    assert odd is not None
    assert kind in odd.what
    assert f"{len(text):,} characters" in odd.what
    assert odd.advice
    for message in (shown_path(text), quoted(text), shown(text)):
        assert message == f"<{odd.what}>"
        assert CANARY not in message
        assert text[:12] not in message


@pytest.mark.parametrize(
    "path",
    [
        "receipt.jpg",
        "/home/사용자/영수증/2026년 11월.pdf",
        "[2024] receipt.jpg",
        "{draft} a.png",
        "C:\\Users\\kim\\a.jpg",
        "what?.jpg",
        "what?x=1.jpg",
        "/srv/2026.11/scan?page=2&v=3.jpg",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "/9j/photo.jpg",
        "a=b.jpg",
        "data.jpg",
        "http.jpg",
        "https___example.com_a.jpg",
        "b'quoted'.jpg",
        "/srv/" + "scans/" * 30 + "a",
    ],
)
def test_a_path_is_shown_as_it_is(path: str) -> None:
    """A text that may be a path is repeated, so that the user finds the file."""
    assert non_path(path) is None
    assert shown_path(path) == path


def test_an_empty_path_has_words() -> None:
    """An empty path is not an empty place in a message."""
    assert non_path("") is None
    assert shown_path("") == "an empty name"


def test_a_long_path_loses_its_middle() -> None:
    """Of a long path the beginning and the name of the file are shown."""
    message = shown_path("/data/" + "folder.d/" * 90 + "receipt.jpg")
    assert len(message) == 200
    assert message.startswith("/data/folder.d/")
    assert message.endswith("/receipt.jpg")
    assert "…" in message
    assert len(quoted("이름 " * 100)) == 82


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a\nb.jpg", r"a\nb.jpg"),
        ("a\r\tb", r"a\r\tb"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31mred", r"\u009b31mred"),
        ("gpj.\u202etxt", r"gpj.\u202etxt"),
        ("\u2066a\u2069", r"\u2066a\u2069"),
        ("a\u2028b", r"a\u2028b"),
        ("\U000e0041", r"\U000e0041"),
        ("\udcff한.jpg", r"\xff한.jpg"),
        ("a\ud800", r"a\ud800"),
        ("full\u3000width\u202f1.png", "full\u3000width\u202f1.png"),
    ],
)
def test_what_steers_a_terminal_is_escaped(path: str, message: str) -> None:
    """Line ends, control characters, changes of direction and bytes that are not UTF-8 are written out; blanks stay."""
    assert shown_path(path) == message


@given(st.text() | st.binary().map(lambda name: name.decode("utf-8", "surrogateescape")))
def test_any_text_is_shown_on_one_printable_line(text: str) -> None:
    """Any text is shown short, in valid UTF-8, and without control sequences."""
    for message in (shown_path(text), quoted(text), shown(text), shown_prose(text)):
        assert len(message.encode()) < 12 * 300
        assert all(character.isprintable() or character.isspace() for character in message)
        assert not set(message) & set("\n\r\t\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029")


class Talkative:
    """An object whose repr shows everything."""

    def __repr__(self) -> str:
        return CANARY


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "None"),
        (True, "True"),
        (-3, "-3"),
        (2.5, "2.5"),
        ("gif", "'gif'"),
        (10**30, "a number of 100 bits"),
        (10**9999, "a number of 33,216 bits"),
        ([CANARY] * 100_000, "a list"),
        ({CANARY: CANARY}, "a dict"),
        (CANARY.encode(), "a bytes"),
        (Talkative(), "a Talkative"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else type(value).__name__,
)
def test_an_argument_is_shown_by_its_type(value: Any, message: str) -> None:
    """Numbers and short texts are repeated; any other value may be long or secret and is named by its type."""
    assert shown(value) == message


def test_what_a_library_said_is_repeated_without_urls() -> None:
    """The message of another library is repeated on one line, shortened and without its URLs."""
    said = f"cannot GET https://u:{CANARY}@host/a?sig={CANARY}\nnor data:image/png;base64,{CANARY} " + "x" * 999
    message = shown_prose(OSError(said))
    assert CANARY not in message
    assert message.startswith(r"cannot GET <a URL>\nnor <a URL> xxx")
    assert len(message) < 310
