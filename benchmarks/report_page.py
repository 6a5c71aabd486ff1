"""Opening the report page of a large run in a browser: its size, its start, its search, its memory.

The page has 10,000 receipts of 22 fields, each with a polygon, and a thumbnail of the usual size. It is opened from
disk by Debian's Chromium. *Renderer* is the process of the page alone. A filter is a key in the search box: from the
event to the end of the layout that follows it.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frame import MIB, Row, alone, figure, missing, unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page

DOCUMENTS, FEW = 10_000, 500
THUMBNAIL = 1_900  # bytes: those that the report draws of receipts
CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync")

COUNT_NODES = """() => {
  const walker = document.createTreeWalker(document, NodeFilter.SHOW_ALL);
  let count = 1;
  while (walker.nextNode()) count++;
  return count;
}"""
FILTER = """query => {
  const box = document.getElementById('search');
  const began = performance.now();
  box.value = query;
  box.dispatchEvent(new Event('input'));
  document.getElementById('grid').getBoundingClientRect();
  return performance.now() - began;
}"""
QUERIES = ("스타벅스", "ㅅㅌㅂㅅ", "4", "nothing like it", "gs25 ㅇㅅ", "")


def write(path: Path, documents: int) -> None:
    """Write the page; the bytes of its thumbnails are no pictures, and weigh the same."""
    from report_pages import invented_rows, write_page  # noqa: PLC0415 - needs the extra report

    rows, chance = list(invented_rows(documents)), random.Random(1)  # noqa: S311 - the same in each run
    write_page(path, rows, thumbnails={row["n"]: chance.randbytes(THUMBNAIL) for row in rows})


def renderer_memory(browser: Browser) -> float:
    """Return the resident MiB of the largest renderer: that of the page, for the others are spare."""
    session: Any = browser.new_browser_cdp_session()
    processes: list[dict[str, Any]] = session.send("SystemInfo.getProcessInfo")["processInfo"]
    return max(_resident(process["id"]) for process in processes if process["type"] == "renderer")


def _resident(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def opened(browser: Browser, address: str, then: Callable[[Page], None] = lambda _: None) -> float:
    """Open the list in a fresh page, and return the seconds until its rows are there."""
    context = browser.new_context()  # in a process of its own
    page = context.new_page()
    began = time.perf_counter()
    page.goto(f"{address}#view=list")
    page.wait_for_selector("#grid-space .row .name")
    seconds = time.perf_counter() - began
    then(page)
    context.close()
    return seconds


def measured(path: Path, rounds: int) -> dict[str, list[float]]:
    """Return the figures of a page, by their names."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not installed everywhere

    found: dict[str, list[float]] = {"filter": [], "nodes": [], "memory": []}

    def use(page: Page) -> None:
        page.wait_for_function("() => haystacks.length === rows.length")  # they are filled while the page is idle
        found["filter"] += [page.evaluate(FILTER, query) for query in QUERIES]
        found["nodes"].append(page.evaluate(COUNT_NODES))
        found["memory"].append(renderer_memory(browser))

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        found["start"] = [opened(browser, path.as_uri(), use) for _ in range(rounds)]
        browser.close()
    return found


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    documents = FEW if quick else DOCUMENTS
    name = f"{documents:,} documents"
    if why := missing("playwright") or (None if Path(CHROMIUM).exists() else "chromium is not installed"):
        return [unmeasured(f"list of {name} visible after", why, 2.0)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.html")
        write(path, documents)
        found = measured(path, 1 if quick else 5)
        size = path.stat().st_size / MIB
    return [
        figure(f"size of the page of {name}, thumbnails inside", [size], 60.0, unit="MiB"),
        figure(f"list of {name} visible after", found["start"], 2.0, unit="s"),
        figure(f"search over all fields of {name}", found["filter"], 100.0, unit="ms"),
        figure(f"slowest search over all fields of {name}", [max(found["filter"])], 100.0, unit="ms"),
        figure(f"nodes in the document of {name}", found["nodes"], 3000.0, unit="nodes"),
        figure(f"memory of the renderer with {name}", found["memory"], 350.0, unit="MiB"),
    ]


if __name__ == "__main__":
    alone(rows)
