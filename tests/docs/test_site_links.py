from __future__ import annotations

from typing import TYPE_CHECKING

from site_links import dead_links

if TYPE_CHECKING:
    from pathlib import Path


def test_links_of_a_site_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    """A missing page, anchor or picture, a foreign script, and a listed page that is gone are each named."""
    (tmp_path / "guide").mkdir()
    (tmp_path / "index.html").write_text(
        '<h1 id="top"></h1><a href="guide/">1</a><a href="guide/#there">2</a><a href="#top">3</a>'
        '<a href="gone/">4</a><a href="guide/#gone">5</a><img src="gone.png">'
        '<script src="https://cdn.example/x.js"></script><a href="https://example.com/">6</a>'
    )
    (tmp_path / "guide" / "index.html").write_text('<h2 id="there"></h2><a href="../#top">7</a>')
    (tmp_path / "llms.txt").write_text("- [Guide](guide/): a page\n- [Gone](missing/): none\n")
    assert dead_links(tmp_path) == [
        "index.html: loads https://cdn.example/x.js",
        "index.html: gone/ leads to no file",
        "index.html: guide/#gone leads to no anchor",
        "index.html: gone.png leads to no file",
        "llms.txt: missing/ leads to no file",
    ]
