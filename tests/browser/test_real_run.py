"""The page that ``clova-ocr report`` writes of a run of the emulator's samples."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageChops, ImageStat
from playwright.async_api import expect
from support.commands import clova_ocr
from support.drawn import overlap
from support.sample_run import CARD, RECEIPTS, upright

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from playwright.async_api import Page

    from clova_ocr_async.emulator import Sample

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="session")
def reports(real_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The pages of one run: masked with its pictures inside, masked with copies beside, not masked with links."""
    place = tmp_path_factory.mktemp("real-pages")
    ways = {"inside": (), "beside": ("--pictures", "copy"), "links": ("--pictures", "link", "--unmasked")}
    pages = {way: place / way / "report.html" for way in ways}
    for way, options in ways.items():
        pages[way].parent.mkdir()
        result = clova_ocr("report", real_run, "-o", pages[way], *options)
        assert result.exit_code == 0, result.stderr
    return pages


# The extent of the chosen boxes, in shares of the picture as it is shown.
CHOSEN = """() => {
  const picture = document.querySelector('#scene image').getBoundingClientRect();
  const corners = [...document.querySelectorAll('#scene .chosen')].flatMap((box) =>
    [...box.points].map((point) => new DOMPoint(point.x, point.y).matrixTransform(box.getScreenCTM())));
  const xs = corners.map((corner) => (corner.x - picture.left) / picture.width);
  const ys = corners.map((corner) => (corner.y - picture.top) / picture.height);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}"""


def true_place(sample: Sample, *path: str) -> list[float]:
    """Return the extent of a value as the emulator drew it, in shares of the picture."""
    value: Any = sample.truth.answer["result"]
    for part in path:
        value = value[part]
    corners = [corner for polygon in value["boundingPolys"] for corner in polygon["vertices"]]
    xs = [corner["x"] / sample.truth.width for corner in corners]
    ys = [corner["y"] / sample.truth.height for corner in corners]
    return [min(xs), min(ys), max(xs), max(ys)]


@pytest.mark.parametrize("orientation", RECEIPTS)
@pytest.mark.parametrize("way", ["inside", "beside", "links"])
async def test_the_box_of_the_focused_field_lies_on_its_true_place(
    page: Page, reports: Mapping[str, Path], way: str, orientation: int
) -> None:
    """On screen the box covers the place where the emulator drew the value, on turned originals too."""
    await page.goto(f"{reports[way].as_uri()}#q=turned-{orientation}.jpg&view=list")
    await page.locator("#grid-space .row").click()
    await page.wait_for_selector("#scene image")
    for label, path in (("store_name", ("storeInfo", "name")), ("total_price", ("totalPrice", "price"))):
        await page.locator("#fields .field", has=page.get_by_text(label, exact=True)).click()
        found = await page.evaluate(CHOSEN)
        assert overlap(found, true_place(RECEIPTS[orientation], *path)) > 0.9
    assert await difference(page, RECEIPTS[orientation]) < 8


async def difference(page: Page, sample: Sample) -> float:
    """Return the difference of the picture on screen from the upright sample, as a share of 255 levels of grey."""
    await page.evaluate("document.querySelectorAll('#scene .box').forEach((box) => box.remove())")
    await page.evaluate("document.querySelector('#scene image').decode?.()")
    shown = Image.open(io.BytesIO(await page.locator("#scene image").screenshot())).convert("L")
    wanted = upright(sample).convert("L").resize(shown.size)
    return ImageStat.Stat(ImageChops.difference(shown, wanted)).mean[0]


async def test_a_masked_page_has_no_personal_number(page: Page, reports: Mapping[str, Path]) -> None:
    """Neither the file nor any of its views has the resident number of the card, with separators or without."""
    number: str = CARD.truth.answer["result"]["ic"]["personalNum"][0]["text"]
    for way in ("inside", "beside"):
        text = reports[way].read_text(encoding="utf-8")
        assert number not in text
        assert number.replace("-", "") not in text
    await page.goto(f"{reports['inside'].as_uri()}#q=card&view=list")
    await page.locator("#grid-space .row").click()
    await expect(page.locator("#fields")).to_contain_text(f"{number[:6]}-*******")
    await page.goto(f"{reports['links'].as_uri()}#q=card&view=list")
    await page.locator("#grid-space .row").click()
    await expect(page.locator("#fields")).to_contain_text(number)
