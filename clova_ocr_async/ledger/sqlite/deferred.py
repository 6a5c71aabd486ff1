"""How calls ended that read their images: nobody waits for it, and it is written down with what is committed next.

Their answers are on the disk already, so that they are settled for whoever looks closer.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from clova_ocr_async.ledger.sqlite import bulk_statements

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Callable

    from clova_ocr_async.ledger.sqlite.writer import Writer
    from clova_ocr_async.ledger.states import Claim, Settlement

__all__ = ["WriteBehind"]

_Page = list[tuple["Claim", "Settlement"]]


class WriteBehind:
    """Gathers what may wait a moment.

    Args:
        writer: Writes it.
        now: Returns Unix seconds.
        settled: Told the numbers of the items that are settled, and the error if they could not be.
        bring_own: Brings in what is kept beside the ledger, which the answers of these calls may be.
    """

    def __init__(
        self,
        writer: Writer,
        now: Callable[[], float],
        settled: Callable[[list[int], BaseException | None], object],
        bring_own: Callable[[sqlite3.Connection], object],
    ) -> None:
        self._writer = writer
        self._now = now
        self._settled = settled
        self._bring_own = bring_own
        self._page: _Page | None = None
        self._gate = threading.Lock()

    def settle(self, claim: Claim, verdict: Settlement) -> None:
        """Write down that a call read its image; said in the event loop."""
        with self._gate:
            if self._page is not None:
                self._page.append((claim, verdict))
                return
            self._page = page = [(claim, verdict)]
        self._writer.submit(partial(self._write, page), "settled", lazy=True).add_done_callback(
            partial(self._written, page)
        )

    def _write(self, page: _Page, db: sqlite3.Connection) -> None:
        self._turn_over(page)
        self._bring_own(db)
        bulk_statements.succeed(db, page, self._now())

    def _written(self, page: _Page, done: asyncio.Future[None]) -> None:
        self._turn_over(page)  # where it could not even be begun
        self._settled([claim.number for claim, _ in page], None if done.cancelled() else done.exception())

    def _turn_over(self, page: _Page) -> None:
        """Have what comes from here on written with the next page."""
        with self._gate:
            if self._page is page:
                self._page = None
