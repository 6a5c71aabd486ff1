from __future__ import annotations

import os
import re
import warnings

import pytest
from generated_docs import PARTS
from korean_docs import TEXTS, in_korean, missing_texts, words_of
from support.doc_pages import DOCS, ROOT, all_pages
from support.readmes import (
    differences,
    glossary_of,
    hangul_share,
    informal_endings,
    links_of,
    missing_terms,
    sections_of,
    stale_sections,
)

PAGES = sorted(path.removeprefix("ko/") for path in all_pages() if path.startswith("ko/"))
README = ROOT / "README.ko.md"


def pair(page: str) -> tuple[str, str]:
    """Return the English and the Korean text of a page."""
    return (DOCS / page).read_text(encoding="utf-8"), (DOCS / "ko" / page).read_text(encoding="utf-8")


def test_the_pages_of_daily_work_are_in_korean() -> None:
    """Start, tutorial, account, costs, errors and all how-tos are in Korean; a new how-to comes with its version."""
    how_tos = [path for path in all_pages() if path.startswith("howto/")]
    assert sorted(PAGES) == sorted(["index.md", "tutorial.md", "account.md", "costs.md", "errors.md", *how_tos])


@pytest.mark.parametrize("page", PAGES)
def test_a_korean_page_has_the_structure_and_the_code_of_the_english_one(page: str) -> None:
    """Headings, blocks, tables, lists, links and names are the same in both, in the same order."""
    assert differences(*pair(page)) == []


@pytest.mark.parametrize("page", PAGES)
def test_a_heading_has_the_same_address_in_both_languages(page: str) -> None:
    """A link to a section of a page works with its Korean version too."""
    english, korean = map(sections_of, pair(page))
    assert [one.anchor for one in korean[1:]] == [one.anchor for one in english[1:]]


@pytest.mark.parametrize("page", PAGES)
def test_each_page_leads_to_the_other_language(page: str) -> None:
    """The line below the first heading switches the language."""
    english, korean = pair(page)
    here = os.path.relpath(DOCS / "ko" / page, (DOCS / page).parent)
    there = os.path.relpath(DOCS / page, (DOCS / "ko" / page).parent)
    assert english.splitlines()[1] == f"**English** | [한국어]({here})"
    assert korean.splitlines()[2] == f"[English]({there}) | **한국어**"


@pytest.mark.parametrize("path", [README, *(DOCS / "ko" / page for page in PAGES)], ids=lambda path: path.name)
def test_korean_text_leads_to_korean_pages(path: os.PathLike[str]) -> None:
    """A link leads to a file that exists, and to its Korean version if there is one."""
    for section in sections_of((ROOT / path).read_text(encoding="utf-8")):
        for text, link in links_of(section.prose):
            target = ((ROOT / path).parent / link.partition("#")[0]).resolve() if link[0] != "#" else ROOT / path
            assert target.is_file(), link
            if text != "English" and target.is_relative_to(DOCS):
                assert str(target.relative_to(DOCS)) not in PAGES, f"{link} leads to the English page"


@pytest.mark.parametrize("page", PAGES)
def test_a_term_has_one_translation_on_all_pages(page: str) -> None:
    """Each section translates the terms of the glossary of README.ko.md as the glossary does, in formal Korean."""
    english, korean = pair(page)
    assert missing_terms(english, korean, glossary_of(README.read_text(encoding="utf-8"))) == []
    assert informal_endings(korean) == []
    assert hangul_share(korean) > 0.5


@pytest.mark.filterwarnings("default:docs/ko/")
@pytest.mark.parametrize("page", PAGES)
def test_changed_english_prose_of_a_page_is_a_warning(page: str) -> None:
    """A section whose English text has changed is named with the mark that it needs, and every section has a mark."""
    english, korean = pair(page)
    for heading, mark in stale_sections(english, korean).items():
        message = f"docs/ko/{page}: compare {heading!r} with the English text, then mark it {mark}"
        warnings.warn(message, stacklevel=1)
    assert all(section.mark for section in sections_of(korean))


def test_the_korean_texts_are_those_of_the_code() -> None:
    """Each class, code, status, exit code and number has a Korean text, and no text is left over."""
    names = {name for page in PAGES for name in re.findall(r"<!-- generated: (.+) -->", pair(page)[1])}
    used = set[str]().union(*(words_of(PARTS[name]()) for name in names))
    assert used == set(TEXTS)


def test_a_text_of_the_code_without_a_translation_is_named() -> None:
    """A new code fails the generator until it has a Korean text."""
    part = "| code | meaning |\n|---|---|\n| `0042` | a new fault |"
    assert missing_texts(part) == ["a new fault"]
    with pytest.raises(LookupError, match="no Korean text for: a new fault"):
        in_korean(part)
