"""The frame of the report page, and its table of texts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib import resources
from typing import Any

import pytest

from clova_ocr_async.results.report.page import foot, head, picture, rows_block, thumbnail, thumbnails_block, word

ASSETS = resources.files("clova_ocr_async.results.report") / "assets"
TEXTS: dict[str, dict[str, Any]] = json.loads((ASSETS / "words.json").read_text("utf-8"))
HOSTILE = "</script><script>alert(1)</script><!-- \u2028 \u2029 {{ 1 }}"


def asset(name: str) -> str:
    """Return the text of a file of the page."""
    return (ASSETS / name).read_text("utf-8")


def scripts() -> str:
    """Return the text of all scripts."""
    return "\n".join(part.read_text("utf-8") for part in ASSETS.iterdir() if part.name.endswith(".js"))


def policy_of(text: str) -> dict[str, str]:
    """Return the sources that the policy of a page allows, by their kind."""
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert found is not None
    parts = found[1].replace("&#39;", "'").split("; ")
    return {name: sources for name, _, sources in (part.partition(" ") for part in parts)}


def source_of(text: str) -> str:
    """Return the expression that allows a text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_allows_the_own_script_and_style_alone() -> None:
    """The hashes are those of the texts that the page has, and nothing else is allowed but pictures."""
    text = head("run", masked=True, language="en") + foot({}, language="en")
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert policy_of(text) == {
        "default-src": "'none'",
        "img-src": "data: blob: file: 'self'",
        "script-src": source_of(*script),
        "style-src": source_of(*style),
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_a_page_of_a_review_may_talk_to_its_own_server() -> None:
    """Only the page of a review has a policy for connections, to where it came from."""
    assert policy_of(head("run", masked=True, language="en", review=True))["connect-src"] == "'self'"


def test_no_handler_or_style_stands_in_the_markup() -> None:
    """The policy would block them without a word, so there are none."""
    markup = asset("report.html.j2") + asset("icons.html.j2")
    assert re.findall(r"\s(on\w+|style)=", markup) == []
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", scripts()) == []


def test_hostile_texts_are_escaped_everywhere() -> None:
    """Neither data, nor the title, nor the plain table has markup of a value."""
    row = {"n": 0, "file": HOSTILE, "document": "receipt", "status": "failed", "error": {"message": HOSTILE}}
    text = head(HOSTILE, masked=False, language="en") + rows_block([row]) + foot({"run": HOSTILE})
    assert "alert(1)</script>" not in text
    assert "<!-- " not in text
    assert "\u2028" not in re.sub(
        r"<noscript>.*?</noscript>|<title>.*?</title>|<h1>.*?</h1>", "", text, flags=re.DOTALL
    )
    data = re.search(r'class="rows">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert json.loads(data[1]) == [row]


def test_a_picture_is_base64_under_the_number_of_its_row() -> None:
    """A picture has a block of its own, and thumbnails share one, with a line for each; no thumbnails, no block."""
    assert picture(3, b"GIF") == '<script type="text/plain" class="picture" data-row="3">R0lG</script>\n'
    lines = thumbnail(4, b"GIF") + thumbnail(6, b"GIF")
    assert thumbnails_block(lines) == '<script type="text/plain" class="thumbs">\n4 R0lG\n6 R0lG\n</script>\n'
    assert thumbnails_block("") == ""


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        (
            {"status": "ambiguous", "source": "a/b.jpg", "maybe": 1, "document": "id-card", "page": 2},
            ["6", "a/b.jpg", "2", "ID card", "Ambiguous", "Perhaps billed", ""],
        ),
        (
            {
                "status": "succeeded",
                "file": "b.jpg",
                "billed": True,
                "fields": [{"why": ["x", "y"]}, {"why": ["x"]}, {}],
            },
            ["6", "b.jpg", "", "", "Succeeded", "Billed", "x; y"],
        ),
        (
            {"status": "skipped", "file": "b.jpg", "error": {"message": "no picture"}},
            ["6", "b.jpg", "", "", "Skipped", "Not billed", "no picture"],
        ),
    ],
)
def test_the_plain_table_has_the_row_in_words(row: dict[str, Any], cells: list[str]) -> None:
    """Without script a row says what it is, whether it was paid, and why a person should look."""
    assert re.findall(r"<td>(.*?)</td>", rows_block([{"n": 5, **row}])) == cells


@pytest.mark.parametrize(
    ("language", "reason"),
    [
        ("en", "Tax: the text is not a number; low confidence: 0.41"),
        ("ko", "부가세: 숫자가 아님; 신뢰도 낮음: 0.41"),
    ],
)
def test_the_plain_table_words_reasons_as_the_script_does(language: Any, reason: str) -> None:
    """Checks have their names, and reasons the language of the page."""
    why = [{"why": ["tax: the text is not a number", "confidence 0.41"]}]
    assert reason in rows_block([{"n": 0, "status": "succeeded", "fields": why}], language=language)


def test_marks_that_turn_text_are_spelled_out_in_the_plain_table() -> None:
    """A name that a mark would show backwards is shown with the mark."""
    row = {"n": 0, "status": "failed", "file": "\u202egpj.exe", "error": {"message": "\u2066x"}}
    block = rows_block([row]).partition("<tbody>")[2]
    assert "[U+202E]gpj.exe" in block
    assert "[U+2066]x" in block


def test_an_unmasked_page_says_so_in_its_title() -> None:
    """The title of a masked page has the run alone."""
    assert "<title>UNMASKED - run - CLOVA OCR</title>" in head("run", masked=False, language="en")
    assert "<title>run - CLOVA OCR</title>" in head("run", masked=True, language="ko")


def test_every_text_is_there_in_both_languages() -> None:
    """No text lacks a language, and both have the same places for values."""
    for key, texts in TEXTS["words"].items():
        assert list(texts) == ["en", "ko"], key
        values = [set(re.findall(r"\{\w+\}", texts[language])) for language in texts]
        assert values[0] == values[1], key
        assert re.search("[가-힣]", texts["ko"]) or key in {"language.other", "place.document", "speed.span"}, key


def test_every_text_that_is_named_exists_and_every_text_is_named() -> None:
    """The table has what scripts, markup and the frame name, and nothing that none of them does."""
    code = scripts() + asset("report.html.j2") + _frame()
    named = set(re.findall(r"""(?:say\(|\bt\(|data-t(?:-\w+)?=)["']([\w.]+\w)["']""", code))
    named |= set(re.findall(r"""["'](\w+\.\w+)["']""", code)) & TEXTS["words"].keys()
    assert named - TEXTS["words"].keys() == set()
    # The rest is named by a prefix and a value: status.${row.status}
    prefixes = set(re.findall(r"""[`"'](\w+\.)(?:\$\{|\{|["'] ~)""", code))
    assert [key for key in TEXTS["words"] if key not in named and f"{key.partition('.')[0]}." not in prefixes] == []


def _frame() -> str:
    return (resources.files("clova_ocr_async.results.report") / "page.py").read_text("utf-8")


def test_every_reason_of_a_check_has_a_translation() -> None:
    """Reasons stand in English in the rows; the page has all of them in Korean, and the names of all checks."""
    results = resources.files("clova_ocr_async.results")
    code = (results / "checks.py").read_text("utf-8") + (results / "mrz_checks.py").read_text("utf-8")
    calls = re.findall(r'Check\(.*?"(?:passed|failed|unknown)", "([^"]+)"', code)
    assert len(calls) > 25
    assert set(calls) - TEXTS["reasons"].keys() == set()
    names = re.findall(r'\b(?:_\w+|Check)\("([a-z]\w+)", ', code) + re.findall(r'name, \w+ = "(\w+)"', code)
    assert {f"check.{name}" for name in names} - TEXTS["words"].keys() == set()


def test_an_unknown_word_is_shown_as_it_is() -> None:
    """A kind of document or status that a later version writes is still shown."""
    assert word("status.succeeded", "ko") == "성공"
    assert word("status.new", "ko") == "status.new"
