"""The images a batch has in work: which of them are under way, and the means to call back those that only wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clova_ocr_async.batch.direct import ImageInWork

__all__ = ["ImagesInWork", "WithdrawnError"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_LANDING = 1.0  # seconds from an answer to its outcome, before a call counts as waiting to send another request


class WithdrawnError(Exception):
    """The image was called back while it waited."""


class ImagesInWork:
    """Runs the work on images, and calls it back."""

    def __init__(self) -> None:
        self._flights: dict[asyncio.Task[object], ImageInWork] = {}
        self._called_back: set[asyncio.Task[object]] = set()
        self._halted = False

    async def run(self, flight: ImageInWork, work: Callable[[Unpack[Ts]], Awaitable[T]], *what: *Ts) -> T:
        """Do the work on one image, in the task that asks.

        Args:
            flight: Told by the work whether a request is under way.
            work: Does it.
            what: What it is given.

        Raises:
            CalledBackError: It was called back.
        """
        if self._halted:
            raise WithdrawnError
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._flights[task] = flight
        try:
            return await work(*what)
        except asyncio.CancelledError:
            if task not in self._called_back or task.uncancel():
                raise  # somebody else wants the task to end
            raise WithdrawnError from None
        finally:
            del self._flights[task]
            self._called_back.discard(task)

    def call_back(self) -> None:
        """End all work that has no request under way, and from now on all whose request lands without an outcome."""
        self._halted = True
        for task, flight in list(self._flights.items()):
            if flight.landings:
                self._call_back_soon(task, flight)
            else:
                self._call_back(task, flight)

    def _call_back(self, task: asyncio.Task[object], flight: ImageInWork) -> None:
        if self._flights.get(task) is flight and not flight.under_way and task not in self._called_back:
            self._called_back.add(task)
            task.cancel()

    def _call_back_soon(self, task: asyncio.Task[object], flight: ImageInWork) -> None:
        """Call back what waits to send another request; what has just landed comes to its outcome before."""
        asyncio.get_running_loop().call_later(_LANDING, self._call_back, task, flight)

    def landed(self, flight: ImageInWork) -> None:
        """Call an image back whose request has ended, if all are called back."""
        if self._halted:
            self._call_back_soon(next(task for task, found in self._flights.items() if found is flight), flight)
