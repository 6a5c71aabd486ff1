"""What the ledger's thread is asked for, and how a result comes back to the event loop that waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["Delivery", "Order", "alike", "alone", "deliver_all", "unheard"]


@dataclass(slots=True, repr=False)
class Order:
    """Something to do in a transaction.

    Attributes:
        work: Does it, for any number of orders at once: what they are about to their results.
        what: What it is about.
        durable: Whether it must be on the disk before anybody is told.
        lazy: Whether it may wait for the next order that is not; nobody waits for it.
        urgent: Whether it fails rather than wait long for another program.
        given_up: Whether it has failed by that, and is not to be done.
        deliver: Told the result, or the error.
        name: What it is called where the thread is watched.
    """

    work: Callable[[sqlite3.Connection, list[Any]], Sequence[Any]]
    what: Any
    durable: bool
    deliver: Callable[[Any, BaseException | None], object]
    name: str
    lazy: bool = False
    urgent: bool = False
    given_up: bool = False
    result: Any = None


def alike(orders: list[Order]) -> Iterator[list[Order]]:
    """Yield the orders of each kind together; one that is done alone is a barrier, which no other crosses."""
    kinds: dict[Callable[..., object], list[Order]] = {}
    for order in orders:
        if order.work is alone:
            yield from kinds.values()
            kinds = {}
            yield [order]
        else:
            kinds.setdefault(order.work, []).append(order)
    yield from kinds.values()


def alone(db: sqlite3.Connection, works: list[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
    """Do what has nothing in common with anything else."""
    return [work(db) for work in works]


class Delivery:
    """Brings one result to its event loop."""

    __slots__ = ("future", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]) -> None:
        self.loop = loop
        self.future = future

    def __call__(self, result: Any, error: BaseException | None) -> None:
        """Deliver a result, or an error."""
        _from_thread(self.loop, _settle, self.future, result, error)


def _from_thread(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:  # the loop is closed, and nobody waits any more
        return


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def deliver_all(orders: Iterable[Order]) -> None:
    """Deliver the results of orders that are committed, those for one event loop together."""
    deliveries: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for order in orders:
        if isinstance(order.deliver, Delivery):
            deliveries.setdefault(order.deliver.loop, []).append((order.deliver.future, order.result))
        else:
            order.deliver(order.result, None)
    for loop, results in deliveries.items():
        _from_thread(loop, _settle_all, results)


def _settle_all(results: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in results:
        if not future.done():
            future.set_result(result)


def unheard(_result: Any, _error: BaseException | None) -> None:
    """Deliver to nobody."""
