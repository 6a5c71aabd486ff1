"""The deadline of one call, and the timer that all deadlines of a client share."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Deadline", "DeadlineTimer"]


class DeadlineTimer:
    """The timer of all deadlines of a client, which fires when the first of them may have passed.

    Nearly all calls are answered long before their deadline, and to set and cancel a timer for each costs as much as
    the search for a slot. The one timer is not moved when a call ends: it fires too early, and is set anew.
    """

    __slots__ = ("_deadlines", "_handle")

    def __init__(self) -> None:
        self._deadlines: dict[Deadline, None] = {}  # those whose context is open, in the order in which it was opened
        self._handle: asyncio.TimerHandle | None = None

    def watch(self, deadline: Deadline) -> None:
        """Let a deadline expire when it has passed."""
        self._deadlines[deadline] = None
        self.fire_by(deadline.due)

    def forget(self, deadline: Deadline) -> None:
        """Stop watching a deadline."""
        self._deadlines.pop(deadline, None)

    def fire_by(self, when: float) -> None:
        """Fire at a time of the running loop's clock, or before."""
        if self._handle is not None:
            if self._handle.when() <= when:
                return
            self._handle.cancel()
        self._handle = asyncio.get_running_loop().call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._handle = None
        now = asyncio.get_running_loop().time()
        for deadline in list(self._deadlines):
            if deadline.due <= now:
                self.forget(deadline)
                deadline.expire(now)
        if self._deadlines:
            self.fire_by(min(deadline.due for deadline in self._deadlines))


class Deadline:
    """The time limit of one single call; its context raises TimeoutError when it has passed.

    Part of the time may be reserved for the request itself: a call that still waits to be sent is over when only that
    part is left.

    Args:
        seconds: Seconds from now; None for no bound.
        loop: The running loop; its clock counts.
        timer: Makes it expire.

    Attributes:
        seconds: As given.
        due: When the context ends, by the loop's clock; infinite without a bound.
    """

    __slots__ = ("_end", "_loop", "_timeout", "_timer", "due", "seconds")

    def __init__(self, seconds: float | None, loop: asyncio.AbstractEventLoop, timer: DeadlineTimer) -> None:
        self.seconds = seconds
        self._loop = loop
        self._timer = timer
        self._end = self.due = math.inf if seconds is None else loop.time() + seconds
        # It raises TimeoutError for its own cancellation only; one from outside stays a cancellation.
        self._timeout = asyncio.Timeout(None)

    @property
    def left(self) -> float:
        """Seconds until it passes; infinite without a bound."""
        return self._end - self._loop.time()

    @property
    def expired(self) -> bool:
        """True if its context has raised TimeoutError."""
        return self._timeout.expired()

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        if self.due < math.inf:
            self._timer.watch(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        # First: a timeout that has ended cannot be rescheduled.
        self._timer.forget(self)
        await self._timeout.__aexit__(kind, error, where)

    def reserve(self, seconds: float) -> None:
        """Reserve some seconds for the request; 0 once it is sent, since all of the time is for it then."""
        due = self._end - seconds
        if due < self.due:  # nothing is to be done for a later one: the timer fires too early, and is set anew
            self._timer.fire_by(due)
        self.due = due

    def expire(self, now: float) -> None:
        """End the context."""
        self._timeout.reschedule(now)
