from __future__ import annotations

import re
import shutil
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support.doc_pages import ROOT, PageRunner, blocks_of
from support.readmes import (
    differences,
    glossary_of,
    hangul_share,
    informal_endings,
    missing_terms,
    sections_of,
    stale_sections,
)

from clova_ocr_async.emulator import draw_sample, emulator_in_thread

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator, Sample

ENGLISH, KOREAN = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md"))
BLOCKS = blocks_of("../README.md")


def _resident_card() -> Sample:
    cards = (draw_sample("id-card", seed=seed) for seed in range(20))
    return next(card for card in cards if "ic" in card.truth.answer["result"])


@pytest.fixture
def clova() -> Generator[Emulator]:
    """A local CLOVA."""
    with emulator_in_thread(latency=0, sigma=0) as emulator:
        yield emulator


@pytest.mark.parametrize("text", [ENGLISH, KOREAN], ids=["en", "ko"])
def test_a_readme_has_160_lines_at_most(text: str) -> None:
    """A README is read in some minutes; more than that is a page of the documentation."""
    assert text.count("\n") <= 160


def test_the_readme_begins_with_the_two_commands() -> None:
    """The first two shell blocks of the README are the two commands that need nothing before them."""
    assert [block.code for block in BLOCKS[:2]] == [
        "pip install -e '.[all]' && clova-ocr demo\n",
        "pip install nox && nox -s tests\n",
    ]


def _exports(cards: Emulator) -> str:
    # What a reader with a second domain adds, whose URL the README names. PageRunner's own domain reads every document.
    return (
        f"unset CLOVA_OCR_INVOKE_URL CLOVA_OCR_SECRET\nexport CLOVA_OCR_ID_CARD_INVOKE_URL={cards.url('id-card')}\n"
        f"export CLOVA_OCR_ID_CARD_SECRET={cards.secret}\n"
    )


def test_the_programs_and_commands_of_the_readme_do_what_they_say(tmp_path: Path, clova: Emulator) -> None:
    """Its blocks run in order, and leave a run, a workbook, a report and masked pictures; each image is paid once."""
    receipts, card = [draw_sample("receipt", seed=seed) for seed in range(2)], _resident_card()
    (tmp_path / "scans").mkdir()
    for number, receipt in enumerate(receipts):
        (tmp_path / "scans" / f"{number}.png").write_bytes(receipt.data)
    shutil.copy(tmp_path / "scans" / "0.png", tmp_path / "receipt.jpg")
    (tmp_path / "id-card.jpg").write_bytes(card.data)

    printed = ""
    with emulator_in_thread(latency=0, sigma=0) as cards, PageRunner(tmp_path, clova) as runner:
        for block in BLOCKS:
            code = _exports(cards) + block.code if "export " in block.code else block.code
            if "def test_" not in code:
                printed += runner.run(replace(block, code=code))
        assert cards.billed.total() == 1

    total = receipts[0].truth.answer["result"]["totalPrice"]["price"]["formatted"]["value"]
    for shown in (total, card.truth.answer["result"]["ic"]["name"][0]["text"], "scans/1.png was read"):
        assert shown in printed
    assert clova.billed.total() == 3  # one receipt by itself, and the two of the run
    assert {path.name for path in tmp_path.iterdir()} >= {"run", "receipts.xlsx", "report.html", "masked"}
    assert len(list((tmp_path / "masked").iterdir())) == 2


def test_the_web_service_of_the_readme_reads_an_upload(clova: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's web service reads the upload of a caller with its token, and of no other."""
    from fastapi.testclient import TestClient  # noqa: PLC0415 - only this test needs it

    (program,) = [block.code for block in BLOCKS if "FastAPI" in block.code]
    for name, value in (
        ("APP_TOKEN", "token"),
        ("CLOVA_OCR_INVOKE_URL", clova.url()),
        ("CLOVA_OCR_SECRET", clova.secret),
    ):
        monkeypatch.setenv(name, value)
    service: dict[str, Any] = {}
    exec(program, service)  # noqa: S102 - our own README
    receipt = draw_sample("receipt")
    upload = {"file": ("scan.png", receipt.data)}
    with TestClient(service["app"]) as caller:
        assert caller.post("/ocr/receipt", files=upload).status_code == 401
        answer = caller.post("/ocr/receipt", files=upload, headers={"Authorization": "Bearer token"})
    assert (answer.status_code, answer.json()["document"]) == (200, receipt.truth.answer)


def test_the_test_of_the_readme_passes(clova_emulator: Emulator) -> None:
    """The README's test passes with the fixture that the package brings."""
    (program,) = [block.code for block in BLOCKS if "def test_" in block.code]
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - our own README
    names["test_a_receipt_costs_one_call"](clova_emulator)


@pytest.mark.parametrize("text", [ENGLISH, KOREAN], ids=["en", "ko"])
def test_every_link_of_a_readme_leads_somewhere(text: str) -> None:
    """Each link leads to a file that exists, and to a heading in it; each picture is small."""
    for picture, link in re.findall(r"(!?)\[[^]]*\]\(([^)]*)\)", text):
        path, _, anchor = link.partition("#")
        target = ROOT / path
        assert target.exists(), link
        if anchor:
            assert anchor in {section.anchor for section in sections_of(target.read_text(encoding="utf-8"))}, link
        assert not picture or target.stat().st_size < 200_000, link


def test_the_korean_readme_has_the_structure_and_the_code_of_the_english_one() -> None:
    """Headings, blocks, tables, lists, links and names are the same in both, in the same order."""
    assert differences(ENGLISH, KOREAN) == []


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("clova-ocr report run/", "clova-ocr report other/", "other code blocks"),
        ("## Money", "### Money", "other level of the heading"),
        ("docs/costs.md", "docs/cost.md", "other links"),
        ("`ambiguous`", "`unsure`", "other code in the text"),
        ("| no |", "| no | more |", "other rows of tables"),
        ("2. [The domain", "[The domain", "other items of lists"),
        ("## Documentation", "Documentation", "is in one of the two only"),
    ],
)
def test_a_difference_between_the_readmes_is_found(old: str, new: str, where: str) -> None:
    """A change of structure or code in one of the two is named."""
    assert any(where in found for found in differences(ENGLISH.replace(old, new, 1), KOREAN))


@pytest.mark.filterwarnings("default:README.ko.md")
def test_changed_english_prose_is_a_warning_and_no_failure() -> None:
    """A fix of the English text need not wait for a translator: the section is named with the mark that it needs."""
    for heading, mark in stale_sections(ENGLISH, KOREAN).items():
        warnings.warn(f"README.ko.md: compare {heading!r} with the English text, then mark it {mark}", stacklevel=1)
    changed = stale_sections(ENGLISH.replace("## Three promises", "## Three promises\n\nAnd a fourth one."), KOREAN)
    assert "세 가지 약속" in changed


def test_line_breaks_are_no_change_of_the_prose() -> None:
    """Another wrapping of the English lines leaves the marks of the translation valid."""
    wrapped = ENGLISH.replace("name\ncards", "name cards")
    assert wrapped != ENGLISH
    assert [one.hash for one in sections_of(wrapped)] == [one.hash for one in sections_of(ENGLISH)]


def test_a_term_has_one_translation() -> None:
    """Each section of the Korean README translates the terms of the glossary as the glossary does."""
    glossary = glossary_of(KOREAN)
    assert missing_terms(ENGLISH, KOREAN, glossary) == []
    assert missing_terms(ENGLISH, KOREAN.replace("할당량", "쿼터", 1), glossary)


def test_the_korean_readme_is_in_formal_korean() -> None:
    """Most letters of its prose are Hangul, and its sentences end formally."""
    assert hangul_share(KOREAN) > 0.6
    assert informal_endings(KOREAN) == []
    assert informal_endings("# 제목\n실행한다. 보냅니다.") == ["실행한다."]
