from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect
from report_pages import invented_rows, write_page

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Locator, Page

pytestmark = pytest.mark.asyncio(loop_scope="session")


def lines(page: Page) -> Locator:
    """Return the rows of the list that are in the document."""
    return page.locator("#grid-space .row")


async def test_a_filter_leaves_its_rows_and_is_in_the_address(page: Page, address: str) -> None:
    """Choosing "Failed" leaves the failed documents, says how many are hidden, and outlives a reload and going back."""
    await page.goto(f"{address}#view=list")
    await page.get_by_role("button", name="Failed 12").click()
    await expect(page.locator("#count")).to_have_text("12 of 400 documents, 388 hidden by filters")
    assert "status=failed" in page.url
    await page.reload()
    await expect(lines(page)).to_have_count(12)
    await lines(page).first.click()
    await page.go_back()
    await expect(page.locator("#document")).to_be_hidden()
    await expect(lines(page)).to_have_count(12)


async def test_filters_combine_and_count_what_they_would_leave(page: Page, address: str) -> None:
    """Beside "To check", the chip of a status counts the rows that both leave; clearing shows all rows again."""
    await page.goto(f"{address}#view=list&flag=checks")
    await expect(page.get_by_role("button", name="Succeeded 8")).to_be_visible()
    await expect(page.get_by_role("button", name="Failed 12")).to_have_count(0)
    await page.get_by_role("button", name="Clear filters").click()
    await expect(page.locator("#count")).to_have_text("400 documents")


@pytest.mark.parametrize(
    ("query", "value"),
    [("스타벅스", "스타벅스"), ("ㅅㅌㅂㅅ", "스타벅스"), ("gs25 ㅇㅅ", "GS25 역삼"), ("ㅇㄹㅂㅇ", "올리브영")],
)
async def test_a_search_finds_values_and_initial_consonants(
    page: Page, address: str, rows: list[dict[str, Any]], query: str, value: str
) -> None:
    """A slash goes to the search box, and a query finds values; Hangul by its initial consonants too."""
    await page.goto(address)
    await page.keyboard.press("/")
    await page.keyboard.insert_text(query)
    wanted = sum(any(value in field["t"] for field in row["fields"]) for row in rows)
    await expect(page.locator("#count")).to_contain_text(f"{wanted} of 400")


async def test_a_search_finds_own_columns(page: Page, tmp_path: Path) -> None:
    """A column that a list gave an image is found by its value, and shown with the document."""
    rows = list(invented_rows(30))
    rows[4]["columns"] = {"voucher": "V-2026-77"}
    await page.goto(f"{write_page(tmp_path / 'report.html', rows)}#view=list&q=v-2026-77")
    await expect(page.locator("#count")).to_contain_text("1 of 30")
    await lines(page).click()
    await expect(page.locator("#document-notes .own")).to_have_text("voucherV-2026-77")


async def test_consonants_that_an_input_method_joined_are_taken_apart(page: Page, address: str) -> None:
    """Two consonants in a row arrive as one cluster from a Korean keyboard, and find the same as the two."""
    await page.goto(f"{address}#view=list&q=ㄱㄴㅈ")
    await expect(page.locator("#count")).to_contain_text("hidden by filters")
    apart = await page.locator("#count").text_content()
    await page.locator("#search").fill("ㄱㄵ")
    await expect(page.locator("#count")).to_have_text(apart or "")
    assert not (apart or "").startswith("0 ")


async def test_nothing_found_is_said_in_a_sentence(page: Page, address: str) -> None:
    """A search without a match shows a sentence, not an empty table."""
    await page.goto(f"{address}#view=list&q=nowhere")
    await expect(page.locator("#empty")).to_have_text("No document fits the search and the filters.")


async def test_a_header_sorts_and_says_so(page: Page, address: str, rows: list[dict[str, Any]]) -> None:
    """A header sorts by its column, then the other way round, as aria-sort says; rows without a value are last."""
    await page.goto(f"{address}#view=list")
    header = page.get_by_role("columnheader", name="Lowest confidence")
    await header.get_by_role("button").click()
    await expect(header).to_have_attribute("aria-sort", "ascending")
    lowest = min((row for row in rows if "min" in row), key=lambda row: row["min"])
    await expect(lines(page).first).to_have_attribute("data-n", str(lowest["n"]))
    await header.get_by_role("button").click()
    await expect(header).to_have_attribute("aria-sort", "descending")
    await page.locator("#grid").evaluate("grid => { grid.scrollTop = grid.scrollHeight; }")
    await expect(page.locator("#grid-space .row[aria-rowindex='401'] .cell.min")).to_have_text("\u2013")


async def test_only_visible_rows_are_in_the_document(page: Page, address: str) -> None:
    """However far the list is scrolled, the document holds a screenful of rows, and the whole page few elements."""
    await page.goto(f"{address}#view=list")
    await page.locator("#grid").evaluate("grid => { grid.scrollTop = 7000; }")
    await expect(page.locator("#grid-space .row[data-n='200']")).to_be_visible()
    assert await lines(page).count() < 60
    assert await page.evaluate("document.getElementsByTagName('*').length") < 1500


async def test_the_keyboard_alone_opens_a_document_and_returns_to_its_row(page: Page, address: str) -> None:
    """Tab leads to a row, arrows and End through the rows, Enter opens the document, and Esc goes back to the row."""
    await page.goto(f"{address}#view=list")
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.dataset.n !== undefined"):
            break
    await page.keyboard.press("End")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")
    await expect(page.locator("#document-title")).to_have_text("영수증_00398.jpg")
    await expect(page.locator("#fields .field").first).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("#grid-space .row[data-n='398']")).to_be_focused()
    assert "open" not in page.url


async def test_a_lower_threshold_leaves_fewer_doubts(page: Page, address: str, rows: list[dict[str, Any]]) -> None:
    """The threshold decides which confidences are doubtful; failed checks stay doubtful at any."""
    await page.goto(f"{address}#view=list&t=0.5")
    failed = {(row["n"], len(row["fields"]) - 2) for row in rows if len(row["checks"]) > 1}
    low = {(row["n"], place) for row in rows for place, field in enumerate(row["fields"]) if field["c"] < 0.5}
    await expect(page.locator("#queue-count")).to_have_text(f"{len(failed | low)} doubtful fields")


async def test_the_list_follows_the_open_document(page: Page, address: str) -> None:
    """Beside a document the list shows its row, after a deep link and after keys that lead far away."""
    await page.goto(f"{address}#open=300")
    row = page.locator("#grid-space .row[aria-selected='true']")
    await expect(row).to_be_in_viewport()
    await expect(row).to_have_attribute("data-n", "300")
    await page.keyboard.press("n")
    await expect(row).to_have_attribute("data-n", str(await page.evaluate("state.open")))
    await expect(row).to_be_in_viewport()


async def test_the_keyboard_sorts_too(page: Page, address: str) -> None:
    """Enter on a header sorts by its column, and opens no document."""
    await page.goto(f"{address}#view=list")
    header = page.get_by_role("columnheader", name="Status")
    await header.get_by_role("button").focus()
    await page.keyboard.press("Enter")
    await expect(header).to_have_attribute("aria-sort", "ascending")
    await expect(page.locator("#document")).to_be_hidden()


async def test_a_printed_list_has_all_rows(page: Page, address: str) -> None:
    """On paper stand all rows that the filters leave, one below the other; then the list is as it was."""
    await page.goto(f"{address}#view=list&flag=review")
    found = await page.evaluate("visibleRows().length")
    await page.evaluate("dispatchEvent(new Event('beforeprint'))")
    await page.emulate_media(media="print")
    await expect(lines(page)).to_have_count(found)
    tops = await lines(page).evaluate_all("rows => rows.map((row) => row.getBoundingClientRect().top)")
    assert tops == sorted(set(tops))
    await page.evaluate("dispatchEvent(new Event('afterprint'))")
    await page.emulate_media(media="screen")
    assert await lines(page).count() < 60


async def test_a_list_that_is_too_long_for_paper_says_so(page: Page, address: str) -> None:
    """Of thousands of rows the first ones are printed, and a sentence names the rest."""
    await page.goto(f"{address}#view=list")
    await page.evaluate("grid.shown = Array.from({ length: 5001 }, (_, n) => rows[n % rows.length])")
    await page.evaluate("dispatchEvent(new Event('beforeprint'))")
    await expect(lines(page)).to_have_count(5000)
    await expect(page.locator("#empty")).to_contain_text("The first 5,000 of 5,001 documents.")
    await page.evaluate("dispatchEvent(new Event('afterprint'))")
    await expect(page.locator("#empty")).to_be_hidden()
    await expect(page.locator("#count")).to_have_text("400 documents")
