from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any, cast

from support.ledgers import item

from clova_ocr_async.errors import Billing, LedgerError
from clova_ocr_async.ledger.sqlite.deferred import WriteBehind
from clova_ocr_async.ledger.states import Claim, ItemEvent, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.ledger.sqlite.writer import Writer


class Orders:
    """A writer whose orders the test carries out.

    Attributes:
        asked: What was asked for: the work, and who is told.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[Callable[[sqlite3.Connection], None], asyncio.Future[None]]] = []

    def submit(self, work: Callable[[sqlite3.Connection], None], name: str, *, lazy: bool) -> asyncio.Future[None]:
        """Note an order."""
        assert (name, lazy) == ("settled", True)
        told = asyncio.get_running_loop().create_future()
        self.asked.append((work, told))
        return told


def backlog_of(orders: Orders) -> tuple[WriteBehind, list[tuple[list[int], BaseException | None]]]:
    """Make a backlog, and a list of what it tells."""
    told = list[tuple[list[int], BaseException | None]]()
    writer = cast("Writer", cast("Any", orders))
    return WriteBehind(writer, lambda: 5.0, lambda *what: told.append(what), lambda _: None), told


def read(backlog: WriteBehind, number: int) -> None:
    """Tell a backlog that a call has read its image."""
    verdict = Settlement(ItemEvent.SUCCEED, Billing.BILLED, 0.1, request_id="r")
    backlog.settle(Claim(number, 1, item(str(number))), verdict)


async def test_what_ends_before_the_page_is_written_goes_with_it() -> None:
    """One order stands for all that end until it is carried out; what ends later has its own."""
    orders = Orders()
    backlog, told = backlog_of(orders)
    read(backlog, 1)
    read(backlog, 2)
    ((work, first),) = orders.asked
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE item (id, state, owner, sent_at, billing, elapsed, failure, finished_at, request_id)")
    db.execute("INSERT INTO item (id, state, request_id) VALUES (1, 'sent', 'r'), (2, 'sent', 'r'), (3, 'sent', 'r')")
    work(db)
    read(backlog, 3)
    assert db.execute("SELECT state FROM item").fetchall() == [("succeeded",), ("succeeded",), ("sent",)]
    first.set_result(None)
    await asyncio.sleep(0)
    assert told == [([1, 2], None)]
    assert len(orders.asked) == 2
    db.close()


async def test_a_page_that_could_not_be_begun_is_not_the_last_one() -> None:
    """After a page that was never carried out, what ends is written with another one, and who waits is told."""
    orders = Orders()
    backlog, told = backlog_of(orders)
    read(backlog, 1)
    locked = LedgerError("locked")
    orders.asked[0][1].set_exception(locked)
    await asyncio.sleep(0)
    read(backlog, 2)
    assert told == [([1], locked)]
    assert len(orders.asked) == 2
