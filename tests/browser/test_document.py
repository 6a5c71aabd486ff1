from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect
from report_pages import drawn, invented_run, write_page

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Locator, Page

pytestmark = pytest.mark.asyncio(loop_scope="session")

# The rectangle of a box on the screen, without its stroke.
ON_SCREEN = """box => {
  const extent = box.getBBox();
  const matrix = box.getScreenCTM();
  const start = new DOMPoint(extent.x, extent.y).matrixTransform(matrix);
  const end = new DOMPoint(extent.x + extent.width, extent.y + extent.height).matrixTransform(matrix);
  return [start.x, start.y, end.x, end.y];
}"""


def chosen(page: Page) -> Locator:
    """Return the line of the chosen field."""
    return page.locator("#fields .field[aria-selected='true']")


async def test_a_deep_link_opens_a_document_at_a_field(page: Page, address: str, rows: list[dict[str, Any]]) -> None:
    """An address with a document and a field shows that document, and focuses that field."""
    await page.goto(f"{address}#open=3&field=5")
    await expect(page.locator("#document-title")).to_have_text("영수증_00003.jpg")
    await expect(chosen(page)).to_contain_text(rows[3]["fields"][5]["t"])
    await expect(chosen(page)).to_be_focused()


@pytest.mark.parametrize("wrong", ["open=4000", "open=x&field=-1", "open=7&field=2", "sort=constructor&t=z&view=none"])
async def test_a_wrong_link_still_shows_the_page(page: Page, address: str, wrong: str) -> None:
    """What a link names wrongly is left out."""
    await page.goto(f"{address}#{wrong}")
    await expect(page.locator("#app")).to_be_visible()
    await expect(chosen(page)).to_have_count(0)


async def test_one_key_walks_all_doubtful_fields_worst_first(
    page: Page, address: str, rows: list[dict[str, Any]]
) -> None:
    """Pressing n again and again visits every doubtful field once: failed checks first, then by confidence."""
    await page.goto(f"{address}#q=_0000")
    visited: list[tuple[int, int]] = []
    for _ in range(100):
        await page.keyboard.press("n")
        place = await page.evaluate("[state.open, state.field]")
        if visited and tuple(place) == visited[-1]:
            break
        visited.append((place[0], place[1]))
    doubtful = {
        (row["n"], place): (len(field["why"]) == 1 and field["c"] < 0.9, field["c"])
        for row in rows[:10]
        for place, field in enumerate(row["fields"])
        if "why" in field
    }
    assert visited == sorted(doubtful, key=lambda place: (doubtful[place], place))
    await expect(page.locator("#announcement")).to_have_text("That was the last doubtful field.")


async def test_a_field_and_its_box_light_each_other_up(page: Page, address: str) -> None:
    """The pointer on a field lights its box up, the pointer on a box its field, and a press on a box chooses it."""
    await page.goto(f"{address}#open=3")
    await page.locator("#fields .field").nth(2).hover()
    await expect(page.locator("#scene .box.lit")).to_have_attribute("data-field", "2")
    await page.locator("#scene .box[data-field='9']").hover()
    await expect(page.locator("#fields .field.lit")).to_have_attribute("data-index", "9")
    await page.locator("#scene .box[data-field='9']").click()
    await expect(chosen(page)).to_have_attribute("data-index", "9")


@pytest.mark.parametrize("keys", ["", "z", "++", "b"])
async def test_a_box_lies_where_its_polygon_says_at_every_zoom(
    page: Page, address: str, rows: list[dict[str, Any]], keys: str
) -> None:
    """Picture and box move together: the box of the chosen field covers its place on the picture at any zoom."""
    await page.goto(f"{address}#open=3&field=6")
    await page.wait_for_selector("#scene image")
    for key in keys:
        await page.keyboard.press(key)
    left, top, right, bottom = await page.locator("#scene .box.chosen").evaluate(ON_SCREEN)
    picture = await page.locator("#scene image").bounding_box()
    assert picture is not None
    scale = picture["width"] / 800
    polygon = rows[3]["fields"][6]["b"][0]
    assert [(left - picture["x"]) / scale, (right - picture["x"]) / scale] == pytest.approx([polygon[0], polygon[2]])
    assert [(top - picture["y"]) / scale, (bottom - picture["y"]) / scale] == pytest.approx([polygon[1], polygon[5]])


async def test_the_wheel_zooms_at_the_pointer(page: Page, address: str) -> None:
    """The point of the picture below the pointer stays there."""
    await page.goto(f"{address}#open=3")
    await page.wait_for_selector("#scene image")
    box = page.locator("#scene .box[data-field='4']")
    left, top, right, _ = await box.evaluate(ON_SCREEN)
    await page.mouse.move(left, top)
    await page.mouse.wheel(0, -400)
    await page.wait_for_function("before => stage.scale > before", arg=(right - left) / 300)
    after = await box.evaluate(ON_SCREEN)
    assert after[2] - after[0] > 1.5 * (right - left)
    assert after[:2] == pytest.approx([left, top], abs=1.5)  # the pointer stands on whole pixels


async def test_dragging_moves_the_picture_and_zero_fits_it_again(page: Page, address: str) -> None:
    """The mouse drags the picture along, and the key 0 puts it back whole."""
    await page.goto(f"{address}#open=3")
    await page.wait_for_selector("#scene image")
    image = page.locator("#scene image")
    before = await image.bounding_box()
    stage = await page.locator("#stage").bounding_box()
    assert before is not None
    assert stage is not None
    await page.mouse.move(stage["x"] + 20, stage["y"] + 20)
    await page.mouse.down()
    await page.mouse.move(stage["x"] + 80, stage["y"] + 120, steps=4)
    await page.mouse.up()
    moved = await image.bounding_box()
    assert moved is not None
    assert (moved["x"] - before["x"], moved["y"] - before["y"]) == pytest.approx((60, 100), abs=12)
    await page.keyboard.press("0")
    assert await image.bounding_box() == pytest.approx(before)


async def test_a_turned_picture_still_fits(page: Page, address: str) -> None:
    """The key r turns picture and boxes by a quarter, and the whole picture stays visible."""
    await page.goto(f"{address}#open=3")
    await page.wait_for_selector("#scene image")
    await page.keyboard.press("r")
    image = await page.locator("#scene image").bounding_box()
    stage = await page.locator("#stage").bounding_box()
    assert image is not None
    assert stage is not None
    assert image["width"] > image["height"]
    assert stage["x"] <= image["x"]
    assert image["x"] + image["width"] <= stage["x"] + stage["width"] + 1


async def test_zooming_to_a_wide_field_never_shows_less_of_it(page: Page, address: str) -> None:
    """A field as wide as its picture is shown as large as the whole picture is, and not smaller."""
    await page.goto(f"{address}#open=0&field=0")
    await page.evaluate("rows[0].fields[0].b = [[0, 0, 800, 0, 800, 90, 0, 90]]")
    await page.keyboard.press("0")
    whole = await page.evaluate("stage.scale")
    await page.keyboard.press("z")
    assert await page.evaluate("stage.scale") == whole


async def test_every_key_of_the_help_does_what_it_says(page: Page, address: str) -> None:
    """Each key has its effect on the page."""
    await page.goto(f"{address}#open=5&field=1")
    before = await page.evaluate("[stage.scale, stage.turn]")
    effects = {
        "j": "state.open === 6",
        "k": "state.open === 5 && state.field === null || state.field === 0",
        "ArrowDown": "state.field === 1",
        "ArrowUp": "state.field === 0",
        "z": f"stage.scale !== {before[0]}",
        "0": f"stage.scale === {before[0]}",
        "+": f"stage.scale > {before[0]}",
        "-": f"Math.abs(stage.scale - {before[0]}) < 1e-9",
        "r": "stage.turn === 90",
        "b": "stage.svg.classList.contains('boxless')",
        "n": "byId('queue-place').textContent.startsWith('doubtful 1 /')",
        "p": "byId('announcement').textContent === say('queue.first')",
        "l": "settings.language === 'ko'",
        "t": "document.documentElement.dataset.theme === 'dark'",
        "Escape": "state.open === null",
        "Enter": "state.open !== null",
        "s": "state.view === 'summary'",
        "/": "document.activeElement === byId('search')",
    }
    for key, effect in effects.items():
        await page.keyboard.press(key)
        assert await page.evaluate(effect), key
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    assert await page.evaluate("byId('help').open")
    shown = {*effects, "?"}
    assert await page.evaluate("KEYS.filter((one) => one.where !== 'review').map((one) => one.key)") == sorted(
        shown, key=(await page.evaluate("KEYS.map((one) => one.key)")).index
    )


async def test_the_help_has_every_key_that_is_bound(page: Page, address: str) -> None:
    """A question mark opens the list of keys, in the order of the table that binds them, and Esc closes it."""
    await page.goto(address)
    await page.keyboard.press("?")
    bound = await page.evaluate(
        "KEYS.filter((entry) => entry.where !== 'review').map((entry) => NAMES[entry.key] || entry.key)"
    )
    await expect(page.locator("#keys kbd")).to_have_text(bound)
    await page.keyboard.press("Escape")
    await expect(page.locator("#help")).to_be_hidden()


async def test_single_keys_can_be_switched_off(page: Page, address: str) -> None:
    """Letters do nothing once they are off, also after a reload."""
    await page.goto(address)
    await page.keyboard.press("?")
    await page.get_by_label("Single keys are on").uncheck()
    await page.keyboard.press("Escape")
    await page.reload()
    await page.keyboard.press("n")
    await expect(page.locator("#document")).to_be_hidden()


async def test_keys_work_while_a_korean_keyboard_is_on(page: Page, address: str) -> None:
    """The letter that a Korean keyboard has on the key n means the same."""
    await page.goto(address)
    await page.evaluate("document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'ㅜ', bubbles: true }))")
    await expect(page.locator("#document")).to_be_visible()


async def test_a_document_without_a_picture_says_why(page: Page, address: str) -> None:
    """Where there is no picture, a sentence stands in its place, and the boxes are drawn all the same."""
    await page.goto(f"{address}#open=200")
    await expect(page.locator("#picture-note")).to_have_text("This page has no picture of the document.")
    await expect(page.locator("#scene .box")).to_have_count(22)


async def test_a_picture_that_was_not_read_is_shown_in_its_own_size(
    page: Page, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    """A page that is not masked shows the picture of a failed document, in the proportions that it has."""
    failed = rows[7] | {"n": 0, "picture": "embedded"}
    wide = drawn(rows[3], 0.5)
    address = write_page(tmp_path / "report.html", [failed], invented_run([failed], masked=False), pictures={0: wide})
    await page.goto(f"{address}#open=0")
    await expect(page.locator("#scene image")).to_have_attribute("width", "400")
    await expect(page.locator("#scene image")).to_have_attribute("height", "600")
    await expect(page.locator("#picture-note")).to_be_hidden()


async def test_a_masked_page_says_why_a_failed_document_has_no_picture(page: Page, address: str) -> None:
    """What stands on a picture that was not read is not known, so a masked page does not show it, and says so."""
    await page.goto(f"{address}#open=7")
    await expect(page.locator("#picture-note")).to_contain_text("This picture was not read")
    await expect(page.locator("#scene image")).to_have_count(0)


@pytest.mark.parametrize("status", ["skipped", "pending"])
async def test_a_picture_that_was_not_sent_has_a_reason(
    page: Page, tmp_path: Path, rows: list[dict[str, Any]], status: str
) -> None:
    """Such a picture is not opened, masked or not, and the page says why."""
    row = rows[7] | {"n": 0, "status": status}
    address = write_page(tmp_path / "report.html", [row], invented_run([row], masked=False), pictures={})
    await page.goto(f"{address}#open=0")
    await expect(page.locator("#picture-note")).to_contain_text("This picture was not sent")


async def test_keys_work_when_the_browser_refuses_the_address(page: Page, address: str) -> None:
    """A key that is held down goes on through the doubts although the browser refuses to change the address."""
    await page.goto(f"{address}#open=3")
    await page.evaluate(
        "() => { History.prototype.replaceState = () => { throw new DOMException('', 'SecurityError'); }; }"
    )
    await page.keyboard.press("n")
    await page.keyboard.press("n")
    await expect(page.locator("#queue-place")).to_contain_text("doubtful 2 /")


async def test_a_link_of_the_summary_takes_the_focus_along(page: Page, address: str) -> None:
    """Enter on a link to a document focuses its first field; the back button leads to the summary again."""
    await page.goto(address)
    await page.locator("#summary .names a").first.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#document-title")).to_be_visible()
    assert await page.evaluate("byId('document').contains(document.activeElement)")
    await page.go_back()
    await expect(page.locator("#summary")).to_be_visible()


async def test_a_printed_document_has_its_picture_and_all_fields(page: Page, address: str) -> None:
    """On paper stand the picture as it was zoomed, and every field; no button, no list, no dark ground."""
    await page.goto(f"{address}#open=3&field=6")
    await page.wait_for_selector("#scene image")
    await page.keyboard.press("t")
    held = await page.evaluate("[stage.svg.clientWidth, stage.svg.clientHeight]")
    before = await page.locator("#scene").get_attribute("transform")
    await page.evaluate("dispatchEvent(new Event('beforeprint'))")
    await page.emulate_media(media="print")
    await expect(page.locator("#stage")).to_have_attribute("viewBox", f"0 0 {held[0]} {held[1]}")
    await expect(page.locator("#fields .field").last).to_be_visible()
    await expect(page.locator("#list")).to_be_hidden()
    await page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    assert await page.locator("#scene").get_attribute("transform") == before
    await expect(page.get_by_role("button")).to_have_count(0)
    await expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    await page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert await page.locator("#stage").get_attribute("viewBox") is None


async def test_a_failed_document_says_why(page: Page, address: str) -> None:
    """A failed document shows its cause in words, the error, and the way out."""
    await page.goto(f"{address}#open=7")
    await expect(page.locator("#document-notes")).to_contain_text(
        "The service could not read the picture Take a sharper picture."
    )
    await expect(page.locator("#document-notes")).to_contain_text("RecognitionError: the service answered FAILURE")


async def test_values_that_disagree_stand_at_the_field(page: Page, address: str) -> None:
    """A failed check is written at its field, with the two values."""
    await page.goto(f"{address}#open=3&field=20")
    await expect(chosen(page)).to_contain_text("the lines do not add up to the total")
    await expect(chosen(page)).to_contain_text("45,000 ≠ 54,000")
