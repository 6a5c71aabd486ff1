"""The page of ``clova-ocr review``, talking to its server."""

from __future__ import annotations

import asyncio
import shutil
import signal
from typing import TYPE_CHECKING, NamedTuple

import pytest
import pytest_asyncio
from playwright.async_api import expect
from support.commands import CLOVA_OCR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser, Locator, Page, Route

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME, BRANCH = 0, 1  # fields of a receipt


class Review(NamedTuple):
    """A review of a run: the run, its server, its address with the token, and a tab of a browser that shows it."""

    run: Path
    server: asyncio.subprocess.Process
    address: str
    tab: Page


@pytest_asyncio.fixture(loop_scope="session")
async def review(browser: Browser, real_run: Path, tmp_path: Path) -> AsyncIterator[Review]:
    """A review by Minji of a copy of the run; its test fails if a script does."""
    run = tmp_path / "run"
    shutil.copytree(real_run, run)
    server, address = await started(run)
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    tab = await context.new_page()
    await tab.goto(address)
    await tab.wait_for_selector("#summary .tile")
    yield Review(run, server, address, tab)
    await context.close()
    await ended(server)
    assert errors == []


async def started(run: Path, *options: str) -> tuple[asyncio.subprocess.Process, str]:
    """Start a review of a run; return its server and its address."""
    command = (*CLOVA_OCR, "review", str(run), "--as", "Minji", *options)
    server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    return server, (await server.stdout.readline()).decode().strip()


async def ended(server: asyncio.subprocess.Process) -> None:
    """End a server as Ctrl-C does."""
    if server.returncode is None:
        server.send_signal(signal.SIGINT)
    await server.wait()


async def opened(tab: Page, field: int, file: str = "turned-1") -> Locator:
    """Open a receipt at a field, and return the line of that field."""
    await tab.get_by_role("link", name="Documents").click()
    await tab.locator("#search").fill(file)
    await tab.locator("#grid-space .row").click()
    line = tab.locator(f"#fields .field[data-index='{field}']")
    await line.locator(".label").click()
    return line


async def test_enter_saves_and_goes_to_the_next_doubtful_field(review: Review) -> None:
    """Enter saves a correction and goes to the next doubt, ready for typing; the value that was read stays visible."""
    tab = review.tab
    await tab.keyboard.press("n")
    await expect(tab.locator("#queue-place")).to_contain_text("doubtful 1 /")
    corrected = await tab.evaluate("[state.open, state.field, valueOf(rows[state.open].fields[state.field])]")
    await tab.keyboard.press("e")
    await tab.keyboard.insert_text("111-22-33333")
    await tab.keyboard.press("Enter")
    await tab.wait_for_function("n => state.open !== n", arg=corrected[0])
    await expect(tab.locator("#fields .field[aria-selected='true'] input")).to_be_focused()
    await tab.goto("about:blank")
    await tab.goto(f"{review.address}&open={corrected[0]}&field={corrected[1]}")
    line = tab.locator("#fields .field[aria-selected='true']")
    await expect(line.locator(".value")).to_have_text("111-22-33333")
    await expect(line.locator(".judged")).to_contain_text(f"{corrected[2]} was read; corrected by Minji")


async def test_the_token_is_not_left_in_the_address_and_a_reload_needs_none(review: Review) -> None:
    """The address bar has no token once the page is there, and the page can be reloaded."""
    assert "token" in review.address
    assert "token" not in review.tab.url
    await review.tab.reload()
    await expect(review.tab.locator("#summary .tile").first).to_contain_text("5")


async def test_a_page_without_the_token_shows_a_sentence_and_no_data(review: Review, browser: Browser) -> None:
    """The bare address shows the way out, and no row."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(review.address.partition("#")[0])
    await expect(page.locator("#broken")).to_have_text(
        "The server does not accept this page. Open the address that the command printed."
    )
    await expect(page.locator("#app")).to_be_hidden()
    await page.evaluate("localStorage.setItem('clova-report-language', 'ko')")
    await page.reload()
    await expect(page.locator("#broken")).to_contain_text("서버가 이 페이지의 접속을 거부했습니다.")
    await context.close()


async def test_esc_leaves_a_field_as_it_is(review: Review) -> None:
    """Esc in the input box puts the value back and returns to the field's line."""
    line = await opened(review.tab, NAME)
    box = line.get_by_role("textbox")
    before = await box.input_value()
    await review.tab.keyboard.press("e")
    await review.tab.keyboard.insert_text("something else")
    await review.tab.keyboard.press("Escape")
    await expect(box).to_have_value(before)
    await expect(line).to_be_focused()


async def test_a_field_is_confirmed_and_a_document_done_and_both_undone(review: Review) -> None:
    """One key confirms a field, one marks the document as done, and one takes back my changes, the last first."""
    tab = review.tab
    line = await opened(tab, NAME)
    await tab.keyboard.press("c")
    await expect(line.locator(".judged")).to_contain_text("Confirmed by Minji")
    await opened(tab, NAME)
    await tab.keyboard.press("d")
    await expect(tab.locator("#done-button")).to_have_attribute("aria-pressed", "true")
    await tab.keyboard.press("u")
    await expect(tab.locator("#done-button")).to_have_attribute("aria-pressed", "false")
    await tab.keyboard.press("u")
    await expect(line.locator(".judged")).to_have_count(0)
    await tab.keyboard.press("u")
    await expect(tab.locator("#announcement")).to_have_text("Nothing to undo in this tab.")


async def test_to_confirm_a_field_saves_what_was_typed(review: Review) -> None:
    """Who types a value and presses the button Confirm, or its key, has saved the value that the box shows."""
    tab = review.tab
    line = await opened(tab, NAME)
    await line.get_by_role("textbox").fill("typed name")
    await tab.get_by_role("button", name="Confirm").click()
    await expect(line.locator(".value")).to_have_text("typed name")
    await expect(line.locator(".judged")).to_contain_text("corrected by Minji")


async def test_a_value_of_two_lines_is_confirmed_as_it_is(review: Review) -> None:
    """An input box shows a value without its line ends; Enter alone does not take them out of the value."""
    tab = review.tab
    line = await opened(tab, NAME)
    await tab.evaluate("() => { rows[state.open].fields[0].t = 'one\\ntwo'; opened.row = null; render(); }")
    await expect(line.get_by_role("textbox")).to_have_value("onetwo")
    async with tab.expect_request("**/api/*") as sent:
        await line.get_by_role("textbox").press("Enter")
    request = await sent.value
    assert request.url.endswith("/api/confirm")
    assert (request.post_data_json or {})["old"] == "one\ntwo"


async def test_a_document_with_text_that_is_not_saved_is_not_done(review: Review) -> None:
    """The key that finishes a document leads to the field whose typed text would be left behind; Esc lets it go."""
    tab = review.tab
    line = await opened(tab, NAME)
    await line.get_by_role("textbox").fill("typed name")
    await opened(tab, BRANCH)
    await tab.keyboard.press("d")
    await expect(tab.locator("#announcement")).to_contain_text("text that is not saved")
    await expect(line.get_by_role("textbox")).to_be_focused()
    await expect(tab.locator("#done-button")).to_have_attribute("aria-pressed", "false")
    await tab.keyboard.press("Escape")
    await tab.keyboard.press("d")
    await expect(tab.locator("#done-button")).to_have_attribute("aria-pressed", "true")


async def test_a_field_without_a_doubt_leads_on_as_well(review: Review) -> None:
    """Enter on a field that was not doubtful goes to the first doubtful field, and not to the end of the queue."""
    tab = review.tab
    find = """() => {
      const fields = rows.flatMap((row) => (row.fields || []).map((field, index) => [row.n, index, field]));
      const sure = ([n, index, field]) => !field.m && !field.why && scoreOf(rows[n], index) > 1.95;
      return [...fields.find(sure).slice(0, 2), doubtfulFields().length];
    }"""
    n, field, doubts = await tab.evaluate(find)
    assert doubts > 0
    await tab.evaluate("([open, field]) => go({ open, field })", [n, field])
    box = tab.locator(f"#fields .field[data-index='{field}']").get_by_role("textbox")
    await box.fill("another value")
    await box.press("Enter")
    await expect(tab.locator("#queue-place")).to_contain_text("doubtful 1 /")


async def test_the_summary_counts_what_is_left(review: Review) -> None:
    """A field that a person has judged is not one to check any more, nor at the copies of its image."""
    tab = review.tab
    figure = tab.locator("#summary .tile", has_text="Fields to check").locator(".figure")
    before = int(await figure.inner_text())
    await tab.keyboard.press("n")
    await tab.keyboard.press("c")
    await expect(tab.locator("#announcement")).to_contain_text("Saved.")
    await tab.keyboard.press("s")
    await expect(figure).to_have_text(str(before - 1))
    judged = "rows.filter((row) => row.fields?.some((field) => field.confirmed)).map((row) => row.n)"
    (row,) = await tab.evaluate(judged)
    await tab.evaluate("n => takeRows({ row: rows[n], copies: [{ ...rows[n], n: (n + 1) % rows.length }] })", row)
    assert await tab.evaluate(judged) == sorted([row, (row + 1) % 5])


async def test_a_key_that_is_pressed_twice_makes_one_change(review: Review) -> None:
    """A document that is marked twice before the first answer is there is marked once, and one undo takes it back."""
    tab = review.tab
    await opened(tab, NAME)
    await tab.evaluate("Promise.all([setDone(), setDone()])")
    await expect(tab.locator("#done-button")).to_have_attribute("aria-pressed", "true")
    await tab.keyboard.press("u")
    await expect(tab.locator("#done-button")).to_have_attribute("aria-pressed", "false")
    await expect(tab.locator("#undo-button")).to_be_disabled()


async def test_two_tabs_lose_nothing(review: Review) -> None:
    """The second tab that corrects a field sees the other's value and keeps its own, which a second Enter saves."""
    other = await review.tab.context.new_page()
    await other.goto(review.address)
    await other.wait_for_selector("#summary .tile")
    mine, theirs = await opened(review.tab, NAME), await opened(other, NAME)
    await theirs.get_by_role("textbox").fill("their name")
    await theirs.get_by_role("button", name="Save").click()
    await expect(other.locator("#announcement")).to_contain_text("Saved.")
    await mine.get_by_role("textbox").fill("my name")
    await mine.get_by_role("textbox").press("Enter")
    await expect(mine.locator(".problem")).to_contain_text("Another tab has saved “their name” meanwhile.")
    await expect(mine.get_by_role("textbox")).to_have_value("my name")
    await mine.get_by_role("textbox").press("Enter")
    await expect(review.tab.locator("#announcement")).to_contain_text("Saved.")
    await other.reload()
    again = await opened(other, NAME)
    await expect(again.locator(".value")).to_have_text("my name")


async def test_a_value_that_is_there_already_counts_as_saved(review: Review) -> None:
    """A correction whose answer was lost is sent again, and the value that stands there by then is no conflict."""
    tab = review.tab
    line = await opened(tab, NAME)
    row = await tab.evaluate("structuredClone(rows[state.open])")
    await line.get_by_role("textbox").fill("my name")
    await line.get_by_role("textbox").press("Enter")
    await expect(tab.locator("#announcement")).to_contain_text("Saved.")
    await tab.evaluate("row => takeRows({ row })", row)
    line = await opened(tab, NAME)
    await line.get_by_role("textbox").fill("my name")
    await line.get_by_role("textbox").press("Enter")
    await expect(line.locator(".judged")).to_contain_text("corrected by Minji")
    await expect(line.locator(".problem")).to_be_hidden()


async def test_text_that_was_typed_stays_while_the_server_is_away(review: Review) -> None:
    """A save without a server says so and keeps the text, also while other fields and documents are looked at."""
    tab = review.tab
    line = await opened(tab, NAME)
    await ended(review.server)
    await line.get_by_role("textbox").fill("not yet saved")
    await line.get_by_role("textbox").press("Enter")
    await expect(line.locator(".problem")).to_contain_text("The review server does not answer.")
    await opened(tab, BRANCH, "turned-3")
    line = await opened(tab, NAME)
    await expect(line.get_by_role("textbox")).to_have_value("not yet saved")


async def test_the_tab_goes_on_with_a_server_that_was_started_again(review: Review) -> None:
    """The new address, opened in the same tab, saves what was typed, and its token does not stay in the address bar."""
    tab = review.tab
    line = await opened(tab, NAME)
    review.server.kill()
    await review.server.wait()
    await line.get_by_role("textbox").fill("typed before")
    await line.get_by_role("textbox").press("Enter")
    port = review.address.partition("/#")[0].rpartition(":")[2]
    await expect(line.locator(".problem")).to_contain_text(f"start it again with --port {port}")
    server, address = await started(review.run, "--port", port)
    try:
        await tab.evaluate("address => { location.href = address; }", address)
        await expect(line.get_by_role("textbox")).to_have_value("typed before")
        await tab.wait_for_function(
            "token => review.token === token && !review.returning", arg=address.partition("=")[2]
        )
        assert "token" not in tab.url
        await line.get_by_role("textbox").press("Enter")
        await expect(line.locator(".judged")).to_contain_text("corrected by Minji")
        assert await tab.evaluate("review.drafts.size") == 0
    finally:
        await ended(server)


async def test_the_list_of_a_large_run_is_there_while_the_rest_is_read(review: Review) -> None:
    """Rows are shown, searched and opened while the server reads the others; nothing can be changed until then."""
    tab = review.tab
    rest = asyncio.Event()

    async def slowly(route: Route) -> None:
        answer = await (await route.fetch()).json()
        if route.request.url.endswith("from=0"):
            await route.fulfill(json={"rows": answer["rows"][:3], "next": 3, "of": 1000})
        else:
            await rest.wait()
            await route.fulfill(json=answer)

    await tab.route("**/api/rows?*", slowly)
    await tab.reload()
    await expect(tab.locator("#loading")).to_have_text("Reading the run: 3 of 1,000 documents …")
    rows = tab.locator("#grid-space .row")
    await expect(rows).to_have_count(3)
    await rows.nth(1).focus()
    rest.set()
    await expect(rows).to_have_count(5)
    await expect(rows.nth(1)).to_be_focused()
    await expect(tab.locator("#loading")).to_be_hidden()
    await tab.keyboard.press("s")
    await expect(tab.locator("#summary .tile").first).to_contain_text("5")


async def test_a_change_before_all_rows_are_there_keeps_the_text(review: Review) -> None:
    """The server refuses changes while it reads the run; the page says so, and the text stays."""
    tab = review.tab

    async def refused(route: Route) -> None:
        await route.fulfill(status=503, json={"error": "the run is still being read; try again"})

    await tab.route("**/api/correct", refused)
    line = await opened(tab, NAME)
    await line.get_by_role("textbox").fill("early")
    await line.get_by_role("textbox").press("Enter")
    await expect(line.locator(".problem")).to_contain_text("the run is still being read")
    await tab.evaluate("() => { forgetRows(); opened.signature = null; render(); }")
    await expect(line.get_by_role("textbox")).to_have_value("early")


async def test_a_picture_that_comes_after_a_correction_is_shown(review: Review) -> None:
    """A person who is faster than the picture sees it all the same."""
    tab = review.tab
    there = asyncio.Event()

    async def late(route: Route) -> None:
        await there.wait()
        await route.continue_()

    await tab.route("**/api/picture?*", late)
    line = await opened(tab, NAME)
    await tab.keyboard.press("d")
    await expect(tab.locator("#done-button")).to_have_attribute("aria-pressed", "true")
    there.set()
    await expect(tab.locator("#scene image")).to_have_count(1)
    await expect(line.locator(".crop image")).to_have_count(1)


async def test_a_crop_of_the_picture_stands_beside_the_input_box(review: Review) -> None:
    """Each field has the part of the picture on which it stands."""
    line = await opened(review.tab, NAME)
    crop = line.locator(".crop svg")
    await expect(crop.locator("image")).to_have_attribute("href", await review.tab.evaluate("served.get(state.open)"))
    extent = await review.tab.evaluate("extentOfField(rows[state.open].fields[0])")
    left, top, width, height = map(float, (await crop.get_attribute("viewBox") or "").split())
    assert left < extent[0] < extent[2] < left + width
    assert top < extent[1] < extent[3] < top + height


async def test_a_masked_field_cannot_be_typed_over(review: Review) -> None:
    """A masked value has no input box, and a sentence that names the way."""
    line = await opened(review.tab, 1, "card.png")
    masked = review.tab.locator("#fields .field", has=review.tab.locator(".tag"))
    await expect(masked.get_by_role("textbox")).to_have_count(0)
    await expect(masked.first).to_contain_text("Start the review with --unmasked to correct it.")
    await masked.first.locator(".label").click()
    await review.tab.keyboard.press("e")
    await expect(review.tab.locator("#announcement")).to_contain_text("Start the review with --unmasked")
    await expect(line).to_be_visible()
