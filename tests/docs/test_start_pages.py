from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.doc_pages import DOCS, ROOT
from support.readmes import links_of, sections_of

_RESUME = "clova-ocr batch receipt inbox/ --run run/ clova-ocr status run/ --price 80"  # in the section of that name
ANSWERS = {  # what a page holds that answers a question, in English and in Korean
    "what does a timeout cost me?": (
        "**A timeout costs at most one call.**",
        "**시간 초과의 비용은 최대 호출 한 번입니다.**",
    ),
    "how do I resume?": (_RESUME, _RESUME),
    "how do I mask?": ("clova-ocr redact run/", "clova-ocr redact run/"),
    "how do I put it behind FastAPI?": ("app.include_router(ocr_router(", "app.include_router(ocr_router("),
    "how do I get an account?": ("1. **Sign up**", "1. **네이버 클라우드 플랫폼에 가입하고**"),
}
STARTS = {"README.md": 0, "docs/index.md": 0, "README.ko.md": 1, "docs/ko/index.md": 1}


def within_clicks(start: str, clicks: int) -> dict[Path, int]:
    """Return the pages that can be reached from a page, with the number of clicks; other languages are left out."""
    reached, last = {ROOT / start: 0}, [ROOT / start]
    for click in range(1, clicks + 1):
        found = [page for before in last for page in _links(before) if page not in reached]
        reached |= dict.fromkeys(found, click)
        last = found
    return reached


def _links(page: Path) -> list[Path]:
    sections = sections_of(page.read_text(encoding="utf-8"))
    links = [link for one in sections for text, link in links_of(one.prose) if text not in {"English", "한국어"}]
    paths = [Path(os.path.normpath(page.parent / link.partition("#")[0])) for link in links if link[0] != "#"]
    return [path for path in paths if path.suffix == ".md"]


def _is_korean(page: Path) -> bool:
    return page.name == "README.ko.md" or page.is_relative_to(DOCS / "ko")


@pytest.mark.parametrize("question", ANSWERS)
@pytest.mark.parametrize("start", STARTS)
def test_a_question_is_answered_within_two_clicks(start: str, question: str) -> None:
    """Each start page leads to the answer in its own language, over at most one other page."""
    answer = ANSWERS[question][STARTS[start]]
    pages = [page for page in within_clicks(start, 2) if _is_korean(page) == _is_korean(ROOT / start)]
    assert [page for page in pages if answer in " ".join(page.read_text(encoding="utf-8").split())]
