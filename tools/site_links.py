"""The links of the built site: ``python tools/site_links.py site`` names those that lead to no page or to no anchor.

The generator checks the links between pages of Markdown. This program checks what it has made of them: links in raw
HTML, anchors of generated names, pictures, and the list of pages in llms.txt; and that no page loads anything from
another host.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["dead_links"]


class _Page(HTMLParser):
    """The anchors and links of a page.

    Attributes:
        anchors: The ids.
        links: The targets of links.
        loaded: The targets of what a browser loads by itself.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an anchor, a link, or what is loaded."""
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif "src" in given:
            self.loaded.append(given["src"])
        elif tag == "link" and given.get("rel") in {"stylesheet", "icon"}:
            self.loaded.append(given["href"])


def dead_links(site: Path) -> list[str]:
    """Return a line for each link of a site that leads nowhere, and for each thing that another host would serve."""
    pages = {path: _Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    links = {path: [*page.links, *page.loaded] for path, page in pages.items()}
    if (listing := site / "llms.txt").is_file():
        links[listing] = re.findall(r"\]\(([^)]+)\)", listing.read_text(encoding="utf-8"))
    wrong = [
        f"{path.relative_to(site)}: loads {url}"
        for path, page in pages.items()
        for url in page.loaded
        if urlsplit(url).netloc
    ]
    for path, urls in links.items():
        name = path.relative_to(site)
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                wrong.append(f"{name}: {url} leads to no file")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                wrong.append(f"{name}: {url} leads to no anchor")
    return wrong


def main() -> int:
    """Print the links that lead nowhere."""
    site = Path(sys.argv[1]).resolve()
    if not (site / "index.html").is_file():
        print(f"{site} holds no site")
        return 1
    wrong = dead_links(site)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
