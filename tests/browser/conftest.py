"""A real browser, Debian's Chromium, for pages that open from disk or from loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright
from report_pages import drawn, invented_rows, invented_run, write_page
from support.sample_run import make_sample_run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser, ConsoleMessage, Page, Request

CHROMIUM = "/usr/bin/chromium"
# It runs as root, and without the others it looks for its maker's servers.
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A browser for all tests; the asynchronous interface, for the other would keep a loop in the main thread."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page without a network, which fails its test by a request, an error in the console, or a dialog."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900}, offline=True)
    page = await context.new_page()
    faults = watched(page, ("file", "data", "blob"))
    yield page
    await context.close()
    assert faults == []


def watched(page: Page, schemes: tuple[str, ...]) -> list[str]:
    """Return the list that faults of a page are added to."""
    faults: list[str] = []

    def requested(request: Request) -> None:
        if request.url.split(":")[0] not in schemes:
            faults.append(f"request {request.url}")

    def printed(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.append(f"console {message.text}")

    page.on("request", requested)
    page.on("console", printed)
    page.on("pageerror", lambda error: faults.append(f"error {error}"))
    page.on("dialog", lambda dialog: faults.append(f"dialog {dialog.message}"))
    return faults


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    """The rows of a run of 400 documents, of which the first twenty have pictures."""
    rows = list(invented_rows(400))
    for row in rows[:20]:
        row["picture"] = "embedded" if row["fields"] else None
    return rows


@pytest.fixture(scope="session")
def address(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the page of those rows, on disk."""
    pictures = {row["n"]: drawn(row) for row in rows if row.get("picture")}
    return write_page(tmp_path_factory.mktemp("report") / "report.html", rows, invented_run(rows), pictures=pictures)


@pytest.fixture(scope="session")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the emulator's samples; tests that change it take a copy."""
    return make_sample_run(tmp_path_factory.mktemp("real"))
