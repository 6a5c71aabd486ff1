from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect
from report_pages import invented_rows, invented_run, write_page

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.asyncio(loop_scope="session")

# The elements that are wider than their place.
TOO_WIDE = """[document.documentElement, ...document.querySelectorAll('main, main > div, section, .values')]
  .filter((element) => element.scrollWidth > element.clientWidth + 1)
  .map((element) => element.id || element.className)"""
# Marks that would turn the text after them are spelled out.
SPELLED = {0x202E: "[U+202E]", 0x2066: "[U+2066]"}
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "</noscript><svg onload=alert(1)>",
    "\u202ereversed\u2066",
    "\u2028\u2029\x00\ufffe",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:alert(1)",
    "a" * 5000,
]


def planted() -> list[dict[str, Any]]:
    """Return rows whose names, values and messages are hostile."""
    rows = list(invented_rows(len(HOSTILE)))
    for row, text in zip(rows, HOSTILE, strict=True):
        row |= {"file": text, "source": f"scans/{text}", "request_id": text, "copy_of": text}
        for field in row["fields"]:
            field |= {"t": text, "why": [text]}
        row["columns"] = {text: text}
        row["error"] = {"type": text, "code": text, "message": text}
    return rows


async def test_hostile_values_are_text(page: Page, tmp_path: Path) -> None:
    """Markup in names, values and messages is shown letter by letter, in every view, and runs nothing."""
    rows = planted()
    run = invented_run(
        rows, run=HOSTILE[0], checks=[{"row": 0, "name": HOSTILE[1], "reason": HOSTILE[1], "values": HOSTILE}]
    )
    address = write_page(tmp_path / "report.html", rows, run)
    await page.goto(address)
    await expect(page.locator("h1")).to_have_text(HOSTILE[0])
    await expect(page.locator("#summary .disagree .value").nth(1)).to_have_text(HOSTILE[1])
    for number, text in enumerate(HOSTILE):
        await page.goto(f"{address}#open={number}&field=0")
        spelled = text.translate(SPELLED)
        assert await page.locator("#document-title").text_content() == spelled
        assert await page.locator("#document-notes .own").text_content() == spelled + spelled
        if rows[number]["fields"]:
            assert spelled in (await page.locator("#fields .value").first.text_content() or "")
    assert await page.evaluate("document.querySelectorAll('img, script:not([type]), iframe').length") == 1  # our script


async def test_the_summary_counts_and_costs(page: Page, tmp_path: Path) -> None:
    """The first view has the totals with thousands separators, and the cost of each cause at the price of a call."""
    rows = list(invented_rows(10))
    run = invented_run(rows, price=30)
    run["totals"] |= {"records": 12345, "billed": 10000, "maybe_billed": 20}
    await page.goto(write_page(tmp_path / "report.html", rows, run))
    summary = page.locator("#summary")
    await expect(summary).to_contain_text("12,345")
    await expect(summary.locator("tfoot tr").first).to_have_text("Total10,00020₩300,000")
    await expect(summary).to_contain_text("at most ₩300,600")
    await expect(summary).to_contain_text("Copies of files spared 12 calls (₩360).")


async def test_what_a_run_does_not_know_is_said(page: Page, tmp_path: Path) -> None:
    """Without times, price, failures or checks the summary has sentences in their places."""
    rows = list(invented_rows(5))
    bare = invented_run(
        rows, price=None, speed={"from": None, "per_minute": None, "seconds": None}, causes=[], checks=[], not_shown=[]
    )
    bare["totals"] |= {"spared": 0}
    await page.goto(write_page(tmp_path / "report.html", rows, bare))
    for sentence in (
        "does not know when its answers came",
        "does not know how long its calls took",
        "Write it with --price to see the cost.",
        "Nothing failed.",
        "No check failed.",
        "so no call was spared",
        "5 documents have no picture here.",
    ):
        await expect(page.locator("#summary")).to_contain_text(sentence)


async def test_an_empty_run_has_a_sentence(page: Page, tmp_path: Path) -> None:
    """A run without documents opens, and says that it has none."""
    await page.goto(write_page(tmp_path / "report.html", []) + "#view=list")
    await expect(page.locator("#empty")).to_have_text("This run has no documents.")


async def test_a_cut_page_says_so(browser: Browser, tmp_path: Path) -> None:
    """A page whose last block of data is missing, as in a broken copy, says that its data ends too early."""
    path = tmp_path / "report.html"
    write_page(path, list(invented_rows(3)))
    before, _, rest = path.read_text(encoding="utf-8").partition('<script type="application/json" id="run">')
    path.write_text(before + rest[rest.index("<script>") :], encoding="utf-8")
    context = await browser.new_context(offline=True)
    page = await context.new_page()
    await page.goto(path.as_uri())
    await expect(page.locator("#broken")).to_be_visible()
    await context.close()


async def test_an_unmasked_page_says_so_in_red_and_in_its_title(page: Page, tmp_path: Path) -> None:
    """A page that is not masked says so at its top and in its title; a masked page does not."""
    rows = list(invented_rows(3))
    await page.goto(write_page(tmp_path / "report.html", rows, invented_run(rows, masked=False)))
    assert await page.title() == "UNMASKED - march run - CLOVA OCR"
    note = page.locator("p.unmasked").first
    await expect(note).to_be_visible()
    await expect(note).to_have_css("background-color", "rgb(179, 38, 30)")


async def test_a_masked_page_does_not_warn(page: Page, address: str) -> None:
    """A masked page has no warning, and a tag that says what it is."""
    await page.goto(address)
    assert await page.title() == "march run - CLOVA OCR"
    await expect(page.locator("p.unmasked")).to_be_hidden()
    await expect(page.locator("header .badge")).to_have_text("Masked")


async def test_without_script_there_is_a_plain_table(browser: Browser, address: str) -> None:
    """A browser that runs no script shows all rows in plain tables, and nothing that would not work."""
    context = await browser.new_context(java_script_enabled=False, offline=True)
    page = await context.new_page()
    await page.goto(address)
    await expect(page.locator("table.plain tbody tr")).to_have_count(400)
    await expect(page.locator("table.plain tbody tr").nth(7)).to_have_text(
        "8영수증_00007.jpgReceiptFailedBilledthe service answered FAILURE"
    )
    await expect(page.get_by_role("link")).to_have_count(0)
    await expect(page.locator("#app")).to_be_hidden()
    await expect(page.get_by_role("button")).to_have_count(0)
    await context.close()


async def test_the_page_speaks_korean(page: Page, address: str) -> None:
    """A key switches every fixed text to Korean, labels of fields and reasons too, and the choice is kept."""
    await page.goto(f"{address}#open=3&field=20")
    await page.keyboard.press("l")
    await expect(page.locator("#fields .field[aria-selected='true']")).to_contain_text(
        "부가세와 할인을 고려해도 품목의 합이 합계금액과 다름"
    )
    await expect(page.locator("#fields .label").first).to_have_text("상호")
    await page.goto(address)
    await page.reload()
    await expect(page.locator("nav a").first).to_have_text("요약")
    english = await page.evaluate(
        "[...document.querySelectorAll('[data-t]')].map((e) => e.textContent).filter((t) => /^[a-z ]{4,}$/i.test(t))"
    )
    assert english == ["English"]


@pytest.mark.parametrize("language", ["en", "ko"])
async def test_a_phone_needs_no_horizontal_scrolling(browser: Browser, address: str, language: str) -> None:
    """At 390 pixels no view is wider than the screen."""
    context = await browser.new_context(viewport={"width": 390, "height": 844}, offline=True)
    page = await context.new_page()
    await page.goto(address)
    await page.evaluate("language => localStorage.setItem('clova-report-language', language)", language)
    await page.reload()
    wide = {}
    for view in ("#", "#view=list", "#open=3&field=20", "#open=7"):
        await page.evaluate("view => { location.hash = view; }", view)
        wide[view] = await page.evaluate(TOO_WIDE)
    assert {view: found for view, found in wide.items() if found} == {}
    await context.close()


@pytest.mark.parametrize(("system", "other"), [("light", "dark"), ("dark", "light")])
async def test_light_and_dark_follow_the_system_and_the_switch(
    browser: Browser, address: str, system: Any, other: str
) -> None:
    """The page takes the system's scheme, and a key takes the other."""
    context = await browser.new_context(color_scheme=system, offline=True)
    page = await context.new_page()
    await page.goto(address)
    dark = "rgb(14, 16, 19)"
    light = "rgb(244, 245, 247)"
    await expect(page.locator("body")).to_have_css("background-color", dark if system == "dark" else light)
    await page.keyboard.press("t")
    await expect(page.locator("body")).to_have_css("background-color", dark if other == "dark" else light)
    await context.close()


async def test_the_policy_runs_no_other_script(browser: Browser, address: str) -> None:
    """A script that is put into the page does not run, and nothing is fetched: the policy names ours alone."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(address)
    await page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.ran = 1' }))"
    )
    assert await page.evaluate("window.ran") is None
    assert await page.evaluate("fetch('http://127.0.0.1:9/').catch((error) => error.name)") == "TypeError"
    await context.close()


async def test_nothing_is_lost_between_the_rows_and_the_page(
    page: Page, address: str, rows: list[dict[str, Any]]
) -> None:
    """The page holds exactly the rows that were written."""
    await page.goto(address)
    held = await page.evaluate("JSON.stringify(rows)")
    assert json.loads(held) == json.loads(json.dumps(rows))
