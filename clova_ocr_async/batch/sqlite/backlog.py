"""What nobody waits for: it is written down together, with whatever is committed next.

* The names of images. Each is on the disk no later than the mark that its request leaves, which is asked for after it:
  what is in doubt has a name.
* How calls ended that read their images. Their answers are on the disk already, so that they are settled for whoever
  looks closer.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from clova_ocr_async.batch.sqlite import many

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Callable

    from clova_ocr_async.batch.ledger import Claim, SourceFile, Verdict
    from clova_ocr_async.batch.sqlite.writer import Writer

__all__ = ["Backlog"]

logger = logging.getLogger("clova_ocr_async")


@dataclass(slots=True)
class _Page:
    """What is written together."""

    links: list[tuple[SourceFile, str, int]] = field(default_factory=list["tuple[SourceFile, str, int]"])
    ends: list[tuple[Claim, Verdict]] = field(default_factory=list["tuple[Claim, Verdict]"])


class Backlog:
    """Gathers what may wait a moment.

    Args:
        writer: Writes it.
        now: Returns Unix seconds.
        settled: Told the numbers of the items that are settled, and the error if they could not be.
    """

    def __init__(
        self, writer: Writer, now: Callable[[], float], settled: Callable[[list[int], BaseException | None], object]
    ) -> None:
        self._writer = writer
        self._now = now
        self._settled = settled
        self._page: _Page | None = None
        self._gate = threading.Lock()

    def link(self, source: SourceFile, document: str, number: int) -> None:
        """Write down that a file is an item's."""
        self._add(lambda page: page.links.append((source, document, number)))

    def settle(self, claim: Claim, verdict: Verdict) -> None:
        """Write down that a call read its image."""
        self._add(lambda page: page.ends.append((claim, verdict)))

    def _add(self, note: Callable[[_Page], object]) -> None:
        with self._gate:
            begins = self._page is None
            page = self._page = self._page or _Page()
            note(page)
        if begins:
            written = self._writer.submit(partial(self._write, page), "settled", lazy=True)
            written.add_done_callback(partial(self._written, page))

    def _write(self, page: _Page, db: sqlite3.Connection) -> None:
        with self._gate:  # from here on others are written with the next
            if self._page is page:
                self._page = None
        many.link_sources(db, page.links)
        many.succeed(db, page.ends, self._now())

    def _written(self, page: _Page, done: asyncio.Future[None]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:
            logger.warning("what became of some images is not written down yet, only their answers: %s", error)
        self._settled([claim.number for claim, _ in page.ends], error)
